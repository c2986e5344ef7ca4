"""What `emo train` and `emo darknet train` share: their options, and a training from them."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from . import options
from .progress import around

if TYPE_CHECKING:
    from darknet_runner.builtin.recipe import Recipe

# What may be told anew to a run that is resumed; what is not told is as it was, and all else stays as it was.
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
OF_NOW = ("quiet", "print_command", "dry_run")


TRAINING_OPTIONS = (
    click.option(
        "--data",
        type=click.Path(),
        help=(
            "A .data file or its "
            "folder, an "
            "HDF5, npz or "
            "pickle set, "
            "fer2013.csv, or a "
            "folder of "
            "split/class/ pictures; "
            "default: "
            "the set "
            "under ./data "
            "that fits."
        ),
    ),
    click.option("--recipe", help="How it is trained: a name of `emo recipes list`, or a .toml file."),
    click.option(
        "--set", "changes", multiple=True, metavar="KEY=VALUE", help="Change a setting of the recipe; may be repeated."
    ),
    click.option(
        "--epochs",
        type=options.Number(min=0, min_open=True),
        help="Passes over the training pictures; default: the recipe's.",
    ),
    click.option(
        "--monitor",
        type=click.Choice(["loss", "top1", "macro-f1", "map"]),
        help="Built-in: what chooses the best weights, and when to stop.",
    ),
    click.option("--freeze-until", metavar="LAYER", help="Built-in: layers before this one keep their weights."),
    click.option("--iterations", type=options.Whole(min=1), help="Batches to train; default: the cfg's max_batches."),
    click.option("--size", type=options.Whole(min=8), help="Width and height of the network's input, in pixels."),
    click.option("--batch", type=options.Whole(min=1), help="Pictures a batch."),
    click.option("--subdivisions", type=options.Whole(min=1), help="Parts that a batch is cut into, to save memory."),
    click.option("--learning-rate", type=options.Number(min=0, min_open=True), help="Rate after the burn-in."),
    click.option(
        "--anchors",
        type=click.Choice(["cfg", "data"]),
        default="cfg",
        show_default=True,
        help="The cfg's anchors, or k-means over the labels.",
    ),
    click.option("--net", multiple=True, metavar="KEY=VALUE", help="Set another [net] option; may be repeated."),
    click.option(
        "--yolo", multiple=True, metavar="KEY=VALUE", help="Set another option of every [yolo]; may be repeated."
    ),
    click.option(
        "--pretrained",
        type=click.Path(),
        help=(
            "Weights to begin with: "
            ".weights of "
            "this cfg or "
            "its first "
            "layers, "
            "a model "
            "(its layers "
            "that are "
            "the same), or what emo cfg "
            "import reads."
        ),
    ),
    click.option("--clear", is_flag=True, help="Count from iteration 0, whatever the pretrained weights have seen."),
    click.option("--resume", type=click.Path(), metavar="RUN", help="Go on with a run folder."),
    click.option(
        "--map/--no-map",
        "evaluate",
        default=True,
        show_default=True,
        help="Validate while training: mAP, or top-k of a classifier.",
    ),
    click.option(
        "--map-every", type=options.Whole(min=1), help="Batches between validations; default: an epoch, at least 100."
    ),
    click.option("--runs", type=click.Path(), default="runs", show_default=True, help="Where run folders are made."),
    click.option("--name", help="Name of the run folder; default: the cfg's."),
    options.engine,
    options.darknet,
    click.option(
        "--allow-broken-cpu",
        is_flag=True,
        help="Train with a CPU build of AlexeyAB's or hank-ai's, whose gradients are wrong.",
    ),
    click.option(
        "--gpus",
        callback=lambda ctx, option, value: _numbers(value),
        metavar="N,N,...",
        help="GPUs for a Darknet binary.",
    ),
    click.option("--mjpeg-port", type=options.Whole(1, 65535), help="AlexeyAB's with OpenCV serves its chart there."),
    click.option(
        "--auto-recover",
        is_flag=True,
        help="Out of memory in a binary: double the subdivisions and go on from the last weights.",
    ),
    click.option(
        "--silence",
        type=options.Number(min=1),
        default=1800.0,
        show_default=True,
        help="Seconds without a line after which a binary counts as hanging.",
    ),
    click.option("--tensorboard", is_flag=True, help="Also write TensorBoard events to the run folder."),
    click.option(
        "--mlflow",
        metavar="STORE",
        help="At its end log the run to MLflow: a folder, sqlite:///FILE, or a server's address (extra `mlflow`).",
    ),
    click.option("--print-command", is_flag=True, help="Print the Darknet command line, and do nothing."),
    options.dry_run,
    click.option(
        "--optimizer",
        type=click.Choice(["sgd", "adam", "adamw"]),
        help="Built-in: what changes the weights; default: the recipe's.",
    ),
    click.option(
        "--ema",
        type=options.Number(0, 1, max_open=True),
        help="Built-in: decay of averaged weights, e.g. 0.999; 0: off; default: the recipe's.",
    ),
    click.option(
        "--prior",
        type=options.Number(0, 1, min_open=True, max_open=True),
        default=0.5,
        show_default=True,
        help="Built-in: objectness that new heads begin with; 0.02 learns faster than Darknet's 0.5.",
    ),
    click.option(
        "--clip",
        type=options.Number(min=0),
        help="Built-in: largest norm of the gradient; 0: off; default: the recipe's.",
    ),
    click.option(
        "--amp/--no-amp",
        default=None,
        help="Built-in: bfloat16 arithmetic; default: with a recipe of its own, where the device has it.",
    ),
    click.option(
        "--patience",
        type=options.Whole(min=0),
        help="Built-in: stop after so many validations without a better one; 0: never; default: the recipe's.",
    ),
    click.option("--threads", type=options.Whole(min=1), help="CPU threads for the arithmetic."),
    click.option("--workers", type=options.Whole(min=0), help="Built-in: processes that load and augment pictures."),
    click.option(
        "--cache",
        "cache_mb",
        type=options.Whole(min=0),
        default=2048,
        show_default=True,
        help="Built-in: megabytes of decoded pictures to keep.",
    ),
    options.device,
    options.seed,
    options.as_json,
    options.quiet,
)


def training_options(command):
    """The options of `emo train` and `emo darknet train`, in their order."""
    for option in reversed(TRAINING_OPTIONS):
        command = option(command)
    return command


def run_training(template, data, resume, as_json, **settings):
    """Train, and say how it went: what the two commands do. `template` is a cfg's name or file; None with `resume`."""
    from converters.errors import EmoError, RunError
    from darknet_runner.choose_engine import choose_engine
    from darknet_runner.run import create_run
    from darknet_runner.run.folder import RunDir

    several = int(os.environ.get("WORLD_SIZE", "1")) > 1  # torchrun: one of several processes of the built-in engine
    if several and int(os.environ["RANK"]):
        from darknet_runner.builtin.train import train as follow

        follow(None)
        return
    if bool(template) == bool(resume):
        raise click.UsageError("name a network to train anew, or --resume RUN to go on")
    if resume:
        if not Path(resume).is_dir():
            raise RunError("no such run folder", where=resume)
        click.get_current_context().with_resource(
            RunDir(Path(resume)).locked()
        )  # from here on: looking for what was saved last moves files
        run, info = _reopen(resume)
        data = data or run.data_file()
        _as_it_was(settings, info, run)
        loaded = create_run.data_of(data)
    else:
        loaded = create_run.data_of(data, template, lambda text: settings["quiet"] or click.echo(text, err=True))
        data = loaded.path
    if several:
        settings["engine"] = "builtin"
    settings["recipe"] = _recipe_of_run(run) if resume else recipe_of(settings, loaded.is_classifier)
    if settings["patience"] and not resume and (not settings["evaluate"] or loaded.valid is None):
        raise click.UsageError(
            "--patience waits for "
            "validations: "
            f"{'--no-map leaves them out' if loaded.valid else f'{loaded.path} has no valid list'}"
        )
    if template and not settings["quiet"]:
        _tell_of_classes(template, loaded)
    only_look = settings["print_command"] or settings["dry_run"]
    with _run_folder(template, loaded, settings, only_look) if not resume else _kept(run) as run:
        job = job_of(run, data, bool(resume), settings)
        if settings["print_command"]:
            click.echo(_command(job, settings))
            return
        engine, why = choose_engine(
            settings["engine"],
            lambda engine: engine.judge(job),
            darknet=settings["darknet"],
            settings=compiled_settings(settings),
        )
        _preflight(job, engine, loaded, settings, template)
        if settings["tensorboard"]:
            from darknet_runner.run.tensorboard import TensorBoardWriter

            TensorBoardWriter.need()
        if settings["mlflow"]:
            from darknet_runner.run import mlflow_log

            mlflow_log.need()
        if engine.name == "builtin":
            from darknet_runner.builtin.engine import need_torch

            need_torch("emo darknet train without a Darknet binary")
            _of_binaries_only(settings, why)
        if settings["dry_run"]:
            try:
                engine.check(job)
            except EmoError as error:
                if template and str(error.where) == str(job.cfg):
                    error.where, error.line = template, None  # the run's cfg will be gone
                raise
            click.echo(f"would train {template or resume} on {data} with {why}")
            return
        if resume:
            create_run.write_resumed_metadata(run, engine.name)
        else:
            begun = (
                settings["pretrained"]
                if settings["pretrained"] and Path(settings["pretrained"]).is_file()
                else job.pretrained
            )
            told = {"cfg": template, **settings, "recipe": settings["recipe"].name, "pretrained": begun and str(begun)}
            create_run.write_run_metadata(run, data, told, engine=engine.name)
    if not settings["quiet"]:
        click.echo(f"{'going on with' if resume else 'training'} {run.path} on {data} with {why}", err=True)
    try:
        result = engine.train(job)
    except BaseException:
        if not resume and not run.metrics.exists():  # it had not begun: nothing to resume, nothing to look at
            shutil.rmtree(run.path, ignore_errors=True)
        raise
    if settings["tensorboard"] and engine.name == "builtin":
        from darknet_runner.run import tensorboard

        tensorboard.from_metrics(run)
    if settings["mlflow"]:
        from darknet_runner.run import mlflow_log

        try:
            mlflow_log.log_run(run.path, settings["mlflow"])
        except EmoError as error:  # the run is whole all the same
            click.echo(f"emo: {error}; `emo runs mlflow {run.path}` logs it later", err=True)
    _report(result, as_json)


