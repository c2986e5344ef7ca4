"""Keras models (.h5, .keras) and weights (.h5): Conv2D, SeparableConv2D, DepthwiseConv2D, Dense and BatchNormalization.

A saved model tells its layers' kinds, activations, epsilons and the order of a Flatten; a file of weights alone tells
their names and shapes, and Keras' defaults stand in for the rest (epsilon 0.001, channels last). Layers are taken in
the file's order, which for a plain stack is that of its computation. VGG-Face is known by its thirteen convolutions,
whether they have the paper's names (conv1_1, ...) or Keras' own numbers (conv2d_1, ...).
"""

from __future__ import annotations

import io
import itertools
import json
import re
import zipfile
from pathlib import Path

import numpy as np

from converters.errors import MissingExtra, WeightsError
from converters.hdf5_links import elsewhere

from .source import SCALES, InputScale, Source, SourceLayer

EPS = 1e-3  # BatchNormalization's default
MOST_BYTES, MOST_ARRAY = 1 << 33, 1 << 31  # of a .keras file's parts, unpacked; of one array
_ACTIVATIONS = {
    "linear": "linear",
    "relu": "relu",
    "elu": "elu",
    "selu": "selu",
    "sigmoid": "logistic",
    "tanh": "tanh",
    "swish": "swish",
    "silu": "swish",
}
_ACTIVATING = {"ReLU": "relu", "LeakyReLU": "leaky", "ELU": "elu", "PReLU": "prelu", "Softmax": "linear"}
_PARTS = {
    "W": "kernel",
    "b": "bias",
    "running_mean": "moving_mean",
    "running_std": "moving_variance",
}  # Keras 1's names
_VGG_FACE = [64] * 2 + [128] * 2 + [256] * 3 + [512] * 6


def read(path: Path) -> Source:
    """WeightsError for a file that is not a Keras model, or has layers of another kind."""
    try:
        import h5py
    except ImportError:
        raise MissingExtra("h5py", "import", "a Keras .h5 file") from None
    try:
        if path.suffix.lower() == ".keras":
            return _read_zip(path, h5py)
        if not h5py.is_hdf5(path):
            raise WeightsError("is not an HDF5 file, as Keras writes", where=path)
        with h5py.File(path, "r") as file:
            return _read(path, file)
    except (OSError, zipfile.BadZipFile) as error:
        form = "a .keras file" if path.suffix.lower() == ".keras" else "HDF5"
        why = "is cut off" if "truncated file" in str(error) else f"cannot be read as {form}: {error}"
        raise WeightsError(why, where=path) from None


def _read(path, file) -> Source:
    group = file.get("model_weights", file)
    names = _names(group, "layer_names")
    if not names:
        mend = 'save the whole model: model.save("model.keras") or model.save("model.h5")'
        raise WeightsError(
            "is not a Keras model in HDF5 (no layer_names)"
            if "layers" not in file
            else "holds Keras 3 weights without their order",
            where=path,
            mend=mend,
        )
    config = _layers_of(json.loads(_text(file.attrs["model_config"]))) if "model_config" in file.attrs else []
    known = {name: (kind, options) for kind, name, options in config}
    followed = _followed(config)
    made: list[SourceLayer] = []
    for name in names:
        parts: dict[str, dict[str, np.ndarray]] = {}
        for weight in _names(group[name], "weight_names"):
            where, part = _split(weight, name)
            parts.setdefault(where, {})[part] = _array(path, group[name][weight], file)
        for where, arrays in parts.items():
            kind, options = known.get(where, known.get(name, ("", {})))
            made += _layer(path, where, arrays, kind, options, *followed.get(where, (None, None)))
    if not made:
        raise WeightsError("has no weights", where=path)
    return Source(path, "Keras model" if config else "Keras weights", tuple(made), _scale(made))


