"""Forms made of face pixels: `crops` (PNG files in the classifier form), `csv` (FER2013's), and those of arrays.

One chunk of a Table comes in, each face cut out once; `Cut` carries what the form's sink writes (`CsvSink`, `arrays`).
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from .. import boxes
from ..convert_settings import Settings
from ..emotions import EMOTIONS, FER2013
from ..errors import MediaError, UsageError
from ..face_crops import Look, from_pixels, of_file, to_crop
from ..findings import box_problem
from ..images import probe
from ..table.records import SPLITS, Table
from . import form
from .detector import Written, quoted, sound
from .form import Job, Stage
from .pixels import write_png

FER_IDS = {EMOTIONS.index(name): number for number, name in FER2013.items()} | {EMOTIONS.index("Contempt"): 7}
USAGES = ("Training", "PublicTest", "PrivateTest")
_TEXT = [str(value) for value in range(256)]


@dataclass
class Cut(Written):
    """A chunk's faces: csv lines, or arrays with their splits and class ids."""

    lines: list[str] = field(default_factory=list)
    images: np.ndarray | None = None  # (K, H, W) or (K, H, W, 3) uint8
    split: list[int] = field(default_factory=list)
    label: list[int] = field(default_factory=list)
    votes_of: list = field(default_factory=list)  # (8,) over EMOTIONS
    paths: list[str] = field(default_factory=list)
    landmarks: list = field(default_factory=list)  # (K, 2) in the crop, or None


def write_chunk(
    table: Table, names: list[str], task: str, look: Look, ids: np.ndarray, labels: dict[int, str], work: Path
) -> Cut:
    """Cut the chunk's faces; `task` crops writes them under `work`, the others give them back."""
    import cv2

    cv2.setNumThreads(1)
    out, kept, made = Cut(), [], set()
    for i in range(len(table)):
        subset, faces = SPLITS[table.split[i]], range(table.first[i], table.first[i + 1])
        for face, (width, height), crop, points in _cut(table, i, faces, look, out):
            emotion = int(table.emotion[face])
            stem = names[i] if len(faces) == 1 else f"{names[i]}-{face - faces.start + 1}"
            path = f"{subset}/{labels[emotion]}/{stem}.png" if task == "crops" else f"{stem}"
            if task == "crops":
                folder = os.path.dirname(f"{work}/{path}")
                if folder not in made:
                    os.makedirs(folder, exist_ok=True)
                    made.add(folder)
                write_png(f"{work}/{path}", crop)
                if points is not None:
                    out.landmark_rows.append(
                        f"{path},{','.join(f'{value:.2f}' for value in points.ravel().tolist())}\n"
                    )
            elif task == "csv":
                out.lines.append(
                    f"{fer_id(emotion, ids)},{' '.join([_TEXT[v] for v in crop.tobytes()])},{USAGES[table.split[i]]}\n"
                )
            else:
                kept.append(crop)
                out.split.append(int(table.split[i]))
                out.label.append(int(ids[emotion]))
                out.paths.append(table.image[i])
                out.landmarks.append(points)
                if table.votes is not None:  # where another source has none, its label is its vote
                    out.votes_of.append(
                        table.votes[face]
                        if table.votes[face].any()
                        else np.eye(len(EMOTIONS), dtype=np.float32)[emotion]
                    )
            box = table.xyxy[face]
            corners = ",,," if np.isnan(box[0]) else "%.8g,%.8g,%.8g,%.8g" % tuple(box)
            out.manifest.append(
                f"{path},{subset},{EMOTIONS[emotion]},{corners},{width},{height},{quoted(table.group[i])},{quoted(table.image[i])},{table.line[i]}\n"
            )
            out.entries[table.split[i]].append(path)
            out.faces[table.split[i], emotion] += 1
    if kept:
        out.images = np.stack(kept)
    return out


def fer_id(emotion: int, ids: np.ndarray) -> int:
    """FER2013's id of an index of EMOTIONS; with six classes Disgust is Anger."""
    return FER_IDS[int(np.flatnonzero(ids == ids[emotion])[-1])]


def _cut(table: Table, i: int, faces: range, look: Look, out: Cut):
    """(face row, source size, crop, landmarks in it) of each usable face of picture i; findings for the others."""
    where = SPLITS[table.split[i]], table.sources[table.source[i]], table.line[i]
    pixels = table.picture(i)
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
    for k, (face, crop) in enumerate(zip(rows, crops)):
        points = None if marks is None or marks[k] is None else to_crop(marks[k], xyxy[k], size, look, marks[k])
        yield face, size, crop, points


class CsvSink:
    """`fer2013.csv`: one header, then every face of every source."""

    def __init__(self, work: Path):
        self.file = open(work / "fer2013.csv", "w")
        self.file.write("emotion,pixels,Usage\n")

    def add(self, part: Cut) -> None:
        self.file.writelines(part.lines)

    def finish(self) -> None:
        self.file.flush()

    def close(self) -> None:
        self.file.close()


SIZES = {"crops": (96, 96)}  # (width, height) of a crop; the others have FER2013's
FER_SIZE = (48, 48)
USES = frozenset({"size", "enlarge", "align", "grey", "find"})


def stage(job: Job) -> Stage:
    """Of all forms of face pixels; grey unless told, but for crops."""
    settings = job.settings
    grey = settings.task != "crops" if settings.grey is None else settings.grey
    look = Look(settings.size or SIZES.get(settings.task, FER_SIZE), grey, settings.enlarge, settings.align)
    write = partial(write_chunk, task=settings.task, look=look, ids=job.ids, labels=job.label_of, work=job.work)
    return Stage(write, *form.CUTS)


def grey_only(settings: Settings) -> None:
    if settings.grey is False:
        raise UsageError(
            "FER2013's csv holds grey pictures only", mend="--task crops, hdf5, npz and pickle keep colour"
        )


CROPS = form.Form(USES, stage, label_in_path=True)
CSV = form.Form(USES, stage, sink=lambda job, table: CsvSink(job.work), check=grey_only)
