"""Sources: a picture, a folder, a list file, a video, a camera or a stream -> frames, one at a time.

    source = open_source("video.mp4")
    for frame in source: frame.index, frame.time_s, frame.bgr

Pictures are turned upright as EXIF says, video as its rotation metadata says; boxes are in the pixels of
what is seen. A frame's time is the video's own timestamp, so a variable frame rate is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from converters import images
from converters.darknetfiles import read_list
from converters.errors import MediaError

from . import containers
from .backends import name_for_opencv, quiet_opencv
from .live import Live, is_live

PICTURES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pnm", ".gif", ".jp2"}
LISTS = {".txt", ".list", ".lst"}


@dataclass(frozen=True)
class Frame:
    """index from 0; time_s from the video's start, None for a picture; name the picture's, None in a video."""

    index: int
    time_s: float | None
    bgr: np.ndarray  # (H, W, 3) uint8
    name: str | None = None


class Pictures:
    """Picture files, in the order given. `skip(error)`, when set, is told of those that cannot be read."""

    kind, fps, live = "pictures", None, False

    def __init__(self, path: Path, files: list[tuple[str, Path]], kind: str, limit: int | None = None):
        self.path, self.kind, self.files = path, kind, files[:limit]
        self.skip: Callable[[MediaError], None] | None = None

    @property
    def count(self) -> int:
        return len(self.files)

    def __iter__(self) -> Iterator[Frame]:
        for index, (name, file) in enumerate(self.files):
            try:
                yield Frame(index, None, read_picture(file), name)
            except MediaError as error:
                if self.skip is None:
                    raise
                self.skip(error)


class Video:
    """A video file; frames are decoded as they are asked for, never held."""

    kind, live = "video", False

    def __init__(self, path: Path, limit: int | None = None):
        self.path, self.limit = path, limit
        self.capture, self.first = self._open()
        import cv2

        said = round(self.capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self.facts = containers.facts(path)
        known = self.facts.frames or (said if said > 0 else None)  # an estimate will do for a progress bar
        self.count: int | None = min(known, limit or known) if known else limit  # how many frames to expect, at most when only the caller says
        rate = self.capture.get(cv2.CAP_PROP_FPS)
        self.fps: float = rate if 0.1 <= rate <= 1000 else 25.0  # the average; 25 when nothing usable is said

    def _open(self):
        quiet_opencv()
        import cv2

        name = name_for_opencv(self.path)
        try:
            capture = cv2.VideoCapture(name, cv2.CAP_FFMPEG)
        except cv2.error:
            capture = None
        good, first = capture.read() if capture is not None and capture.isOpened() else (False, None)
        if not good:
            raise MediaError("cannot be opened as a picture or video", where=self.path, mend="is it complete, and of a format that FFmpeg reads?")
        return capture, first

    def __iter__(self) -> Iterator[Frame]:
        """MediaError at the end when the file is cut, or the video stops well before the frames that its own table lists.

        Times never go back; a damaged file that begins before 0 begins at 0.
        """
        import cv2

        try:
            index, last, before_0, bgr = 0, -1.0, 0.0, self.first
            self.first = None
            while bgr is not None and (self.limit is None or index < self.limit):
                time_s = self.capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
                before_0 = min(time_s, 0.0) if index == 0 else before_0
                time_s -= before_0
                if not time_s > last:  # some containers keep no times; the index still tells
                    time_s = max(index / self.fps, last)
                yield Frame(index, round(time_s, 6), bgr)
                index, last = index + 1, time_s
                bgr = self.capture.read()[1]
            if bgr is None and (self.facts.cut or self.facts.frames and index < 0.95 * self.facts.frames - 1):
                of, why = (f" of {self.facts.frames}", "damaged") if not self.facts.cut else ("", "cut: it is shorter than its header says")
                raise MediaError(f"the video breaks off after {index}{of} frames", where=self.path, mend=f"the file is {why}; what was read is kept as partial")
        finally:
            self.capture.release()


def read_picture(path: Path, upright: bool = True) -> np.ndarray:
    """(H, W, 3) uint8 BGR; MediaError when the file is missing, empty, cut or no picture."""
    info = images.probe(path)
    if info.problem:
        raise MediaError(info.detail, where=path)
    quiet_opencv()
    return images.decode(path, upright=upright)


def open_source(path: str | Path, limit: int | None = None) -> Pictures | Video | Live:
    """The source that `path` is, by its kind: a folder (searched through), a list file, a picture, a video; or a camera
    (camera, camera:1, 1) or the URL of a stream.

    An animated GIF is a video; in a folder or list it is a picture, its first frame.

    MediaError when there is no such path, or when it cannot be opened or holds nothing.
    """
    if is_live(str(path)):
        return Live(str(path), limit)
    path = Path(path)
    if path.is_dir():
        files = folder_pictures(path)
        if not files:
            raise MediaError("holds no pictures", where=path, mend=f"looked for {', '.join(sorted(PICTURES))}")
        return Pictures(path, [(str(file.relative_to(path)), file) for file in files], "folder", limit)
    if not path.exists():
        raise MediaError("no such file or folder", where=path)
    if not path.is_file():
        raise MediaError("is neither a file nor a folder", where=path)
    if path.stat().st_size == 0:
        raise MediaError("is empty: zero bytes", where=path)
    suffix = path.suffix.lower()
    if suffix in LISTS:
        files = read_list(path)
        digits = len(str(len(files)))
        return Pictures(path, [(f"{index:0{digits}d}-{file.name}", file) for index, file in enumerate(files)], "list", limit)
    if suffix in PICTURES and not (suffix == ".gif" and is_animated(path)):
        return Pictures(path, [(path.name, path)], "picture", limit)
    return Video(path, limit)


def is_animated(gif: Path) -> bool:
    """Whether it has a second frame; False also for what is no GIF, which the reader of pictures will say."""
    from PIL import Image

    try:
        with Image.open(gif) as picture:
            return getattr(picture, "is_animated", False)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return False


def folder_pictures(folder: Path) -> list[Path]:
    """The pictures in a folder and its subfolders, sorted; hidden files and folders are left out."""
    found = (path for path in folder.rglob("*") if path.suffix.lower() in PICTURES and path.is_file())
    return sorted(path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts))
