"""A video file -> frames, turned upright as its rotation metadata says, each with its own timestamp."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from converters import images
from converters.errors import MediaError

from ..systems.backends import name_for_opencv, quiet_opencv
from . import containers
from .frame import Frame

ONE_THREAD = 640 * 480  # pixels of a frame up to which sharing them out among threads costs more than it gains


def refuse_large(capture, where) -> int:
    """How many pixels a frame has; MediaError when more than `images.max_pixels`, before one is decoded."""
    import cv2

    width, height = (int(capture.get(side)) for side in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
    if width * height > images.max_pixels():
        capture.release()
        raise MediaError(
            f"its frames are {width}x{height}: more than {images.max_pixels()} pixels",
            where=where,
            mend="--max-pixels (EMO_MAX_PIXELS) raises the limit",
        )
    return width * height


class Video:
    """A video file; frames are decoded as they are asked for, never held."""

    kind, live = "video", False

    def __init__(self, path: Path, limit: int | None = None):
        self.path, self.limit = path, limit
        self.capture, self.first = self._open()
        import cv2

        self.facts = containers.facts(path)
        self.exact = self.facts.frames is not None
        said, rate = self.capture.get(cv2.CAP_PROP_FRAME_COUNT), self.capture.get(cv2.CAP_PROP_FPS)
        self.fps: float = rate if 0.1 <= rate <= 1000 else 25.0  # the average; 25 when nothing usable is said
        self.lasts_s: float | None = said / rate if said > 0 and rate > 0 else None  # as the container says
        self._expected = self.facts.frames or (round(said) if self.lasts_s else None)

    @property
    def count(self) -> int | None:
        """How many frames to expect, at most `limit`; unless `exact` an estimate, which gets better as frames come."""
        return min((count for count in (self._expected, self.limit) if count), default=None)

    def _open(self):
        quiet_opencv()
        import cv2

        name = name_for_opencv(self.path)
        try:
            capture = cv2.VideoCapture(name, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
        except cv2.error:
            capture = None
        if capture is not None and refuse_large(capture, self.path) > ONE_THREAD:
            capture = cv2.VideoCapture(name, cv2.CAP_FFMPEG)
        good, first = capture.read() if capture is not None and capture.isOpened() else (False, None)
        if not good:
            raise MediaError(
                "cannot be opened as a picture or video",
                where=self.path,
                mend="is it complete, and of a format that FFmpeg reads?",
            )
        return capture, first

    def __iter__(self) -> Iterator[Frame]:
        """MediaError at the end when the file is cut, or the video stops well before the frames that its own table
        lists.

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
                if not self.exact and self.lasts_s and time_s > 0:  # as many a second from here on as so far
                    self._expected = max(index + 1, round(index * self.lasts_s / time_s))
                yield Frame(index, round(time_s, 6), bgr)
                index, last = index + 1, time_s
                bgr = self.capture.read()[1]
            listed = self.facts.frames or self.facts.least
            if bgr is None and (self.facts.cut or (listed and index < 0.95 * listed - 1)):
                of, why = (
                    (f" of {listed}", "damaged")
                    if not self.facts.cut
                    else ("", "cut: it is shorter than its header says")
                )
                raise MediaError(
                    f"the video breaks off after {index}{of} {'frame' if index == 1 and not of else 'frames'}",
                    where=self.path,
                    mend=f"the file is {why}; what was read is kept as partial",
                )
        finally:
            self.capture.release()
