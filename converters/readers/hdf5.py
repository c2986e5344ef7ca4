"""The HDF5 files that `--task hdf5` writes (train, val, test; `images`, `labels`) -> a Table with pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..emotions import EMOTIONS, canonical
from ..errors import DataError, MissingExtra
from ..table.records import SPLITS, Notes, Table, concat, one_face_each
from .yolo import same_classes

FILES = {"train": "train.h5", "valid": "val.h5", "test": "test.h5"}


def read(root: Path, notes: Notes, *, classes: int = 7) -> Table:
    """All pictures of all files that are there; DataError when one is no such file."""
    root = Path(root)
    found = [(root / file, split) for split, file in FILES.items() if (root / file).is_file()]
    if not found:
        raise DataError(f"holds none of {', '.join(FILES.values())}", where=root)
    same_classes(root, classes)
    return concat([_read_file(path, split, notes) for path, split in found])


def _read_file(path: Path, split: str, notes: Notes) -> Table:
    try:
        import h5py
    except ImportError:
        raise MissingExtra("h5py", "hdf5", "reading HDF5") from None
    try:
        with h5py.File(path) as file:
            images, labels = file["images"][:], file["labels"][:]
            names = [EMOTIONS.index(canonical(str(name))) for name in file.attrs["classes"]]
            votes = file["votes"][:] if "votes" in file else None
    except (OSError, KeyError) as error:
        raise DataError(f"is no HDF5 file with images, labels and the attribute classes: {error}", where=path) from None
    bad = np.flatnonzero((labels < 0) | (labels >= len(names)))
    for row in bad.tolist():
        notes.drop("class-range", split, path, row + 1, f"label {labels[row]} is not in 0..{len(names) - 1}")
    keep = np.delete(np.arange(len(labels)), bad)
    stems = [f"{split}{row:07d}" for row in keep.tolist()]
    full = None
    if votes is not None:
        full = np.zeros((len(keep), len(EMOTIONS)), np.float32)
        np.add.at(full, (slice(None), np.array(names)), votes[keep])
    return one_face_each(
        [f"{stem}.png" for stem in stems], stems, np.full(len(keep), SPLITS.index(split)), stems, keep + 1,
        np.full((len(keep), 4), np.nan), np.array(names)[labels[keep]], path, votes=full, pixels=list(images[keep]),
    )  # fmt: skip
