"""Boxes and scores of a picture -> the list that `detector test` prints; the same for both engines."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def objects(xyxy: np.ndarray, scores: np.ndarray, names: Sequence[str], conf: float) -> list[dict]:
    """Boxes and scores after NMS -> one entry a box and class above `conf`, as `detector test` lists them."""
    out = [
        {"name": names[kind], "class_id": int(kind), "score": round(float(scores[index, kind]), 6), "xyxy_px": [round(float(v), 2) for v in xyxy[index]]}
        for index, kind in zip(*np.nonzero(scores > conf))
    ]
    return sorted(out, key=lambda item: -item["score"])
