"""A recipe's schedules, worked out by hand: ten batches an epoch, a hundred in all."""

import itertools

import pytest

from darknet_runner.builtin.rate import Schedule
from darknet_runner.builtin.recipe import Recipe
from darknet_runner.network import cfg_file

NET = cfg_file.parse("[net]\nwidth=8\nheight=8\nchannels=1\nlearning_rate=0.5\npolicy=constant\n[avgpool]\n").net


def rates(**settings):
    schedule = Schedule(NET, Recipe(learning_rate=0.1, **settings), 10, 100)
    return [schedule(batch) for batch in range(1, 101)]


def test_the_cfg_has_the_word_unless_the_recipe_says_otherwise():
    assert rates() == [0.5] * 100
    assert rates(schedule="constant") == [0.1] * 100


def test_cosine_with_warmup():
    found = rates(schedule="cosine", warmup_epochs=1)
    assert found[:10] == pytest.approx([0.01 * batch for batch in range(1, 11)])
    assert found[10] == pytest.approx(0.1) and found[55] == pytest.approx(0.05) and found[-1] < 1e-4
    assert all(a >= b for a, b in itertools.pairwise(found[10:]))


def test_one_cycle():
    found = rates(schedule="one-cycle")
    assert (
        found[0] == pytest.approx(0.004)
        and found[30] == pytest.approx(0.1)
        and max(found) == found[30]
        and found[-1] < 1e-4
    )


def test_steps_are_taken_from_an_epoch_on():
    """x 0.9 every second epoch from the fourth on: the first fall is there, the next two epochs later."""
    found = rates(schedule="steps", step_start=4, step_epochs=2, step_factor=0.9)
    assert (
        found[39] == 0.1
        and found[40] == pytest.approx(0.09)
        and found[59] == pytest.approx(0.09)
        and found[60] == pytest.approx(0.081)
    )
