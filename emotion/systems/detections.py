"""Detections: what every detector gives for a frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
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
    labels    (N,) int, the class that is shown, which a tracker lets go of only for a clearly better one; None: the
              best of `scores`
    uncertain (N,) bool, whether the shown class is too weak to be named without the next one; None: nobody has asked
    detected  False for a frame that nobody looked at, whose faces are where a tracker expects them
    """

    xyxy_px: np.ndarray
    scores: np.ndarray
    face: np.ndarray
    track_ids: np.ndarray | None = None
    frame_scores: np.ndarray | None = None
    labels: np.ndarray | None = None
    uncertain: np.ndarray | None = None
    detected: bool = True

    @classmethod
    def empty(cls, classes: int) -> Detections:
        return cls(np.zeros((0, 4), np.float32), np.zeros((0, classes), np.float32), np.zeros(0, np.float32))

    def __len__(self) -> int:
        return len(self.xyxy_px)

    def take(self, kept) -> Detections:
        """Those of a mask, or of indices in their order."""
        return replace(
            self,
            **{
                field.name: values[kept]
                for field in fields(self)
                if isinstance(values := getattr(self, field.name), np.ndarray)
            },
        )

    @property
    def class_scores(self) -> np.ndarray:
        """(N, C) face x scores, what Darknet calls a class's score and AP ranks by."""
        return self.face[:, None] * self.scores

    @property
    def class_ids(self) -> np.ndarray:
        """(N,) the class of each face: the one shown, else the best."""
        if self.labels is not None:
            return self.labels
        return self.scores.argmax(1) if len(self) else np.zeros(0, int)

    def rounded(self) -> Detections:
        """To a hundredth of a pixel and six digits of a score, as they are written: what is read back gives the
        same again.
        """
        arrays = {"xyxy_px": 2, "scores": 6, "face": 6, "frame_scores": 6}
        return replace(
            self,
            **{
                name: values.astype(float).round(digits).astype(np.float32)
                for name, digits in arrays.items()
                if (values := getattr(self, name)) is not None
            },
        )

    def doubted(self, below: float) -> Detections:
        """With `uncertain` where the class's score is less than `below`."""
        return replace(self, uncertain=self.scores[np.arange(len(self)), self.class_ids] < below)


class FaceSource(Protocol):
    """Where faces come from, as outputs describe it: a detector, or a file of results."""

    name: str
    names: tuple[str, ...]  # class names, in id order
    settings: dict  # what made the figures: thresholds, NMS, input size, model
    uncertain_below: float  # the score from which a class may be named alone

    clock: StageTimer  # seconds per stage so far


class Detector(FaceSource, Protocol):
    """Anything that finds faces and names their emotion. One may be shared by threads."""

    def detect(self, frames: Sequence[np.ndarray]) -> list[Detections]:
        """frames: BGR uint8 (H, W, 3), each of its own size -> one Detections a frame.

        MediaError for anything else, see `checked_frames`.
        """


def checked_frames(frames: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The frames as a list; MediaError names the first that is not a BGR uint8 array (H, W, 3) with pixels in it."""
    if isinstance(frames, np.ndarray) and frames.ndim < 4:
        raise MediaError(
            f"detect() was given one array of shape {frames.shape}, not a list of frames",
            mend="for one frame: detect([frame])",
        )
    frames = list(frames)
    for index, frame in enumerate(frames):
        if not isinstance(frame, np.ndarray):
            raise MediaError(
                f"frame {index} is a {type(frame).__name__}, not an array (H, W, 3) of uint8, BGR",
                mend="a file is read by emotion.sources",
            )
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or not frame.size:
            grey = frame.ndim == 2 or (frame.ndim == 3 and frame.shape[2] == 1)
            mend = (
                "cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR) makes one of a grey one"
                if grey and frame.size and frame.dtype == np.uint8
                else None
            )
            raise MediaError(
                f"frame {index} is an array {frame.shape} of {frame.dtype}; wanted: (H, W, 3) of uint8, BGR", mend=mend
            )
    return frames
