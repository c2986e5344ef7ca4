"""Detection in many sources, one after the other, in processes or on a Dask cluster; and in one folder's pictures.

    for order, summary in carry_out([Order("a.mp4", out="o/a", settings=Settings()), ...], jobs=4): ...

What is written is the same to the byte however the work is shared, and when a broken run over a folder is gone on with.
"""

from __future__ import annotations

import glob
import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, fields
from functools import lru_cache
from pathlib import Path

import numpy as np

from converters.errors import DataError, EmoError, MediaError, UsageError
from converters.output_folder import free, part
from converters.parallel import chunked_map

from .run_detection import USUAL, Summary, default_out, run, stream
from .sources.frame import Frame
from .sources.live import is_live
from .sources.open import open_source
from .sources.pictures import Pictures
from .sources.window import Window
from .systems.backends import set_threads
from .systems.detections import Detections, Detector
from .systems.open import SystemSettings, open_system
from .systems.tracking import Tracker

CHUNK = 16  # pictures that a process is given at a time


@dataclass(frozen=True)
class Settings(SystemSettings):
    """How to detect: a system, and what `Tracker` and `Window` take. `raw` tracks nothing."""

    system: str = "yolo"
    threads: int | None = None
    raw: bool = False
    smooth_s: float = 0.5
    uncertain: float | None = None
    detect_every: int = 1
    bars: bool = False  # drawn beside each face: the scores of all classes
    start_s: float = 0.0
    end_s: float | None = None
    stride: int = 1
    max_fps: float | None = None
    limit: int | None = None

    def detector(self, tracked: bool) -> Detector:
        """Opened once a process for tracked sources and once for others."""
        conf = Tracker(self.conf, self.smooth_s).low if tracked else self.conf
        own = {item.name: getattr(self, item.name) for item in fields(SystemSettings)} | {"conf": conf}
        return _detector(self.system, SystemSettings(**own), self.threads)


@lru_cache(maxsize=2)
def _detector(system: str, settings: SystemSettings, threads: int | None) -> Detector:
    set_threads(threads)
    return open_system(system, settings)


@dataclass(frozen=True)
class Order:
    """One source and where its outputs go."""

    source: str
    out: Path
    settings: Settings = field(default_factory=Settings)
    outputs: tuple[str, ...] = USUAL
    force: bool = False
    strict: bool = False
    resume: bool = False

    @property
    def done(self) -> bool:
        """Whether an earlier run of it ended well."""
        return any((self.out / name).exists() for name in ("detections.jsonl", "detections.csv"))


def expand(given: Iterable[str], lines: Iterable[str] = ()) -> list[str]:
    """Sources as typed -> sources: patterns become what they match, sorted; `-` becomes `lines`, a source a line."""
    found: list[str] = []
    for name in given:
        if name == "-":
            found += [line for line in (line.rstrip("\r\n") for line in lines) if line]
        elif not is_live(name) and not os.path.lexists(name) and any(char in name for char in "*?["):
            matches = sorted(glob.glob(name, recursive=True))
            if not matches:
                raise MediaError("no file matches", where=name)
            found += matches
        else:
            found.append(name)
    if not found:
        raise UsageError("no source was given", mend="name a picture, folder, list, video, camera or stream")
    return found


def orders(
    sources: list[str], out: str | None, *, force: bool = False, resume: bool = False, **settings
) -> list[Order]:
    """An order a source: into `out` itself when there is one, else into a folder each, named after the source, below
    it.

    Where no `out` is named, or several sources share one, a name that is taken gets -2, -3 ...
    """
    made: list[Order] = []
    for source in sources:
        default = Path(out) / _named(source).name if out and len(sources) > 1 else Path(out or _named(source))
        if len(sources) > 1 or not out:
            default = free(default, force or resume or bool(out), [order.out for order in made])
        made.append(Order(source, default, force=force, resume=resume, **settings))
    return made


def _named(source: str) -> Path:
    if is_live(source):
        from .sources.live import Live

        return default_out(Live.path_of(source))
    return default_out(Path(source))


def carry_out(
    todo: list[Order],
    jobs: int = 1,
    cluster: str | None = None,
    progress: Callable[[int, int | None, bool], None] | None = None,
    skipped: Callable[[EmoError], None] | None = None,
) -> Iterator[tuple[Order, Summary | EmoError | None]]:
    """Each order with its summary, an error that the source had, or None when `resume` found it done; in order."""
    alone = len(todo) == 1
    if not alone and (jobs > 1 or cluster):
        with closing(
            chunked_map(_alone, todo, jobs, cluster)
        ) as summaries:  # not left to the garbage collector, which hears no Ctrl-C
            yield from zip(todo, summaries)
        return
    for order in todo:
        yield order, _one(order, jobs, cluster, progress, skipped)


