"""A detector's label files, `class cx cy w h` a line: the one parser, and where a picture's label lies.

    examine_label("train/1.txt", classes=7).faults     # everything that is wrong, and the rows that can be used
    read_label("train/1.txt", classes=7)               # the rows; DataError at the first fault that is an error

`emo dataset check`, every conversion and every engine go by the same rules. What only looks odd (a class written as
4.0, a byte order mark, the same line twice, a box that reaches over the edge) is read as meant and told as a warning;
what may mean something else is an error.
"""

from __future__ import annotations

import math
import os
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..errors import DataError
from ..text_files import number, read_text

ROUNDING = 1e-3  # how far outside 0..1 a value is for rounding's sake: half a pixel of a picture of 500
PIXELS = 2.0  # a value beyond it is none of 0..1 that went astray, but pixels
_ODD_BLANK = re.compile(r"[^\S \t\v\f]").search  # those that Python splits at and C does not
LINE = "%d %.6f %.6f %.6f %.6f\n"
DIGITS = 6  # behind the point, as labels are written: what is the same so far is the same label
TREES = ("labels", "Labels")  # in the place of which a picture's path has images, JPEGImages, imgs ...
MISSING = "it is neither beside the picture nor in a labels/ in place of images/"
EMPTY = "only a picture without faces may have an empty one"


class Fault(NamedTuple):
    """What is wrong with a line (0: the file): a finding's code, its severity, and the words for it."""

    code: str
    severity: str
    line: int
    message: str


class Label(NamedTuple):
    """A label file: its usable rows (N, 5), class id and cxcywh_rel, the line of each, and what is wrong."""

    rows: np.ndarray
    lines: list[int]
    faults: list[Fault]


def sibling(image: str | Path) -> Path:
    """The `.txt` beside the picture: the only layout that every Darknet reads, and where labels are written."""
    return Path(os.path.splitext(image)[0] + ".txt")


def label_path(image: str | Path) -> Path:
    """The picture's label file: beside it, else in `labels/` in the place of a folder of its path, the last one first
    (images/, JPEGImages/, imgs/ ...).

    The sibling where there is neither.
    """
    beside = sibling(image)
    if os.path.exists(beside):
        return beside
    parts = beside.parts
    for at in reversed(range(len(parts) - 1)):
        for tree in TREES:
            if os.path.exists(other := os.path.join(*parts[:at], tree, *parts[at + 1 :])):
                return Path(other)
    return beside


def examine_label(path: str | Path, classes: int) -> Label:
    """A label file with all its faults; DataError when it is missing or no text."""
    try:
        text = read_text(path)
    except DataError as error:
        if error.what != "no such file":
            raise
        raise DataError(f"the label file is missing: {MISSING}", where=path, mend=EMPTY) from None
    label = parse(text, classes)
    if len(label.rows) and os.path.getsize(path) != len(text) and not _plain(path):  # one byte a character is plain
        label.faults.insert(
            0,
            Fault(
                "loose-label",
                "warning",
                0,
                "begins with a byte order mark or is UTF-16, which Darknet binaries misread",
            ),
        )
    return label


def read_label(path: str | Path, classes: int) -> np.ndarray:
    """A label file as (N, 5) float64: class id, then cxcywh_rel.

    DataError, with its line, for one that cannot be used.
    """
    label = examine_label(path, classes)
    for fault in label.faults:
        if fault.severity == "error":
            raise DataError(fault.message, where=path, line=fault.line)
    return label.rows


