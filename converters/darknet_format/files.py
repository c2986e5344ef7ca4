"""The files every Darknet shares: `.data` (or a data.yaml), names and image lists. Label files are in `labels`.

`read_data` gives a `DataFile`; relative paths in it are taken from the `.data` file's own folder when
they exist there, else from the working directory (which is what Darknet does).
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import DataError
from ..image_formats import pictures_in
from ..text_files import numbered_lines, read_lines, slashes
from . import yaml_form

_LISTS = ("train", "valid", "test")


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
        """The list file of `split` (train, valid, test), or several places in lines, as a data.yaml may name them; what
        `read_list` takes. DataError when the .data has none, or one is not there.
        """
        if split in ("train", "valid"):
            path = getattr(self, split)
        elif self.path.suffix.lower() in yaml_form.SUFFIXES:
            path = Path(self.options[split]) if split in self.options else None
        else:
            path = resolve(self.options[split], self.path.parent) if split in self.options else None
        if path is None:
            raise DataError(f"no '{split}' list is named", where=self.path, mend=f"add a line {split}=FILE")
        ours = self.path.suffix.lower() not in yaml_form.SUFFIXES
        for place in map(Path, str(path).split("\n")):
            if place.is_dir() and (ours or place.resolve().parent == place.resolve()):
                mend = "a list is a file, one picture a line" if ours else "name the pictures' folder"
                raise DataError(f"{split} names the folder {place}", where=self.path, mend=mend)
            if not place.exists():
                what, mend = ("list", "run emo convert again") if ours else ("folder or list", "is the set whole?")
                raise DataError(f"the {split} {what} is missing: {place}", where=self.path, mend=mend)
        return path


def resolve(value: str, folder: str | Path) -> Path:
    """Where a path of a .data file, list or table in `folder` leads, as people move sets about.

    Beside the file; else from here; else, since CVAT and others write paths as seen from outside the folder
    (`data/train.txt`), beside the folder or without that first name; with slashes where Windows' are not found.
    """
    for name in (value,) if "\\" not in value else (value, slashes(value)):
        beside, inner = os.path.join(folder, name), name.removeprefix("./").partition("/")[2]
        if os.path.exists(beside):
            return Path(beside)
        for place in (
            name,
            os.path.join(os.path.dirname(os.path.abspath(folder)), name),
            os.path.join(folder, inner) if inner else beside,
        ):
            if os.path.exists(place):
                return Path(place)
    return Path(folder, value)


def read_data(path: str | Path) -> DataFile:
    """Read and resolve a `.data` file; DataError with file and line for anything that does not fit."""
    path = Path(path)
    if path.suffix.lower() in yaml_form.SUFFIXES:
        names, splits = yaml_form.read(path)
        lists = {split: Path(splits[split]) if split in splits else None for split in ("train", "valid")}
        return DataFile(
            path=path, classes=len(names), names=names, **lists, backup=None, top=1, labels=None, options=splits
        )
    options: dict[str, str] = {}
    for number, line in numbered_lines(path, names=True):
        if line[0] in "#;":
            continue
        key, equals, value = line.partition("=")
        if not equals:
            raise DataError(f"expected key = value, found '{line[:60]}'", where=path, line=number)
        key, value = key.strip(), value.strip()
        if not value and key in (*_LISTS, "names", "labels", "votes"):
            raise DataError(f"{key} has no value", where=path, line=number, mend="name a file, or delete the line")
        if options.setdefault(key, value) != value:
            raise DataError(
                f"{key} is set already, to {options[key][:60]}",
                where=path,
                line=number,
                mend="delete one of them; Darknet takes the first",
            )
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
            if whole[key] < 1:
                raise ValueError
        except ValueError:
            raise DataError(f"{key} = {options[key][:40]} is not a whole number from 1 on", where=path) from None
    classes = whole["classes"]
    if classes != len(names):
        raise DataError(f"classes = {classes}, but the names file has {len(names)} names", where=path)
    lists = {key: resolve(options[key], folder) if key in options else None for key in ("train", "valid")}
    return DataFile(
        path=path,
        classes=classes,
        names=names,
        **lists,
        backup=options.get("backup"),
        top=whole["top"],
        labels=labels,
        options=options,
    )


def read_list(path: str | Path) -> list[Path]:
    """The images of a list file, relative ones resolved as in `read_data`, or of a folder; DataError when there are
    none.
    """
    return [image for _, image in numbered_list(path)]


def numbered_list(path: str | Path) -> list[tuple[int, Path]]:
    """(line number, image) of each line of a list file; the pictures of a folder, which a data.yaml may name
    instead, or of several of them (in lines), counted through.
    """
    path = Path(path)
    if "\n" in str(path):
        images = [image for place in str(path).split("\n") for _, image in numbered_list(place)]
        return list(enumerate(images, start=1))
    if path.is_dir():
        found = list(enumerate(map(Path, pictures_in(path).paths), start=1))
        if not found:
            raise DataError("the folder has no pictures", where=path)
        return found
    lines = numbered_lines(path, names=True)
    if not lines:
        raise DataError("the list is empty", where=path)
    return [(number, Path(line) if line.startswith("/") else resolve(line, path.parent)) for number, line in lines]


def class_of_path(path: str | Path, labels: tuple[str, ...] | None) -> int:
    """The one label found in the whole path, as Darknet searches it; DataError when none or several."""
    labels = labels or ()
    found = [index for index, label in enumerate(labels) if label in str(path)]
    if len(found) != 1:
        what = " and ".join(labels[index] for index in found) or "no label"
        raise DataError(
            f"the path matches {what}; a classifier needs exactly one",
            where=path,
            mend="run emo convert --task classifier",
        )
    return found[0]


def write_data(path: str | Path, **options: object) -> None:
    """Write a `.data` file, one `key = value` a line, None left out."""
    Path(path).write_text(
        "".join(f"{key} = {value}\n" for key, value in options.items() if value is not None),
        encoding="utf-8",
        errors="surrogateescape",
    )
