"""What a dataset says, in one form: `Record` and `Face` to look at, `Table` (columns) to compute with.

Readers give a `Table`; iterating it gives `Record`s. 420,000 rows are a handful of arrays in a Table
and half a gigabyte of objects as Records, so whatever is done to every row is done to columns.
`Notes` collects what a reader or writer leaves out or changes, and why.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ..emotions import EMOTIONS
from ..findings import Finding

SPLITS = ("train", "valid", "test")


@dataclass(frozen=True, slots=True)
class Face:
    """One face. `xyxy_px` None: the whole picture; `votes`: FER+'s distribution over EMOTIONS."""

    xyxy_px: tuple[float, float, float, float] | None
    emotion: str
    landmarks: tuple[tuple[float, float], ...] | None = None
    votes: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """One picture and its faces; `pixels` (uint8, HxW or HxWx3 BGR) when the dataset holds them itself."""

    image: Path  # source file; for pixel rows a virtual name such as fer0000001.png
    faces: tuple[Face, ...]
    split: str  # train, valid or test
    group: str  # person or source identity: a split never parts a group
    source: Path  # annotation file
    line: int
    pixels: np.ndarray | None = None


@dataclass
class Notes:
    """Findings, and how many rows were left out for which reason in which split."""

    findings: list[Finding] = field(default_factory=list)
    left_out: Counter = field(default_factory=Counter)  # (split, reason) -> rows
    spoiled: set[str] = field(default_factory=set)  # pictures with a face whose label is lost

    def note(self, code: str, severity: str, split: str, file, line: int, message: str) -> None:
        """Record a finding about a row that stays."""
        self.findings.append(Finding(code, severity, split, str(file), int(line), message))

    def drop(self, code: str, split: str, file, line: int, message: str) -> None:
        """Record a finding about a row that is left out."""
        self.note(code, "error", split, file, line, message)
        self.left_out[split, code] += 1

    def count(self, reason: str, split: str, rows: int) -> None:
        """Rows that are left out by choice and need no finding each."""
        if rows:
            self.left_out[split, reason] += int(rows)

    def spoil(self, image: str) -> None:
        """Mark a picture that shows a face whose row is left out: a detector must not learn that there is none."""
        self.spoiled.add(image)

    def extend(self, other: Notes) -> None:
        self.spoiled |= other.spoiled
        self.findings.extend(other.findings)
        self.left_out.update(other.left_out)


@dataclass(frozen=True)
class Table:
    """N pictures and their F faces as columns; the faces of picture i are rows first[i]:first[i+1]."""

    image: list[str]  # N source paths, or virtual names where `pixels` holds the picture
    name: list[str]  # N wished output names, relative, without extension
    split: np.ndarray  # (N,) int8, index into SPLITS
    group: list[str]  # N
    source: np.ndarray  # (N,) int16, index into sources
    line: np.ndarray  # (N,) int32
    first: np.ndarray  # (N + 1,) int64
    xyxy: np.ndarray  # (F, 4) float64 pixels; NaN: the whole picture
    emotion: np.ndarray  # (F,) int8, index into EMOTIONS
    sources: tuple[str, ...]
    landmarks: list | None = None  # F of (K, 2) arrays or None
    votes: np.ndarray | None = None  # (F, 8) float32
    pixels: list | None = None  # N of uint8 arrays, of what np.asarray reads from its file, or None

    def __len__(self) -> int:
        return len(self.image)

    def __iter__(self) -> Iterator[Record]:
        return (self.record(index) for index in range(len(self)))

    def record(self, index: int) -> Record:
        faces = []
        for row in range(self.first[index], self.first[index + 1]):
            box, points = self.xyxy[row], self.landmarks[row] if self.landmarks else None
            faces.append(
                Face(
                    None if np.isnan(box[0]) else tuple(box.tolist()),
                    EMOTIONS[self.emotion[row]],
                    None if points is None else tuple(map(tuple, np.asarray(points).tolist())),
                    None if self.votes is None else tuple(self.votes[row].tolist()),
                )
            )
        source = Path(self.sources[self.source[index]])
        return Record(
            Path(self.image[index]),
            tuple(faces),
            SPLITS[self.split[index]],
            self.group[index],
            source,
            int(self.line[index]),
            self.picture(index),
        )

    def picture(self, index: int) -> np.ndarray | None:
        """The pixels of picture `index` where the dataset holds them itself: uint8 (H, W) or (H, W, 3).

        DataError when they cannot be read from their file.
        """
        pixels = self.pixels[index] if self.pixels else None
        return None if pixels is None else np.asarray(pixels)

    @property
    def counts(self) -> np.ndarray:
        """(N,) faces per picture."""
        return np.diff(self.first)

    def take(self, keep: np.ndarray) -> Table:
        """The pictures at the indices `keep`, in that order, with their faces."""
        keep = np.asarray(keep, np.int64)
        count = self.counts[keep]
        first = np.concatenate([[0], np.cumsum(count)])
        rows = np.repeat(self.first[keep] - first[:-1], count) + np.arange(first[-1])
        pick = lambda column, index: [column[i] for i in index.tolist()]
        return Table(
            pick(self.image, keep),
            pick(self.name, keep),
            self.split[keep],
            pick(self.group, keep),
            self.source[keep],
            self.line[keep],
            first,
            self.xyxy[rows],
            self.emotion[rows],
            self.sources,
            None if self.landmarks is None else pick(self.landmarks, rows),
            None if self.votes is None else self.votes[rows],
            None if self.pixels is None else pick(self.pixels, keep),
        )

    def with_faces(self, keep: np.ndarray) -> Table:
        """Only the faces of the mask `keep` (F,); pictures that lose all their faces go, negatives stay."""
        owner = np.repeat(np.arange(len(self)), self.counts)
        count = np.bincount(owner[keep], minlength=len(self))
        rows = np.flatnonzero(keep)
        stay = np.flatnonzero((count > 0) | (self.counts == 0))
        less = replace(
            self,
            first=np.concatenate([[0], np.cumsum(count)]),
            xyxy=self.xyxy[rows],
            emotion=self.emotion[rows],
            landmarks=None if self.landmarks is None else [self.landmarks[row] for row in rows.tolist()],
            votes=None if self.votes is None else self.votes[rows],
        )
        return less if len(stay) == len(self) else less.take(stay)

    def chunk(self, start: int, stop: int) -> Table:
        """Pictures start..stop-1 as a table of its own; slices, so cheap."""
        a, b = self.first[start], self.first[min(stop, len(self))]
        part = lambda column, x, y: None if column is None else column[x:y]
        return Table(
            self.image[start:stop],
            self.name[start:stop],
            self.split[start:stop],
            self.group[start:stop],
            self.source[start:stop],
            self.line[start:stop],
            self.first[start : stop + 1] - a,
            self.xyxy[a:b],
            self.emotion[a:b],
            self.sources,
            part(self.landmarks, a, b),
            part(self.votes, a, b),
            part(self.pixels, start, stop),
        )


