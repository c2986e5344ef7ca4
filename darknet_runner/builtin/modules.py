"""One torch module a cfg section. A module is called with its predecessor's output and the kept earlier ones.

`BUILDERS[type](layer)` makes it; a module with arrays of its own names them as the weights file does, in
`arrays()`.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from converters.errors import CfgError

from ..network.layers import Layer, absolute, padded
from .activations import activate_region, activate_yolo, activation


class Normalise(torch.autograd.Function):
    """torch's batch-norm kernels with Darknet's unbiased variance v' = v n / (n - 1), and Darknet's gradient.

    (x - m) / sqrt(v' + eps) is k (x - m) / sqrt(v + k^2 eps) with k^2 = (n - 1) / n. Backwards Darknet takes
    1 / sqrt(v' + eps) too but divides by n (src/blas.c, normalize_delta_cpu), which is not an exact derivative;
    it is what torch's kernel computes when it is given that as its inverse deviation.
    """

    @staticmethod
    def forward(ctx, x, weight, bias, mean, variance, momentum, eps):
        count = x.numel() // x.shape[1]
        share = (count - 1) / count
        out, centre, inverse = torch.native_batch_norm(
            x, weight * math.sqrt(share), bias, mean, variance, True, momentum, eps * share
        )
        ctx.save_for_backward(x, weight, centre, inverse * math.sqrt(share))
        ctx.eps = eps
        return out

    @staticmethod
    def backward(ctx, delta):
        x, weight, centre, inverse = ctx.saved_tensors
        found = torch.ops.aten.native_batch_norm_backward(
            delta, x, weight, None, None, centre, inverse, True, ctx.eps, [True] * 3
        )
        return *found, None, None, None, None


class BatchNorm(nn.Module):
    """Darknet's batch normalisation: unbiased variance both to normalise and to roll; rolls as AlexeyAB's, Debian's
    by 0.01.
    """

    EPS = 1e-5  # src/blas.c, normalize_cpu
    MOMENTUM = 0.1  # src/batchnorm_layer.c, forward_batchnorm_layer

    def __init__(self, channels: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.zeros(channels))

    def forward(self, x, bias):
        if not self.training:
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, bias, False, eps=self.EPS)
        count = x.numel() // x.shape[1]
        if count < 2:
            raise CfgError("batch normalisation needs more than one value a channel", mend="use a larger batch or size")
        if x.is_cuda:  # cuDNN's kernels, whose gradient is the exact derivative: another by 1 / n
            share = (count - 1) / count
            weight = self.weight * math.sqrt(share)
            return F.batch_norm(
                x, self.running_mean, self.running_var, weight, bias, True, momentum=self.MOMENTUM, eps=self.EPS * share
            )
        return Normalise.apply(x, self.weight, bias, self.running_mean, self.running_var, self.MOMENTUM, self.EPS)


class Weighted(nn.Module):
    """What convolutional and connected share: bias, weights, batch norm, activation."""

    def __init__(self, layer: Layer, default_activation: str):
        super().__init__()
        shapes = dict(layer.blocks)
        self.bias = nn.Parameter(torch.zeros(shapes["biases"]))
        fan_in = math.prod(shapes["weights"][1:])
        # src/convolutional_layer.c, make_convolutional_layer: uniform within +-sqrt(2 / fan_in)
        self.weight = nn.Parameter(torch.empty(shapes["weights"]).uniform_(-1, 1) * math.sqrt(2 / fan_in))
        self.norm = BatchNorm(len(self.bias)) if "scales" in shapes else None
        self.activate = activation(layer, default_activation)

    def finish(self, x):
        return self.activate(x if self.norm is None else self.norm(x, self.bias))

    def arrays(self):
        """Block name -> tensor, under the names of the weights file."""
        found = {"biases": self.bias, "weights": self.weight}
        if self.norm is not None:
            found |= {"scales": self.norm.weight, "mean": self.norm.running_mean, "variance": self.norm.running_var}
        return found


class Convolutional(Weighted):
    def __init__(self, layer):
        super().__init__(layer, "logistic")
        section = layer.section
        stride, size = section.integer("stride", 1), section.integer("size", 1)
        self.stride = (section.integer("stride_y", stride), section.integer("stride_x", stride))
        self.dilation = section.integer("dilation", 1) if size > 1 else 1
        self.padding, self.groups = padded(section) * self.dilation, section.integer("groups", 1)

    def forward(self, x, outs):
        bias = self.bias if self.norm is None else None
        return self.finish(F.conv2d(x, self.weight, bias, self.stride, self.padding, self.dilation, self.groups))


class Connected(Weighted):
    def __init__(self, layer):
        super().__init__(layer, "logistic")

    def forward(self, x, outs):
        bias = self.bias if self.norm is None else None
        return self.finish(F.linear(x.flatten(1), self.weight, bias)[..., None, None])


class MaxPool(nn.Module):
    """Darknet's padding: `padding` (size - 1 by default) in all, its half, cut, at the left and top."""

    def __init__(self, layer):
        super().__init__()
        section = layer.section
        stride = section.integer("stride", 1)
        self.stride = (section.integer("stride_y", stride), section.integer("stride_x", stride))
        self.size = section.integer("size", stride)
        self.total = section.integer("padding", self.size - 1)

    def padding(self, x):
        """(left, right, top, bottom); right and bottom what the last window needs, below 0 where it leaves a rest."""
        before, found = self.total // 2, []
        for source, step in zip(x.shape[:1:-1], self.stride[::-1]):
            out = (source + self.total - self.size) // step + 1
            found += [before, (out - 1) * step + self.size - source - before]
        return found

    def forward(self, x, outs):
        padding = self.padding(x)
        if any(padding):
            x = F.pad(x, padding, value=float("-inf"))
        return F.max_pool2d(x, self.size, self.stride)


class MaxPoolDepth(nn.Module):
    """The highest of every `out_channels`-th channel."""

    def __init__(self, layer):
        super().__init__()
        self.channels = layer.out[2]

    def forward(self, x, outs):
        uneven = -x.shape[1] % self.channels
        x = F.pad(x, (0, 0, 0, 0, 0, uneven), value=float("-inf")) if uneven else x
        return x.unflatten(1, (-1, self.channels)).amax(1)


class LocalAvgPool(MaxPool):
    """As MaxPool, with the mean over what lies within the picture."""

    def forward(self, x, outs):
        padding = self.padding(x)
        inside = F.pad(torch.ones_like(x[:1, :1]), padding)
        total = F.avg_pool2d(F.pad(x, padding), self.size, self.stride)
        return total / F.avg_pool2d(inside, self.size, self.stride)


class Route(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.sources = layer.sources
        self.groups, self.group_id = layer.section.integer("groups", 1), layer.section.integer("group_id", 0)

    def forward(self, x, outs):
        parts = [outs[source] for source in self.sources]
        if self.groups > 1:
            parts = [part.chunk(self.groups, 1)[self.group_id] for part in parts]
        return parts[0] if len(parts) == 1 else torch.cat(parts, 1)


class Shortcut(nn.Module):
    """Sum with earlier layers, each cut or filled with zeros to this one's channels; optionally weighted.

    Of a layer k times as large each k-th pixel is taken, as Debian's Darknet does.
    """

    def __init__(self, layer):
        super().__init__()
        self.sources, self.activate = layer.sources, activation(layer, "linear")
        shapes = dict(layer.blocks)
        self.weight = nn.Parameter(torch.ones(shapes["weights"])) if "weights" in shapes else None
        self.normalization = layer.section.text("weights_normalization", "none")

    def arrays(self):
        return {} if self.weight is None else {"weights": self.weight}

    def forward(self, x, outs):
        parts = [x, *(outs[source] for source in self.sources)]
        if self.weight is None:
            total = x
            for part in parts[1:]:
                total = total + self.fit(part, x)
            return self.activate(total)
        share = self.weight.reshape(len(parts), -1)  # (inputs, 1 or channels)
        if self.normalization.startswith("relu"):
            share = F.relu(share)
            share = share / (share.sum(0, keepdim=True) + 1e-4)  # src/blas.c, shortcut_multilayer_cpu
        elif self.normalization.startswith("softmax"):
            share = torch.exp(share - share.amax(0, keepdim=True))
            share = share / (share.sum(0, keepdim=True) + 1e-4)
        return self.activate(
            sum(self.fit(part, x) * share[index].view(1, -1, 1, 1) for index, part in enumerate(parts))
        )

    @staticmethod
    def fit(part, like):
        missing, stride = like.shape[1] - part.shape[1], part.shape[3] // like.shape[3]
        if stride > 1:
            part = part[:, :, ::stride, ::stride]
        return F.pad(part, (0, 0, 0, 0, 0, missing)) if missing > 0 else part[:, : like.shape[1]]


class ScaleChannels(nn.Module):
    """`from`'s planes, each times this layer's 1x1 value."""

    def __init__(self, layer):
        super().__init__()
        self.source, self.activate = absolute(layer.section, layer.index, "from")[0], activation(layer, "linear")

    def forward(self, x, outs):
        return self.activate(outs[self.source] * x)


class BatchNormLayer(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(layer.out[2]))
        self.norm = BatchNorm(layer.out[2])

    def forward(self, x, outs):
        return self.norm(x, self.bias)

    def arrays(self):
        return {
            "biases": self.bias,
            "scales": self.norm.weight,
            "mean": self.norm.running_mean,
            "variance": self.norm.running_var,
        }


class Reorg(nn.Module):
    """Space to depth, or back with `reverse`, in the channel order (row, column, channel).

    As src/blas.c, reorg_cpu is called: YOLOv2's `reorg` reads its flat input as if it were of the shape
    (c / s^2, h s, w s), and so does a reversed `reorg3d`; the other two read it as it is.
    """

    def __init__(self, layer):
        super().__init__()
        self.step, self.reverse = layer.section.integer("stride", 1), bool(layer.section.integer("reverse", 0))
        self.flat = self.reverse == (layer.type == "reorg3d")

    def forward(self, x, outs):
        (_, channels, height, width), step = x.shape, self.step
        deep = (-1, channels * step**2, height // step, width // step)
        wide = (-1, channels // step**2, height * step, width * step)
        if self.flat:
            _, channels, height, width = wide
        if self.reverse:
            return x.reshape(-1, step, step, channels // step**2, height, width).permute(0, 3, 4, 1, 5, 2).reshape(wide)
        return (
            x.reshape(-1, channels, height // step, step, width // step, step).permute(0, 3, 5, 1, 2, 4).reshape(deep)
        )


class Stateless(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x, outs):
        return self.function(x)


class Dropout(nn.Module):
    """Inverted dropout. On a CPU 16 random bits decide a value: torch's own draws a number each, on one thread."""

    def __init__(self, layer):
        super().__init__()
        self.probability = layer.section.number("probability", 0.5)

    def forward(self, x, outs):
        if not self.training or not self.probability:
            return x
        if x.device.type != "cpu":
            return F.dropout(x, self.probability)
        bits = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None).view(torch.int16)
        keep = torch.empty_like(x)  # of x's layout, whatever it is
        keep.as_strided((x.numel(),), (1,)).copy_(bits[: x.numel()] >= round(self.probability * 2**16) - 2**15)
        return x * keep.div_(1 - self.probability)


def _upsample(layer):
    stride, scale = layer.section.integer("stride", 2), layer.section.number("scale", 1)
    if stride < 0:  # each block's sum; src/blas.c, upsample_cpu backwards
        return Stateless(lambda x: F.avg_pool2d(x, -stride) * (scale * stride**2))
    return Stateless(lambda x: F.interpolate(x, scale_factor=stride, mode="nearest") * scale)


def _softmax(layer):
    groups, temperature = layer.section.integer("groups", 1), layer.section.number("temperature", 1)

    def softmax(x):
        flat = x.flatten(1).unflatten(1, (groups, -1))
        return torch.softmax(flat / temperature, 2).reshape(x.shape)

    return Stateless(softmax)


BUILDERS = {
    "convolutional": Convolutional,
    "connected": Connected,
    "local_avgpool": LocalAvgPool,
    "maxpool": lambda layer: (MaxPoolDepth if layer.section.integer("maxpool_depth", 0) else MaxPool)(layer),
    "route": Route,
    "shortcut": Shortcut,
    "scale_channels": ScaleChannels,
    "sam": ScaleChannels,
    "batchnorm": BatchNormLayer,
    "reorg": Reorg,
    "reorg3d": Reorg,
    "dropout": Dropout,
    "avgpool": lambda layer: Stateless(lambda x: x.mean((2, 3), keepdim=True)),
    "upsample": _upsample,
    "softmax": _softmax,
    "cost": lambda layer: Stateless(lambda x: x),
    "yolo": lambda layer: Stateless(lambda x: activate_yolo(x, layer.section)),
    "region": lambda layer: Stateless(lambda x: activate_region(x, layer.section)),
}
