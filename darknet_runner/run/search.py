"""Search for settings: a grid, or Optuna's TPE, over recipe settings; each trial is a training, judged on the valid
split.

    space = parse_space(["lr=0.01,0.001", "optimizer=sgd,adam"])
    search = Search(folder, space, "grid", direction="maximize")
    search.run(train)        # train(number, changes, report) -> value; report(value), a validation's, says whether to
                             give up

A study lives in Optuna's storage: an SQLite file in the folder, or any address that Optuna takes, which several
machines can share. What was cut off is tried again; what is done is not.
"""

from __future__ import annotations

import csv
import itertools
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from converters.errors import MissingExtra, RunError, UsageError

from ..builtin.recipe import ALIASES, Recipe

DEFAULT_SPACE = (
    "learning_rate=0.0003..0.3",
    "decay=0.00001..0.01",
    "label_smoothing=0..0.2",
    "rotate=0..20",
    "erase=0..0.5",
)
LOG_FROM = 10  # a range that spans so many times its lower end is searched by its logarithm
WARM_UP = 3  # trials, and validations of each, before any is given up


@dataclass(frozen=True)
class Dimension:
    """One setting that is searched: some values, or all between two."""

    key: str
    values: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 0.0

    def suggest(self, trial) -> object:
        if self.values:
            return trial.suggest_categorical(self.key, self.values)
        return trial.suggest_float(self.key, self.low, self.high, log=self.low > 0 and self.high / self.low >= LOG_FROM)


def parse_space(told: list[str]) -> tuple[Dimension, ...]:
    """`KEY=V,V,V` or `KEY=LOW..HIGH`, each; UsageError for what is not a setting of a recipe, or no value of it."""
    found: dict[str, Dimension] = {}
    for text in told:
        key, equals, values = (part.strip() for part in text.partition("="))
        if not equals or not values:
            raise UsageError(f"{text}: expected KEY=VALUE,VALUE or KEY=LOW..HIGH")
        key = ALIASES.get(key, key).replace("-", "_")
        if key in found:
            raise UsageError(f"{key} is given twice")
        low, dots, high = values.partition("..")
        if dots:
            try:
                found[key] = Dimension(key, low=float(low), high=float(high))
            except ValueError:
                raise UsageError(f"{text}: expected two numbers") from None
            if not found[key].low < found[key].high or not math.isfinite(found[key].low + found[key].high):
                raise UsageError(f"{text}: the second number must be the larger one")
            ends = [low, high]
        else:
            ends = [value.strip() for value in (values.split(";") if ";" in values else values.split(","))]
            if len(set(ends)) < len(ends):
                raise UsageError(f"{text}: a value is given twice")
            found[key] = Dimension(key, tuple(ends))
        for value in ends:
            Recipe().override({key: value, **({"learning_rate": 1} if key == "schedule" else {})})
    return tuple(found.values())