def _tell_of_classes(template, data):
    """One line on stderr when the user's own cfg is made for another number of classes than the data has; one that
    ships is a template.
    """
    from darknet_runner.network import templates

    if Path(template).is_file():
        source = templates.load(template)
        if source.is_detector != data.is_classifier and (made_for := templates.classes_of(source)) != data.classes:
            click.echo(
                (
                    f"emo: {template} is made for "
                    f"{made_for} "
                    "classes, "
                    f"{data.path} has "
                    f"{data.classes}: "
                    "the run's "
                    f"cfg is for {data.classes}"
                ),
                err=True,
            )


def _as_it_was(settings, info, run):
    """The settings of a run that is resumed: its own, but for what the command line says of the machine.

    UsageError for an option that would change the training, RunError for a setting that no option takes, and for a
    binary that only run.json names.
    """
    from converters.errors import RunError
    from darknet_runner.compiled import binary as binaries

    source = click.get_current_context().get_parameter_source
    told = {key for key in settings if source(key).name == "COMMANDLINE"}
    if fixed := sorted(told.difference(OF_THE_MACHINE, OF_NOW)):
        names = (
            ", ".join(f"--{key.replace('_', '-')}" for key in fixed)
            .replace("--evaluate", "--map")
            .replace("--cache-mb", "--cache")
        )
        raise click.UsageError(f"{names}: a run that is resumed keeps its own; begin another with --pretrained")
    for option in click.get_current_context().command.params:
        key, value = option.name, info["settings"].get(option.name)
        if value is None or key not in settings or key in (*OF_NOW, *told, "darknet"):
            continue
        try:
            settings[key] = _value_of(option, value)
        except (click.UsageError, TypeError, ValueError):
            raise RunError(
                f"settings.{key} = {value!r} is not a value of --{options.long_name(option)}",
                where=run.path / "run.json",
            ) from None
    if not told & {"engine", "darknet"}:
        settings["engine"] = info["engine"]
        settings["darknet"] = (
            binaries.find_again(info.get("binary", {}).get("path"), run.path) if info["engine"] == "compiled" else None
        )
    if settings["engine"] == "builtin":  # which has none of these; that they are asked for now is told below
        settings |= {
            key: off for key, off in (("gpus", ()), ("mjpeg_port", None), ("auto_recover", False)) if key not in told
        }


