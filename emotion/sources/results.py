"""What emo or another tool has found, read back: a JSON, JSONL or CSV file comes in, detections a frame go out.

    found = read("results.json"); found.names, found.of(frame)

Known are emo's own files, COCO's results, and the forms that most tools write: records with a box (`box`, `bbox` or
`region` as x, y, width, height; `xyxy`, `x1 y1 x2 y2`, `xmin ...`; `FaceRectX ...`), an emotion (`emotion`,
`dominant_emotion`, `label`) or a score for each, under any name or synonym of the emotions, and the frame (`frame`,
`image_id`, `index`) or the picture (`picture`, `file`, `image`, `input`). Keys are read in any case, also within inner
records and lists.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from converters.emotions import EMOTIONS, SYNONYMS
from converters.errors import DataError
from converters.text_files import read_text

from ..systems.detections import Detections
from .frame import Frame

POSITION = " position"  # in the file, which tells the frame where nothing else does
FRAMES, PICTURES = (
    ("frame", "frame_index", "frame_id", "image_id", "index", POSITION),
    ("picture", "file_name", "file", "filename", "image", "image_path", "path", "input"),
)
SIDES = (("x1", "y1", "x2", "y2"), ("xmin", "ymin", "xmax", "ymax"), ("left", "top", "right", "bottom"))
SIZES = (
    ("x", "y", "w", "h"),
    ("x", "y", "width", "height"),
    ("left", "top", "width", "height"),
    ("facerectx", "facerecty", "facerectwidth", "facerectheight"),
)
LABELS = ("emotion", "dominant_emotion", "label", "class", "class_name", "category")
SURE = ("face", "face_confidence", "facescore", "face_score", "confidence", "prob", "score")


@dataclass(frozen=True)
class Results:
    """Faces by frame index and by picture name; `names` are the emotions, in emo's order."""

    names: tuple[str, ...]
    by_frame: dict[int, Detections]
    by_name: dict[str, Detections]

    def of(self, frame: Frame) -> Detections:
        """Those of a frame: by its picture's name (as given, else without folders), else by its index."""
        for name in (frame.name, frame.name and PurePath(frame.name).name):
            if name in self.by_name:
                return self.by_name[name]
        return (
            self.by_frame.get(frame.index, Detections.empty(len(self.names)))
            if not self.by_name or frame.name is None
            else Detections.empty(len(self.names))
        )


def read(path: str | Path) -> Results:
    """DataError names the record that has no box, and a file in which no face is."""
    path = Path(path)
    try:
        return _results(path)
    except (
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        IndexError,
        OverflowError,
        RecursionError,
    ) as error:  # a form of nobody's
        raise DataError(
            f"has a record that is not a face: {type(error).__name__}: {' '.join(str(error).split())[:120]}",
            where=path,
            mend="known forms are listed in docs/detect.md",
        ) from None


def _results(path: Path) -> Results:
    faces = list(_faces(path))
    if not faces:
        raise DataError("no face with a box is in it", where=path, mend="known forms are listed in docs/detect.md")
    known = {name for _, _, scores, _, _ in faces for name in scores}
    names = tuple(name for name in EMOTIONS if name in known or name != "Contempt") + tuple(
        sorted(known - set(EMOTIONS))
    )
    grouped: tuple[dict, dict] = (defaultdict(list), defaultdict(list))
    for frame, picture, scores, box, sure in faces:
        entry = (box, [scores.get(name, 0.0) for name in names], sure)
        if picture is not None:
            grouped[1][picture].append(entry)
            grouped[1].setdefault(PurePath(picture).name, grouped[1][picture])
        else:
            grouped[0][frame].append(entry)
    return Results(
        names, *({key: _detections(entries, len(names)) for key, entries in group.items()} for group in grouped)
    )


def _detections(entries, classes: int) -> Detections:
    boxes, scores, sure = zip(*sorted(entries, key=lambda entry: -entry[2]))
    table = np.array(scores, np.float32).reshape(-1, classes)
    total = table.sum(1, keepdims=True)
    return Detections(
        np.array(boxes, np.float32),
        np.divide(table, total, out=np.full_like(table, 1 / classes), where=total > 0),
        np.array(sure, np.float32),
    )


