"""A source through a detector into files: what `emo detect` does.

    summary = run("video.mp4", open_system("yolo"), out="detect-out/video")

Decoding, detecting, and drawing with writing overlap: a thread decodes, two detect, one at each of a detector's stages, one
draws and writes; a few frames are held, however long the source is. A live source is taken one frame at a time, the newest.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

from converters.errors import MediaError, UsageError
from converters.output_folder import free, in_place

from .output import sinks
from .output.draw import draw
from .overlap import ahead, batches, mapped
from .sources.frame import Frame
from .sources.live import Live
from .sources.open import open_source
from .sources.pictures import Pictures
from .sources.video import Video
from .systems.detections import Detections, Detector
from .systems.stage_timer import StageTimer
from .systems.tracking import Tracker
from .version import __version__

WORKERS = 2  # threads that detect: while one waits for the network, the other prepares its input


@dataclass(frozen=True)
class Summary:
    """What a run did. `stages` are milliseconds a frame, and overlap; `unreadable` are pictures that were left out,
    `passed_over` a folder's files that are no pictures, by suffix, `missed` frames of a live source that came while the
    one before was at work; `tracks` is None when nothing was tracked."""

    source: str
    system: str
    frames: int
    faces: int
    frames_without_face: int
    emotions: dict[str, int]
    unreadable: int
    passed_over: dict[str, int]
    missed: int
    tracks: int | None
    seconds: float
    frames_per_s: float
    stages: dict[str, float]
    files: tuple[str, ...]

    def as_dict(self) -> dict:
        return asdict(self)


def stream(frames, detector: Detector, live: bool = False) -> Iterator[tuple[Frame, Detections]]:
    """Frames -> (frame, its detections), in order.

    Decodes ahead and detects in threads; with `live` one frame at a time. When the source fails, what came before is given
    first, then the error.
    """
    size = getattr(detector, "batch", 1)

    def detect(batch: list[Frame]) -> list[tuple[Frame, Detections]]:
        return list(zip(batch, detector.detect([frame.bgr for frame in batch])))

    if live:
        found = mapped(detect, batches(frames, 1), 1, held=1)
    else:
        found = mapped(detect, batches(ahead(frames, size), size), WORKERS, held=WORKERS)
    with closing(found):
        for batch in found:
            while batch:
                yield batch.pop(0)


def run(
    source: str | Path, detector: Detector, out: str | Path | None = None, *, limit: int | None = None, force: bool = False,
    annotate: bool = True, tracker: Tracker | None = None, skipped: Callable[[MediaError], None] | None = None, progress: Callable[[int, int | None], None] | None = None,
) -> Summary:  # fmt: skip
    """Detect in `source` and write detections.jsonl, detections.csv and what is annotated to `out`.

    out       default `detect-out/<stem of the source>`, or with -2, -3 ... when that is taken
    annotate  also write annotated.jpg (.png), pictures/ or annotated.mp4
    tracker   follow faces through a video, see `tracking`; `detector` should give faces from `tracker.low` on
    skipped   told of every unreadable picture of a folder or list; without it the first one is an error
    progress  called with (frames done, frames expected or None)
    Raises UsageError for an output that is not empty, MediaError for a source that cannot be read to its end;
    then what was written keeps its `.part` name.
    """
    opened = open_source(source, limit)
    if tracker and opened.kind != "video":
        raise UsageError("pictures are no video in which faces could be tracked", where=source, mend="leave --track out")
    unreadable = []
    if isinstance(opened, Pictures) and opened.kind != "picture" and skipped:
        opened.skip = lambda error: (unreadable.append(1), skipped(error))
    clock, counts, frames, without, start = StageTimer(), dict.fromkeys(detector.names, 0), 0, 0, time.perf_counter()
    target = in_place(Path(out) if out else free(default_out(opened.path), force), force, sinks.FILES, [opened.path])
    with target as folder, sinks.Sinks(folder, sinks_for(opened, detector, folder, annotate, tracker)) as writing:
        def tracked():
            with closing(stream(clock.timed("decode", opened), detector, opened.live)) as detected:
                for frame, found in detected:
                    if tracker:
                        with clock("track"):
                            found = tracker.update(found, frame.time_s, frame.bgr)
                    yield frame, found

        def write(pair: tuple[Frame, Detections]) -> Detections:
            frame, found = pair
            with clock("draw"):
                drawn = draw(frame.bgr, found, detector.names) if writing.needs_drawing else None
            with clock("write"):
                writing.write(frame, found, drawn)
            return found

        with closing(mapped(write, tracked(), 1, held=1 if opened.live else 2)) as written:
            for found in written:
                frames, without = frames + 1, without + (len(found) == 0)
                for class_id in found.class_ids:
                    counts[detector.names[class_id]] += 1
                if progress:
                    progress(frames, opened.count)
        if not frames:
            raise MediaError("none of its pictures can be read", where=opened.path)
    seconds = time.perf_counter() - start
    own = clock.take()
    stages = {"decode": own["decode"]} | detector.clock.take() | {stage: own[stage] for stage in ("track", "draw", "write") if stage in own}
    return Summary(
        source=getattr(opened, "name", str(source)), system=detector.name, frames=frames, faces=sum(counts.values()), frames_without_face=without,
        emotions=counts, unreadable=len(unreadable), passed_over=dict(getattr(opened, "passed_over", {})), missed=getattr(opened, "missed", 0), tracks=tracker and tracker.count, seconds=round(seconds, 3), frames_per_s=round(frames / seconds, 2),
        stages={stage: round(1000 * spent / frames, 2) for stage, spent in stages.items()}, files=tuple(map(str, writing.files)),
    )  # fmt: skip


def default_out(source: Path) -> Path:
    return Path("detect-out") / (Path(os.path.abspath(source)).stem or "root")  # a link keeps the name that was typed


def sinks_for(source: Pictures | Video | Live, detector: Detector, folder: Path, annotate: bool, tracker: Tracker | None) -> list:
    """JSONL and CSV always; tracks' CSV; an annotated picture, folder or video, as the source is."""
    header = {
        "program": "emo", "version": __version__, "source": getattr(source, "name", str(source.path)), "kind": source.kind,
        "names": list(detector.names), "settings": detector.settings | ({"tracking": tracker.settings} if tracker else {}),
    }  # fmt: skip
    if source.fps:
        header["fps"] = source.fps
    found = [sinks.Jsonl(folder / "detections.jsonl", header), sinks.Csv(folder / "detections.csv", detector.names, bool(tracker))]
    if tracker:
        found.append(sinks.Tracks(folder / "tracks.csv", detector.names))
    if annotate and source.kind == "video":
        found.append(sinks.Video(folder / "annotated.mp4", source.fps, keep_time=source.live))
    elif annotate and source.kind == "picture":
        found.append(sinks.Picture(folder / f"annotated{'.png' if source.path.suffix.lower() == '.png' else '.jpg'}"))
    elif annotate:
        found.append(sinks.Folder(folder / "pictures"))
    return found
