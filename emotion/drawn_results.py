"""Found faces, of emo or another tool, back onto their source: what `emo draw` does.

run("fer.csv", "talk.mp4", out="drawn", outputs=("media", "summary"), track=True)
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from .run_detection import Summary, run as detect
from .sources.frame import Frame
from .sources.open import open_source
from .sources.results import Results, base, read
from .systems.detections import Detections
from .systems.stage_timer import StageTimer
from .systems.tracking import Tracker


class _Read:
    """What the outputs' header says of faces that somebody else found: names and settings; it finds none itself."""

    name = "results"

    def __init__(self, results: Results, path: Path, conf: float):
        self.names, self.uncertain_below, self.clock = results.names, results.uncertain_below, StageTimer()
        self.tracked = results.tracked
        self.settings = {"system": "results", "file": path.name, "conf": conf}


def run(
    results: str | Path,
    source: str | Path,
    out: str | Path | None = None,
    *,
    outputs: Collection[str] = ("media",),
    track: bool = False,
    smooth_s: float = 0.5,
    conf: float = 0.0,
    limit: int | None = None,
    force: bool = False,
    progress: Callable[[int, int | None, bool], None] | None = None,
    note: Callable[[str], None] | None = None,
) -> Summary:
    """As `run_detection.run`, with the faces that `results` holds, in a form that `sources.results` reads.

    note  told of faces whose frame or picture the whole source does not have
    """
    path, _, coco = str(results).partition("+")
    found, opened = read(path, coco or None), open_source(source, limit)
    name = base(str(source))
    tracker = Tracker(conf, smooth_s) if track and opened.kind == "video" else None

    drawn: list[int] = []

    def through(frames: Iterator[Frame]) -> Iterator[tuple[Frame, Detections]]:
        for frame in frames:
            faces = found.of(frame, name)
            drawn.append(len(faces))
            height, width = frame.bgr.shape[:2]
            inside = np.clip(faces.xyxy_px, 0, (width, height, width, height)).astype(np.float32)
            faces = replace(faces, xyxy_px=inside)
            yield (
                frame,
                faces.take(
                    (faces.face >= (tracker.low if tracker else conf))
                    & (faces.xyxy_px[:, 2:] > faces.xyxy_px[:, :2]).all(1)
                ),
            )

    summary = detect(
        opened,
        _Read(found, Path(path), conf),
        out,
        outputs=outputs,
        tracker=tracker,
        force=force,
        progress=progress,
        through=through,
    )
    lost = found.count(name) - sum(drawn)
    if note and lost > 0 and limit is None:
        note(f"{path}: {lost} of {found.count(name)} faces are of frames or pictures that {source} does not have")
    return summary