def _value_of(option, value):
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


def _of_binaries_only(settings, why):
    """UsageError for what the built-in engine would pass over in silence."""
    from converters.errors import UsageError

    asked = [f"--{key.replace('_', '-')}" for key in ("gpus", "mjpeg_port", "auto_recover") if settings[key]]
    if asked:
        raise UsageError(
            f"{', '.join(asked)}: for a Darknet binary, but it is {why}",
            mend="--device cuda:N chooses a GPU, torchrun uses several",
        )


def _numbers(text: str | None) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(",")) if text else ()
    except ValueError:
        raise click.BadParameter(f"'{text}' is not a list of numbers such as 0,1") from None


def _reopen(path):
    from darknet_runner.compiled import saved_weights
    from darknet_runner.network import cfg_file, layers, weights_file
    from darknet_runner.run import create_run
    from darknet_runner.run.folder import RunDir

    run = RunDir(Path(path))
    if run.cfg.is_file():
        saved_weights.recover(run, weights_file.weights_bytes(layers.trace(cfg_file.load(run.cfg))))
    return create_run.reopen(path)


@contextmanager
def _kept(run):
    yield run


@contextmanager
def _run_folder(template, data, settings, only_look):
    """A new run folder; gone again when nothing was started in it."""
    from darknet_runner.run import create_run

    with tempfile.TemporaryDirectory(prefix="emo-") as elsewhere:
        rendering = _rendering(settings) | ({"runs": elsewhere} if only_look else {})
        run = create_run.create_run(template, data, **rendering)
        try:
            yield run
        except BaseException:
            shutil.rmtree(run.path, ignore_errors=True)
            raise


