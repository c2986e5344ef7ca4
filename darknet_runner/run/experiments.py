"""Run folders as experiments: what each was told, on which data, and how good it became; which settings differ.

found = read_runs("runs")
differing(found)               # {"learning_rate": [0.001, 0.01], ...}: a value a run
"""

from __future__ import annotations

import hashlib
import math
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from converters.errors import DataError, EmoError, UsageError

from .folder import RunDir
from .metrics_plot import read_metrics

# Of run.json's settings: where a run lies, how it was watched and what was printed; none changes what is learned.
_ASIDE = (
    "runs",
    "name",
    "print_command",
    "dry_run",
    "quiet",
    "silence",
    "tensorboard",
    "mlflow",
    "cache_mb",
    "workers",
    "threads",
    "mjpeg_port",
    "darknet",
    "resume",
)
LOWER = ("loss", "avg_loss", "valid_loss", "train_loss")  # figures of which less is better
SCORES = ("map", "top1", "topk", "macro_f1")


@dataclass(frozen=True)
class Experiment:
    """One run folder.

    settings  what it was told and trained with, by name; a recipe's as recipe.KEY
    figures   the best value of each column of metrics.csv that is a figure
    data      eight digits that stand for the lists it was trained and validated on; None in runs that do not say
    """

    path: Path
    told: dict[str, Any]
    settings: dict[str, Any]
    figures: dict[str, float]
    data: str | None

    @property
    def name(self) -> str:
        return self.path.name


def read_run(path: str | Path) -> Experiment:
    """RunError for a folder that is not a run."""
    run = RunDir(Path(path))
    told = run.read_json()
    settings = {key: value for key, value in (told.get("settings") or {}).items() if key not in _ASIDE}
    for key, value in _recipe(run).items():
        if key not in ("name", "about", "source"):
            settings[f"recipe.{key}"] = value
    settings = {"engine": told.get("engine"), **{key: value for key, value in settings.items() if key != "engine"}}
    hashes = (told.get("hashes") or {}).get("data") or {}
    lists = "".join(str(hashes.get(split, "")) for split in ("train", "valid"))
    return Experiment(
        run.path, told, settings, best_figures(run), hashlib.sha256(lists.encode()).hexdigest()[:8] if lists else None
    )


def _recipe(run: RunDir) -> dict[str, Any]:
    try:
        return tomllib.loads(run.recipe.read_text(encoding="utf-8")) if run.recipe.is_file() else {}
    except (OSError, ValueError):
        return {}


def best_figures(run: RunDir) -> dict[str, float]:
    """The best of each figure in metrics.csv; what is not a number is passed over."""
    best: dict[str, float] = {}
    try:
        rows = read_metrics(run.metrics)
    except DataError:
        rows = []
    for row in rows:
        for key in (*SCORES, *LOWER):
            try:
                value = float(row.get(key) or "nan")
            except ValueError:
                continue
            if math.isfinite(value):
                best[key] = (
                    value if key not in best else min(best[key], value) if key in LOWER else max(best[key], value)
                )
    return best


def read_runs(root: str | Path = "runs") -> tuple[list[Experiment], list[str]]:
    """All runs under a folder, and the trials of searches there, the newest first; and what was wrong with those that
    cannot be read.

    UsageError when there is no such folder.
    """
    root = Path(root)
    if not root.is_dir():
        raise UsageError("no such folder", where=root, mend="emo train makes runs in ./runs; name another with --runs")
    found, faults = [], []
    for path in sorted([*root.glob("*/run.json"), *root.glob("*/trials/*/run.json")]):
        try:
            found.append(read_run(path.parent))
        except EmoError as error:
            faults.append(str(error))
    return sorted(found, key=lambda one: str(one.told.get("started") or ""), reverse=True), faults


def differing(runs: Sequence[Experiment]) -> dict[str, list[Any]]:
    """Settings that are not the same in all runs: name -> a value a run, None where it is not told."""
    keys = dict.fromkeys(key for run in runs for key in run.settings)
    values = {key: [run.settings.get(key) for run in runs] for key in keys}
    return {key: row for key, row in values.items() if any(value != row[0] for value in row)}


def ordered(runs: Sequence[Experiment], by: str, told: bool = False) -> list[Experiment]:
    """Sorted by a figure, the best first, or by a setting or a key of run.json (with `told` only by that), ascending;
    runs without it come last.
    """

    def value(run: Experiment) -> Any:
        if by in run.figures:
            return run.figures[by]
        here = {"run": run.path.name, "data": run.data}.get(by, run.told.get(by))
        return here if told else run.settings.get(by, here)

    known = [run for run in runs if value(run) is not None]
    rest = [run for run in runs if value(run) is None]
    down = by in SCORES
    try:
        known.sort(key=value, reverse=down)
    except TypeError:  # numbers and words
        known.sort(key=lambda run: str(value(run)), reverse=down)
    return known + rest
