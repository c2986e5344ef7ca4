"""Forms made of face pixels: `crops` (PNG files in the classifier form), `csv` (FER2013's), `hdf5`.

One chunk of a Table comes in, each face cut out once; `Cut` carries what the form's sink writes.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from .. import boxes
from ..emotions import EMOTIONS, FER2013
from ..errors import DataError, MediaError, MissingExtra
from ..face_crops import Look, from_pixels, of_file
from ..findings import box_problem
from ..images import probe
from ..table.records import SPLITS, Table
from .detector import Written, quoted, sound
from .pixels import write_png

FER_IDS = {EMOTIONS.index(name): number for number, name in FER2013.items()} | {EMOTIONS.index("Contempt"): 7}
USAGES = ("Training", "PublicTest", "PrivateTest")
H5_FILES = ("train.h5", "val.h5", "test.h5")
_TEXT = [str(value) for value in range(256)]


@dataclass
class Cut(Written):
    """A chunk's faces: csv lines, or arrays with their splits and class ids."""

    lines: list[str] = field(default_factory=list)
    images: np.ndarray | None = None  # (K, H, W) or (K, H, W, 3) uint8
    split: list[int] = field(default_factory=list)
    label: list[int] = field(default_factory=list)
    votes: list = field(default_factory=list)


def write_chunk(table: Table, names: list[str], form: str, look: Look, ids: np.ndarray, labels: dict[int, str], work: Path) -> Cut:
    """Cut the chunk's faces; `form` crops writes them under `work`, csv and hdf5 give them back."""
    import cv2

    cv2.setNumThreads(1)
    out, kept, made = Cut(), [], set()
    for i in range(len(table)):
        subset, faces = SPLITS[table.split[i]], range(table.first[i], table.first[i + 1])
        for face, (width, height), crop in _cut(table, i, faces, look, out):
            emotion = int(table.emotion[face])
            stem = names[i] if len(faces) == 1 else f"{names[i]}-{face - faces.start + 1}"
            path = f"{subset}/{labels[emotion]}/{stem}.png" if form == "crops" else f"{stem}"
            if form == "crops":
                folder = os.path.dirname(f"{work}/{path}")
                if folder not in made:
                    os.makedirs(folder, exist_ok=True)
                    made.add(folder)
                write_png(f"{work}/{path}", crop)
            elif form == "csv":
                out.lines.append(f"{fer_id(emotion, ids)},{' '.join([_TEXT[v] for v in crop.tobytes()])},{USAGES[table.split[i]]}\n")
            else:
                kept.append(crop)
                out.split.append(int(table.split[i]))
                out.label.append(int(ids[emotion]))
                if table.votes is not None:  # where another source has none, its label is its vote
                    out.votes.append(table.votes[face] if table.votes[face].any() else np.eye(len(EMOTIONS), dtype=np.float32)[emotion])
            box = table.xyxy[face]
            corners = ",,," if np.isnan(box[0]) else "%.8g,%.8g,%.8g,%.8g" % tuple(box)
            out.manifest.append(f"{path},{subset},{EMOTIONS[emotion]},{corners},{width},{height},{quoted(table.group[i])},{quoted(table.image[i])},{table.line[i]}\n")
            out.entries[table.split[i]].append(path)
            out.faces[table.split[i], emotion] += 1
    if kept:
        out.images = np.stack(kept)
    return out


def fer_id(emotion: int, ids: np.ndarray) -> int:
    """FER2013's id of an index of EMOTIONS; with six classes Disgust is Anger."""
    return FER_IDS[int(np.flatnonzero(ids == ids[emotion])[-1])]


