"""Two or more systems on the same pictures, side by side: what `emo compare` does.

With labels: mAP@0.5, class-blind face AP, accuracy and macro-F1 on matched faces, missed and extra faces,
each with its 95% interval and that of the difference; McNemar's test and calibration of the emotions.
Without: faces found by each. Always: agreement on the faces both found, time per stage, and the frames on
which they differ most. Classifiers meet on a classifier's set, where each picture is a face.

    result = compare.run(("two-stage", "yolo"), media=["video.mp4"], out="compare-out/mine")
    result["pairs"][0]["share"], result["systems"][0]["latency"]["total_ms"]
"""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from converters.darknet_format.files import DataFile, read_list
from converters.darknet_format.open_set import open_set
from converters.errors import MediaError, UsageError
from converters.output_folder import finish, free, in_place, part

from ..sources.frame import Frame
from ..sources.open import Source, open_source
from ..sources.pictures import Pictures
from ..version import __version__
from . import bootstrap, report, side_by_side
from .agreement import Agreement, mcnemar
from .contestant import Contestant, WholePicture
from .foreign import FileSystem
from .gallery import Gallery
from .judge import labelled_pictures
from .labels import labels_of, plain
from .machine import cores, machine
from .media_labels import read_media_labels
from .memory import peak_megabytes
from .settings import USUAL, Settings
from .tally import MATCH_IOU, SCORE_FLOORS, Tally, Truth, labelled_frames
from .units import Units, units_of

Skipped = Callable[[MediaError], None] | None

FORMAT = 2  # of compare.json; docs/compare-json.md describes it
TIMED = 50  # frames of a labelled set that are timed, at `conf`: at the score floor there are more boxes to handle
FILES = ("compare.json", "report.html", side_by_side.FILE)
MEASURED = 8  # frames that the peak of memory is measured on


@dataclass(frozen=True)
class Scene:
    """What is compared on: frames with their labels (None: not labelled), and what is told of them.

    names   the labelled classes; () where nothing is labelled
    units   of the labelled frames in order: what is drawn again
    """

    frames: Iterator[tuple[Frame, Truth | None]]
    subject: dict
    names: tuple[str, ...]
    expected: int | None
    units: Callable[[], Units] | None
    task: str = "detector"
    about: bool = False  # `expected` is an estimate


def run(
    systems: Sequence[str],
    *,
    data: str | Path | None = None,
    media: Sequence[str | Path] = (),
    out: str | Path | None = None,
    settings: Settings = USUAL,
    memory: bool = False,
    clip: bool = False,
    force: bool = False,
    skipped: Skipped = None,
    progress: Callable[[int, int | None, bool], None] | None = None,
) -> dict:
    """Compare systems (see `systems.open.open_subject` and `foreign`) and write compare.json and report.html to `out`.

    data   a .data file: labelled pictures of the split; else `media`, paths; else the media that ship. Media are
           labelled where a labels.csv lies beside them (see `media_labels`)
    memory  measure each system's peak memory, in a process of its own
    clip   write a video of the systems side by side, where the media are videos
    Returns what compare.json holds. Raises EmoError for a system, set or medium that cannot be used.
    """
    if data and media:
        raise UsageError("a labelled set and media were given", mend="compare on one of them")
    if len(systems) < 2:
        raise UsageError("one system is not a comparison", mend="name two or more, or take emo evaluate")
    data_file = open_set(data) if data else None
    pictures = data_file is not None and data_file.is_classifier
    contestants = [
        Contestant(label, spec, suited(settings.open(spec), spec, pictures), settings.conf)
        for label, spec in zip(labels_of(systems), systems)
    ]
    paths = [] if data_file else [Path(path) for path in media] or shipped_media()
    scene = (
        labelled_scene(data_file, settings, data)
        if data_file
        else media_scene(paths, settings.limit, skipped, contestants)
    )
    if scene.names:
        for contestant in contestants:
            contestant.weak = suited(settings.open_weak(contestant.spec), contestant.spec, pictures)
            contestant.tally = Tally(contestant.weak, scene.names, settings.conf)
    pairs = list(itertools.combinations(range(len(contestants)), 2))
    agreements = [Agreement(contestants[i].detector, contestants[j].detector) for i, j in pairs]
    gallery = Gallery()
    with (
        in_place(Path(out) if out else free(default_out(systems), force), force, FILES, paths) as folder,
        side_by_side.writer(folder if clip else None, contestants) as video,
    ):
        frames, judged, first, last = look_at(
            scene, contestants, dict(zip(pairs, agreements)), gallery, video, progress
        )
        if not frames:
            raise MediaError("none of the pictures can be read", where=paths[0] if paths else data)
        for contestant in contestants:
            subject = getattr(contestant.detector, "subject", contestant.detector)
            if isinstance(subject, FileSystem):
                subject.check_met(last)
        clips = video.close()
        result: dict[str, Any] = {
            "format": FORMAT,
            "program": "emo",
            "version": __version__,
            "subject": scene.subject | {"frames": frames, "judged": judged, "task": scene.task},
            "settings": settings_of(settings, bool(scene.names)),
            "machine": machine(),
            "systems": [contestant.result() for contestant in contestants],
            "pairs": [{"pair": list(pair)} | agreement.result() for pair, agreement in zip(pairs, agreements)],
        }
        if memory:
            for contestant, told in zip(contestants, result["systems"]):
                told["cost"]["peak_megabytes"] = peak_megabytes(
                    contestant.spec, first, settings.opening | {"conf": settings.conf}, pictures
                )
        if scene.units and judged:
            tallies = [contestant.tally for contestant in contestants if contestant.tally]
            result["significance"] = significance(tallies, scene.units(), settings)
            for told, (i, j) in zip(result["pairs"], pairs):
                told["mcnemar"] = mcnemar(tallies[i], tallies[j])
        result["verdict"] = report.verdict(result)
        write(folder / "report.html", report.render(result, gallery.chosen(), clips))
        write(folder / "compare.json", json.dumps(result, indent=2) + "\n")
    return result | {"files": [str(folder / name) for name in FILES if (folder / name).exists()]}


