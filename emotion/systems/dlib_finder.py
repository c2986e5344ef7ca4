"""dlib's frontal-face detector (histograms of gradients) and its 68 landmarks, when the extra is there.

open_finder("dlib"), open_finder("shape_predictor_68_face_landmarks.dat")
"""

from __future__ import annotations

import math
import threading
from pathlib import Path

import numpy as np

from converters.errors import MediaError, MissingExtra

from .found_boxes import BOX_SCALE, tidy

SOFT = 0.3  # a face's score is s / (s + SOFT), s being how far it lies beyond dlib's own threshold
POINTS = 68  # of a shape predictor, as iBUG numbers them
SMALLEST = 80  # pixels of a face that it finds; a frame is enlarged once when the faces asked for are smaller


class Dlib:
    """A face finder; with a shape predictor's file `find_landmarks` gives iBUG's 68 points too."""

    name, box_scale = "dlib", BOX_SCALE["dlib"]

    def __init__(self, conf: float = 0.25, path: Path | None = None):
        try:
            import dlib
        except ImportError:
            raise MissingExtra("dlib-bin", "dlib", "the face model dlib") from None
        self.detector, self.predictor, self._turn = dlib.get_frontal_face_detector(), None, threading.Lock()
        if path is not None:
            if not path.is_file():
                raise MediaError("no such face model", where=path)
            try:
                self.predictor = dlib.shape_predictor(str(path))
                blank, whole = np.zeros((SMALLEST, SMALLEST, 3), np.uint8), dlib.rectangle(0, 0, SMALLEST, SMALLEST)
                points = self.predictor(blank, whole).num_parts
            except RuntimeError:
                points = 0
            if points != POINTS:  # dlib's file of 5 begins with the corners of one eye
                raise MediaError(
                    f"has {points} landmarks" if points else "is not a shape predictor that dlib can load",
                    where=path,
                    mend=f"give the one with {POINTS}, shape_predictor_68_face_landmarks.dat",
                )
        self.file = path
        self.least = SOFT * conf / (1 - conf) if conf < 1 else math.inf
        self.settings = {
            "finder": "dlib",
            "file": path.name if path else None,
            "conf": conf,
            "landmarks": POINTS if path else 0,
            "smallest_face": f"{SMALLEST} pixels",
        }

    def find(self, frame: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self.find_landmarks(frame)[:2]

    def find_landmarks(self, frame: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        import cv2

        rgb = cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
        with self._turn:
            found, scores, _ = self.detector.run(rgb, 1 if min(frame.shape[:2]) < 4 * SMALLEST else 0, 0.0)
            kept = [(rect, score) for rect, score in zip(found, scores) if score >= self.least]
            shapes = None
            if self.predictor:
                shapes = np.zeros((len(kept), POINTS, 2), np.float32)
                for shape, (rect, _) in zip(shapes, kept):
                    shape[:] = [(part.x, part.y) for part in self.predictor(rgb, rect).parts()]
        xyxy = np.array(
            [(rect.left(), rect.top(), rect.right() + 1, rect.bottom() + 1) for rect, _ in kept], float
        ).reshape(-1, 4)
        score = np.array([score / (score + SOFT) for _, score in kept], np.float32)
        return tidy(xyxy, score, frame, shapes)
