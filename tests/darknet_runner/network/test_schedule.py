"""Epochs and batches: the example of the issue, and that one way undoes the other."""

import pytest
from hypothesis import given, strategies as st

from converters.errors import UsageError
from darknet_runner.network.schedule import plan


def test_affectnets_400000_batches_are_90_epochs():
    # 400,000 x 64 / 283,901 = 90.17
    schedule = plan(283_901, 64, max_batches=400_000)
    assert round(schedule.epochs) == 90
    assert schedule.steps == (320_000, 360_000) and schedule.burn_in == 1000
    # 90 x 283,901 / 64 = 399,235.8
    assert plan(283_901, 64, epochs=90).max_batches == 399_236
    assert plan(283_901, 64, epochs=90, round_to=1000).max_batches == 400_000


@given(st.integers(1, 10**6), st.integers(1, 512), st.integers(1, 10**6))
def test_there_and_back(images, batch, batches):
    schedule = plan(images, batch, max_batches=batches)
    assert plan(images, batch, epochs=schedule.epochs).max_batches == batches
    first, second = schedule.steps
    assert 0 <= first <= second <= batches and schedule.burn_in <= batches / 10


def test_the_options_are_those_of_a_cfg():
    assert plan(1000, 10, epochs=1).net == {
        "batch": 10,
        "burn_in": 10,
        "max_batches": 100,
        "policy": "steps",
        "steps": "80,90",
        "scales": ".1,.1",
    }


@pytest.mark.parametrize("settings", [{}, {"epochs": 1, "max_batches": 1}, {"epochs": 0}, {"max_batches": -1}])
def test_one_of_the_two_is_needed(settings):
    with pytest.raises(UsageError):
        plan(100, 10, **settings)


@pytest.mark.parametrize(("images", "batch", "round_to"), [(0, 1, 1), (1, 0, 1), (1, 1, 0)])
def test_counts_are_positive(images, batch, round_to):
    with pytest.raises(UsageError):
        plan(images, batch, epochs=1, round_to=round_to)
