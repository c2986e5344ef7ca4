"""What a detector's boxes are worth: Darknet's mAP with precision, recall and F1, COCO's AP and AR, curves, sizes.

In: boxes with a score a class, and labelled boxes, of each picture. Out: a plain dict, ready for JSON. Darknet's
figures are those of `average_precision.mean_ap`, as `emo darknet map` prints them; COCO's are computed by
faster-coco-eval.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from darknet_runner.scoring.average_precision import mean_ap

from .metrics import number

Boxes = tuple[np.ndarray, np.ndarray]  # xyxy_px (N, 4), and scores (N, C) or class ids (N,)
SIZES = (0, 16, 32, 64, 128, float("inf"))  # pixels of a face's longer side
COCO = (
    "ap",
    "ap50",
    "ap75",
    "ap_small",
    "ap_medium",
    "ap_large",
    "ar1",
    "ar10",
    "ar100",
    "ar_small",
    "ar_medium",
    "ar_large",
)
CURVE = 201  # points of a curve that is written


def detection_figures(
    predictions: Sequence[Boxes],
    truths: Sequence[Boxes],
    sizes_wh,
    names: Sequence[str],
    conf: float = 0.25,
    iou: float = 0.5,
) -> dict:
    """The figures of a set; shares in 0..1, None where nothing is there to count.

    predictions  a picture: boxes, scores of each class, 0 for none, after NMS and down to a floor
    sizes_wh     a picture: its size in pixels
    conf         score that precision, recall, F1, TP, FP, FN and the average IoU are counted at
    """
    found = mean_ap(predictions, truths, len(names), iou, conf)
    per_class, eleven, hundred = {}, found.by_points(11), found.by_points(101)
    coco, coco_ap = coco_figures(predictions, truths, sizes_wh, names)
    for index, name in enumerate(names):
        scores, taken = found.sorted_hits[index]
        per_class[name] = {
            "truths": int(found.truths[index]),
            "detections": int(found.detections[index]),
            "ap": number(found.ap[index]),
            "ap_11": number(eleven[index]),
            "ap_101": number(hundred[index]),
            "coco_ap": coco_ap[index],
            **best_f1(scores, taken, int(found.truths[index])),
        }
    known = found.truths > 0
    return {
        "map": number(found.mean),
        "map_11": mean(eleven[known]),
        "map_101": mean(hundred[known]),
        "map_darknet": number(found.mean_darknet),
        "precision": found.precision,
        "recall": found.recall,
        "f1": found.f1,
        "tp": found.tp,
        "fp": found.fp,
        "fn": found.fn,
        "mean_iou": found.mean_iou,
        "conf": conf,
        "iou": iou,
        "coco": coco,
        "classes": per_class,
        "curves": {
            name: curve(*hits, int(count)) for name, hits, count in zip(names, found.sorted_hits, found.truths) if count
        },
    }


def best_f1(scores: np.ndarray, taken: np.ndarray, truths: int) -> dict:
    """The confidence at which F1 is best, and precision, recall and F1 there: scores (D,), best first, taken (D,)."""
    if not truths or not len(scores):
        return {"best_conf": None, "best_f1": 0.0 if truths else None, "best_precision": None, "best_recall": None}
    tp = np.cumsum(taken)
    last = np.append(scores[1:] != scores[:-1], True)  # equal scores come or go together
    f1 = np.where(last, 2 * tp / (np.arange(1, len(tp) + 1) + truths), -1)
    at = int(f1.argmax())
    return {
        "best_conf": float(scores[at]),
        "best_f1": float(f1[at]),
        "best_precision": float(tp[at] / (at + 1)),
        "best_recall": float(tp[at] / truths),
    }


def curve(scores: np.ndarray, taken: np.ndarray, truths: int) -> dict[str, list]:
    """Precision and recall at CURVE confidences from 0 to 1, and the precision envelope at CURVE recalls."""
    tp, count = np.append(0, np.cumsum(taken)), np.arange(len(taken) + 1)
    at = np.searchsorted(-scores, -np.linspace(0, 1, CURVE), side="right")  # how many have at least that score
    precision = [float(tp[n] / n) if n else None for n in at]
    envelope = np.append(np.maximum.accumulate((tp[1:] / np.maximum(count[1:], 1))[::-1])[::-1], 0)
    reached = np.searchsorted(tp[1:] / truths, np.linspace(0, 1, CURVE) - 1e-12)
    return {
        "precision": precision,
        "recall": [float(tp[n] / truths) for n in at],
        "envelope": envelope[reached].tolist(),
    }


def coco_figures(
    predictions: Sequence[Boxes], truths: Sequence[Boxes], sizes_wh, names: Sequence[str]
) -> tuple[dict, list]:
    """COCO's twelve figures (None for those without a face of the size), and AP@[.5:.95] of each class."""
    from faster_coco_eval import COCO as Set, COCOeval_faster

    annotations: list[dict] = []
    results: list[dict] = []
    for image, ((xyxy, scores), (truth_xyxy, ids)) in enumerate(zip(predictions, truths, strict=True), start=1):
        for box, class_id in zip(np.asarray(truth_xyxy, float), ids):
            x, y, w, h = box[0], box[1], box[2] - box[0], box[3] - box[1]
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image,
                    "category_id": int(class_id) + 1,
                    "bbox": [x, y, w, h],
                    "area": w * h,
                    "iscrowd": 0,
                }
            )
        for index, class_id in zip(*np.nonzero(np.asarray(scores) > 0)):
            x1, y1, x2, y2 = map(float, xyxy[index])
            results.append(
                {
                    "image_id": image,
                    "category_id": int(class_id) + 1,
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "score": float(scores[index, class_id]),
                }
            )
    if not annotations:
        return dict.fromkeys(COCO), [None] * len(names)
    images = [{"id": index, "width": int(w), "height": int(h)} for index, (w, h) in enumerate(sizes_wh, start=1)]
    categories = [{"id": index, "name": name} for index, name in enumerate(names, start=1)]
    labelled = Set({"images": images, "annotations": annotations, "categories": categories})
    judge = COCOeval_faster(labelled, labelled.loadRes(results), "bbox")
    judge.evaluate()
    judge.accumulate()
    judge.summarize()
    figures = {name: None if value < 0 else float(value) for name, value in zip(COCO, judge.stats[: len(COCO)])}
    precision = judge.eval["precision"][
        :, :, :, 0, -1
    ]  # (IoU thresholds, recalls, classes); all sizes, 100 boxes a picture
    return figures, [mean(values[values > -1]) for values in np.moveaxis(np.asarray(precision), 2, 0)]


def by_size(sides_px: np.ndarray, found: np.ndarray, right: np.ndarray) -> list[dict]:
    """Faces by the pixels of their longer side (N,): how many were found (N,), and, of those, correctly named (N,)."""
    rows = []
    for low, high in itertools.pairwise(SIZES):
        mine = (sides_px >= low) & (sides_px < high)
        hits = int(found[mine].sum())
        rows.append(
            {
                "from_px": low,
                "to_px": None if np.isinf(high) else high,
                "faces": int(mine.sum()),
                "missed": int(mine.sum()) - hits,
                "right": int((found & right)[mine].sum()),
            }
        )
    return rows


def mean(values: np.ndarray) -> float | None:
    return float(np.mean(values)) if len(values) else None
