"""A whole Darknet set in memory: the pictures of every list, their faces, and what the manifest knows.

A `.data` file, or a folder that holds one, comes in (`load`); `write` gives a set back as lists over the
same pictures, which stay where they are. Detector and classifier sets alike.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from .. import output_folder
from ..errors import DataError, UsageError
from ..table.records import SPLITS
from ..text_files import table_rows
from . import yaml_form
from .files import DataFile, class_of_path, numbered_list, read_data, resolve, write_data
from .labels import label_path, read_label
from .votes import VOTES, write_votes

MANIFEST = "manifest.csv"
GROUP = "group"
_WRITTEN = ("classes", *SPLITS, "labels", "names", "backup")  # the keys that `write_lists` sets itself


@dataclass(frozen=True)
class DarknetSet:
    """Splits in order, each with the pictures of its list (absolute paths, repeats kept) and their lines there."""

    data: DataFile
    images: dict[str, list[str]]
    lines: dict[str, list[int]]
    manifest: dict[str, list[dict]] = field(default_factory=dict)  # absolute path -> its rows, one a face

    @property
    def names(self) -> tuple[str, ...]:
        return self.data.names

    @property
    def rows(self) -> list[dict]:
        """All rows of the manifest."""
        return [row for rows in self.manifest.values() for row in rows]

    def groups(self, image: str) -> list[str]:
        """The people or sources that the manifest gives for a picture, one for most, several for a composed scene."""
        return list(dict.fromkeys(row[GROUP] for row in self.manifest.get(image, ()) if row.get(GROUP)))

    def faces(self, image: str) -> np.ndarray:
        """(N, 5) class id and cxcywh_rel; a classifier's picture is one face that fills it. Raises DataError."""
        if self.data.is_classifier:
            return np.array([[class_of_path(image, self.data.labels), 0.5, 0.5, 1, 1]], float)
        return read_label(label_path(image), self.data.classes)


def find_data(where: str | Path | None = None, task: str | None = None) -> Path:
    """The .data file, or data.yaml, at `where` (itself, or the one in that folder or a folder in it; default ./data).

    task: classifier or detector; of several files the only one that fits it is taken. UsageError when there is none or
    more than one, with what was found.
    """
    root = Path(where or "data")
    if root.is_file():
        return root
    if not root.is_dir():
        raise DataError(
            "no such file or folder", where=root, mend="give a .data file, or the folder that emo convert wrote"
        )
    found = sorted(root.glob("*.data")) or sorted(root.glob("*/*.data")) or _yamls(root, "") or _yamls(root, "*/")
    if len(found) > 1 and task is not None:
        found = [path for path in found if _fits(path, task)] or found
    if len(found) != 1:
        listed = ", ".join(map(str, found[:8])) or "none"
        mend = "give the .data file itself" if found else "emo convert makes one of a dataset"
        raise UsageError(f"expected one .data file, found {listed}", where=root, mend=mend)
    return found[0]


def _fits(path: Path, task: str) -> bool:
    try:
        return read_data(path).is_classifier == (task == "classifier")
    except DataError:
        return False


def _yamls(root: Path, below: str) -> list[Path]:
    found = (path for suffix in yaml_form.SUFFIXES for path in root.glob(f"{below}*{suffix}"))
    return sorted(path for path in found if yaml_form.is_set(path))


def load(where: str | Path | None = None) -> DarknetSet:
    """Read the lists and the manifest of the set at `where`; no picture or label is opened.

    DataError when the .data or a list cannot be read. An empty list is an empty split.
    """
    data = read_data(find_data(where))
    images, lines = {}, {}
    for split in SPLITS:
        if split in data.options:
            images[split], lines[split] = _read_list(data.list_of(split))
    if not images:
        raise DataError("names no list", where=data.path, mend="add a line train=FILE")
    rows = _read_manifest(data.path.parent / MANIFEST)
    for image, found in (rows := as_listed(rows, [image for some in images.values() for image in some])).items():
        for row in found:
            row["image"] = image
    return DarknetSet(data, images, lines, rows)


