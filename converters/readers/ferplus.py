"""FER+: FER2013's pictures (`fer2013.csv`) with ten taggers' votes (`fer2013new.csv`), row by row.

A folder with both files comes in, a Table with `votes` goes out. Votes of one tagger are outliers and
are dropped, and rows that are mostly unknown or no face are left out, as FER+'s authors do
(Barsoum et al. 2016; microsoft/FERPlus, src/ferplus.py, `_process_data`).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

import numpy as np

from ..emotions import EMOTIONS, FERPLUS_COLUMNS
from ..errors import DataError, nearest
from ..table.records import SPLITS, Notes, Table, one_face_each
from ..table.usages import USAGES
from ..text_files import table_rows
from . import fer2013

VOTES_FILE = "fer2013new.csv"
COLUMNS = (*FERPLUS_COLUMNS, "unknown", "nf")
LABELS = ("majority", "votes", "fer2013")
_ORDER = [list(FERPLUS_COLUMNS.values()).index(name) for name in EMOTIONS]  # FER+ column -> EMOTIONS


def read(root: Path, notes: Notes, *, labels: str = "majority") -> Table:
    """The rows whose votes name an emotion. labels='majority': the class with over half of the votes;
    'votes': also rows on which up to three classes share three quarters, whose class is the most voted for;
    'fer2013': every row that FER+ kept, with FER2013's own label, and FER+'s votes beside it where they name emotions.
    """
    root = Path(root)
    folder = root if root.is_dir() else root.parent
    pixels_path, votes_path = (
        fer2013.find(root),
        next((p for p in (folder / VOTES_FILE, folder / "fer2013" / VOTES_FILE) if p.is_file()), None),
    )
    if pixels_path is None or votes_path is None:
        missing = VOTES_FILE if pixels_path else fer2013.FILES[0]
        raise DataError(
            f"has no {missing}",
            where=folder,
            mend="FER+ needs Kaggle's fer2013.csv and fer2013new.csv of microsoft/FERPlus",
        )
    names, split, lines, faces, votes, emotions = [], [], [], [], [], []
    for pixels, row in zip_longest(fer2013.rows(pixels_path), _votes(votes_path)):
        if pixels is None or row is None:
            short, other = (pixels_path, votes_path) if pixels is None else (votes_path, pixels_path)
            raise DataError(
                f"has fewer rows than {other.name}", where=short, mend="the two files belong together row by row"
            )
        (line, own, use, values), (number, vote_use, name, counts) = pixels, row
        to = USAGES.get(use)
        if to is None:
            raise DataError(f"Usage '{use[:40]}' is unknown", where=pixels_path, line=line, mend=nearest(use, USAGES))
        if vote_use != use:
            what = f"Usage is {vote_use}, but {use} in line {line} of {pixels_path.name}"
            raise DataError(what, where=votes_path, line=number, mend="the two files belong together row by row")
        if counts is None:
            notes.drop("bad-number", to, votes_path, number, "the votes are not ten whole numbers")
        elif not name:
            notes.count("FER+ removed the picture", to, 1)
        elif labels == "fer2013" and (label := fer2013.emotion_of(own)) is None:
            notes.drop("bad-number", to, pixels_path, line, f"emotion '{own[:40]}' is not in 0..6")
        elif isinstance(found := told(counts) if labels == "fer2013" else distribution(counts, labels), str):
            notes.count(found, to, 1)
        elif (face := fer2013.face_of(values)) is None:
            notes.drop("bad-number", to, pixels_path, line, "pixels are not 2304 numbers in 0..255")
        else:
            names.append(name.removesuffix(".png"))
            split.append(SPLITS.index(to))
            lines.append(number)
            faces.append(face)
            votes.append(found)
            emotions.append(label if labels == "fer2013" else int(found.argmax()))
    return one_face_each(
        [f"{name}.png" for name in names],
        names,
        split,
        [f"{zlib.crc32(face.data):08x}" for face in faces],
        lines,
        np.full((len(names), 4), np.nan),
        emotions,
        votes_path,
        votes=np.array(votes, np.float32).reshape(-1, 8),
        pixels=faces,
    )


def distribution(counts: np.ndarray, labels: str) -> np.ndarray | str:
    """Ten vote counts (FER+'s columns) -> the distribution over EMOTIONS (8,), or why the row is left out."""
    counts = np.where(counts > 1, counts, 0)  # one tagger alone is an outlier
    total = counts.sum()
    most = counts.max()
    if labels == "majority":
        if not most > 0.5 * total:
            return "no majority"
        kept = np.where(np.arange(10) == counts.argmax(), counts, 0)
    else:
        # The most voted classes, ties together, until they hold three quarters, at most three classes;
        # stop when unknown or no-face comes among them.
        kept, rest, classes, good = np.zeros(10), counts.astype(float), 0, True
        while kept.sum() < 0.75 * total and classes < 3 and good:
            top = rest.max()
            for index in np.flatnonzero(rest == top):
                kept[index], rest[index] = top, 0
                classes += 1
                if index >= 8:
                    good = False
                    if kept.sum() > top:
                        kept[index] = 0
        if kept.sum() <= 0.5 * total or classes > 3:
            return "no majority"
    if kept.argmax() == 8:
        return "unknown"
    if kept.argmax() == 9:
        return "not a face"
    emotions = kept[:8][_ORDER]
    return emotions / emotions.sum()


def told(counts: np.ndarray) -> np.ndarray:
    """Ten vote counts -> the shares of EMOTIONS (8,), one tagger's outliers left out; zeros where none is left."""
    counts = np.where(counts > 1, counts, 0)[:8][_ORDER]
    return counts / max(int(counts.sum()), 1)


def _votes(path: Path) -> Iterator[tuple[int, str, str, np.ndarray | None]]:
    """(line, Usage, image name, ten counts or None) of each row."""
    for line, row in table_rows(
        path, ("usage", "image name", *COLUMNS), mend="give microsoft/FERPlus's fer2013new.csv"
    ):
        try:
            counts = np.array([int(row[name]) for name in COLUMNS])
        except (ValueError, OverflowError):
            counts = None
        yield line, row["usage"], row["image name"], counts if counts is not None and counts.min() >= 0 else None
