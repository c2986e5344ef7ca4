"""Results of other programs as a system: `file:RESULTS[+COCO]`, beside those that emo runs itself.

    file:found/detections.jsonl      what emo detect wrote; detections.csv too, of which the columns picture (or frame),
                                     x1, y1, x2, y2, emotion and score are needed
    file:results.json                COCO: a dict with images, categories and annotations that have a score, or
    file:results.json+instances.json a list of results, with the COCO file that their ids are of
    file:detect-out                  a folder in which emo detect wrote one for each of several sources

A picture is found by its name, a video's frame by its number and, of several videos, by the video's name: a column
`media`, the header's `source`, or COCO's `talk.mp4/frame-12.jpg`. What a file does not mention has no faces.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from converters.emotions import EMOTIONS, SYNONYMS
from converters.errors import DataError, UsageError
from converters.text_files import number as as_number, numbered_lines, read_json, table_rows

from ..sources.frame import Frame
from ..systems.detections import Detections
from ..systems.open import SystemSettings, open_subject
from ..systems.stage_timer import StageTimer

Face = tuple[list[float], dict[str, float], float]  # xyxy_px, scores by class, how sure it is a face
Key = str | tuple[str | None, int]  # a picture's name, or a video's (None: not told) and the frame's number


def open_contestant(spec: str, *, conf: float = 0.25, **settings) -> Any:
    """`open_subject`, or a FileSystem."""
    if spec.startswith("file:"):
        return FileSystem(spec[5:], conf)
    return open_subject(spec, SystemSettings(conf=conf, **settings))


class FileSystem:
    """Detections read from a file; `of_frame` gives those of a frame that are at least `conf` sure."""

    name = "file"

    def __init__(self, spec: str, conf: float = 0.25):
        results, _, coco = spec.partition("+")
        self.path = path = Path(results)
        parts = sorted(path.glob("*/detections.jsonl")) if path.is_dir() else [path]
        if not parts:
            raise UsageError("has no folder with a detections.jsonl, as emo detect writes", where=path)
        faces: dict[Key, list[Face]] = {}
        for part in parts:
            faces |= read(part, Path(coco) if coco else None)
        self._hold(faces)
        self.videos = {key[0] for key in faces if isinstance(key, tuple)}
        self.conf, self.clock = conf, StageTimer()
        self.settings = {"system": "file", "file": str(path), "coco": coco or None, "conf": conf}

    def _hold(self, faces: dict[Key, list[Face]]) -> None:
        self.names = tuple(
            dict.fromkeys([*EMOTIONS, *(name for found in faces.values() for _, scores, _ in found for name in scores)])
        )
        self.faces: dict[Key, Detections] = {key: self._detections(found) for key, found in faces.items()}
        self.pictures: dict[str, list[str]] = {}  # without their folders -> as the file names them
        for key in faces:
            if isinstance(key, str):
                self.pictures.setdefault(base(key), []).append(key)

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
        name = frame.name or ""
        with self.clock("look up"):
            key = self.picture(name) if frame.time_s is None else (self.video(name), frame.index)
            found = self.faces.get(key, Detections.empty(len(self.names)))
            return found.take(found.face >= self.conf)

    def picture(self, name: str) -> str:
        """Under which name a picture's faces stand: as given, else without folders, which must say which one it is."""
        if name in self.faces or not (named := self.pictures.get(base(name))):
            return name
        if len(named) > 1:
            raise DataError(f"has several pictures called {base(name)}: {', '.join(named[:2])}", where=self.path)
        return named[0]

    def video(self, name: str) -> str | None:
        """Under which name the frames of a video stand: its own, or, of a file about a single video, whatever it is."""
        return name if name in self.videos or len(self.videos) != 1 else next(iter(self.videos))

    def check(self, videos: Sequence[str]) -> None:
        """UsageError when several videos are looked at, and it is not told which of them the faces are of."""
        if len(videos) > 1 and self.videos - set(videos):
            told = ", ".join(sorted(name for name in self.videos if name)) or "no name"
            raise UsageError(
                f"does not say which of {', '.join(videos)} its faces are of: it has {told}",
                where=self.path,
                mend="add a column media, or name a folder in which emo detect wrote all of them",
            )


