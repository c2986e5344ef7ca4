"""Any `<split>/<class>/<image>` tree: splits and classes by name and synonym, in any case and order.

A root comes in, a Table of whole-picture faces goes out. A class folder that is not an emotion is an error
that lists the known names, since nobody means it. `<class>/<image>` without splits is all train. Beside
splits, pictures in folders of other names are left out and counted.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..emotions import EMOTIONS, canonical
from ..errors import DataError
from ..image_formats import pictures_in
from ..table.records import SPLITS, Notes, Table, one_face_each

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "train_set": "train",
    "valid": "valid",
    "val": "valid",
    "validation": "valid",
    "val_set": "valid",
    "publictest": "valid",
    "dev": "valid",
    "test": "test",
    "testing": "test",
    "test_set": "test",
    "privatetest": "test",
}


def read(
    root: Path, notes: Notes, *, usages: Mapping[str, str] | None = None, classes: Mapping[str, str] | None = None
) -> Table:
    """Every picture under its split and class, sorted by path. DataError for an unknown class name.

    `usages` (FER2013): prefixes of file names that say the split better than the folder does; `classes`:
    folder names that stand for emotions besides the usual words, such as RAF-DB's numbers.
    """
    root = Path(root)
    if not root.is_dir():
        raise DataError("no such folder", where=root, mend="give a folder of <split>/<class>/<image>")
    splits = {
        entry.name: SPLIT_NAMES[entry.name.lower()] for entry in _folders(root) if entry.name.lower() in SPLIT_NAMES
    }
    tops = [(root / name, split) for name, split in sorted(splits.items())] or [(root, "train")]
    for entry in _folders(root) if splits else ():
        if entry.name not in splits:
            notes.count(f"picture in '{entry.name}', which is not a split", "", len(pictures_in(entry.path).paths))
    image, name, split, emotion = [], [], [], []
    for top, default in tops:
        for folder in _folders(top):
            found = pictures_in(folder.path)
            for suffix, files in found.others.items():
                notes.count(f"file that is not a picture: {suffix}", default, files)
            if not found.paths:
                continue
            index = EMOTIONS.index(_class_of(folder.name, classes, folder.path))
            for path in found.paths:
                file, to = path.rpartition("/")[2], default
                for usage, other in (usages or {}).items():
                    if file.startswith(usage + "_"):
                        to = other
                image.append(path)
                name.append(os.path.splitext(os.path.relpath(path, folder.path))[0])
                split.append(SPLITS.index(to))
                emotion.append(index)
    if not image:
        raise DataError(
            "has no picture in a folder named after a class",
            where=root,
            mend="expected <split>/<class>/<image>, such as train/happy/1.jpg",
        )
    return one_face_each(
        image, name, split, name, np.zeros(len(image)), np.full((len(image), 4), np.nan), emotion, root
    )


def _class_of(name: str, classes: Mapping[str, str] | None, where: str) -> str:
    if classes and name in classes:
        return classes[name]
    try:
        return canonical(name)
    except DataError as error:
        raise DataError(f"the folder '{name}' is not an emotion that emo knows", where=where, mend=error.mend) from None


def _folders(root: Path) -> list[os.DirEntry]:
    return sorted(
        (entry for entry in os.scandir(root) if entry.is_dir() and entry.name[0] not in "._"),
        key=lambda entry: entry.name,
    )
