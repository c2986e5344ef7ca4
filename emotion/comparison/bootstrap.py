"""How sure the figures of a comparison are: a paired bootstrap over pictures, or over the people in them.

What each system did on each picture comes in (`Evidence`); 95% intervals of each figure, of each system and
of the difference between the two, go out. Both systems are counted on the same resamples, so that what is
hard for both cancels out. A resample is a number of copies a picture, so nothing is matched or sorted again:
a detection takes its truth within its own copy, whatever else was drawn.

Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapters 8 (groups as units) and 13 (percentiles).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from converters import boxes

from . import metrics

FIGURES = ("map", "face_ap", "accuracy", "macro_f1", "missed", "extra")
LEVEL = 0.95
FEWEST = 10  # units, of a set or of a class in it, below which resamples say nothing of what was not drawn
OVER_CLASSES = ("map", "macro_f1")
CHUNK = 50  # resamples at a time: bounds the memory, and stays in the processor's cache


@dataclass(frozen=True)
class Ranked:
    """Detections of one class over all pictures, best score first: picture (D,), and hit (D,), first to take a truth."""

    picture: np.ndarray
    hit: np.ndarray


@dataclass(frozen=True)
class Evidence:
    """What one system did on P pictures with C classes.

    classes    a Ranked a class; faces: one, whatever the emotion
    truths     (P, C) labelled faces
    confusion  (P, C, C) matched faces, truth by row
    missed, extra  (P,)
    """

    classes: Sequence[Ranked]
    faces: Ranked
    truths: np.ndarray
    confusion: np.ndarray
    missed: np.ndarray
    extra: np.ndarray


def rank(predictions, truths, classes: int, iou: float = 0.5) -> list[Ranked]:
    """Detections as `darknet_runner.scoring.average_precision.mean_ap` takes and judges them, class by class.

    predictions  a picture: (xyxy (N, 4), scores (N, C)); a score of 0 is no detection
    truths       a picture: (xyxy (M, 4), class ids (M,))
    """
    pictures, ids, scores, taken, offset = [], [], [], [], 0
    for number, ((xyxy, found), (truth_xyxy, truth_ids)) in enumerate(zip(predictions, truths, strict=True)):
        found = np.asarray(found, float).reshape(-1, classes)
        box, class_id = np.nonzero(found > 0)
        best = np.full(len(box), -1)
        if len(truth_ids) and len(box):
            overlaps = boxes.iou(xyxy, truth_xyxy)[box]
            overlaps = np.where((np.asarray(truth_ids) == class_id[:, None]) & (overlaps > iou), overlaps, 0)
            best = np.where(overlaps.max(1) > 0, offset + overlaps.argmax(1), -1)
        pictures.append(np.full(len(box), number))
        ids.append(class_id)
        scores.append(found[box, class_id])
        taken.append(best)
        offset += len(truth_ids)
    pictures, ids, scores, taken = (np.concatenate(part) if part else np.zeros(0) for part in (pictures, ids, scores, taken))
    out = []
    for class_id in range(classes):
        mine = np.flatnonzero(ids == class_id)
        mine = mine[np.argsort(-scores[mine], kind="stable")]
        hit = np.zeros(len(mine), bool)
        truth, first = np.unique(taken[mine], return_index=True)
        hit[first[truth >= 0]] = True
        out.append(Ranked(pictures[mine].astype(int), hit))
    return out


def weighted_ap(ranked: Ranked, weights: np.ndarray, truths: np.ndarray) -> np.ndarray:
    """Area under the precision envelope where picture p counts weights[p, b] times: (P, B), truths (B,) -> (B,).

    nan without truths. Copies of one detection are alike and follow each other, so the envelope is needed
    only behind each hit. Equals `mean_ap` on the pictures repeated, but for equal scores within one picture.
    """
    hits = np.flatnonzero(ranked.hit)
    with np.errstate(invalid="ignore", divide="ignore"):
        if not len(hits):
            return np.where(truths > 0, 0.0, np.nan)
        copies = weights[ranked.picture[: hits[-1] + 1]]  # (D, B): what ranks below the last hit counts for nothing
        seen = np.cumsum(np.add.reduceat(copies, np.append(0, hits[:-1] + 1)), 0)  # (hits, B) up to and with each hit
        taken = copies[hits]
        precision = np.cumsum(taken, 0) / np.maximum(seen, 1)
        envelope = np.maximum.accumulate(precision[::-1])[::-1]
        return np.where(truths > 0, (taken * envelope).sum(0) / truths, np.nan)


def figures(evidence: Evidence, weights: np.ndarray, whole: dict[str, np.ndarray] | None = None) -> dict[str, np.ndarray]:
    """FIGURES where picture p counts weights[p, b] times: (P, B) -> (B,) each; nan where nothing is there to count.

    `ap` and `f1` (B, C) are those of each class. A class that a resample lacks keeps those that it has in the
    `whole` set, for mAP and macro-F1 to stay means over the same classes: without a class of one face, and its
    AP of 0.02, mAP would jump. `missed` and `extra` are scaled to the faces, and pictures, of the whole set.
    """
    wide = weights.T.astype(np.float64)  # whose products go through BLAS
    truths = wide @ evidence.truths  # (B, C)
    faces = truths.sum(1)
    count, classes = evidence.truths.shape
    confusion = (wide @ evidence.confusion.reshape(count, -1)).reshape(-1, classes, classes)
    ap = np.stack([weighted_ap(ranked, weights, truths[:, c]) for c, ranked in enumerate(evidence.classes)], 1)
    f1 = metrics.f1_per_class(confusion)
    if whole:
        ap, f1 = np.where(np.isnan(ap), whole["ap"], ap), np.where(np.isnan(f1), whole["f1"], f1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "ap": ap, "f1": f1,
            "map": mean_of_known(ap),
            "face_ap": weighted_ap(evidence.faces, weights, faces),
            "accuracy": np.trace(confusion, axis1=1, axis2=2) / confusion.sum((1, 2)),
            "macro_f1": mean_of_known(f1),
            "missed": wide @ evidence.missed / faces * evidence.truths.sum(),
            "extra": wide @ evidence.extra / wide.sum(1) * count,
        }


def mean_of_known(values: np.ndarray) -> np.ndarray:
    """(B, C) -> (B,) means of what is not nan; nan where all are."""
    known = ~np.isnan(values)
    return np.where(known, values, 0).sum(1) / np.where(known.any(1), known.sum(1), np.nan)


def paired(first: Evidence, second: Evidence, units: np.ndarray, replicates: int = 1000, seed: int = 0) -> dict | None:
    """Intervals of both systems and of the difference, second - first.

    units  (P,) which unit, 0..U-1, each picture belongs to: U of them are drawn, with replacement, each time
    Returns {figure: {"systems": [{"low", "high"}, ...], "difference": {"value", "low", "high", "shown"}}}; a
    difference is `shown` when 0 lies outside its interval, and, of OVER_CLASSES, no class is `scarce`: one Anger
    decides a seventh of mAP, and no resample can make another of it. None with fewer than FEWEST units.
    """
    count = int(units.max()) + 1 if len(units) else 0
    if count < FEWEST:
        return None
    few, once = bool(scarce(first.truths, units)), np.ones((len(units), 1), np.int32)
    here = [figures(evidence, once) for evidence in (first, second)]
    rng, drawn = np.random.default_rng(seed), {name: [] for name in FIGURES}
    for start in range(0, replicates, CHUNK):
        copies = rng.multinomial(count, np.full(count, 1 / count), size=min(CHUNK, replicates - start))
        weights = np.ascontiguousarray(copies.T.astype(np.int32)[units])  # (P, B): a picture's numbers side by side
        both = [figures(evidence, weights, whole) for evidence, whole in zip((first, second), here)]
        for name in FIGURES:
            drawn[name].append(np.stack([both[0][name], both[1][name], both[1][name] - both[0][name]]))  # (3, B)
    out = {}
    for name, parts in drawn.items():
        *systems, difference = (interval(values) for values in np.concatenate(parts, 1))
        value = float(here[1][name][0] - here[0][name][0])
        shown = difference["low"] is not None and not difference["low"] <= 0 <= difference["high"] and not (few and name in OVER_CLASSES)
        out[name] = {"systems": systems, "difference": {"value": None if np.isnan(value) else value} | difference | {"shown": shown}}
    return out


def scarce(truths: np.ndarray, units: np.ndarray) -> dict[int, int]:
    """Classes that occur, but in fewer than FEWEST units, and in how many: truths (P, C), units (P,)."""
    shows = np.zeros((int(units.max(initial=-1)) + 1, truths.shape[1]), bool)
    np.logical_or.at(shows, units, truths > 0)
    return {class_id: int(count) for class_id, count in enumerate(shows.sum(0)) if 0 < count < FEWEST}


def interval(values: np.ndarray) -> dict[str, float | None]:
    """The percentile interval of (B,) replicates; None when most of them have no value."""
    known = values[~np.isnan(values)]
    if 2 * len(known) <= len(values):
        return {"low": None, "high": None}
    low, high = np.percentile(known, [50 - 50 * LEVEL, 50 + 50 * LEVEL])
    return {"low": float(low), "high": float(high)}
