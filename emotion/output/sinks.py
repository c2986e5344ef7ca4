"""Sinks: detections as JSONL and CSV, annotated pictures and video, under one folder.

While it is being written, every file's name says so (`detections.part.jsonl`, `annotated.part.mp4`); they
get their names together when the source has ended well, in place of an earlier run's (`output_folder.in_place`).
What an interrupted or failed run leaves keeps its `.part` name, and the earlier run's files stay.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from converters.errors import MediaError
from converters.output_folder import finish, part, short

from ..sources.frame import Frame
from ..systems.backends import name_for_opencv
from ..systems.detections import Detections

FILES = (
    "detections.jsonl",
    "detections.csv",
    "detections.parquet",
    "tracks.csv",
    "annotated.mp4",
    "annotated.jpg",
    "annotated.png",
    "pictures",
    "summary.json",
    "timeline.png",
    "summary.html",
    "crops",
    "labels",
    "coco.json",
)


class Jsonl:
    """First a header record, then one record a frame, also for frames without a face."""

    def __init__(self, path: Path, header: dict):
        # A name that is not UTF-8 gets JSON's own escape: it reads back as the name that it was.
        self.path, self.file = path, open(part(path), "w", encoding="utf-8", errors="backslashreplace")
        self._line({"type": "header"} | header)

    def _line(self, record):
        self.file.write(json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n")

    def write(self, frame: Frame, found: Detections, drawn) -> None:
        height, width = frame.bgr.shape[:2]
        record = {"type": "frame", "index": frame.index, "time_s": frame.time_s}
        if frame.name is not None:
            record["picture"] = frame.name
        record |= {"size_wh": [width, height]} | ({} if found.detected else {"detected": False})
        self._line(record | {"faces": faces_of(found)})

    def close(self):
        self.file.close()


def faces_of(found: Detections) -> list[dict]:
    """One dict a face, rounded to a hundredth of a pixel and six digits of a score."""
    faces = []
    for index in range(len(found)):
        face = {
            "xyxy_px": [round(float(value), 2) for value in found.xyxy_px[index]],
            "face": round(float(found.face[index]), 6),
            "class_id": int(found.class_ids[index]),
            "scores": [round(float(value), 6) for value in found.scores[index]],
        }
        if found.uncertain is not None:
            face["uncertain"] = bool(found.uncertain[index])
        if found.track_ids is not None:
            face["track"] = int(found.track_ids[index])
        if found.frame_scores is not None:
            face["frame_scores"] = [round(float(value), 6) for value in found.frame_scores[index]]
        faces.append(face)
    return faces


def columns_of(names, tracked: bool) -> list[str]:
    return [
        "frame",
        "time_s",
        "picture",
        "x1",
        "y1",
        "x2",
        "y2",
        "face",
        "emotion",
        "score",
        "uncertain",
        *names,
        *(["track"] if tracked else []),
    ]


def rows_of(frame: Frame, found: Detections, names) -> list[list]:
    """The rows of a frame in a table, a row a face; one row, most of it None, for a frame without a face."""
    begin, tracked = [frame.index, frame.time_s, frame.name], found.track_ids is not None
    rows = []
    for face in faces_of(found):
        shown = face["class_id"]
        doubt, track = int(face.get("uncertain", False)), [face["track"]] if tracked else []
        rows.append(
            [
                *begin,
                *face["xyxy_px"],
                face["face"],
                names[shown],
                face["scores"][shown],
                doubt,
                *face["scores"],
                *track,
            ]
        )
    return rows or [begin + [None] * (8 + len(names) + tracked)]


class Csv:
    """One row a face, and one for a frame without a face: see `columns_of`."""

    def __init__(self, path: Path, names, tracked: bool = False):
        self.path, self.names = path, names
        self.file = open(part(path), "w", newline="", encoding="utf-8", errors="backslashreplace")
        self.rows = csv.writer(self.file, lineterminator="\n")
        self.rows.writerow(columns_of(names, tracked))

    def write(self, frame: Frame, found: Detections, drawn) -> None:
        self.rows.writerows(rows_of(frame, found, self.names))

    def close(self):
        self.file.close()


class Tracks:
    """One row a track: from when to when, in how many frames, and the mean of its frames' own scores with the best
    class of it.

    A few numbers a track are held until the end.
    """

    def __init__(self, path: Path, names):
        self.path, self.names = path, names
        self.tracks: dict[int, tuple] = {}

    def write(self, frame: Frame, found: Detections, drawn) -> None:
        if not found.detected or found.track_ids is None:
            return
        for track, scores in zip(
            found.track_ids.tolist(), found.scores if found.frame_scores is None else found.frame_scores
        ):
            first_s, _, frames, total = self.tracks.get(track, (frame.time_s, 0, 0, 0))
            self.tracks[track] = first_s, frame.time_s, frames + 1, total + scores.astype(float)

    def close(self):
        with open(part(self.path), "w", newline="", encoding="utf-8", errors="backslashreplace") as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(["track", "first_s", "last_s", "frames", "emotion", "score", *self.names])
            for track, (first_s, last_s, frames, total) in sorted(self.tracks.items()):
                mean = [round(value, 6) for value in (total / frames).tolist()]
                rows.writerow([track, first_s, last_s, frames, self.names[int(np.argmax(mean))], max(mean), *mean])


class Picture:
    """The one annotated picture: PNG for a PNG, else JPEG."""

    draws = True

    def __init__(self, path: Path):
        self.path = path

    def write(self, frame, found, drawn) -> None:
        write_picture(part(self.path), drawn)

    def close(self):
        pass


class Folder:
    """Annotated pictures under their own names, in subfolders as they came."""

    draws = True

    def __init__(self, path: Path):
        self.path = path
        part(path).mkdir()

    def write(self, frame, found, drawn) -> None:
        stem, suffix = os.path.splitext(frame.name)
        if suffix.lower() not in (".jpg", ".jpeg", ".png"):
            stem, suffix = frame.name, ".png"
        target = part(self.path) / (short(stem) + suffix)
        target.parent.mkdir(parents=True, exist_ok=True)
        write_picture(target, drawn)

    def close(self):
        pass


LONGEST_S = 10.0  # that a frame of a live source is shown for, when nothing comes


class Video:
    """mp4v, the one codec an OpenCV wheel can always write; at the source's average frame rate.

    keep_time: a frame is shown until the next one's time, or not at all, since those of a live source come unevenly.
    The codec needs even sides: an odd one gains a row or column, repeated. A frame of another size than the
    first is scaled to it.
    """

    draws = True

    def __init__(self, path: Path, fps: float, keep_time: bool = False):
        self.path, self.fps, self.keep_time, self.frames = path, fps, keep_time, 0
        self.writer: Any = None
        self.size = (0, 0)

    def write(self, frame, found, drawn) -> None:
        import cv2

        if self.writer is None:
            height, width = drawn.shape[:2]
            self.size = width, height
            self.writer = cv2.VideoWriter(
                name_for_opencv(part(self.path)),
                cv2.CAP_FFMPEG,
                cv2.VideoWriter.fourcc(*"mp4v"),
                self.fps,
                (width + width % 2, height + height % 2),
            )
            if not self.writer.isOpened():
                raise MediaError(
                    f"a video of {width}x{height} at {self.fps:g} frames/s cannot be written",
                    where=self.path,
                    mend="--no-annotate writes the detections alone",
                )
        if drawn.shape[1::-1] != self.size:
            drawn = cv2.resize(drawn, self.size, interpolation=cv2.INTER_AREA)
        width, height = self.size
        if width % 2 or height % 2:
            drawn = cv2.copyMakeBorder(drawn, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
        due = round(frame.time_s * self.fps) + 1 - self.frames if self.keep_time else 1
        for _ in range(min(due, round(LONGEST_S * self.fps))):
            self.writer.write(drawn)
            self.frames += 1

    def close(self):
        """MediaError when not all frames are in the file: OpenCV's writer says nothing of a full disk."""
        import cv2

        if self.writer is not None:
            self.writer.release()
            whole = (
                round(cv2.VideoCapture(name_for_opencv(part(self.path)), cv2.CAP_FFMPEG).get(cv2.CAP_PROP_FRAME_COUNT))
                == self.frames
            )
            if not whole:
                raise MediaError(
                    "cannot be written to its end",
                    where=self.path,
                    mend="is the disk full? --no-annotate writes the detections alone",
                )