def parse(text: str, classes: int) -> Label:
    """The rows and faults of a label file's text."""
    rows: list[tuple[float, ...]] = []
    lines: list[int] = []
    faults: list[Fault] = []
    seen: dict[tuple[float, ...], tuple[int, float]] = {}  # box -> its line and class
    for line, words in enumerate(text.split("\n"), start=1):
        if not words or words.isspace():
            continue
        row, fault = _row(words, line, classes)
        if fault:
            faults.append(fault)
        if row is None:
            continue
        place = tuple(round(value, DIGITS) for value in row[1:])
        if place in seen:
            first, other = seen[place]
            if other == row[0]:
                faults.append(Fault("duplicate-row", "warning", line, f"repeats line {first}"))
            else:
                faults.append(
                    Fault(
                        "conflicting-labels",
                        "error",
                        line,
                        f"the box of line {first} again, as class {row[0]:g} and not {other:g}",
                    )
                )
            continue
        seen[place] = line, row[0]
        rows.append(row)
        lines.append(line)
    return Label(np.array(rows, float).reshape(-1, 5), lines, faults)


def canonical(rows: np.ndarray) -> str:
    """Rows (N, 5) as every Darknet reads them."""
    return "".join(LINE % tuple(row) for row in rows.tolist())


def _row(words: str, line: int, classes: int) -> tuple[tuple[float, ...] | None, Fault | None]:
    """The row of a line, and what is to be said of it; None for one that cannot be used."""
    said, parts = f"'{words.strip()[:60]}'", words.split()

    def error(code: str, message: str):
        return None, Fault(code, "error", line, message)

    if len(parts) != 5:
        if "," in words:
            return error("bad-number", f"has commas: {said}; a label is five numbers with spaces between")
        return error("bad-number", f"has {len(parts)} columns instead of 5: {said}")
    try:
        kind = number(parts[0])
    except ValueError:
        kind = math.nan
    if not math.isfinite(kind) or kind != int(kind):
        return error("bad-number", f"the class id '{parts[0][:40]}' is not a whole number")
    try:
        x, y, w, h = map(number, parts[1:])
    except ValueError:
        return error("bad-number", f"is not five numbers: {said}")
    if not all(map(math.isfinite, (x, y, w, h))):
        return error("bad-number", f"holds a value that is not a finite number: {said}")
    if "," in words:
        return error("bad-number", f"has commas: {said}; a label has points")
    if not 0 <= kind < classes:
        return error("class-range", f"class {kind:g} is not in 0..{classes - 1}")
    if max(x, y, w, h) > PIXELS:
        return error("box-outside", f"looks like pixels: {said}; a label has shares of the picture, 0..1")
    if w <= 0 or h <= 0:
        return error("box-empty", f"the box has no extent: {said}")
    if not (-ROUNDING <= x <= 1 + ROUNDING and -ROUNDING <= y <= 1 + ROUNDING):  # as AlexeyAB's Darknet
        return error("box-outside", f"its centre must lie in 0..1: {said}")
    loose = (
        None
        if parts[0].isdigit()
        else Fault(
            "loose-label", "warning", line, f"class {kind:g} is written as {parts[0]}, which Darknet binaries misread"
        )
    )
    if odd := _ODD_BLANK(words):
        loose = Fault(
            "loose-label", "warning", line, f"has {odd[0]!a} for a blank, where Darknet binaries stop reading"
        )
    if not (0 <= x <= 1 and 0 <= y <= 1 and w <= 1 and h <= 1):
        (left, right), (top, bottom) = (
            (max(0.0, at - side / 2), min(1.0, at + side / 2)) for at, side in ((x, w), (y, h))
        )
        if not (left < right and top < bottom):
            return error("box-outside", f"the box lies outside the picture: {said}")
        if max(w, h) > 1 + ROUNDING:
            loose = loose or Fault("box-clipped", "warning", line, f"the box is larger than the picture: {said}")
        x, y, w, h = (left + right) / 2, (top + bottom) / 2, right - left, bottom - top
    if not (round(w, DIGITS) and round(h, DIGITS)):
        return error("box-empty", f"the box has no extent that can be written: {said}")
    return (kind, x, y, w, h), loose


def _plain(path: str | Path) -> bool:
    """Whether the file begins as Darknet's own reader needs it."""
    with open(path, "rb") as file:
        head = file.read(4)
    return head[:3] != b"\xef\xbb\xbf" and b"\0" not in head and head[:2] not in (b"\xff\xfe", b"\xfe\xff")
