"""`emo cfg list`, `show`, `plot` and `diff`: look at networks."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from converters.errors import UsageError

from . import options
from .groups import Command
from .printing import columns, shape_text


@click.command("list", cls=Command)
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
            shape_text(one["size"]),
            one["layers"],
            f"{one['weights_bytes'] / 1e6:.1f}",
            f"{one['bflops']:.3f}",
            one["about"],
        )
        for one in found
    ]
    columns(("name", "kind", "size", "layers", "MB", "BFLOPs", "what"), rows, left=(0, 1, 6))


@click.command(cls=Command)
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
                shape_text(layer.inputs),
                shape_text(layer.out),
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


@click.command(cls=Command)
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


@click.command(cls=Command)
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
