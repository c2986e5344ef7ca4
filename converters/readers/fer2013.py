"""FER2013 as people have it: `fer2013.csv`, `icml_face_data.csv` (spaces in its header), or the folder release.

A folder or file comes in, a Table goes out, with 48x48 grey pixels for the CSVs. Usage says the split:
Training train, PublicTest valid, PrivateTest test (`--usage` says otherwise); the folder release's `test/` keeps to the
usage in its files' names where they have it.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..emotions import EMOTIONS, FER2013
from ..errors import DataError, nearest
from ..table.records import SPLITS, Notes, Table, one_face_each
from ..table.usages import USAGES
from ..text_files import table_rows
from .yolo import same_classes

FILES = ("fer2013.csv", "icml_face_data.csv", "fer2013/fer2013.csv")
SIDE = 48
_VALUES = {str(value): value for value in range(256)}


def find(root: Path) -> Path | None:
    """The CSV under `root` (or `root` itself); None when it is the folder release."""
    if root.is_file():
        return root
    if not root.is_dir():
        raise DataError("no such folder", where=root, mend="give the folder that holds fer2013.csv, or the file itself")
    return next((root / name for name in FILES if (root / name).is_file()), None)


def read(root: Path, notes: Notes, *, classes: int = 7) -> Table:
    """All rows with their pixels (or, for the folder release, its files); bad rows become findings.

    A csv that emo wrote is not read for another number of classes; with eight its id 7 is Contempt.
    """
    path = find(Path(root))
    if path is None:
        from . import folder

        return folder.read(root, notes, usages=USAGES)
    ids = FER_IDS | {"7": EMOTIONS.index("Contempt")} if same_classes(path.parent, classes) == 8 else FER_IDS
    emotion, split, lines, pixels = [], [], [], []
    for line, label, use, values in rows(path):
        to = USAGES.get(use)
        if not use:
            notes.drop("bad-number", "", path, line, "the row has no Usage: is the file cut?")
            continue
        if to is None:
            raise DataError(f"Usage '{use[:40]}' is unknown", where=path, line=line, mend=nearest(use, USAGES))
        face, label = face_of(values), label.removesuffix(".0").removesuffix(",0")  # as a spreadsheet saves it
        if face is None:
            notes.drop("bad-number", to, path, line, f"pixels are not {SIDE * SIDE} numbers in 0..255")
        elif label not in ids:
            code = "class-range" if label.lstrip("-").isdigit() else "bad-number"
            notes.drop(code, to, path, line, f"emotion '{label[:40]}' is not in 0..{len(ids) - 1}")
        else:
            emotion.append(ids[label])
            split.append(SPLITS.index(to))
            lines.append(line)
            pixels.append(face)
    names = [f"fer{line - 2:07d}" for line in lines]
    return one_face_each(
        [f"{name}.png" for name in names],
        names,
        split,
        [f"{zlib.crc32(face.data):08x}" for face in pixels],
        lines,
        np.full((len(names), 4), np.nan),
        emotion,
        path,
        pixels=pixels,
    )


def emotion_of(text: str) -> int | None:
    """FER2013's class as an index of EMOTIONS; None when it is none. A spreadsheet's 3.0 is 3."""
    return FER_IDS.get(text.removesuffix(".0"))


FER_IDS = {str(number): EMOTIONS.index(name) for number, name in FER2013.items()}


def rows(path: Path) -> Iterator[tuple[int, str, str, str]]:
    """(line, emotion, Usage, pixels) of each row as text; DataError when a column is missing."""
    for line, row in table_rows(path, ("emotion", "pixels", "Usage"), mend="expected emotion,pixels,Usage"):
        yield line, row["emotion"], row["usage"], row["pixels"]


def face_of(text: str) -> np.ndarray | None:
    """'70 80 82 ...' as (48, 48) uint8; None when it is anything else."""
    try:
        values = bytes(map(_VALUES.__getitem__, text.split()))  # twice as fast as parsing 80 million numbers
    except KeyError:
        return None
    return np.frombuffer(values, np.uint8).reshape(SIDE, SIDE) if len(values) == SIDE * SIDE else None
