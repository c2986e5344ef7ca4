"""Cameras and network streams -> frames as they come; whoever is slower than the source misses the ones between.

    for frame in Live("camera:0"): ...
    for frame in Live("rtsp://host/stream", limit=500): ...

A thread reads all the time, so that the frame that is given is the newest one and not one of seconds ago, as from
OpenCV's own buffer. A stream that has an end (a video file at a URL) is read whole: there nothing is missed.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from converters.errors import MediaError
from converters.terminal_text import redacted
from darknet_runner.signals import interruptible

from ..systems.backends import quiet_opencv
from .frame import Frame
from .video import refuse_large

WAIT_MS = 10_000  # for a stream to open, and between two of its frames
CAMERA, URL = (
    re.compile(r"(?:camera:)?(\d{1,3})|camera"),
    re.compile(r"(?:rtsps?|rtmps?|https?|rtp|udp|tcp|srt)://\S+", re.IGNORECASE),
)


def is_live(source: str) -> bool:
    """Whether it is a camera (camera, camera:1, 1) or the URL of a stream; what lies in the file system is not."""
    return bool(URL.fullmatch(source) or CAMERA.fullmatch(source)) and not Path(source).exists()


class Live:
    """`fps` is what the source says, 25 when that is nothing usable; `missed` counts frames that came while nobody
    asked.
    """

    kind, exact = "video", True

    def __init__(self, source: str, limit: int | None = None):
        camera = CAMERA.fullmatch(source)
        self.name, self.path = self.name_of(source), self.path_of(source)
        self.count = self.limit = limit
        self.missed, self._number, self._newest, self._ended, self._stop = 0, 0, None, False, False
        self._turn = threading.Condition()
        self.capture = self._open(int(camera[1] or 0) if camera else source)
        import cv2

        rate = self.capture.get(cv2.CAP_PROP_FPS)
        self.fps: float = rate if 1 <= rate <= 240 else 25.0
        self.live = not self.capture.get(cv2.CAP_PROP_FRAME_COUNT) > 0

    @staticmethod
    def name_of(source: str) -> str:
        """What a source is called where something is written: no password is."""
        camera = CAMERA.fullmatch(source)
        return f"camera:{camera[1] or 0}" if camera else redacted(source)

    @classmethod
    def path_of(cls, source: str) -> Path:
        """The name as one that a file may have."""
        name = cls.name_of(source)
        return Path(re.sub(r"[^\w.-]+", "-", name.partition("://")[2] or name).strip("-."))

    def _open(self, source):
        quiet_opencv()
        import cv2

        try:
            if isinstance(source, int):
                capture = cv2.VideoCapture(source)
            else:
                capture = cv2.VideoCapture(
                    source,
                    cv2.CAP_FFMPEG,
                    [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, WAIT_MS, cv2.CAP_PROP_READ_TIMEOUT_MSEC, WAIT_MS],
                )
        except cv2.error:
            capture = None
        if capture is None or not capture.isOpened():
            mend = (
                "is it plugged in, free, and yours to read (/dev/video*)?"
                if isinstance(source, int)
                else "is the address right, and does it answer?"
            )
            raise MediaError("cannot be opened", where=self.name, mend=mend)
        refuse_large(capture, self.name)
        return capture

    def _read(self):
        while not self._stop:
            good, bgr = self.capture.read()
            with self._turn:
                if not good:
                    break
                self._number, self._newest = self._number + 1, (time.monotonic(), bgr)
                self._turn.notify_all()
                if not self.live:
                    self._turn.wait_for(lambda: self._newest is None or self._stop)
        with self._turn:
            self._ended = True
            self._turn.notify_all()

    def __iter__(self) -> Iterator[Frame]:
        """Until the stream ends, `limit` frames are given, or Ctrl-C (or SIGTERM), which is how one ends a camera.

        MediaError when no frame comes at all.
        """
        reader = threading.Thread(target=self._read, name="emo-live", daemon=True)
        reader.start()
        index, seen, began = 0, 0, None
        try:
            with interruptible() as asked:
                while not asked and (self.limit is None or index < self.limit):
                    with self._turn:
                        if not self._turn.wait_for(lambda: self._newest is not None or self._ended, timeout=0.2):
                            continue
                        if self._newest is None:
                            break
                        (at, bgr), number, self._newest = self._newest, self._number, None
                        self._turn.notify_all()
                    self.missed, seen, began = self.missed + number - seen - 1, number, at if began is None else began
                    yield Frame(index, round(at - began if self.live else index / self.fps, 6), bgr)
                    index += 1
            if not index:
                if asked:
                    raise KeyboardInterrupt
                raise MediaError("gives no frame", where=self.name)
        finally:
            self._stop = True
            with self._turn:
                self._turn.notify_all()
            reader.join(WAIT_MS / 1000)
            if not reader.is_alive():
                self.capture.release()
