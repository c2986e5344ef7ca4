"""AffectNet as it is distributed: image folders and lists `subDirectory_filePath, face_x, ..., expression, ...`.

A root (or one list file) comes in, a Table goes out. The manual lists `training.csv` and
`validation.csv` and the automatic `automatically_annotated.csv` are found beside the image folders or in
the folders that the archives unpack to; the header row may be missing.
"""

from __future__ import annotations

import csv
import io
import itertools
import os
import posixpath
from array import array
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from math import nan
from pathlib import Path
from typing import Any

import numpy as np

from ..emotions import AFFECTNET_NOT_EMOTIONS
from ..errors import DataError
from ..table.records import SPLITS, Notes, Table, concat
from ..text_files import SEPARATORS, first_line, number as number_of, open_text, separator_of
from . import affectnet_arrays

COLUMNS = (
    "subDirectory_filePath",
    "face_x",
    "face_y",
    "face_width",
    "face_height",
    "facial_landmarks",
    "expression",
    "valence",
    "arousal",
)
NEEDED = (*COLUMNS[:5], "expression")
# list file -> split, and whether its pictures are the manually or the automatically annotated ones
LISTS = {
    "training.csv": ("train", "Manually"),
    "validation.csv": ("valid", "Manually"),
    "automatically_annotated.csv": ("train", "Automatically"),
}
LIST_FOLDERS = (
    "",
    "Manually_Annotated_file_lists",
    "Automatically_annotated_file_list",
    "Manually_Annotated",
    "lists",
    "annotations",
)
IMAGE_FOLDERS = (
    "{}_Annotated_Images",
    "{}_Annotated/{}_Annotated_Images",
    "{}_Annotated_Images/{}_Annotated_Images",
    "{}_Annotated_compressed",
    "{}_Annotated",
    "images",
    "Images",
    "",
)
NO_FACE = 10


def read(root: Path, notes: Notes, *, no_face: str = "drop", landmarks: bool = False) -> Table:
    """All rows with an emotion; with no_face='keep' those of class 10 as pictures without faces.

    DataError when no list is found, or a list lacks a column. Bad rows become findings.
    """
    root = Path(root)
    if root.is_file():
        lists = [(root, *LISTS.get(root.name, ("train", "Manually")))]
        root = root.parent
    elif root.is_dir():
        lists = [
            (path, *LISTS[path.name])
            for name in LISTS
            for folder in LIST_FOLDERS
            if (path := root / folder / name).is_file()
        ]
    else:
        raise DataError(
            "no such folder", where=root, mend="give the folder that holds training.csv and Manually_Annotated_Images"
        )
    if not lists and (newer := affectnet_arrays.parts(root)):
        return concat([affectnet_arrays.read(folder, split, notes, landmarks) for folder, split in newer])
    if not lists:
        raise DataError(
            f"has none of {', '.join(LISTS)}",
            where=root,
            mend="give the folder that AffectNet's lists, or train_set and val_set, lie in",
        )
    return concat([_read_list(path, split, root, kind, notes, no_face, landmarks) for path, split, kind in lists])


def _image_folder(root: Path, kind: str, some: list[str]) -> Path:
    """The first usual folder that holds one of the pictures `some`."""
    folders = [root / pattern.format(kind, kind) for pattern in IMAGE_FOLDERS]
    folders += [root.parent / pattern.format(kind, kind) for pattern in IMAGE_FOLDERS[:2]]
    for folder in folders:
        if any(os.path.isfile(folder / name) for name in some):  # Path.is_file raises on a name that is too long
            return folder
    named = [folder for folder in folders[:-3] if folder.is_dir()]
    if named:
        return named[0]
    raise DataError(
        "has no folder with the listed pictures",
        where=root,
        mend=f"expected {folders[0].name}/<n>/<name>.jpg beside the lists",
    )


def _odd(paths: str) -> bool:
    """Whether one of the paths, a line each, needs a second look."""
    text = f"\n{paths}\n"
    return any(mark in text for mark in ("\n\n", "\n/", "//", "./", "..", "\0"))


def _escapes(path: str) -> bool:
    return not path or os.path.isabs(path) or posixpath.normpath(path).startswith("..") or "\0" in path


