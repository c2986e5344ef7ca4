"""AffectNet as it has been sent out since 2021: `train_set/images/N.jpg` and `annotations/N_exp.npy`, a picture a face.

A root with train_set and val_set (or one of them) comes in, a Table of whole-picture faces goes out; `N_lnd.npy` holds
68 landmarks. The numbers may be stored as text, as the release has them.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from ..emotions import AFFECTNET_NOT_EMOTIONS, EMOTIONS
from ..errors import DataError
from ..table.records import SPLITS, Notes, Table, one_face_each

SETS = {"train_set": "train", "val_set": "valid", "test_set": "test"}
IMAGES, ANNOTATIONS, EXPRESSION, LANDMARKS = "images", "annotations", "_exp.npy", "_lnd.npy"


def parts(root: Path) -> list[tuple[Path, str]]:
    """The folders of the release under `root`, with their splits; none when it is another."""
    found = [(root / name, split) for name, split in SETS.items() if (root / name / ANNOTATIONS).is_dir()]
    if (
        not found
        and (root / ANNOTATIONS).is_dir()
        and (root / IMAGES).is_dir()
        and next((root / ANNOTATIONS).glob("*" + EXPRESSION), None)
    ):
        found = [(root, SETS.get(root.name, "train"))]
    return found


def read(folder: Path, split: str, notes: Notes, landmarks: bool) -> Table:
    """One of the `parts`; bad annotations become findings."""
    labels = sorted(
        (entry.name for entry in os.scandir(folder / ANNOTATIONS) if entry.name.endswith(EXPRESSION)),
        key=lambda name: (len(name), name),
    )
    pictures = (
        {os.path.splitext(name)[0]: name for name in sorted(os.listdir(folder / IMAGES))}
        if (folder / IMAGES).is_dir()
        else {}
    )
    if not labels:
        raise DataError(f"has no N{EXPRESSION}", where=folder / ANNOTATIONS, mend="unpack the whole archive")
    image, names, emotion, points = [], [], [], []
    for name in labels:
        stem, path = name.removesuffix(EXPRESSION), folder / ANNOTATIONS / name
        value = _numbers(path)
        if value is None or len(value) != 1 or value[0] != int(value[0]):
            notes.drop("bad-number", split, path, 0, "is not one whole number")
        elif int(value[0]) in AFFECTNET_NOT_EMOTIONS:
            notes.count(f"{int(value[0])} {AFFECTNET_NOT_EMOTIONS[int(value[0])]}", split, 1)
        elif not 0 <= value[0] < len(EMOTIONS):
            notes.drop("class-range", split, path, 0, f"expression {value[0]:g} is not in 0..10")
        elif stem not in pictures:
            notes.drop("missing-image", split, path, 0, f"no {IMAGES}/{stem}.jpg")
        else:
            image.append(f"{os.path.abspath(folder / IMAGES)}/{pictures[stem]}")
            names.append(stem)
            emotion.append(int(value[0]))
            if landmarks:
                marks = _numbers(folder / ANNOTATIONS / (stem + LANDMARKS))
                points.append(
                    marks.reshape(-1, 2) if marks is not None and len(marks) and len(marks) % 2 == 0 else None
                )
    n = len(image)
    return one_face_each(
        image,
        names,
        np.full(n, SPLITS.index(split)),
        [f"{split}/{name}" for name in names],
        np.zeros(n),
        np.full((n, 4), np.nan),
        emotion,
        folder,
        landmarks=points if landmarks else None,
    )


def _numbers(path: Path) -> np.ndarray | None:
    """A small .npy as finite floats (K,); None when it is missing or none."""
    try:
        if path.stat().st_size > 1 << 16:
            return None
        values = np.load(path, allow_pickle=False)
        if values.size > 1 << 12:
            return None
        values = values.astype(float).ravel()
    except Exception:  # numpy raises what it likes for what is broken
        return None
    return values if np.isfinite(values).all() else None
