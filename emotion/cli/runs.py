"""`emo runs`: what was trained here: list, show, compare, hand to MLflow."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import click

from . import options
from .groups import Command, Group
from .printing import columns

runs_option = click.option(
    "--runs", "root", type=click.Path(), default="runs", show_default=True, help="The folder that holds the runs."
)
FIGURES = ("map", "top1", "topk", "macro_f1", "valid_loss", "loss")


@click.group(cls=Group)
def runs():
    """List the runs that were trained here, show one, compare some.

    \b
    emo runs list --sort map
    emo runs show runs/v4-tiny-001
    emo runs diff runs/a-001 runs/b-001
    """


@runs.command("list", cls=Command)
@runs_option
@click.option(
    "--sort",
    metavar="COLUMN",
    help="A figure (the best first), a setting, or a key of run.json; default: the newest first.",
)
@click.option("--csv", "as_csv", is_flag=True, help="As CSV.")
@options.as_json
def list_runs(root, sort, as_csv, as_json):
    """List all runs: when, on which data, their best figures, and the settings that differ.

    `data` is a short code for the lists of pictures: runs with the same code were trained and validated on the
    same pictures.

    \b
    emo runs list
    emo runs list --sort macro_f1 --csv > runs.csv
    """
    from converters.errors import UsageError, nearest
    from darknet_runner.run import experiments

    found, faults = experiments.read_runs(root)
    for fault in faults:
        click.echo(f"emo: {fault}: left out", err=True)
    own = ("run", "verdict", "started", "iterations", "data")  # the iterations done, not those asked for
    differ = {name if name not in own else f"settings.{name}": name for name in experiments.differing(found)}
    figures = [name for name in FIGURES if any(name in run.figures for run in found)]
    known = [*own, *figures, *differ]
    if sort:
        sort = sort.replace("-", "_") if sort.replace("-", "_") in known else sort
        if sort not in known:
            raise UsageError(f"no column '{sort}'", mend=nearest(sort, known))
        found = experiments.ordered(found, differ.get(sort, sort), told=sort in own)
    rows = [
        {
            "run": str(run.path),
            "verdict": run.told.get("verdict"),
            "started": run.told.get("started"),
            "iterations": run.told.get("iterations"),
            "data": run.data,
        }
        | {name: run.figures.get(name) for name in figures}
        | {name: run.settings.get(setting) for name, setting in differ.items()}
        for run in found
    ]
    if as_json:
        click.echo(json.dumps(rows, indent=2, default=str))
    elif as_csv:
        print_csv([known, *([row[name] for name in known] for row in rows)])
    elif not rows:
        click.echo(f"no runs in {root}")
    else:
        columns(
            tuple(known),
            [tuple(plain(row[name]) or "–" for name in known) for row in rows],
            left=tuple(index for index, name in enumerate(known) if name not in ("iterations", *figures)),
        )


@runs.command(cls=Command)
@click.argument("run", type=click.Path())
@options.as_json
def show(run, as_json):
    """One run: its verdict, data, settings, best figures and weights.

    \b
    emo runs show runs/v4-tiny-001
    """
    from darknet_runner.run import experiments

    found = experiments.read_run(run)
    told = {
        key: found.told.get(key)
        for key in (
            "verdict",
            "reasons",
            "engine",
            "started",
            "iterations",
            "loss",
            "cfg",
            "data",
            "started_from",
            "versions",
        )
    }
    if as_json:
        click.echo(
            json.dumps(
                {
                    "run": str(found.path),
                    **told,
                    "data_hash": found.data,
                    "best": found.figures,
                    "settings": found.settings,
                    "weights": found.told.get("weights"),
                },
                indent=2,
                default=str,
            )
        )
        return
    rows = [
        ("run", str(found.path)),
        *((key, plain(value)) for key, value in told.items()),
        ("data hash", found.data or ""),
    ]
    rows += [(f"best {key}", plain(value)) for key, value in found.figures.items()]
    rows += [(key, plain(value)) for key, value in found.settings.items()]
    rows += [(name, value[:12]) for name, value in (found.told.get("weights") or {}).items() if isinstance(value, str)]
    wide = max(len(key) for key, value in rows if value)
    for key, value in rows:
        if value:
            click.echo(f"{key.ljust(wide)}  {value}")


@runs.command(cls=Command)
@click.argument("paths", nargs=-1, required=True, metavar="RUN RUN...", type=click.Path())
@click.option("--csv", "as_csv", is_flag=True, help="As CSV.")
@options.as_json
def diff(paths, as_csv, as_json):
    """How runs differ: settings, network, data, and the best figures of each.

    \b
    emo runs diff runs/a-001 runs/b-001
    """
    from darknet_runner.network import cfg_diff, cfg_file
    from darknet_runner.run import experiments
    from darknet_runner.run.folder import RunDir

    if len(paths) < 2:
        raise click.UsageError("name two runs or more")
    found = [experiments.read_run(path) for path in paths]
    cfgs = [cfg_file.load(RunDir(run.path).cfg) for run in found]
    networks = [0, *(len(cfg_diff.differences(cfgs[0], other)) for other in cfgs[1:])]
    figures = {
        name: [run.figures.get(name) for run in found] for name in FIGURES if any(name in run.figures for run in found)
    }
    rows: dict[str, list[Any]] = {"data": [run.data for run in found]} if len({run.data for run in found}) > 1 else {}
    rows |= experiments.differing(found)
    if any(networks):
        rows["options of the cfg that differ from the first"] = networks
    if as_json:
        click.echo(
            json.dumps(
                {"runs": [str(run.path) for run in found], "differ": rows, "best": figures}, indent=2, default=str
            )
        )
        return
    lines = [*rows.items(), *((f"best {name}", values) for name, values in figures.items())]
    if as_csv:
        print_csv([("", *(str(run.path) for run in found)), *((name, *values) for name, values in lines)])
        return
    table = [(name, *(plain(value) or "–" for value in values)) for name, values in lines]
    columns(("", *(run.name for run in found)), table, left=(0,))
    if not rows:
        click.echo("the runs differ in no setting, option of the cfg or list of pictures")


@runs.command(cls=Command)
@click.argument("paths", nargs=-1, required=True, metavar="RUN...", type=click.Path())
@click.option(
    "--uri",
    default="mlruns",
    show_default=True,
    help="MLflow's store: a folder, sqlite:///FILE, or a server's address.",
)
@click.option("--experiment", default="emo", show_default=True, help="The experiment in it.")
def mlflow(paths, uri, experiment):
    """Log runs to MLflow: settings, every row of metrics.csv, run.json, cfg and chart. Needs the extra `mlflow`.

    \b
    emo runs mlflow runs/a-001 runs/b-001 --uri mlruns
    """
    from converters.terminal_text import redacted
    from darknet_runner.run.mlflow_log import log_run

    for path in paths:
        click.echo(f"{path} -> {log_run(path, uri, experiment)} in {redacted(uri)}")


def print_csv(rows) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([plain(cell, 10) for cell in row] for row in rows)
    click.echo(text.getvalue().rstrip("\n"))


def plain(value: Any, digits: int = 4) -> str:
    """A cell: numbers to so many digits, lists and dicts as short text, nothing for nothing."""
    if value is None or value == [] or value == {}:
        return ""
    if isinstance(value, float):
        return f"{value:.{digits}g}"
    if isinstance(value, dict):
        return ", ".join(f"{key} {plain(inner)}" for key, inner in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(plain, value))
    return str(value)
