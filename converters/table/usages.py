"""`--usage`: which split a dataset's own becomes, in FER2013's words or emo's.

usage_map("PublicTest=none,PrivateTest=valid"), usage_map("validation=PrivateTest")
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..errors import UsageError
from .records import SPLITS, Notes, Table

USAGES = {"Training": "train", "PublicTest": "valid", "PrivateTest": "test"}  # FER2013's
WORDS = {
    name.lower(): split
    for name, split in (
        *USAGES.items(),
        *zip(SPLITS, SPLITS),
        ("training", "train"),
        ("validation", "valid"),
        ("val", "valid"),
    )
}


def usage_map(text: str | None) -> dict[str, str]:
    """Split -> the split that it becomes, or 'none'; UsageError for what is no `A=B,...`."""
    out = {split: split for split in SPLITS}
    for pair in text.split(",") if text else ():
        usage, _, split = (part.strip().lower() for part in pair.partition("="))
        if usage not in WORDS or split not in (*WORDS, "none"):
            raise UsageError(
                f"--usage takes USAGE=SPLIT, not '{pair}'",
                mend=f"usages {', '.join(USAGES)}; splits {', '.join(SPLITS)}, none",
            )
        out[WORDS[usage]] = WORDS.get(split, split)
    return out


def used_as(table: Table, usage: str | None, notes: Notes) -> Table:
    """The table with its splits as `usage` says; rows of one that becomes none are left out and counted."""
    if not usage:
        return table
    to = usage_map(usage)
    new = np.array([SPLITS.index(to[split]) if to[split] != "none" else -1 for split in SPLITS], np.int8)[table.split]
    for number, split in enumerate(SPLITS):
        if to[split] == "none":
            notes.count(f"{split}, which --usage leaves out", split, int((table.split == number).sum()))
    table = replace(table, split=np.maximum(new, 0))
    return table if (new >= 0).all() else table.take(np.flatnonzero(new >= 0))
