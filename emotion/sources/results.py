"""What emo or another tool has found, read back: JSON, JSONL or CSV files come in, detections a frame go out.

    found = read("results.json"); found.names, found.of(frame)

Known are emo's own files, COCO's results (a list of them with the COCO file that its ids are of), and the forms that
most tools write: records with a box (`box`, `bbox` or `region` as x, y, width, height; `xyxy`, `x1 y1 x2 y2`,
`xmin ...`; `FaceRectX ...`), an emotion (`emotion`, `dominant_emotion`, `label`) or a score for each, under any name or
synonym of the emotions, and the frame (`frame`, `image_id`, `index`) or the picture (`picture`, `file`, `image`,
`input`), and the number of its track (`track`, `track_id`). Keys are read in any case, also within inner records and
lists. Of several videos `media`, a header's `source`, or COCO's `talk.mp4/frame-12.jpg` says which one is meant. A
frame that a file does not mention has no faces.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from converters.emotions import EMOTIONS, SYNONYMS
from converters.errors import DataError, UsageError
from converters.image_formats import PICTURE_SUFFIXES
from converters.text_files import number, read_json, read_text, table_rows

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
TRACKS = ("track", "track_id", "tracker_id")
SURE = ("face", "face_confidence", "facescore", "face_score", "confidence", "prob", "score")
MEND = "known forms are listed in docs/detect.md"

Key = str | tuple[str | None, int]  # a picture's name, or a video's (None: not told) and the frame's index


class Face(NamedTuple):
    xyxy_px: list[float]
    scores: dict[str, float]  # emotion -> how likely; empty: not told
    sure: float  # that it is a face, 0 to 1
    label: str | None = None  # of `scores`, the one that the tool shows; None: the best
    track: int | None = None


class Results:
    """Faces by picture or frame; `names` are the emotions, in emo's order, then others as they came.

    uncertain_below  what emo's own file says; else just above the score of a face whose emotion is unknown
    """

    def __init__(
        self, path: Path, told: Sequence[tuple[Key, Face | None]], least: Sequence[str], doubt: float | None = None
    ):
        known = {name for _, face in told if face for name in face.scores}
        self.path = path
        self.names = tuple(name for name in EMOTIONS if name in known or name in least) + tuple(
            sorted(known - set(EMOTIONS))
        )
        self.uncertain_below = 1 / len(self.names) + 1e-6 if doubt is None else doubt
        grouped: dict[Key, list[Face]] = defaultdict(list)
        for key, face in told:
            grouped[key] += [face] if face else []
        faces = [face for _, face in told if face]
        self.tracked = bool(faces) and all(face.track is not None for face in faces)
        self.faces = {key: self._detections(faces) for key, faces in grouped.items()}
        self.videos = {key[0] for key in grouped if isinstance(key, tuple)}
        self.pictures: dict[str, list[str]] = defaultdict(list)  # without their folders -> as the files name them
        for key in grouped:
            if isinstance(key, str):
                self.pictures[base(key)].append(key)

    def of(self, frame: Frame, video: str | None = None) -> Detections:
        """A picture's faces, found by its name (by its index if there are no names), or a video frame's, by its index.

        `video` is the video's name, if there are several. DataError when two pictures could be meant.
        """
        key = self._key(frame, video)
        return self.faces[key] if key in self.faces else self._detections([])

    def has(self, frame: Frame) -> bool:
        """Whether it says anything of this picture or frame."""
        return self._key(frame) in self.faces

    def _key(self, frame: Frame, video: str | None = None) -> Key:
        if frame.time_s is None and frame.name is not None and self.pictures:
            return self.picture(frame.name)
        return self.video(frame.name or video), frame.index

    @property
    def example(self) -> str:
        """One of the pictures or frames, in words."""
        key = next(iter(self.faces))
        return key if isinstance(key, str) else f"frame {key[1]}{f' of {key[0]}' if key[0] else ''}"

    def _detections(self, faces: list[Face]) -> Detections:
        faces, names = sorted(faces, key=lambda face: -face.sure), self.names
        even = [1 / len(names)] * len(names)  # of a face whose emotion nobody told
        scores = [[face.scores.get(name, 0.0) for name in names] if face.scores else even for face in faces]
        shown = [names.index(face.label) if face.label else int(np.argmax(own)) for face, own in zip(faces, scores)]
        return Detections(
            np.array([face.xyxy_px for face in faces], np.float32).reshape(-1, 4),
            np.array(scores, np.float32).reshape(-1, len(names)),
            np.array([face.sure for face in faces], np.float32),
            track_ids=np.array([face.track for face in faces], np.int64) if self.tracked else None,
            labels=np.array(shown, int),
        )

    def picture(self, name: str) -> str:
        """Under which name a picture's faces stand: as given, else without folders, which must say which one it is."""
        named = self.pictures.get(base(name))
        if name in self.faces or not named:
            return name
        if len(named) > 1:
            raise DataError(f"has several pictures called {base(name)}: {', '.join(named[:2])}", where=self.path)
        return named[0]

    def video(self, name: str | None) -> str | None:
        """Under which name the frames of a video stand: its own, or, of a file about a single video, whatever it is."""
        return name if name in self.videos or len(self.videos) != 1 else next(iter(self.videos))

    def count(self, video: str | None) -> int:
        """How many faces there are of pictures and of this video."""
        video = self.video(video)
        return sum(len(faces) for key, faces in self.faces.items() if isinstance(key, str) or key[0] == video)

    def check(self, videos: Sequence[str]) -> None:
        """UsageError when several videos are looked at, and it is not told which of them the faces are of."""
        if len(videos) > 1 and self.videos - set(videos):
            told = ", ".join(sorted(name for name in self.videos if name)) or "no name"
            raise UsageError(
                f"does not say which of {', '.join(videos)} its faces are of: it has {told}",
                where=self.path,
                mend="add a column media, or name a folder in which emo detect wrote all of them",
            )


