"""Read, check and write Darknet `.weights`.

The file (src/parser.c, load_weights_upto): int32 major, minor, revision; `seen`, uint64 when
major*10 + minor >= 2 and uint32 before; then each layer's arrays, float32, little-endian, in the order
of `layers.Layer.blocks`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from converters.errors import WeightsError

from .cfgfile import Cfg
from .layers import Layer, trace

VERSION = (0, 2, 5)  # what AlexeyAB's and hank-ai's Darknet write


@dataclass(frozen=True)
class Weights:
    """A read weights file: images `seen`, and per layer {block name: float32 array}."""

    version: tuple[int, int, int]
    seen: int
    layers: tuple[dict[str, np.ndarray], ...]


def header_bytes(path: Path) -> tuple[tuple[int, int, int], int, int]:
    """version, seen and the header's length; WeightsError for a file that is too short to have one."""
    try:
        with open(path, "rb") as file:
            head = file.read(20)
    except FileNotFoundError:
        raise WeightsError("no such weights", where=path) from None
    except OSError as error:
        raise WeightsError(f"cannot be read: {error.strerror}", where=path) from None
    if len(head) < 16:
        raise WeightsError(f"{len(head)} bytes are no weights file", where=path)
    version = tuple(int(value) for value in np.frombuffer(head, "<i4", 3))
    wide = version[0] * 10 + version[1] >= 2 and version[0] < 1000 and version[1] < 1000
    if wide and len(head) < 20:
        raise WeightsError(f"{len(head)} bytes are no weights file", where=path)
    return version, int(np.frombuffer(head, "<u8" if wide else "<u4", 1, 12)[0]), 20 if wide else 16


def weights_bytes(layers: tuple[Layer, ...]) -> int:
    """The exact length of a current weights file for these layers."""
    return 20 + 4 * sum(layer.params for layer in layers)


def read(cfg: Cfg, path: str | Path, prefix: bool = False) -> Weights:
    """Read `path` for `cfg`, memory-mapped.

    A file must have exactly the length that the cfg needs. With `prefix` it may also end after any
    layer (a `.conv.N` file); the layers after that are absent from `Weights.layers`.
    Raises WeightsError with both lengths.
    """
    path, layers = Path(path), trace(cfg)
    version, seen, offset = header_bytes(path)
    size, ends = path.stat().st_size, [offset]
    for layer in layers:
        ends.append(ends[-1] + 4 * layer.params)
    if size != ends[-1] and not (prefix and size in ends[1:]):
        named = cfg.path or "this cfg"
        hint = "are these the weights of another cfg, or a broken download?"
        raise WeightsError(f"{size:,} bytes; {named} needs {ends[-1]:,}", where=path, mend=hint)
    data = np.memmap(path, "<f4", "r", offset=offset) if size > offset else np.empty(0, np.float32)
    arrays, at = [], 0
    for layer, end in zip(layers, ends[1:]):
        if end > size:
            break
        blocks = {}
        for name, shape in layer.blocks:
            count = int(np.prod(shape))
            blocks[name] = data[at : at + count].reshape(shape)
            at += count
        if layer.type == "connected" and (version[0] > 1000 or version[1] > 1000):
            rows, columns = blocks["weights"].shape
            blocks["weights"] = blocks["weights"].reshape(columns, rows).T
        arrays.append(blocks)
    return Weights(version, seen, tuple(arrays))


def write(cfg: Cfg, path: str | Path, arrays, seen: int, version: tuple[int, int, int] = VERSION) -> None:
    """Write per-layer {name: array} in Darknet's order, to a temporary name and then renamed."""
    path, layers = Path(path), trace(cfg)
    temporary = path.with_name(path.name + ".part")
    with open(temporary, "wb") as file:
        file.write(np.array(version, "<i4").tobytes() + np.array([seen], "<u8").tobytes())
        for layer, blocks in zip(layers, arrays):
            for name, shape in layer.blocks:
                array = np.ascontiguousarray(blocks[name], "<f4")
                if array.shape != shape:
                    raise WeightsError(f"layer {layer.index} {name} is {array.shape}, not {shape}", where=path)
                file.write(array.tobytes())
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
