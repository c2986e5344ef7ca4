"""What a reader gives: a foreign network's weighted layers in the order of their computation, in one form.

Kernels are (out, in, height, width) or (out, in), as torch and Darknet have them; a reader turns them. `InputScale`
says what the network was shown, so that the fit can make it see the same in pictures of 0..1.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from converters.errors import UsageError, nearest


@dataclass(frozen=True)
class SourceLayer:
    """A convolution, a dense layer, or a batch norm on its own.

    kernel       (out, in, h, w) of a convolution, (out, in) of a dense layer, None of a batch norm
    norm         gamma, beta, mean, variance: (4, channels), of a batch norm
    flattened    of a dense layer: its inputs' order when they were a map, "chw" or "hwc"
    behind       of a batch norm: whether an activation stands before it; None where the file does not say
    activation   Darknet's name; None where the file does not say
    """

    name: str
    kernel: np.ndarray | None = None
    bias: np.ndarray | None = None
    norm: np.ndarray | None = None
    eps: float = 1e-5
    flattened: str = "chw"
    behind: bool | None = None
    activation: str | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        if self.kernel is not None:
            return self.kernel.shape
        return () if self.norm is None else self.norm.shape[1:]


@dataclass(frozen=True)
class InputScale:
    """What the source sees of a colour picture x of 0..1: factor * (x in its order of channels) + offset."""

    name: str
    factor: tuple[float, ...]
    offset: tuple[float, ...]
    bgr: bool = False
    about: str = ""

    def matrix(self, channels: int, seen: int) -> tuple[np.ndarray, np.ndarray]:
        """(channels, seen) and (channels,): the source's `channels` values of a pixel with `seen` of ours, 3 RGB or 1
        grey.

        A colour source sees grey as equal colours, a grey one sees colour as its luminance.
        """
        if channels not in (1, 3) or (channels == 1 and len(set(zip(self.factor, self.offset))) > 1):
            raise UsageError(
                f"--input {self.name} is of colour pictures; the source takes {channels}-channel ones",
                mend="--input 0..1, 0..255 or -1..1",
            )
        if channels == 1:
            seen_by = np.ones((1, 1)) if seen == 1 else np.array([[0.299, 0.587, 0.114]])
            return seen_by * self.factor[0], np.array(self.offset[:1])
        order = np.eye(3)[::-1] if self.bgr else np.eye(3)
        turned = order if seen == 3 else order.sum(1, keepdims=True)
        return turned * np.array(self.factor)[:, None], np.array(self.offset)


def _plain(name: str, factor: float, offset: float, about: str) -> InputScale:
    return InputScale(name, (factor,) * 3, (offset,) * 3, about=about)


def less_mean(name: str, mean: tuple[float, ...], bgr: bool, about: str) -> InputScale:
    """Pictures of 0..255 less a mean colour, given in the source's order."""
    return InputScale(name, (255.0,) * 3, tuple(-value for value in mean), bgr, about)


_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # torchvision's, of ImageNet
VGG_FACE_MEAN = (129.1863, 104.7624, 93.5940)  # RGB; of VGG-Face's training set, as published with it
SCALES = {
    scale.name: scale
    for scale in (
        _plain("0..1", 1, 0, "pictures of 0..1, as they are here"),
        _plain("0..255", 255, 0, "pictures of 0..255"),
        _plain("-1..1", 2, -1, "pictures of -1..1"),
        InputScale(
            "imagenet",
            tuple(1 / d for d in _DEVIATION),
            tuple(-m / d for m, d in zip(_MEAN, _DEVIATION)),
            about="less ImageNet's mean, by its deviation (torchvision)",
        ),
        less_mean(
            "caffe", (103.939, 116.779, 123.68), True, "BGR of 0..255 less ImageNet's mean (Keras' own VGG and ResNet)"
        ),
        less_mean("vgg-face", VGG_FACE_MEAN[::-1], True, "BGR of 0..255 less VGG-Face's mean"),
        less_mean("vgg-face-rgb", VGG_FACE_MEAN, False, "RGB of 0..255 less VGG-Face's mean"),
    )
}


def scale_named(name: str) -> InputScale:
    """One of SCALES; UsageError names them."""
    if name not in SCALES:
        raise UsageError(f"--input {name} is not known", mend=nearest(name, SCALES))
    return SCALES[name]


@dataclass(frozen=True)
class Source:
    """A read file: its form in words, its layers in order, and what its network was shown as far as can be told."""

    path: Path
    form: str
    layers: tuple[SourceLayer, ...]
    scale: InputScale