def _read_zip(path, h5py) -> Source:
    """Keras 3's own form: config.json, and HDF5 whose groups are named by the layers' classes, counted as they come."""
    with zipfile.ZipFile(path) as file:
        if not {"config.json", "model.weights.h5"} <= set(file.namelist()):
            raise WeightsError("is not a Keras model (no config.json, or no model.weights.h5)", where=path)
        if max(file.getinfo(name).file_size for name in ("config.json", "model.weights.h5")) > MOST_BYTES:
            raise WeightsError(f"holds more than {MOST_BYTES >> 30} GB, which no such network has", where=path)
        try:
            model = json.loads(file.read("config.json"))
        except (ValueError, RecursionError) as error:
            raise WeightsError(f"has a config.json that is not JSON: {error}", where=path) from None
        followed, made = _followed(_layers_of(model)), []
        with h5py.File(io.BytesIO(file.read("model.weights.h5")), "r") as weights:
            for kind, name, options, group in _groups(model, weights):
                arrays = [_array(path, group["vars"][number], weights) for number in sorted(group["vars"], key=int)]
                if arrays:
                    parts = dict(zip(_order(kind, options), arrays))
                    made += _layer(
                        path,
                        name,
                        parts if len(parts) == len(arrays) else {"": arrays[0]},
                        kind,
                        options,
                        *followed.get(name, (None, None)),
                    )
    if not made:
        raise WeightsError("has no weights", where=path)
    return Source(path, "Keras model", tuple(made), _scale(made))


def _array(path, dataset, file) -> np.ndarray:
    """A layer's array; an HDF5 file of a few bytes can claim to hold any size, or another file's bytes."""
    if other := elsewhere(dataset, file):
        raise WeightsError(
            f"'{dataset.name}' lies in another file, {other}", where=path, mend="save the model in one file"
        )
    if dataset.size * 4 > MOST_ARRAY:
        raise WeightsError(f"'{dataset.name}' has {dataset.size:,} values, which no such layer has", where=path)
    return np.asarray(dataset, np.float32)


def _groups(model, group):
    """(class, name, options, HDF5 group) of every layer that has variables, nested models' too."""
    used: dict[str, int] = {}
    layers = model.get("config", {})
    for layer in layers.get("layers", []) if isinstance(layers, dict) else []:
        kind, options = layer.get("class_name", ""), layer.get("config", {})
        snake = re.sub(
            r"([a-z])([A-Z])", r"\1_\2", re.sub(r"(.)([A-Z][a-z0-9]+)", r"\1_\2", re.sub(r"\W+", "", kind))
        ).lower()
        count = used[snake] = used.get(snake, -1) + 1
        where = f"layers/{snake}_{count}" if count else f"layers/{snake}"
        if where not in group:
            continue
        if "layers" in options:
            yield from _groups(layer, group[where])
        elif "vars" in group[where]:
            yield kind, options.get("name", ""), options, group[where]


def _order(kind: str, options: dict) -> list[str]:
    """The variables of a layer, in Keras' order."""
    if kind == "BatchNormalization":
        learnt = [part for part, on in (("gamma", "scale"), ("beta", "center")) if options.get(on, True)]
        return [*learnt, "moving_mean", "moving_variance"]
    kernels = ["depthwise_kernel", "pointwise_kernel"] if kind == "SeparableConv2D" else ["kernel"]
    return [*kernels, *(["bias"] if options.get("use_bias", True) else [])]


def _names(group, key: str) -> list[str]:
    """A list of names in a group's attributes; Keras cuts one that HDF5 does not hold into KEY0, KEY1, ..."""
    keys = (
        [key]
        if key in group.attrs
        else itertools.takewhile(group.attrs.__contains__, (f"{key}{number}" for number in itertools.count()))
    )
    return [_text(name) for one in keys for name in group.attrs[one]]


def _text(value) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _split(weight: str, layer: str) -> tuple[str, str]:
    """`block/conv1/kernel:0` -> ("conv1", "kernel"), Keras 1's `conv1_W` -> ("conv1", "kernel")."""
    *path, last = weight.split("/")
    last = last.split(":")[0]
    if not path and "_" in last and last.rpartition("_")[2] in ("W", "b"):
        path, last = [last.rpartition("_")[0]], last.rpartition("_")[2]
    for old, new in _PARTS.items():
        last = new if last == old or last.endswith(f"_{old}") else last
    where = path[-1] if path else layer
    return (where.removesuffix("_1") if where.removesuffix("_1") == layer else where), last


