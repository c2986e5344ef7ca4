"""torch checkpoints (.pth, .pt) of torchvision's VGG and ResNet, and of any plain stack of layers in its order.

A state dict's entries stand in the order of the modules: a weight of four or two dimensions is a convolution or a dense
layer, one of a single dimension with a running mean a batch norm. torchvision's forward passes follow that order, a
ResNet's `downsample` behind its block's own convolutions, as in the cfgs here. Nothing in the file is executed.
"""

from __future__ import annotations

from pathlib import Path

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
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        reason = str(error).strip().splitlines()[0][:120] if str(error).strip() else type(error).__name__
        raise WeightsError(
            f"is not a torch checkpoint of plain arrays: {reason}", where=path, mend="save model.state_dict()"
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
            module, _, part = name.removeprefix("module.").rpartition(".")
            modules.setdefault(module, {})[part] = value.float().numpy()
    layers = tuple(_layer(path, name, parts) for name, parts in modules.items())
    return Source(path, "torch checkpoint", layers, SCALES["imagenet" if _of_imagenet(layers) else "0..1"])


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