def _rendering(settings):
    """The train options that shape the cfg, as `create_run` takes them."""
    net, head = (dict(map(pair, settings[name])) for name in ("net", "yolo"))
    keys = ("subdivisions", "iterations", "anchors", "seed", "runs", "name", "recipe")
    return {key: settings[key] for key in keys} | {"net": net, "head": head}


def pair(text):
    key, equals, value = text.partition("=")
    if not equals:
        raise click.UsageError(f"{text}: expected KEY=VALUE")
    return key.strip(), value.strip()


def recipe_of(settings, classifier: bool) -> Recipe:
    """The recipe that the options name, with what they and --set change; by default `best` for classifiers,
    `darknet` for detectors.
    """
    from darknet_runner.builtin import recipe

    told = dict(map(pair, settings["changes"]))
    keys = (
        "epochs",
        "batch",
        "size",
        "learning_rate",
        "optimizer",
        "ema",
        "clip",
        "patience",
        "monitor",
        "freeze_until",
    )
    told |= {key: settings[key] for key in keys if settings[key] is not None}
    found = recipe.load(settings["recipe"] or ("best" if classifier else "darknet"))
    return found.override(told) if told else found


def _recipe_of_run(run):
    from darknet_runner.builtin import recipe

    return recipe.load(str(run.recipe)) if run.recipe.is_file() else recipe.Recipe()


def has_bfloat16(device: str) -> bool:
    """Whether arithmetic in bfloat16 is fast there: a GPU since Ampere, a CPU with AVX512-BF16 or AMX."""
    from importlib.util import find_spec

    if find_spec("torch") is None:
        return False
    import torch

    if device.startswith("cuda") or (device == "auto" and torch.cuda.is_available()):
        return torch.cuda.is_bf16_supported()
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def job_of(run, data, resume, settings):
    """The TrainJob of the train options."""
    from darknet_runner.engine import TrainJob
    from darknet_runner.network.preprocessing import Preprocessing

    same = (
        "map_every",
        "evaluate",
        "clear",
        "device",
        "gpus",
        "threads",
        "workers",
        "seed",
        "quiet",
        "prior",
        "recipe",
    )
    pretrained, recipe = settings["pretrained"], settings["recipe"]
    amp = (
        settings["amp"]
        if settings["amp"] is not None
        else recipe.augment == "recipe" and has_bfloat16(settings["device"])
    )
    return TrainJob(
        amp=amp,
        preprocessing=Preprocessing.beside(run.cfg),
        cfg=run.cfg,
        data=Path(data),
        run=run,
        resume=resume,
        pretrained=_pretrained(run, pretrained) if pretrained and not resume else None,
        cache_bytes=settings["cache_mb"] << 20,
        **{key: settings[key] for key in same},
    )


