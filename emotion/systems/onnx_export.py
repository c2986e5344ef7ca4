"""A Darknet network as ONNX: cfg and weights come in, a model that ONNX Runtime and others run goes out.

Input `pictures` (B, C, h, w) float32 in 0..1, RGB or grey, as `darknet_runner.network.resize` makes them. Output of a
detector: `boxes` (B, rows, 5 + classes) as of every backend (see `backends`), of all its heads together; of a
classifier: `probabilities` (B, classes). B is free. Batch norms are folded into the weights.

    onnx.save(to_onnx(models.find("emo-v4-nano", "detector")), "emo-v4-nano.onnx")
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from converters.errors import CfgError, MissingExtra
from darknet_runner.network import weights_file
from darknet_runner.network.layers import Layer, absolute, padded, trace

from ..version import __version__
from .models import Model

OPSET, IR = 18, 8  # of 2022: Mish, and what runtimes of that year read
EPS = 1e-5  # src/blas.c, normalize_cpu


class Graph:
    """Nodes and constants; a value is known by its name."""

    def __init__(self):
        from onnx import helper, numpy_helper

        self.helper, self.tensor = helper, numpy_helper.from_array
        self.nodes, self.constants, self.count = [], [], 0

    def add(self, kind: str, *inputs, name: str | None = None, **attributes):
        """A node on values, arrays and numbers; the name of its output."""
        names = [value if isinstance(value, str) else self.constant(value) for value in inputs]
        self.nodes.append(self.helper.make_node(kind, names, [made := name or self._new()], **attributes))
        return made

    def constant(self, value: np.ndarray | float) -> str:
        name = self._new()
        self.constants.append(
            self.tensor(value if isinstance(value, np.ndarray) else np.array(value, np.float32), name)
        )
        return name

    def _new(self) -> str:
        self.count += 1
        return f"v{self.count}"

    def reshape(self, x, *shape):
        return self.add("Reshape", x, np.array(shape, np.int64))

    def cut(self, x, axis: int, start: int, stop: int, step: int = 1):
        """x[..., start:stop:step] of `axis`."""
        return self.add("Slice", x, *(np.array([value], np.int64) for value in (start, stop, axis, step)))


ACTIVATIONS: dict[str, Callable] = {
    "linear": lambda graph, x: x,
    "leaky": lambda graph, x: graph.add("LeakyRelu", x, alpha=0.1),
    "logistic": lambda graph, x: graph.add("Sigmoid", x),
    "relu": lambda graph, x: graph.add("Relu", x),
    "relu6": lambda graph, x: graph.add("Clip", x, 0, 6),
    "mish": lambda graph, x: graph.add("Mish", x),
    "swish": lambda graph, x: graph.add("Mul", x, graph.add("Sigmoid", x)),
    "tanh": lambda graph, x: graph.add("Tanh", x),
    "elu": lambda graph, x: graph.add("Elu", x),
    "selu": lambda graph, x: graph.add("Selu", x),
}


def to_onnx(model: Model, prepares: bool = True):
    """The model as an onnx.ModelProto. CfgError names a section or option that has no form there; MissingExtra without
    onnx.

    prepares  the graph standardises each picture itself where the card asks for it; False for pictures that are already
    """
    try:
        from onnx import TensorProto, checker, helper
    except ImportError:
        raise MissingExtra("onnx", "onnx", "an ONNX model") from None
    cfg = model.cfg
    layers, arrays = trace(cfg), weights_file.read(cfg, model.weights).layers
    graph, found = Graph(), []
    outs: dict = {}
    x = (
        standardised(graph, "pictures")
        if prepares and model.preprocessing.standardise and not cfg.is_detector
        else "pictures"
    )
    for layer, blocks in zip(layers, arrays):
        if layer.type not in EMITTERS:
            raise CfgError(
                f"section [{layer.type}] cannot be exported to ONNX", where=cfg.path, line=layer.section.line
            )
        x = EMITTERS[layer.type](graph, layer, blocks, x, outs)
        outs[layer.index] = x, layer.out
        if layer.type in HEADS:
            found.append(HEADS[layer.type](graph, layer, x, cfg.size_wh))
    if cfg.is_detector:
        output, shape = graph.add("Concat", *found, axis=1, name="boxes"), ["B", None, 5 + len(model.names)]
    else:
        output, shape = graph.add("Flatten", x, name="probabilities"), ["B", len(model.names)]
    channels, (width, height) = cfg.net.integer("channels", 3), cfg.size_wh
    made = helper.make_model(
        helper.make_graph(
            graph.nodes,
            model.name,
            [helper.make_tensor_value_info("pictures", TensorProto.FLOAT, ["B", channels, height, width])],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, shape)],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR,
        producer_name="emo",
        producer_version=__version__,
    )
    helper.set_model_props(
        made,
        {
            "names": "\n".join(model.names),
            "task": model.task,
            **_asked(model.preprocessing),
            **{key: str(value) for key, value in model.describe().items() if key == "sha256"},
        },
    )
    checker.check_model(made)
    return made


def _asked(wanted) -> dict[str, str]:
    """What is left for whoever runs the model: the cut and the size of a face's crop; the rest is in the graph."""
    return {key: str(value) for key, value in wanted.told().items() if key != "standardise"}


