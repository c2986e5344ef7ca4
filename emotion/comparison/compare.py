"""Two systems on the same pictures, side by side: what `emo compare` does.

With labels: mAP@0.5, class-blind face AP, accuracy and macro-F1 on matched faces, missed and extra faces,
each with its 95% interval and that of the difference; McNemar's test and calibration of the emotions.
Without: faces found by each. Always: agreement on the faces both found, time per stage, and the frames on
which they differ most.

    result = compare.run(("two-stage", "yolo"), media=["video.mp4"], out="compare-out/mine")
    result["agreement"]["share"], result["systems"][0]["latency"]["total_ms"]
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

import numpy as np

from converters.darknet_format.files import read_data, read_list
from converters.emotions import EMOTIONS
from converters.errors import MediaError, UsageError
from converters.output_folder import finish, free, in_place, part

from ..sources.frame import Frame
from ..sources.open import open_source
from ..sources.pictures import Pictures
from ..sources.video import Video
from ..systems.detections import Detections, Detector
from ..systems.open import open_system
from ..version import __version__
from . import bootstrap, metrics, report
from .gallery import Gallery
from .tally import MATCH_IOU, SCORE_FLOORS, Tally, Truth, labelled_frames, units_of

TIMED = 50  # frames of a labelled set that are timed, at `conf`: at the score floor there are more boxes to handle
FEWEST_REPLICATES = 100
FILES = ("compare.json", "report.html")


@dataclass
class Contestant:
    """One of the two systems: as a user would run it, and, on a labelled set, down to the score floor."""

    label: str
    detector: Detector
    conf: float
    weak: Detector | None = None
    tally: Tally | None = None
    faces: int = 0
    frames_without: int = 0
    times: list[dict[str, float]] = field(default_factory=list)

    def find(self, frame: Frame, truth: Truth | None, timed: bool) -> Detections:
        """The faces above `conf`; counted, timed, and with a truth also tallied."""
        if timed or truth is None:
            self.detector.clock.take()
            (found,) = self.detector.detect([frame.bgr])
            self.times.append(self.detector.clock.take())
        if truth is not None:
            (weak,) = self.weak.detect([frame.bgr])
            self.tally.add(weak, truth)
            found = weak.take(weak.face >= self.conf)
        self.faces, self.frames_without = self.faces + len(found), self.frames_without + (len(found) == 0)
        return found

    def latency(self) -> dict:
        """Median milliseconds a frame, by stage and in all, and the frames a second that follow."""
        stages = {stage: round(1000 * float(np.median([time[stage] for time in self.times])), 2) for stage in self.times[0]}
        total = 1000 * float(np.median([sum(time.values()) for time in self.times]))
        return {"stages_ms": stages, "total_ms": round(total, 2), "frames_per_s": round(1000 / total, 1), "frames_timed": len(self.times)}

    def result(self) -> dict:
        out = {"system": self.label, "settings": self.detector.settings, "faces_found": self.faces, "frames_without_face": self.frames_without}
        return out | ({"labelled": self.tally.result()} if self.tally else {}) | {"latency": self.latency()}


class Agreement:
    """What two systems say of the same faces: matched boxes, and the emotions each gave them."""

    def __init__(self, a: Detector, b: Detector):
        self.a, self.b = a, b
        known = {*a.names, *b.names}
        self.names = tuple(sorted(known, key=lambda name: (EMOTIONS.index(name) if name in EMOTIONS else len(EMOTIONS), name)))
        self.matrix = np.zeros((len(self.names), len(self.names)), int)
        self.only_a = self.only_b = 0

    def add(self, found_a: Detections, found_b: Detections) -> int:
        """Count one frame; returns on how many faces the two differ."""
        pairs = metrics.match(found_a.xyxy_px, found_b.xyxy_px, MATCH_IOU)
        differ = 0
        for i, j in pairs:
            said = self.a.names[found_a.class_ids[i]], self.b.names[found_b.class_ids[j]]
            self.matrix[self.names.index(said[0]), self.names.index(said[1])] += 1
            differ += said[0] != said[1]
        only_a, only_b = len(found_a) - len(pairs), len(found_b) - len(pairs)
        self.only_a, self.only_b = self.only_a + only_a, self.only_b + only_b
        return differ + only_a + only_b

    def result(self) -> dict:
        matched = int(self.matrix.sum())
        return {
            "matched": matched, "same_emotion": int(np.trace(self.matrix)), "share": metrics.accuracy(self.matrix),
            "only": [self.only_a, self.only_b], "names": list(self.names), "matrix": self.matrix.tolist(),
        }  # fmt: skip


def shipped_media() -> list[Path]:
    """The pictures and the video that came with the package."""
    return sorted(path for path in (Path(str(files("cfg"))) / "media").iterdir() if path.suffix in (".jpg", ".png", ".mp4"))


def run(
    systems: tuple[str, str], *, data: str | Path | None = None, split: str = "valid", media=(), out: str | Path | None = None,
    conf: float = 0.25, iou: float = 0.45, face_model: str | None = None, backend: str = "auto", device: str = "auto", limit: int | None = None, force: bool = False,
    replicates: int = 1000, seed: int = 0,
    skipped: Callable[[MediaError], None] | None = None, progress: Callable[[int, int | None], None] | None = None,
) -> dict:  # fmt: skip
    """Compare two systems (see `systems`) and write compare.json and report.html to `out`.

    data   a .data file: labelled pictures of its `split`; else `media`, paths; else the media that ship
    limit  only the first N pictures of the set, or frames of each medium
    replicates, seed  resamples of a labelled set, for intervals; 0 for none
    Returns what compare.json holds. Raises EmoError for a system, set or medium that cannot be used.
    """
    if data and media:
        raise UsageError("a labelled set and media were given", mend="compare on one of them")
    if 0 < replicates < FEWEST_REPLICATES:
        raise UsageError(f"--bootstrap {replicates} is too few for 95% intervals", mend=f"{FEWEST_REPLICATES} or more, 0 for none")
    contestants = [Contestant(label, open_system(spec, face_model=face_model, conf=conf, iou=iou, backend=backend, device=device), conf) for label, spec in zip(labels(systems), systems)]
    data_file = read_data(data) if data else None
    if data_file:
        for contestant, spec in zip(contestants, systems):
            contestant.weak = open_system(spec, face_model=face_model, conf=SCORE_FLOORS[contestant.detector.name], iou=iou, backend=backend, device=device)
            contestant.tally = Tally(contestant.weak, data_file.names, conf)
        frames, subject = labelled_frames(data_file, split, limit), {"data": str(data), "split": split, "names": list(data_file.names)}
    else:
        media = [Path(path) for path in media] or shipped_media()
        opened = [open_source(path, limit) for path in media]
        frames, subject = media_frames(opened, skipped), {"media": [str(path) for path in media]}
        if passed_over := sum((getattr(source, "passed_over", Counter()) for source in opened), Counter()):
            subject["passed_over"] = dict(passed_over)
    agreement, gallery, count = Agreement(*(contestant.detector for contestant in contestants)), Gallery(), 0
    expected = expected_frames(data_file, split, limit) if data_file else sum(source.count or 0 for source in opened)
    with in_place(Path(out) if out else free(default_out(systems), force), force, FILES, media) as folder:
        for frame, truth in frames:
            if count == 0:  # the first forward pass allocates; it is no measure
                for contestant in contestants:
                    contestant.detector.detect([frame.bgr])
            found = [contestant.find(frame, truth, timed=count < TIMED) for contestant in contestants]
            gallery.add(frame, found, [contestant.detector.names for contestant in contestants], truth, data_file and data_file.names, agreement.add(*found))
            count += 1
            if progress:
                progress(count, expected or None)
        if not count:
            raise MediaError("none of the pictures can be read", where=subject["media"][0] if media else data)
        result = {
            "program": "emo", "version": __version__, "subject": subject | {"frames": count},
            "settings": settings_of(conf, iou, bool(data_file), limit),
            "systems": [contestant.result() for contestant in contestants], "agreement": agreement.result(),
        }  # fmt: skip
        if data_file:
            result["significance"] = significance(*(contestant.tally for contestant in contestants), *units_of(data_file, split, limit), replicates, seed)
        write(folder / "report.html", report.render(result, gallery.chosen()))
        write(folder / "compare.json", json.dumps(result, indent=2) + "\n")
    return result | {"files": [str(folder / name) for name in FILES]}


def significance(first: Tally, second: Tally, units: np.ndarray, grouped: bool, replicates: int, seed: int) -> dict:
    """Intervals and differences (`bootstrap.paired`), and McNemar's test of the faces that both found."""
    a, b = first.right(), second.right()
    both = (a >= 0) & (b >= 0)
    table = {f"{'right' if x else 'wrong'}_{'right' if y else 'wrong'}": int(((a == x) & (b == y)).sum()) for x in (1, 0) for y in (1, 0)}
    p = metrics.mcnemar(table["right_wrong"], table["wrong_right"])
    evidence = first.evidence(), second.evidence()
    found = bootstrap.paired(evidence, units, replicates, seed) if replicates else None
    scarce = {first.names[class_id]: count for class_id, count in bootstrap.scarce(evidence[0].truths, units).items()}
    return {
        "replicates": replicates, "seed": seed, "level": bootstrap.LEVEL, "unit": "group" if grouped else "picture", "units": int(units.max()) + 1,
        "scarce": scarce, "figures": found, "mcnemar": {"faces": int(both.sum())} | table | {"p": p},
    }  # fmt: skip