def _pretrained(run, given):
    """The .weights to begin with, and what of them fits is told: a .weights file as it is; of another framework's file,
    and of a model (one that ships, a folder, a run), the layers that the run's network shares, in its folder."""
    from darknet_runner.network import cfg_diff, cfg_file, weights_file
    from darknet_runner.network.importers import fit

    cfg, out = cfg_file.load(run.cfg), run.path / "pretrained.weights"
    if fit.reads(given):
        found = fit.import_weights(given, cfg, out)
        click.echo(
            (
                f"emo: {given}: {found.form}, "
                f"{'all layers' if found.whole else f'layers 0 to {found.layers - 1}'}; {'; '.join(found.notes)}"
            ),
            err=True,
        )
        return out
    if Path(given).suffix and not Path(given).is_dir():  # a file, there or not: preflight looks at it
        return Path(given)
    from emotion.systems import models

    model = models.find(given, None)
    if cfg_diff.first_difference(model.cfg, cfg) is None:
        return Path(model.weights)
    layers = weights_file.partial(model.cfg, model.weights, out, for_cfg=cfg)
    click.echo(f"emo: {given}: layers 0 to {layers - 1} are the same and are taken", err=True)
    return out


def compiled_settings(settings):
    from darknet_runner.compiled.training import BinarySettings

    return BinarySettings(
        allow_broken_cpu=settings["allow_broken_cpu"],
        mjpeg_port=settings["mjpeg_port"],
        auto_recover=settings["auto_recover"],
        tensorboard=settings["tensorboard"],
        silence_s=settings["silence"],
    )


def _command(job, settings):
    """The Darknet command line of the job; what speaks against running it goes to stderr."""
    from converters.errors import RunError
    from darknet_runner.compiled import binary as binaries
    from darknet_runner.compiled.engine import CompiledEngine

    path = None if settings["engine"] == "builtin" else binaries.find(settings["darknet"])
    if path is None:
        raise RunError("there is no Darknet binary whose command could be printed", mend=binaries.where_to_get())
    engine = CompiledEngine(path, compiled_settings(settings))
    for reason in engine.cannot(job):
        click.echo(f"emo would not run it: {reason}", err=True)
    return shlex.join(engine.argv(job))


def _preflight(job, engine, data, settings, template):
    from darknet_runner.network import cfg_file, templates
    from darknet_runner.run import preflight

    compiled = engine.name == "compiled"
    gpu = engine.binary.gpu if compiled else settings["device"] != "cpu"
    cfg = cfg_file.load(job.cfg)
    found = preflight.check(
        cfg,
        data,
        pretrained=job.pretrained,
        clear=job.clear or not compiled,
        run=job.run,
        binary=compiled,
        gpu=gpu,
        progress=around(settings["quiet"]),
    )
    if template:  # the run folder will be gone: the place is told in the user's own file, where the line is the same
        source, rendered = templates.load(template).text.splitlines(), cfg.text.splitlines()
        for index, item in enumerate(found):
            if item.file == str(job.cfg):
                there = slice(max(0, item.line - 1), item.line)
                found[index] = replace(item, file=template, line=item.line if source[there] == rendered[there] else 0)
    preflight.refuse(found, settings["quiet"])


def _report(result, as_json):
    """Print how a run ended, and exit accordingly."""
    names = {"map": "mAP@0.5", "top1": "top-1 accuracy", "macro_f1": "macro-F1", "loss": "loss"}
    info = result.run.read_json()
    if as_json:
        keys = ("engine", "verdict", "reasons", "iterations", "loss", "best")
        click.echo(json.dumps({"run": str(result.run.path), **{key: info.get(key) for key in keys}}))
    else:
        click.echo(
            f"{result.verdict} after {result.iterations} iterations, average loss {result.loss:.4f}"
            if result.loss is not None
            else result.verdict
        )
        for key, value in (info.get("best") or {}).items():
            if value is not None:
                click.echo(
                    f"best {names[key]} on the valid split: {value:.4f}"
                    if key == "loss"
                    else f"best {names[key]} on the valid split: {value:.2%}"
                )
        for reason in result.reasons:
            click.echo(reason, err=result.verdict == "failed")
        click.echo(f"weights: {result.run.weights}/")
    if result.verdict == "interrupted":
        saved = result.run.weights_file("last").is_file()
        click.echo(
            f"go on with: emo darknet train --resume {result.run.path}"
            if saved
            else "there is nothing to go on from: train it anew",
            err=True,
        )
        sys.exit(130)
    if result.verdict == "failed":
        sys.exit(1)
