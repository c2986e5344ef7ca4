"""A source's layers into a cfg's, by their shapes: the `.weights` that begins a training, or is the whole network.

    found = import_weights("vgg_face.h5", templates.load("vgg-face"), "vgg-face.conv.weights")
    for row in found.rows: ...

Both sides are walked in order. The first layer that differs must be the cfg's top (a dense layer, or its last): it and
what follows stay new, and the file ends before it, as `darknet partial` ends one. Any other difference is an error.
Batch norms are folded where the cfg has none, and become exact ones where only the source has none; another epsilon
goes into the variance. What the source was shown (`InputScale`) is worked into the first layer; the difference that
this makes at the border of the picture, where a convolution pads, is avoided by a first layer of 1x1 in the cfg, which
takes it whole.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from converters.errors import UsageError, WeightsError

from ..cfg_file import Cfg
from ..layers import Layer, padded, trace
from ..weights_file import write
from . import keras, matconvnet, torch_checkpoint
from .source import SCALES, Source, SourceLayer, scale_named

READERS = {
    ".h5": keras.read,
    ".hdf5": keras.read,
    ".keras": keras.read,
    ".mat": matconvnet.read,
    ".pth": torch_checkpoint.read,
    ".pt": torch_checkpoint.read,
}
EPS = 1e-5  # Darknet's, src/blas.c, normalize_cpu


@dataclass(frozen=True)
class Row:
    """A layer of the cfg with weights, what went into it (None: nothing, it is new), and how."""

    index: int
    kind: str
    shape: tuple[int, ...]
    source: str | None = None
    source_shape: tuple[int, ...] | None = None
    how: str = ""


@dataclass(frozen=True)
class Imported:
    """What was done: a row a weighted layer, `layers` of the cfg in the file, the source's unused layers, and
    remarks.
    """

    form: str
    rows: tuple[Row, ...]
    layers: int
    whole: bool
    unused: tuple[str, ...]
    notes: tuple[str, ...]


def reads(path: str | Path) -> bool:
    """Whether the file's name is one of a form that is read here."""
    return Path(path).suffix.lower() in READERS


def read_source(path: str | Path) -> Source:
    """UsageError for another suffix, WeightsError for a file that cannot be used."""
    path = Path(path)
    if not reads(path):
        raise UsageError(f"{path.name} has no format that can be imported", mend=f"known: {', '.join(READERS)}")
    if not path.is_file():
        raise WeightsError("no such file", where=path)
    try:
        return _sound(READERS[path.suffix.lower()](path))
    except (
        KeyError,
        IndexError,
        ValueError,
        TypeError,
        AttributeError,
        RuntimeError,
        RecursionError,
        MemoryError,
    ) as error:
        reason = " ".join(str(error).split())[:120]
        raise WeightsError(
            f"is damaged, or in a format that emo does not read: {type(error).__name__} {reason}", where=path
        ) from None


def _sound(source: Source) -> Source:
    """Itself; WeightsError for a layer whose arrays do not belong together, or hold what no network has."""
    for layer in source.layers:
        arrays = [one for one in (layer.kernel, layer.bias, layer.norm) if one is not None]
        if layer.bias is not None and layer.bias.shape != layer.shape[:1]:
            why = f"{_size(layer.bias.shape)} biases, but {_size(layer.shape[:1])} outputs"
        elif not all(np.isfinite(one).all() for one in arrays):
            why = "values that are not finite numbers"
        elif layer.norm is not None and (layer.norm[3] + layer.eps <= 0).any():
            why = "a variance below zero"
        else:
            continue
        raise WeightsError(f"layer '{layer.name}' has {why}", where=source.path)
    return source


def import_weights(path: str | Path, cfg: Cfg, out: str | Path, scale: str | None = None) -> Imported:
    """Read `path`, fit it into `cfg`, write `out`. `scale` is one of `source.SCALES`; None: what the file's form says.

    Raises WeightsError, with both shapes, where the two are not networks of one kind.
    """
    source = read_source(path)
    arrays, found = fit(source, cfg, scale)
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    write(cfg, out, arrays, 0, layers=found.layers)
    return found