def read(path: str | Path, coco: str | Path | None = None, least: Sequence[str] = EMOTIONS[:7]) -> Results:
    """The faces of a file, or of a folder that emo detect wrote, of one source or of several.

    coco   the COCO file that a list of COCO results is of
    least  names that it has in any case
    DataError names the record that is not a face, and a file in which no face is; and a file that is not
    there.
    """
    path = Path(path)
    parts = [path]
    if path.is_dir():
        parts = sorted(path.glob("detections.jsonl")) or sorted(path.glob("*/detections.jsonl"))
    if not parts:
        raise UsageError("has no folder with a detections.jsonl, as emo detect writes", where=path)
    if not parts[0].is_file():
        raise DataError("no such results file", where=path)
    told = [one for part in parts for one in _told(part, coco)]
    faces = [face for _, face in told if face]
    if faces and max(max(face.xyxy_px) for face in faces) <= 1:
        mend = "x and widths times the picture's width, y and heights times its height are pixels"
        raise DataError("its boxes lie in 0..1, as shares of the picture do", where=path, mend=mend)
    return Results(path, told, least, _doubt(parts[0]) if parts[0].suffix.lower() == ".jsonl" else None)


def _doubt(path: Path) -> float | None:
    """`uncertain_below` of the header of emo's own file; None in others."""
    try:
        header = json.loads(read_text(path, names=True).partition("\n")[0])
        return min(max(float(header["settings"]["uncertain_below"]), 0.0), 1.0)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def known(name: str) -> str:
    """A class by emo's name for it: happiness is Happy; others stay as they are."""
    return SYNONYMS.get(name.strip().lower(), name.strip())


def base(name: str) -> str:
    """A name without its folders, whichever system wrote them."""
    return re.split(r"[/\\]", name)[-1]


@contextmanager
def _guarded(path: Path, line: int | None = None, record: int | None = None) -> Iterator[None]:
    try:
        yield
    except (
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        IndexError,
        OverflowError,
        RecursionError,
    ) as error:  # a form of nobody's
        what = f"result {record} lacks a bbox, a number, or ids that the images and categories have"
        raise DataError(
            f"{what if record else 'has a record that is not a face'}: {type(error).__name__}: "
            f"{' '.join(str(error).split())[:120]}",
            where=path,
            line=line,
            mend=MEND,
        ) from None


def _told(path: Path, coco: str | Path | None) -> list[tuple[Key, Face | None]]:
    """What a file says, in its order: a face, or that a frame has none."""
    with _guarded(path):
        told = list(_rows(path) if path.suffix.lower() in (".csv", ".tsv") else _records(path, coco))
    if not told:
        raise DataError("no face with a box is in it", where=path, mend=MEND)
    return told


