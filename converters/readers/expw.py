"""ExpW: `label.lst`, a face a line: `image face_id top left right bottom confidence label`.

A root (or the list) comes in, a Table goes out; pictures hold several faces. ExpW has no splits: all
is train, until `--valid` sets a part aside.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from ..emotions import EMOTIONS, EXPW
from ..errors import DataError
from ..table.records import Notes, Table
from ..text_files import fields_of, number, numbered_lines, slashes

LIST = ("label.lst", "label/label.lst", "data/label/label.lst", "label/label.txt")
IMAGES = ("image/origin", "origin", "image", "images", "data/image/origin", "")


def read(root: Path, notes: Notes) -> Table:
    """All faces, those of one picture together; bad rows become findings."""
    root = Path(root)
    path = root if root.is_file() else next((root / name for name in LIST if (root / name).is_file()), None)
    if path is None:
        raise DataError(
            f"has no {LIST[0]}" if root.is_dir() else "no such folder",
            where=root,
            mend="give the folder that holds label.lst and image/origin",
        )
    base = path.parent if root.is_file() else root
    rows: dict[str, list[tuple]] = {}
    spoiled: set[str] = set()  # files with a face whose row cannot be used
    for line, text in numbered_lines(path, names=True):
        fields = fields_of(slashes(text), 8)
        try:
            top, left, right, bottom = map(number, fields[2:6])
            label = int(fields[7])
            if len(fields) != 8 or not np.isfinite([top, left, right, bottom]).all():
                raise ValueError
        except (ValueError, IndexError):
            spoiled.add(fields[0])
            notes.drop(
                "bad-number",
                "train",
                path,
                line,
                f"'{text[:80]}' is not `image face top left right bottom confidence label`",
            )
            continue
        if label not in EXPW:
            spoiled.add(fields[0])
            notes.drop("class-range", "train", path, line, f"label {label} is not in 0..6")
        elif os.path.isabs(fields[0]) or os.path.normpath(fields[0]).startswith(".."):
            notes.drop("path-escapes", "train", path, line, f"'{fields[0][:120]}' leaves the image folder")
        else:
            rows.setdefault(fields[0], []).append((line, (left, top, right, bottom), EMOTIONS.index(EXPW[label])))
    some = list(rows)[:50]
    folder = next(
        (base / name for name in IMAGES if any(os.path.isfile(base / name / file) for file in some)), base / IMAGES[0]
    )
    for file in spoiled:
        notes.spoil(str((folder / file).absolute()))
    faces = [face for found in rows.values() for face in found]
    stems = [os.path.splitext(file)[0] for file in rows]
    return Table(
        image=[str((folder / file).absolute()) for file in rows],
        name=stems,
        split=np.zeros(len(rows), np.int8),
        group=stems,
        source=np.zeros(len(rows), np.int16),
        line=np.array([found[0][0] for found in rows.values()], np.int32),
        first=np.concatenate([[0], np.cumsum([len(found) for found in rows.values()], dtype=np.int64)]),
        xyxy=np.array([box for _, box, _ in faces], float).reshape(-1, 4),
        emotion=np.array([emotion for _, _, emotion in faces], np.int8),
        sources=(str(path),),
    )
