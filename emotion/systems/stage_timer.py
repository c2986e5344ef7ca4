"""Time per stage: decode, face, classify, write ... of whatever runs inside `with clock("stage")`."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager


class StageTimer:
    """Seconds per stage, summed over the threads; `stages` keeps the order in which stages were first met."""

    def __init__(self):
        self.stages: dict[str, float] = {}
        self._turn = threading.Lock()

    @contextmanager
    def __call__(self, stage: str):
        start = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - start
            with self._turn:
                self.stages[stage] = self.stages.get(stage, 0.0) + spent

    def timed(self, stage: str, items):
        """Iterate over `items`, counting the wait for each of them to `stage`."""
        items = iter(items)
        while True:
            with self(stage):
                item = next(items, None)
            if item is None:
                return
            yield item

    def take(self) -> dict[str, float]:
        """The stages so far; the clock starts again at nothing."""
        with self._turn:
            taken, self.stages = self.stages, {}
        return taken
