"""One module per dataset: `read(root, notes, ...) -> Table`. KINDS names them; they are imported on use."""

from __future__ import annotations

import importlib
from pathlib import Path

from ..errors import UsageError, nearest
from ..table.records import Notes, Table

# kind -> (module, the options that its read takes, the SOURCE when none is given)
KINDS = {
    "affectnet": ("affectnet", ("no_face", "landmarks"), "affectnet"),
    "fer2013": ("fer2013", ("classes",), "fer2013"),
    "ferplus": ("ferplus", ("labels",), "fer2013"),
    "folder": ("folder", (), "faces"),
    "rafdb": ("rafdb", ("task", "landmarks"), "rafdb"),
    "expw": ("expw", (), "expw"),
    "yolo": ("yolo", ("classes",), "data"),
    "coco": ("coco", ("classes",), "coco"),
    "hdf5": ("arrays", ("classes", "form"), "hdf5"),
    "npz": ("arrays", ("classes", "form"), "npz"),
    "pickle": ("arrays", ("classes", "form"), "pickle"),
}


def default(kind: str) -> str:
    """Where the dataset of `kind` is looked for when no SOURCE is given; UsageError for an unknown kind."""
    if kind not in KINDS:
        raise UsageError(f"no dataset kind '{kind}'", mend=nearest(str(kind), KINDS))
    return KINDS[kind][2]


def read(kind: str, root: str | Path | None, notes: Notes, **options) -> Table:
    """Read the dataset of `kind` at `root`; options that the kind does not have are not passed on."""
    source = default(kind)
    module, takes, _ = KINDS[kind]
    reader = importlib.import_module(f".{module}", __name__)
    return reader.read(
        Path(root or source),
        notes,
        **{name: value for name, value in (options | {"form": kind}).items() if name in takes},
    )
