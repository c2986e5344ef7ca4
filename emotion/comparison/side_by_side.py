"""A video of the systems side by side, as browsers play it: WebM with VP8, which every OpenCV wheel can write."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from converters.output_folder import finish, part
from converters.terminal_text import drawable

from ..output.draw import draw
from ..sources.frame import Frame
from ..systems.backends import name_for_opencv
from ..systems.detections import Detections

FILE = "side-by-side.webm"
TALL, BAR = 360, 26  # pixels of a frame's height, and of the names above it
LONGEST_S = 60.0  # of the clip; what comes later is not in it


class SideBySide:
    """`write` every frame; frames of pictures, which have no time, are passed over."""

    def __init__(self, folder: Path, contestants: Sequence[Any]):
        self.path, self.contestants = folder / FILE, contestants
        self.writer: Any = None
        self.name: str | None = None
        self.size = 0, 0
        self.times: list[float] = []
        self.held: list[np.ndarray] = []

    def write(self, frame: Frame, found: Sequence[Detections]) -> None:
        if frame.time_s is None or (self.times and (frame.name != self.name or frame.time_s > LONGEST_S)):
            return
        self.name = frame.name
        picture = self._picture(frame, found)
        self.times.append(frame.time_s)
        if self.writer is None:  # the rate is known from the second frame on
            self.held.append(picture)
            if len(self.held) == 2:
                self._open(1 / max(self.times[1] - self.times[0], 1e-3))
            return
        self._put(picture)

    def _picture(self, frame, found):
        import cv2

        height, width = frame.bgr.shape[:2]
        wide = max(2, round(width * TALL / height / 2) * 2)
        base, parts = (
            cv2.resize(frame.bgr, (wide, TALL), interpolation=cv2.INTER_AREA if height > TALL else cv2.INTER_LINEAR),
            [],
        )
        for contestant, faces in zip(self.contestants, found):
            scaled = Detections(
                faces.xyxy_px * np.array([wide / width, TALL / height] * 2, np.float32), faces.scores, faces.face
            )
            panel = np.full((TALL + BAR, wide, 3), 30, np.uint8)
            panel[BAR:] = draw(base, scaled, contestant.detector.names)
            cv2.putText(
                panel,
                drawable(contestant.label),
                (8, BAR - 8),
                cv2.FONT_HERSHEY_SIMPLEX,
                0.5,
                (235, 235, 235),
                1,
                cv2.LINE_AA,
            )
            parts.append(panel)
        return np.hstack(parts)

    def _open(self, fps: float):
        import cv2

        height, width = self.held[0].shape[:2]
        self.size = width, height
        with quiet_stderr():  # OpenCV says there that WebM needs no such tag
            self.writer = cv2.VideoWriter(
                name_for_opencv(part(self.path)),
                cv2.CAP_FFMPEG,
                cv2.VideoWriter.fourcc(*"VP80"),
                min(max(fps, 1.0), 60.0),
                self.size,
            )
        for picture in self.held:
            self._put(picture)
        self.held = []

    def _put(self, picture):
        if self.writer.isOpened() and picture.shape[1::-1] == self.size:
            self.writer.write(picture)

    def close(self) -> Path | None:
        """The clip, where there was a video of two frames or more and this OpenCV can write one."""
        if self.writer is None:
            return None
        self.writer.release()
        if not part(self.path).is_file() or not part(self.path).stat().st_size:
            part(self.path).unlink(missing_ok=True)
            return None
        finish(self.path.parent, self.path)
        return self.path


@contextmanager
def quiet_stderr() -> Iterator[None]:
    """What libraries write to the process's stderr meanwhile goes nowhere."""
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


class Nothing:
    """Stands where no clip is wanted."""

    def write(self, frame, found) -> None:
        pass

    def close(self) -> None:
        pass


@contextmanager
def writer(folder: Path | None, contestants: Sequence[Any]) -> Iterator[SideBySide | Nothing]:
    """A writer into `folder`, or one that does nothing; what an error leaves is taken away."""
    clip = SideBySide(folder, contestants) if folder else Nothing()
    try:
        yield clip
    except BaseException:
        if isinstance(clip, SideBySide):
            if clip.writer is not None:
                clip.writer.release()
            part(clip.path).unlink(missing_ok=True)
        raise
