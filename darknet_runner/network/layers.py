"""What each section computes: output shape, parameters, operations.

`trace(cfg)` walks the network once and gives a `Layer` a section; everything that must know shapes
(weights, the built-in network, `cfg show`) reads them from there. The arithmetic is that of AlexeyAB's
Darknet (src/parser.c and each layer's make_*), and so are the figures: what it prints, we print.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from converters.errors import CfgError, nearest

from .cfg_file import Cfg, Section, misspelt


@dataclass(frozen=True)
class Layer:
    """One layer: index, its section, input and output as (width, height, channels).

    `blocks` are its arrays in the order in which a .weights file holds them: (name, shape).
    `sources` are the absolute indices of the layers it reads besides its predecessor.
    `bflops` is the figure that AlexeyAB's Darknet prints, in 10^9: a convolution's multiply-adds count
    two, a pooling's comparisons and a shortcut's additions one, and all else, connected too, nothing.
    """

    index: int
    section: Section
    inputs: tuple[int, int, int]
    out: tuple[int, int, int]
    blocks: tuple[tuple[str, tuple[int, ...]], ...] = ()
    sources: tuple[int, ...] = ()
    bflops: float = 0.0

    @property
    def type(self) -> str:
        return self.section.type

    @property
    def params(self) -> int:
        return sum(math.prod(shape) for _, shape in self.blocks)

    @property
    def operations(self) -> int:
        """Two for each multiply-add of a convolutional or connected layer: what `darknet ops` adds up."""
        if self.type not in ("convolutional", "connected"):
            return 0
        return 2 * math.prod(dict(self.blocks)["weights"]) * self.out[0] * self.out[1]


def _fault(section: Section, what: str, key: str | None = None, mend: str | None = None) -> CfgError:
    return CfgError(
        f"[{section.type}] {what}", where=section.path, line=section.lines.get(key or "", section.line), mend=mend
    )


def _positive(section: Section, key: str, default: int) -> int:
    value = section.integer(key, default)
    if value < 1:
        raise _fault(section, f"{key} = {section.text(key)} must be 1 or more", key)
    return value


def _strides(section: Section) -> tuple[int, int]:
    stride = _positive(section, "stride", 1)
    return _positive(section, "stride_x", stride), _positive(section, "stride_y", stride)


def padded(section: Section) -> int:
    """A convolution's padding in pixels: `pad=1` means half the kernel, else `padding`."""
    size = section.integer("size", 1)
    return size // 2 if section.integer("pad", 0) else section.integer("padding", 0)


def _batch_norm(section: Section, count: int) -> list[tuple[str, tuple[int, ...]]]:
    on = section.integer("batch_normalize", 0)
    return [("scales", (count,)), ("mean", (count,)), ("variance", (count,))] if on else []


# Options that change a layer's arithmetic, or its place in the weights file, in ways that nothing here computes.
UNSUPPORTED = {
    "convolutional": (
        "antialiasing",
        "assisted_excitation",
        "binary",
        "bin_output",
        "cbn",
        "coordconv",
        "flipped",
        "rotate",
        "share_index",
        "stretch",
        "stretch_sway",
        "sway",
        "xnor",
    ),
    "maxpool": ("antialiasing", "maxpool_zero_nonmax"),
    "softmax": ("spatial", "tree"),
    "region": ("map", "tree"),
}
# With these AlexeyAB's Darknet passes over numbers when it reads weights, and writes them all the same: it cannot read
# what it wrote.
UNSUPPORTED_EVERYWHERE = ("dontload", "dontloadscales")


