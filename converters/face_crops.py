"""Face crops: a picture and its boxes in, crops of one size out, enlarged, aligned or grey as asked.

A crop is the box (times `enlarge`, clipped to the picture) scaled to `size_wh`. Big pictures with big
faces are decoded at half, a quarter or an eighth of their size, which a JPEG decoder does for a
fraction of the time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from . import boxes
from .images import decode


@dataclass(frozen=True)
class Look:
    """What a crop looks like: size (width, height), grey or BGR, factor about the box, eyes level or not."""

    size_wh: tuple[int, int]
    grey: bool
    enlarge: float = 1.0
    align: bool = False


def from_pixels(pixels: np.ndarray, xyxy_px: np.ndarray, look: Look, landmarks=None) -> np.ndarray:
    """One crop, uint8 (H, W) or (H, W, 3), of uint8 pixels (h, w) or (h, w, 3). The box may reach over the edge.

    With `look.align` and landmarks (68 of iBUG's scheme, or 5 that begin with the eyes) the picture is
    turned about the box's centre until the eyes are level; pixels beyond the edge repeat it.
    """
    import cv2

    if look.grey and pixels.ndim == 3:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)
    elif not look.grey and pixels.ndim == 2:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR)
    height, width = pixels.shape[:2]
    box = boxes.enlarge(xyxy_px, look.enlarge, (width, height))
    turn = eye_angle(landmarks) if look.align and landmarks is not None else 0.0
    if turn:
        (x1, y1, x2, y2), centre = box, ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
        matrix = cv2.getRotationMatrix2D(centre, turn, 1.0)
        matrix[:, 2] -= np.floor([x1, y1])
        size = max(1, math.ceil(x2 - x1)), max(1, math.ceil(y2 - y1))
        part = cv2.warpAffine(pixels, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    else:
        x1, y1 = np.minimum(np.floor(box[:2] + 0.5), [width - 1, height - 1]).astype(int)
        x2, y2 = np.maximum(np.floor(box[2:] + 0.5), [x1 + 1, y1 + 1]).astype(int)
        part = pixels[y1:y2, x1:x2]
    if part.shape[1::-1] == look.size_wh:
        return np.ascontiguousarray(part)
    shrinks = part.shape[1] >= look.size_wh[0] and part.shape[0] >= look.size_wh[1]
    return cv2.resize(part, look.size_wh, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def eye_angle(landmarks) -> float:
    """Degrees by which the line through the eyes falls to the right; 0 when the landmarks are of no known scheme."""
    points = np.asarray(landmarks, float)
    if len(points) == 68:  # iBUG 300-W: 36..41 and 42..47 are the eyes' outlines
        left, right = points[36:42].mean(axis=0), points[42:48].mean(axis=0)
    elif len(points) == 5:
        left, right = points[0], points[1]
    else:
        return 0.0
    return math.degrees(math.atan2(right[1] - left[1], right[0] - left[0]))


def of_file(path: str, size_wh: tuple[int, int], xyxy_px: np.ndarray, look: Look, landmarks: list | None = None) -> list[np.ndarray]:
    """The crops of all boxes (K, 4) of a picture file whose stored size is `size_wh`. MediaError when it cannot be decoded."""
    factor = 1
    if len(xyxy_px):
        sides = boxes.enlarge(xyxy_px, look.enlarge, size_wh)
        least = ((sides[:, 2:] - sides[:, :2]) / np.asarray(look.size_wh)).min()
        factor = 8 if least >= 8 else 4 if least >= 4 else 2 if least >= 2 else 1
    pixels = decode(path, grey=look.grey, reduced=factor)
    scale = np.array(pixels.shape[1::-1], float) / size_wh  # a reduced picture's size is rounded up
    scaled = np.asarray(xyxy_px, float) * np.concatenate([scale, scale])
    points = landmarks or [None] * len(scaled)
    return [from_pixels(pixels, box, look, None if at is None else at * scale) for box, at in zip(scaled, points)]
