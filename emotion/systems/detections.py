"""Detections: what every detector gives for a frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Protocol

import numpy as np

from converters.errors import MediaError

from .stage_timer import StageTimer


@dataclass(frozen=True)
class Detections:
    """Faces of one frame, best first.

    xyxy_px   (N, 4) float32, in pixels of the source frame, clipped to it
    scores    (N, C) float32, how likely each class is, given that it is a face
    face      (N,) float32, how sure the detector is that this is a face
    track_ids (N,) int64, or None when nothing tracks
    frame_scores (N, C) float32, what `scores` were before a tracker smoothed them, or None
    """

    xyxy_px: np.ndarray
    scores: np.ndarray
    face: np.ndarray
    track_ids: np.ndarray | None = None
    frame_scores: np.ndarray | None = None

    @classmethod
    def empty(cls, classes: int) -> Detections:
        return cls(np.zeros((0, 4), np.float32), np.zeros((0, classes), np.float32), np.zeros(0, np.float32))

    def __len__(self) -> int:
        return len(self.xyxy_px)

    def take(self, kept) -> Detections:
        """Those of a mask, or of indices in their order."""
        return Detections(*(None if (values := getattr(self, field.name)) is None else values[kept] for field in fields(self)))

    @property
    def class_scores(self) -> np.ndarray:
        """(N, C) face x scores, what Darknet calls a class's score and AP ranks by."""
        return self.face[:, None] * self.scores

    @property
    def class_ids(self) -> np.ndarray:
        """(N,) the best class of each face."""
        return self.scores.argmax(1) if len(self) else np.zeros(0, int)


class Detector(Protocol):
    """Anything that finds faces and names their emotion. One may be shared by threads."""

    name: str
    names: tuple[str, ...]  # class names, in id order
    settings: dict  # what made the figures: thresholds, NMS, input size, model

    clock: StageTimer  # seconds per stage so far

    def detect(self, frames: Sequence[np.ndarray]) -> list[Detections]:
        """frames: BGR uint8 (H, W, 3), each of its own size -> one Detections a frame.

        MediaError for anything else, see `checked_frames`.
        """


def checked_frames(frames: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The frames as a list; MediaError names the first that is no BGR uint8 array (H, W, 3) with pixels in it."""
    if isinstance(frames, np.ndarray) and frames.ndim < 4:
        raise MediaError(f"detect() was given one array of shape {frames.shape}, not a list of frames", mend="for one frame: detect([frame])")
    frames = list(frames)
    for index, frame in enumerate(frames):
        if not isinstance(frame, np.ndarray):
            raise MediaError(f"frame {index} is a {type(frame).__name__}, not an array (H, W, 3) of uint8, BGR", mend="a file is read by emotion.sources")
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or not frame.size:
            grey = frame.ndim == 2 or (frame.ndim == 3 and frame.shape[2] == 1)
            mend = "cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR) makes one of a grey one" if grey and frame.size and frame.dtype == np.uint8 else None
            raise MediaError(f"frame {index} is an array {frame.shape} of {frame.dtype}; wanted: (H, W, 3) of uint8, BGR", mend=mend)
    return frames
