"""Detections in the forms of other tools: crops, YOLO labels, COCO JSON, Parquet. Sinks as in `sinks`."""

from __future__ import annotations

import json
import re
from pathlib import Path

from converters import boxes
from converters.errors import MissingExtra
from converters.output_folder import part, short

from ..sources.frame import Frame
from ..systems.detections import Detections
from .sinks import columns_of, faces_of, rows_of, write_picture


def stem_of(frame: Frame) -> str:
    """What files of a frame are called: its picture's name without suffix, or `frame-000012` of a video."""
    return f"frame-{frame.index:06d}" if frame.name is None else str(Path(frame.name).with_suffix(""))


def folder_of(name: str) -> str:
    """A class as a folder of its own, whatever it is called: no separator, no dots at the ends, not too long.

    Names come with models and other tools' results: `../x` would lie outside the output.
    """
    whole = name.encode("utf-8", "replace")[:100].decode("utf-8", "ignore")
    plain = re.sub(r'[\x00-\x1f\x7f/\\:*?"<>|]', "-", whole)
    return plain.strip(". ") or "-"


class FileNames:
    """What files of each frame are called: its `stem_of`, no longer than a file's name may be; where another picture's
    has that already (a.jpg and a.png), its whole name. One folder: without the folders that it lies in.
    """

    def __init__(self, one_folder: bool = False):
        self.one_folder = one_folder
        self.taken: dict[str, str] = {}  # what is given, to which picture

    def of(self, frame: Frame) -> str:
        if frame.name is None:
            return stem_of(frame)
        wished, number = stem_of(frame), 1
        while self.taken.setdefault(given := self._fitting(wished), frame.name) != frame.name:
            wished, number = frame.name + (f"-{number}" if number > 1 else ""), number + 1
        return given

    def _fitting(self, name: str) -> str:
        return short(name.replace("/", "-") if self.one_folder else name)


class Crops:
    """`crops/<emotion>/<frame>-<face>.jpg`: each face, cut out as its box says; a folder a class, as training sets
    are.
    """

    def __init__(self, path: Path, names):
        self.path, self.names, self.called = path, names, FileNames(one_folder=True)
        part(path).mkdir()

    def write(self, frame: Frame, found: Detections, drawn) -> None:
        called = self.called.of(frame)
        for index, (box, class_id) in enumerate(
            zip(found.xyxy_px.round().astype(int).tolist(), found.class_ids.tolist())
        ):
            x1, y1, x2, y2 = box
            target = part(self.path) / folder_of(self.names[class_id]) / f"{called}-{index}.jpg"
            target.parent.mkdir(parents=True, exist_ok=True)
            write_picture(target, frame.bgr[y1 : max(y2, y1 + 1), x1 : max(x2, x1 + 1)])

    def close(self):
        pass


class Labels:
    """`labels/<frame>.txt`: Darknet's labels, a line a face: class id, centre x, centre y, width, height, relative;
    empty without a face.
    """

    def __init__(self, path: Path, names):
        self.path, self.names, self.called = path, names, FileNames()
        part(path).mkdir()

    def write(self, frame: Frame, found: Detections, drawn) -> None:
        target = part(self.path) / f"{self.called.of(frame)}.txt"
        target.parent.mkdir(parents=True, exist_ok=True)
        rows = boxes.xyxy_to_cxcywh_rel(found.xyxy_px.astype(float), frame.bgr.shape[1::-1])
        lines = (
            f"{class_id} " + " ".join(f"{value:.6f}" for value in row) + "\n"
            for class_id, row in zip(found.class_ids.tolist(), rows.tolist())
        )
        target.write_text("".join(lines))

    def close(self):
        (part(self.path) / "emo.names").write_text("".join(f"{name}\n" for name in self.names))


class Coco:
    """`coco.json`: images, categories (ids from 1) and annotations with bbox [x, y, w, h], score and, of a tracked
    face, track_id.
    """

    def __init__(self, path: Path, names):
        self.path, self.names, self.count = path, names, 0
        self.images: list[tuple] = []
        self.file = open(part(path), "w", encoding="utf-8", errors="backslashreplace")
        self.file.write('{"annotations":[')

    def write(self, frame: Frame, found: Detections, drawn) -> None:
        height, width = frame.bgr.shape[:2]
        self.images.append((frame.index, frame.name or f"{stem_of(frame)}.jpg", width, height))
        for face in faces_of(found):
            x1, y1, x2, y2 = face["xyxy_px"]
            wide, high = round(x2 - x1, 2), round(y2 - y1, 2)
            record = {
                "id": self.count + 1,
                "image_id": frame.index + 1,
                "category_id": face["class_id"] + 1,
                "bbox": [x1, y1, wide, high],
                "area": round(wide * high, 2),
                "iscrowd": 0,
                "score": face["face"],
                "scores": face["scores"],
            }
            if "track" in face:
                record["track_id"] = face["track"]
            self.file.write(",\n" * bool(self.count) + json.dumps(record, separators=(",", ":")))
            self.count += 1

    def close(self):
        if self.file.closed:
            return
        images = [
            {"id": index + 1, "file_name": name, "width": width, "height": height}
            for index, name, width, height in self.images
        ]
        kinds = [{"id": index + 1, "name": name, "supercategory": "face"} for index, name in enumerate(self.names)]
        self.file.write(
            f'],\n"images":{json.dumps(images, ensure_ascii=False)},\n'
            f'"categories":{json.dumps(kinds, ensure_ascii=False)}}}\n'
        )
        self.file.close()


class Parquet:
    """`detections.parquet`: the columns of the CSV, typed; a frame without a face is a row of nulls."""

    ROWS = 5000  # written at a time

    def __init__(self, path: Path, names, tracked: bool = False):
        try:
            import pyarrow as arrow
            from pyarrow import parquet
        except ImportError:
            raise MissingExtra("pyarrow", "parquet", "--outputs parquet") from None
        self.arrow, self.path, self.names = arrow, path, names
        text, whole, real = arrow.string(), arrow.int64(), arrow.float64()
        kinds = {"frame": whole, "picture": text, "emotion": text, "uncertain": arrow.bool_(), "track": whole}
        self.schema = arrow.schema([(name, kinds.get(name, real)) for name in columns_of(names, tracked)])
        self.rows: list[list] = []
        self.writer = parquet.ParquetWriter(str(part(path)), self.schema)

    def write(self, frame: Frame, found: Detections, drawn) -> None:
        self.rows += rows_of(frame, found, self.names)
        if len(self.rows) >= self.ROWS:
            self._flush()

    def _flush(self):
        names = self.schema.names
        records = [
            dict(zip(names, row)) | {"uncertain": None if row[10] is None else bool(row[10])} for row in self.rows
        ]
        self.writer.write_table(self.arrow.Table.from_pylist(records, self.schema))
        self.rows = []

    def close(self):
        if self.writer.is_open:
            if self.rows:
                self._flush()
            self.writer.close()