def standardised(graph: Graph, x: str) -> str:
    """Each picture less its mean, over its deviation, at least 1e-6: `network.preprocessing.Preprocessing.finished`."""
    axes = np.array([1, 2, 3], np.int64)
    centred = graph.add("Sub", x, graph.add("ReduceMean", x, axes, keepdims=1))
    deviation = graph.add("Sqrt", graph.add("ReduceMean", graph.add("Mul", centred, centred), axes, keepdims=1))
    return graph.add("Div", centred, graph.add("Max", deviation, 1e-6))


def _activated(graph, layer: Layer, x, default: str):
    name = layer.section.text("activation", default)
    if name not in ACTIVATIONS:
        section = layer.section
        raise CfgError(
            f"activation {name} cannot be exported to ONNX",
            where=section.path,
            line=section.lines.get("activation"),
            mend=f"known: {', '.join(sorted(ACTIVATIONS))}",
        )
    return ACTIVATIONS[name](graph, x)


def _folded(blocks: dict) -> tuple[np.ndarray, np.ndarray]:
    """Weights and biases with the batch norm, if there is one, multiplied in."""
    kernel, bias = np.asarray(blocks["weights"], np.float64), np.asarray(blocks["biases"], np.float64)
    if "scales" in blocks:
        share = np.asarray(blocks["scales"], np.float64) / np.sqrt(np.asarray(blocks["variance"], np.float64) + EPS)
        kernel, bias = (
            kernel * share.reshape(-1, *[1] * (kernel.ndim - 1)),
            bias - np.asarray(blocks["mean"], np.float64) * share,
        )
    return kernel.astype(np.float32), bias.astype(np.float32)


def _convolutional(graph, layer, blocks, x, outs):
    section = layer.section
    stride, dilation = (
        section.integer("stride", 1),
        section.integer("dilation", 1) if section.integer("size", 1) > 1 else 1,
    )
    made = graph.add(
        "Conv",
        x,
        *_folded(blocks),
        strides=[section.integer("stride_y", stride), section.integer("stride_x", stride)],
        pads=[padded(section) * dilation] * 4,
        dilations=[dilation] * 2,
        group=section.integer("groups", 1),
    )
    return _activated(graph, layer, made, "logistic")


def _connected(graph, layer, blocks, x, outs):
    kernel, bias = _folded(blocks)
    made = graph.add("Gemm", graph.add("Flatten", x), kernel, bias, transB=1)
    return _activated(graph, layer, graph.reshape(made, 0, -1, 1, 1), "logistic")


