"""The score below which an emotion is uncertain: found where half of the faces are correct, put into the card."""

import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

SCRIPTS = Path(__file__).parents[1] / "scripts"


@pytest.fixture
def uncertain(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import uncertain_below

    yield uncertain_below
    sys.modules.pop("uncertain_below")


@pytest.mark.parametrize("half", [0.35, 0.5, 0.72])
def test_the_threshold_is_where_half_are_right(uncertain, half):
    """Rightness grows with the score and passes a half at `half`; 40,000 faces, so that chance moves it little."""
    rng = np.random.default_rng(0)
    scores = rng.uniform(0.15, 1, 40_000)
    right = rng.random(40_000) < np.clip(0.5 + 0.8 * (scores - half), 0, 1)
    assert uncertain.threshold(scores, right) == pytest.approx(half, abs=0.04)


def test_by_hand(uncertain):
    found = lambda scores, right: uncertain.threshold(np.array(scores), np.array(right, bool))
    assert found([0.9, 0.2, 0.3, 0.8], [1, 0, 0, 1]) == 0.8
    assert found([0.2, 0.3, 0.4, 0.5], [0, 0, 1, 0]) == 0.4  # a half of the upper two, which go the wrong way
    assert found([0.2, 0.9], [1, 1]) == 0.0 and found([0.2, 0.9], [0, 0]) == 1.0 and found([], []) == 1.0


@pytest.mark.parametrize(
    "card",
    [
        'name = "a"\n\n[calibration]\ntemperature = 1.1\nuncertain_below = 0.9\n\n[metrics."x"]\ntop1 = 0.5\n',
        'name = "a"\n\n[metrics."x"]\ntop1 = 0.5\n',
        'name = "a"\n',
        'name = "a"\n\n[calibration]\ntemperature = 1.1\n',
    ],
)
def test_a_card_keeps_all_else(uncertain, tmp_path, card):
    path = tmp_path / "model.toml"
    path.write_text(card)
    told = {"uncertain_below": 0.41, "uncertain_found_on": "x valid"}
    for _ in range(2):  # a second time changes nothing more
        uncertain.into_card(path, told)
        read, before = tomllib.loads(path.read_text()), tomllib.loads(card)
        assert read.pop("calibration") == before.pop("calibration", {}) | told
        assert read == before