def write(path: Path, text: str) -> None:
    """Whole or not at all; MediaError says which file a full disk, or missing rights, kept from being written."""
    unfinished = part(path)
    try:
        unfinished.write_text(text, encoding="utf-8", errors="backslashreplace")  # of names that are no UTF-8
        finish(path.parent, path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise MediaError(f"cannot be written: {error.strerror}", where=path) from None


def settings_of(conf, iou, labelled, limit) -> dict:
    """What made the figures."""
    import cv2

    ap = {"ap": "area under the precision envelope, as Darknet's `detector map`", "ap_iou": MATCH_IOU, "score_floor": SCORE_FLOORS} if labelled else {}
    return {"conf": conf, "nms_iou": iou, "match_iou": MATCH_IOU} | ap | {"limit": limit, "threads": cv2.getNumThreads(), "opencv": cv2.__version__}


def media_frames(sources: list[Pictures | Video], skipped) -> Iterator[tuple[Frame, None]]:
    """The frames of all sources one after another, numbered through, a video's named after it."""
    index = 0
    for source in sources:
        if isinstance(source, Pictures):
            source.skip = skipped
        for frame in source:
            name = frame.name or source.path.name
            yield Frame(index, frame.time_s, frame.bgr, name), None
            index += 1


def expected_frames(data, split, limit) -> int:

    count = len(read_list(data.list_of(split)))
    return min(count, limit or count)


def labels(systems) -> list[str]:
    """The two names under which results stand: paths without their folders, unless only these tell them apart."""

    def short(system):
        kind, colon, rest = system.partition(":")
        return kind + colon + "+".join(os.path.basename(file.rstrip("/")) for file in rest.split("+"))

    a, b = map(short, systems)
    if a == b:
        a, b = systems
    return [a, b] if a != b else [f"{a} (1)", f"{b} (2)"]


def default_out(systems) -> Path:
    plain = ["".join(char if char.isalnum() or char in "-_." else "-" for char in system).strip("-.") for system in systems]
    return Path("compare-out") / "-vs-".join(plain)
