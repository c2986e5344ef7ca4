"""A cfg -> a drawing of its network, PNG, SVG or PDF.

Layers stand from left to right in their order, at the height of their resolution, as tall as they have
channels and coloured by type; arcs are the layers that a route, shortcut or the like reads.
"""

from __future__ import annotations

import math
from pathlib import Path

from converters.errors import UsageError
from converters.output_folder import replacing

from .cfg_file import Cfg
from .layers import Layer, total_bflops, trace

COLOURS = {
    "convolutional": "#4c78a8",
    "connected": "#2f4b7c",
    "maxpool": "#e45756",
    "avgpool": "#ff9d98",
    "local_avgpool": "#ff9d98",
    "route": "#bab0ac",
    "shortcut": "#54a24b",
    "scale_channels": "#88d27a",
    "sam": "#88d27a",
    "upsample": "#f58518",
    "reorg": "#f2cf5b",
    "reorg3d": "#f2cf5b",
    "batchnorm": "#9ecae9",
    "dropout": "#d6a5c9",
    "yolo": "#b279a2",
    "region": "#b279a2",
    "softmax": "#b279a2",
    "cost": "#79706e",
}
FORMATS = (".png", ".svg", ".pdf")


def label(layer: Layer) -> str:
    """What a layer is, in a few letters."""
    section = layer.section
    if layer.type == "convolutional":
        stride = section.integer("stride", 1)
        size = section.integer("size", 1)
        return f"{layer.out[2]} {size}x{size}" + (f"/{stride}" if stride > 1 else "")
    if layer.type in ("maxpool", "local_avgpool"):
        size, stride = section.integer("size", section.integer("stride", 1)), section.integer("stride", 1)
        return f"{'max' if layer.type == 'maxpool' else 'avg'} {size}x{size}/{stride}"
    return {"connected": f"{layer.out[2]}", "avgpool": "avg"}.get(layer.type, layer.type)


def plot(cfg: Cfg, out: str | Path, title: str | None = None) -> Path:
    """Draw the network to `out`, in the format of its suffix; UsageError for another one."""
    out = Path(out)
    if out.suffix.lower() not in FORMATS:
        raise UsageError(f"cannot draw a '{out.suffix}' file", where=out, mend=f"one of {', '.join(FORMATS)}")
    from matplotlib import rc_context
    from matplotlib.figure import Figure
    from matplotlib.patches import Arc, Patch, Rectangle

    layers = trace(cfg)
    width = layers[0].inputs[0]
    levels = sorted({layer.out[0] for layer in layers}, reverse=True)
    # A row for each resolution, high enough for its tallest layer, its label and its arcs.
    row, step = {size: -2.4 * index for index, size in enumerate(levels)}, max(0.11, min(0.34, 13 / len(layers)))
    tall = math.log2(max(max(layer.out[2] for layer in layers), 2))
    figure = Figure(figsize=(max(7.0, 1.4 + step * len(layers)), 1.2 + 0.95 * len(levels)), layout="constrained")
    axes = figure.subplots()
    for layer in layers:
        height = 0.25 + 0.75 * math.log2(max(layer.out[2], 1)) / tall
        bottom = row[layer.out[0]]
        axes.add_patch(
            Rectangle((layer.index - 0.4, bottom), 0.8, height, color=COLOURS.get(layer.type, "#79706e"), lw=0)
        )
        if len(layers) <= 60 or layer.type in ("yolo", "region", "softmax", "upsample"):
            axes.text(
                layer.index, bottom + height + 0.06, label(layer), rotation=90, ha="center", va="bottom", fontsize=6
            )
        for source in layer.sources:
            if source != layer.index - 1:
                reach, level = layer.index - source, min(bottom, row[layers[source].out[0]])
                depth = min(0.12 + 0.04 * reach, 0.5)
                axes.add_patch(
                    Arc(
                        ((layer.index + source) / 2, level - 0.04),
                        reach,
                        2 * depth,
                        theta1=180,
                        theta2=360,
                        lw=0.7,
                        color="#555",
                    )
                )
    for size in levels:
        stride = f"1/{width / size:g}" if size > 1 else ""
        height = next(layer.out[1] for layer in layers if layer.out[0] == size)
        axes.text(-1.5, row[size] + 0.4, f"{size}x{height}\n{stride}", ha="right", va="center", fontsize=7)
    axes.set_xlim(-1, len(layers))
    axes.set_ylim(min(row.values()) - 0.7, 2.1)
    axes.set_xlabel("layer", fontsize=8)
    axes.set_xticks(range(0, len(layers), 10 if len(layers) > 60 else 5))
    axes.set_yticks([])
    axes.tick_params(labelsize=7)
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)
    millions = sum(layer.params for layer in layers) / 1e6
    name = title or (cfg.path.stem if cfg.path else "network")
    axes.set_title(
        (
            f"{name}: {len(layers)} layers, {millions:.2f} M parameters, {total_bflops(layers):.3f} BFLOPs at "
            f"{width}x{layers[0].inputs[1]}"
        ),
        fontsize=9,
    )
    used = dict.fromkeys(layer.type for layer in layers)
    figure.legend(
        handles=[Patch(color=COLOURS.get(type, "#79706e"), label=type) for type in used],
        fontsize=6,
        ncols=len(used),
        loc="outside lower right",
        frameon=False,
    )
    # A fixed salt and no date: the same cfg gives the same file.
    with rc_context({"svg.hashsalt": "emo"}), replacing(out) as temporary:
        figure.savefig(
            temporary,
            format=out.suffix.lower()[1:],
            dpi=130,
            metadata={"Date": None}
            if out.suffix.lower() == ".svg"
            else {"CreationDate": None}
            if out.suffix.lower() == ".pdf"
            else None,
        )
    return out
