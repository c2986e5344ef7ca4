"""Labels of pictures and videos that are not a dataset: a `labels.csv` beside them.

    media,frame,x1,y1,x2,y2,emotion
    group.jpg,0,107.5,75.0,226.2,210.0,Neutral

A row a face, in pixels; `media` is the file's name, `frame` counts from 0 (0 for a picture). A frame that has no row is
not judged; one without a face has a row whose box and emotion are empty. Other files of that name, with other columns,
are none of ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from converters.emotions import EMOTIONS
from converters.errors import DataError
from converters.text_files import number, table_rows

from .tally import Truth

FILE, COLUMNS = "labels.csv", ("media", "frame", "x1", "y1", "x2", "y2", "emotion")

Faces = list[tuple[tuple[float, ...], str]]


@dataclass(frozen=True)
class MediaLabels:
    """(folder, medium, frame) -> the faces there."""

    faces: dict[tuple[Path, str, int], Faces]
    files: tuple[Path, ...]

    @property
    def emotions(self) -> list[str]:
        """Those that occur, in emo's order."""
        found = {emotion for faces in self.faces.values() for _, emotion in faces}
        return sorted(found, key=lambda name: (EMOTIONS.index(name) if name in EMOTIONS else len(EMOTIONS), name))

    def truth(self, path: Path, frame: int, names: Sequence[str]) -> Truth | None:
        """The labelled faces of a frame, ids in the order of `names`; None where it is not labelled."""
        faces = self.faces.get((path.parent.absolute(), path.name, frame))
        if faces is None:
            return None
        xyxy = np.array([box for box, _ in faces], float).reshape(-1, 4)
        return Truth(xyxy, np.array([names.index(emotion) for _, emotion in faces], int))


def read_media_labels(media: Sequence[Path]) -> MediaLabels:
    """The labels of files, and of the files in folders, that are to be looked at; DataError for a row that cannot
    be read.
    """
    folders = dict.fromkeys(path if path.is_dir() else path.parent for path in media)
    wanted = {path.absolute() for path in media}
    faces: dict[tuple[Path, str, int], Faces] = {}
    files = []
    for folder in folders:
        if not (folder / FILE).is_file():
            continue
        here = _read(folder / FILE)
        mine = {
            (folder.absolute(), name, frame): found
            for (name, frame), found in here.items()
            if folder in media or (folder / name).absolute() in wanted
        }
        if mine:
            faces |= mine
            files.append(folder / FILE)
    return MediaLabels(faces, tuple(files))


def _read(path: Path) -> dict[tuple[str, int], Faces]:
    out: dict[tuple[str, int], Faces] = {}
    try:
        rows = list(table_rows(path, COLUMNS))
    except DataError:  # another program's file of that name
        return {}
    for line, row in rows:
        try:
            faces = out.setdefault((row["media"], int(row["frame"])), [])
            if row["emotion"]:
                x1, y1, x2, y2 = box = tuple(number(row[key]) for key in COLUMNS[2:6])
                if not (np.isfinite(box).all() and x1 < x2 and y1 < y2):
                    raise ValueError
                faces.append((box, row["emotion"]))
        except (TypeError, ValueError):
            raise DataError(
                "expected a file's name, a frame's number, a box x1 < x2, y1 < y2 in pixels, an emotion",
                where=path,
                line=line,
            ) from None
    return out
