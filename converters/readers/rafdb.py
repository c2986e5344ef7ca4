"""RAF-DB (basic): `EmoLabel/list_patition_label.txt` (`train_00001.jpg 5`) with original or aligned pictures.

A root comes in, a Table goes out. The original pictures come with the boxes of `boundingbox/`
(`x1 y1 x2 y2`) and the five landmarks of `landmarks_5/` or `Annotation/manual/`; the aligned ones are whole
faces. The classifier takes the aligned where they are, everything else the original. The release
with a folder per split and class number is read too.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..emotions import EMOTIONS, RAFDB
from ..errors import DataError
from ..table.records import SPLITS, Notes, Table, one_face_each
from ..text_files import fields_of, number, numbered_lines, read_text
from . import folder

LIST = "list_patition_label.txt"  # sic
PARTS = (
    "",
    "basic",
    "Image",
    "basic/Image",
    "Annotation",
    "basic/Annotation",
    "EmoLabel",
    "basic/EmoLabel",
    "Annotation/manual",
    "DATASET",
)


def read(root: Path, notes: Notes, *, task: str = "detector", landmarks: bool = False) -> Table:
    """All rows; those without a usable box, when the original pictures are read, become findings."""
    root = Path(root)
    if not root.is_dir():
        raise DataError("no such folder", where=root, mend=f"give the folder that holds EmoLabel/{LIST}")
    list_path = _find(root, LIST)
    if list_path is None:
        for top in (root, root / "DATASET"):
            if any((top / name / "1").is_dir() for name in folder.SPLIT_NAMES):
                return folder.read(top, notes, classes={str(key): name for key, name in RAFDB.items()})
        raise DataError(f"holds neither EmoLabel/{LIST} nor <split>/<1..7>", where=root)
    original, aligned, boxes = _find(root, "original"), _find(root, "aligned"), _find(root, "boundingbox")
    if aligned is not None and (task == "classifier" or original is None or boxes is None):
        pictures, boxes = aligned, None
    elif original is not None and boxes is not None:
        pictures = original
    else:
        raise DataError(
            "holds neither `aligned`, nor `original` and `boundingbox`", where=root, mend="unpack Image and Annotation"
        )
    points = _find(root, "landmarks_5") if landmarks else None
    image, name, split, line, xyxy, emotion, marks = [], [], [], [], [], [], []
    labels = {str(key): EMOTIONS.index(name) for key, name in RAFDB.items()}
    for line_number, text in numbered_lines(list_path, names=True):
        file, label = (fields_of(text, 2) + [""])[:2]
        to = "train" if file.startswith("train") else "test" if file.startswith("test") else None
        stem = file.rpartition(".")[0]
        if not file or "/" in file or "\0" in file or to is None:
            notes.drop(
                "path-escapes" if "/" in file else "bad-number",
                to or "",
                list_path,
                line_number,
                f"'{text[:80]}' is not `train_N.jpg LABEL`",
            )
            continue
        if label not in labels:
            notes.drop("class-range", to, list_path, line_number, f"label '{label[:40]}' is not in 1..7")
            continue
        box: tuple[float, ...] | None = (np.nan,) * 4
        if boxes is not None:
            box = _floats(boxes / f"{stem}_boundingbox.txt", 4)
            if box is None:
                notes.drop(
                    "bad-number", to, list_path, line_number, f"{stem}_boundingbox.txt is missing or not four numbers"
                )
                continue
        image.append(str((pictures / (file if boxes else f"{stem}_aligned.jpg")).absolute()))
        name.append(stem)
        split.append(SPLITS.index(to))
        line.append(line_number)
        xyxy.append(box)
        emotion.append(labels[label])
        marks.append(
            None if points is None or (at := _floats(points / f"{stem}.txt", 10)) is None else np.reshape(at, (5, 2))
        )
    return one_face_each(
        image,
        name,
        split,
        name,
        line,
        xyxy,
        emotion,
        list_path,
        landmarks=None if boxes is None or points is None else marks,
    )


def _find(root: Path, name: str) -> Path | None:
    return next((root / part / name for part in PARTS if (root / part / name).exists()), None)


def _floats(path: Path, count: int) -> tuple[float, ...] | None:
    """The first `count` numbers of a small text file, None when there are not as many."""
    try:
        values = [number(value) for value in read_text(path, most=1 << 20).split()[:count]]
    except (DataError, ValueError):
        return None
    return tuple(values) if len(values) == count and np.isfinite(values).all() else None
