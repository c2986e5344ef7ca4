"""Boxes: xyxy in pixels <-> centre and size relative to the picture; clip, enlarge, pairwise IoU.

All functions take and give float arrays whose last axis is the box, `# (..., 4)`. `xyxy_px` holds the
left, top, right and bottom edges (right and bottom exclusive, so width = x2 - x1); `cxcywh_rel` is
Darknet's label form. `size_wh` is the picture's (width, height).
"""

from __future__ import annotations

import numpy as np


def xyxy_to_cxcywh_rel(xyxy_px, size_wh) -> np.ndarray:
    """(..., 4) pixels -> (..., 4) in 0..1; `size_wh` (2,) or (..., 2)."""
    box, size = np.asarray(xyxy_px, float), np.asarray(size_wh, float)
    return np.concatenate([(box[..., :2] + box[..., 2:]) / 2 / size, (box[..., 2:] - box[..., :2]) / size], axis=-1)


def cxcywh_rel_to_xyxy(cxcywh_rel, size_wh) -> np.ndarray:
    """(..., 4) in 0..1 -> (..., 4) pixels; the inverse of `xyxy_to_cxcywh_rel`."""
    box, size = np.asarray(cxcywh_rel, float), np.asarray(size_wh, float)
    centre, half = box[..., :2] * size, box[..., 2:] * size / 2
    return np.concatenate([centre - half, centre + half], axis=-1)


def clip(xyxy_px, size_wh) -> np.ndarray:
    """Boxes cut to the picture 0..width, 0..height."""
    size = np.asarray(size_wh, float)
    return np.clip(np.asarray(xyxy_px, float), 0, np.concatenate([size, size], axis=-1))


def enlarge(xyxy_px, factor: float, size_wh=None) -> np.ndarray:
    """Boxes scaled by `factor` about their centres, clipped to `size_wh` when it is given."""
    box = np.asarray(xyxy_px, float)
    centre, half = (box[..., :2] + box[..., 2:]) / 2, (box[..., 2:] - box[..., :2]) / 2 * factor
    out = np.concatenate([centre - half, centre + half], axis=-1)
    return out if size_wh is None else clip(out, size_wh)


def stored(xyxy_px, orientation: int, size_wh) -> np.ndarray:
    """Boxes (..., 4) of a picture turned upright as EXIF's `orientation` (1..8) says -> of its stored pixels,
    `size_wh`.

    Orientation 6: the stored picture is shown turned a quarter clockwise, so its left edge is what is shown on top.
    """
    x1, y1, x2, y2 = np.moveaxis(np.asarray(xyxy_px, float), -1, 0)
    if orientation >= 5:  # stored rows are shown as columns
        x1, y1, x2, y2 = y1, x1, y2, x2
    width, height = size_wh
    if orientation in (2, 3, 7, 8):
        x1, x2 = width - x2, width - x1
    if orientation in (3, 4, 6, 7):
        y1, y2 = height - y2, height - y1
    return np.stack([x1, y1, x2, y2], axis=-1)


def area(xyxy) -> np.ndarray:
    """(..., 4) -> (...); zero for a box without a size."""
    box = np.asarray(xyxy, float)
    sides = np.maximum(box[..., 2:] - box[..., :2], 0)
    return sides[..., 0] * sides[..., 1]  # np.prod and np.clip take twice as long for a few boxes


def iou(a_xyxy, b_xyxy) -> np.ndarray:
    """(N, 4), (M, 4) -> (N, M) intersection over union; 0 where the union is empty."""
    a, b = np.reshape(a_xyxy, (-1, 1, 4)).astype(float), np.reshape(b_xyxy, (1, -1, 4)).astype(float)
    inner = area(np.concatenate([np.maximum(a[..., :2], b[..., :2]), np.minimum(a[..., 2:], b[..., 2:])], axis=-1))
    union = area(a) + area(b) - inner
    return np.divide(inner, union, out=np.zeros_like(inner), where=union > 0)
