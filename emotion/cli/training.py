"""A training from the command line: what `emo train` and `emo darknet train` do with their options."""

from __future__ import annotations

import json
import shlex
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from . import options
from .progress import around
from .training_options import train_settings

if TYPE_CHECKING:
    from darknet_runner.engine import TrainResult
    from darknet_runner.run.folder import RunDir
    from darknet_runner.train_settings import TrainSettings

# What --resume lets you change; for the rest, and where one of these is not given, the run keeps its own settings.
OF_THE_MACHINE = (
    "device",
    "threads",
    "workers",
    "engine",
    "darknet",
    "allow_broken_cpu",
    "gpus",
    "mjpeg_port",
    "auto_recover",
    "silence",
    "tensorboard",
    "mlflow",
)


def run_training(
    network: str | None,
    data: str | None,
    resume: str | None,
    as_json: bool,
    quiet: bool,
    print_command: bool,
    dry_run: bool,
    **given: Any,
) -> None:
    """Train, and print how it ended. `network` is a cfg's name or file, or None with `resume`."""
    from darknet_runner import training
    from darknet_runner.reporting import TerminalReporter

    if training.follow():
        return
    if bool(network) == bool(resume):
        raise click.UsageError("name a network to train, or --resume RUN to go on")
    reporter, look = TerminalReporter(quiet), around(quiet)
    if resume:
        opened = training.resumed(resume, data, partial(_as_it_was, given), reporter, look=look)
    else:
        keep = not (print_command or dry_run)
        opened = training.begun(str(network), data, train_settings(given), reporter, keep=keep, look=look)
    with opened as job:
        if print_command:
            click.echo(shlex.join(job.command()))
            return
        if dry_run:
            click.echo(job.check())
            return
        result = job.run()
    _report(result, as_json)


def _as_it_was(given: dict[str, Any], run: RunDir, info: dict[str, Any]) -> TrainSettings:
    """The settings of a run that is resumed: its own, except for what the command line says of the machine.

    UsageError for an option that would change the training, RunError for a setting that no option takes, and for a
    binary that only run.json names. Nothing is sent to an MLflow that only run.json names: the run may be another's.
    """
    from converters.errors import RunError
    from darknet_runner.compiled import binary as binaries

    context = click.get_current_context()
    params = {option.name: option for option in context.command.params if isinstance(option, click.Option)}
    typed = {key for key in given if options.typed(context, params[key])}
    if fixed := [key for key in sorted(typed) if key not in OF_THE_MACHINE]:
        names = ", ".join(f"--{options.long_name(params[key])}" for key in fixed)
        raise click.UsageError(f"{names}: a resumed run keeps its own; start a new one with --pretrained")
    settings = dict(given)
    for key, option in params.items():
        value = info["settings"].get(key)
        if value is None or key not in settings or key in typed or key in ("darknet", "pretrained"):
            continue
        if key == "mlflow":
            click.echo(f"emo: {run.path} will not be logged to MLflow; give --mlflow again to log it", err=True)
            continue
        try:
            settings[key] = _value_of(option, value)
        except (click.UsageError, TypeError, ValueError):
            raise RunError(
                f"settings.{key} = {value!r} is not a value of --{options.long_name(option)}",
                where=run.path / "run.json",
            ) from None
    if not typed & {"engine", "darknet"}:
        settings["engine"] = info["engine"]
        settings["darknet"] = (
            binaries.find_again(info.get("binary", {}).get("path"), run.path) if info["engine"] == "compiled" else None
        )
    if settings["engine"] == "builtin":  # it has none of these, and refuses those that are asked for now
        settings |= {
            key: off for key, off in (("gpus", ()), ("mjpeg_port", None), ("auto_recover", False)) if key not in typed
        }
    return train_settings(settings)


def _value_of(option: click.Option, value: Any) -> Any:
    """What JSON holds of an option's value, as the option takes it; an error of click's, a TypeError or a
    ValueError when it would not.
    """
    if option.is_flag:
        if not isinstance(value, bool):
            raise TypeError
        return value
    if option.name == "gpus":
        return tuple(map(int, value))
    if option.multiple:
        return tuple(map(str, value)) if isinstance(value, list) else ()
    return option.type.convert(value, option, None)


def _report(result: TrainResult, as_json: bool) -> None:
    """Print how a run ended, and exit accordingly."""
    names = {"map": "mAP@0.5", "top1": "top-1 accuracy", "macro_f1": "macro-F1", "loss": "loss"}
    info = result.run.read_json()
    if as_json:
        keys = ("engine", "verdict", "reasons", "iterations", "loss", "best")
        click.echo(json.dumps({"run": str(result.run.path), **{key: info.get(key) for key in keys}}))
    else:
        loss = "" if result.loss is None else f" after {result.iterations} iterations, average loss {result.loss:.4f}"
        click.echo(result.verdict + loss)
        for key, value in (info.get("best") or {}).items():
            if value is not None:
                figure = f"{value:.4f}" if key == "loss" else f"{value:.2%}"
                click.echo(f"best {names[key]} on the valid split: {figure}")
        for reason in result.reasons:
            click.echo(reason, err=result.verdict == "failed")
        click.echo(f"weights: {result.run.weights}/")
    if result.verdict == "interrupted":
        saved = result.run.weights_file("last").is_file()
        again = f"continue with: emo train --resume {result.run.path}" if saved else "nothing was saved: train it again"
        click.echo(again, err=True)
        sys.exit(130)
    if result.verdict == "failed":
        sys.exit(1)
