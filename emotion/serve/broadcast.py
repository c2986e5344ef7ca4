"""A camera, stream or video of the server's, looked at once for all who watch: annotated JPEGs and JSON go out.

One thread reads, detects and draws while somebody watches, and ends when nobody does. Who watches gets the newest
frame; those that came while it was busy are not kept.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Iterator
from typing import cast

from converters.errors import EmoError

from ..output.draw import draw
from ..sources.live import Live, is_live
from ..sources.open import open_source
from ..sources.window import Window
from .engine import Engine, Request, answer

QUALITY = 80  # of the JPEGs
WAIT_S = 1.0  # for a frame, before it is looked whether whoever watches is still there


class Broadcast:
    """`watch()` -> (number, JPEG, what POST /detect answers with time_s), frame after frame."""

    def __init__(self, source: str, engine: Engine):
        self.source, self.name, self.engine = source, Live.name_of(source) if is_live(source) else source, engine
        self.turn = threading.Condition()
        self.number = self.watchers = 0
        self.newest: tuple[bytes, dict] | None = None
        self.error: EmoError | None = None
        self.thread: threading.Thread | None = None

    def watch(self, last: int = 0) -> Iterator[tuple[int, bytes, dict] | None]:
        """From the frame after `last` on, None when none came for a while; ends with the source.

        EmoError when it cannot be opened.
        """
        with self.turn:
            self.watchers += 1
            if self.thread is None or not self.thread.is_alive():
                self.error, self.newest = None, None
                self.thread = threading.Thread(target=self._work, name="emo-broadcast", daemon=True)
                self.thread.start()
            working = self.thread
        last = min(last, self.number)
        try:
            while True:
                with self.turn:
                    self.turn.wait_for(
                        lambda: (self.number > last and self.newest) or not working.is_alive() or self.error, WAIT_S
                    )
                    if self.error:
                        raise self.error
                    newest, number = self.newest, self.number
                    if newest is None or number == last:
                        if not working.is_alive():
                            return
                        yield_none = True
                    else:
                        yield_none, last = False, number
                yield None if newest is None or yield_none else (number, *newest)
        finally:
            with self.turn:
                self.watchers -= 1

    def _work(self) -> None:
        import cv2

        try:
            opened = open_source(self.source)
            paced = opened.kind == "video" and not opened.live  # a file is shown at its own speed
            chosen, begun = self.engine.settings, None
            session = None if chosen.raw else f"broadcast {self.name} {time.monotonic()}"
            part = Window(opened, chosen.start_s, chosen.end_s, chosen.stride, chosen.max_fps, chosen.limit)
            frames = cast(Generator, iter(part))
            for frame in frames:
                time_s = frame.time_s or 0.0
                begun = time.monotonic() - time_s if begun is None else begun
                found, detector = self.engine.find(frame.bgr, Request(session=session, time_s=time_s))
                jpeg = cv2.imencode(
                    ".jpg", draw(frame.bgr, found, detector.names, chosen.bars), [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
                )[1].tobytes()
                told = answer(found, detector.names, frame.bgr.shape[1::-1]) | {"time_s": time_s, "source": self.name}
                with self.turn:
                    self.number, self.newest = self.number + 1, (jpeg, told)
                    self.turn.notify_all()
                    if not self.watchers:
                        break
                if paced and (early := begun + time_s - time.monotonic()) > 0:
                    time.sleep(min(early, 1.0))
            frames.close()
        except EmoError as error:
            self.error = error
        finally:
            with self.turn:
                self.turn.notify_all()
