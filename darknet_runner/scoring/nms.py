"""Boxes and scores of a picture -> without those that NMS drops -> the list that `detector test` prints; for both
engines.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from converters import boxes as boxlib

from ..network.cfg_file import Section

NMS_IOU = 0.45  # fixed in every flavour's `test` and `map`


def overlap(a: np.ndarray, b: np.ndarray, beta: float | None = None) -> np.ndarray:
    """(N, 4), (M, 4) -> (N, M) IoU; with `beta` less (d^2 / c^2)^beta, as nms_kind=greedynms measures it.

    d is the distance of the centres, c the diagonal of the box around both (AlexeyAB's src/box.c, box_diounms).
    """
    value = boxlib.iou(a, b)
    if beta is None:
        return value
    low, high = np.minimum(a[:, None, :2], b[None, :, :2]), np.maximum(a[:, None, 2:], b[None, :, 2:])
    diagonal = ((high - low) ** 2).sum(-1)
    distance = (((b[:, :2] + b[:, 2:])[None] - (a[:, :2] + a[:, 2:])[:, None]) ** 2).sum(-1) / 4
    return value - np.divide(distance, diagonal, out=np.zeros_like(distance), where=diagonal > 0) ** beta


def diou_beta(head: Section) -> float | None:
    """The power that a [yolo] asks `overlap` for; None for plain IoU.

    `greedynms` has always 0.6, whatever beta_nms says, which is that of `diounms` (AlexeyAB's src/box.c, box_diou and
    diounms_sort).
    """
    return {"greedynms": 0.6, "diounms": head.number("beta_nms", 0.6)}.get(head.text("nms_kind", "default"))


def darknet_order(scores: np.ndarray) -> np.ndarray:
    """(N, C), before NMS -> (N,) the order in which Darknet's NMS leaves boxes and its `map` counts them: by the last
    class's score, equal ones by the class before it (AlexeyAB's src/box.c, do_nms_sort).
    """
    return np.lexsort(-scores.T)


def greedy(scores: np.ndarray, dropped: Callable[[int, np.ndarray], np.ndarray]) -> np.ndarray:
    """Indices that stay, best score (N,) first: `dropped(best, rest)` says which of the rest, by index, the best
    one drops.
    """
    order, kept = np.argsort(-scores, kind="stable"), []
    while len(order):
        best, order = order[0], order[1:]
        kept.append(best)
        order = order[~dropped(best, order)]
    return np.array(kept, int)


def nms(xyxy: np.ndarray, scores: np.ndarray, iou: float = NMS_IOU, diou_beta: float | None = None) -> np.ndarray:
    """Per class: scores (N, C) with those of suppressed boxes set to 0; overlap as `overlap` measures it."""
    close, out = overlap(xyxy, xyxy, diou_beta) > iou, np.zeros_like(scores)
    for kind in range(scores.shape[1]):
        found = np.flatnonzero(scores[:, kind] > 0)
        among = close[np.ix_(found, found)]
        kept = found[greedy(scores[found, kind], lambda best, rest: among[best, rest])]
        out[kept, kind] = scores[kept, kind]
    return out


def detections_as_dicts(xyxy: np.ndarray, scores: np.ndarray, names: Sequence[str], conf: float) -> list[dict]:
    """Boxes and scores after NMS -> one entry a box and class above `conf`, as `detector test` lists them."""
    out = [
        {
            "name": names[kind],
            "class_id": int(kind),
            "score": round(float(scores[index, kind]), 6),
            "xyxy_px": [round(float(v), 2) for v in xyxy[index]],
        }
        for index, kind in zip(*np.nonzero(scores > conf))
    ]
    return sorted(out, key=lambda item: -item["score"])