class Search:
    """See the module's text.

    kind       grid (every combination, no ranges) or tpe
    trials     how many in all; None: the whole grid, or 20
    direction  of what `train` gives: maximize or minimize
    prune      give up trials that do worse than the median of the others at the same validation
    """

    def __init__(
        self,
        folder: Path,
        space: tuple[Dimension, ...],
        kind: str,
        *,
        direction: str = "maximize",
        trials: int | None = None,
        storage: str | None = None,
        study: str = "emo",
        seed: int = 0,
        prune: bool = True,
    ):
        if find_spec("optuna") is None:
            raise MissingExtra("Optuna", "search", "emo train --grid and --search")
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.folder, self.space, self.kind, self.seed = folder, space, kind, seed
        if kind == "grid":
            if ranged := [item.key for item in space if not item.values]:
                raise UsageError(
                    f"{', '.join(ranged)}: a grid needs values, not a range", mend="--search tpe searches ranges"
                )
            sampler: optuna.samplers.BaseSampler = optuna.samplers.RandomSampler(
                seed
            )  # is not asked: all combinations wait in the study, in order
            self.trials = min(trials or 10**9, math.prod(len(item.values) for item in space))
        else:
            sampler = optuna.samplers.TPESampler()  # `run` seeds one for each trial
            self.trials = trials or 20
        pruner = optuna.pruners.MedianPruner(WARM_UP, WARM_UP) if prune else optuna.pruners.NopPruner()
        try:
            self.study = optuna.create_study(
                storage=storage or f"sqlite:///{folder.absolute() / 'study.db'}",
                study_name=study,
                direction=optuna.study.StudyDirection[direction.upper()],
                sampler=sampler,
                pruner=pruner,
                load_if_exists=True,
            )
        except Exception as error:  # each database has its own
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise RunError(f"the storage cannot be used: {reason}", where=storage or folder / "study.db") from None
        if self.study.direction.name.lower() != direction:
            raise UsageError(
                f"the study '{study}' was started to {self.study.direction.name.lower()}", mend="choose another --name"
            )

    def _states(self):
        from optuna.trial import TrialState

        return TrialState

    @property
    def done(self) -> int:
        """Trials that ended by themselves, here or on other machines."""
        states = self._states()
        return len(self.study.get_trials(deepcopy=False, states=(states.COMPLETE, states.PRUNED)))

    def run(self, train: Callable[[int, dict, Callable[[float], bool]], float | None], mine: str = "") -> bool:
        """Train until all trials are done; False when `train` gave None, which asks to stop.

        train(number, changes, report) -> the trial's value; numbers count from 1, one that was cut off keeps its own.
        `mine` names this process: what an earlier one of the same
        name left unfinished is tried again.
        """
        from optuna.samplers import TPESampler

        states = self._states()
        for left in self.study.get_trials(deepcopy=False, states=(states.RUNNING,)):
            if left.user_attrs.get("by") == mine:
                self._again(left.number, left.params)
        if self.kind == "grid":
            for values in itertools.islice(itertools.product(*(item.values for item in self.space)), self.trials):
                self.study.enqueue_trial(
                    {item.key: value for item, value in zip(self.space, values)}, skip_if_exists=True
                )
        while self.study.get_trials(deepcopy=False, states=(states.WAITING,)) or (
            self.kind == "tpe" and self.done < self.trials
        ):
            trial = self.study.ask()
            trial.set_user_attr("by", mine)
            if self.kind == "tpe":  # by its number, or each machine, and each resume, would draw the same again
                self.study.sampler = TPESampler(seed=(self.seed * 1_000_003 + trial.number) % 2**32)
            changes = {item.key: item.suggest(trial) for item in self.space}
            reported, given_up = 0, False

            def report(value: float) -> bool:
                nonlocal reported, given_up
                trial.report(value, reported)
                reported, given_up = reported + 1, trial.should_prune()
                return given_up

            try:
                value = train(trial.number + 1, changes, report)
            except BaseException:
                self._again(trial.number, changes)
                raise
            if value is None:
                self._again(trial.number, changes)
                return False
            if given_up or not math.isfinite(value):
                self.study.tell(trial.number, state=states.PRUNED)
            else:
                self.study.tell(trial.number, value)
        return True

    def _again(self, number: int, params: dict) -> None:
        """A trial that did not end: it counts for nothing, and its settings wait for their turn."""
        self.study.tell(number, state=self._states().FAIL)
        self.study.enqueue_trial(params, skip_if_exists=False)

    def table(self) -> list[dict]:
        """A row a trial that has a value, the best first: number, value, state (complete, pruned), steps, and its
        settings.
        """
        states = self._states()
        rows = []
        for trial in self.study.get_trials(deepcopy=False, states=(states.COMPLETE, states.PRUNED)):
            value = (
                trial.value
                if trial.value is not None
                else (self._best(trial.intermediate_values.values()) if trial.intermediate_values else None)
            )
            if value is not None:
                rows.append(
                    {
                        "trial": trial.number + 1,
                        "value": value,
                        "state": trial.state.name.lower(),
                        "validations": len(trial.intermediate_values),
                        **trial.params,
                    }
                )
        complete = [row for row in rows if row["state"] == "complete"]
        sign = -1 if self.study.direction.name == "MAXIMIZE" else 1
        return sorted(complete, key=lambda row: sign * row["value"]) + sorted(
            (row for row in rows if row["state"] != "complete"), key=lambda row: sign * row["value"]
        )

    def _best(self, values):
        return max(values) if self.study.direction.name == "MAXIMIZE" else min(values)

    def best(self, recipe: Recipe) -> Recipe | None:
        """The recipe with the best trial's settings; None while none is complete."""
        rows = self.table()
        if not rows or rows[0]["state"] != "complete":
            return None
        return recipe.override({item.key: rows[0][item.key] for item in self.space})

    def write(self, recipe: Recipe, value_name: str) -> None:
        """trials.csv, trials.png and best.toml in the folder, each renamed into place."""
        rows = self.table()
        if not rows:
            return
        with open(self.folder / "trials.csv.part", "w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        os.replace(self.folder / "trials.csv.part", self.folder / "trials.csv")
        self._draw(rows, value_name)
        if (best := self.best(recipe)) is not None:
            from .folder import write_text

            about = f"# The best of {len(rows)} trials, number {rows[0]['trial']}: {value_name} {rows[0]['value']:.4f}"
            write_text(self.folder / "best.toml", f"{about} on the valid split.\n{best.toml()}")

    def _draw(self, rows, value_name):
        """The value over the trials, and over each setting."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator

        count = 1 + len(self.space)
        columns = min(3, count)
        figure = Figure(figsize=(4.2 * columns, 3.2 * math.ceil(count / columns)), dpi=110, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(math.ceil(count / columns), columns, squeeze=False).ravel()
        best = rows[0]
        for axis, key in itertools.zip_longest(axes, ("trial", *(item.key for item in self.space))):
            if key is None:
                axis.set_visible(False)
                continue
            dimension = next((item for item in self.space if item.key == key), None)
            if dimension is None:
                axis.xaxis.set_major_locator(MaxNLocator(integer=True))
            elif dimension.values:
                axis.xaxis.update_units(dimension.values)  # in the order that they were told in, not the best first
            for state, colour in (("complete", "tab:blue"), ("pruned", "0.7")):
                some = [row for row in rows if row["state"] == state]
                if some:
                    axis.plot(
                        [row[key] for row in some],
                        [row["value"] for row in some],
                        "o",
                        color=colour,
                        markersize=5,
                        label="given up" if state == "pruned" else state,
                    )
            axis.plot([best[key]], [best["value"]], "*", color="tab:red", markersize=13, label="best")
            if dimension and not dimension.values and dimension.low > 0 and dimension.high / dimension.low >= LOG_FROM:
                axis.set_xscale("log")
                axis.set_xlim(dimension.low / 1.2, dimension.high * 1.2)  # whole decades have labels with room
            axis.set_xlabel(key)
            axis.grid(alpha=0.25)
        axes[0].set_ylabel(value_name)
        axes[0].legend(fontsize=8)
        figure.savefig(self.folder / "trials.png.part", format="png")
        os.replace(self.folder / "trials.png.part", self.folder / "trials.png")
