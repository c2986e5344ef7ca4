"""AffectNet as it is distributed: image folders and lists `subDirectory_filePath, face_x, ..., expression, ...`.

A root (or one list file) comes in, a Table goes out. The manual lists `training.csv` and
`validation.csv` and the automatic `automatically_annotated.csv` are found beside the image folders or in
the folders that the archives unpack to; the header row may be missing.
"""

from __future__ import annotations

import csv
import os
import posixpath
import re
from itertools import repeat
from pathlib import Path

import numpy as np

from ..errors import DataError
from ..labels import AFFECTNET_NOT_EMOTIONS
from ..records import SPLITS, Notes, Table, concat

COLUMNS = (
    "subDirectory_filePath", "face_x", "face_y", "face_width", "face_height",
    "facial_landmarks", "expression", "valence", "arousal",
)  # fmt: skip
NEEDED = (*COLUMNS[:5], "expression")
# list file -> split, and whether its pictures are the manually or the automatically annotated ones
LISTS = {
    "training.csv": ("train", "Manually"), "validation.csv": ("valid", "Manually"),
    "automatically_annotated.csv": ("train", "Automatically"),
}  # fmt: skip
LIST_FOLDERS = ("", "Manually_Annotated_file_lists", "Automatically_annotated_file_list", "Manually_Annotated", "lists", "annotations")
IMAGE_FOLDERS = (
    "{}_Annotated_Images", "{}_Annotated/{}_Annotated_Images", "{}_Annotated_Images/{}_Annotated_Images",
    "{}_Annotated_compressed", "{}_Annotated", "images", "Images", "",
)  # fmt: skip
NO_FACE = 10
_LFW_NAME = re.compile(r"(.+)_\d{4}")  # Labeled Faces in the Wild: the person, then a number


def read(root: Path, notes: Notes, *, no_face: str = "drop", landmarks: bool = False) -> Table:
    """All rows with an emotion; with no_face='keep' those of class 10 as pictures without faces.

    DataError when no list is found, or a list lacks a column. Bad rows become findings.
    """
    root = Path(root)
    if root.is_file():
        lists = [(root, *LISTS.get(root.name, ("train", "Manually")))]
        root = root.parent
    elif root.is_dir():
        lists = [(path, *LISTS[path.name]) for name in LISTS for folder in LIST_FOLDERS if (path := root / folder / name).is_file()]
    else:
        raise DataError("no such folder", where=root, mend="give the folder that holds training.csv and Manually_Annotated_Images")
    if not lists:
        raise DataError(f"holds none of {', '.join(LISTS)}", where=root, mend="give the folder that AffectNet's lists lie in")
    return concat([_read_list(path, split, _image_folder(root, kind, path), notes, no_face, landmarks) for path, split, kind in lists])


def _image_folder(root: Path, kind: str, list_path: Path) -> Path:
    """The first usual folder that holds the pictures; asked of the list's first rows, since names differ."""
    with open(list_path, newline="", encoding="utf-8-sig", errors="replace") as file:
        some = [line.split(",")[0].strip() for line in (file.readline() for _ in range(50)) if line.strip()]
    folders = [root / pattern.format(kind, kind) for pattern in IMAGE_FOLDERS]
    folders += [root.parent / pattern.format(kind, kind) for pattern in IMAGE_FOLDERS[:2]]
    for folder in folders:
        if any((folder / name).is_file() for name in some if name and not _escapes(name)):
            return folder
    named = [folder for folder in folders[:-3] if folder.is_dir()]
    if named:
        return named[0]
    raise DataError("has no folder with the listed pictures", where=root, mend=f"expected {folders[0].name}/<n>/<name>.jpg beside the lists")


def _escapes(path: str) -> bool:
    return os.path.isabs(path) or posixpath.normpath(path).startswith("..") or "\0" in path


