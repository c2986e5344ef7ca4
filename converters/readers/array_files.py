"""Files of arrays -> their arrays by name, the pictures among them left in the file until somebody looks at one.

    arrays = content(Path("train.h5"), "hdf5", {"images": ("images", "x"), "labels": ("labels", "y")})
    arrays["labels"]                      # a NumPy array
    rows = arrays["images"]               # a NumPy array, or StoredImages: .shape, .dtype, .blocks()
    np.asarray(Row(rows, 3))              # the fourth picture

HDF5 is read some rows at a time, and so is what an npz stores without compression, whatever its size. A pickle, and a
compressed npz, can only be read whole, up to MOST_WHOLE bytes. Nothing that claims far more than its
file can hold is read at all.
"""

from __future__ import annotations

import pickle
import signal
import struct
import subprocess
import sys
import threading
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from ..errors import DataError, MissingExtra
from ..hdf5_links import elsewhere

BOMB_BYTES, BOMB_RATIO = 1 << 30, 100  # faces are packed to a half, not to a hundredth: what claims more is none
MOST_WHOLE = 4 << 30  # bytes of what can only be read whole
MOST_CHUNK = 1 << 30  # bytes of the piece in which HDF5 packs rows: to read one row is to read its piece
BLOCK_BYTES, CACHE_BYTES = 1 << 20, 64 << 20  # read at once, and kept of what was read


def content(path: Path, form: str, names: dict[str, tuple[str, ...]]) -> dict[str, np.ndarray | StoredImages]:
    """The arrays that the file has of `names` (ours -> what a file may call it); `images` may be StoredImages.

    DataError when it cannot be read as its form, or claims more than it can hold.
    """
    wanted = {other: name for name, others in names.items() for other in others}
    with said_of(path, form):
        held = {"hdf5": _hdf5, "npz": _npz, "pickle": _pickle}[form](path, wanted)
        found: dict[str, np.ndarray | StoredImages] = {}
        for name, array in sorted(held.items(), key=lambda item: list(wanted).index(item[0].lower())):
            found.setdefault(wanted[name.lower()], array)
        for array in found.values():
            if (
                isinstance(array, np.ndarray)
                and array.dtype.kind == "U"
                and array.size
                and _codes(array).max() > 0x10FFFF
            ):
                raise DataError("holds text with characters that do not exist")
        return found


@contextmanager
def said_of(path: Path, form: str) -> Iterator[None]:
    """A block in which whatever h5py, NumPy or pickle raise becomes one DataError about `path`."""
    try:
        yield
    except MissingExtra:
        raise
    except DataError as error:
        raise DataError(error.what, where=path, mend=error.mend) from None
    except MemoryError:
        raise DataError("claims to hold more than fits into memory", where=path) from None
    except Exception as error:
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise DataError(f"is not a {form} file that can be read: {reason}", where=path) from None


# --- pictures that stay in their file ------------------------------------------------------------------------------


