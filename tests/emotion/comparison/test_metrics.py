import math

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from converters import boxes
from converters.errors import UsageError
from emotion.comparison import metrics


def test_match_takes_the_best_overlap_first():
    """a0 overlaps b0 by 0.6 and b1 by 0.9: b1 is its; then a1 may have b0."""
    a = np.array([(0, 0, 10, 10), (0, 0, 10, 4)], float)
    b = np.array([(0, 0, 10, 6), (0, 0, 10, 9)], float)  # a0: .6, .9; a1: 4/6, 4/9
    assert metrics.match(a, b, 0.5).tolist() == [[0, 1], [1, 0]]
    assert metrics.match(a, b, 0.7).tolist() == [[0, 1]]
    assert metrics.match(a[:0], b).shape == (0, 2) and metrics.match(a, b[:0]).shape == (0, 2)


def test_an_overlap_of_exactly_the_threshold_counts():
    assert len(metrics.match(np.array([(0, 0, 10, 10.0)]), np.array([(0, 0, 10, 5.0)]), 0.5)) == 1


@settings(deadline=None)
@given(st.integers(0, 15), st.integers(0, 15), st.integers(0, 1000))
def test_matches_are_one_to_one_and_symmetric(count_a, count_b, seed):
    rng = np.random.default_rng(seed)

    def some(count):
        low = rng.uniform(0, 20, (count, 2))
        return np.hstack([low, low + rng.uniform(3, 20, (count, 2))])

    a, b = some(count_a), some(count_b)
    pairs = metrics.match(a, b, 0.3)
    overlaps = boxes.iou(a, b)
    assert len(set(pairs[:, 0])) == len(set(pairs[:, 1])) == len(pairs)
    assert all(overlaps[i, j] >= 0.3 for i, j in pairs)
    assert sorted(map(tuple, metrics.match(b, a, 0.3)[:, ::-1])) == sorted(map(tuple, pairs))
    left = np.delete(np.delete(overlaps, pairs[:, 0], 0), pairs[:, 1], 1)
    assert left.size == 0 or left.max() < 0.3  # nothing more could be matched


def test_accuracy_and_f1_by_hand():
    confusion = np.array([(3, 1, 0), (1, 2, 1), (0, 0, 0)])  # the third class never occurs, but is once predicted
    assert metrics.accuracy(confusion) == 5 / 8
    f1 = metrics.f1_per_class(confusion)
    assert f1[:2] == pytest.approx([2 * 3 / (4 + 4), 2 * 2 / (4 + 3)]) and np.isnan(f1[2])
    assert metrics.macro_f1(confusion) == pytest.approx((6 / 8 + 4 / 7) / 2)
    nothing = np.zeros((3, 3), int)
    assert metrics.accuracy(nothing) is None and metrics.macro_f1(nothing) is None


def test_classes_are_mapped_by_name():
    class Detector:
        name, names = "x", ("Sad", "Happy", "Contempt")

    assert metrics.columns(Detector, ("Happy", "Sad")) == [1, 0]
    with pytest.raises(UsageError, match="does not know Fear"):
        metrics.columns(Detector, ("Happy", "Fear"))


def test_mcnemar_by_hand():
    """1 against 8: 2 x (1 + 9) / 2^9."""
    assert metrics.mcnemar(1, 8) == metrics.mcnemar(8, 1) == pytest.approx(20 / 512)
    assert metrics.mcnemar(0, 5) == pytest.approx(2 / 32) and metrics.mcnemar(4, 4) == 1 and metrics.mcnemar(0, 0) == 1
    assert metrics.mcnemar(9, 12) == pytest.approx(2 * sum(math.comb(21, k) for k in range(10)) / 2**21)
    assert 0 < metrics.mcnemar(900, 1100) < 1e-4  # no overflow


def test_calibration_by_hand():
    """Two faces at 0.9, one right: |0.5 - 0.9|; two at 0.55 and 0.65, both right, a bin each; 1.0 belongs to the
    last bin.
    """
    found = metrics.calibration([0.9, 0.9, 0.55, 0.65, 1.0], [1, 0, 1, 1, 1])
    assert found["ece"] == pytest.approx((2 * 0.4 + 0.45 + 0.35 + 0) / 5)
    assert [row["faces"] for row in found["bins"]] == [0, 0, 0, 0, 0, 1, 1, 0, 2, 1]
    assert (
        found["bins"][8] == {"low": 0.8, "high": 0.9, "faces": 2, "confidence": 0.9, "accuracy": 0.5}
        and found["bins"][0]["accuracy"] is None
    )
    assert (found["faces"], found["confidence"], found["accuracy"]) == (5, pytest.approx(0.8), 0.8)
    empty = metrics.calibration([], [])
    assert (empty["ece"], empty["faces"], empty["confidence"]) == (None, 0, None)


def test_a_calibrated_score_has_no_error():
    rng = np.random.default_rng(0)
    score = rng.random(200_000)
    assert metrics.calibration(score, rng.random(200_000) < score)["ece"] < 0.01
    assert metrics.calibration(score, rng.random(200_000) < score / 2)["ece"] == pytest.approx(0.25, abs=0.01)
