"""splits: properties of assignment and balance."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, strategies as st

from converters.errors import UsageError
from converters.table import splits

groups = st.lists(st.text(min_size=1, max_size=6), max_size=40)


@given(groups, groups, st.integers(0, 5))
def test_as_a_set_grows_nobody_changes_side(before, added, seed):
    shares = {"valid": 0.2, "test": 0.1}
    small, large = splits.assign(before, shares, seed), splits.assign(added + before, shares, seed)
    assert large[len(added) :] == small
    sides = {}
    for group, side in zip(added + before, large):
        assert sides.setdefault(group, side) == side  # one side a group


@given(st.lists(st.lists(st.integers(0, 12).map(str), min_size=1, max_size=3), max_size=12), st.randoms())
def test_pictures_that_share_a_group_have_one_name_whatever_their_order(keys, random):
    names = splits.joined(keys)
    for some, name in zip(keys, names):
        assert all(name == other for more, other in zip(keys, names) if set(some) & set(more))
        if len(some) == 1 and all(some == more for more in keys if set(some) & set(more)):
            assert name == some[0]
    order = random.sample(range(len(keys)), len(keys))
    assert splits.joined([keys[i] for i in order]) == [names[i] for i in order]
    assert len(set(names)) == len(_islands(keys))


def _islands(keys):
    """Sets of groups that hang together, by the plainest means."""
    islands = []
    for some in map(set, keys):
        islands = [island for island in islands if not island & some] + [
            some.union(*(island for island in islands if island & some))
        ]
    return islands


@given(st.integers(0, 100), st.floats(0, 0.4), st.floats(0, 0.4), st.floats(0, 0.2))
def test_a_larger_share_takes_from_train_alone(seed, valid, test, more):
    names = [f"person {number}" for number in range(60)]
    small, large = (splits.assign(names, {"valid": valid, "test": share}, seed) for share in (test, test + more))
    assert all(a == b or (a, b) == ("train", "test") for a, b in zip(small, large))


def test_shares_are_kept_on_average_and_seeds_differ():
    names = [f"{number}" for number in range(20_000)]
    sides = splits.assign(names, {"valid": 0.15, "test": 0.05})
    counts = Counter(sides)
    assert abs(counts["valid"] / 20_000 - 0.15) < 0.01 and abs(counts["test"] / 20_000 - 0.05) < 0.006
    assert splits.assign(names, {"valid": 0.15, "test": 0.05}, seed=1) != sides


def test_known_sides():
    """A golden list: a change of the hash would move everybody in every split that people have made.

    BLAKE2b of "0" NUL name, 7 bytes over 2^56: 0.987, 0.301, 0.707, 0.802, 0.723, 0.156.
    """
    assert splits.assign(["anna", "ben", "cem", "dora", "emil", "finn"], {"valid": 0.3, "test": 0.3}) == [
        "train",
        "test",
        "train",
        "train",
        "train",
        "valid",
    ]


@pytest.mark.parametrize("shares", [{"valid": 1.2}, {"valid": 0.6, "test": 0.6}, {"valid": -0.1}, {"train": 0.5}])
def test_shares_that_make_no_sense(shares):
    with pytest.raises(UsageError):
        splits.assign(["a"], shares)


@given(st.lists(st.lists(st.integers(0, 3), max_size=3), max_size=30), st.floats(1, 10), st.floats(0, 1))
def test_repeats_stay_between_one_and_the_cap(ids, cap, power):
    factors = splits.repeats(ids, 4, cap, power)
    assert factors.shape == (len(ids),) and ((factors >= 1) & (factors <= cap)).all()
    assert all(factor == 1 for factor, row in zip(factors, ids) if not row)


def test_repeats_by_hand():
    # 8 faces of class 0, 4 of class 1, 1 of class 2: factors 1, 2 and 8 -> capped at 4; a picture takes its rarest.
    ids = [[0]] * 7 + [[1]] * 3 + [[0, 1, 2]]
    assert splits.repeats(ids, 3, cap=4).tolist() == [1] * 7 + [2] * 3 + [4]
    assert splits.repeats(ids, 3, cap=9, power=0.5).tolist() == pytest.approx([1] * 7 + [2**0.5] * 3 + [8**0.5])
    for bad in ({"cap": 0.5}, {"power": 1.5}):
        with pytest.raises(UsageError):
            splits.repeats(ids, 3, **bad)


@given(st.lists(st.floats(1, 5), max_size=40))
def test_a_repeated_list_holds_every_picture_within_one_of_its_factor(factors):
    names = [f"{number}.jpg" for number in range(len(factors))]
    longer = splits.repeated(names, np.array(factors))
    counts = Counter(longer)
    assert longer[: len(names)] == names and set(longer) == set(names)
    assert all(
        int(factor) <= counts[name] <= int(factor) + 1 and (factor % 1 or counts[name] == factor)
        for name, factor in zip(names, factors)
    )


def test_fractions_come_out_on_average():
    names = [f"{number}.jpg" for number in range(4000)]
    assert abs(len(splits.repeated(names, np.full(4000, 2.3))) / 4000 - 2.3) < 0.03