def _faces(path: Path) -> Iterator[tuple[int, str | None, dict[str, float], list[float], float]]:
    """(frame, picture, scores, xyxy, how sure) of every face."""
    if path.suffix.lower() in (".csv", ".tsv"):
        for number, row in enumerate(_rows(path), 2):
            if face := _face(row, {}, path, number):
                yield face
        return
    text = read_text(path)
    lines = [line for line in text.splitlines() if line.strip()]
    try:
        values = [json.loads(text)]
    except json.JSONDecodeError as whole:
        try:
            values = [json.loads(line) for line in lines]
        except json.JSONDecodeError:
            values = []
        if not values:
            raise DataError(
                f"is neither JSON nor a record a line: {whole.msg}", where=path, line=whole.lineno
            ) from None
    header = values[0] if isinstance(values[0], dict) and values[0].get("type") == "header" else {}
    context: dict[str, Any] = {"names": header.get("names")}
    if len(values) == 1 and isinstance(values[0], dict) and "annotations" in values[0]:  # COCO
        context["categories"] = {kind["id"]: kind["name"] for kind in values[0].get("categories", ())}
        files = {image["id"]: image["file_name"] for image in values[0].get("images", ())}
        for record in values[0]["annotations"]:
            name = files.get(record.get("image_id"))
            ours = re.fullmatch(r"frame-(\d+)\.jpg", str(name))  # emo's own, of a video
            yield from _walk(record | ({"frame": int(ours[1])} if ours else {"picture": name}), {}, context, path)
        return
    for index, value in enumerate(values):
        yield from _walk(value, {POSITION: index} if len(values) > 1 else {}, context, path)


def _walk(value, outer: dict, context: dict, path: Path):
    """Faces in a record, a list, or whatever holds them; a list of lists is a list of frames."""
    if isinstance(value, list):
        frames = value and all(isinstance(inner, list) for inner in value)
        for index, inner in enumerate(value):
            yield from _walk(inner, outer | ({POSITION: index} if frames else {}), context, path)
    elif isinstance(value, dict):
        record = {str(key).lower(): inner for key, inner in value.items()}
        here = outer | {key: record[key] for key in (*FRAMES, *PICTURES) if isinstance(record.get(key), (int, str))}
        if face := _face(record, here, path, None, context):
            yield face
            return
        for key, inner in record.items():
            if isinstance(inner, (list, dict)) and key not in ("names", "settings"):
                yield from _walk(inner, here | ({"picture": key} if "." in key else {}), context, path)


def _face(record: dict, here: dict, path: Path, line: int | None, context: dict | None = None):
    """The face of one record; None when it has no box."""
    box = _box(record)
    if box is None:
        return None
    if not np.isfinite(box).all() or box[2] <= box[0] or box[3] <= box[1]:
        raise DataError(f"a box without extent: {box}", where=path, line=line)
    merged = here | record
    picture = next((str(merged[key]) for key in PICTURES if merged.get(key) not in (None, "")), None)
    frame = next((int(float(merged[key])) for key in FRAMES if merged.get(key) not in (None, "")), 0)
    sure = next((float(record[key]) for key in SURE if _number(record.get(key)) is not None), 1.0)
    return frame, picture, _scores(record, context or {}), box, min(max(sure, 0.0), 1.0)


def _box(record: dict) -> list[float] | None:
    for key, value in record.items():
        if key in ("box", "bbox", "region", "facial_area", "face_box", "xywh") and isinstance(value, dict):
            return _box({inner.lower(): number for inner, number in value.items()})
        if (
            key in ("box", "bbox", "xywh", "region", "xyxy", "xyxy_px")
            and isinstance(value, (list, tuple))
            and len(value) == 4
        ):
            a, b, c, d = map(float, value)
            return [a, b, c, d] if key.startswith("xyxy") else [a, b, a + c, b + d]
    for names, sizes in ((SIDES, False), (SIZES, True)):
        for keys in names:
            numbers = [number for key in keys if (number := _number(record.get(key))) is not None]
            if len(numbers) == len(keys):
                a, b, c, d = numbers
                return [a, b, a + c, b + d] if sizes else [a, b, c, d]
    return None


def _scores(record: dict, context: dict) -> dict[str, float]:
    """Emotion -> score, of whatever scale; a name alone is 1."""
    names = context.get("names")
    if names and isinstance(record.get("scores"), list):
        return dict(zip(names, map(float, record["scores"])))
    for source in (record.get("emotions"), record.get("emotion"), record.get("scores"), record):
        if isinstance(source, dict):
            found = {
                SYNONYMS[str(key).lower()]: number
                for key, value in source.items()
                if str(key).lower() in SYNONYMS and (number := _number(value)) is not None
            }
            if found:
                return found
    label = next((record[key] for key in LABELS if isinstance(record.get(key), str) and record[key]), None)
    if label is None and "category_id" in record:
        label = context.get("categories", {}).get(record["category_id"])
    return {SYNONYMS.get(label.strip().lower(), label.strip()): 1.0} if label else {}


def _number(value) -> float | None:
    try:
        return None if value is None or isinstance(value, (bool, dict, list)) or value == "" else float(value)
    except ValueError:
        return None


def _rows(path: Path) -> Iterator[dict]:
    """A table's rows by their columns' names, in lower case."""
    import csv
    import io

    text = read_text(path)
    first = text.partition("\n")[0]
    separator = max((",", ";", "\t"), key=first.count)
    for row in csv.DictReader(io.StringIO(text), delimiter=separator):
        yield {str(key).strip().lower(): value for key, value in row.items() if key is not None}
