"""The files of arrays that `--task hdf5`, `npz` and `pickle` write, and others like them -> a Table.

One file, or a folder with train, val and test ones, comes in: `images` uint8 (N, H, W) or (N, H, W, 3) and `labels`
(N,), or `paths` in place of images; `classes` (else the labels are ids of emo's own), `landmarks` and `votes` where
they are there. A pickle may hold NumPy arrays, text, numbers, lists and dicts, and nothing that runs.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..emotions import EMOTIONS, canonical, class_names
from ..errors import DataError, MissingExtra
from ..table.records import SPLITS, Notes, Table, concat, one_face_each
from ..text_files import slashes
from .coco import split_of
from .yolo import same_classes

SUFFIXES = {"hdf5": (".h5", ".hdf5"), "npz": (".npz",), "pickle": (".pkl", ".pickle")}
STEMS = {"train": ("train",), "valid": ("val", "valid"), "test": ("test",)}
NAMES = {
    "images": ("images", "image", "x", "pixels"),
    "labels": ("labels", "label", "y"),
    "paths": ("paths", "path"),
    "landmarks": ("landmarks",),
    "votes": ("votes",),
    "classes": ("classes",),
}
BOMB_BYTES, BOMB_RATIO = 1 << 30, 100  # faces are packed to a half, not to a hundredth: what claims more is none


def read(root: Path, notes: Notes, *, classes: int = 7, form: str = "hdf5") -> Table:
    """All faces of all files that are there; DataError when one is no such file."""
    root, suffixes = Path(root), SUFFIXES[form]
    if root.is_file():
        found = [(root, split_of(root))]
    else:
        found = [
            (root / (stem + suffix), split)
            for split, stems in STEMS.items()
            for stem in stems
            for suffix in suffixes
            if (root / (stem + suffix)).is_file()
        ]
    if not found:
        wanted = ", ".join(stems[0] + suffixes[0] for stems in STEMS.values())
        raise DataError(f"holds none of {wanted}" if root.is_dir() else "no such file or folder", where=root)
    same_classes(root if root.is_dir() else root.parent, classes)
    return concat([_table(path, split, _content(path, form), classes, notes) for path, split in found])


def _content(path: Path, form: str) -> dict[str, np.ndarray]:
    """The arrays of NAMES that the file has; DataError when it cannot be read as its form."""
    try:
        with {"hdf5": _hdf5, "npz": _npz, "pickle": _pickle}[form](path) as content:
            lower = {str(key).lower(): key for key in content}
            found = {
                name: next((lower[other] for other in others if other in lower), None) for name, others in NAMES.items()
            }
            arrays = {name: np.asarray(content[key]) for name, key in found.items() if key is not None}
            if any(
                array.dtype.kind == "U" and array.size and _codes(array).max() > 0x10FFFF for array in arrays.values()
            ):
                raise DataError("holds text of characters that there are none")
            return arrays
    except MissingExtra:
        raise
    except DataError as error:
        raise DataError(error.what, where=path, mend=error.mend) from None
    except MemoryError:
        raise DataError("claims to hold more than fits into memory", where=path) from None
    except Exception as error:  # h5py, numpy and pickle raise what they like for what is broken
        raise DataError(
            f"is not a {form} file that can be read: {' '.join(str(error).split())[:160] or type(error).__name__}",
            where=path,
        ) from None


def _table(path: Path, split: str, content: dict[str, np.ndarray], classes: int, notes: Notes) -> Table:
    labels, images, paths = (content.get(name) for name in ("labels", "images", "paths"))
    if labels is None or (images is None and paths is None):
        raise DataError(
            "holds no labels, or neither images nor paths", where=path, mend="expected arrays images and labels"
        )
    names = _emotions(content.get("classes"), classes, path)
    n = len(labels) if labels.ndim else 0
    if (
        labels.ndim != 1
        or labels.dtype.kind not in "iuf"
        or any(len(other) != n if other.ndim else True for name, other in content.items() if name != "classes")
    ):
        raise DataError(
            "its arrays do not belong together",
            where=path,
            mend="labels are whole numbers (N,), and all others have N rows",
        )
    if images is not None:
        images = _pictures(images, path)
    with np.errstate(invalid="ignore"):
        good = (labels >= 0) & (labels < len(names)) & (labels == np.floor(labels))
    for row in np.flatnonzero(~good).tolist():
        notes.drop("class-range", split, path, row + 1, f"label {labels[row]} is not in 0..{len(names) - 1}")
    keep = np.flatnonzero(good)
    files = None if paths is None else [_text(value) for value in paths[keep].tolist()]
    stems = [f"{split}{row:07d}" for row in keep.tolist()]
    image = (
        [f"{stem}.png" for stem in stems]
        if images is not None
        else [str((path.parent / slashes(file)).absolute()) for file in files]
    )
    ids = np.array(names)
    return one_face_each(
        image,
        stems,
        np.full(len(keep), SPLITS.index(split)),
        files or stems,
        keep + 1,
        np.full((len(keep), 4), np.nan),
        ids[labels[keep].astype(np.int64)],
        path,
        landmarks=_marks(content.get("landmarks"), keep),
        votes=_votes(content.get("votes"), keep, ids, path),
        pixels=None if images is None else list(images[keep]),
    )


def _emotions(said, classes: int, path: Path) -> list[int]:
    if said is None:
        return [EMOTIONS.index(name) for name in class_names(classes)]
    try:
        return [EMOTIONS.index(canonical(_text(name))) for name in np.atleast_1d(said).tolist()]
    except DataError as error:
        raise DataError(error.what, where=path, mend=error.mend) from None


def _pictures(images: np.ndarray, path: Path) -> np.ndarray:
    """(N, H, W) or (N, H, W, 3) uint8; what is 0..1 in floats, or has one channel, is turned into that."""
    if images.ndim == 4 and images.shape[3] == 1:
        images = images[..., 0]
    if (
        images.dtype.kind == "f"
        and images.size
        and np.isfinite(images).all()
        and images.min() >= 0
        and images.max() <= 1
    ):
        images = np.rint(images * 255).astype(np.uint8)
    elif (
        images.dtype.kind in "iuf"
        and images.dtype != np.uint8
        and images.size
        and images.min() >= 0
        and images.max() <= 255
    ):
        images = images.astype(np.uint8)
    if (
        images.dtype != np.uint8
        or images.ndim not in (3, 4)
        or (images.ndim == 4 and images.shape[3] != 3)
        or 0 in images.shape[1:]
    ):
        raise DataError(
            f"images are {images.dtype} {images.shape}", where=path, mend="expected uint8 (N, H, W) or (N, H, W, 3)"
        )
    return images


def _marks(points, keep: np.ndarray) -> list | None:
    if points is None or points.ndim != 3 or points.shape[2] != 2 or points.dtype.kind not in "iuf":
        return None
    points = points[keep].astype(float)
    return [row if np.isfinite(row).all() else None for row in points]


def _votes(votes, keep: np.ndarray, ids: np.ndarray, path: Path) -> np.ndarray | None:
    if votes is None:
        return None
    if (
        votes.ndim != 2
        or votes.shape[1] != len(ids)
        or votes.dtype.kind not in "iuf"
        or not (np.isfinite(votes).all() and (votes >= 0).all())
    ):
        raise DataError(
            f"votes are {votes.dtype} {votes.shape}", where=path, mend="expected a share from 0 on for each class"
        )
    full = np.zeros((len(keep), len(EMOTIONS)), np.float32)
    np.add.at(full, (slice(None), ids), votes[keep])
    return full


def _codes(text: np.ndarray) -> np.ndarray:
    """The characters' numbers of an array of text."""
    return np.ascontiguousarray(text).view(np.dtype(np.uint32).newbyteorder(text.dtype.byteorder))