def suited(subject: Any, spec: str, pictures: bool) -> Any:
    """The subject for pictures that are a face, or for frames, in which a classifier finds none: UsageError."""
    if pictures:
        return WholePicture(subject)
    if not hasattr(subject, "detect") and not hasattr(subject, "of_frame"):
        raise UsageError(
            f"'{spec}' is a classifier: it finds no faces",
            mend=f"compare two-stage:+{spec}, or on a classifier's set with --data",
        )
    return subject


def look_at(
    scene: Scene,
    contestants: Sequence[Contestant],
    agreements: dict[tuple[int, int], Agreement],
    gallery: Gallery,
    video: side_by_side.SideBySide | side_by_side.Nothing,
    progress: Callable[[int, int | None, bool], None] | None,
) -> tuple[int, int, list[np.ndarray], str | None]:
    """Every contestant at every frame: how many there were, how many of them were labelled, the first few, and what the
    last one is called.
    """
    count, judged, first, last = 0, 0, [], None
    for frame, truth in scene.frames:
        if count == 0:
            for contestant in contestants:
                contestant.warm_up(frame)
        if count < MEASURED:
            first.append(frame.bgr)
        order = np.roll(np.arange(len(contestants)), -count).tolist()  # none has always the warm cache
        seen = {index: contestants[index].find(frame, truth, timed=count < TIMED) for index in order}
        found = [seen[index] for index in range(len(contestants))]
        differ = sum(agreement.add(found[i], found[j]) for (i, j), agreement in agreements.items())
        gallery.add(frame, found, [each.detector.names for each in contestants], truth, scene.names, differ)
        video.write(frame, found)
        count, judged, last = count + 1, judged + (truth is not None), frame.name
        if progress:
            progress(count, scene.expected or None, scene.about)
    return count, judged, first, last


def shipped_media() -> list[Path]:
    """The pictures and the video that came with the package."""
    return sorted(
        path for path in (Path(str(files("cfg"))) / "media").iterdir() if path.suffix in (".jpg", ".png", ".mp4")
    )


def labelled_scene(data: DataFile, settings: Settings, named: str | Path | None) -> Scene:
    """The pictures of a detector's or a classifier's set."""
    split, limit = settings.split, settings.limit
    frames = whole_pictures(data, split, limit) if data.is_classifier else labelled_frames(data, split, limit)

    listed = len(read_list(data.list_of(split)))
    subject = {"data": str(named), "split": split, "names": list(data.names)}
    return Scene(
        iter(frames),
        subject,
        data.names,
        min(listed, limit or listed),
        partial(units_of, data, split, limit),
        "classifier" if data.is_classifier else "detector",
    )


