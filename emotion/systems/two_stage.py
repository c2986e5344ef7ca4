"""Two-stage system: a face finder finds faces, a classifier network names the emotion of each crop."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import numpy as np

from .classifier import Classifier
from .detections import Detections, checked_frames
from .face_finders import FaceFinder
from .stage_timer import StageTimer


class TwoStage:
    """`detect(frames)` with a face finder and a classifier; crops are square, as large as both of them say."""

    def __init__(self, finder: FaceFinder, classifier: Classifier):
        self.finder, self.classifier, self.names, self.name = finder, classifier, classifier.names, "two-stage"
        self.whole = finder.name == "whole"  # a crop already
        self.crop_scale, self.uncertain_below = (
            finder.box_scale * classifier.crop_scale,
            classifier.model.uncertain_below,
        )
        self.clock, self._turns = (
            StageTimer(),
            (threading.Lock(), threading.Lock()),
        )  # who waits for a stage spends no time in it
        self.settings = {
            "system": "two-stage",
            "face": finder.settings,
            "model": classifier.model.describe(),
            "backend": classifier.backend.name,
            "crop": "the whole picture"
            if self.whole
            else f"square, {self.crop_scale:g} x the longer side of the face's box",
        }

    def detect(self, frames: Sequence[np.ndarray]) -> list[Detections]:
        """BGR uint8 frames, each of its own size -> one Detections a frame, in its pixels."""
        return self._named(self._found(frames))

    @property
    def steps(self) -> tuple[Callable, ...]:
        """What `detect` does, in two: the second takes what the first gives."""
        return self._found, self._named

    def _found(self, frames: Sequence[np.ndarray]) -> tuple[list[np.ndarray], list]:
        frames = checked_frames(frames)
        with self._turns[0], self.clock("face"):
            return frames, [self.finder.find(frame) for frame in frames]

    def _named(self, pair: tuple[list[np.ndarray], list]) -> list[Detections]:
        frames, found = pair
        with self._turns[1], self.clock("classify"):
            crops = [
                frame if self.whole else crop(frame, box, self.crop_scale)
                for frame, (xyxy, _) in zip(frames, found)
                for box in xyxy
            ]
            scores = self.classifier.classify(crops)
        out, at = [], 0
        for xyxy, face in found:
            out.append(Detections(xyxy, scores[at : at + len(xyxy)], face))
            at += len(xyxy)
        return out


def crop(frame: np.ndarray, box: np.ndarray, factor: float) -> np.ndarray:
    """The square about the box's centre, its side `factor` x the longer side of the box.

    Where it reaches over the frame's edge the nearest pixels are repeated, so that the face keeps its
    proportions and its place.
    """
    import cv2

    x1, y1, x2, y2 = (float(value) for value in box)
    side = max(1, round(max(x2 - x1, y2 - y1) * factor))
    height, width = frame.shape[:2]
    left, top = min(round((x1 + x2 - side) / 2), width - 1), min(round((y1 + y2 - side) / 2), height - 1)
    inside = frame[max(top, 0) : min(top + side, height), max(left, 0) : min(left + side, width)]
    margins = max(-top, 0), max(top + side - height, 0), max(-left, 0), max(left + side - width, 0)
    return cv2.copyMakeBorder(inside, *margins, cv2.BORDER_REPLICATE) if any(margins) else inside
