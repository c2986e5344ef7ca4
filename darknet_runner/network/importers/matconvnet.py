"""MatConvNet's .mat files, such as the published vgg-face.mat: SimpleNN networks, at the top or under `net`.

Each layer of type `conv` has filters (height, width, in, out) and biases, in `weights` or, in older files, in fields of
their own; `bnorm` has multipliers, biases and moments (mean, deviation). `meta.normalization.averageImage` (older:
`normalization`) is what is subtracted from RGB pictures of 0..255.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from converters.errors import MissingExtra, WeightsError

from .source import VGG_FACE_MEAN, Source, SourceLayer, less_mean

_ACTIVATIONS = {"relu": "relu", "sigmoid": "logistic"}


def read(path: Path) -> Source:
    """WeightsError for a file that is not a SimpleNN network."""
    try:
        from scipy.io import loadmat
    except ImportError:
        raise MissingExtra("scipy", "import", "a .mat file") from None
    try:
        found = loadmat(path, struct_as_record=False)  # not squeezed: a filter of 1x1 keeps its sides
    except NotImplementedError:
        raise WeightsError(
            "is a MATLAB 7.3 file, which emo does not read", where=path, mend="save it with -v7"
        ) from None
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:120]
        raise WeightsError(f"is not a .mat file: {reason}", where=path) from None
    net = _one(found.get("net"))
    layers = found.get("layers", getattr(net, "layers", None))
    if layers is None:
        raise WeightsError("has no MatConvNet network (no `layers`, and no `net.layers`)", where=path)
    layers, made = [_one(layer) for layer in np.ravel(layers)], []
    kinds = [_word(layer, "type") for layer in layers]
    for index, layer in enumerate(layers):
        after = next((kind for kind in kinds[index + 1 :] if kind != "bnorm"), "")
        made += _layer(
            path, layer, index, _ACTIVATIONS.get(after, "linear"), behind=index > 0 and kinds[index - 1] in _ACTIVATIONS
        )
    scale = less_mean("the file's own", _mean(found, net), False, "RGB of 0..255 less the file's own mean colour")
    return Source(path, "MatConvNet network", tuple(made), scale)


def _one(value):
    """What MATLAB's 1x1 arrays of structs and cells hold."""
    while isinstance(value, np.ndarray) and value.dtype == object and value.size == 1:
        value = value.item()
    return value


def _word(layer, key: str) -> str:
    return "".join(np.ravel(_one(getattr(layer, key, "")))[:1])


def _layer(path, layer, index, activation, behind) -> list[SourceLayer]:
    kind, name = _word(layer, "type"), _word(layer, "name") or f"layer {index + 1}"
    if kind not in ("conv", "bnorm"):
        return []
    cells = (
        np.ravel(getattr(layer, "weights", ()))
        if hasattr(layer, "weights")
        else [getattr(layer, key) for key in ("filters", "biases") if hasattr(layer, key)]
    )
    arrays = [np.asarray(one, np.float32) for one in cells if np.size(one)]
    if kind == "bnorm":
        if len(arrays) != 3:
            raise WeightsError(f"layer '{name}' has {len(arrays)} arrays; a bnorm has three", where=path)
        gamma, beta, moments = arrays[0].ravel(), arrays[1].ravel(), arrays[2].reshape(-1, 2)
        # Its moments hold the deviation, epsilon included (matlab/vl_nnbnorm.m).
        return [
            SourceLayer(name, norm=np.stack([gamma, beta, moments[:, 0], moments[:, 1] ** 2]), eps=0.0, behind=behind)
        ]
    if not arrays or arrays[0].ndim < 2:
        raise WeightsError(f"layer '{name}' is a convolution without filters", where=path)
    kernel = arrays[0].reshape(arrays[0].shape + (1,) * (4 - arrays[0].ndim))  # MATLAB drops sides of 1 at the end
    return [
        SourceLayer(
            name, kernel.transpose(3, 2, 0, 1), arrays[1].ravel() if len(arrays) > 1 else None, activation=activation
        )
    ]


def _mean(found, net) -> tuple[float, ...]:
    """The mean colour (R, G, B) of 0..255; VGG-Face's where the file has none."""
    for place in (_one(found.get("meta")), _one(getattr(net, "meta", None)), net):
        normalization = _one(getattr(place, "normalization", None))
        if place is None:
            normalization = _one(found.get("normalization"))
        image = np.asarray(_one(getattr(normalization, "averageImage", np.empty(0))), float)
        if image.size:
            return tuple(image.reshape(-1, 3).mean(0)) if image.shape[-1] == 3 else (float(image.mean()),) * 3
    return VGG_FACE_MEAN
