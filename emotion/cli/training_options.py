"""The options of `emo train` and `emo darknet train`, and the TrainSettings that they make."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from . import options

if TYPE_CHECKING:
    from darknet_runner.train_settings import TrainSettings

# Options that change a setting of the recipe.
OF_THE_RECIPE = (
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


def pair(text: str) -> tuple[str, str]:
    """`KEY=VALUE` -> (key, value); a UsageError of click's for anything else."""
    key, equals, value = text.partition("=")
    if not equals:
        raise click.UsageError(f"{text}: expected KEY=VALUE")
    return key.strip(), value.strip()


def _numbers(text: str | None) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(",")) if text else ()
    except ValueError:
        raise click.BadParameter(f"'{text}' is not a list of numbers such as 0,1") from None


def train_settings(given: dict[str, Any]) -> TrainSettings:
    """The options' values, by the names of their parameters, as settings; `given` may hold others too."""
    from darknet_runner.compiled.training import BinarySettings
    from darknet_runner.train_settings import TrainSettings
    from emotion.systems import models

    changes = dict(map(pair, given["changes"])) | {key: given[key] for key in OF_THE_RECIPE if given[key] is not None}
    same = (
        "recipe",
        "iterations",
        "subdivisions",
        "anchors",
        "clear",
        "evaluate",
        "map_every",
        "runs",
        "name",
        "engine",
        "darknet",
        "gpus",
        "device",
        "threads",
        "workers",
        "seed",
        "prior",
        "amp",
        "cache_mb",
        "tensorboard",
        "mlflow",
    )
    return TrainSettings(
        changes=changes,
        net=dict(map(pair, given["net"])),
        yolo=dict(map(pair, given["yolo"])),
        pretrained=models.to_begin_with(given["pretrained"]) if given["pretrained"] else None,
        binary=BinarySettings(
            allow_broken_cpu=given["allow_broken_cpu"],
            mjpeg_port=given["mjpeg_port"],
            auto_recover=given["auto_recover"],
            silence_s=given["silence"],
        ),
        **{key: given[key] for key in same},
    )


TRAINING_OPTIONS = (
    click.option(
        "--data",
        type=click.Path(),
        help=f"The set: {options.SET}; default: the one under ./data that fits.",
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
        help="Built-in: the figure that chooses the best weights and when to stop.",
    ),
    click.option("--freeze-until", metavar="LAYER", help="Built-in: layers before this one keep their weights."),
    click.option("--iterations", type=options.Whole(min=1), help="Batches to train; default: the cfg's max_batches."),
    click.option("--size", type=options.Whole(min=8), help="Width and height of the network's input, in pixels."),
    click.option("--batch", type=options.Whole(min=1), help="Pictures per batch."),
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
            "Weights to start from: .weights of this cfg or of its first layers, a model (the layers it shares), "
            "or a file that emo cfg import reads."
        ),
    ),
    click.option("--clear", is_flag=True, help="Count from iteration 0, whatever count the pretrained weights hold."),
    click.option("--resume", type=click.Path(), metavar="RUN", help="Go on with the run in this folder."),
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
        help="Train with a CPU build of AlexeyAB's or hank-ai's, though its gradients are wrong.",
    ),
    click.option(
        "--gpus",
        callback=lambda ctx, option, value: _numbers(value),
        metavar="N,N,...",
        help="GPUs for a Darknet binary.",
    ),
    click.option(
        "--mjpeg-port",
        type=options.Whole(1, 65535),
        help="Port on which AlexeyAB's binary, built with OpenCV, serves its chart.",
    ),
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
        help="Seconds without output after which a binary counts as hanging.",
    ),
    click.option("--tensorboard", is_flag=True, help="Also write TensorBoard events to the run folder."),
    click.option(
        "--mlflow",
        metavar="STORE",
        help="Log the finished run to MLflow: a folder, sqlite:///FILE, or a server's address (extra `mlflow`).",
    ),
    click.option("--print-command", is_flag=True, help="Print the Darknet command line and stop."),
    options.dry_run,
    click.option(
        "--optimizer",
        type=click.Choice(["sgd", "adam", "adamw"]),
        help="Built-in: how weights are updated; default: the recipe's.",
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
        help="Built-in: objectness at which new heads start; 0.02 learns faster than Darknet's 0.5.",
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
        help="Built-in: stop after this many validations without a better one; 0: never; default: the recipe's.",
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


def training_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of `emo train` and `emo darknet train`, in their order."""
    for option in reversed(TRAINING_OPTIONS):
        command = option(command)
    return command
