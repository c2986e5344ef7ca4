"""Faces matched by overlap, and what follows from the matches: accuracy, F1, missed and extra faces.

AP is `darknet_runner.ap.mean_ap`, which computes it as Darknet does.
"""

from __future__ import annotations

import numpy as np

from converters import boxes
from converters.errors import UsageError

from .detections import Detections, Detector


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
    """Share on the diagonal of (C, C) counts; None without any."""
    return float(np.trace(confusion) / confusion.sum()) if confusion.sum() else None


def f1_per_class(confusion: np.ndarray) -> np.ndarray:
    """(C, C) counts, truth by row -> (C,) F1 = 2 tp / (truths + predictions); nan for a class without truths."""
    truths, predicted = confusion.sum(1), confusion.sum(0)
    f1 = 2 * np.diag(confusion) / np.maximum(truths + predicted, 1)
    return np.where(truths > 0, f1, np.nan)


def macro_f1(confusion: np.ndarray) -> float | None:
    """Mean F1 over the classes that have truths; None without any."""
    f1 = f1_per_class(confusion)
    return float(np.nanmean(f1)) if not np.isnan(f1).all() else None


def select(found: Detections, mask) -> Detections:
    tracks = None if found.track_ids is None else found.track_ids[mask]
    return Detections(found.xyxy_px[mask], found.scores[mask], found.face[mask], tracks)


def columns(detector: Detector, names: tuple[str, ...]) -> list[int]:
    """Where each of `names` stands in the detector's classes; UsageError when it lacks one."""
    lacking = [name for name in names if name not in detector.names]
    if lacking:
        raise UsageError(f"the model of {detector.name} does not know {', '.join(lacking)}", mend=f"it knows {', '.join(detector.names)}; compare on data with these classes")
    return [detector.names.index(name) for name in names]
