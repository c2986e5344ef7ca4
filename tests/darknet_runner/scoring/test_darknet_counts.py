"""TP, FP and average IoU at a confidence, as AlexeyAB's `detector map` counts them: src/detector.c, box by box."""

import numpy as np
import pytest

from converters import boxes
from darknet_runner.network.cfg_file import parse
from darknet_runner.scoring.average_precision import mean_ap
from darknet_runner.scoring.nms import darknet_order, diou_beta, nms, overlap
from emotion.comparison import box_intervals
from emotion.comparison.units import Units

TRUTH = [(np.array([[0.0, 0, 100, 100]]), np.array([0]))]


@pytest.mark.parametrize(
    ("scores", "conf", "tp", "fp", "mean_iou"),
    [
        ((0.9, 0.1), 0.25, 1, 0, 0.6),
        ((0.1, 0.9), 0.25, 0, 1, 0),  # the first box has taken the face, though it is too weak to count
        ((0.1, 0.9), 0.05, 1, 1, 0.3),
        ((0.9, 0.8), 0.25, 1, 1, 0.3),
        ((0.8, 0.9), 0.25, 1, 1, 0.3),  # the first in order takes it, not the surest
    ],
)
def test_by_hand(scores, conf, tp, fp, mean_iou):
    """Two boxes, the first of IoU 0.6 and the second of 0.7 with the one face."""
    found = [(np.array([[0.0, 0, 100, 60], [0, 0, 100, 70]]), np.array(scores)[:, None])]
    result = mean_ap(found, TRUTH, 1, 0.5, conf)
    assert (result.tp, result.fp, result.fn) == (tp, fp, 1 - tp)
    assert result.mean_iou == pytest.approx(mean_iou) and result.mean == 1
    (row,) = result.by_class()
    assert (row["precision"], row["recall"]) == (tp / (tp + fp), tp)
    evidence = box_intervals.box_evidence(found, TRUTH, 1, Units.nested("picture", np.arange(1)), conf, 0.5)
    assert (evidence.tp.tolist(), evidence.shown.tolist()) == ([tp], [tp + fp])


def darknets(pictures, classes, conf, beta):
    """do_nms_sort (or diounms_sort), then validate_detector_map's loop, step by step."""
    tp, fp, overlaps = [0] * classes, [0] * classes, 0.0
    for xyxy, scores, truth_xyxy, ids in pictures:
        scores, order = scores.copy(), list(range(len(xyxy)))
        close = overlap(xyxy, xyxy, beta) > 0.45
        for kind in range(classes):
            order.sort(key=lambda box, kind=kind, scores=scores: -scores[box, kind])
            for place, better in enumerate(order):
                for worse in order[place + 1 :] if scores[better, kind] else ():
                    scores[worse, kind] *= not close[better, worse]
        taken = []
        for box in order:
            for kind in np.flatnonzero(scores[box]):
                fitting = [
                    (value, -place)
                    for place, value in enumerate(boxes.iou(xyxy[box : box + 1], truth_xyxy)[0])
                    if value > 0.5 and ids[place] == kind
                ]
                value, place = max(fitting, default=(0, None))
                hit = place is not None and place not in taken
                taken.append(place)
                if scores[box, kind] > conf:
                    tp[kind], fp[kind], overlaps = tp[kind] + hit, fp[kind] + (not hit), overlaps + value * hit
    return tp, fp, overlaps / max(sum(tp) + sum(fp), 1)


@pytest.mark.parametrize("beta", [None, 0.6])
def test_as_darknet_counts_crowded_boxes(beta):
    rng, classes, moved = np.random.default_rng(7), 3, 0
    for _ in range(40):
        pictures = []
        for _ in range(3):
            low, count = rng.uniform(0, 300, (int(rng.integers(1, 4)), 2)), int(rng.integers(0, 10))
            truth = np.hstack([low, low + rng.uniform(40, 80, low.shape)])
            near = truth[rng.integers(0, len(low), count)] + rng.normal(0, 8, (count, 4))
            xyxy = np.sort(near.reshape(-1, 2, 2), 1)
            scores = rng.random((count, classes)) * (rng.random((count, classes)) < 0.7)
            pictures.append((xyxy.reshape(-1, 4), scores, truth, rng.integers(0, classes, len(low))))
        truths = [picture[2:] for picture in pictures]
        found = []
        for xyxy, scores, *_ in pictures:
            order = darknet_order(scores)
            found.append((xyxy[order], nms(xyxy[order], scores[order], 0.45, beta)))
        result = mean_ap(found, truths, classes, 0.5, 0.25)
        tp, fp, mean_iou = darknets(pictures, classes, 0.25, beta)
        assert (result.tp_of.tolist(), result.fp_of.tolist()) == (tp, fp)
        assert result.mean_iou == pytest.approx(mean_iou, abs=1e-12)
        moved += result.tp != sum(taken[scores > 0.25].sum() for scores, taken in result.sorted_hits)
    assert moved  # the order of the boxes decided something


@pytest.mark.parametrize(
    ("lines", "beta"),
    [
        ("", None),
        ("nms_kind=default\nbeta_nms=0.9", None),
        ("nms_kind=greedynms", 0.6),
        ("nms_kind=greedynms\nbeta_nms=0.9", 0.6),  # not read: src/box.c, box_diou
        ("nms_kind=diounms\nbeta_nms=0.9", 0.9),
        ("nms_kind=diounms", 0.6),
        ("nms_kind=cornersnms", None),
    ],
)
def test_the_nms_that_a_cfg_asks_for(lines, beta):
    assert diou_beta(parse(f"[net]\nwidth=32\nheight=32\n[yolo]\n{lines}\n").layers[-1]) == beta
