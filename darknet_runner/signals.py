"""Ctrl-C and its like as a request to end well: what runs finishes its step, saves, and says how it ended."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator

# What asks a program to end: Ctrl-C, kill, a closed terminal; Windows has not all of them.
STOPS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


@contextlib.contextmanager
def interruptible() -> Iterator[list[str]]:
    """Within it SIGINT, SIGTERM and SIGHUP only note themselves in the list that is given; a second one raises.

    Outside the main thread signals cannot be caught, and nothing is done.
    """
    asked: list[str] = []
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return

    def note(number, frame):
        asked.append(signal.Signals(number).name)
        if len(asked) > 1:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, note) for number in STOPS}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
