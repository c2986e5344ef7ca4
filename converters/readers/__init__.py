"""One module per dataset: `read(root, notes, ...) -> Table`. KINDS names them; they are imported on use."""

from __future__ import annotations

import importlib
from pathlib import Path

from ..errors import UsageError, nearest
from ..records import Notes, Table

# kind -> (module, the options of its read, the task's SOURCE when none is given)
KINDS = {
    "affectnet": ("affectnet", ("no_face", "landmarks"), "affectnet"),
    "fer2013": ("fer2013", ("usage",), "fer2013"),
}


def read(kind: str, root: str | Path | None, notes: Notes, **options) -> Table:
    """Read the dataset of `kind` at `root`; options that the kind does not have are not passed on."""
    if kind not in KINDS:
        raise UsageError(f"no dataset kind '{kind}'", mend=nearest(kind, KINDS))
    module, takes, source = KINDS[kind]
    reader = importlib.import_module(f".{module}", __name__)
    return reader.read(Path(root or source), notes, **{name: value for name, value in options.items() if name in takes})