def whole_pictures(data: DataFile, split: str, limit: int | None) -> Iterator[tuple[Frame, Truth]]:
    """Of a classifier's set: each picture is one face."""
    paths = read_list(data.list_of(split))
    for index, (picture, class_id) in enumerate(labelled_pictures(data, split, limit)):
        height, width = picture.shape[:2]
        yield (
            Frame(index, None, picture, paths[index].name),
            Truth(np.array([[0, 0, width, height]], float), np.array([class_id])),
        )


def media_scene(media: Sequence[Path], limit: int | None, skipped: Skipped, contestants: Sequence[Contestant]) -> Scene:
    """Pictures and videos one after another; a video's frames are named after it, and numbered in it."""
    sources = [open_source(path, limit) for path in media]
    videos = [name_of(path, media) for path, source in zip(media, sources) if source.kind == "video"]
    for contestant in contestants:
        if isinstance(contestant.detector, FileSystem):
            contestant.detector.check(videos)
    told = read_media_labels(media)
    known = [
        name
        for name in contestants[0].detector.names
        if all(name in contestant.detector.names for contestant in contestants)
    ]
    names = tuple(dict.fromkeys([*known, *told.emotions])) if told.faces else ()
    judged: list[str] = []

    def frames() -> Iterator[tuple[Frame, Truth | None]]:
        for path, place, frame in numbered(media, sources, skipped):
            truth = told.truth(path, place, names) if names else None
            if truth is not None:
                judged.append(str(path))
            yield Frame(place, frame.time_s, frame.bgr, frame.name or name_of(path, media)), truth

    subject: dict = {"media": [str(path) for path in media]}
    passed_over: Counter[str] = Counter()
    for source in sources:
        passed_over.update(getattr(source, "passed_over", {}))
    if passed_over:
        subject["passed_over"] = dict(passed_over)
    if names:
        subject |= {"labels": [str(path) for path in told.files], "names": list(names)}
    return Scene(
        frames(),
        subject,
        names,
        sum(source.count or 0 for source in sources),
        (lambda: Units.nested("medium", np.unique(judged, return_inverse=True)[1])) if names else None,
        about=not all(source.exact for source in sources),
    )


def name_of(path: Path, media: Sequence[Path]) -> str:
    """A medium's file name; its path where two have one name."""
    return path.name if [other.name for other in media].count(path.name) < 2 else str(path)


def numbered(media: Sequence[Path], sources: Sequence[Source], skipped: Skipped) -> Iterator[tuple[Path, int, Frame]]:
    """Every frame with the file that it is from and its place in it."""
    for path, source in zip(media, sources):
        if isinstance(source, Pictures):
            source.skip = skipped
        for frame in source:
            picture = path / frame.name if path.is_dir() and frame.name else path
            yield picture, 0 if isinstance(source, Pictures) else frame.index, frame


def significance(tallies: Sequence[Tally], units: Units, settings: Settings) -> dict:
    """Intervals of each system and differences of each two (`bootstrap.paired`)."""
    evidence = [tally.evidence(units) for tally in tallies]
    replicates, seed = settings.replicates, settings.seed
    found = bootstrap.paired(evidence, units, replicates, seed) if replicates else None
    scarce = {
        tallies[0].names[class_id]: count for class_id, count in bootstrap.scarce(evidence[0].truths, units).items()
    }
    return {
        "replicates": replicates,
        "seed": seed,
        "level": bootstrap.LEVEL,
        "unit": units.kind,
        "units": units.count,
        "scarce": scarce,
        "figures": found,
    }


def write(path: Path, text: str) -> None:
    """Whole or not at all; MediaError says which file a full disk, or missing rights, kept from being written."""
    unfinished = part(path)
    try:
        unfinished.write_text(text, encoding="utf-8", errors="backslashreplace")  # of names that are not UTF-8
        finish(path.parent, path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise MediaError(f"cannot be written: {error.strerror}", where=path) from None


def settings_of(settings: Settings, labelled: bool) -> dict:
    """What made the figures."""
    import cv2

    how = "area under the precision envelope, as Darknet's `detector map`"
    ap = {"ap": how, "ap_iou": MATCH_IOU, "score_floor": SCORE_FLOORS} if labelled else {}
    return {
        "conf": settings.conf,
        "nms_iou": settings.iou,
        "match_iou": MATCH_IOU,
        **ap,
        "limit": settings.limit,
        "threads": cv2.getNumThreads(),
        "cores": cores(),
        "order": "rotated frame by frame",
    }


def default_out(systems: Sequence[str]) -> Path:
    return Path("compare-out") / "-vs-".join(map(plain, systems))
