"""What each section computes: output shape, parameters, operations.

`trace(cfg)` walks the network once and gives a `Layer` a section; everything that must know shapes
(weights, the built-in network, `cfg show`) reads them from there.
"""

from __future__ import annotations

from dataclasses import dataclass

from converters.errors import CfgError

from .cfgfile import Cfg, Section


@dataclass(frozen=True)
class Layer:
    """One layer: index, its section, input and output as (width, height, channels).

    `blocks` are its arrays in the order in which a .weights file holds them: (name, shape).
    `sources` are the absolute indices of the layers it reads besides its predecessor.
    `bflops` counts a multiply-add as two, as Darknet prints it, in 10^9.
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
        total = 0
        for _, shape in self.blocks:
            count = 1
            for size in shape:
                count *= size
            total += count
        return total


def padded(section: Section) -> int:
    """A convolution's padding in pixels: `pad=1` means half the kernel, else `padding`."""
    size = section.integer("size", 1)
    return size // 2 if section.integer("pad", 0) else section.integer("padding", 0)


def _convolutional(section, inputs, index, outs):
    width, height, channels = inputs
    filters, size, groups = section.integer("filters", 1), section.integer("size", 1), section.integer("groups", 1)
    stride = section.integer("stride", 1)
    stride_x, stride_y = section.integer("stride_x", stride), section.integer("stride_y", stride)
    dilation = section.integer("dilation", 1) if size > 1 else 1
    pad, reach = padded(section) * dilation, dilation * (size - 1) + 1
    if channels % groups:
        raise CfgError(f"groups = {groups} does not divide {channels} channels", where=section.path, line=section.line)
    out = ((width + 2 * pad - reach) // stride_x + 1, (height + 2 * pad - reach) // stride_y + 1, filters)
    blocks = [("biases", (filters,))]
    if section.integer("batch_normalize", 0):
        blocks += [("scales", (filters,)), ("mean", (filters,)), ("variance", (filters,))]
    blocks.append(("weights", (filters, channels // groups, size, size)))
    bflops = 2.0 * filters * size * size * (channels // groups) * out[0] * out[1] / 1e9
    return {"out": out, "blocks": tuple(blocks), "bflops": bflops}


def _connected(section, inputs, index, outs):
    count, output = inputs[0] * inputs[1] * inputs[2], section.integer("output", 1)
    blocks = [("biases", (output,)), ("weights", (output, count))]
    if section.integer("batch_normalize", 0):
        blocks += [("scales", (output,)), ("mean", (output,)), ("variance", (output,))]
    return {"out": (1, 1, output), "blocks": tuple(blocks), "bflops": 2.0 * count * output / 1e9}


def _maxpool(section, inputs, index, outs):
    stride = section.integer("stride", 1)
    size = section.integer("size", stride)
    padding = section.integer("padding", size - 1)
    stride_x, stride_y = section.integer("stride_x", stride), section.integer("stride_y", stride)
    out = ((inputs[0] + padding - size) // stride_x + 1, (inputs[1] + padding - size) // stride_y + 1, inputs[2])
    return {"out": out, "bflops": out[0] * out[1] * out[2] * size * size / 1e9}


def absolute(section: Section, index: int, key: str = "layers") -> tuple[int, ...]:
    """A route's or shortcut's layer numbers, negative ones counted back from `index`."""
    numbers = section.integers(key)
    found = tuple(index + number if number < 0 else number for number in numbers)
    if not found or not all(0 <= number < index for number in found):
        raise CfgError(f"[{section.type}] {key} = {section.text(key)} does not name earlier layers", where=section.path, line=section.lines.get(key, section.line))
    return found


def _route(section, inputs, index, outs):
    sources = absolute(section, index)
    groups = section.integer("groups", 1)
    width, height, _ = outs[sources[0]]
    if any(outs[source][:2] != (width, height) for source in sources):
        shapes = ", ".join("x".join(map(str, outs[source])) for source in sources)
        raise CfgError(f"[route] joins layers of different sizes: {shapes}", where=section.path, line=section.line)
    return {"out": (width, height, sum(outs[source][2] // groups for source in sources)), "sources": sources}


def _shortcut(section, inputs, index, outs):
    return {"out": inputs, "sources": absolute(section, index, "from"), "bflops": inputs[0] * inputs[1] * inputs[2] / 1e9}


def _upsample(section, inputs, index, outs):
    stride = section.integer("stride", 2)
    return {"out": (inputs[0] * stride, inputs[1] * stride, inputs[2])}


def _yolo(section, inputs, index, outs):
    mask = section.integers("mask") or tuple(range(section.integer("num", 1)))
    expected = len(mask) * (section.integer("classes", 20) + 5)
    if inputs[2] != expected:
        raise CfgError(f"[yolo] needs {expected} channels ({len(mask)} anchors x (classes + 5)) and gets {inputs[2]}", where=section.path, line=section.line)
    return {"out": inputs}


def _same(section, inputs, index, outs):
    return {"out": inputs}


def _avgpool(section, inputs, index, outs):
    return {"out": (1, 1, inputs[2])}


TRACERS = {
    "convolutional": _convolutional, "connected": _connected, "maxpool": _maxpool, "avgpool": _avgpool,
    "route": _route, "shortcut": _shortcut, "upsample": _upsample, "yolo": _yolo,
    "dropout": _same, "softmax": _same, "cost": _same,
}  # fmt: skip


def trace(cfg: Cfg) -> tuple[Layer, ...]:
    """The layers of `cfg` with their shapes; CfgError names the first section that is not supported."""
    inputs = (cfg.net.integer("width", 0), cfg.net.integer("height", 0), cfg.net.integer("channels", 3))
    if min(inputs) < 1:
        raise CfgError("[net] needs width, height and channels above 0", where=cfg.path, line=cfg.net.line)
    layers, outs = [], []
    for index, section in enumerate(cfg.layers):
        if section.type not in TRACERS:
            raise CfgError(f"section [{section.type}] is not supported", where=cfg.path, line=section.line)
        layer = Layer(index, section, inputs, **TRACERS[section.type](section, inputs, index, outs))
        if min(layer.out) < 1:
            raise CfgError(f"[{section.type}] shrinks its input {inputs} to nothing", where=cfg.path, line=section.line)
        layers.append(layer)
        outs.append(layer.out)
        inputs = layer.out
    return tuple(layers)
