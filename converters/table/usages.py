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
    """Split that `text` names -> the split that it becomes, or 'none'; UsageError for what is no `A=B,...`."""
    out: dict[str, str] = {}
    for pair in text.split(",") if text else ():
        usage, _, split = (part.strip().lower() for part in pair.partition("="))
        if usage not in WORDS or split not in (*WORDS, "none"):
            raise UsageError(
                f"--usage takes USAGE=SPLIT, not '{pair}'",
                mend=f"both of {', '.join(SPLITS)} or FER2013's {', '.join(USAGES)}; the second may be none",
            )
        to = WORDS.get(split, split)
        if out.setdefault(WORDS[usage], to) != to:
            raise UsageError(f"--usage makes both {out[WORDS[usage]]} and {to} of {WORDS[usage]}", mend="give it once")
    return out


def used_as(tables: list[Table], usage: str | None, notes: Notes) -> list[Table]:
    """The tables with their splits as `usage` says; rows of one that becomes none are left out and counted, a split
    that no table has is noted.
    """
    to = usage_map(usage)
    for split in to:
        if not any((table.split == SPLITS.index(split)).any() for table in tables):
            notes.note("no-effect", "warning", "", "", 0, f"--usage: there is no picture for {split}")
    return [_used_as(table, to, notes) for table in tables] if to else tables


def _used_as(table: Table, to: dict[str, str], notes: Notes) -> Table:
    becomes = [to.get(split, split) for split in SPLITS]
    new = np.array([-1 if split == "none" else SPLITS.index(split) for split in becomes], np.int8)[table.split]
    for number, (split, other) in enumerate(zip(SPLITS, becomes)):
        if other == "none":
            notes.count(f"{split}, which --usage leaves out", split, int((table.split == number).sum()))
    table = replace(table, split=np.maximum(new, 0))
    return table if (new >= 0).all() else table.take(np.flatnonzero(new >= 0))
