"""Darknet's activations, by the name in the cfg, and those of its heads.

Tensors in, tensors out; channels are axis 1. Sources: src/activations.h, src/activations.c, src/yolo_layer.c,
src/region_layer.c.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from converters.errors import CfgError

from ..network.layers import Layer


def _ramp(x):
    return torch.where(x > 0, x, 0) + 0.1 * x


def _plse(x):
    return torch.where(x < -4, 0.01 * (x + 4), torch.where(x > 4, 0.01 * (x - 4) + 1, 0.125 * x + 0.5))


def _stair(x):
    whole = torch.floor(x)
    return torch.where(whole % 2 == 0, torch.floor(x / 2), (x - whole) + torch.floor(x / 2))


def _lhtan(x):
    return torch.where(x < 0, 0.001 * x, torch.where(x > 1, 0.001 * (x - 1) + 1, x))


def _normalize_channels(x):
    """Positive values as shares of their pixel's sum over channels; src/activations.c for the 1e-4."""
    x = F.relu(x)
    return x / (x.sum(1, keepdim=True) + 1e-4)


def _softmax_channels(x, highest):
    x = torch.exp(x - highest)
    return x / (x.sum(1, keepdim=True) + 1e-4)


def _hard_mish(x):
    return torch.where(x > 0, x, torch.where(x > -2, x * x / 2 + x, 0))


# Darknet's activations, src/activations.h. logistic, relu and leaky are in place where that is safe.
ACTIVATIONS = {
    "linear": lambda x: x,
    "leaky": lambda x: F.leaky_relu(x, 0.1, inplace=True),
    "revleaky": lambda x: F.leaky_relu(x, 0.1, inplace=True),  # the same in src/activations.c
    "relu": lambda x: F.relu(x, inplace=True),
    "relu6": F.relu6,
    "relie": lambda x: F.leaky_relu(x, 0.01),
    "ramp": _ramp,
    "logistic": torch.sigmoid,
    "loggy": lambda x: 2 * torch.sigmoid(x) - 1,
    "tanh": torch.tanh,
    "hardtan": F.hardtanh,
    "lhtan": _lhtan,
    "plse": _plse,
    "stair": _stair,
    "elu": F.elu,
    "selu": F.selu,
    "gelu": lambda x: F.gelu(x, approximate="tanh"),
    "swish": F.silu,
    "mish": F.mish,
    "hard_mish": _hard_mish,
    "normalize_channels": _normalize_channels,
    "normalize_channels_softmax": lambda x: _softmax_channels(x, 0),
    "normalize_channels_softmax_maxval": lambda x: _softmax_channels(x, x.amax(1, keepdim=True)),
}


def activation(layer: Layer, default: str):
    name = layer.section.text("activation", default)
    if name not in ACTIVATIONS:
        raise CfgError(
            f"activation '{name}' is not supported",
            where=layer.section.path,
            line=layer.section.lines.get("activation"),
            mend=f"known: {', '.join(sorted(ACTIVATIONS))}",
        )
    return ACTIVATIONS[name]


def activate_yolo(x, section):
    """(B, n (5 + C), H, W) raw -> Darknet's output: sigmoid on x, y, objectness and classes, scaled x, y."""
    classes, scale = section.integer("classes", 20), section.number("scale_x_y", 1)
    fields = x.unflatten(1, (-1, 5 + classes))
    xy, wh, rest = fields[:, :, :2], fields[:, :, 2:4], fields[:, :, 4:]
    if not section.integer("new_coords", 0):
        xy, rest = torch.sigmoid(xy), torch.sigmoid(rest)
    return torch.cat([xy * scale - 0.5 * (scale - 1), wh, rest], 2).flatten(1, 2)


def activate_region(x, section):
    """(B, n (coords + 1 + C), H, W) raw -> sigmoid on x, y and objectness, softmax (or sigmoid) over classes."""
    classes, coords = section.integer("classes", 20), section.integer("coords", 4)
    fields = x.unflatten(1, (-1, coords + 1 + classes))
    kind = fields[:, :, coords + 1 :]
    kind = torch.softmax(kind, 2) if section.integer("softmax", 0) else torch.sigmoid(kind)
    parts = [
        torch.sigmoid(fields[:, :, :2]),
        fields[:, :, 2:coords],
        torch.sigmoid(fields[:, :, coords : coords + 1]),
        kind,
    ]
    return torch.cat(parts, 2).flatten(1, 2)