def _layers_of(model: dict) -> list[tuple[str, str, dict]]:
    """(class, name, options) of every layer, nested models' too, in the file's order."""
    found, layers = [], model.get("config", {})
    for layer in layers.get("layers", []) if isinstance(layers, dict) else layers:
        options = layer.get("config", {})
        if isinstance(options, dict) and "layers" in options:
            found += _layers_of(layer)
        elif isinstance(options, dict):
            found.append((layer.get("class_name", ""), options.get("name", ""), options))
    return found


def _followed(config) -> dict[str, tuple[str | None, bool]]:
    """Of each layer: its activation, be it its own or a layer behind it (and a batch norm between), and whether one
    stands right before it.
    """
    found, before = {}, False
    for index, (kind, name, options) in enumerate(config):
        own = _activation(options)
        if kind in ("Activation", *_ACTIVATING):
            before = True
            continue
        found[name] = own, before
        if kind in ("Conv2D", "Convolution2D", "SeparableConv2D", "DepthwiseConv2D", "Dense"):
            before = own not in (None, "linear")
            rest = next((one for one in config[index + 1 :] if one[0] != "BatchNormalization"), None)
            if not before and rest is not None and rest[0] in ("Activation", *_ACTIVATING):
                found[name] = _ACTIVATING.get(rest[0]) or _activation(rest[2]), found[name][1]
    return found


def _activation(options) -> str | None:
    named = options.get("activation")
    return _ACTIVATIONS.get(named, "linear" if named == "softmax" else named) if isinstance(named, str) else None


def _layer(path, name, arrays, kind, options, activation, behind) -> list[SourceLayer]:
    if options.get("dim_ordering") == "th":
        raise WeightsError(
            f"layer '{name}' has Theano's kernels, which emo does not read",
            where=path,
            mend="save it with TensorFlow's ordering",
        )
    flattened = "chw" if options.get("data_format") == "channels_first" else "hwc"
    if "moving_mean" in arrays and "moving_variance" in arrays:
        mean = arrays["moving_mean"]
        norm = np.stack(
            [
                arrays.get("gamma", np.ones_like(mean)),
                arrays.get("beta", np.zeros_like(mean)),
                mean,
                arrays["moving_variance"],
            ]
        )
        return [SourceLayer(name, norm=norm, eps=float(options.get("epsilon", EPS)), behind=behind)]
    bias, rest, made = arrays.get("bias"), set(arrays) - {"bias", "kernel", "depthwise_kernel", "pointwise_kernel"}, []
    if "depthwise_kernel" in arrays or kind == "DepthwiseConv2D":
        depthwise = arrays.get("depthwise_kernel", arrays.get("kernel"))  # (h, w, channels, multiplier)
        height, width, channels, times = depthwise.shape
        alone = "pointwise_kernel" not in arrays
        made.append(
            SourceLayer(
                name,
                depthwise.transpose(2, 3, 0, 1).reshape(channels * times, 1, height, width),
                bias if alone else None,
                activation=activation if alone else "linear",
            )
        )
    kernel = arrays.get("pointwise_kernel", arrays.get("kernel") if not made else None)
    if kernel is not None and kernel.ndim == 4:
        made.append(SourceLayer(name, kernel.transpose(3, 2, 0, 1), bias, activation=activation))
    elif kernel is not None and kernel.ndim == 2:
        made.append(SourceLayer(name, kernel.T, bias, flattened=flattened, activation=activation))
    if not made or rest:
        raise WeightsError(
            f"layer '{name}' ({', '.join(sorted(arrays))}) is not a convolution, dense layer or batch norm", where=path
        )
    return made


def _scale(layers) -> InputScale:
    """What is known by its layers: VGG-Face, and Keras' own VGG and ResNet; else pictures of 0..1."""
    convolutions = [layer for layer in layers if layer.kernel is not None and layer.kernel.ndim == 4]
    first = convolutions[0].name if convolutions else ""
    if [layer.shape[0] for layer in convolutions[:13]] == _VGG_FACE and convolutions[0].shape[1] == 3:
        if first.startswith("block1_"):
            return SCALES["caffe"]
        return SCALES["vgg-face"] if first.startswith("conv1_1") else SCALES["vgg-face-rgb"]
    return SCALES["caffe"] if first.startswith(("block1_conv1", "conv1_conv")) else SCALES["0..1"]