def _cut(table: Table, i: int, faces: range, look: Look, out: Cut):
    """(face row, source size, crop) of each usable face of picture i; findings for the others."""
    where = SPLITS[table.split[i]], table.sources[table.source[i]], table.line[i]
    pixels = table.pixels[i] if table.pixels else None
    if pixels is None:
        info = probe(table.image[i])
        if not sound(table.chunk(i, i + 1), [info], out.notes)[0]:
            return
        size = info.size_wh
    else:
        size = pixels.shape[1::-1]
    rows, xyxy = [], []
    for face in faces:
        box = table.xyxy[face]
        if np.isnan(box[0]):
            box = np.array([0, 0, *size], float)
        problem = box_problem(box, size)
        if problem and problem[0] != "box-clipped":
            out.notes.drop(problem[0], *where, f"{table.image[i]}: {problem[1]}")
            continue
        if problem:
            out.notes.note(problem[0], "warning", *where, f"{table.image[i]}: {problem[1]}")
        rows.append(face)
        xyxy.append(boxes.clip(box, size))
    if not rows:
        return
    marks = [table.landmarks[face] for face in rows] if table.landmarks else None
    if pixels is not None:
        crops = [from_pixels(pixels, box, look, marks[k] if marks else None) for k, box in enumerate(xyxy)]
    else:
        try:
            crops = of_file(table.image[i], size, np.array(xyxy), look, marks)
        except MediaError as error:
            out.notes.drop("undecodable", *where, str(error))
            return
    for face, crop in zip(rows, crops):
        yield face, size, crop


class CsvSink:
    """`fer2013.csv`: one header, then every face of every source."""

    def __init__(self, work: Path):
        self.file = open(work / "fer2013.csv", "w")
        self.file.write("emotion,pixels,Usage\n")

    def add(self, part: Cut) -> None:
        self.file.writelines(part.lines)

    def close(self) -> None:
        self.file.close()


class Hdf5Sink:
    """train.h5, val.h5, test.h5: `images` and `labels` uint8, `votes` when there are any; names and counts as attributes."""

    def __init__(self, work: Path, names: tuple[str, ...], ids: np.ndarray):
        try:
            import h5py
        except ImportError:
            raise MissingExtra("h5py", "hdf5", "--task hdf5") from None
        self.work, self.names, self.ids, self.h5py, self.files = work, names, ids, h5py, {}

    def add(self, part: Cut) -> None:
        if part.images is None:
            return
        split, label = np.array(part.split), np.array(part.label, np.uint8)
        for which in np.unique(split).tolist():
            mine = split == which
            columns = {"images": part.images[mine], "labels": label[mine]}
            if part.votes:
                columns["votes"] = self._votes(np.array(part.votes, np.float32)[mine])
            for name, values in columns.items():
                self._append(which, name, values)

    def _votes(self, votes: np.ndarray) -> np.ndarray:
        """Votes over EMOTIONS -> over the classes, a merged class with the sum of its parts."""
        out = np.zeros((len(votes), len(self.names)), np.float32)
        kept = np.flatnonzero(self.ids >= 0)
        np.add.at(out, (slice(None), self.ids[kept]), votes[:, kept])
        return out / np.maximum(out.sum(axis=1, keepdims=True), 1e-9)

    def _append(self, split: int, name: str, values: np.ndarray) -> None:
        if split not in self.files:
            self.files[split] = self.h5py.File(self.work / H5_FILES[split], "w", libver="v110")
        file = self.files[split]
        if name not in file:
            file.create_dataset(name, data=values, maxshape=(None, *values.shape[1:]), chunks=(min(256, max(1, len(values))), *values.shape[1:]), track_times=False)
            return
        data = file[name]
        if values.shape[1:] != data.shape[1:]:
            raise DataError(f"pictures of {values.shape[1:]} do not fit {data.shape[1:]}", where=file.filename)
        data.resize(len(data) + len(values), axis=0)
        data[-len(values) :] = values

    def close(self) -> None:
        for file in self.files.values():
            counts = np.bincount(file["labels"][:], minlength=len(self.names))
            file.attrs["classes"], file.attrs["counts"] = list(self.names), counts
            file.close()