def as_listed(rows: dict[str, list[dict]], images: Sequence[str]) -> dict[str, list[dict]]:
    """A manifest's rows by the names that the lists give the pictures, where a link has led to the set by another."""
    if not rows or not images or any(image in rows for image in images):
        return rows
    folders: dict[str, str] = {}

    def place(path: str) -> str:
        folder, name = os.path.split(path)
        if folder not in folders:
            folders[folder] = os.path.realpath(folder)
        return os.path.join(folders[folder], name)

    listed = {place(image): image for image in images}
    return {listed.get(place(image), image): found for image, found in rows.items()}


def _read_list(path: Path) -> tuple[list[str], list[int]]:
    """Absolute picture paths and their line numbers."""
    try:
        found = numbered_list(path)
    except DataError as error:
        if error.what != "the list is empty":
            raise
        found = []
    return [os.path.abspath(image) for _, image in found], [number for number, _ in found]


def _read_manifest(path: Path) -> dict[str, list[dict]]:
    if not path.is_file():
        return {}
    out: dict[str, list[dict]] = {}
    folder = os.path.abspath(path.parent)
    for _, row in table_rows(path, ("image", GROUP), mend="delete it, or convert again"):
        row["image"] = os.path.normpath(os.path.join(folder, row["image"]))
        out.setdefault(row["image"], []).append(row)
    return out


def write(
    out: str | Path,
    images: dict[str, list[str]],
    like: DataFile,
    manifest: Iterable[dict],
    report: dict,
    sources: Iterable[Path] = (),
    force: bool = False,
    votes: np.ndarray | None = None,
) -> Path:
    """Write lists over existing pictures as a new set in the folder `out`; gives its .data file.

    Names, labels and the other options are those of `like`; `manifest` rows are written with absolute
    paths and the split that their picture now has; `report` goes to report.json; `votes` (N, K) of the training
    pictures take the place of those of `like`. UsageError when `out` is in use or lies around a source.
    """
    out = Path(out)
    output_folder.check(out, force, [Path(source) for source in sources])
    final = os.path.abspath(out)
    with output_folder.building(out) as work:
        options = {key: value for key, value in like.options.items() if key not in _WRITTEN}
        if votes is not None:
            write_votes(work / VOTES, like.names, images["train"], votes)
            options["votes"] = f"{final}/{VOTES}"
        elif "votes" in options:  # stays where it is, as the pictures do
            options["votes"] = os.path.abspath(resolve(options["votes"], like.path.parent))
        write_lists(work, final, images, like.names, like.labels, **options)
        _write_manifest(work / MANIFEST, images, manifest)
        (work / output_folder.REPORT).write_text(json.dumps(report, indent=2) + "\n")
    return out / "emo.data"


def write_lists(
    work: Path,
    final: str,
    images: dict[str, list[str]],
    names: tuple[str, ...],
    labels: tuple[str, ...] | None = None,
    **options,
) -> None:
    """Lists, names, labels, the backup folder, emo.data and, for a detector, data.yaml into `work`, with the paths they
    have once it is `final`.

    All paths are absolute, so that Darknet finds everything from any folder.
    """
    files = {f"{split}.txt": paths for split, paths in images.items()} | {"emo.names": names}
    keys = {split: f"{final}/{split}.txt" for split in images}
    if labels is not None:
        files["labels.txt"], keys["labels"] = labels, f"{final}/labels.txt"
    for name, lines in files.items():
        (work / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", errors="surrogateescape")
    (work / "backup").mkdir()
    write_data(
        work / "emo.data", classes=len(names), **keys, names=f"{final}/emo.names", backup=f"{final}/backup", **options
    )
    if labels is None:
        yaml_form.write(work / "data.yaml", final, names, list(images))


def _write_manifest(path, images, rows):
    split_of = {image: split for split, paths in images.items() for image in paths}
    kept = [row | {"split": split_of[row["image"]]} for row in rows if row["image"] in split_of]
    if kept:
        with open(path, "w", newline="", encoding="utf-8", errors="surrogateescape") as file:
            columns = list(dict.fromkeys(key for row in kept for key in row))
            writer = csv.DictWriter(file, columns, lineterminator="\n", restval="")
            writer.writeheader()
            writer.writerows(kept)