def _alone(order: Order) -> Summary | EmoError | None:
    return _one(order)


def _one(order, jobs=1, cluster=None, progress=None, skipped=None) -> Summary | EmoError | None:
    if order.resume and order.done and not list(order.out.glob("*.part.*")):
        return None
    settings = order.settings
    try:
        opened = open_source(order.source)
        tracked = opened.kind == "video" and not settings.raw
        detector = settings.detector(tracked)
        source = Window(opened, settings.start_s, settings.end_s, settings.stride, settings.max_fps, settings.limit)
        through = None
        if isinstance(opened, Pictures) and opened.kind != "picture":
            before = records(order.out, detector) if order.resume else {}
            if before or jobs > 1 or cluster:
                through = _Shared(opened, source, settings, before, jobs, cluster)
        return run(
            source,
            detector,
            order.out,
            force=order.force or order.resume,
            outputs=order.outputs,
            uncertain=settings.uncertain,
            tracker=Tracker(settings.conf, settings.smooth_s) if tracked else None,
            detect_every=settings.detect_every if tracked else 1,
            bars=settings.bars,
            skipped=None if order.strict else skipped or (lambda error: None),
            progress=progress,
            through=through,
        )
    except EmoError as error:
        return error


def records(out: Path, detector: Detector) -> dict[str, Detections]:
    """What a broken run over a folder had found: picture -> detections. Its last one may be half written and is left
    out.

    DataError when that run had other settings.
    """
    path = part(out / "detections.jsonl")
    if not path.is_file():
        return {}
    try:
        return _records(path, detector)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        raise DataError(
            "is not the record of a run that can be resumed", where=path, mend="--force starts again"
        ) from None


def _records(path: Path, detector: Detector) -> dict[str, Detections]:
    lines = path.read_text(encoding="utf-8", errors="surrogateescape").splitlines()[:-1]
    found = {}
    for number, line in enumerate(lines):
        record = json.loads(line)
        if number == 0:
            settings = {key: value for key, value in record["settings"].items() if key != "uncertain_below"}
            if settings != json.loads(json.dumps(detector.settings)):
                raise DataError("was started with other settings", where=path, mend="--force starts again")
        elif "picture" in record:
            faces = record["faces"]
            arrays = ([face[key] for face in faces] for key in ("xyxy_px", "scores", "face"))
            xyxy, scores, face = (np.array(values, np.float32) for values in arrays)
            classes = len(detector.names)
            found[record["picture"]] = Detections(xyxy.reshape(-1, 4), scores.reshape(-1, classes), face)
    return found


class _Shared:
    """A folder's pictures -> (frame, detections), found by processes or a cluster, or by a broken run before; in
    order.
    """

    def __init__(
        self,
        opened: Pictures,
        source: Window,
        settings: Settings,
        before: dict[str, Detections],
        jobs: int,
        cluster: str | None,
    ):
        self.opened, self.source, self.settings, self.before, self.jobs, self.cluster = (
            opened,
            source,
            settings,
            before,
            jobs,
            cluster,
        )

    def __call__(self, frames: Iterator[Frame]) -> Iterator[tuple[Frame, Detections]]:
        wanted = range(0, len(self.opened.files), self.settings.stride)
        files = [self.opened.files[index] for index in wanted if self.opened.files[index][0] not in self.before]
        with ExitStack() as ended:
            results = None
            if self.jobs > 1 or self.cluster:
                chunks = [(self.settings, files[start : start + CHUNK]) for start in range(0, len(files), CHUNK)]
                done = ended.enter_context(closing(chunked_map(_detect_files, chunks, self.jobs, self.cluster)))
                results = (pair for chunk in done for pair in chunk)
            detector = self.settings.detector(False)
            for frame in frames:
                if frame.name in self.before:
                    yield frame, self.before[frame.name]
                elif results is None:
                    yield frame, detector.detect([frame.bgr])[0]
                else:
                    yield frame, next(found for name, found in results if name == frame.name)


def _detect_files(chunk) -> list[tuple[str, Detections]]:
    """In a process: the pictures that can be read, and what is found in them."""
    settings, files = chunk
    pictures = Pictures(Path("."), files, "list")
    pictures.skip = lambda error: None  # who reads them again to draw tells of it
    found = stream(pictures, settings.detector(False))
    return [(str(frame.name), faces) for frame, faces in found if faces is not None]
