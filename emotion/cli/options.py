"""Options that several commands share, so that they have one name, one type and one help text."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import click


def long_name(option: click.Option) -> str:
    """`--json` -> `json`: what the option is called in a settings file; its Python name is nobody's business."""
    return next(name for name in option.opts if name.startswith("--"))[2:]


def name_in_environment(command: click.Command, prefix: str) -> None:
    """Options of `command`, and of a group's commands, are read from PREFIX_LONG_NAME, and from nothing else."""
    for option in command.params:
        if isinstance(option, click.Option):
            option.envvar, option.allow_from_autoenv = f"{prefix}_{long_name(option)}".upper().replace("-", "_"), False
    for name, sub in getattr(command, "commands", {}).items():
        name_in_environment(sub, f"{prefix}_{name}")


def typed(ctx: click.Context, option: click.Parameter) -> bool:
    """Whether it stands on the command line: what a settings file or the environment says is for all runs, this for
    one.
    """
    return ctx.get_parameter_source(option.name) is click.core.ParameterSource.COMMANDLINE


class Number(click.FloatRange):
    """A range of finite numbers: nan is in click's own ranges, and inf in those without an end."""

    name = "number"

    def convert(self, value, param, ctx):
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number", param, ctx)
        return number


class Whole(click.IntRange):
    """A range of whole numbers that C, which does the work below, can hold."""

    name = "n"

    def __init__(self, min=None, max=2**31 - 1):
        super().__init__(min, max)

    def _describe_range(self):
        return super()._describe_range() if self.max != 2**31 - 1 else f"x>={self.min}"


class Time(click.ParamType):
    """`90`, `1:30` or `0:01:30.5` -> seconds."""

    name = "time"

    def convert(self, value, param, ctx):
        if isinstance(value, (int, float)):
            value = str(value)
        parts = str(value).split(":")
        try:
            if len(parts) > 3 or any(
                not part.isdigit() or (index and int(part) > 59) for index, part in enumerate(parts[:-1])
            ):
                raise ValueError
            seconds = float(parts[-1])
            if not 0 <= seconds < (60 if len(parts) > 1 else math.inf):
                raise ValueError
        except ValueError:
            self.fail(f"'{value}' is not a time; seconds or h:mm:ss are", param, ctx)
        return sum(int(part) * 60**place for place, part in enumerate(reversed(parts[:-1]), 1)) + seconds


class Names(click.ParamType):
    """`a,b,c` -> ("a", "b", "c"), each of them known; the order is that of the known ones."""

    name = "names"

    def __init__(self, known: Sequence[str]):
        self.known = tuple(known)

    def convert(self, value, param, ctx):
        from converters.errors import nearest

        given = value.split(",") if isinstance(value, str) else list(value)
        for name in given:
            if name not in self.known:
                self.fail(f"'{name}': {nearest(name, self.known)}", param, ctx)
        return tuple(name for name in self.known if name in given)


class Tta(click.ParamType):
    """`tencrop`, or a number of views."""

    name = "tta"

    def convert(self, value, param, ctx):
        if value == "tencrop" or isinstance(value, int):
            return value
        try:
            count = int(value)
        except ValueError:
            self.fail(f"'{value}' is neither tencrop nor a number of views", param, ctx)
        if not 2 <= count <= 1000:
            self.fail(f"{value}: views are 2 to 1000", param, ctx)
        return count


class Size(click.ParamType):
    """`416` or `640x480` -> (width, height)."""

    name = "size"

    def convert(self, value, param, ctx):
        if isinstance(value, tuple):
            return value
        try:
            width, _, height = str(value).lower().partition("x")
            size = int(width), int(height or width)
        except ValueError:
            self.fail(f"'{value}' is neither N nor WxH")
        if not all(32 <= side <= 8192 for side in size):
            self.fail(f"{value}: sides are 32 to 8192 pixels")
        return size