def _read_list(path: Path, split: str, root: Path, kind: str, notes: Notes, no_face: str, landmarks: bool) -> Table:
    aside = {number: 0 for number in AFFECTNET_NOT_EMOTIONS if not (number == NO_FACE and no_face == "keep")}
    names, ids, xywh, lines, points, odd, lost = _columns(path, split, notes, landmarks, aside)
    for number, rows in aside.items():
        notes.count(f"{number} {AFFECTNET_NOT_EMOTIONS[number]}", split, rows)
    negative = ids == NO_FACE
    wanted = ids >= 0
    with np.errstate(over="ignore"):
        xyxy = np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1)
    unusable = wanted & ~negative & ~np.isfinite(xyxy).all(axis=1)  # rows of no face may well have boxes of NULL
    for row in np.flatnonzero(unusable).tolist():
        notes.drop("bad-number", split, path, lines[row], f"box {odd.get(row, xywh[row].tolist())} is not four numbers")
    wanted &= ~unusable
    for row in (
        np.flatnonzero(wanted).tolist() if _odd("\n".join(names)) else ()
    ):  # most often none, which one look tells
        if _odd(names[row]):
            name = posixpath.normpath(names[row]) if names[row] else ""
            if _escapes(name):
                notes.drop("path-escapes", split, path, lines[row], f"'{names[row][:120]}' leaves the image folder")
                wanted[row] = False
            names[row] = name
    kept_rows = np.flatnonzero(wanted)
    lost.update(names[row] for row in np.flatnonzero(~wanted).tolist())
    kept, faces = [names[row] for row in kept_rows.tolist()], ~negative[kept_rows]
    stems = [name.rpartition(".")[0] or name for name in kept]
    folder = (os.path.abspath(_image_folder(root, kind, kept[:50])) if kept else "") + "/"
    for name in lost.intersection(kept):  # a picture that another row has too
        notes.spoil(folder + name)
    return Table(
        image=[folder + name for name in kept],
        name=stems,
        split=np.full(len(kept_rows), SPLITS.index(split), np.int8),
        group=list(map(_group, stems)),
        source=np.zeros(len(kept_rows), np.int16),
        line=lines[kept_rows],
        first=np.concatenate([[0], np.cumsum(faces)]),
        xyxy=xyxy[kept_rows][faces],
        emotion=ids[kept_rows][faces].astype(np.int8),
        sources=(str(path),),
        landmarks=[_points(points[row]) for row in kept_rows[faces].tolist()] if landmarks else None,
    )


def _group(stem: str) -> str:
    """Labeled Faces in the Wild: the person, before a number of four digits; AffectNet: the picture alone."""
    return stem.rpartition("/")[2][:-5] if stem[-5:-4] == "_" and stem[-4:].isdigit() else stem


def _columns(path: Path, split: str, notes: Notes, landmarks: bool, aside: dict[int, int]) -> tuple:
    """The list as columns: names, ids (N,) with -1 for a bad one, xywh (N, 4) with NaN, lines (N,), landmarks' texts,
    the texts of boxes that are not numbers, and the names of rows with a face that were left out here. Rows of the
    classes in `aside` are only counted there.
    """
    names: list[bytes] = []
    points: list[str] = []
    odd: dict[int, str] = {}
    lost: set[bytes] = set()
    ids, xywh, lines = array("h"), array("d"), array("i")
    known = {str(number).encode(): number for number in range(11)}
    try:
        with _byte_lines(path) as file:
            start, separator, first, at = _header(path, file)
            (p, x, y, w, h, mark, e), most = at, max(at)
            for line, row in _rows(file, start, separator, first, at, landmarks):
                if len(row) <= most:
                    lost.add(row[p] if len(row) > p else b"")
                    notes.drop(
                        "bad-number", split, path, line, f"the row has {len(row)} columns, not {most + 1} or more"
                    )
                    continue
                number = known.get(row[e])
                if number is None:
                    number = _expression(row[e], split, path, line, notes)
                if number in aside:
                    aside[number] += 1
                    if number != NO_FACE:
                        lost.add(row[p])
                    continue
                try:
                    xywh.extend(
                        (int(row[x]), int(row[y]), int(row[w]), int(row[h]))
                    )  # nearly always, in a third of float's time
                except (ValueError, OverflowError):
                    del xywh[4 * len(names) :]  # a whole number that no float holds comes after others
                    try:
                        xywh.extend([number_of(row[at].decode("utf-8", "surrogateescape")) for at in (x, y, w, h)])
                    except ValueError:
                        xywh.extend((nan, nan, nan, nan))
                        odd[len(names)] = b",".join((row[x], row[y], row[w], row[h]))[:80].decode(errors="replace")
                names.append(row[p])
                ids.append(number)
                lines.append(line)
                if landmarks:
                    points.append(row[mark].decode(errors="replace") if mark >= 0 else "")
    except (OSError, csv.Error) as error:
        raise DataError(f"cannot be read as CSV: {error}", where=path) from None
    # All names at once; a name that is not UTF-8 keeps its bytes, as the file system has them.
    names = [name.strip() for name in names]
    text = b"\n".join(names).decode("utf-8", "surrogateescape").replace("\\", "/").split("\n") if names else []
    if len(text) != len(names):  # one has a line end in it
        text = [name.decode("utf-8", "surrogateescape").replace("\\", "/") for name in names]
    decoded = {_decoded(name) for name in lost}
    return text, np.array(ids, np.int16), np.array(xywh).reshape(-1, 4), np.array(lines, np.int32), points, odd, decoded