def _convolutional(section, inputs, index, outs):
    width, height, channels = inputs
    filters, size = _positive(section, "filters", 1), _positive(section, "size", 1)
    groups, (stride_x, stride_y) = _positive(section, "groups", 1), _strides(section)
    dilation = _positive(section, "dilation", 1) if size > 1 else 1
    pad = padded(section)
    if channels % groups or filters % groups:
        raise _fault(section, f"groups = {groups} does not divide {channels} channels into {filters} filters", "groups")
    if (dilation - 1) * (2 * pad - (size - 1)):
        # Darknet pads by pad * dilation but sizes its output as if dilation were 1; only here do the two agree.
        raise _fault(
            section,
            f"dilation = {dilation} needs padding = {(size - 1) / 2:g}, not {pad}",
            "dilation",
            "an odd size and pad=1",
        )
    out = ((width + 2 * pad - size) // stride_x + 1, (height + 2 * pad - size) // stride_y + 1, filters)
    weights = (filters, channels // groups, size, size)
    blocks = [("biases", (filters,)), *_batch_norm(section, filters), ("weights", weights)]
    return {"out": out, "blocks": tuple(blocks), "bflops": 2.0 * math.prod(weights) * out[0] * out[1] / 1e9}


def _connected(section, inputs, index, outs):
    output = _positive(section, "output", 1)
    blocks = [("biases", (output,)), ("weights", (output, math.prod(inputs))), *_batch_norm(section, output)]
    return {"out": (1, 1, output), "blocks": tuple(blocks)}


def _batchnorm(section, inputs, index, outs):
    return {"out": inputs, "blocks": tuple((name, inputs[2:]) for name in ("biases", "scales", "mean", "variance"))}


def _pool(section, inputs, index, outs):
    """maxpool and local_avgpool: `padding` is the sum of both sides, the smaller half first (top, left)."""
    width, height, channels = inputs
    stride_x, stride_y = _strides(section)
    size = _positive(section, "size", section.integer("stride", 1))
    padding = section.integer("padding", size - 1)
    if section.type == "maxpool" and section.integer("maxpool_depth", 0):
        out = (width, height, _positive(section, "out_channels", 1))
    else:
        out = ((width + padding - size) // stride_x + 1, (height + padding - size) // stride_y + 1, channels)
    return {"out": out, "bflops": size * size * channels * out[0] * out[1] / 1e9}


def _avgpool(section, inputs, index, outs):
    return {"out": (1, 1, inputs[2])}


def absolute(section: Section, index: int, key: str = "layers") -> tuple[int, ...]:
    """A route's or shortcut's layer numbers, negative ones counted back from `index`."""
    numbers = section.integers(key)
    found = tuple(index + number if number < 0 else number for number in numbers)
    if not found or not all(0 <= number < index for number in found):
        raise _fault(section, f"{key} = {section.text(key)} does not name earlier layers", key)
    return found


def _shapes(outs, sources):
    return " and ".join("x".join(map(str, outs[source])) for source in sources)


def _route(section, inputs, index, outs):
    sources, groups, group = absolute(section, index), _positive(section, "groups", 1), section.integer("group_id", 0)
    width, height, _ = outs[sources[0]]
    if any(outs[source][:2] != (width, height) for source in sources):
        raise _fault(section, f"joins layers of different sizes: {_shapes(outs, sources)}", "layers")
    if not 0 <= group < groups or any(outs[source][2] % groups for source in sources):
        raise _fault(section, f"cannot take group {group} of {groups} from {_shapes(outs, sources)}", "groups")
    return {"out": (width, height, sum(outs[source][2] for source in sources) // groups), "sources": sources}


def shortcut_stride(inputs: tuple[int, int, int], source: tuple[int, int, int]) -> int | None:
    """The step at which a shortcut takes pixels of `source`: 1 for an equal size; None when it does not fit."""
    stride = source[0] // inputs[0]
    return stride if (inputs[0] * stride, inputs[1] * stride) == source[:2] else None


def _shortcut(section, inputs, index, outs):
    """Adds layers; of one with other channels those that both have, of a k times larger one each k-th pixel.

    Only Debian's Darknet adds layers of different size (its ResNets do); AlexeyAB's stops there.
    """
    sources = absolute(section, index, "from")
    if any(shortcut_stride(inputs, outs[source]) is None for source in sources):
        raise _fault(
            section,
            f"adds layers of different sizes: {'x'.join(map(str, inputs))} and {_shapes(outs, sources)}",
            "from",
        )
    kind, blocks = section.text("weights_type", "none"), ()
    if kind != "none":
        known = {
            "per_feature": (len(sources) + 1,),
            "per_layer": (len(sources) + 1,),
            "per_channel": (len(sources) + 1, inputs[2]),
        }
        if kind not in known:
            raise _fault(
                section, f"weights_type = {kind} is not known", "weights_type", nearest(kind, [*known, "none"])
            )
        blocks = (("weights", known[kind]),)
    bflops = math.prod(inputs) * len(sources) * (2 if blocks else 1) / 1e9
    return {"out": inputs, "blocks": blocks, "sources": sources, "bflops": bflops}


def _scale_channels(section, inputs, index, outs):
    """The layer `from`, each channel times one input value; with scale_wh each pixel."""
    (source,) = sources = absolute(section, index, "from")[:1]
    by_pixel, out = section.integer("scale_wh", 0), outs[source]
    if inputs != ((*out[:2], 1) if by_pixel else (1, 1, out[2])):
        raise _fault(section, f"cannot scale {_shapes(outs, sources)} by {'x'.join(map(str, inputs))}", "from")
    return {"out": out, "sources": sources}


def _sam(section, inputs, index, outs):
    """The layer `from` times the input, value by value."""
    sources = absolute(section, index, "from")[:1]
    if outs[sources[0]] != inputs:
        raise _fault(section, f"cannot multiply {_shapes(outs, sources)} by {'x'.join(map(str, inputs))}", "from")
    return {"out": inputs, "sources": sources}


def _upsample(section, inputs, index, outs):
    stride = section.integer("stride", 2)
    if not stride:
        raise _fault(section, "stride = 0", "stride")
    out = (inputs[0] * stride, inputs[1] * stride) if stride > 0 else (inputs[0] // -stride, inputs[1] // -stride)
    return {"out": (*out, inputs[2])}


def _reorg(section, inputs, index, outs):
    """Darknet's two, `reorg` (YOLOv2's) and `reorg3d`, shuffle differently and have the same shapes."""
    (width, height, channels), stride = inputs, _positive(section, "stride", 1)
    reverse = section.integer("reverse", 0)
    if section.type == "reorg":
        uneven = channels % stride**2
    else:
        uneven = channels % stride**4 if reverse else 0
    if uneven or (not reverse and (width % stride or height % stride)):
        raise _fault(section, f"stride = {stride} does not divide {width}x{height}x{channels}", "stride")
    if reverse:
        return {"out": (width * stride, height * stride, channels // stride**2)}
    return {"out": (width // stride, height // stride, channels * stride**2)}


def _head(section, inputs, index, outs):
    """yolo: a box, objectness and the classes for each anchor of its mask; region: for each of its anchors."""
    classes = section.integer("classes", 20)
    anchors = section.integer("num", 1)
    if section.type == "yolo":
        anchors = len(section.integers("mask")) or anchors
    each = classes + 1 + (section.integer("coords", 4) if section.type == "region" else 4)
    if inputs[2] != anchors * each:
        raise _fault(
            section,
            f"needs {anchors * each} channels ({anchors} anchors x (classes + {each - classes})) and gets {inputs[2]}",
        )
    return {"out": inputs}


def _same(section, inputs, index, outs):
    return {"out": inputs}


TRACERS: dict[str, Callable[..., dict[str, Any]]] = {
    "convolutional": _convolutional,
    "connected": _connected,
    "batchnorm": _batchnorm,
    "maxpool": _pool,
    "local_avgpool": _pool,
    "avgpool": _avgpool,
    "route": _route,
    "shortcut": _shortcut,
    "scale_channels": _scale_channels,
    "sam": _sam,
    "upsample": _upsample,
    "reorg": _reorg,
    "reorg3d": _reorg,
    "yolo": _head,
    "region": _head,
    "dropout": _same,
    "softmax": _same,
    "cost": _same,
}


def trace(cfg: Cfg) -> tuple[Layer, ...]:
    """The layers of `cfg` with their shapes; CfgError names the first section that is not supported, or that does
    not fit.
    """
    try:
        return _trace(cfg)
    except CfgError as error:
        if not error.mend and (hint := misspelt(cfg)):
            raise CfgError(error.what, where=error.where, line=error.line, mend=hint) from None
        raise


def _trace(cfg: Cfg) -> tuple[Layer, ...]:
    net = cfg.net
    inputs = net.integer("width", 0), net.integer("height", 0), net.integer("channels", 0)
    if not any(inputs):
        inputs = (1, 1, net.integer("inputs", 0))  # a vector
    if min(inputs) < 1:
        raise _fault(net, "needs width, height and channels above 0")
    layers: list[Layer] = []
    outs: list[tuple[int, int, int]] = []
    for index, section in enumerate(cfg.layers):
        if section.type not in TRACERS:
            raise CfgError(f"section [{section.type}] is not supported", where=cfg.path, line=section.line)
        for key in (*UNSUPPORTED.get(section.type, ()), *UNSUPPORTED_EVERYWHERE):
            if section.text(key, "0") != "0":
                mend = "take the line out" if key in UNSUPPORTED_EVERYWHERE else None
                raise _fault(section, f"{key} = {section.text(key)} is not supported", key, mend)
        layer = Layer(index, section, inputs, **TRACERS[section.type](section, inputs, index, outs))
        if min(layer.out) < 1:
            raise _fault(section, f"shrinks its input {'x'.join(map(str, inputs))} to nothing")
        layers.append(layer)
        outs.append(layer.out)
        inputs = layer.out
    return tuple(layers)


def total_bflops(layers: tuple[Layer, ...]) -> float:
    """The sum as Darknet prints it ("Total BFLOPS"): added up in single precision."""
    total = np.float32(0)
    for layer in layers:
        total += np.float32(layer.bflops)
    return float(total)
