"""Read, check and write Darknet `.weights`; take the first layers of one.

The file (src/parser.c, load_weights_upto): int32 major, minor, revision; `seen`, uint64 when
major*10 + minor >= 2 and uint32 before; then each layer's arrays, float32, little-endian, in the order
of `layers.Layer.blocks`. Versions above 1000 are old files with 32-bit `seen` whose connected layers
are transposed.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from converters.errors import WeightsError

from .cfg_diff import first_difference
from .cfg_file import Cfg, misspelt
from .layers import Layer, trace

HEADER = 20  # bytes, of a current file
VERSION = (0, 2, 5)  # what AlexeyAB's and hank-ai's Darknet write; Debian's writes 0.2.0


@dataclass(frozen=True)
class Weights:
    """A read weights file: images `seen`, and per layer {block name: float32 array}."""

    version: tuple[int, int, int]
    seen: int
    layers: tuple[dict[str, np.ndarray], ...]


def _old(version: tuple[int, int, int]) -> bool:
    return version[0] > 1000 or version[1] > 1000


def _wide(version: tuple[int, int, int]) -> bool:
    """Whether `seen` has 64 bits."""
    return version[0] * 10 + version[1] >= 2 and not _old(version)


def header_bytes(path: Path) -> tuple[tuple[int, int, int], int, int]:
    """version, seen and the header's length; WeightsError for a file that is too short to have one, or is text."""
    try:
        with open(path, "rb") as file:
            head = file.read(20)
    except FileNotFoundError:
        raise WeightsError("no such weights", where=path) from None
    except OSError as error:
        raise WeightsError(f"cannot be read: {error.strerror}", where=path) from None
    if head.startswith(b"version https://git"):
        raise WeightsError("is a Git LFS pointer, not the weights", where=path, mend="run git lfs pull")
    if head.lstrip()[:1] == b"<":
        raise WeightsError("is a web page, not weights", where=path, mend="download the file itself")
    major, minor, revision = np.frombuffer(head.ljust(12, b"\0"), "<i4", 3).tolist()
    version = major, minor, revision
    length = 20 if _wide(version) else 16
    if len(head) < length:
        raise WeightsError(f"{len(head)} bytes are not a weights file", where=path)
    return version, int(np.frombuffer(head, "<u8" if length == 20 else "<u4", 1, 12)[0]), length


def weights_bytes(layers: tuple[Layer, ...]) -> int:
    """The exact length of a current weights file for these layers."""
    return HEADER + 4 * sum(layer.params for layer in layers)


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
        hint = misspelt(cfg) or "are these the weights of another cfg, or a broken download?"
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
        if layer.type == "connected" and _old(version):
            rows, columns = blocks["weights"].shape
            blocks["weights"] = blocks["weights"].reshape(columns, rows).T
        arrays.append(blocks)
    return Weights(version, seen, tuple(arrays))


def write(
    cfg: Cfg, path: str | Path, arrays, seen: int, version: tuple[int, int, int] = VERSION, layers: int | None = None
) -> None:
    """Write per-layer {name: array} in Darknet's order, to a temporary name and then renamed.

    `layers` writes only the first so many; WeightsError for an array that is missing or of another shape.
    """
    path, traced = Path(path), trace(cfg)[:layers]
    if len(arrays) < len(traced):
        raise WeightsError(f"{len(arrays)} layers to write, the cfg has {len(traced)}", where=path)
    if not 0 <= seen < 2 ** (64 if _wide(version) else 32):
        raise WeightsError(
            f"seen = {seen} does not fit the header of version {'.'.join(map(str, version))}", where=path
        )
    temporary = path.with_name(path.name + ".part")
    try:
        with open(temporary, "wb") as file:
            file.write(
                np.array(version, "<i4").tobytes() + np.array([seen], "<u8" if _wide(version) else "<u4").tobytes()
            )
            for layer, blocks in zip(traced, arrays):
                for name, shape in layer.blocks:
                    if name not in blocks or np.shape(blocks[name]) != shape:
                        given = f"is {np.shape(blocks[name])}, not" if name in blocks else "is missing;"
                        raise WeightsError(f"layer {layer.index} {name} {given} {shape}", where=path)
                    array = (
                        blocks[name].T
                        if layer.type == "connected" and name == "weights" and _old(version)
                        else blocks[name]
                    )
                    file.write(np.ascontiguousarray(array, "<f4").data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        mend = "is the disk full?" if error.errno in (errno.ENOSPC, errno.EDQUOT) else None
        raise WeightsError(f"cannot be written: {error.strerror}", where=path, mend=mend) from None
    finally:
        temporary.unlink(missing_ok=True)


def partial(
    cfg: Cfg,
    weights: str | Path,
    out: str | Path,
    layers: int | None = None,
    for_cfg: Cfg | None = None,
    version: tuple[int, int, int] = VERSION,
) -> int:
    """Write the first `layers` layers of `weights`, or those that `for_cfg` shares, with seen = 0; gives their number.

    The file is what `darknet partial` writes, byte for byte (with version 0.2.0 what Debian's does).
    WeightsError when there are fewer layers, in the cfg or in the file, or when nothing is shared.
    """
    count = len(cfg.layers)
    if for_cfg is not None:
        layers = first_difference(cfg, for_cfg)
        if not layers:
            what = "differ from the first layer on" if layers == 0 else "have the same layers"
            raise WeightsError(
                f"{cfg.path} and {for_cfg.path} {what}",
                where=weights,
                mend="" if layers == 0 else "take the weights whole",
            )
    if layers is None or not 1 <= layers <= count:
        raise WeightsError(
            f"cannot take {layers} layers of {count}", where=cfg.path, mend=f"a number from 1 to {count}"
        )
    source = read(cfg, weights, prefix=True)
    if len(source.layers) < layers:
        raise WeightsError(f"holds {len(source.layers)} layers, not {layers}", where=weights)
    write(cfg, out, source.layers, 0, version, layers)
    return layers
