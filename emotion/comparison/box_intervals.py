"""How sure a detector's figures are: Darknet's mAP, precision, recall and F1 and COCO's twelve, counted on resamples.

box_evidence(...) matches once, as Darknet and as pycocotools do (`COCOeval.evaluateImg`); `figures` counts each cell of
the units (see `units`) as often as it was drawn. On the set itself they are `detection.detection_figures`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from converters import boxes

from .bootstrap import Ranked, mean_of_known, rank, weighted_ap
from .detection import COCO, Boxes
from .units import Units

FIGURES = ("map", "precision", "recall", "f1", *COCO)
OVER_CLASSES = ("map", *COCO)  # what a single face of a rare class can move
THRESHOLDS = np.linspace(0.5, 0.95, 10)
AREAS = {"": (0, 1e10), "_small": (0, 32**2), "_medium": (32**2, 96**2), "_large": (96**2, 1e10)}
FEW, MOST = (1, 10), 100  # boxes a picture and class


@dataclass(frozen=True)
class Matched:
    """Faces of one range of areas, as COCO matches them: T IoU thresholds, C classes, K cells.

    ranked  a class: T Ranked, ignored boxes left out
    truths  (K, C)
    found   boxes a picture and class -> (K, T, C) faces found with so many
    """

    ranked: list[list[Ranked]]
    truths: np.ndarray
    found: dict[int, np.ndarray]


@dataclass(frozen=True)
class BoxEvidence:
    """darknet  a Ranked a class; truths (K, C); tp, shown (K,): boxes above the confidence that are right, and all
    coco  by range of areas, those without a face left out
    """

    darknet: list[Ranked]
    truths: np.ndarray
    tp: np.ndarray
    shown: np.ndarray
    coco: dict[str, Matched]


def box_evidence(
    predictions: Sequence[Boxes], truths: Sequence[Boxes], classes: int, units: Units, conf: float, iou: float
) -> BoxEvidence:
    """predictions, truths  as for `detection.detection_figures`."""
    faces = [len(ids) for _, ids in truths]
    of_faces = units.of_faces(np.repeat(np.arange(len(faces)), faces))
    cells = np.split(of_faces, np.cumsum(faces)[:-1]) if faces else []
    counts = np.zeros((units.cells, classes), int)
    for (_, ids), mine in zip(truths, cells):
        np.add.at(counts, (mine, ids), 1)
    shown = rank(predictions, truths, classes, units, iou, conf)
    coco = {
        name: _matched(predictions, truths, cells, units, counts, area)
        for name, area in AREAS.items()
        if name == "" or any(_within(xyxy, area).any() for xyxy, _ in truths)
    }
    return BoxEvidence(
        rank(predictions, truths, classes, units, iou),
        counts,
        np.bincount(np.concatenate([one.cell[one.hit] for one in shown]), minlength=units.cells),
        np.bincount(np.concatenate([one.cell for one in shown]), minlength=units.cells),
        coco,
    )


def _area(xyxy) -> np.ndarray:
    xyxy = np.asarray(xyxy, float).reshape(-1, 4)
    return (xyxy[:, 2] - xyxy[:, 0]) * (xyxy[:, 3] - xyxy[:, 1])


def _within(xyxy, area: tuple[float, float]) -> np.ndarray:
    return (_area(xyxy) >= area[0]) & (_area(xyxy) <= area[1])


def _matched(predictions, truths, cells, units: Units, counts, area) -> Matched:
    """Every class of every picture: its boxes, best first, each take the free face of the highest IoU."""
    classes = counts.shape[1]
    rows: list[list[tuple]] = [[] for _ in range(classes)]  # scores (D,), hit, ignored, cell (T, D) each
    labelled = np.zeros_like(counts)
    found = {most: np.zeros((units.cells, len(THRESHOLDS), classes), int) for most in (*FEW, MOST)}
    for place, ((xyxy, scores), (truth_xyxy, ids)) in enumerate(zip(predictions, truths, strict=True)):
        ids, scores = np.asarray(ids, int), np.asarray(scores, float).reshape(-1, classes)
        counted = _within(truth_xyxy, area)
        np.add.at(labelled, (cells[place][counted], ids[counted]), 1)
        overlaps = boxes.iou(xyxy, truth_xyxy)  # (D, M)
        at = np.full(len(scores), units.pictures[place])
        if overlaps.size:
            at = np.where(overlaps.max(1) > THRESHOLDS[0], cells[place][overlaps.argmax(1)], at)
        for class_id in np.flatnonzero((scores > 0).any(0)):
            best = np.flatnonzero(scores[:, class_id] > 0)
            best = best[np.argsort(-scores[best, class_id], kind="stable")][:MOST]
            mine = np.flatnonzero(ids == class_id)
            mine = mine[np.argsort(~counted[mine], kind="stable")]  # those that count first
            taken = _assign(overlaps[np.ix_(best, mine)], counted[mine])  # (T, D)
            hit = (taken >= 0) & (counted[mine][taken] if len(mine) else False)
            ignored = np.where(taken >= 0, ~hit, ~_within(np.asarray(xyxy)[best], area))
            cell = (
                np.where(taken >= 0, cells[place][mine][taken], at[best]) if len(mine) else np.tile(at[best], (10, 1))
            )
            rows[class_id].append((scores[best, class_id], hit, ignored, cell))
            for most, table in found.items():
                level, rank_of = np.nonzero(hit[:, :most])
                np.add.at(table, (cell[level, rank_of], level, class_id), 1)
    return Matched([_ranked(each) for each in rows], labelled, found)


def _assign(overlaps: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """(D, M) of boxes, best first, and faces, those that count first -> (T, D) the face that each takes, or -1."""
    taken = np.full((len(THRESHOLDS), len(overlaps)), -1)
    if not overlaps.size or overlaps.max() < THRESHOLDS[0]:
        return taken
    for level, least in enumerate(THRESHOLDS):
        free = np.ones(len(counted), bool)
        for box, row in enumerate(overlaps):
            able = free & (row >= min(least, 1 - 1e-10))
            able = able & counted if (able & counted).any() else able
            if able.any():
                last = len(row) - 1 - int(np.where(able, row, -1)[::-1].argmax())  # of equal ones the last, as COCO's
                taken[level, box], free[last] = last, False
    return taken


def _ranked(rows: list[tuple]) -> list[Ranked]:
    """One class of all pictures: a Ranked for each threshold."""
    if not rows:
        return [Ranked(np.zeros(0, int), np.zeros(0, bool))] * len(THRESHOLDS)
    scores = np.concatenate([row[0] for row in rows])
    order = np.argsort(-scores, kind="stable")
    hit, ignored, cell = (np.concatenate([row[part] for row in rows], 1)[:, order] for part in (1, 2, 3))
    return [Ranked(cell[level][~ignored[level]], hit[level][~ignored[level]]) for level in range(len(THRESHOLDS))]


def figures(
    evidence: BoxEvidence, weights: np.ndarray, whole: dict[str, np.ndarray] | None = None
) -> dict[str, np.ndarray]:
    """FIGURES where cell k counts weights[k, b] times: (K, B) -> (B,) each; nan where nothing is there to count.

    A class that a resample lacks keeps its AP and AR of the `whole` set, as in `bootstrap.figures`.
    """
    wide = weights.T.astype(float)
    out: dict[str, np.ndarray] = {}

    def mean(name: str, values: np.ndarray) -> np.ndarray:
        """(B, C) -> (B,); the table is kept for `whole`."""
        out[f"{name} of classes"] = values = (
            np.where(np.isnan(values), whole[f"{name} of classes"], values) if whole else values
        )
        return mean_of_known(values)

    truths = wide @ evidence.truths
    out["map"] = mean(
        "map", np.stack([weighted_ap(one, weights, truths[:, c]) for c, one in enumerate(evidence.darknet)], 1)
    )
    tp, shown, faces = wide @ evidence.tp, wide @ evidence.shown, truths.sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        out |= {"precision": tp / np.maximum(shown, 1), "recall": tp / np.maximum(faces, 1)}
        out["f1"] = np.where(shown + faces > 0, 2 * tp / (shown + faces), 0)
    for name in COCO:
        out[name] = np.full(len(wide), np.nan)
    for area, matched in evidence.coco.items():
        labelled = wide @ matched.truths  # (B, C)
        levels = np.stack(
            [
                np.stack([weighted_ap(one, weights, labelled[:, c], 101) for one in ranked], 1)
                for c, ranked in enumerate(matched.ranked)
            ],
            1,
        )  # (B, C, T)
        out[f"ap{area}"] = mean(f"ap{area}", levels.mean(2))
        if area == "":
            out["ap50"], out["ap75"] = mean("ap50", levels[..., 0]), mean("ap75", levels[..., 5])
        for most, found in matched.found.items():
            name = f"ar{most}" if area == "" else f"ar{area}"
            if name not in COCO or (area and most != MOST):
                continue
            counts = (wide @ found.reshape(len(found), -1)).reshape(len(wide), *found.shape[1:])  # (B, T, C)
            with np.errstate(invalid="ignore", divide="ignore"):
                out[name] = mean(name, np.where(labelled > 0, counts.mean(1) / labelled, np.nan))
    return out
