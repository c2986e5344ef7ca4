"""Faces matched by overlap, and what follows from the matches: accuracy, F1, McNemar's test, calibration.

AP is `darknet_runner.scoring.average_precision.mean_ap`, which computes it as Darknet does; intervals are
`bootstrap`'s.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from converters import boxes
from converters.errors import UsageError

from ..systems.classifier import Classifier
from ..systems.detections import Detector


def match(a_xyxy: np.ndarray, b_xyxy: np.ndarray, iou: float = 0.5) -> np.ndarray:
    """Pairs (K, 2) of indices into a and b whose IoU is at least `iou`, each box used once, best overlap first."""
    overlaps = boxes.iou(a_xyxy, b_xyxy)
    pairs = []
    while overlaps.size and overlaps.max() >= iou:
        i, j = np.unravel_index(overlaps.argmax(), overlaps.shape)
        pairs.append((i, j))
        overlaps[i], overlaps[:, j] = -1, -1
    return np.array(pairs, int).reshape(-1, 2)


def accuracy(confusion: np.ndarray) -> float | None:
    """Share on the diagonal of (C, C) counts, or (C, C + 1), the last being what has none of the names; None without
    any.
    """
    return float(np.trace(confusion) / confusion.sum()) if confusion.sum() else None


def f1_per_class(confusion: np.ndarray) -> np.ndarray:
    """Counts as for `accuracy`, (..., C, C) or (..., C, C + 1), truth by row -> (..., C) F1 = 2 tp / (truths +
    predictions); nan for a class without truths.
    """
    truths, predicted = confusion.sum(-1), confusion.sum(-2)[..., : confusion.shape[-2]]
    f1 = 2 * np.diagonal(confusion, axis1=-2, axis2=-1) / np.maximum(truths + predicted, 1)
    return np.where(truths > 0, f1, np.nan)


def macro_f1(confusion: np.ndarray) -> float | None:
    """Mean F1 over the classes that have truths; None without any."""
    f1 = f1_per_class(confusion)
    return float(np.nanmean(f1)) if not np.isnan(f1).all() else None


def mcnemar(only_first: int, only_second: int) -> float:
    """Exact two-sided p of McNemar's test: as many cases, or fewer, on the rarer side, were both sides equally likely.

    only_first, only_second  faces that only one of the two named correctly; the others say nothing of the difference
    """
    count, rarer = only_first + only_second, min(only_first, only_second)
    logs = [
        math.lgamma(count + 1) - math.lgamma(k + 1) - math.lgamma(count - k + 1) - count * math.log(2)
        for k in range(rarer + 1)
    ]
    return min(1.0, 2 * math.fsum(map(math.exp, logs)))


def calibration(confidence: np.ndarray, right: np.ndarray, bins: int = 10) -> dict:
    """Whether faces named with confidence c are named correctly in a share c of cases: (N,) in 0..1, (N,) bool.

    ece  expected calibration error (Guo et al. 2017): over bins of equal width, (low, high], the mean of
         |share right - mean confidence|, weighted by their faces; None without any
    """
    confidence, right = np.asarray(confidence, float), np.asarray(right, bool)
    at = bin_of(confidence, bins)
    rows: list[dict[str, Any]] = []
    gaps = []
    for index in range(bins):
        mine = at == index
        means: tuple[float | None, float | None] = None, None
        if mine.any():
            sure, share = means = float(confidence[mine].mean()), float(right[mine].mean())
            gaps.append(mine.sum() * abs(share - sure))
        rows.append(
            {
                "low": index / bins,
                "high": (index + 1) / bins,
                "faces": int(mine.sum()),
                "confidence": means[0],
                "accuracy": means[1],
            }
        )
    count = len(confidence)
    ece = float(sum(gaps)) / count if count else None
    mean = (float(confidence.mean()), float(right.mean())) if count else (None, None)
    return {"ece": ece, "faces": count, "confidence": mean[0], "accuracy": mean[1], "bins": rows}


def number(value: float) -> float | None:
    """The value for JSON, which has no nan."""
    return None if math.isnan(value) else float(value)


def bin_of(confidence: np.ndarray, bins: int) -> np.ndarray:
    """(N,) confidences in 0..1 -> (N,) which of `bins` bins of equal width, (low, high], each falls into."""
    return np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)


def columns(subject: Classifier | Detector, names: tuple[str, ...]) -> list[int]:
    """Where each of `names` stands in the subject's classes; UsageError when it lacks one."""
    lacking = [name for name in names if name not in subject.names]
    if lacking:
        raise UsageError(
            f"the model of {getattr(subject, 'name', 'the classifier')} does not know {', '.join(lacking)}",
            mend=f"it knows {', '.join(subject.names)}; compare on data with these classes",
        )
    return [subject.names.index(name) for name in names]