def fit(source: Source, cfg: Cfg, scale: str | None = None) -> tuple[list[dict[str, np.ndarray]], Imported]:
    """Per layer {block: array} of the first `Imported.layers` layers, as `weights_file.write` takes them; and what
    was done.
    """
    traced = trace(cfg)
    targets = [layer for layer in traced if layer.blocks]
    if not targets:
        raise WeightsError("the cfg has no layer with weights", where=cfg.path)
    first = next((layer for layer in source.layers if layer.kernel is not None and layer.kernel.ndim == 4), None)
    chosen, walk = scale_named(scale) if scale else source.scale, _Walk(source, cfg)
    if not scale and first is not None and first.shape[1] == 1 and len(set(zip(chosen.factor, chosen.offset))) > 1:
        chosen = SCALES["0..1"]  # what is told of colour pictures cannot be of a grey network
    arrays: list[dict[str, np.ndarray]] = [{} for _ in traced]
    rows, notes = [], [f"input: {chosen.about or chosen.name}" + ("" if scale else " (--input says otherwise)")]
    places = list(targets)
    if first is not None and _takes_scale(targets[0], first):
        matrix, offset = chosen.matrix(first.shape[1], traced[0].inputs[2])
        arrays[0] = {"weights": matrix[:, :, None, None], "biases": offset}
        rows.append(Row(0, "convolutional", targets[0].blocks[-1][1], "the input's scale", None, "made"))
        places = places[1:]
    elif first is not None and source.layers[0] is first:
        walk.rescale(first, chosen, targets[0], traced[0].inputs[2], notes)
    new = None
    for layer in places:
        made = walk.layer(layer)
        if isinstance(made, str):
            _refuse_or_stop(layer, targets, made, len(rows), source, cfg)
            new = layer
            break
        arrays[layer.index], row = made
        rows.append(row)
    if not any(row.how != "made" for row in rows):
        raise WeightsError("gives no layer that fits", where=source.path)
    rows += [
        Row(layer.index, layer.type, dict(layer.blocks).get("weights", layer.blocks[0][1]), how="new")
        for layer in targets
        if new and layer.index >= new.index
    ]
    layers = new.index if new else len(traced)
    return arrays[:layers], Imported(
        source.form, tuple(rows), layers, new is None, tuple(walk.rest()), (*notes, *walk.notes)
    )


def _refuse_or_stop(layer, targets, why, done, source, cfg):
    """An error unless `layer` may be the new top: a dense layer or the last one, behind at least one that fits."""
    if not done or not (layer.type == "connected" or layer is targets[-1] or why == _ENDS):
        raise WeightsError(
            f"does not fit {cfg.path.name if cfg.path else 'the cfg'}: its layer {layer.index} [{layer.type}] {why}",
            where=source.path,
            mend="choose the cfg of the same network with --for",
        )


def _takes_scale(target: Layer, first: SourceLayer) -> bool:
    """Whether the cfg begins with a 1x1 convolution that the source has not: a place for its input's scale."""
    shape = dict(target.blocks)
    channels = first.shape[1]
    plain = target.type == "convolutional" and "scales" not in shape and target.section.text("activation") == "linear"
    return plain and shape["weights"] == (channels, target.inputs[2], 1, 1) and first.shape[2:] != (1, 1)


_ENDS = "has nothing left to take"