def write_picture(path: Path, picture: np.ndarray) -> None:
    """Encode by the suffix (JPEG at quality 95); MediaError when it cannot be written."""
    import cv2

    good, data = cv2.imencode(
        path.suffix, picture, [cv2.IMWRITE_JPEG_QUALITY, 95] if path.suffix.lower() != ".png" else []
    )
    if not good:
        raise MediaError(f"a picture of {picture.shape[1]}x{picture.shape[0]} cannot be encoded", where=path)
    try:
        path.write_bytes(data.data)
    except OSError as error:
        raise MediaError(f"cannot be written: {error.strerror}", where=path) from None


class Sinks:
    """Several sinks as one; a context manager that names the files when its block ends without an error.

    Only then does what an earlier run left in `folder` go. After an error what was written keeps its `.part`
    names; when no frame was, nothing of it stays.
    """

    def __init__(self, folder, sinks):
        self.folder, self.sinks, self.needs_drawing = (
            folder,
            sinks,
            any(getattr(sink, "draws", False) for sink in sinks),
        )
        self.frames = 0

    def write(self, frame: Frame, found: Detections, drawn: np.ndarray | None) -> None:
        for sink in self.sinks:
            try:
                sink.write(frame, found, drawn)
            except OSError as error:
                raise MediaError(f"cannot be written: {error.strerror}", where=sink.path) from None
        self.frames += 1

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        fault = None
        for sink in self.sinks:
            if kind is not None and getattr(sink, "whole_only", False):
                continue
            try:
                sink.close()
            except OSError as full:
                fault = fault or MediaError(f"cannot be written: {full.strerror}", where=sink.path)
            except MediaError as cut:
                fault = fault or cut
        if kind is None and fault:
            raise fault
        written = [path for path in self.paths if part(path).exists()]  # a video without a frame has no file
        if kind is None:
            finish(self.folder, *written, instead_of=FILES)
        elif not self.frames:
            for path in map(part, written):
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    @property
    def paths(self) -> list[Path]:
        return [path for sink in self.sinks for path in getattr(sink, "paths", (sink.path,))]

    @property
    def files(self) -> list[Path]:
        return [path for path in self.paths if path.exists()]
