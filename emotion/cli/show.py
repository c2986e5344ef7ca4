"""`emo detect --show`: one source, live, in the page of `emo serve`, else in a window."""

from __future__ import annotations

import os
import sys
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
    from ..systems.tracking import Tracker

    detector, tracker, opened = settings.detector(True), Tracker(settings.conf, settings.smooth_s), open_source(source)
    title = f"emo: {getattr(opened, 'name', opened.path.name)} (q ends)"
    try:
        for frame, found in stream(opened, detector, live=True):
            if found is None:
                continue
            if opened.kind == "video":
                found = tracker.update(found, frame.time_s or 0.0, frame.bgr)
            cv2.imshow(title, draw(frame.bgr, found.doubted(detector.uncertain_below), detector.names))
            if cv2.waitKey(1 if opened.kind == "video" else 0) & 0xFF in (ord("q"), 27):
                break
    except cv2.error as error:
        if "imshow" not in str(error) and "not implemented" not in str(error):
            raise
        raise MissingExtra("starlette and uvicorn", "serve", "--show with an OpenCV that has no windows") from None
    finally:
        cv2.destroyAllWindows()
