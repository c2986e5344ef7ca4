"""`emo export`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from . import options
from .groups import Command


@click.command(cls=Command)
@click.argument("model")
@click.option("--weights", type=click.Path(dir_okay=False), help="Weights that do not lie beside the cfg.")
@click.option("--names", type=click.Path(dir_okay=False), help="Class names that do not lie beside the cfg.")
@click.option("--out", "-o", type=click.Path(dir_okay=False), help="The file to write; default: MODEL's name and .onnx, here.")
@options.force
@options.as_json
def export(model, weights, names, out, force, as_json):
    """Write a Darknet network, cfg and weights, as one ONNX file.

    MODEL is a shipped model's name, a model or run folder, a .cfg or a .weights file. The file's input `pictures`
    is (batch, channels, height, width), RGB or grey, in 0..1; its output `boxes` has rows of centre x, y, width
    and height relative to the picture, objectness, and objectness times each class; a classifier's output is
    `probabilities`. Class names and the weights' sha256 are in its metadata.

    \b
    emo export emo-v4-nano
    emo export runs/v4-tiny-001 --out emotions.onnx
    """
    from converters.errors import UsageError
    from converters.output_folder import replacing

    from ..systems import models
    from ..systems.onnx_export import to_onnx

    found = models.find(model, None, weights_file=weights, names_file=names)
    made = to_onnx(found)
    path = Path(out or f"{found.name}.onnx")
    if path.exists() and not force:
        raise UsageError("exists", where=path, mend="--force replaces it, or choose another --out")
    data = made.SerializeToString()
    with replacing(path) as temporary:
        temporary.write_bytes(data)
    if as_json:
        click.echo(json.dumps(found.describe() | {"file": str(path), "bytes": len(data)}, indent=2))
    else:
        click.echo(str(path))
