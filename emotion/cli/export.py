"""`emo export`."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import click

from . import options
from .groups import Command


@click.command(cls=Command)
@click.argument("model")
@click.option("--weights", type=click.Path(dir_okay=False), help="A weights file that is not beside the cfg.")
@click.option("--names", type=click.Path(dir_okay=False), help="A file of class names that is not beside the cfg.")
@click.option(
    "--out", "-o", type=click.Path(dir_okay=False), help="The file to write; default: MODEL's name and .onnx, here."
)
@click.option("--half", is_flag=True, help="16-bit floats, for GPUs: half the size, as exact; slower on CPUs.")
@click.option(
    "--int8",
    is_flag=True,
    help="8-bit integers: a quarter of the size; needs --data, to measure the range of values "
    "on its training pictures.",
)
@click.option(
    "--data",
    type=click.Path(),
    help="A labelled set, on whose validation list the loss of accuracy by --half or --int8 is measured: "
    f"{options.SET}.",
)
@click.option(
    "--calibrate",
    type=options.Whole(min=1),
    default=200,
    show_default=True,
    help="With --int8: number of training pictures to measure on.",
)
@options.limit
@options.force
@options.as_json
def export(model, weights, names, out, half, int8, data, calibrate, limit, force, as_json):
    """Write a Darknet network, cfg and weights, as one ONNX file.

    MODEL is a name from `emo models list`, a model or run folder, a .cfg or a .weights file. The file's input
    `pictures` is (batch, channels, height, width), RGB or grey, in 0..1; its output `boxes` has rows of centre x, y,
    width and height relative to the picture, objectness, and objectness times each class; a classifier's output is
    `probabilities`. Class names and the weights' sha256 are in its metadata.

    \b
    emo export emo-v4-nano
    emo export runs/v4-tiny-001 --out emotions.onnx
    emo export emo-s --int8 --data data/fer2013-classifier/emo.data
    """
    if half and int8:
        raise click.UsageError("--half or --int8, not both")
    if int8 and not data:
        raise click.UsageError("--int8 needs --data, pictures to calibrate with")
    if data and not (half or int8):
        raise click.UsageError("--data has no effect without --half or --int8")
    from converters.errors import UsageError
    from converters.output_folder import replacing

    from ..systems import models
    from ..systems.onnx_export import to_onnx

    found = models.find(model, None, weights_file=weights, names_file=names)
    path = Path(out or f"{found.name}{'-half' if half else '-int8' if int8 else ''}.onnx")
    if path.exists() and not force:
        raise UsageError("exists", where=path, mend="--force replaces it, or choose another --out")
    made, costs = to_onnx(found), None
    if half or int8:
        made, costs = reduced(found, made, int8, data, calibrate, limit)
    content = made.SerializeToString()
    with replacing(path) as temporary:
        temporary.write_bytes(content)
    if as_json:
        click.echo(
            json.dumps(
                found.describe() | {"file": str(path), "bytes": len(content)} | ({"costs": costs} if costs else {}),
                indent=2,
            )
        )
        return
    click.echo(str(path))
    if costs:
        from .printing import columns

        heads = ("", *costs["before"])
        columns(
            heads,
            [
                (name, *("" if value is None else f"{value:.3f}" for value in row.values()))
                for name, row in costs.items()
            ],
            left=(0,),
        )


def reduced(model, made, int8: bool, data, calibrate: int, limit):
    """The model with fewer bits; with `data`, figures before and after on its validation list, and ms a picture."""
    from converters.darknet_format.open_set import open_set

    from ..comparison.classification import figures
    from ..comparison.judge import judge
    from ..systems import onnx_precision as precision
    from ..systems.backends import OnnxBackend
    from ..systems.onnx_export import to_onnx

    say = functools.partial(click.echo, err=True)
    bare, labelled = to_onnx(model, prepares=False), data and open_set(data, model.task, say)
    blobs = precision.blobs_of(model, labelled, calibrate, judge) if labelled else []
    change = (lambda proto: precision.quantised(proto, blobs)) if int8 else precision.half
    if not labelled:
        return change(made), None
    costs = {}
    for name, proto in (("before", bare), ("after", change(bare))):
        backend = OnnxBackend(model, made=proto)
        judged = judge(precision.subject_of(model, backend), labelled, "valid", limit=limit)
        told = figures(judged.said)
        costs[name] = {"accuracy": told["accuracy"], "macro_f1": told["macro_f1"]}
        if judged.tally is not None:
            costs[name] |= {"face_ap": judged.tally.result()["face_ap"], "map": judged.tally.result()["map"]}
        costs[name]["ms"] = precision.milliseconds(backend, blobs[0][:1])
    return change(made), costs
