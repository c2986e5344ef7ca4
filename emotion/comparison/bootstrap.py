"""How sure the figures of a comparison are: a paired bootstrap over pictures, or over the people in them.

What each system did on each picture comes in (`Evidence`); 95% intervals of each figure, of each system and
of the difference of each two, go out. All systems are counted on the same resamples, so that what is
hard for all cancels out. A resample is a number of copies a cell (see `units`), so nothing is matched or sorted again:
a detection takes its truth within its own copy, whatever else was drawn.

Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapters 8 (groups as units) and 13 (percentiles).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from converters import boxes

from . import metrics
from .metrics import number
from .units import Units

Pair = tuple[np.ndarray, np.ndarray]  # a picture's boxes (N, 4), and what stands beside them

FIGURES = ("map", "face_ap", "accuracy", "macro_f1", "missed", "extra")
LEVEL = 0.95
FEWEST = 10  # units, of a set or of a class in it, below which resamples say nothing of what was not drawn
OVER_CLASSES = ("map", "macro_f1")
Count = Callable[[np.ndarray, "dict | None"], dict[str, np.ndarray]]
CHUNK = 50  # resamples at a time: bounds the memory, and stays in the processor's cache


@dataclass(frozen=True)
class Ranked:
    """Detections of one class over all pictures, best score first: the cell (D,) that each counts with (see `units`),
    and hit (D,), whether it is the first to take a truth.
    """

    cell: np.ndarray
    hit: np.ndarray


@dataclass(frozen=True)
class Evidence:
    """What one system did in K cells (see `units`) with C classes.

    classes    a Ranked a class; faces: one, whatever the emotion
    truths     (K, C) labelled faces
    confusion  (K, C, C + 1) matched faces, truth by row; last those that were given none of the labelled classes
    missed, extra, pictures  (K,)
    """

    classes: Sequence[Ranked]
    faces: Ranked
    truths: np.ndarray
    confusion: np.ndarray
    missed: np.ndarray
    extra: np.ndarray
    pictures: np.ndarray


def rank(
    predictions: Sequence[Pair],
    truths: Sequence[Pair],
    classes: int,
    units: Units,
    iou: float = 0.5,
    above: float | None = None,
) -> list[Ranked]:
    """Detections as `darknet_runner.scoring.average_precision.mean_ap` takes and judges them, class by class.

    predictions  a picture: (xyxy (N, 4), scores (N, C)); a score of 0 is not a detection
    truths       a picture: (xyxy (M, 4), class ids (M,))
    above        only detections of a higher score, in the order of the boxes: hits are `mean_ap`'s TP, others its FP
    A detection counts with the face that it takes, else with the one that it lies on, else with its picture.
    """
    parts: tuple[list[np.ndarray], ...] = ([], [], [], [])
    offset = 0
    faces = [len(ids) for _, ids in truths]
    of_faces = units.of_faces(np.repeat(np.arange(len(faces)), faces))
    for picture, ((xyxy, found), (truth_xyxy, truth_ids)) in enumerate(zip(predictions, truths, strict=True)):
        found = np.asarray(found, float).reshape(-1, classes)
        box, class_id = np.nonzero(found > 0)
        best, cell = np.full(len(box), -1), np.full(len(box), units.pictures[picture])
        if len(truth_ids) and len(box):
            overlaps = boxes.iou(xyxy, truth_xyxy)[box]
            overlaps = np.where(overlaps > iou, overlaps, 0)
            mine = np.where(np.asarray(truth_ids) == class_id[:, None], overlaps, 0)
            best = np.where(mine.max(1) > 0, offset + mine.argmax(1), -1)
            on = np.where(best < 0, offset + overlaps.argmax(1), best)
            cell = np.where(overlaps.max(1) > 0, of_faces[on], cell)
        for part, values in zip(parts, (cell, class_id, found[box, class_id], best)):
            part.append(values)
        offset += len(truth_ids)
    cells, ids, scores, taken = (np.concatenate(part) if part else np.zeros(0) for part in parts)
    out = []
    for kind in range(classes):
        mine = np.flatnonzero(ids == kind)
        if above is None:
            mine = mine[np.argsort(-scores[mine], kind="stable")]
        hit = np.zeros(len(mine), bool)
        truth, first = np.unique(taken[mine], return_index=True)
        hit[first[truth >= 0]] = True
        if above is not None:
            mine, hit = mine[scores[mine] > above], hit[scores[mine] > above]
        out.append(Ranked(cells[mine].astype(int), hit))
    return out


def weighted_ap(ranked: Ranked, weights: np.ndarray, truths: np.ndarray, points: int = 0) -> np.ndarray:
    """Area under the precision envelope where cell k counts weights[k, b] times: (K, B), truths (B,) -> (B,); or its
    mean at so many recall points, as COCO has 101.

    nan without truths. Copies of one detection are alike and follow each other, so the envelope is needed
    only behind each hit. Equals `mean_ap` on the pictures repeated, but for equal scores within one picture.
    """
    hits = np.flatnonzero(ranked.hit)
    with np.errstate(invalid="ignore", divide="ignore"):
        if not len(hits):
            return np.where(truths > 0, 0.0, np.nan)
        copies = weights[ranked.cell[: hits[-1] + 1]]  # (D, B): what ranks below the last hit counts for nothing
        seen = np.cumsum(np.add.reduceat(copies, np.append(0, hits[:-1] + 1)), 0)  # (hits, B) up to and with each hit
        taken = copies[hits]
        precision = np.cumsum(taken, 0) / np.maximum(seen, 1)
        envelope = np.maximum.accumulate(precision[::-1])[::-1]
        if not points:
            return np.where(truths > 0, (taken * envelope).sum(0) / truths, np.nan)
        recall = np.cumsum(taken, 0) / truths
        at = np.searchsorted(np.linspace(0, 1, points), np.nan_to_num(recall), side="right")  # points up to each hit
        return np.where(truths > 0, (np.diff(at, axis=0, prepend=0) * envelope).sum(0) / points, np.nan)


def figures(
    evidence: Evidence, weights: np.ndarray, whole: dict[str, np.ndarray] | None = None
) -> dict[str, np.ndarray]:
    """FIGURES where cell k counts weights[k, b] times: (K, B) -> (B,) each; nan where nothing is there to count.

    `ap` and `f1` (B, C) are those of each class. A class that a resample lacks keeps those that it has in the
    `whole` set, for mAP and macro-F1 to stay means over the same classes: without a class of one face, and its
    AP of 0.02, mAP would jump. `missed` and `extra` are scaled to the faces, and pictures, of the whole set.
    """
    wide = weights.T.astype(np.float64)  # whose products go through BLAS
    truths = wide @ evidence.truths  # (B, C)
    faces = truths.sum(1)
    count = len(evidence.truths)
    confusion = (wide @ evidence.confusion.reshape(count, -1)).reshape(-1, *evidence.confusion.shape[1:])
    ap = np.stack([weighted_ap(ranked, weights, truths[:, c]) for c, ranked in enumerate(evidence.classes)], 1)
    f1 = metrics.f1_per_class(confusion)
    if whole:
        ap, f1 = np.where(np.isnan(ap), whole["ap"], ap), np.where(np.isnan(f1), whole["f1"], f1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "ap": ap,
            "f1": f1,
            "map": mean_of_known(ap),
            "face_ap": weighted_ap(evidence.faces, weights, faces),
            "accuracy": np.trace(confusion, axis1=1, axis2=2) / confusion.sum((1, 2)),
            "macro_f1": mean_of_known(f1),
            "missed": wide @ evidence.missed / faces * evidence.truths.sum(),
            "extra": wide @ evidence.extra / (wide @ evidence.pictures) * evidence.pictures.sum(),
        }


def mean_of_known(values: np.ndarray) -> np.ndarray:
    """(B, C) -> (B,) means of what is not nan; nan where all are."""
    known = ~np.isnan(values)
    return np.where(known, values, 0).sum(1) / np.where(known.any(1), known.sum(1), np.nan)


def intervals(
    systems: Sequence[Count],
    units: Units,
    names: Sequence[str],
    replicates: int = 1000,
    seed: int = 0,
    unsure: Sequence[str] = (),
) -> dict | None:
    """Intervals of each system's figures and of the difference of each two, all counted on the same resamples.

    systems  a function a system: (copies (K, B), what it gave for the whole set, or None) -> {figure: (B,)}
    units    of which as many as there are are drawn, with replacement, each time
    unsure   figures in which no difference is called shown
    Returns {figure: {"systems": [{"value", "low", "high"}, ...], "differences": [{"pair": [i, j], "value", "low",
    "high", "shown"}, ...]}}, a difference being j's figure less i's, `shown` when 0 lies outside its interval. None
    with fewer than FEWEST units.
    """
    if units.count < FEWEST:
        return None
    once = np.ones((units.cells, 1), np.int32)
    whole = [count(once, None) for count in systems]
    rng, drawn = np.random.default_rng(seed), []
    for start in range(0, replicates, CHUNK):
        copies = units.draw(rng, min(CHUNK, replicates - start))
        drawn.append([count(copies, here) for count, here in zip(systems, whole)])
    out = {}
    for name in names:
        values = [
            np.concatenate([chunk[index][name] for chunk in drawn]) for index in range(len(systems))
        ]  # a system: (B,)
        here = [float(each[name][0]) for each in whole]
        differences = []
        for i, j in itertools.combinations(range(len(systems)), 2):
            found, value = interval(values[j] - values[i]), here[j] - here[i]
            low, high = found["low"], found["high"]
            shown = low is not None and high is not None and not low <= 0 <= high and name not in unsure
            differences.append({"pair": [i, j], "value": number(value)} | found | {"shown": shown})
        out[name] = {
            "systems": [{"value": number(value)} | interval(drawn) for value, drawn in zip(here, values)],
            "differences": differences,
        }
    return out


def paired(evidence: Sequence[Evidence], units: Units, replicates: int = 1000, seed: int = 0) -> dict | None:
    """`intervals` of FIGURES.

    Of OVER_CLASSES none is called shown while a class is `scarce`: one Anger decides a seventh of mAP, and no resample
    can make another of it.
    """

    unsure = OVER_CLASSES if scarce(evidence[0].truths, units) else ()
    return intervals([partial(figures, mine) for mine in evidence], units, FIGURES, replicates, seed, unsure)


def scarce(truths: np.ndarray, units: Units) -> dict[int, int]:
    """Classes that occur, but in fewer than FEWEST units, and in how many: truths (K, C)."""
    shows = np.zeros((units.count, truths.shape[1]), bool)
    of, known = units.members[:, 0], units.members[:, 0] >= 0
    np.logical_or.at(shows, of[known], truths[known] > 0)
    return {class_id: int(count) for class_id, count in enumerate(shows.sum(0)) if 0 < count < FEWEST}


def interval(values: np.ndarray) -> dict[str, float | None]:
    """The percentile interval of (B,) replicates; None when most of them have no value."""
    known = values[~np.isnan(values)]
    if 2 * len(known) <= len(values):
        return {"low": None, "high": None}
    low, high = np.percentile(known, [50 - 50 * LEVEL, 50 + 50 * LEVEL])
    return {"low": float(low), "high": float(high)}
