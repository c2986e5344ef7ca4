"""The files of arrays that `--task hdf5`, `npz` and `pickle` write, and others like them -> a Table.

One file, or a folder with train, val and test ones, comes in: `images` uint8 (N, H, W) or (N, H, W, 3) and `labels`
(N,), or `paths` in place of images; `classes` (else the labels are ids of emo's own), `landmarks` and `votes` where
they are there. A pickle may hold NumPy arrays, text, numbers, lists and dicts, and nothing that runs.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..emotions import EMOTIONS, canonical, class_names
from ..errors import DataError
from ..images import max_pixels
from ..table.records import SPLITS, Notes, Table, concat, one_face_each
from ..text_files import slashes
from .array_files import Row, StoredImages, content
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
        raise DataError(f"has none of {wanted}" if root.is_dir() else "no such file or folder", where=root)
    same_classes(root if root.is_dir() else root.parent, classes)
    return concat([_table(path, split, content(path, form, NAMES), classes, notes) for path, split in found])


def _table(path: Path, split: str, held: dict[str, np.ndarray | StoredImages], classes: int, notes: Notes) -> Table:
    plain = {name: array for name, array in held.items() if not isinstance(array, StoredImages)}
    labels, images, paths = plain.get("labels"), held.get("images"), plain.get("paths")
    if labels is None or (images is None and paths is None):
        raise DataError(
            "has no labels, or neither images nor paths", where=path, mend="expected arrays images and labels"
        )
    names = _emotions(plain.get("classes"), classes, path)
    n = len(labels) if labels.ndim else 0
    if (
        labels.ndim != 1
        or labels.dtype.kind not in "iuf"
        or any(len(other) != n if other.ndim else True for name, other in held.items() if name != "classes")
    ):
        raise DataError(
            "its arrays do not belong together",
            where=path,
            mend="labels are whole numbers (N,), and all others have N rows",
        )
    pictures = None if images is None else _pictures(images, path)
    with np.errstate(invalid="ignore"):
        good = (labels >= 0) & (labels < len(names)) & (labels == np.floor(labels))
    for row in np.flatnonzero(~good).tolist():
        notes.drop("class-range", split, path, row + 1, f"label {labels[row]} is not in 0..{len(names) - 1}")
    keep = np.flatnonzero(good)
    files = [] if paths is None else [_text(value) for value in paths[keep].tolist()]
    stems = [f"{split}{row:07d}" for row in keep.tolist()]
    image = (
        [f"{stem}.png" for stem in stems]
        if pictures is not None
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
        landmarks=_marks(plain.get("landmarks"), keep),
        votes=_votes(plain.get("votes"), keep, ids, path),
        pixels=None if pictures is None else [pictures[row] for row in keep.tolist()],
    )


def _emotions(said: np.ndarray | None, classes: int, path: Path) -> list[int]:
    if said is None:
        return [EMOTIONS.index(name) for name in class_names(classes)]
    try:
        return [EMOTIONS.index(canonical(_text(name))) for name in np.atleast_1d(said).tolist()]
    except DataError as error:
        raise DataError(error.what, where=path, mend=error.mend) from None


def _pictures(images: np.ndarray | StoredImages, path: Path) -> list:
    """N uint8 (H, W) or (H, W, 3), or Rows of a file that are; what is 0..1 in floats, or has one channel, is turned
    into that.
    """
    shape = images.shape[:3] if images.ndim == 4 and images.shape[3] == 1 else images.shape
    low, high = _range(images)
    scale = 255 if images.dtype.kind == "f" and low >= 0 and high <= 1 else 1
    if (
        images.dtype.kind not in "iuf"
        or not (low >= 0 and high <= 255)
        or len(shape) not in (3, 4)
        or (len(shape) == 4 and shape[3] != 3)
        or 0 in shape[1:]
    ):
        raise DataError(
            f"images are {images.dtype} {images.shape}", where=path, mend="expected uint8 (N, H, W) or (N, H, W, 3)"
        )
    if shape[1] * shape[2] > max_pixels():
        raise DataError(f"its pictures are {shape[2]}x{shape[1]}: more than {max_pixels()} pixels", where=path)
    if isinstance(images, StoredImages):
        stored = replace(images, scale=scale)
        return [Row(stored, index) for index in range(len(stored))]
    images = images.reshape(shape)
    return list(images if images.dtype == np.uint8 else np.rint(images * scale).astype(np.uint8))


def _range(images: np.ndarray | StoredImages) -> tuple[float, float]:
    """The least and the largest number, nan where one is; (0, 0) where it needs no look."""
    if images.dtype == np.uint8 or images.dtype.kind not in "iuf" or not images.size:
        return 0, 0
    blocks = images.blocks() if isinstance(images, StoredImages) else [images]
    ends = [(block.min(), block.max()) for block in blocks]
    return float(np.min(ends)), float(np.max(ends))


def _marks(points: np.ndarray | None, keep: np.ndarray) -> list | None:
    if points is None or points.ndim != 3 or points.shape[2] != 2 or points.dtype.kind not in "iuf":
        return None
    points = points[keep].astype(float)
    return [row if np.isfinite(row).all() else None for row in points]


def _votes(votes: np.ndarray | None, keep: np.ndarray, ids: np.ndarray, path: Path) -> np.ndarray | None:
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
    for column, emotion in enumerate(ids):  # two classes may be one emotion
        full[:, emotion] += votes[keep, column]
    return full


def _text(value: object) -> str:
    return os.fsdecode(value) if isinstance(value, bytes) else str(value)
