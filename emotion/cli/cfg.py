"""`emo cfg`: look at networks, make one for your classes, compare two; anchors and schedules."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from converters.errors import UsageError

from . import options
from .groups import Group
from .printing import columns


@click.group(cls=Group)
def cfg():
    """Networks: list and show them, make one for your classes, compare two.

    \b
    emo cfg list
    emo cfg show v4-tiny
    emo cfg render v4-tiny --classes 7 --size 320 --out my.cfg
    emo cfg conv --conv 32x3,64x3,128x3 --dense 64,64 --out my.cfg
    """


def _shape(shape) -> str:
    return "x".join(map(str, shape))


def _write(text: str, out: str, force: bool) -> None:
    from converters.output_folder import replacing

    if Path(out).exists() and not force:
        raise UsageError("exists already", where=out, mend="give --force to replace it, or another --out")
    with replacing(Path(out)) as temporary:
        temporary.write_text(text)


@cfg.command("list")
@options.as_json
def list_(as_json):
    """List the networks that come with emo, with their cost.

    \b
    emo cfg list
    """
    from darknet_runner.network import layers, templates, weights_file

    found = []
    for name in templates.names():
        network = templates.load(name)
        traced = layers.trace(network)
        about = network.text.split("\n", 1)[0].lstrip("# ").removeprefix(f"{name}: ")
        found.append(
            {
                "name": name,
                "kind": "detector" if network.is_detector else "classifier",
                "size": list(network.size_wh),
                "layers": len(traced),
                "params": sum(layer.params for layer in traced),
                "weights_bytes": weights_file.weights_bytes(traced),
                "bflops": round(layers.total_bflops(traced), 3),
                "about": about,
            }
        )
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    rows = [
        (
            one["name"],
            one["kind"],
            _shape(one["size"]),
            one["layers"],
            f"{one['weights_bytes'] / 1e6:.1f}",
            f"{one['bflops']:.3f}",
            one["about"],
        )
        for one in found
    ]
    columns(("name", "kind", "size", "layers", "MB", "BFLOPs", "what"), rows, left=(0, 1, 6))


@cfg.command()
@click.argument("network", metavar="FILE|NAME")
@click.option("--strict", is_flag=True, help="Exit with 1 when Darknet would ignore a section or an option.")
@options.as_json
def show(network, strict, as_json):
    """Show a network layer by layer: shapes, parameters and BFLOPs, as a Darknet binary prints them.

    Options that Darknet would silently ignore, such as misspelt ones, are listed on stderr; so are those that
    only Darknet supports.

    \b
    emo cfg show v4-tiny
    emo cfg show my.cfg --json
    """
    from darknet_runner.builtin.heeded_options import unheeded
    from darknet_runner.network import cfg_file, cfg_plot, layers, templates, weights_file

    loaded = templates.load(network)
    findings = cfg_file.findings(loaded)
    for one in sorted([*findings, *unheeded(loaded)], key=lambda finding: finding.line):
        click.echo(f"emo: {one.file}:{one.line}: {one.message}", err=True)
    traced = layers.trace(loaded)
    operations, params, size = (
        sum(layer.operations for layer in traced),
        sum(layer.params for layer in traced),
        weights_file.weights_bytes(traced),
    )
    if as_json:
        rows = [
            {
                "index": layer.index,
                "type": layer.type,
                "out": list(layer.out),
                "params": layer.params,
                "bflops": layer.bflops,
            }
            for layer in traced
        ]
        click.echo(json.dumps({"layers": rows, "operations": operations, "params": params, "weights_bytes": size}))
    else:
        rows = [
            (
                layer.index,
                layer.type,
                cfg_plot.label(layer) if layer.type != cfg_plot.label(layer) else "",
                ",".join(map(str, layer.sources)),
                _shape(layer.inputs),
                _shape(layer.out),
                f"{layer.params:,}" if layer.params else "",
                f"{layer.bflops:.3f}" if layer.bflops else "",
            )
            for layer in traced
        ]
        columns(("", "layer", "what", "reads", "input", "output", "params", "BFLOPs"), rows, left=(1, 2))
        click.echo(
            f"{len(traced)} layers, {params:,} parameters, weights of {size:,} bytes, "
            f"{layers.total_bflops(traced):.3f} BFLOPs, {operations:,} operations"
        )
    if strict and findings:
        sys.exit(1)


def _pairs(text: str) -> list[tuple[float, float]]:
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = [0.0]
    if len(values) % 2 or min(values) <= 0:
        raise click.BadParameter("pairs of widths and heights in pixels are wanted, as in 10,14,23,27")
    return list(zip(values[::2], values[1::2]))


@cfg.command()
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


@cfg.command()
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
    emo cfg conv --conv "2*32x3,2*64x3,2*128x3" --dense 256 --conv-dropout .3,.3,.25
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


@cfg.command("import")
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
    emo darknet train --cfg resnet18 --pretrained resnet18.conv.weights --data data/fer2013-classifier/emo.data
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
        (row.index, row.kind, _shape(row.shape), row.source or "-", _shape(row.source_shape or ()), row.how)
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


@cfg.command()
@click.argument("network", metavar="FILE|NAME")
@click.option("--out", "-o", type=click.Path(dir_okay=False), help="A .png, .svg or .pdf file; default: NAME.svg here.")
@options.force
def plot(network, out, force):
    """Draw a network: layers by resolution, coloured by type, with their connections.

    \b
    emo cfg plot v4-tiny --out v4-tiny.png
    """
    from darknet_runner.network import cfg_plot, templates

    loaded = templates.load(network)
    out = out or f"{loaded.path.stem}.svg"
    if Path(out).exists() and not force:
        raise UsageError("exists already", where=out, mend="give --force to replace it, or another --out")
    click.echo(cfg_plot.plot(loaded, out))


@cfg.command()
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@options.as_json
def diff(a, b, as_json):
    """What differs between two networks, and up to which layer B can begin with A's weights.

    \b
    emo cfg diff csdarknet53 v4
    """
    from darknet_runner.network import cfg_diff, templates

    one, two = templates.load(a), templates.load(b)
    found, first = cfg_diff.differences(one, two), cfg_diff.first_difference(one, two)
    if as_json:
        click.echo(json.dumps({"first": first, "differences": [vars(difference) for difference in found]}, indent=2))
        return
    rows = []
    for difference in found:
        where = "[net]" if difference.index < 0 else str(difference.index)
        sections = one.sections if difference.index + 1 < len(one.sections) else two.sections
        rows.append(
            (
                where,
                sections[difference.index + 1].type,
                difference.key,
                *("-" if side is None else side for side in (difference.a, difference.b)),
            )
        )
    if rows:
        columns(("layer", "section", "option", str(a), str(b)), rows, left=(1, 2, 3, 4))
    if first is None:
        click.echo("all layers compute the same: the weights of one fit the other")
    else:
        click.echo(f"first differing layer: {first} (the weights of the {first} layers before it fit both)")


@cfg.command()
@click.option(
    "--data",
    "data",
    type=click.Path(),
    required=True,
    help="A detector's .data file or its folder; the boxes of its train list are measured.",
)
@click.option("--num", type=options.Whole(min=1), default=6, show_default=True, help="How many anchors; [yolo] num.")
@click.option(
    "--size",
    type=options.Whole(min=32),
    default=416,
    show_default=True,
    help="Width and height of the network's input.",
)
@click.option("--split", default="train", show_default=True, help="Which list.")
@options.seed
@options.as_json
def anchors(data, num, size, split, seed, as_json):
    """Anchors that fit your boxes: k-means on IoU; prints the line to paste into every [yolo].

    \b
    emo cfg anchors --data data/affectnet-detector/emo.data --num 6 --size 320
    """
    from converters.darknet_format.open_set import open_set
    from darknet_runner.network import anchors as library

    found = library.cluster(library.label_sizes(open_set(data, "detector"), (size, size), split), num, seed)
    if as_json:
        click.echo(
            json.dumps(
                {
                    "anchors": found.sizes_px.astype(int).tolist(),
                    "mean_iou": round(found.mean_iou, 4),
                    "boxes": found.boxes,
                    "size": size,
                }
            )
        )
    else:
        click.echo(found.line)
        click.echo(f"mean IoU {100 * found.mean_iou:.2f}% over {found.boxes:,} boxes")


@cfg.command()
@click.option("--images", type=options.Whole(min=1), help="How many pictures are trained on.")
@click.option("--data", "data", type=click.Path(), help=f"Count the pictures of this set's train list: {options.SET}.")
@click.option("--batch", type=options.Whole(min=1), default=64, show_default=True, help="Pictures per weight update.")
@click.option("--epochs", type=options.Number(min=0, min_open=True), help="Passes over all pictures.")
@click.option("--batches", type=options.Whole(min=1), help="max_batches, to turn into epochs.")
@click.option(
    "--round",
    "round_to",
    type=options.Whole(min=1),
    default=1,
    show_default=True,
    help="Round batches up to a multiple of this.",
)
@options.as_json
def schedule(images, data, batch, epochs, batches, round_to, as_json):
    """Turn epochs into max_batches and steps, and back.

    \b
    emo cfg schedule --images 283901 --batch 64 --epochs 90
    emo cfg schedule --images 283901 --batch 64 --batches 400000
    """
    from converters.darknet_format.files import read_list
    from converters.darknet_format.open_set import open_set
    from darknet_runner.network import schedule as library

    if (images is None) == (data is None):
        raise click.UsageError("give either --images or --data")
    if (epochs is None) == (batches is None):
        raise click.UsageError("give either --epochs or --batches")
    if data is not None:
        images = len(read_list(open_set(data).list_of("train")))
    plan = library.plan(images, batch, epochs=epochs, max_batches=batches, round_to=round_to)
    if as_json:
        click.echo(
            json.dumps(
                {
                    "images": images,
                    "batch": batch,
                    "epochs": round(plan.epochs, 3),
                    "max_batches": plan.max_batches,
                    "steps": list(plan.steps),
                    "burn_in": plan.burn_in,
                }
            )
        )
        return
    click.echo(
        f"{images:,} images, batch {batch}, {plan.max_batches:,} batches: {plan.epochs:.0f} epochs ({plan.epochs:.2f})"
    )
    for key, value in plan.net.items():
        click.echo(f"{key}={value}")
