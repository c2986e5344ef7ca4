"""A source through a detector into files: what `emo detect` does.

    summary = run("video.mp4", open_system("yolo"), out="detect-out/video")

Decoding, detecting, and drawing with writing overlap: a thread decodes, one does each of a detector's steps, one draws
and writes; a few frames are held, however long the source is. A live source is taken one frame at a time, the newest.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, cast

from converters.errors import MediaError, UsageError, nearest
from converters.output_folder import free, in_place, short

from .output import exports, h264, sinks
from .output.draw import draw
from .output.summary import Answers
from .overlap import ahead, batches, each, mapped
from .sources.frame import Frame
from .sources.open import Source, open_source
from .sources.window import Window
from .systems.detections import Detections, Detector, FaceSource
from .systems.models import UNCERTAIN
from .systems.stage_timer import StageTimer
from .systems.tracking import Tracker
from .version import __version__

OUTPUTS = ("media", "jsonl", "csv", "summary", "crops", "labels", "coco", "parquet")
USUAL = OUTPUTS[:4]


@dataclass(frozen=True)
class Summary:
    """What a run did. `stages` are milliseconds a frame, and overlap; `unreadable` are pictures that were left out,
    `passed_over` a folder's files that are not pictures, by suffix, `missed` frames of a live source that came while
    the one before was at work; `tracks` is None when nothing was tracked."""

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


def stream(
    frames: Iterable[Frame], detector: Detector, live: bool = False, every: int = 1
) -> Generator[tuple[Frame, Detections | None]]:
    """Frames -> (frame, its detections), in order; with `every` N only every Nth frame is looked at, and None given for
    the others.

    Decodes ahead, and each of the detector's steps has a thread, which keeps its network's weights in one core's cache;
    with `live` one frame at a time. When the source fails, what came before is given first, then the error.
    """
    size = 1 if live else getattr(detector, "batch", 1)

    def begun(batch: list[tuple[int, Frame]]) -> tuple:
        return batch, [frame.bgr for position, frame in batch if position % every == 0]

    def ended(item: tuple) -> list[tuple[Frame, Detections | None]]:
        batch, found = item[0], iter(item[1])
        return [(frame, None if position % every else next(found)) for position, frame in batch]

    detected: Any  # to be closed, however it is made
    if live:
        detected = mapped(
            lambda batch: ended(_step(detector.detect, begun(batch))), batches(enumerate(frames), 1), 1, 1
        )
    else:
        number = count()
        items = each(begun, batches(each(lambda frame: (next(number), frame), ahead(frames, size)), size))
        for step in _steps(detector):
            items = ahead(each(partial(_step, step), items), 1)
        detected = each(ended, items)
    with closing(detected):
        for batch in detected:
            while batch:
                yield batch.pop(0)


def _steps(detector: Detector) -> tuple[Callable, ...]:
    """The detector's `steps`; `detect` alone of one that has none, or of a subclass with a `detect` of its own."""
    for kind in type(detector).__mro__:
        if "steps" in vars(kind):
            return detector.steps  # type: ignore[attr-defined]
        if "detect" in vars(kind):
            break
    return (detector.detect,)


def _step(step: Callable, item: tuple) -> tuple:
    batch, work = item
    return batch, step(work) if work else work


