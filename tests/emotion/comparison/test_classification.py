"""Figures of a classification: by hand, and against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from emotion.comparison import classification
from emotion.comparison.classification import Said

NAMES = ("Neutral", "Happy", "Sad", "Surprise")


def said_of(truth, named, names=NAMES, sure=0.7):
    """Each face named with the same score, the rest of it on the next class; None is a missed face."""
    probabilities = np.full((len(truth), len(names)), 0.0)
    for index, class_id in enumerate(named):
        probabilities[index] = np.nan
        if class_id is not None:
            probabilities[index] = 0
            probabilities[index, class_id], probabilities[index, (class_id + 1) % len(names)] = sure, 1 - sure
    return Said(names, np.array(truth, int), probabilities)


def test_by_hand():
    """Neutral: 3 faces, 2 named so, one missed. Happy: 2, one named Sad. Sad: 1, named so. Surprise does not occur."""
    said = said_of([0, 0, 0, 1, 1, 2], [0, 0, None, 1, 2, 2])
    found = classification.figures(said, top=2)
    assert said.confusion.tolist() == [[2, 0, 0, 0, 1], [0, 1, 1, 0, 0], [0, 0, 1, 0, 0], [0, 0, 0, 0, 0]]
    assert (found["faces"], found["missed"], found["accuracy"]) == (6, 1, pytest.approx(4 / 6))
    assert found["classes"]["Neutral"] == {
        "precision": 1,
        "recall": pytest.approx(2 / 3),
        "f1": pytest.approx(0.8),
        "support": 3,
    }
    assert found["classes"]["Sad"] == {"precision": 0.5, "recall": 1, "f1": pytest.approx(2 / 3), "support": 1}
    assert found["classes"]["Surprise"] == {"precision": None, "recall": None, "f1": None, "support": 0}
    assert found["macro_recall"] == pytest.approx((2 / 3 + 1 / 2 + 1) / 3) and found[
        "weighted_recall"
    ] == pytest.approx(4 / 6)
    assert found["top_k"] == pytest.approx(4 / 6)  # Happy that was named Sad: then comes Surprise
    assert found["calibration"]["faces"] == 5 and found["calibration"]["ece"] == pytest.approx(abs(4 / 5 - 0.7))


def test_nothing_at_all():
    found = classification.figures(Said(NAMES, np.zeros(0, int), np.zeros((0, 4))))
    assert (
        found["accuracy"],
        found["macro_f1"],
        found["weighted_f1"],
        found["top_k"],
        found["calibration"]["ece"],
    ) == (None,) * 5
    found = classification.figures(said_of([1, 2], [None, None]))
    assert (found["accuracy"], found["macro_f1"], found["missed"], found["calibration"]["ece"]) == (0, 0, 2, None)


@settings(deadline=None, max_examples=60, derandomize=True)
@given(st.integers(1, 60), st.integers(2, 8), st.integers(0, 10_000))
def test_against_scikit_learn(count, classes, seed):
    oracle = pytest.importorskip("sklearn.metrics", reason="scikit-learn is the oracle (extra `test`)")
    rng, names = np.random.default_rng(seed), tuple("abcdefgh"[:classes])
    probabilities = rng.dirichlet(np.ones(classes), count)
    missed = rng.random(count) < 0.2
    probabilities[missed] = np.nan
    said = Said(names, rng.integers(0, classes, count), probabilities)
    found, occurs = classification.figures(said, top=2), np.unique(said.truth)
    for average in (None, "macro", "weighted"):
        theirs = oracle.precision_recall_fscore_support(
            said.truth, said.named, labels=occurs, average=average, zero_division=0
        )
        for name, values in zip(("precision", "recall", "f1"), theirs):
            mine = [found["classes"][names[c]][name] for c in occurs] if average is None else found[f"{average}_{name}"]
            assert mine == pytest.approx(values if average is None else float(values))
    assert found["accuracy"] == pytest.approx(oracle.accuracy_score(said.truth, said.named))
    assert np.array_equal(
        said.confusion, oracle.confusion_matrix(said.truth, said.named, labels=range(classes + 1))[:classes]
    )
    if not missed.any() and classes > 2:
        assert found["top_k"] == pytest.approx(
            oracle.top_k_accuracy_score(said.truth, probabilities, k=2, labels=range(classes))
        )


@settings(deadline=None, max_examples=30, derandomize=True)
@given(st.integers(2, 40), st.integers(0, 10_000))
def test_a_resample_is_the_faces_repeated(count, seed):
    """Counted again from sums over the units, each figure is what it is on the faces as often as their unit was
    drawn.
    """
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.ones(4), count)
    probabilities[rng.random(count) < 0.1] = np.nan
    said, units = Said(NAMES, rng.integers(0, 4, count), probabilities), rng.integers(0, max(count // 2, 1), count)
    total = max(count // 2, 1)
    copies = np.stack([np.ones(total, int), *rng.multinomial(total, np.full(total, 1 / total), size=3)], 1)  # (U, B)
    found = classification.resampled(classification.counts_of(said, units, total, 2), copies)
    for column in range(copies.shape[1]):
        drawn = np.repeat(np.arange(count), copies[units, column])
        again = classification.figures(Said(NAMES, said.truth[drawn], said.probabilities[drawn]), 2)
        again["ece"] = again["calibration"]["ece"]
        for name in classification.FIGURES:
            assert found[name][column] == pytest.approx(np.nan if again[name] is None else again[name], nan_ok=True), (
                name
            )