def _pool(kind: str, **attributes):
    """Darknet pads by `padding`, size - 1 by default, in all: half of it, cut, at the left and top."""

    def emit(graph, layer, blocks, x, outs):
        section, (width, height, _) = layer.section, layer.inputs
        if section.integer("maxpool_depth", 0):
            raise CfgError("maxpool_depth cannot be exported to ONNX", where=section.path, line=section.line)
        stride = section.integer("stride", 1)
        strides, size = (
            [section.integer("stride_y", stride), section.integer("stride_x", stride)],
            section.integer("size", stride),
        )
        before = section.integer("padding", size - 1) // 2
        after = [
            max(0, (out - 1) * step + size - source - before)
            for source, out, step in zip((height, width), layer.out[1::-1], strides)
        ]
        made = graph.add(kind, x, kernel_shape=[size] * 2, strides=strides, pads=[before, before, *after], **attributes)
        return graph.cut(graph.cut(made, 2, 0, layer.out[1]), 3, 0, layer.out[0])

    return emit


def _route(graph, layer, blocks, x, outs):
    groups, which, parts = layer.section.integer("groups", 1), layer.section.integer("group_id", 0), []
    for source in layer.sources:
        name, (_, _, channels) = outs[source]
        share = channels // groups
        parts.append(name if groups == 1 else graph.cut(name, 1, share * which, share * (which + 1)))
    return parts[0] if len(parts) == 1 else graph.add("Concat", *parts, axis=1)


