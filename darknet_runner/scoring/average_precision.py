"""Average precision, as AlexeyAB's `detector map` computes it (src/detector.c, validate_detector_map).

Rules: every detection of a class takes the truth of its picture and class with the highest IoU above
the threshold; sorted by score over all pictures, the first to take a truth is a true positive, every
later one a false positive. AP is the area under the precision envelope (`points=0`, PASCAL VOC 2010),
or the mean over 11 or 101 recall points. TP and FP at a confidence are counted picture by picture, in the
order of the boxes: the first to take a truth is a true positive if its score is above the confidence, and
every other one above it a false positive, also behind a first one that is below it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from converters import boxes


@dataclass(frozen=True)
class APResult:
    """ap (C,), nan for a class without truths; truths, detections (C,) counts.

    `mean` is over the classes that have truths; `mean_darknet` over all classes, those without truths
    counting 0, which is what Darknet prints. `sorted_hits` has, for each class, its detections' scores (D,), best
    first, and which of them (D,) were the first to take a truth: AP by other points, and curves, follow from it.
    """

    ap: np.ndarray
    truths: np.ndarray
    detections: np.ndarray
    tp_of: np.ndarray  # (C,), at `conf`
    fp_of: np.ndarray
    mean_iou: float  # of the true positives' overlaps, averaged over tp + fp, as Darknet prints it
    iou: float
    conf: float
    points: int
    sorted_hits: tuple[tuple[np.ndarray, np.ndarray], ...] = ()

    @property
    def mean(self) -> float:
        known = self.ap[self.truths > 0]
        return float(known.mean()) if len(known) else float("nan")

    @property
    def mean_darknet(self) -> float:
        return float(np.nan_to_num(self.ap).mean()) if len(self.ap) else float("nan")

    @property
    def tp(self) -> int:
        return int(self.tp_of.sum())

    @property
    def fp(self) -> int:
        return int(self.fp_of.sum())

    @property
    def precision(self) -> float:
        return self.tp / (self.tp + self.fp) if self.tp + self.fp else 0.0

    @property
    def recall(self) -> float:
        total = int(self.truths.sum())
        return self.tp / total if total else 0.0

    @property
    def fn(self) -> int:
        return int(self.truths.sum()) - self.tp

    @property
    def f1(self) -> float:
        return 2 * self.tp / (2 * self.tp + self.fp + self.fn) if self.tp else 0.0

    def by_class(self) -> list[dict[str, float | None]]:
        """A dict a class: precision, recall and F1 at `conf`, as `rates`."""
        return [rates(int(tp), int(fp), int(truths)) for tp, fp, truths in zip(self.tp_of, self.fp_of, self.truths)]

    def by_points(self, points: int) -> np.ndarray:
        """(C,) AP by another number of recall points."""
        return np.array(
            [average_precision(taken, int(count), points) for (_, taken), count in zip(self.sorted_hits, self.truths)]
        )


def rates(tp: int, fp: int, truths: int) -> dict[str, float | None]:
    """precision, recall and F1; None where there is nothing to have a share of."""
    return {
        "precision": tp / (tp + fp) if tp + fp else None,
        "recall": tp / truths if truths else None,
        "f1": 2 * tp / (tp + fp + truths) if tp + fp + truths else None,
    }


def average_precision(taken: np.ndarray, truths: int, points: int = 0) -> float:
    """taken: (N,) bool, true positives in descending order of score; truths: how many there are to find."""
    if truths == 0:
        return float("nan")
    if len(taken) == 0:
        return 0.0
    tp = np.cumsum(taken)
    recall, precision = tp / truths, tp / np.arange(1, len(taken) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    if points == 0:
        return float(np.sum(np.diff(recall, prepend=0) * envelope))
    at = np.searchsorted(recall, np.linspace(0, 1, points) - 1e-12)
    return float(np.append(envelope, 0)[at].mean())


def mean_ap(predictions, truths, classes: int, iou: float = 0.5, conf: float = 0.25, points: int = 0) -> APResult:
    """AP per class over a set of pictures.

    predictions  a picture: (xyxy (N, 4), scores (N, C)), in `nms.darknet_order`; a score of 0 is not a detection
    truths       a picture: (xyxy (M, 4), class ids (M,)), in the same units
    conf         score above which a detection counts for tp, fp and mean_iou
    """
    per_class: list[list[tuple[float, int]]] = [[] for _ in range(classes)]  # (score, picture-unique truth index or -1)
    counts, tp, fp, offset, overlap = *np.zeros((3, classes), int), 0, 0.0
    for (xyxy, scores), (truth_xyxy, truth_ids) in zip(predictions, truths, strict=True):
        truth_ids = np.asarray(truth_ids, int)
        counts += np.bincount(truth_ids, minlength=classes)[:classes]
        scores = np.asarray(scores, float).reshape(-1, classes)
        overlaps = boxes.iou(xyxy, truth_xyxy)
        taken = set()
        for index, class_id in zip(*np.nonzero(scores > 0)):  # in order of boxes, then classes, as Darknet counts
            score, best, best_iou = scores[index, class_id], -1, 0.0
            if len(truth_ids):
                mine = np.where((truth_ids == class_id) & (overlaps[index] > iou), overlaps[index], 0)
                if mine.max() > 0:
                    best, best_iou = int(mine.argmax()), float(mine.max())
            per_class[class_id].append((score, offset + best if best >= 0 else -1))
            if score > conf and best >= 0 and best not in taken:
                tp[class_id], overlap = tp[class_id] + 1, overlap + best_iou
            elif score > conf:
                fp[class_id] += 1
            taken.add(best)
        offset += len(truth_ids)
    hits = tuple(_sorted_hits(found) for found in per_class)
    ap = np.array([average_precision(taken, int(count), points) for (_, taken), count in zip(hits, counts)])
    found = np.array([len(found) for found in per_class])
    return APResult(ap, counts, found, tp, fp, overlap / max(int(tp.sum() + fp.sum()), 1), iou, conf, points, hits)


def _sorted_hits(found):
    """Scores, best first, and which detections were the first to take a truth."""
    order = sorted(range(len(found)), key=lambda index: -found[index][0])  # stable, so equal scores keep their order
    used, taken = set(), np.zeros(len(found), bool)
    for rank, index in enumerate(order):
        truth = found[index][1]
        taken[rank] = truth >= 0 and truth not in used
        used.add(truth)
    return np.array([found[index][0] for index in order], float), taken