def one_face_each(
    image, name, split, group, line, xyxy, emotion, source, landmarks=None, votes=None, pixels=None
) -> Table:
    """A Table of pictures with exactly one face each, all from one annotation file."""
    n = len(image)
    return Table(
        list(image),
        list(name),
        np.asarray(split, np.int8),
        list(group),
        np.zeros(n, np.int16),
        np.asarray(line, np.int32),
        np.arange(n + 1),
        np.asarray(xyxy, float).reshape(n, 4),
        np.asarray(emotion, np.int8),
        (str(source),),
        landmarks,
        votes,
        pixels,
    )


def from_records(records: Iterable[Record]) -> Table:
    """Records as a Table; output names are the files' stems."""
    records = list(records)
    sources: dict[str, int] = {}
    where = [sources.setdefault(str(record.source), len(sources)) for record in records]
    faces = [face for record in records for face in record.faces]
    some = lambda column: column if any(value is not None for value in column) else None
    votes = some([face.votes for face in faces])
    return Table(
        [str(record.image) for record in records],
        [record.image.stem for record in records],
        np.array([SPLITS.index(record.split) for record in records], np.int8),
        [record.group for record in records],
        np.array(where, np.int16),
        np.array([record.line for record in records], np.int32),
        np.concatenate([[0], np.cumsum([len(record.faces) for record in records], dtype=np.int64)]),
        np.array([face.xyxy_px or (np.nan,) * 4 for face in faces], float).reshape(-1, 4),
        np.array([EMOTIONS.index(face.emotion) for face in faces], np.int8),
        tuple(sources),
        some([None if face.landmarks is None else np.array(face.landmarks) for face in faces]),
        None if votes is None else np.array([vote or (0,) * 8 for vote in votes], np.float32),
        some([record.pixels for record in records]),
    )


def concat(tables: list[Table]) -> Table:
    """Several tables as one, in the order given; columns that only some have are filled with None or zeros."""
    if len(tables) == 1:
        return tables[0]

    def joined(column, lengths):
        if all(getattr(table, column) is None for table in tables):
            return None
        return [v for table, n in zip(tables, lengths) for v in (getattr(table, column) or [None] * n)]

    n_images, n_faces = [len(table) for table in tables], [len(table.emotion) for table in tables]
    shift = np.concatenate([[0], np.cumsum([len(table.sources) for table in tables])])
    votes = None
    if any(table.votes is not None for table in tables):
        votes = np.concatenate(
            [
                table.votes if table.votes is not None else np.zeros((n, 8), np.float32)
                for table, n in zip(tables, n_faces)
            ]
        )
    return Table(
        joined("image", n_images),
        joined("name", n_images),
        np.concatenate([table.split for table in tables]),
        joined("group", n_images),
        np.concatenate([table.source + s for table, s in zip(tables, shift)]).astype(np.int16),
        np.concatenate([table.line for table in tables]),
        np.concatenate([[0], np.cumsum(np.concatenate([table.counts for table in tables]))]),
        np.concatenate([table.xyxy for table in tables]),
        np.concatenate([table.emotion for table in tables]),
        tuple(s for table in tables for s in table.sources),
        joined("landmarks", n_faces),
        votes,
        joined("pixels", n_images),
    )