def _text(value) -> str:
    return os.fsdecode(value) if isinstance(value, bytes) else str(value)


def _sound(name: str, nominal: int, stored: int) -> None:
    if nominal > BOMB_BYTES and nominal > BOMB_RATIO * max(stored, 1):
        raise DataError(
            f"'{name}' claims {nominal >> 20} MB in {stored} bytes of file: no faces are packed so tightly",
            mend="is the file whole?",
        )


# What the HDF5 library reads of a file before anything is done with it. On some damaged ones it never comes to an end,
# or
# ends the process: so it is tried in one that may be lost.
_TRIAL = """if True:
    import resource, sys
    resource.setrlimit(resource.RLIMIT_CPU, (5, 5))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    import h5py
    with h5py.File(sys.argv[1], "r") as file:
        for name in file.attrs:
            file.attrs[name]
        for data in file.values():
            if isinstance(data, h5py.Dataset) and data.shape and data.shape[0]:
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
            f"is damaged: the HDF5 library ends on it ({signal.Signals(-ended.returncode).name})",
            where=path,
            mend="fetch it again",
        )


class _hdf5:
    def __init__(self, path: Path):
        try:
            import h5py
        except ImportError:
            raise MissingExtra("h5py", "hdf5", "reading HDF5") from None
        _tried(path)
        self.file, self.kind = h5py.File(path, "r"), h5py.Dataset

    def __enter__(self) -> Mapping:
        out = {name: self.file.attrs[name] for name in ("classes",) if name in self.file.attrs}
        for name, data in self.file.items():
            if isinstance(data, self.kind) and name.lower() in {other for others in NAMES.values() for other in others}:
                _sound(
                    name,
                    int(np.prod(data.shape or (0,), dtype=object)) * data.dtype.itemsize,
                    data.id.get_storage_size(),
                )
                out[name] = data[()]
        return out

    def __exit__(self, *_) -> None:
        self.file.close()


class _npz:
    def __init__(self, path: Path):
        self.archive = zipfile.ZipFile(path)

    def __enter__(self) -> Mapping:
        out = {}
        for info in self.archive.infolist():
            name = info.filename.removesuffix(".npy")
            if name.lower() in {other for others in NAMES.values() for other in others}:
                _sound(name, info.file_size, info.compress_size)
                with self.archive.open(info) as file:
                    header = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}[
                        np.lib.format.read_magic(file)[0]
                    ]
                    shape, _, dtype = header(file)
                    if int(np.prod(shape, dtype=object)) * dtype.itemsize > info.file_size:
                        raise DataError(f"'{name}' is cut: {shape} of {dtype} are more than it holds")
                with self.archive.open(info) as file:
                    out[name] = np.lib.format.read_array(file, allow_pickle=False)
        return out

    def __exit__(self, *_) -> None:
        self.archive.close()


class _pickle:
    def __init__(self, path: Path):
        self.file = open(path, "rb")

    def __enter__(self) -> Mapping:
        content = _Unpickler(self.file).load()
        if not isinstance(content, dict):
            raise DataError("is not a dict of arrays", mend="expected images and labels")
        return content

    def __exit__(self, *_) -> None:
        self.file.close()


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