class _Walk:
    """The source's layers, taken one after the other."""

    def __init__(self, source: Source, cfg: Cfg):
        self.source, self.cfg, self.at = source, cfg, 0
        self.notes: list[str] = []
        self.replaced: dict[int, SourceLayer] = {}

    def _next(self) -> SourceLayer | None:
        return self.replaced.get(self.at) or (
            self.source.layers[self.at] if self.at < len(self.source.layers) else None
        )

    def rest(self) -> list[str]:
        return [f"{layer.name} ({_size(layer.shape)})" for layer in self.source.layers[self.at :]]

    def rescale(self, first, scale, target, channels, notes):
        """Put a first layer in the place of the source's that sees pictures of 0..1 as that one sees its own."""
        if (
            (first.shape[1] == channels and scale.name == "0..1")
            or first.shape[1] not in (1, 3)
            or channels not in (1, 3)
        ):
            return
        matrix, offset = scale.matrix(first.shape[1], channels)
        kernel = np.asarray(first.kernel, np.float64)
        bias = np.zeros(len(kernel)) if first.bias is None else np.asarray(first.bias, np.float64)
        bias = bias + np.einsum("oihw,i->o", kernel, offset)
        self.replaced[0] = SourceLayer(
            first.name, np.einsum("oihw,ij->ojhw", kernel, matrix), bias, activation=first.activation
        )
        if np.any(offset) and target.type == "convolutional" and padded(target.section):
            notes.append(
                "worked into the first layer; at the picture's border it differs from the source, which padded "
                "with the mean colour instead of black"
            )

    def layer(self, target: Layer) -> tuple[dict, Row] | str:
        """The arrays of one layer of the cfg and its row, or why there are none."""
        given = self._next()
        if target.type == "shortcut":
            return "has weights, of which the source knows nothing"
        if given is None:
            return _ENDS
        shapes = dict(target.blocks)
        if target.type == "batchnorm":
            if given.kernel is not None or given.shape != shapes["scales"]:
                return f"takes a batch norm of {_size(shapes['scales'])}; next is {_named(given)}"
            self.at += 1
            return _norm(given), Row(target.index, target.type, given.shape, given.name, given.shape, "copied")
        if given.kernel is None:
            where = "behind an activation" if given.behind else "here"
            return (
                f"takes {_size(shapes['weights'])}; the source has a batch norm {where}, '{given.name}': give the "
                "cfg a [batchnorm]"
            )
        kernel = _shaped(given, target, shapes["weights"])
        if kernel is None:
            return f"takes {_size(shapes['weights'])}; next is {_named(given)}"
        at, self.at = self.at, self.at + 1
        self._compare(given, target)
        bias = np.zeros(len(kernel)) if given.bias is None else np.asarray(given.bias, np.float64)
        norm, how = self._norm_behind(target), "copied"
        blocks = {"weights": np.asarray(kernel, np.float64), "biases": bias}
        if "scales" in shapes:
            how = f"with {norm.name}" if norm else "batch norm made neutral"
            blocks |= (
                _norm(norm, bias)
                if norm
                else {
                    "scales": np.ones(len(bias)),
                    "mean": np.zeros(len(bias)),
                    "variance": np.full(len(bias), 1 - EPS),
                }
            )
        elif norm:
            folded = _norm(norm, bias)
            share = folded["scales"] / np.sqrt(folded["variance"] + EPS)
            blocks = {
                "weights": blocks["weights"] * share.reshape(-1, *[1] * (kernel.ndim - 1)),
                "biases": folded["biases"] - folded["mean"] * share,
            }
            how = f"{norm.name} folded in"
        told = self.source.layers[at].shape
        if given.shape != told:
            how += ", grey spread over colours" if given.shape[1] == 3 else ", colours summed to grey"
        return blocks, Row(target.index, target.type, shapes["weights"], given.name, told, how)

    def _norm_behind(self, target) -> SourceLayer | None:
        """The batch norm that belongs to the layer just taken, if the source has one there."""
        given = self._next()
        if given is None or given.kernel is not None or given.behind or given.shape != dict(target.blocks)["biases"]:
            return None
        after = self.cfg.layers[target.index + 1].type if target.index + 1 < len(self.cfg.layers) else ""
        if given.behind is None and after == "batchnorm":
            return None
        self.at += 1
        return given

    def _compare(self, given, target):
        here = target.section.text("activation", "logistic")
        if given.activation is not None and given.activation != here:
            self.notes.append(
                f"layer {target.index} [{target.type}] has activation {here}, the source's '{given.name}' "
                f"{given.activation}"
            )


def _norm(given: SourceLayer, bias: np.ndarray | float = 0.0) -> dict[str, np.ndarray]:
    """A batch norm's blocks with Darknet's epsilon, of values that still lack `bias`."""
    gamma, beta, mean, variance = np.asarray(given.norm, np.float64)
    return {"scales": gamma, "biases": beta, "mean": mean - bias, "variance": variance + given.eps - EPS}


def _shaped(given: SourceLayer, target: Layer, shape: tuple[int, ...]) -> np.ndarray | None:
    """The kernel in the target's shape, or None: (out, in) and (out, in, h, w) of one map are the same layer."""
    kernel, (width, height, channels) = given.kernel, target.inputs
    if kernel is None or len(kernel) != shape[0]:
        return None
    if kernel.ndim == 4 and target.type == "convolutional":
        return kernel if kernel.shape == shape else None
    if (
        target.type == "convolutional"
        and not (shape[2] == height and shape[3] == width and not padded(target.section))
        and shape[2:] != (1, 1)
    ):
        return None
    if kernel.ndim == 2 and math.prod(shape[1:]) == kernel.shape[1]:
        if given.flattened == "hwc" and width * height > 1:
            kernel = kernel.reshape(len(kernel), height, width, channels).transpose(0, 3, 1, 2)
        return kernel.reshape(shape)
    if kernel.ndim == 4 and target.type == "connected" and kernel.shape[1:] == (channels, height, width):
        return kernel.reshape(shape)
    return None


def _size(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def _named(given: SourceLayer) -> str:
    return f"'{given.name}', {'a batch norm of ' if given.kernel is None else ''}{_size(given.shape)}"
