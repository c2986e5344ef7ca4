"""Boxes and scores of a picture -> without those that NMS drops -> the list that `detector test` prints; for both engines."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from converters import boxes as boxlib

NMS_IOU = 0.45  # fixed in every flavour's `test` and `map`


def nms(xyxy: np.ndarray, scores: np.ndarray, iou: float = NMS_IOU, diou_beta: float | None = None) -> np.ndarray:
    """Per class: scores (N, C) with those of suppressed boxes set to 0.

    diou_beta: subtract (centre distance / hull diagonal)^(2 beta) from the IoU, as nms_kind=greedynms does.
    """
    overlap = boxlib.iou(xyxy, xyxy)
    if diou_beta is not None:
        centre = (xyxy[:, :2] + xyxy[:, 2:]) / 2
        distance = ((centre[:, None] - centre[None]) ** 2).sum(-1)
        hull = np.maximum(xyxy[:, None, 2:], xyxy[None, :, 2:]) - np.minimum(xyxy[:, None, :2], xyxy[None, :, :2])
        overlap = overlap - (distance / np.maximum((hull**2).sum(-1), 1e-12)) ** diou_beta
    close, out = overlap > iou, np.zeros_like(scores)
    for kind in range(scores.shape[1]):
        alive = scores[:, kind] > 0
        for index in np.argsort(-scores[:, kind], kind="stable"):
            if scores[index, kind] <= 0:
                break
            if alive[index]:
                out[index, kind] = scores[index, kind]
                alive &= ~close[index]
    return out


def detections_as_dicts(xyxy: np.ndarray, scores: np.ndarray, names: Sequence[str], conf: float) -> list[dict]:
    """Boxes and scores after NMS -> one entry a box and class above `conf`, as `detector test` lists them."""
    out = [
        {"name": names[kind], "class_id": int(kind), "score": round(float(scores[index, kind]), 6), "xyxy_px": [round(float(v), 2) for v in xyxy[index]]}
        for index, kind in zip(*np.nonzero(scores > conf))
    ]
    return sorted(out, key=lambda item: -item["score"])