def block(*given: Callable[..., Any]) -> Callable[..., Any]:
    """Several options as one decorator, in their order."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(given):
            command = option(command)
        return command

    return decorate


def _max_pixels(ctx, param, value):
    if value is not None:
        from converters.images import pixel_limit

        ctx.with_resource(pixel_limit(value))


out = click.option("--out", "-o", type=click.Path(), help="Where to write.")
jobs = click.option("--jobs", "-j", type=Whole(min=1), default=None, help="Processes; default: all cores.")
seed = click.option("--seed", type=Whole(0, 2**32 - 1), default=0, show_default=True, help="Random seed.")
force = click.option("--force", is_flag=True, help="Replace an output that exists.")
as_json = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on stdout.")
quiet = click.option("--quiet", is_flag=True, help="No progress, no summary.")
dry_run = click.option("--dry-run", is_flag=True, help="Print what would be done; write nothing.")
# What `open_set` takes.
SET = "a .data file or its folder, an HDF5, npz or pickle set, fer2013.csv, or a folder of split/class/ pictures"
limit = click.option("--limit", type=Whole(min=1), default=None, help="Use only the first N.")
conf = click.option(
    "--conf", type=Number(0, 1), default=0.25, show_default=True, help="Score below which a face is dropped."
)
iou = click.option(
    "--iou", type=Number(0, 1), default=0.45, show_default=True, help="IoU above which NMS drops the weaker box."
)
backend = click.option(
    "--backend",
    type=click.Choice(["auto", "opencv", "onnx", "torch"]),
    default="auto",
    show_default=True,
    help=(
        "What runs the networks; auto: ONNX Runtime if it is installed, else OpenCV. onnx and torch need "
        "the extras onnx and train."
    ),
)
device = click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
engine = click.option(
    "--engine",
    type=click.Choice(["auto", "builtin", "compiled"]),
    default="auto",
    show_default=True,
    help="A Darknet binary, or the built-in engine.",
)
darknet = click.option(
    "--darknet", type=click.Path(), help="The Darknet binary; default: EMO_DARKNET, then PATH and the system places."
)
max_pixels = click.option(
    "--max-pixels",
    type=Whole(min=1),
    default=None,
    callback=_max_pixels,
    expose_value=False,
    is_eager=True,
    help="A picture of more pixels is refused, not decoded; default: EMO_MAX_PIXELS, else 120000000.",
)
threads = click.option("--threads", type=Whole(min=1), help="Threads for OpenCV and the backend; default: all cores.")

square = click.option(
    "--square",
    is_flag=True,
    help="Give a YOLO that was trained with a letter box the whole of it, grey bars too, as Darknet does; without "
    "it only the part with the picture.",
)

# How faces are found, and what computes it.
detection = block(conf, iou, square, backend, device)
system = block(
    click.option(
        "--system",
        type=click.Choice(["yolo", "two-stage"]),
        default="yolo",
        show_default=True,
        help="One network, or a face finder and a classifier.",
    ),
    click.option("--model", help="Name, model folder, run folder, .cfg or .weights; default: emo's own."),
    click.option("--weights", type=click.Path(dir_okay=False), help="A weights file that is not beside the cfg."),
    click.option("--names", type=click.Path(dir_okay=False), help="A file of class names that is not beside the cfg."),
    click.option(
        "--face-model",
        help="Two-stage: yunet, ssd (emo models pull), face-nano, haar, whole (the picture is the face), dlib (an "
        "extra) or its .dat, an SSD's .pb or .caffemodel, a YuNet .onnx, a Darknet detector, or a folder with one; "
        "default: yunet where it was pulled, else face-nano.",
    ),
    detection,
    click.option(
        "--onnx",
        type=click.Path(dir_okay=False),
        help="The model as emo export wrote it, such as one with 8 bits; ONNX Runtime runs it.",
    ),
    threads,
)
# emotion.run_detection's, whose import would take a while.
OUTPUTS = ("media", "jsonl", "csv", "summary", "crops", "labels", "coco", "parquet")


def outputs(default: str) -> Callable[..., Any]:
    return click.option(
        "--outputs",
        type=Names(OUTPUTS),
        default=default,
        show_default=True,
        help=f"What to write, of {', '.join(OUTPUTS)}.",
    )


anchors_wanted = block(  # of the commands that compute anchors
    click.option("--num", type=Whole(min=1), default=6, show_default=True, help="How many anchors; [yolo] num."),
    click.option(
        "--size", type=Whole(min=32), default=416, show_default=True, help="Width and height of the network's input."
    ),
)
