"""Face crops: a picture and its boxes in, crops of one size out, enlarged, aligned or grey as asked.

A crop is the box (times `enlarge`, clipped to the picture) scaled to `size_wh`. Big pictures with big faces are decoded
at half, a quarter or an eighth of their size, which a JPEG decoder does for a fraction of the time; the box keeps its
place to a fraction of such a pixel.
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
    return _crop(_coloured(pixels, look), 1, pixels.shape[1::-1], xyxy_px, look, landmarks)


def of_file(
    path: str, size_wh: tuple[int, int], xyxy_px: np.ndarray, look: Look, landmarks: list | None = None
) -> list[np.ndarray]:
    """The crops of all boxes (K, 4) of a picture file whose stored size is `size_wh`.

    MediaError when it cannot be decoded.
    """
    factor = 1
    if len(xyxy_px):
        sides = boxes.enlarge(xyxy_px, look.enlarge, size_wh)
        least = ((sides[:, 2:] - sides[:, :2]) / np.asarray(look.size_wh)).min()
        factor = 8 if least >= 8 else 4 if least >= 4 else 2 if least >= 2 else 1
    pixels = decode(path, grey=look.grey, reduced=factor)
    if pixels.shape[1::-1] == tuple(size_wh):  # not every format can be decoded smaller
        factor = 1
    points = landmarks or [None] * len(xyxy_px)
    return [
        _crop(_coloured(pixels, look), factor, size_wh, box, look, at)
        for box, at in zip(np.asarray(xyxy_px, float), points)
    ]


def to_crop(points, xyxy_px: np.ndarray, picture_wh: tuple[int, int], look: Look, landmarks=None) -> np.ndarray:
    """Where points (K, 2) of the picture lie in its crop, in the crop's pixels; `landmarks` are what it was aligned
    by.
    """
    box, turn = _place(xyxy_px, picture_wh, look, landmarks)
    return np.asarray(points, float) @ (matrix := _matrix(box, turn, look.size_wh))[:, :2].T + matrix[:, 2]


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


def _coloured(pixels: np.ndarray, look: Look) -> np.ndarray:
    import cv2

    if look.grey and pixels.ndim == 3:
        return cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)
    return cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR) if not look.grey and pixels.ndim == 2 else pixels


def _place(xyxy_px, picture_wh, look: Look, landmarks) -> tuple[np.ndarray, float]:
    """The box that is cut out (4,) and the angle by which the picture is turned about its centre; a box of whole
    pixels when not turned.
    """
    width, height = picture_wh
    box = boxes.enlarge(xyxy_px, look.enlarge, picture_wh)
    turn = eye_angle(landmarks) if look.align and landmarks is not None else 0.0
    if not turn:
        low = np.minimum(np.floor(box[:2] + 0.5), [width - 1, height - 1])
        box = np.concatenate([low, np.maximum(np.floor(box[2:] + 0.5), low + 1)])
    return box, turn


def _matrix(box: np.ndarray, turn: float, size_wh) -> np.ndarray:
    """(2, 3): from the picture's coordinates to the crop's, 0 being a pixel's edge in both."""
    cos, sin = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    rotation, centre = np.array([[cos, sin], [-sin, cos]]), (box[:2] + box[2:]) / 2
    scale = np.asarray(size_wh, float) / np.maximum(box[2:] - box[:2], 1e-6)
    return np.column_stack([scale[:, None] * rotation, scale * (centre - rotation @ centre - box[:2])])


def _crop(pixels: np.ndarray, factor: int, picture_wh, xyxy_px, look: Look, landmarks) -> np.ndarray:
    """The crop from pixels that were decoded at 1/factor of the picture's size."""
    import cv2

    box, turn = _place(xyxy_px, picture_wh, look, landmarks)
    if turn:  # to the box's own size first, since a warp does not average
        size = [max(1, math.ceil(side / factor)) for side in box[2:] - box[:2]]
        matrix = _matrix(box, turn, size)
        matrix[:, :2] *= factor
        matrix[:, 2] += matrix[:, :2].sum(1) / 2 - 0.5  # OpenCV's 0 is a pixel's centre
        part = cv2.warpAffine(pixels, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    elif factor > 1:
        return _averaged(pixels, box / factor, look.size_wh)
    else:
        x1, y1, x2, y2 = box.astype(int)
        part = pixels[y1:y2, x1:x2]
    if part.shape[1::-1] == tuple(look.size_wh):
        return np.ascontiguousarray(part)
    shrinks = part.shape[1] >= look.size_wh[0] and part.shape[0] >= look.size_wh[1]
    return cv2.resize(part, look.size_wh, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def _averaged(pixels: np.ndarray, box: np.ndarray, size_wh) -> np.ndarray:
    """The box, with edges between pixels, shrunk by averaging as INTER_AREA does. A pixel that lies only partly in it,
    and so shows what is outside, is taken to be like the next one inside.
    """
    (left, right, across), (top, bottom, down) = (_shares(box[axis], box[axis + 2], size_wh[axis]) for axis in (0, 1))
    part = pixels[top:bottom, left:right].astype(np.float32)
    rows = (down @ part.reshape(len(part), -1)).reshape(len(down), right - left, -1)  # (H, w, C)
    out = across @ rows.transpose(1, 0, 2).reshape(right - left, -1)
    out = out.reshape(len(across), len(down), -1).transpose(1, 0, 2)
    return np.ascontiguousarray(
        np.clip(np.rint(out), 0, 255).astype(np.uint8).reshape(len(down), len(across), *pixels.shape[2:])
    )


def _shares(start: float, stop: float, count: int) -> tuple[int, int, np.ndarray]:
    """The first and last + 1 of the pixels in start..stop, and (count, n) their shares in each of `count` equal
    parts of it.
    """
    first, last = math.floor(start), math.ceil(stop)
    edges, cells = np.linspace(start, stop, count + 1)[:, None], np.arange(first, last)
    shares = np.clip(np.minimum(edges[1:], cells + 1) - np.maximum(edges[:-1], cells), 0, None)
    if first < start and last - first > 1:
        shares[:, 1], shares[:, 0] = shares[:, 0] + shares[:, 1], 0
    if last > stop and last - first > 2:
        shares[:, -2], shares[:, -1] = shares[:, -2] + shares[:, -1], 0
    return first, last, (shares / shares.sum(1, keepdims=True)).astype(np.float32)
