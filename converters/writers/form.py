"""What a task of `emo convert` is: a `Form` says how rows become pictures, labels and files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..convert_settings import Settings
from ..emotions import EMOTIONS
from ..table.records import Notes, Table

# Pictures a chunk, and chunks from which another process pays. The chunks are fixed, so that the output does not depend
# on the number of processes.
LINKS, CUTS, SCENES = (2000, 4), (100, 4), (50, 2)


@dataclass(frozen=True)
class Job:
    """One conversion: `names` in id order; `ids` (8,) the class of each of EMOTIONS, -1 for none; `labels` as
    `names`, in paths.
    """

    settings: Settings
    names: tuple[str, ...]
    ids: np.ndarray
    labels: tuple[str, ...] | None
    work: Path

    @property
    def label_of(self) -> dict[int, str]:
        """Index of EMOTIONS -> what stands in paths."""
        said = self.labels or self.names
        return {
            emotion: said[class_id]
            for emotion, class_id in enumerate(self.ids.tolist())
            if class_id >= 0 and emotion < len(EMOTIONS)
        }


@dataclass(frozen=True)
class Stage:
    """`write(table, names)` makes the files of a chunk of `many` pictures; from `pays` chunks on another process
    pays.
    """

    write: Callable[[Table, list[str]], Any]
    many: int
    pays: int


class Sink(Protocol):
    """What gathers the chunks into one file, in their order."""

    def add(self, part: Any) -> None: ...

    def finish(self) -> None:
        """All has come."""

    def close(self) -> None: ...


@dataclass(frozen=True)
class Form:
    """One task.

    uses           settings that only some forms use, and this one does
    stage          how its pictures are written
    boxed          a picture stays whole, with a box a face; faces that fill theirs are composed to scenes
    label_in_path  every picture's path holds exactly one label
    rows           which rows it takes, where `boxed` does not say
    landmarks      what readers have of them is wanted
    sink           when it writes one file instead of pictures and lists
    check          UsageError for settings that do not go with it
    finish         what is written when all pictures are
    """

    uses: frozenset[str]
    stage: Callable[[Job], Stage]
    boxed: bool = False
    label_in_path: bool = False
    rows: Callable[[Table, Notes], Table] = lambda table, notes: table
    landmarks: bool = False
    sink: Callable[[Job, Table], Sink] | None = None
    check: Callable[[Settings], None] = lambda settings: None
    finish: Callable[[Path, tuple[str, ...]], None] = lambda work, names: None