def read(path: Path, coco: Path | None = None) -> dict[Key, list[Face]]:
    """The faces of one file; DataError for a record that is none, UsageError for a file of another form."""
    if not path.is_file():
        raise UsageError("no such file of results", where=path)
    reader: Any = {".json": read_coco, ".jsonl": read_jsonl, ".csv": read_csv}.get(path.suffix.lower())
    if reader is None:
        raise UsageError("is not .json (COCO), .jsonl or .csv (as emo detect writes)", where=path)
    try:
        return reader(path, coco) if coco else reader(path)
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
            f"has a record that is not a face: {type(error).__name__}: {' '.join(str(error).split())[:120]}",
            where=path,
        ) from None


def known(name: str) -> str:
    """A class by emo's name for it: happiness is Happy; others stay as they are."""
    return SYNONYMS.get(name.strip().lower(), name.strip())


def read_jsonl(path: Path) -> dict[Key, list[Face]]:
    """emo detect's: a header with the class names, then a record a frame."""
    out: dict[Key, list[Face]] = {}
    names: list[str] = []
    video: str | None = None

    def line(record: Any) -> None:
        nonlocal names, video
        if record["type"] == "header":
            names, source = [known(name) for name in record["names"]], record.get("source")
            video = base(source) if source else None
        else:
            faces: list[Face] = [
                (face["xyxy_px"], dict(zip(names, face["scores"], strict=True)), face["face"])
                for face in record["faces"]
            ]
            out[str(record["picture"]) if "picture" in record else (video, int(record["index"]))] = faces

    for number, text in numbered_lines(path, names=True):
        with _told(path, number, "is not a record of emo detect"):
            line(json.loads(text))
    return out


def read_csv(path: Path) -> dict[Key, list[Face]]:
    """A row a face; with a column a class where there are some, else the one class named has the score."""
    out: dict[Key, list[Face]] = {}

    def line(row):
        key = row.get("picture") or (row.get("media") or None, int(row["frame"]))
        found = out.setdefault(key, [])
        if not any(row[name] for name in ("x1", "y1", "x2", "y2")):  # emo's row of a frame without a face
            return
        face = as_number(row["face"]) if row.get("face") else as_number(row["score"])
        one = as_number(row["score"]) if row.get("face") else 1.0  # a score alone is of the face and its class together
        scores = {known(name): as_number(row[name]) for name in row if name in SYNONYMS and row[name]} or {
            known(row["emotion"]): one
        }
        found.append(([as_number(row[name]) for name in ("x1", "y1", "x2", "y2")], scores, face))

    for number, row in table_rows(path, ("x1", "y1", "x2", "y2", "emotion", "score")):
        with _told(path, number, "is not a row of a face"):
            line(row)
    return out


def read_coco(path: Path, instances: Path | None = None) -> dict[Key, list[Face]]:
    """COCO results; a result has one class, so its score is the face's, and all others are 0."""
    told = _json(path)
    source = _json(instances) if instances else told
    rows = told if isinstance(told, list) else told.get("annotations") if isinstance(told, dict) else None
    if not isinstance(source, dict) or not {"images", "categories"} <= source.keys() or not isinstance(rows, list):
        raise UsageError(
            "is a list of results; its ids have no meaning without the pictures' file",
            where=path,
            mend="name the COCO file that they are of: file:RESULTS.json+INSTANCES.json",
        )
    out: dict[Key, list[Face]] = {}

    def line(row):
        x, y, w, h = map(float, row["bbox"])
        out.setdefault(images[row["image_id"]], []).append(
            ([x, y, x + w, y + h], {classes[row["category_id"]]: 1.0}, float(row["score"]))
        )

    images = {image["id"]: coco_key(image["file_name"]) for image in source["images"]}
    classes = {category["id"]: known(category["name"]) for category in source["categories"]}
    for number, row in enumerate(rows, start=1):
        with _told(path, None, f"result {number} lacks a bbox, a score, or ids that the images and categories have"):
            line(row)
    return out


def coco_key(name: str) -> Key:
    """`talk.mp4/frame-12.jpg`, and emo's own `frame-12.jpg`, are of a video."""
    match = re.fullmatch(r"(?:.*?([^/\\]+)[/\\])?frame-(\d+)\.jpg", name)
    return (match[1], int(match[2])) if match else name


def base(name: str) -> str:
    """A name without its folders, whichever system wrote them."""
    return re.split(r"[/\\]", name)[-1]


def _json(path: Path) -> Any:
    return read_json(path, names=True)


@contextmanager
def _told(path: Path, line: int | None, what: str) -> Iterator[None]:
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{what} ({type(error).__name__}: {error})", where=path, line=line) from None
