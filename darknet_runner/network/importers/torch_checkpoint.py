"""torch checkpoints (.pth, .pt) of torchvision's VGG and ResNet, and of any plain stack of layers in its order.

A state dict's entries stand in the order of the modules: a weight of four or two dimensions is a convolution or a dense
layer, one of a single dimension with a running mean a batch norm. torchvision's forward passes follow that order, a
ResNet's `downsample` behind its block's own convolutions, as in the cfgs here. Nothing in the file is executed.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from pickle import UnpicklingError

import numpy as np

from converters.errors import MissingExtra, WeightsError

from .source import SCALES, Source, SourceLayer

_WRAPPERS = ("state_dict", "model_state_dict", "model", "net")


def read(path: Path) -> Source:
    """WeightsError for a file that is not a state dict, or holds arrays that are no layer's."""
    try:
        import torch
    except ImportError:
        raise MissingExtra("PyTorch", "train", "a .pth checkpoint") from None
    try:
        with warnings.catch_warnings(action="ignore"):  # torch's advice is for those who call it
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise WeightsError(
            f"is not a torch checkpoint of plain arrays: {_why(error)}", where=path, mend="save model.state_dict()"
        ) from None
    for key in _WRAPPERS:
        if isinstance(state, dict) and isinstance(state.get(key), dict):
            state = state[key]
            break
    if not isinstance(state, dict) or not any(isinstance(value, torch.Tensor) for value in state.values()):
        raise WeightsError("has no state dict", where=path, mend="save model.state_dict()")
    modules: dict[str, dict[str, np.ndarray]] = {}
    for name, value in state.items():
        if isinstance(value, torch.Tensor):
            if value.layout != torch.strided or value.is_complex() or value.is_quantized:
                raise WeightsError(f"'{name}' is sparse, complex or quantized, not a plain array", where=path)
            module, _, part = str(name).removeprefix("module.").rpartition(".")
            modules.setdefault(module, {})[part] = value.float().numpy()
    layers = tuple(_layer(path, name, parts) for name, parts in modules.items())
    return Source(path, "torch checkpoint", layers, SCALES["imagenet" if _of_imagenet(layers) else "0..1"])


def _why(error: Exception) -> str:
    """Why torch does not load a file, in a few words; its own text is long, and about its options."""
    text = str(error)
    if "TorchScript" in text:
        return "it is a TorchScript program"
    if "central directory" in text or isinstance(error, EOFError):
        return "it is cut off"
    if isinstance(error, UnpicklingError):
        return "it is not torch's, or holds objects of Python, which emo does not load, as they could run code"
    return (text.strip().splitlines() or [type(error).__name__])[0][:120]


def _of_imagenet(layers: tuple[SourceLayer, ...]) -> bool:
    """Whether it is one of torchvision's own: its names, and ImageNet's thousand classes or no top."""
    names = [layer.name for layer in layers]
    known = names[0].startswith("features.") or (
        names[0] == "conv1" and any(name.startswith("layer1.") for name in names)
    )
    dense = [len(layer.kernel) for layer in layers if layer.kernel is not None and layer.kernel.ndim == 2]
    return known and (not dense or dense[-1] == 1000)


def _layer(path, name, parts) -> SourceLayer:
    weight = parts.get("weight")
    if "running_mean" in parts and "running_var" in parts:
        count = len(parts["running_mean"])
        gamma, beta = parts.get("weight", np.ones(count)), parts.get("bias", np.zeros(count))
        return SourceLayer(name, norm=np.stack([gamma, beta, parts["running_mean"], parts["running_var"]]))
    if weight is None or weight.ndim not in (2, 4) or set(parts) - {"weight", "bias"}:
        raise WeightsError(
            f"'{name}' ({', '.join(sorted(parts))}) is not a convolution, dense layer or batch norm", where=path
        )
    return SourceLayer(name, weight, parts.get("bias"))