def _shortcut(graph, layer, blocks, x, outs):
    section, (width, _, channels) = layer.section, layer.inputs
    parts, shares = [x], [None] * (1 + len(layer.sources))
    for source in layer.sources:
        name, (wide, _, deep) = outs[source]
        if wide > width:
            name = graph.cut(graph.cut(name, 2, 0, 1 << 30, wide // width), 3, 0, 1 << 30, wide // width)
        if deep > channels:
            name = graph.cut(name, 1, 0, channels)
        elif deep < channels:
            name = graph.add("Pad", name, np.array([0, 0, 0, 0, 0, channels - deep, 0, 0], np.int64))
        parts.append(name)
    if "weights" in blocks:
        shares = _shares(
            np.asarray(blocks["weights"], np.float64).reshape(len(parts), -1),
            section.text("weights_normalization", "none"),
        )
    total = None
    for part, share in zip(parts, shares):
        part = part if share is None else graph.add("Mul", part, share.reshape(1, -1, 1, 1).astype(np.float32))
        total = part if total is None else graph.add("Add", total, part)
    return _activated(graph, layer, total, "linear")


def _shares(share: np.ndarray, kind: str) -> np.ndarray:
    """(inputs, 1 or channels) weights of a shortcut, normalised; src/blas.c, shortcut_multilayer_cpu."""
    if kind.startswith("relu"):
        share = np.maximum(share, 0)
    elif kind.startswith("softmax"):
        share = np.exp(share - share.max(0, keepdims=True))
    else:
        return share
    return share / (share.sum(0, keepdims=True) + 1e-4)


def _scaled(graph, layer, blocks, x, outs):
    return _activated(
        graph, layer, graph.add("Mul", outs[absolute(layer.section, layer.index, "from")[0]][0], x), "linear"
    )


def _batchnorm(graph, layer, blocks, x, outs):
    share, bias = _folded({**blocks, "weights": np.ones(layer.out[2])})
    return graph.add("Add", graph.add("Mul", x, share.reshape(1, -1, 1, 1)), bias.reshape(1, -1, 1, 1))


def _upsample(graph, layer, blocks, x, outs):
    stride, scale = layer.section.integer("stride", 2), layer.section.number("scale", 1)
    if stride < 0:
        made = graph.add("AveragePool", x, kernel_shape=[-stride] * 2, strides=[-stride] * 2)
        scale *= stride**2
    else:
        made = graph.add(
            "Resize",
            x,
            "",
            np.float32([1, 1, stride, stride]),
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        )
    return made if scale == 1 else graph.add("Mul", made, scale)


def _softmax(graph, layer, blocks, x, outs):
    groups, temperature = layer.section.integer("groups", 1), layer.section.number("temperature", 1)
    flat = graph.reshape(x, 0, groups, -1)
    flat = flat if temperature == 1 else graph.add("Div", flat, temperature)
    return graph.reshape(graph.add("Softmax", flat, axis=2), 0, *layer.out[::-1])


def _same(graph, layer, blocks, x, outs):
    return x


EMITTERS: dict[str, Callable] = {
    "convolutional": _convolutional,
    "connected": _connected,
    "maxpool": _pool("MaxPool"),
    "local_avgpool": _pool("AveragePool", count_include_pad=0),
    "avgpool": lambda graph, layer, blocks, x, outs: graph.add("GlobalAveragePool", x),
    "route": _route,
    "shortcut": _shortcut,
    "scale_channels": _scaled,
    "sam": _scaled,
    "batchnorm": _batchnorm,
    "upsample": _upsample,
    "softmax": _softmax,
    "dropout": _same,
    "cost": _same,
    "yolo": _same,
    "region": _same,
}


def _fields(graph, layer, x, count: int, classes: int):
    """(B, n (5 + C), H, W) -> (B, H, W, n, 5 + C), the order of OpenCV's rows."""
    width, height, _ = layer.out
    return graph.add("Transpose", graph.reshape(x, 0, count, 5 + classes, height, width), perm=[0, 3, 4, 1, 2])


def _rows(graph, layer, xy, wh, objectness, classes, unit: np.ndarray, anchors: np.ndarray):
    """The decoded parts, (B, H, W, n, .) each, as rows; `anchors` (n, 2) in parts of `unit` (2,)."""
    width, height, _ = layer.out
    grid = (
        np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1)
        .reshape(1, height, width, 1, 2)
        .astype(np.float32)
    )
    centre = graph.add("Div", graph.add("Add", xy, grid), np.array([width, height], np.float32))
    size = graph.add("Mul", wh, (anchors / unit).astype(np.float32))
    rows = graph.add("Concat", centre, size, objectness, graph.add("Mul", classes, objectness), axis=4)
    return graph.reshape(rows, 0, height * width * len(anchors), layer.section.integer("classes", 20) + 5)


def _yolo(graph, layer, x, size_wh):
    """src/yolo_layer.c, get_yolo_box."""
    section = layer.section
    classes, every = section.integer("classes", 20), np.array(section.numbers("anchors")).reshape(-1, 2)
    anchors = every[list(section.integers("mask") or range(section.integer("num", 1)))]
    fields, scale, new = (
        _fields(graph, layer, x, len(anchors), classes),
        section.number("scale_x_y", 1),
        section.integer("new_coords", 0),
    )
    squash = (lambda value: value) if new else (lambda value: graph.add("Sigmoid", value))
    xy, wh = squash(graph.cut(fields, 4, 0, 2)), graph.cut(fields, 4, 2, 4)
    xy = graph.add("Add", graph.add("Mul", xy, scale), -0.5 * (scale - 1))
    wh = graph.add("Mul", graph.add("Mul", wh, wh), 4) if new else graph.add("Exp", wh)
    return _rows(
        graph,
        layer,
        xy,
        wh,
        squash(graph.cut(fields, 4, 4, 5)),
        squash(graph.cut(fields, 4, 5, 5 + classes)),
        np.array(size_wh, float),
        anchors,
    )


def _region(graph, layer, x, size_wh):
    """src/region_layer.c, get_region_box: anchors are in cells."""
    section = layer.section
    classes, anchors = (
        section.integer("classes", 20),
        np.array(section.numbers("anchors")).reshape(-1, 2)[: section.integer("num", 1)],
    )
    fields = _fields(graph, layer, x, len(anchors), classes)
    kinds = graph.cut(fields, 4, 5, 5 + classes)
    kinds = graph.add("Softmax", kinds, axis=4) if section.integer("softmax", 0) else graph.add("Sigmoid", kinds)
    xy, objectness = graph.add("Sigmoid", graph.cut(fields, 4, 0, 2)), graph.add("Sigmoid", graph.cut(fields, 4, 4, 5))
    return _rows(
        graph,
        layer,
        xy,
        graph.add("Exp", graph.cut(fields, 4, 2, 4)),
        objectness,
        kinds,
        np.array(layer.out[:2], float),
        anchors,
    )


HEADS: dict[str, Callable] = {"yolo": _yolo, "region": _region}
