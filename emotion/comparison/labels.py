"""Specs of models and systems -> the names under which their results stand, on paper and on disk."""

from __future__ import annotations

import os
from collections.abc import Sequence

from ..systems.open import SYSTEMS


def labels_of(specs: Sequence[str]) -> list[str]:
    """Paths without their folders, unless only these tell them apart; what is named twice is numbered.

    >>> labels_of(["runs/a", "yolo:runs/b", "x/c", "y/c", "d", "d"])
    ['a', 'yolo:b', 'x/c', 'y/c', 'd (1)', 'd (2)']
    """
    short = [_short(spec) for spec in specs]
    found = [name if short.count(name) == specs.count(spec) else spec for name, spec in zip(short, list(specs))]
    return [
        name if found.count(name) == 1 else f"{name} ({found[: index + 1].count(name)})"
        for index, name in enumerate(found)
    ]


def plain(name: str) -> str:
    """As a file may be called everywhere."""
    return "".join(char if char.isalnum() or char in "-_." else "-" for char in name).strip("-.") or "model"


def _short(spec: str) -> str:
    kind, colon, rest = spec.partition(":")
    if kind not in (*SYSTEMS, "file"):
        kind, colon, rest = "", "", spec
    return kind + colon + "+".join(os.path.basename(part.rstrip("/")) for part in rest.split("+"))
