"""The files every Darknet shares: `.data`, names, image lists, and the label file beside each image.

`read_data` gives a `DataFile`; relative paths in it are taken from the `.data` file's own folder when
they exist there, else from the working directory (which is what Darknet does).
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..errors import DataError


@dataclass(frozen=True)
class DataFile:
    """A `.data` file, its paths resolved. `options` keeps every key as it was written."""

    path: Path
    classes: int
    names: tuple[str, ...]
    train: Path | None
    valid: Path | None
    backup: str | None
    top: int
    labels: tuple[str, ...] | None  # a classifier's labels; None for a detector
    options: dict[str, str] = field(default_factory=dict)

    @property
    def is_classifier(self) -> bool:
        return self.labels is not None

    def list_of(self, split: str) -> Path:
        """The list file of `split` (train, valid, test); DataError when the .data has none."""
        if split in ("train", "valid"):
            path = getattr(self, split)
        else:
            path = resolve(self.options[split], self.path.parent) if split in self.options else None
        if path is None:
            raise DataError(f"no '{split}' list is named", where=self.path, mend=f"add a line {split}=FILE")
        if not path.is_file():
            raise DataError(f"the {split} list is missing: {path}", where=self.path, mend="run emo convert again")
        return path


def resolve(value: str, folder: Path) -> Path:
    beside = folder / value
    return beside if os.path.exists(beside) or not os.path.exists(value) else Path(value)


def numbered_lines(path: Path, errors: str = "strict") -> list[tuple[int, str]]:
    """(line number, text) of the non-blank lines, CRLF or not; `errors="surrogateescape"` keeps names that are no UTF-8.

    DataError when the file is missing or no text.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig", errors=errors)
    except FileNotFoundError:
        raise DataError("no such file", where=path) from None
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", where=path) from None
    except UnicodeDecodeError as error:
        raise DataError(f"cannot be read as text: {error}", where=path) from None
    if "\0" in text:
        raise DataError("holds NUL bytes: is no text file", where=path)
    return [(number, line.strip()) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]


def read_lines(path: Path) -> list[str]:
    """The non-blank lines of a text file, as `numbered_lines`."""
    return [line for _, line in numbered_lines(path)]


def read_data(path: str | Path) -> DataFile:
    """Read and resolve a `.data` file; DataError with file and line for anything that does not fit."""
    path = Path(path)
    options = {}
    for number, line in numbered_lines(path, errors="surrogateescape"):
        if line[0] in "#;":
            continue
        key, equals, value = line.partition("=")
        if not equals:
            raise DataError(f"expected key = value, found '{line[:60]}'", where=path, line=number)
        options[key.strip()] = value.strip()
    folder = path.parent

    def listed(key):
        return tuple(read_lines(resolve(options[key], folder))) if key in options else None

    labels = listed("labels")
    names = listed("names") or labels
    if names is None:
        raise DataError("names no names file", where=path, mend="add a line names=emo.names")
    whole = {"classes": len(names), "top": 1}
    for key in whole.keys() & options.keys():
        try:
            whole[key] = int(options[key])
        except ValueError:
            raise DataError(f"{key} = {options[key]} is no whole number", where=path) from None
    classes = whole["classes"]
    if classes != len(names):
        raise DataError(f"classes = {classes}, but the names file has {len(names)} names", where=path)
    lists = {key: resolve(options[key], folder) if key in options else None for key in ("train", "valid")}
    return DataFile(
        path=path, classes=classes, names=names, **lists, backup=options.get("backup"),
        top=whole["top"], labels=labels, options=options,
    )  # fmt: skip


def read_list(path: str | Path) -> list[Path]:
    """The images of a list file, relative ones resolved as in `read_data`; DataError when empty."""
    path = Path(path)
    lines = numbered_lines(path, errors="surrogateescape")
    if not lines:
        raise DataError("the list is empty", where=path)
    folder = path.parent
    return [Path(line) if line.startswith("/") else resolve(line, folder) for _, line in lines]


def label_path(image: str | Path) -> Path:
    """The sibling `.txt`: the only label layout that every Darknet flavour reads."""
    return Path(image).with_suffix(".txt")


def read_label(path: str | Path, classes: int) -> np.ndarray:
    """A label file as (N, 5) float64: class id, then cxcywh_rel. DataError with line for a bad one."""
    path = Path(path)
    try:
        text = path.read_text()
    except FileNotFoundError:
        raise DataError("the label file is missing", where=path, mend="an image without faces needs an empty one") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot be read as text: {error}", where=path) from None
    rows = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = [float(value) for value in line.split()]
        except ValueError:
            raise DataError(f"'{line[:60]}' is not five numbers", where=path, line=number) from None
        if len(row) != 5:
            raise DataError(f"expected 5 columns, found {len(row)}", where=path, line=number)
        if row[0] not in range(classes):  # nan and inf are not, either
            raise DataError(f"class {row[0]:g} is not in 0..{classes - 1}", where=path, line=number)
        if not all(0 <= value <= 1 for value in row[1:]):
            raise DataError(f"coordinates must be relative, in 0..1: '{line[:60]}'", where=path, line=number)
        rows.append(row)
    return np.array(rows, float).reshape(-1, 5)


def class_of_path(path: str | Path, labels: tuple[str, ...]) -> int:
    """The one label found in the whole path, as Darknet searches it; DataError when none or several."""
    found = [index for index, label in enumerate(labels) if label in str(path)]
    if len(found) != 1:
        what = " and ".join(labels[index] for index in found) or "no label"
        raise DataError(f"the path matches {what}; a classifier needs exactly one", where=path, mend="run emo convert --task classifier")
    return found[0]


def write_data(path: str | Path, **options: object) -> None:
    """Write a `.data` file, one `key = value` a line, None left out."""
    Path(path).write_text(
        "".join(f"{key} = {value}\n" for key, value in options.items() if value is not None), encoding="utf-8", errors="surrogateescape"
    )
