"""`emo detect --show`: one source, live, in the page of `emo serve`, else in a window."""

from __future__ import annotations

import os
import sys
from contextlib import closing
from importlib.util import find_spec


def show(source: str, settings) -> None:
    """Until Ctrl-C, `q`, or the source ends.

    MissingExtra where there is neither the extra serve nor a screen for a window.
    """
    if all(map(find_spec, ("starlette", "uvicorn"))):
        from dataclasses import asdict

        from .serve import run

        run("127.0.0.1", 0, [source], None, 20, 60, True, asdict(settings), path="/?source=0")
        return
    from converters.errors import MissingExtra

    if not (sys.platform != "linux" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise MissingExtra("starlette and uvicorn", "serve", "--show without a screen")
    _window(source, settings)


def _window(source: str, settings) -> None:
    import cv2

    from converters.errors import MissingExtra

    from ..output.draw import draw
    from ..run_detection import stream
    from ..sources.open import open_source
    from ..sources.window import Window
    from ..systems.tracking import Tracker

    opened = open_source(source)
    tracked = opened.kind == "video" and not settings.raw
    detector = settings.detector(tracked)
    part = Window(opened, settings.start_s, settings.end_s, settings.stride, settings.max_fps, settings.limit)
    tracker = Tracker(settings.conf, settings.smooth_s) if tracked else None
    below = detector.uncertain_below if settings.uncertain is None else settings.uncertain
    title = f"emo: {getattr(opened, 'name', opened.path.name)} (q ends)"
    with closing(stream(part, detector, live=True)) as frames:
        for frame, found in frames:
            assert found is not None  # None is for frames that `every` passes over
            if tracker:
                found = tracker.update(found, frame.time_s or 0.0, frame.bgr)
            drawn = draw(frame.bgr, found.doubted(below), detector.names, settings.bars)
            try:
                cv2.imshow(title, drawn)
                key = cv2.waitKey(1 if opened.kind == "video" else 0) & 0xFF
                shut = cv2.getWindowProperty(title, cv2.WND_PROP_VISIBLE) < 1
            except cv2.error as error:
                if "implemented" not in str(error):
                    raise
                raise MissingExtra(
                    "starlette and uvicorn", "serve", "--show with an OpenCV that has no windows"
                ) from None
            if key in (ord("q"), 27) or shut:
                break
    cv2.destroyAllWindows()