def _rows(path: Path) -> Iterator[tuple[Key, Face | None]]:
    for line, row in table_rows(path, ()):
        with _guarded(path, line):
            face = _face(row, {}, path, line)
            if not face and any(0 < sum(map(bool, sides)) < 4 for sides in _boxes_of(row)):
                raise ValueError("its box lacks a side")
            if face or any(row.keys() >= {*keys} for keys in (*SIDES, *SIZES)):
                yield _key(row), face


def _boxes_of(row: dict) -> list[list[str]]:
    """What stands in the columns of a box; `width` and `height` may be the picture's and are not looked at."""
    return [[row[key] for key in keys] for keys in (*SIDES, *SIZES) if "width" not in keys and row.keys() >= {*keys}]


def _records(path: Path, coco: str | Path | None) -> Iterator[tuple[Key, Face | None]]:
    text = read_text(path, names=True)
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    try:
        values = [json.loads(text)]
    except json.JSONDecodeError as whole:
        try:
            values = [json.loads(line) for _, line in lines]
        except json.JSONDecodeError:
            values = []
        if not values:
            raise DataError(
                f"is neither JSON nor one record per line: {whole.msg}", where=path, line=whole.lineno
            ) from None
    first = values[0]
    if coco or (isinstance(first, dict) and "annotations" in first):
        yield from _coco(path, first, read_json(coco, names=True) if coco else first)
        return
    header = first if isinstance(first, dict) and first.get("type") == "header" else {}
    context: dict[str, Any] = {"names": [known(name) for name in header.get("names") or ()]}
    source = {"media": str(header["source"])} if header.get("source") else {}
    for index, value in enumerate(values):
        if value is not header:
            with _guarded(path, lines[index][0] if len(values) > 1 else None):
                yield from _walk(value, source | ({POSITION: index} if len(values) > 1 else {}), context, path)


def _coco(path: Path, told: Any, source: Any) -> Iterator[tuple[Key, Face | None]]:
    """COCO results; a result has one class, so its score is the face's, and all others are 0."""
    rows = told if isinstance(told, list) else told.get("annotations")
    images = {image["id"]: _coco_key(image["file_name"]) for image in source["images"]}
    context = {"categories": {kind["id"]: kind["name"] for kind in source["categories"]}}
    for key in images.values():
        yield key, None
    for record, row in enumerate(rows, 1):
        with _guarded(path, record=record):
            key, _ = images[row["image_id"]], context["categories"][row["category_id"]]
            if (face := _face(row, {}, path, None, context)) is None:
                raise ValueError("no box")
            yield key, face


def _coco_key(name: str) -> Key:
    """`talk.mp4/frame-12.jpg`, and emo's own `frame-12.jpg`, are of a video."""
    match = re.fullmatch(r"(?:.*?([^/\\]+)[/\\])?frame-(\d+)\.jpg", name)
    return (match[1], int(match[2])) if match else name


def _walk(value: Any, outer: dict, context: dict, path: Path) -> Iterator[tuple[Key, Face | None]]:
    """Faces in a record, a list, or whatever holds them; a list of lists is a list of frames."""
    if isinstance(value, list):
        frames = value and all(isinstance(inner, list) for inner in value)
        for index, inner in enumerate(value):
            yield from _walk(inner, outer | ({POSITION: index} if frames else {}), context, path)
    elif isinstance(value, dict):
        record = {str(key).lower(): inner for key, inner in value.items()}
        here = outer | {
            key: record[key] for key in (*FRAMES, *PICTURES, "media") if isinstance(record.get(key), (int, str))
        }
        face = _face(record, here, path, None, context)
        if face or record.get("faces") == []:
            yield _key(here | record), face
            return
        for key, inner in record.items():
            if isinstance(inner, (list, dict)) and key not in ("names", "settings"):
                yield from _walk(inner, here | ({"picture": key} if "." in key else {}), context, path)


def _key(record: dict) -> Key:
    told = {key: value for key, value in record.items() if isinstance(value, (int, float, str)) and value != ""}
    picture = next((str(told[key]) for key in PICTURES if key in told), None)
    frame = next((int(number(str(told[key]))) for key in FRAMES if key in told), 0)
    if picture is not None and ("frame" not in told or Path(picture).suffix.lower() in ("", *PICTURE_SUFFIXES)):
        return picture
    media = told.get("media", picture)
    return (None if media is None else base(str(media))), frame


