"""The paired bootstrap against AP computed anew, cases with a known answer, and coverage on simulated sets."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from darknet_runner.scoring.average_precision import mean_ap
from emotion.comparison import bootstrap
from emotion.comparison.bootstrap import Evidence, Ranked
from emotion.comparison.units import Units

CLASSES = 3


def units_of(pictures):
    return Units.nested("picture", np.asarray(pictures))


def some_pictures(count, seed):
    """Predictions and truths of `count` pictures: up to two faces, up to six boxes near them, some scores 0."""
    rng, predictions, truths = np.random.default_rng(seed), [], []
    for _ in range(count):
        faces, found = rng.integers(0, 3), rng.integers(0, 7)
        low = rng.uniform(0, 100, (faces, 2))
        truth = np.hstack([low, low + rng.uniform(20, 60, (faces, 2))])
        near = truth[rng.integers(0, faces, found)] if faces else rng.uniform(0, 100, (found, 4))
        predictions.append(
            (near + rng.normal(0, 5, (found, 4)), rng.random((found, CLASSES)) * (rng.random((found, CLASSES)) < 0.7))
        )
        truths.append((truth, rng.integers(0, CLASSES, faces)))
    return predictions, truths


def counts(truths):
    return np.array([np.bincount(ids, minlength=CLASSES) for _, ids in truths])


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 25), st.integers(0, 10_000))
def test_ap_of_a_resample_is_that_of_the_pictures_repeated(count, seed):
    predictions, truths = some_pictures(count, seed)
    ranked = bootstrap.rank(predictions, truths, CLASSES, units_of(np.arange(count)))
    copies = np.stack(
        [np.ones(count, int), *np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=3)], 1
    )  # (P, 4)
    mine = np.stack(
        [
            bootstrap.weighted_ap(each, copies.astype(np.int32), counts(truths)[:, c] @ copies)
            for c, each in enumerate(ranked)
        ],
        1,
    )
    for column in range(4):
        drawn = np.repeat(np.arange(count), copies[:, column])
        again = mean_ap([predictions[i] for i in drawn], [truths[i] for i in drawn], CLASSES)
        np.testing.assert_allclose(mine[column], again.ap, atol=1e-12)  # nan where nan


def evidence(right, wrong=None, missed=None, extra=None):
    """(P,) faces of class 0 named correctly, as class 1, missed; every face found is a detection that ranks by
    picture.
    """
    right = np.asarray(right)
    wrong, missed, extra = (
        np.zeros_like(right) if each is None else np.asarray(each) for each in (wrong, missed, extra)
    )
    confusion = np.zeros((len(right), 2, 2), int)
    confusion[:, 0, 0], confusion[:, 0, 1] = right, wrong
    truths = np.stack([right + wrong + missed, np.zeros_like(right)], 1)
    hits = Ranked(np.repeat(np.arange(len(right)), right), np.ones(right.sum(), bool))
    faces = Ranked(np.repeat(np.arange(len(right)), right + wrong), np.ones((right + wrong).sum(), bool))
    return Evidence(
        [hits, Ranked(np.zeros(0, int), np.zeros(0, bool))],
        faces,
        truths,
        confusion,
        missed,
        extra,
        np.ones(len(right), int),
    )


def test_figures_of_the_whole_set_by_hand():
    """Four pictures of one face: right, right, wrong, missed; three extra boxes."""
    found = bootstrap.figures(
        evidence([1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 3]),
        np.array([[1, 2], [1, 0], [1, 1], [1, 1]], np.int32),
    )
    assert found["accuracy"].tolist() == pytest.approx([2 / 3, 2 / 3]) and found["face_ap"].tolist() == [0.75, 0.75]
    assert (
        found["map"].tolist() == [0.5, 0.5] and found["missed"].tolist() == [1, 1] and found["extra"].tolist() == [3, 3]
    )
    assert found["macro_f1"].tolist() == pytest.approx([0.8, 0.8])  # 2 x 2 / (3 + 2); class 1 has no truths


def test_missed_and_extra_faces_are_of_as_many_faces_and_pictures_as_the_set_has():
    """One face missed, three found in another picture, with an extra box: the first twice is 2 of 2, so 4 of 4; 0
    extra.
    """
    found = bootstrap.figures(evidence([0, 3], missed=[1, 0], extra=[0, 1]), np.array([[2, 0, 3], [0, 2, 3]], np.int32))
    assert found["missed"].tolist() == [4, 0, 1] and found["extra"].tolist() == [0, 2, 1]


def test_map_does_not_jump_when_its_rare_class_is_not_drawn():
    """Forty faces of one class, all found, and one of another, never: mAP is 0.5 in every resample, not 1 in a
    third of them.
    """
    truths, confusion = np.zeros((41, 2), int), np.zeros((41, 2, 2), int)
    truths[:40, 0] = truths[40, 1] = confusion[:40, 0, 0] = 1
    hits, none = Ranked(np.arange(40), np.ones(40, bool)), Ranked(np.zeros(0, int), np.zeros(0, bool))
    one = Evidence(
        [hits, none], hits, truths, confusion, np.eye(41, dtype=int)[40], np.zeros(41, int), np.ones(41, int)
    )
    found = bootstrap.paired([one, one], units_of(np.arange(41)), 200)
    assert (
        found["map"]["systems"][0] == {"value": 0.5, "low": 0.5, "high": 0.5}
        and found["missed"]["systems"][0]["high"] > 1
    )


def test_a_class_that_a_resample_lacks_keeps_its_own_figures():
    two = Evidence(
        [Ranked(np.array([0]), np.array([True])), Ranked(np.array([0, 1]), np.array([False, True]))],
        Ranked(np.array([0, 1]), np.array([True, True])),
        np.eye(2, dtype=int),
        np.array([[[1, 0], [0, 0]], [[0, 0], [0, 1]]]),
        np.zeros(2, int),
        np.zeros(2, int),
        np.ones(2, int),
    )
    once, first = np.ones((2, 1), np.int32), np.array([[2], [0]], np.int32)
    whole = bootstrap.figures(two, once)
    assert (
        whole["map"] == 0.75
        and bootstrap.figures(two, first)["map"] == 1
        and bootstrap.figures(two, first, whole)["map"] == 0.75
    )


def test_no_difference_where_there_is_none_and_one_where_there_is():
    rng = np.random.default_rng(0)
    right = (rng.random(300) < 0.7).astype(int)
    one, units = evidence(right, 1 - right, extra=rng.integers(0, 2, 300)), units_of(np.arange(300))
    same = bootstrap.paired([one, one], units, 300, 0)
    for figure in same.values():
        assert figure["differences"][0] == {"pair": [0, 1], "value": 0, "low": 0, "high": 0, "shown": False}
        assert figure["systems"][0] == figure["systems"][1]
    low, high = (same["accuracy"]["systems"][0][end] for end in ("low", "high"))
    wide = 1.96 * np.sqrt(right.mean() * (1 - right.mean()) / 300)  # the normal approximation
    assert (low, high) == pytest.approx((right.mean() - wide, right.mean() + wide), abs=0.012)
    better = np.maximum(right, rng.random(300) < 0.5)
    found = bootstrap.paired([one, evidence(better, 1 - better)], units, 300, 0)
    assert found["accuracy"]["differences"][0]["shown"] and found["accuracy"]["differences"][0]["low"] > 0
    assert found["extra"]["differences"][0]["shown"] and found["extra"]["differences"][0]["high"] < 0
    assert found["missed"]["differences"][0] == {"pair": [0, 1], "value": 0, "low": 0, "high": 0, "shown": False}


def test_the_seed_decides():
    one, other = evidence([1, 0] * 20, [0, 1] * 20), evidence([1, 1, 0, 1] * 10, [0, 0, 1, 0] * 10)
    units = Units("group", np.arange(40), np.arange(40)[:, None] // 2)
    assert (
        bootstrap.paired([one, other], units, 120, 3)
        == bootstrap.paired([one, other], units, 120, 3)
        != bootstrap.paired([one, other], units, 120, 4)
    )


def test_a_class_of_too_few_people_decides_nothing():
    """Twelve people with a face of class 0 in two pictures each, nine of them with one of class 1 as well."""
    truths, units = np.zeros((24, 3), int), Units("group", np.arange(24), np.arange(24)[:, None] // 2)
    truths[:, 0] = 1
    truths[:18, 1] = 1
    assert bootstrap.scarce(truths, units) == {1: 9} and bootstrap.scarce(truths, units_of(np.arange(24))) == {}


def test_too_few_units_give_no_intervals():
    one = evidence([1] * 40)
    few, enough = (Units("group", np.arange(40), np.arange(40)[:, None] % count) for count in (9, 10))
    assert bootstrap.paired([one, one], few, 100) is None and bootstrap.paired([one, one], enough, 100) is not None


def test_intervals_hold_the_truth_as_often_as_they_say():
    """120 simulated sets of 80 people with 1 to 5 pictures, alike within a person: 95% of the intervals by person hold
    the true share and the true difference, and those by picture, which take a person's pictures as independent, fewer.
    """
    rng, sets = np.random.default_rng(1), 120
    held = {"share": 0, "difference": 0, "by picture": 0}
    for _ in range(sets):
        people = np.repeat(np.arange(80), rng.integers(1, 6, 80))
        ease = rng.beta(1.4, 0.6, 80)[people]  # mean 0.7
        one = (rng.random(len(people)) < ease).astype(int)
        other = (rng.random(len(people)) < 0.9 * ease).astype(int)  # 0.63 on average
        pair = evidence(one, 1 - one), evidence(other, 1 - other)
        found = bootstrap.paired(pair, Units("group", np.arange(len(people)), people[:, None]), 200, 0)["accuracy"]
        held["share"] += found["systems"][0]["low"] <= 0.7 <= found["systems"][0]["high"]
        held["difference"] += found["differences"][0]["low"] <= -0.07 <= found["differences"][0]["high"]
        loose = bootstrap.paired(pair, units_of(np.arange(len(people))), 200, 0)["accuracy"]["systems"][0]
        held["by picture"] += loose["low"] <= 0.7 <= loose["high"]
    assert 0.91 <= held["share"] / sets <= 0.99 and 0.91 <= held["difference"] / sets <= 0.99, held
    assert held["by picture"] / sets < 0.88, held