def _decoded(name: bytes) -> str:
    return name.strip().decode("utf-8", "surrogateescape").replace("\\", "/")


@contextmanager
def _byte_lines(path: Path) -> Iterator[Iterable[bytes]]:
    """The list's lines as bytes of UTF-8, whatever it was saved as."""
    with open_text(path) as text:
        if isinstance(text, io.TextIOWrapper) and text.encoding == "utf-8":
            buffer: Any = text.buffer
            head = buffer.peek(4096)[:4096]
            if b"\n" in head or b"\r" not in head:  # as nearly always: no need to decode half a gigabyte
                yield buffer
                return
        yield (line.encode("utf-8", "surrogateescape") for line in text)


def _header(path: Path, file: Iterable[bytes]) -> tuple[int, bytes, list[bytes] | None, list[int]]:
    """The first row's line, the separator, that row's fields when it is not a header, and where the columns are:
    path, x, y, width, height, landmarks (or -1), expression.
    """
    wanted = [name.lower() for name in (*COLUMNS[:6], "expression")]

    def fits(fields: list[str]) -> bool:
        lower = [field.lower() for field in fields]
        return (
            wanted[0] in lower or "expression" in lower or (len(fields) >= 7 and not set(fields[0]) & set(SEPARATORS))
        )

    number, text = first_line(line.decode("utf-8", "surrogateescape") for line in file)
    if not text:
        raise DataError("is empty", where=path)
    separator = separator_of(text, fits)
    head = next(csv.reader([text], delimiter=separator))
    lower = [field.strip().lower() for field in head]
    if wanted[0] not in lower and "expression" not in lower:
        if len(head) < 7:
            raise DataError(
                f"has no column {', '.join(NEEDED)}", where=path, line=number + 1, mend="give AffectNet's own list"
            )
        return (
            number + 1,
            separator.encode(),
            [field.strip().encode("utf-8", "surrogateescape") for field in head],
            [0, 1, 2, 3, 4, 5, 6],
        )
    missing = [name for name in NEEDED if name.lower() not in lower]
    if missing:
        raise DataError(
            f"has no column {', '.join(missing)}", where=path, line=number + 1, mend=f"found: {', '.join(head)[:200]}"
        )
    return number + 1, separator.encode(), None, [lower.index(name) if name in lower else -1 for name in wanted]


def _rows(
    file: Iterable[bytes], line: int, separator: bytes, first: list[bytes] | None, at: list[int], landmarks: bool
) -> Iterator[tuple[int, list[bytes]]]:
    """(line, fields as bytes) of each row that is not blank. Only lines with quotes go through csv's automaton:
    a row is a kilobyte, nine tenths of it landmarks, which are not even copied when nobody asks for them.
    """
    if first:
        yield line, first
    short = separator == b"," and at == [0, 1, 2, 3, 4, 5, 6] and not landmarks
    for raw in file:
        line += 1
        if b'"' in raw:
            start, reader = (
                line,
                csv.reader(
                    (text.decode("utf-8", "surrogateescape") for text in itertools.chain([raw], file)),
                    delimiter=separator.decode(),
                ),
            )
            row = [field.encode("utf-8", "surrogateescape") for field in next(reader)]
            line += reader.line_num - 1
            yield start, [field.strip() for field in row]
        elif (
            short
            and raw.count(b",") == 8
            and len(head := raw[:200].split(b",", 5)) == 6
            and len(tail := raw[-100:].rsplit(b",", 3)) == 4
        ):
            yield line, head + tail[1:]
        elif raw.strip():
            yield line, [field.strip() for field in raw.split(separator)]


def _expression(text: bytes, split: str, path: Path, line: int, notes: Notes) -> int:
    """The class of a text that is not plainly 0..10, such as '3.0', as a spreadsheet saves it; -1 and a finding
    when it is none.
    """
    try:
        number = number_of(text.decode("utf-8", "surrogateescape"))
    except ValueError:
        number = nan
    if number in range(11):
        return int(number)
    if number != number:
        notes.drop(
            "bad-number", split, path, line, f"expression '{text[:40].decode(errors='replace')}' is not a number"
        )
    else:
        notes.drop("class-range", split, path, line, f"expression {number:g} is not in 0..10")
    return -1


def _points(text: str) -> np.ndarray | None:
    """'x;y;x;y;...' as (K, 2), None when there are none."""
    try:
        values = np.array([number_of(value) for value in text.split(";")])
    except ValueError:
        return None
    return values.reshape(-1, 2) if len(values) and len(values) % 2 == 0 and np.isfinite(values).all() else None