@dataclass(frozen=True)
class StoredImages:
    """An array (N, ...) in a file: what any process needs to read its rows, and nothing that must be closed."""

    path: Path
    form: str  # hdf5, or npz of a member that is stored as it is
    key: str  # the HDF5 data set's name
    shape: tuple[int, ...]
    dtype: np.dtype
    rows: int  # of a block
    stamp: tuple[int, int]  # the file's length and time: another file of the same name is another array
    offset: int = 0  # npz: where the numbers begin
    order: Literal["C", "F"] = "C"
    scale: int = 1  # what the numbers are multiplied by to be 0..255

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=object))

    def __len__(self) -> int:
        return self.shape[0]

    def blocks(self) -> Iterator[np.ndarray]:
        """The rows in order as the file has them, a block at a time; DataError when the file does not give them."""
        return (self._read(number) for number in range(-(-len(self) // self.rows)))

    def row(self, index: int) -> np.ndarray:
        """uint8 (H, W) or (H, W, 3); DataError when the file does not give it."""
        number, place = divmod(index, self.rows)
        return _blocks.get(self, number)[place]

    def _read(self, number: int) -> np.ndarray:
        start = number * self.rows
        some = slice(start, min(start + self.rows, len(self)))
        with said_of(self.path, self.form):
            if self.form == "hdf5":
                import h5py

                with h5py.File(self.path, "r") as file:
                    return file[self.key][some]
            mapped: np.ndarray = np.memmap(self.path, self.dtype, "r", self.offset, self.shape, self.order)
            return np.array(mapped[some])

    def _as_pictures(self, number: int) -> np.ndarray:
        rows = self._read(number)
        rows = rows[..., 0] if rows.ndim == 4 and rows.shape[3] == 1 else rows
        return np.rint(rows * self.scale).astype(np.uint8) if rows.dtype != np.uint8 else rows


class Row:
    """A picture of a `StoredImages`; `np.asarray` reads it."""

    __slots__ = ("images", "index")

    def __init__(self, images: StoredImages, index: int):
        self.images, self.index = images, index

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return np.asarray(self.images.row(self.index), dtype)


class _Cache:
    """The blocks that were read last, of all files, up to CACHE_BYTES; one at least. Threads may share it."""

    def __init__(self) -> None:
        self.held: OrderedDict[tuple[StoredImages, int], np.ndarray] = OrderedDict()
        self.bytes, self.lock = 0, threading.Lock()

    def get(self, images: StoredImages, number: int) -> np.ndarray:
        key = images, number
        with self.lock:
            if key not in self.held:
                self.held[key] = images._as_pictures(number)
                self.bytes += self.held[key].nbytes
                while self.bytes > CACHE_BYTES and len(self.held) > 1:
                    self.bytes -= self.held.popitem(last=False)[1].nbytes
            self.held.move_to_end(key)
            return self.held[key]


_blocks = _Cache()


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _block_rows(shape: tuple[int, ...], dtype: np.dtype, piece: int = 1) -> int:
    """How many rows make a block: whole pieces of `piece` rows, about BLOCK_BYTES."""
    row = max(1, int(np.prod(shape[1:], dtype=object)) * dtype.itemsize)
    return max(1, BLOCK_BYTES // (row * piece)) * piece


# --- forms ---------------------------------------------------------------------------------------------------------


def _sound(name: str, nominal: int, stored: int) -> None:
    if nominal > BOMB_BYTES and nominal > BOMB_RATIO * max(stored, 1):
        raise DataError(
            f"'{name}' claims {nominal >> 20} MB in {stored} bytes of file: no faces are packed so tightly",
            mend="is the file whole?",
        )


def _small(nominal: int, what: str) -> None:
    if nominal > MOST_WHOLE:
        raise DataError(
            f"is {nominal >> 20} MB: {what} is read whole, up to a limit of {MOST_WHOLE >> 20} MB",
            mend="write it as HDF5 or as an npz without compression, which are read piece by piece",
        )


# What the HDF5 library reads of a file before anything is done with it. On some damaged ones it never comes to an end,
# or ends the process: so it is tried in one that may be lost.
_TRIAL = f"""if True:
    import math, resource, sys
    resource.setrlimit(resource.RLIMIT_CPU, (5, 5))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    import h5py
    with h5py.File(sys.argv[1], "r") as file:
        for name in file.attrs:
            file.attrs[name]
        for data in file.values():
            if isinstance(data, h5py.Dataset) and data.shape and data.shape[0]:
                if math.prod(data.chunks or data.shape[1:]) * data.dtype.itemsize <= {MOST_CHUNK}:
                    data[:1]
"""


def _tried(path: Path) -> None:
    """DataError when the HDF5 library hangs or dies on the file; what it says of other faults it says again to
    whoever opens it.
    """
    ended = subprocess.run(
        [sys.executable, "-c", _TRIAL, str(path)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    if ended.returncode < 0:
        raise DataError(
            f"is damaged: the HDF5 library crashes on it ({signal.Signals(-ended.returncode).name})",
            where=path,
            mend="fetch it again",
        )


def _hdf5(path: Path, wanted: dict[str, str]) -> Mapping:
    try:
        import h5py
    except ImportError:
        raise MissingExtra("h5py", "hdf5", "reading HDF5") from None
    _tried(path)
    with h5py.File(path, "r") as file:
        out: dict[str, np.ndarray | StoredImages] = {
            name: np.asarray(file.attrs[name]) for name in ("classes",) if name in file.attrs
        }
        for name, data in file.items():
            if not isinstance(data, h5py.Dataset) or name.lower() not in wanted:
                continue
            if other := elsewhere(data, file):
                raise DataError(
                    f"'{name}' lies in another file, {other}", mend="h5repack or h5copy makes one file of them"
                )
            nominal = int(np.prod(data.shape or (0,), dtype=object)) * data.dtype.itemsize
            _sound(name, nominal, data.id.get_storage_size())
            piece = int(np.prod(data.chunks or (0,), dtype=object)) * data.dtype.itemsize
            if piece > MOST_CHUNK:
                raise DataError(
                    f"'{name}' is packed in pieces of {piece >> 20} MB, but the limit is {MOST_CHUNK >> 20} MB",
                    mend=f"h5repack -l {name}:CHUNK=256x... makes smaller ones",
                )
            if wanted[name.lower()] == "images" and data.ndim >= 3 and data.dtype.kind in "iuf":
                rows = _block_rows(data.shape, data.dtype, data.chunks[0] if data.chunks else 1)
                out[name] = StoredImages(path, "hdf5", name, data.shape, data.dtype, rows, _stamp(path))
            elif data.dtype.hasobject and data.ndim == 1:
                out[name] = _texts(name, data, path.stat().st_size)
            else:
                out[name] = np.asarray(data[()])
        return out


def _texts(name: str, data, length: int) -> np.ndarray:
    """Texts of any length each: a file may give one long one for every row."""
    out = np.empty(len(data), object)
    total = 0
    for start in range(0, len(data), 64):
        out[start : start + 64] = data[start : start + 64]
        total += sum(len(text) for text in out[start : start + 64] if isinstance(text, (str, bytes)))
        if total > length:
            raise DataError(f"'{name}' claims more than {total} bytes in {length} bytes of file")
    return out


def _npz(path: Path, wanted: dict[str, str]) -> Mapping:
    out: dict[str, np.ndarray | StoredImages] = {}
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            name = info.filename.removesuffix(".npy")
            if name.lower() not in wanted:
                continue
            _sound(name, info.file_size, info.compress_size)
            with archive.open(info) as file:
                shape, fortran, dtype, length = _npy_header(file)
                if int(np.prod(shape, dtype=object)) * dtype.itemsize > info.file_size:
                    raise DataError(f"'{name}' is cut: {shape} of {dtype} are more than it holds")
                plain = info.compress_type == zipfile.ZIP_STORED and dtype.kind in "iuf"
                if plain and wanted[name.lower()] == "images" and len(shape) >= 3:
                    while file.read(BLOCK_BYTES):  # to the end, where the sum of all is compared
                        pass
                    offset = _place(path, info) + length
                    rows = _block_rows(shape, dtype)
                    out[name] = StoredImages(
                        path, "npz", name, shape, dtype, rows, _stamp(path), offset, "F" if fortran else "C"
                    )
                    continue
            _small(info.file_size, f"'{name}', which is compressed,")
            with archive.open(info) as file:
                out[name] = np.lib.format.read_array(file, allow_pickle=False)
    return out


def _npy_header(file) -> tuple[tuple[int, ...], bool, np.dtype, int]:
    """Shape, whether the first index runs fastest, kind of numbers, and the header's length of an .npy."""
    header = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}
    shape, fortran, dtype = header[np.lib.format.read_magic(file)[0]](file)
    return shape, fortran, dtype, file.tell()


def _place(path: Path, member: zipfile.ZipInfo) -> int:
    """Where a member's bytes begin in the archive (APPNOTE.TXT, 4.3.7)."""
    with open(path, "rb") as file:
        file.seek(member.header_offset + 26)
        return member.header_offset + 30 + sum(struct.unpack("<HH", file.read(4)))


def _pickle(path: Path, wanted: dict[str, str]) -> Mapping:
    length = path.stat().st_size
    _small(length, "a pickle")
    with open(path, "rb") as file:
        held = _Unpickler(file).load()
    if not isinstance(held, dict):
        raise DataError("is not a dict of arrays", mend="expected images and labels")
    out = {}
    for key, value in held.items():
        if isinstance(key, str) and key.lower() in wanted:
            # A pickle holds each value; what claims more says one many times, or never said it.
            if isinstance(value, np.ndarray):
                claimed, text = value.size if value.dtype.hasobject else value.nbytes, False
            else:
                claimed, text = _leaves(value, {})
            if claimed > length:
                raise DataError(f"'{key}' claims {claimed} bytes or values in {length} bytes of file")
            out[key] = np.asarray(value, object) if text else np.asarray(value)  # one long text makes no others long
    return out


def _leaves(value, counted: dict[int, tuple[int, bool]]) -> tuple[int, bool]:
    """How many values are in lists of lists, as often as they are listed; and whether a text is among them."""
    if not isinstance(value, (list, tuple)):
        return value.size if isinstance(value, np.ndarray) else 1, isinstance(value, (str, bytes))
    if id(value) not in counted:
        counted[id(value)] = 0, False  # a list that holds itself
        found = [_leaves(item, counted) for item in value]
        counted[id(value)] = sum(count for count, _ in found), any(text for _, text in found)
    return counted[id(value)]


class _Unpickler(pickle.Unpickler):
    """Takes what makes arrays, and refuses all else: a pickle from elsewhere must not run anything."""

    KNOWN = {
        ("numpy", "ndarray"),
        ("numpy", "dtype"),
        ("_codecs", "encode"),
        *(
            (f"numpy.{core}.{module}", name)
            for core in ("core", "_core")
            for module, name in (("multiarray", "_reconstruct"), ("multiarray", "scalar"), ("numeric", "_frombuffer"))
        ),
    }

    def find_class(self, module: str, name: str):
        if (module, name) not in self.KNOWN:
            raise DataError(
                f"holds {module}.{name}, which is not read from a pickle",
                mend="expected NumPy arrays, text, numbers, lists and dicts",
            )
        return super().find_class(module, name)


def _codes(text: np.ndarray) -> np.ndarray:
    """The characters' numbers of an array of text."""
    return np.ascontiguousarray(text).view(np.dtype(np.uint32).newbyteorder(text.dtype.byteorder))