def _read_list(path: Path, split: str, folder: Path, notes: Notes, no_face: str, landmarks: bool) -> Table:
    names, boxes, expressions, lines, points = _columns(path, split, notes, landmarks)
    # Rows of no emotion first: their boxes may be NULL.
    known = {str(number): number for number in range(11)}
    ids = np.fromiter(map(known.get, expressions, repeat(-1)), np.int16, len(expressions))
    for row in np.flatnonzero(ids < 0).tolist():
        try:
            number = float(expressions[row])
        except ValueError:
            number = None
        if number in range(11):  # '3.0', as a spreadsheet saves it
            ids[row] = int(number)
        elif number is None or number != number:
            notes.drop("bad-number", split, path, lines[row], f"expression '{expressions[row][:40]}' is no number")
        else:
            notes.drop("class-range", split, path, lines[row], f"expression {number:g} is not in 0..10")
    for number, what in AFFECTNET_NOT_EMOTIONS.items():
        if not (number == NO_FACE and no_face == "keep"):
            notes.count(f"{number} {what}", split, (ids == number).sum())
    negative = (ids == NO_FACE) & (no_face == "keep")
    rows = np.flatnonzero(((ids >= 0) & (ids < 8)) | negative)
    xyxy, good = _numbers(boxes, rows, negative[rows], path, split, lines, notes)
    rows, xyxy = rows[good], xyxy[good]
    refused = []
    for at, row in enumerate(rows.tolist()):
        name = names[row]
        if ".." in name or "\0" in name or name[:1] in ("/", "") or "//" in name or "./" in name:
            if _escapes(name) or not name:
                notes.drop("path-escapes", split, path, lines[row], f"'{name[:120]}' leaves the image folder")
                refused.append(at)
            else:
                names[row] = posixpath.normpath(name)
    if refused:
        rows, xyxy = np.delete(rows, refused), np.delete(xyxy, refused, axis=0)
    kept = [names[row] for row in rows.tolist()]
    stems = [name.rpartition(".")[0] or name for name in kept]
    root = os.path.abspath(folder) + "/"
    faces = ~negative[rows]
    return Table(
        image=[root + name for name in kept], name=stems, split=np.full(len(rows), SPLITS.index(split), np.int8),
        group=[match[1] if (match := _LFW_NAME.fullmatch(stem.rpartition("/")[2])) else stem for stem in stems],
        source=np.zeros(len(rows), np.int16), line=np.asarray(lines, np.int32)[rows],
        first=np.concatenate([[0], np.cumsum(faces)]), xyxy=xyxy[faces], emotion=ids[rows][faces].astype(np.int8),
        sources=(str(path),),
        landmarks=[_points(points[row]) for row in rows[faces].tolist()] if landmarks else None,
    )  # fmt: skip


def _columns(path: Path, split: str, notes: Notes, landmarks: bool):
    """The needed columns as lists; landmarks only when asked for: they are nine tenths of the file."""
    names, boxes, expressions, lines, points = [], [], [], [], []
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            head = next(reader, None)
            if head is None:
                raise DataError("is empty", where=path)
            head = [field.strip() for field in head]
            lower = [field.lower() for field in head]
            if COLUMNS[0].lower() in lower or "expression" in lower:
                missing = [name for name in NEEDED if name.lower() not in lower]
                if missing:
                    raise DataError(f"has no column {', '.join(missing)}", where=path, line=1, mend=f"found: {', '.join(head)[:200]}")
                at = [lower.index(name.lower()) for name in NEEDED]
                mark, width = lower.index("facial_landmarks") if "facial_landmarks" in lower else None, len(head)
                rows = reader
            elif len(head) >= 7:
                at, mark, width = [COLUMNS.index(name) for name in NEEDED], 5, 7
                rows = _chain(head, reader)
            else:
                raise DataError(f"has no column {', '.join(NEEDED)}", where=path, line=1, mend="give AffectNet's own list")
            p, x, y, w, h, e = at
            last = max(at)
            for row in rows:
                if len(row) <= last:
                    if row:
                        notes.drop("bad-number", split, path, reader.line_num, f"the row has {len(row)} columns, not {width}")
                    continue
                names.append(row[p].strip().replace("\\", "/"))
                boxes.append((row[x], row[y], row[w], row[h]))
                expressions.append(row[e].strip())
                lines.append(reader.line_num)
                if landmarks:
                    points.append(row[mark] if mark is not None and mark < len(row) else "")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"cannot be read as CSV: {error}", where=path) from None
    return names, boxes, expressions, lines, points


def _chain(first, rest):
    yield first
    yield from rest


def _numbers(boxes, rows, negative, path, split, lines, notes):
    """(K, 4) xyxy of the picked rows, and which of them are good; others become findings."""
    picked = [boxes[row] for row in rows.tolist()]
    good = np.ones(len(picked), bool)
    try:
        xywh = np.array([value for box in picked for value in box], dtype=object).astype(float).reshape(-1, 4)
    except ValueError:
        xywh = np.full((len(picked), 4), np.nan)
        for at, box in enumerate(picked):
            try:
                xywh[at] = [float(value) for value in box]
            except ValueError:
                pass
    for at in np.flatnonzero(~np.isfinite(xywh).all(axis=1) & ~negative).tolist():
        good[at] = False
        notes.drop("bad-number", split, path, lines[rows[at]], f"box {','.join(picked[at])[:80]} is not four numbers")
    return np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1), good


def _points(text: str):
    """'x;y;x;y;...' as (K, 2), None when there are none."""
    try:
        values = np.array([float(value) for value in text.split(";")])
    except ValueError:
        return None
    return values.reshape(-1, 2) if len(values) and len(values) % 2 == 0 and np.isfinite(values).all() else None