def _face(record: dict, here: dict, path: Path, line: int | None, context: dict | None = None) -> Face | None:
    """The face of one record; None when it has no box."""
    box = _box(record)
    if box is None:
        return None
    if not np.isfinite(box).all() or box[2] <= box[0] or box[3] <= box[1]:
        raise DataError(f"a box without a size: {box}", where=path, line=line)
    sure = next((value for key in SURE if (value := _number(record.get(key))) is not None), 1.0)
    scores, track = _scores(record, context or {}, path), next((record[key] for key in TRACKS if key in record), None)
    number = _number(track)
    return Face(
        box,
        scores,
        min(max(sure, 0.0), 1.0),
        _shown(record, scores, context or {}),
        None if number is None else int(number),
    )


def _box(record: dict) -> list[float] | None:
    for key, value in record.items():
        if key in ("box", "bbox", "region", "facial_area", "face_box", "xywh") and isinstance(value, dict):
            return _box({inner.lower(): side for inner, side in value.items()})
        if (
            key in ("box", "bbox", "xywh", "region", "xyxy", "xyxy_px")
            and isinstance(value, (list, tuple))
            and len(value) == 4
        ):
            a, b, c, d = map(float, value)
            return [a, b, c, d] if key.startswith("xyxy") else [a, b, a + c, b + d]
    for names, sizes in ((SIDES, False), (SIZES, True)):
        for keys in names:
            sides: list[Any] = [record.get(key) for key in keys]
            if all(isinstance(side, (int, float, str)) and side != "" for side in sides):
                a, b, c, d = (number(side) if isinstance(side, str) else float(side) for side in sides)
                return [a, b, a + c, b + d] if sizes else [a, b, c, d]
    return None


def _scores(record: dict, context: dict, path: Path) -> dict[str, float]:
    """Emotion -> score; several above 1, such as per cent, are brought to a sum of 1. A name alone has the score that
    stands beside the face's own, or 1.
    """
    found: dict[str, float] = {}
    if context.get("names") and isinstance(record.get("scores"), list):
        found = {name: _number(told) or 0.0 for name, told in zip(context["names"], record["scores"], strict=True)}
    for source in (record.get("emotions"), record.get("emotion"), record.get("scores"), record):
        if isinstance(source, dict) and not found:
            found = {
                SYNONYMS[str(key).lower()]: value
                for key, text in source.items()
                if str(key).lower() in SYNONYMS and (value := _number(text)) is not None
            }
    if found:
        total = sum(found.values()) if max(found.values()) > 1 else 1.0
        return {name: value / total for name, value in found.items()} if max(found.values()) > 0 else {}
    label = next((record[key] for key in LABELS if isinstance(record.get(key), str) and record[key]), None)
    if label is None and "category_id" in record:
        if "categories" not in context:
            raise UsageError(
                "is a list of results; its ids have no meaning without the pictures' file",
                where=path,
                mend="name the COCO file that they refer to: RESULTS.json+INSTANCES.json",
            )
        label = context["categories"][record["category_id"]]
    beside = _number(record.get("score")) if _number(record.get("face")) is not None else None
    return {known(label): 1.0 if beside is None else beside} if label else {}


def _shown(record: dict, scores: dict[str, float], context: dict) -> str | None:
    """The emotion that a record names beside the scores of all; None when it names none of them."""
    label = next((record[key] for key in LABELS if isinstance(record.get(key), str)), None)
    names, class_id = context.get("names"), record.get("class_id")
    if names and isinstance(class_id, int) and 0 <= class_id < len(names):
        label = names[class_id]
    return known(label) if label and known(label) in scores else None


def _number(value: Any) -> float | None:
    """ValueError of what is a number and yet none: NaN, infinity."""
    try:
        told = (
            None
            if value is None or isinstance(value, (bool, dict, list)) or value == ""
            else number(value)  # a spreadsheet's decimal comma, too
            if isinstance(value, str)
            else float(value)
        )
    except ValueError:
        return None
    if told is not None and not np.isfinite(told):
        raise ValueError(f"a score of {value}")
    return told
