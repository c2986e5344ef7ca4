"""Any form of a set that a training takes -> its `.data` file.

    data = open_set("fer.h5", task="classifier")

A `.data` file, a data.yaml, or a folder with one is taken as it is. Other forms (HDF5, npz, pickle, FER2013's csv, a
folder of <split>/<class>/ pictures) are converted once, into data/.sets, and found there the next time.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ..errors import DataError, UsageError
from .dataset import find_data
from .files import DataFile, read_data
from .yaml_form import SUFFIXES

KEPT = Path("data") / ".sets"
FILES = {".h5": "hdf5", ".hdf5": "hdf5", ".npz": "npz", ".pkl": "pickle", ".pickle": "pickle", ".csv": "fer2013"}
SPLIT_FOLDERS = {"train", "training", "valid", "validation", "val", "test"}


def open_set(
    where: str | Path | None = None, task: str | None = None, say: Callable[[str], None] = lambda text: None
) -> DataFile:
    """The set at `where`; without it the one under ./data, where there are several the only one that fits `task`.

    task  classifier or detector: what it is wanted for
    say   called with one line before a conversion

    UsageError or DataError when there is none, or more than one.
    """
    if where is None:
        return read_data(find_data(task=task))
    path = Path(where)
    if path.is_file() and path.suffix.lower() in FILES:
        return _converted(FILES[path.suffix.lower()], path, task, say)
    if path.is_dir() and not _has_data(path):
        kind = kind_of(path)
        if kind is not None:
            return _converted(kind, path, task, say)
    return read_data(find_data(path, task))


def _has_data(folder: Path) -> bool:
    return any(
        next(folder.glob(f"{below}*{suffix}"), None) is not None
        for below in ("", "*/")
        for suffix in (".data", *SUFFIXES)
    )


def kind_of(folder: Path) -> str | None:
    """The kind of dataset that a folder holds, as `emo convert` names it; None when it is none of those that need
    no telling.
    """
    names = {path.name.lower() for path in folder.iterdir()}
    if names & {"train.h5", "val.h5", "test.h5"}:
        return "hdf5"
    for suffix, kind in ((".npz", "npz"), (".pkl", "pickle")):
        if any(f"{split}{suffix}" in names for split in ("train", "val", "valid", "test")):
            return kind
    if "fer2013new.csv" in names:
        return "ferplus"
    if names & {"fer2013.csv", "icml_face_data.csv"}:
        return "fer2013"
    if names & SPLIT_FOLDERS and any(
        item.is_dir()
        for split in folder.iterdir()
        if split.name.lower() in SPLIT_FOLDERS and split.is_dir()
        for item in split.iterdir()
    ):
        return "folder"
    return None


def _converted(kind: str, source: Path, task: str | None, say) -> DataFile:
    """The classifier's set made of `source`, made now when it, or an older one, is not at hand."""
    from .. import readers
    from ..convert import Settings, convert

    if task == "detector":
        raise UsageError(
            f"holds faces without their pictures ({kind}); a detector learns from whole pictures",
            where=source,
            mend=f"emo convert {kind} --task detector composes scenes",
        )
    if kind not in readers.KINDS:
        raise DataError(f"a set of the form {kind} cannot be read", where=source)
    stamp = hashlib.sha256(
        "".join(f"{path}\0{path.stat().st_size}\0{path.stat().st_mtime_ns}\n" for path in _parts(kind, source)).encode()
    ).hexdigest()
    out = KEPT / f"{source.resolve().stem}-{stamp[:10]}"
    if not (out / "emo.data").is_file():
        say(f"converting {source} ({kind}) to a classifier's set in {out}")
        settings = Settings(task="classifier")
        if kind == "ferplus":
            settings = replace(settings, labels="fer2013")
        root = source.parent if kind == "hdf5" and source.is_file() else source
        convert([(kind, str(root))], out, settings)
    return read_data(out / "emo.data")


def _parts(kind: str, source: Path) -> list[Path]:
    """What the set is made of, for knowing it again: files; of a folder of pictures each folder, whose time changes
    with its content.
    """
    if source.is_file():
        return [source.resolve()]
    if kind == "folder":
        return [Path(root) for root, _, _ in sorted(os.walk(source.resolve()))]
    return sorted(path for path in source.resolve().iterdir() if path.is_file())