def run(
    source: str | Path | Source | Window,
    detector: FaceSource,
    out: str | Path | None = None,
    *,
    limit: int | None = None,
    force: bool = False,
    outputs: Collection[str] = USUAL,
    tracker: Tracker | None = None,
    uncertain: float | None = None,
    detect_every: int = 1,
    bars: bool = False,
    skipped: Callable[[MediaError], None] | None = None,
    progress: Callable[[int, int | None, bool], None] | None = None,
    through: Callable[[Iterator[Frame]], Iterator[tuple[Frame, Detections]]] | None = None,
) -> Summary:
    """Detect in `source`, a path or an opened source, and write `outputs` to `out`.

    out       default `detect-out/<stem of the source>`, or with -2, -3 ... when that is taken
    outputs   of OUTPUTS: media (annotated.jpg, pictures/ or annotated.mp4), jsonl, csv (and tracks.csv), summary (of a
              video), ...
    tracker   follow faces through a video, see `tracking`; `detector` should give faces from `tracker.low` on
    uncertain  score below which a face's emotion is uncertain; default: as the model's card says
    detect_every  look at every Nth frame of a video; between them faces are where the tracker expects them
    bars      draw the scores of all classes beside each face
    skipped   told of every unreadable picture of a folder or list; without it the first one is an error
    progress  called with (frames done, frames expected or None, whether that is an estimate)
    through   what finds the faces of the frames, instead of `stream` with the detector, which then need not be one
    Raises UsageError for an output that is not empty, MediaError for a source that cannot be read to its end;
    then what was written keeps its `.part` name.
    """
    for name in outputs:
        if name not in OUTPUTS:
            raise UsageError(f"no output '{name}'", mend=nearest(name, OUTPUTS))
    opened = open_source(source, limit) if isinstance(source, (str, Path)) else source
    if tracker and opened.kind != "video":
        raise UsageError("pictures are not a video in which faces could be tracked", where=opened.path)
    if detect_every > 1 and not tracker:
        raise UsageError(
            "frames can be left out only in a video with tracked faces",
            where=getattr(opened, "name", opened.path),
            mend="leave --detect-every out",
        )
    below = getattr(detector, "uncertain_below", UNCERTAIN) if uncertain is None else uncertain
    unreadable: list[MediaError] = []
    if opened.kind in ("folder", "list") and skipped:
        hear = skipped

        def skip(error: MediaError) -> None:
            unreadable.append(error)
            hear(error)

        pictures: Any = getattr(opened, "source", opened)
        pictures.skip = skip
    clock, counts, frames, without, start = StageTimer(), dict.fromkeys(detector.names, 0), 0, 0, time.perf_counter()
    target = in_place(Path(out) if out else free(default_out(opened.path), force), force, sinks.FILES, [opened.path])
    with target as folder, sinks.Sinks(folder, sinks_for(opened, detector, folder, outputs, tracker, below)) as writing:
        numbers: set[int] = set()

        def tracked() -> Iterator[tuple[Frame, Detections]]:
            decoded = clock.timed("decode", opened)
            detected: Any = (  # to be closed, however it is made
                through(decoded) if through else stream(decoded, cast(Detector, detector), opened.live, detect_every)
            )
            with closing(detected):
                for frame, found in detected:
                    if tracker:
                        with clock("track"):
                            found = (
                                tracker.coast(frame.time_s, frame.bgr)
                                if found is None
                                else tracker.update(found, frame.time_s, frame.bgr)
                            )
                    yield frame, found.rounded().doubted(below)

        def write(pair: tuple[Frame, Detections]) -> Detections:
            frame, found = pair
            with clock("draw"):
                drawn = draw(frame.bgr, found, detector.names, bars) if writing.needs_drawing else None
            with clock("write"):
                writing.write(frame, found, drawn)
            return found

        with closing(mapped(write, tracked(), 1, held=1 if opened.live else 2)) as written:
            for found in written:
                frames, without = frames + 1, without + (len(found) == 0)
                numbers.update(() if tracker or found.track_ids is None else found.track_ids.tolist())
                for class_id in found.class_ids:
                    counts[detector.names[class_id]] += 1
                if progress:
                    progress(frames, opened.count, not opened.exact)
        if not frames:
            raise MediaError(
                "none of its pictures can be read"
                if opened.kind != "video"
                else "has no frame in the part that was asked for",
                where=opened.path,
            )
    seconds = time.perf_counter() - start
    own = clock.take()
    stages = (
        {"decode": own["decode"]}
        | detector.clock.take()
        | {stage: own[stage] for stage in ("track", "draw", "write") if stage in own}
    )
    return Summary(
        source=getattr(opened, "name", str(opened.path)),
        system=detector.name,
        frames=frames,
        faces=sum(counts.values()),
        frames_without_face=without,
        emotions=counts,
        unreadable=len(unreadable),
        passed_over=dict(getattr(opened, "passed_over", {})),
        missed=getattr(opened, "missed", 0),
        tracks=tracker.count if tracker else len(numbers) or None,
        seconds=round(seconds, 3),
        frames_per_s=round(frames / seconds, 2),
        stages={stage: round(1000 * spent / frames, 2) for stage, spent in stages.items()},
        files=tuple(map(str, writing.files)),
    )


def default_out(source: Path) -> Path:
    # A link keeps the name that was typed.
    return Path("detect-out") / short(Path(os.path.abspath(source)).stem or "root")


def annotated_video(path: Path, source: Any) -> sinks.Video | h264.H264:
    """Of a Video, Live or a Window of one: H.264 with a file's sound where PyAV is installed, else OpenCV's mp4v."""
    if h264.available():
        return h264.H264(path, source.fps, source.path if source.path.is_file() else None)
    return sinks.Video(path, source.fps, keep_time=source.live)


def sinks_for(
    source: Source | Window,
    detector: FaceSource,
    folder: Path,
    outputs: Collection[str],
    tracker: Tracker | None,
    below: float,
) -> list:
    """What writes `outputs` of such a source."""
    header = {
        "program": "emo",
        "version": __version__,
        "source": getattr(source, "name", str(source.path)),
        "kind": source.kind,
        "names": list(detector.names),
        "settings": detector.settings
        | {"uncertain_below": below}
        | ({"tracking": tracker.settings} if tracker else {}),
    }
    if source.fps:
        header["fps"] = source.fps
    names, video = detector.names, source.kind == "video"
    tracked = bool(tracker) or getattr(detector, "tracked", False)  # results may bring their tracks' numbers
    picture = "annotated.png" if source.path.suffix.lower() == ".png" else "annotated.jpg"
    makers: dict[str, Callable[[], list]] = {  # parquet first: it may not be installed, and then nothing is begun
        "parquet": lambda: [exports.Parquet(folder / "detections.parquet", names, tracked)],
        "jsonl": lambda: [sinks.Jsonl(folder / "detections.jsonl", header)],
        "csv": lambda: [
            sinks.Csv(folder / "detections.csv", names, tracked),
            *([sinks.Tracks(folder / "tracks.csv", names)] if tracked else []),
        ],
        "coco": lambda: [exports.Coco(folder / "coco.json", names)],
        "labels": lambda: [exports.Labels(folder / "labels", names)],
        "crops": lambda: [exports.Crops(folder / "crops", names)],
        "media": lambda: [
            annotated_video(folder / "annotated.mp4", source)
            if video
            else sinks.Picture(folder / picture)
            if source.kind == "picture"
            else sinks.Folder(folder / "pictures")
        ],
        "summary": lambda: (
            [
                Answers(
                    folder,
                    names,
                    {key: header[key] for key in ("program", "version", "source", "names", "fps")},
                    source.fps or 0.0,
                    getattr(source, "end_s", None),
                )
            ]
            if video
            else []
        ),
    }
    return [sink for name, make in makers.items() if name in outputs for sink in make()]
