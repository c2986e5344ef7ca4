"""The search of settings: every combination once, what was cut off again, bad ones given up, the best written as a
recipe.
"""

import csv

import pytest

optuna = pytest.importorskip("optuna", reason="the search needs Optuna")

from converters.errors import RunError, UsageError
from darknet_runner.builtin import recipe as recipes
from darknet_runner.builtin.recipe import Recipe
from darknet_runner.run.search import Dimension, Search, parse_space

GRID = ["lr=0.1,0.01,0.001", "optimizer=sgd,adam"]


def score(changes):
    """The best is lr = 0.01 with adam."""
    return 1 - abs(float(changes["learning_rate"]) - 0.01) - (changes["optimizer"] == "sgd") * 0.001


def test_a_grid_is_all_combinations_once_and_the_best_is_a_recipe(tmp_path):
    seen = []
    search = Search(tmp_path, parse_space(GRID), "grid")
    assert search.trials == 6
    assert search.run(lambda number, changes, report: seen.append(changes) or score(changes))
    assert len(seen) == 6 and len({tuple(item.items()) for item in seen}) == 6
    assert search.best(Recipe(epochs=3)) == Recipe(epochs=3, learning_rate=0.01, optimizer="adam")
    search.write(Recipe(name="mine", epochs=3), "top1")
    assert recipes.load(str(tmp_path / "best.toml")) == Recipe(
        name="mine", epochs=3, learning_rate=0.01, optimizer="adam"
    )
    assert (tmp_path / "trials.png").read_bytes()[:4] == b"\x89PNG"
    with open(tmp_path / "trials.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6 and rows[0]["learning_rate"] == "0.01" and rows[0]["optimizer"] == "adam"
    # All is done: nothing is trained again.
    assert Search(tmp_path, parse_space(GRID), "grid").run(lambda *_: pytest.fail("trained again"))


def test_a_trial_has_one_number_in_all_that_is_told(tmp_path, monkeypatch):
    """Also that which was cut off: it keeps its own, and its settings come again under the next one."""
    from matplotlib.figure import Figure

    numbers, figures = [], []
    monkeypatch.setattr(Figure, "savefig", lambda self, path, **_: (figures.append(self), open(path, "w").close()))

    def train(number, changes, report):
        numbers.append((number, changes["learning_rate"]))
        return None if len(numbers) == 2 else float(changes["learning_rate"])

    assert not Search(tmp_path, parse_space(["lr=1,3,2"]), "grid").run(train)
    search = Search(tmp_path, parse_space(["lr=1,3,2"]), "grid")
    assert search.run(train)
    assert numbers == [(1, "1"), (2, "3"), (3, "2"), (4, "3")]
    search.write(Recipe(), "top1")
    with open(tmp_path / "trials.csv", newline="") as file:
        assert [row["trial"] for row in csv.DictReader(file)] == ["4", "3", "1"]
    assert "best of 3 trials, number 4: top1 3.0000" in (tmp_path / "best.toml").read_text()
    trial, setting = figures[-1].axes[:2]
    assert list(trial.lines[0].get_xdata()) == [4, 3, 1] and all(tick == int(tick) for tick in trial.get_xticks())
    assert [text.get_text() for text in setting.get_xticklabels()] == ["1", "3", "2"]


def test_a_logarithmic_axis_shows_the_whole_range(tmp_path, monkeypatch):
    """Of two rates close together matplotlib writes a label each tenth, one over the other."""
    from matplotlib.figure import Figure

    figures = []
    monkeypatch.setattr(Figure, "savefig", lambda self, path, **_: (figures.append(self), open(path, "w").close()))
    search = Search(tmp_path, parse_space(["lr=0.001..0.1"]), "tpe")
    rows = [{"trial": n, "value": n, "state": "complete", "learning_rate": 0.01 + n / 1000} for n in (2, 1)]
    search._draw(rows, "top1")
    low, high = figures[-1].axes[1].get_xlim()
    assert low < 0.001 and high > 0.1


@pytest.mark.parametrize("how", ["asked", "error", "killed"])
def test_what_was_cut_off_is_tried_again(tmp_path, how):
    seen = []

    def train(number, changes, report):
        seen.append(changes)
        if len(seen) == 3:
            if how == "asked":
                return None
            raise KeyboardInterrupt
        return score(changes)

    search = Search(tmp_path, parse_space(GRID), "grid")
    if how == "asked":
        assert not search.run(train, "here")
    elif how == "error":
        with pytest.raises(KeyboardInterrupt):
            search.run(train, "here")
    else:  # nobody could say that it ended
        search._again = lambda *_: None
        with pytest.raises(KeyboardInterrupt):
            search.run(train, "here")
    rest = Search(tmp_path, parse_space(GRID), "grid")
    assert rest.run(train, "here")
    assert len(seen) == 7 and seen.count(seen[2]) == 2 and rest.done == 6


def test_tpe_stays_in_its_ranges_counts_all_machines_and_finds_the_middle(tmp_path):
    space = parse_space(["lr=0.0001..0.1", "rotate=0..20"])
    storage = f"sqlite:///{tmp_path / 'shared.db'}"
    seen = []

    def train(number, changes, report):
        seen.append(changes)
        return -abs(changes["rotate"] - 10)

    one = Search(tmp_path, space, "tpe", trials=12, storage=storage, seed=1)
    assert one.run(lambda *args: train(*args) if len(seen) < 7 else None, "one") is False
    assert Search(tmp_path, space, "tpe", trials=12, storage=storage, seed=2).run(train, "two")
    assert one.done == 12
    assert all(0.0001 <= item["learning_rate"] <= 0.1 and 0 <= item["rotate"] <= 20 for item in seen)
    assert abs(one.table()[0]["rotate"] - 10) < 4


def test_what_goes_on_draws_nothing_twice_and_the_same_seed_the_same(tmp_path):
    space, drawn = parse_space(["lr=0.001..0.1"]), []
    for name, machines in (("a", 3), ("b", 1)):
        drawn.append([])
        for machine in range(machines):  # or the same one, cut off and resumed
            storage = f"sqlite:///{tmp_path / name}.db"
            search = Search(tmp_path, space, "tpe", trials=(machine + 1) * 3 // machines, storage=storage, seed=3)
            search.run(lambda number, changes, report: drawn[-1].append(changes["learning_rate"]) or 0.5)
    assert drawn[0] == drawn[1] and len(set(drawn[0])) == 3


def test_bad_trials_are_given_up_early_and_told(tmp_path):
    lengths = {}

    def train(number, changes, report):
        value = 0.9 - 0.1 * float(changes["mixup"])
        for step in range(10):
            lengths[changes["mixup"]] = step + 1
            if report(value * (step + 1) / 10):
                return value
        return value

    search = Search(tmp_path, parse_space(["mixup=0,1,2,3,4,5"]), "grid")
    search.run(train)
    assert lengths["0"] == 10 and lengths["5"] < 10
    states = {row["mixup"]: row["state"] for row in search.table()}
    assert states["0"] == "complete" and states["5"] == "pruned"
    assert search.table()[0]["mixup"] == "0"


def test_a_loss_is_made_small_and_a_training_that_diverged_is_no_value(tmp_path):
    search = Search(tmp_path, parse_space(["lr=1,2,3"]), "grid", direction="minimize")
    search.run(
        lambda number, changes, report: (
            float("nan") if changes["learning_rate"] == "1" else float(changes["learning_rate"])
        )
    )
    assert search.best(Recipe()).learning_rate == 2 and search.done == 3


@pytest.mark.parametrize(
    "told, words",
    [
        (["lrr=1,2"], "learning_rate"),
        (["lr=a,b"], "a number"),
        (["lr"], "KEY="),
        (["lr=0.1,0.1"], "twice"),
        (["lr=2..1"], "larger"),
        (["lr=0..nan"], "larger"),
        (["lr=1,2", "learning_rate=3,4"], "twice"),
        (["optimizer=sgd,rmsprop"], "adamw"),
        (["lr=x..y"], "two numbers"),
    ],
)
def test_a_space_that_is_none_is_one_line(told, words):
    with pytest.raises(UsageError, match=words):
        parse_space(told)


def test_a_range_is_no_grid_and_a_storage_must_open(tmp_path):
    with pytest.raises(UsageError, match="--search tpe"):
        Search(tmp_path, parse_space(["lr=0.1..1"]), "grid")
    with pytest.raises(RunError, match="storage"):
        Search(tmp_path, parse_space(GRID), "grid", storage="sqlite:////no/such/folder/study.db")
    assert parse_space(["zoom=0.8,1.2;0.9,1.1"]) == (Dimension("zoom", ("0.8,1.2", "0.9,1.1")),)
