"""What can be told to `convert`: one frozen set of settings, for the command, the library and the report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .errors import UsageError


@dataclass(frozen=True)
class Settings:
    """What shapes the output; written into its report."""

    task: str = "detector"
    classes: int = 7
    link: str = "hard"  # hard (where the file system cannot: symlink), symlink or copy
    seed: int = 0
    valid: float = 0.0  # share of the training groups (people, sources) to set aside for validation
    verify: bool = False  # decode every picture that is linked
    no_face: str = "drop"  # AffectNet's class 10: drop, or keep as pictures without faces
    usage: str | None = None  # split or FER2013's Usage -> the split that it becomes
    labels: str = "majority"  # FER+: majority, votes or fer2013
    size: tuple[int, int] | None = None  # (width, height) of a scene or crop; None: the form's own
    scenes: int | None = None  # composed scenes in all; None: one for every few faces
    crowd: int | None = None  # most faces of a scene, in rows and columns; None: from one to ten, most of them anywhere
    backgrounds: str | None = None  # a folder of photographs without faces
    enlarge: float = 1.0  # factor about the box, clipped to the picture
    find: str | None = None  # name of the face finder that gives pictures without boxes theirs
    align: bool = False  # crops: turn faces until the eyes are level, where landmarks say where they are
    grey: bool | None = None  # crops: grey or colour; None: colour, but grey for csv and arrays

    def __post_init__(self) -> None:
        for name, low, high in (("valid", 0, 1), ("enlarge", 0, float("inf"))):
            value: Any = getattr(self, name)
            if not isinstance(value, (int, float)) or not low <= value <= high:
                raise UsageError(f"{name} = {value!r:.60} is not a number from {low}" + f" to {high}" * (high == 1))
