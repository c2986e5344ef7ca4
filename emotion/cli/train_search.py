"""`emo train --grid`, `--search`: many trainings, and which settings did best on the valid split."""

from __future__ import annotations

import json
import os
import socket
import sys
from dataclasses import replace
from pathlib import Path

import click

from .progress import around
from .training import run_training
from .training_options import train_settings

SEARCH = "search.json"  # in the folder of a search

FORMAT: dict[str, type | tuple[type, ...]] = {
    "network": str,
    "data": str,
    "settings": dict,
    "space": list,
    "kind": str,
    "trials": (int, type(None)),
    "storage": (str, type(None)),
    "secret": bool,
    "study": str,
}


def train_or_search(network: str | None, resume: str | None, storage: str | None = None, **settings) -> None:
    """Train; or go on, where `resume` is the folder of a search."""
    if resume and (Path(resume) / SEARCH).is_file():
        go_on(resume, storage, settings["as_json"], settings["quiet"])
    elif storage:
        raise click.UsageError("--storage belongs to --search, --grid, or --resume of a search's folder")
    else:
        run_training(network, resume=resume, **settings)


def begin(
    network: str,
    data: str | None,
    as_json: bool,
    settings: dict,
    space: tuple[str, ...],
    kind: str,
    trials: int | None,
    storage: str | None,
) -> None:
    """A new search in runs/NAME-search-001, or a further machine's part of one that lives in `storage`."""
    from darknet_runner.run import create_run, folder as run_folder
    from darknet_runner.run.search import DEFAULT_SPACE, parse_space

    space = space or DEFAULT_SPACE
    parse_space(list(space))
    loaded = create_run.data_of(data, network)
    train_settings(settings).recipe_for(loaded.is_classifier)
    name = settings["name"] or Path(network).stem
    folder = run_folder.create(settings["runs"], f"{name}-search").path
    (folder / "weights").rmdir()
    told = {
        "network": network,
        "data": str(Path(loaded.path).absolute()),
        "settings": settings,
        "space": list(space),
        "kind": kind,
        "trials": trials,
        "storage": storage,
        "secret": run_folder.recorded(storage) != storage,  # what is written lacks user, password or query
        "study": name,
    }
    run_folder.write_text(folder / SEARCH, json.dumps(run_folder.recorded(told), indent=1) + "\n")
    _search(folder, told, as_json, settings["quiet"])


def go_on(folder: str, storage: str | None, as_json: bool, quiet: bool) -> None:
    """Go on with the search in `folder`; `storage` is its whole address, where search.json has it without a password.

    RunError when its search.json is none, UsageError when the address is missing or another one.
    """
    from converters import settings_files
    from converters.errors import RunError, UsageError
    from darknet_runner.run.folder import recorded

    told = settings_files.read_json(Path(folder) / SEARCH, FORMAT, tuple(FORMAT.keys() - {"secret"}), RunError)
    if storage is None and told.get("secret"):
        raise UsageError(
            f"the search is kept at {told['storage']}, and its password is not kept here",
            where=folder,
            mend="give the whole address again: --storage, or EMO_TRAIN_STORAGE",
        )
    if storage is not None and recorded(storage) != told["storage"]:
        raise UsageError(f"the search is kept at {told['storage'] or 'study.db in its folder'}", where=folder)
    _search(Path(folder), told | {"storage": storage or told["storage"]}, as_json, quiet)


def _search(folder: Path, told: dict, as_json: bool, quiet: bool) -> None:
    from converters import output_folder
    from darknet_runner import training
    from darknet_runner.builtin.engine import BuiltinEngine, need_torch
    from darknet_runner.run import create_run
    from darknet_runner.run.search import Search, parse_space

    need_torch("emo train --search")
    data, base = create_run.data_of(told["data"]), train_settings(told["settings"])
    recipe = base.recipe_for(data.is_classifier)
    metric = recipe.monitors or ("top1" if data.is_classifier else "map")
    search = Search(
        folder,
        parse_space(told["space"]),
        told["kind"],
        direction="minimize" if metric == "loss" else "maximize",
        trials=told["trials"],
        storage=told["storage"],
        study=told["study"],
        seed=base.seed,
    )
    engine, checked, stopped = BuiltinEngine(), False, None

    def train(number, changes, report):
        nonlocal checked, stopped
        one = replace(base, recipe=recipe.override(changes), changes={}, runs=folder / "trials", name="trial")
        with training.begun(told["network"], data.path, one, first=number, look=around(quiet)) as trial:
            trial.job = replace(trial.job, watch=lambda _, found: report(found[metric]))
            if not checked:
                trial.preflight(engine)
                checked = True
            trial.write_settings(engine)
            result = engine.train(trial.job)
        if result.verdict == "interrupted":
            stopped = result.reasons
            return None
        value = result.metric if result.verdict != "failed" and result.metric is not None else float("nan")
        if not quiet:
            said = " ".join(
                f"{key}={item:.4g}" if isinstance(item, float) else f"{key}={item}" for key, item in changes.items()
            )
            ended = f", {result.reasons[0]}" if result.reasons else ""
            click.echo(
                f"trial {number} ({search.done + 1} of {search.trials} done): {metric} {value:.4f}  {said}{ended}",
                err=True,
            )
        return value

    if not quiet:
        click.echo(
            (
                f"{'going on with' if search.done else 'searching in'} {folder}: {search.done} of {search.trials} "
                "trials are done"
            ),
            err=True,
        )
    with output_folder.locked(folder, mend="wait for it"):
        try:
            whole = search.run(train, f"{socket.gethostname()}:{folder.absolute()}")
        finally:
            search.write(recipe, metric)
    _report(search, folder, metric, recipe, as_json, whole)
    if not whole:
        click.echo(f"{'; '.join(stopped or ())}; continue with: emo train --resume {folder}", err=True)
        sys.exit(130)


def _report(search, folder, metric, recipe, as_json, whole):
    rows, best = search.table(), search.best(recipe)
    if as_json:
        click.echo(
            json.dumps(
                {
                    "folder": str(folder),
                    "metric": metric,
                    "whole": whole,
                    "trials": rows,
                    "best": str(folder / "best.toml") if best else None,
                }
            )
        )
        return
    keys = [item.key for item in search.space]
    shown = [
        [
            str(row["trial"]),
            f"{row['value']:.4f}",
            "given up" if row["state"] == "pruned" else "",
            *(_short(row[key]) for key in keys),
        ]
        for row in rows[:20]
    ]
    table = [["trial", metric, "", *keys], *shown]
    widths = [max(len(line[column]) for line in table) for column in range(len(table[0]))]
    for line in table:
        click.echo("  ".join(text.rjust(width) for text, width in zip(line, widths)).rstrip())
    if len(rows) > len(shown):
        click.echo(f"... and {len(rows) - len(shown)} more in {folder}{os.sep}trials.csv")
    if best is not None:
        click.echo(
            f"best on the valid split: {folder}{os.sep}best.toml; train with: emo train NETWORK --recipe "
            f"{folder}{os.sep}best.toml"
        )


def _short(value):
    return f"{value:.4g}" if isinstance(value, float) else str(value)
