"""`emo cfg render`, `conv` and `import`: a network, or its first weights, made for your classes."""

from __future__ import annotations

import json
from pathlib import Path

import click

from converters.errors import UsageError

from . import options
from .groups import Command
from .printing import columns, shape_text


def _write(text: str, out: str, force: bool) -> None:
    from converters.output_folder import replacing

    if Path(out).exists() and not force:
        raise UsageError("exists already", where=out, mend="give --force to replace it, or another --out")
    with replacing(Path(out)) as temporary:
        temporary.write_text(text)


def _pairs(text: str) -> list[tuple[float, float]]:
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = [0.0]
    if len(values) % 2 or min(values) <= 0:
        raise click.BadParameter("pairs of widths and heights in pixels are wanted, as in 10,14,23,27")
    return list(zip(values[::2], values[1::2]))


@click.command(cls=Command)
@click.argument("network", metavar="FILE|NAME")
@click.option("--classes", type=options.Whole(min=1), required=True, help="How many classes.")
@click.option("--size", type=options.Whole(min=32), help="Width and height of the input.")
@click.option(
    "--anchors",
    callback=lambda ctx, option, value: value and _pairs(value),
    help="W,H,W,H,... in pixels, from emo cfg anchors.",
)
@click.option("--batch", type=options.Whole(min=1), help="Pictures per weight update.")
@click.option(
    "--subdivisions", type=options.Whole(min=1), help="Parts of a batch that are computed one after the other."
)
@click.option("--iterations", type=options.Whole(min=1), help="max_batches; steps and burn_in follow.")
@click.option("--learning-rate", type=options.Number(min=0, min_open=True), help="Peak learning rate.")
@options.out
@options.force
def render(network, classes, size, anchors, batch, subdivisions, iterations, learning_rate, out, force):
    """A network for your classes: sets classes, filters, size, anchors and schedule, keeps the rest.

    Prints the cfg, or writes it to --out.

    \b
    emo cfg render v4-tiny --classes 7 --size 320 --out my.cfg
    """
    from darknet_runner.network import templates

    text = templates.render(
        network,
        classes,
        size=size,
        anchors=anchors,
        batch=batch,
        subdivisions=subdivisions,
        iterations=iterations,
        learning_rate=learning_rate,
    ).text
    if out:
        _write(text, out, force)
    else:
        click.echo(text, nl=False)


@click.command(cls=Command)
@click.option(
    "--conv",
    required=True,
    metavar="SPEC",
    help="Stages, each followed by a 2x2 pooling: 32x3 is 32 filters of 3x3, 2*32x3 two such layers.",
)
@click.option(
    "--dense", default="", metavar="N,N,...", help="Outputs of the dense layers before the one for the classes."
)
@click.option(
    "--dropout",
    type=options.Number(min=0, max=0.99),
    default=0,
    show_default=True,
    help="Share dropped after each dense layer.",
)
@click.option(
    "--conv-dropout",
    default="",
    metavar="P[,P...]",
    help="Share dropped after each pooling: one number, or one per stage.",
)
@click.option(
    "--activation",
    type=click.Choice(["leaky", "relu", "mish", "swish", "elu"]),
    default="leaky",
    show_default=True,
    help="The one after each convolution and dense layer.",
)
@click.option("--batch-norm/--no-batch-norm", default=True, show_default=True, help="Batch norm in the convolutions.")
@click.option("--classes", type=options.Whole(min=1), default=7, show_default=True, help="How many classes.")
@click.option("--size", type=options.Whole(min=8), default=48, show_default=True, help="Width and height of the input.")
@click.option("--channels", type=click.Choice(["1", "3"]), default="1", show_default=True, help="1 grey, 3 colour.")
@options.out
@options.force
def conv(conv, dense, dropout, conv_dropout, activation, batch_norm, classes, size, channels, out, force):
    """Write a plain convolutional classifier from a description.

    Prints the cfg, or writes it to --out.

    \b
    emo cfg conv --conv 32x3,64x3,128x3 --dense 64,64 --dropout 0.5 --out my.cfg
    emo cfg conv --conv "2*32x3,2*64x3,2*128x3" --dense 256 \\
        --conv-dropout .3,.3,.25
    """
    from darknet_runner.network import cfg_file, layers
    from darknet_runner.network.conv_net import ConvNet

    net = ConvNet.of(
        conv,
        dense,
        conv_dropout=conv_dropout,
        dropout=dropout,
        activation=activation,
        batch_norm=batch_norm,
        classes=classes,
        size=size,
        channels=int(channels),
    )
    text = net.text(Path(out).stem if out else "my")
    layers.trace(cfg_file.parse(text))
    if out:
        _write(text, out, force)
    else:
        click.echo(text, nl=False)


@click.command("import", cls=Command)
@click.argument("source", metavar="SOURCE", type=click.Path(dir_okay=False))
@click.option("--for", "network", required=True, metavar="FILE|NAME", help="The network that the weights are for.")
@click.option("--out", "-o", type=click.Path(dir_okay=False), required=True, help="The .weights file to write.")
@click.option(
    "--input",
    "scale",
    metavar="NAME",
    help=(
        "What the source was trained on: 0..1, 0..255, -1..1, imagenet, caffe, vgg-face (BGR) or vgg-face-rgb; "
        "default: what its format implies."
    ),
)
@click.option("--classes", type=options.Whole(min=1), help="Render the network for this many classes first.")
@options.force
@options.as_json
def import_(source, network, out, scale, classes, force, as_json):
    """Turn weights of other frameworks into a .weights file, to use or to start a training from.

    Reads Keras .keras and .h5 (VGG-Face among them), MatConvNet .mat and torch .pth of torchvision's VGG and ResNet.
    Layers are taken in order, by their shapes; the layers after the last one that fits are left for the
    training.

    \b
    emo cfg import vgg_face_weights.h5 --for vgg-face --out vgg-face.conv.weights
    emo cfg import resnet18.pth --for resnet18 --out resnet18.conv.weights
    emo darknet train --cfg resnet18 --pretrained resnet18.conv.weights \\
        --data data/fer2013-classifier/emo.data
    """
    from darknet_runner.network import templates
    from darknet_runner.network.importers.fit import import_weights

    if Path(out).exists() and not force:
        raise UsageError("exists already", where=out, mend="give --force to replace it, or another --out")
    loaded = templates.load(network) if classes is None else templates.render(network, classes)
    found = import_weights(source, loaded, out, scale)
    if as_json:
        click.echo(
            json.dumps(
                {
                    "form": found.form,
                    "layers": found.layers,
                    "whole": found.whole,
                    "rows": [vars(row) for row in found.rows],
                    "unused": found.unused,
                    "notes": found.notes,
                },
                indent=2,
            )
        )
        return
    rows = [
        (row.index, row.kind, shape_text(row.shape), row.source or "-", shape_text(row.source_shape or ()), row.how)
        for row in found.rows
    ]
    columns(("layer", "section", "weights", "from", "its weights", "how"), rows, left=(1, 2, 3, 4, 5))
    for note in found.notes:
        click.echo(f"emo: {note}", err=True)
    if found.unused:
        click.echo(
            f"emo: not used: {', '.join(found.unused[:6])}{f' and {len(found.unused) - 6} more' if len(found.unused) > 6 else ''}",  # noqa: E501
            err=True,
        )
    click.echo(f"{out}: {found.form}, " + ("all layers" if found.whole else f"layers 0 to {found.layers - 1}"))
