"""Results of other programs as a system: `file:RESULTS[+COCO]`, beside those that emo runs itself.

    file:found/detections.jsonl      what emo detect wrote; detections.csv too, of which the columns picture (or frame),
                                     x1, y1, x2, y2, emotion and score are needed
    file:results.json                COCO: a dict with images, categories and annotations that have a score, or
    file:results.json+instances.json a list of results, with the COCO file that their ids are of

A frame is found by its picture's name, else by its number; what a file does not mention has no faces.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from converters.emotions import EMOTIONS, SYNONYMS
from converters.errors import DataError, UsageError
from converters.text_files import number as as_number, numbered_lines, read_json, table_rows

from ..sources.frame import Frame
from ..systems.detections import Detections
from ..systems.open import open_subject
from ..systems.stage_timer import StageTimer

Face = tuple[list[float], dict[str, float], float]  # xyxy_px, scores by class, how sure it is a face


def open_contestant(spec: str, *, conf: float = 0.25, **settings) -> Any:
    """`open_subject`, or a FileSystem."""
    if spec.startswith("file:"):
        return FileSystem(spec[5:], conf)
    return open_subject(spec, conf=conf, **settings)


class FileSystem:
    """Detections read from a file; `of_frame` gives those of a frame that are at least `conf` sure."""

    name = "file"

    def __init__(self, spec: str, conf: float = 0.25):
        results, _, coco = spec.partition("+")
        path = Path(results)
        if not path.is_file():
            raise UsageError("no such file of results", where=path)
        read: Any = {".json": read_coco, ".jsonl": read_jsonl, ".csv": read_csv}.get(path.suffix)
        if read is None:
            raise UsageError("is none of .json (COCO), .jsonl, .csv (as emo detect writes)", where=path)
        try:
            self._hold(read(path, Path(coco)) if coco else read(path))
        except (
            ValueError,
            KeyError,
            TypeError,
            AttributeError,
            IndexError,
            OverflowError,
            RecursionError,
        ) as error:  # a form of nobody's
            raise DataError(
                f"has a record that is none of a face: {type(error).__name__}: {' '.join(str(error).split())[:120]}",
                where=path,
            ) from None
        self.conf, self.clock = conf, StageTimer()
        self.settings = {"system": "file", "file": str(path), "coco": coco or None, "conf": conf}

    def _hold(self, faces: dict[str | int, list[Face]]) -> None:
        self.names = tuple(
            dict.fromkeys([*EMOTIONS, *(name for found in faces.values() for _, scores, _ in found for name in scores)])
        )
        self.faces: dict[str | int, Detections] = {key: self._detections(found) for key, found in faces.items()}

    def _detections(self, found: list[Face]) -> Detections:
        found = sorted(found, key=lambda face: -face[2])
        scores = np.array([[face[1].get(name, 0.0) for name in self.names] for face in found], np.float32).reshape(
            -1, len(self.names)
        )
        return Detections(
            np.array([face[0] for face in found], np.float32).reshape(-1, 4),
            scores,
            np.array([face[2] for face in found], np.float32),
        )

    def of_frame(self, frame: Frame) -> Detections:
        keys = [frame.name, Path(frame.name).name] if frame.name and frame.time_s is None else [frame.index]
        with self.clock("look up"):
            found = next((self.faces[key] for key in keys if key in self.faces), Detections.empty(len(self.names)))
            return found.take(found.face >= self.conf)


def known(name: str) -> str:
    """A class by emo's name for it: happiness is Happy; others stay as they are."""
    return SYNONYMS.get(name.strip().lower(), name.strip())


def read_jsonl(path: Path) -> dict[str | int, list[Face]]:
    """emo detect's: a header with the class names, then a record a frame."""
    out: dict[str | int, list[Face]] = {}
    names: list[str] = []

    def line(record: Any) -> None:
        nonlocal names
        if record["type"] == "header":
            names = [known(name) for name in record["names"]]
        else:
            faces: list[Face] = [
                (face["xyxy_px"], dict(zip(names, face["scores"], strict=True)), face["face"])
                for face in record["faces"]
            ]
            for key in {
                record.get("picture", record["index"]),
                Path(str(record.get("picture", ""))).name or record["index"],
            }:
                out[key] = faces

    for number, text in numbered_lines(path, names=True):
        with _told(path, number, "is not a record of emo detect"):
            line(json.loads(text))
    return out


def read_csv(path: Path) -> dict[str | int, list[Face]]:
    """A row a face; with a column a class where there are some, else the one class named has the score."""
    out: dict[str | int, list[Face]] = {}

    def line(row):
        face = as_number(row["face"]) if row.get("face") else as_number(row["score"])
        one = as_number(row["score"]) if row.get("face") else 1.0  # a score alone is of the face and its class together
        scores = {known(name): as_number(row[name]) for name in row if name in SYNONYMS and row[name]} or {
            known(row["emotion"]): one
        }
        key = row.get("picture") or int(row["frame"])
        out.setdefault(key, []).append(([as_number(row[name]) for name in ("x1", "y1", "x2", "y2")], scores, face))

    for number, row in table_rows(path, ("x1", "y1", "x2", "y2", "emotion", "score")):
        with _told(path, number, "is not a row of a face"):
            line(row)
    return out


def read_coco(path: Path, instances: Path | None = None) -> dict[str | int, list[Face]]:
    """COCO results; a result has one class, so its score is the face's, and all others are 0."""
    told = _json(path)
    source = _json(instances) if instances else told
    rows = told if isinstance(told, list) else told.get("annotations") if isinstance(told, dict) else None
    if not isinstance(source, dict) or not {"images", "categories"} <= source.keys() or not isinstance(rows, list):
        raise UsageError(
            "is a list of results, whose ids say nothing by themselves",
            where=path,
            mend="name the COCO file that they are of: file:RESULTS.json+INSTANCES.json",
        )
    out: dict[str | int, list[Face]] = {}

    def line(row):
        x, y, w, h = map(float, row["bbox"])
        out.setdefault(images[row["image_id"]], []).append(
            ([x, y, x + w, y + h], {classes[row["category_id"]]: 1.0}, float(row["score"]))
        )

    images = {image["id"]: Path(image["file_name"]).name for image in source["images"]}
    classes = {category["id"]: known(category["name"]) for category in source["categories"]}
    for number, row in enumerate(rows, start=1):
        with _told(path, None, f"result {number} lacks a bbox, a score, or ids that the images and categories have"):
            line(row)
    return out


def _json(path: Path) -> Any:
    return read_json(path, names=True)


@contextmanager
def _told(path: Path, line: int | None, what: str) -> Iterator[None]:
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{what} ({type(error).__name__}: {error})", where=path, line=line) from None
