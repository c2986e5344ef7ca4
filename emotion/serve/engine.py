"""What the server detects with: detectors by choice, a tracker a session, and a queue that keeps the newest frame only.

engine = Engine(Settings())
engine.look(bgr, Request(session="a", time_s=0.4))         # -> what POST /detect answers
await queue.run(session, function)                         # function in a thread; Dropped when a newer frame came
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import numpy as np

from converters.errors import EmoError, UsageError, nearest

from ..detect_many import Settings
from ..output.sinks import faces_of
from ..systems import models
from ..systems.detections import Detections, Detector
from ..systems.open import SYSTEMS
from ..systems.tracking import Tracker

T = TypeVar("T")
SESSIONS, DETECTORS = 64, 3  # kept; the one that was used longest ago goes
WAITING = 16  # requests that may wait for a thread; more are turned away


@dataclass(frozen=True)
class Request:
    """How one frame is to be looked at. None: as the server was started. `session`: frames of one camera, in the
    order of time.
    """

    system: str | None = None
    model: str | None = None
    conf: float | None = None
    session: str | None = None
    time_s: float | None = None


class Engine:
    """Detectors and trackers; may be used by threads."""

    def __init__(self, settings: Settings):
        self.settings = settings
        self.detectors: OrderedDict[tuple[str, str | None], Detector] = OrderedDict()
        self.sessions: OrderedDict[tuple, tuple[Tracker, threading.Lock]] = OrderedDict()
        self._turn = threading.Lock()
        self.detector(None, None)  # what cannot be opened is said when the server starts

    def choices(self) -> dict:
        """The systems, and by task the models that may be asked for: those that ship and ./runs, and the server's
        own.
        """
        found: dict[str, list[str]] = {"detector": [], "classifier": []}
        for name in models.at_hand():
            try:
                found[models.find(name, None).task].append(name)
            except EmoError:
                continue
        return {
            "systems": list(SYSTEMS),
            "system": self.settings.system,
            "conf": self.settings.conf,
            "smooth_s": self.settings.smooth_s,
            "models": {"yolo": found["detector"], "two-stage": found["classifier"]},
            "names": list(self.detector(None, None).names),
        }

    def detector(self, system: str | None, model: str | None) -> Detector:
        """UsageError for a system or model that there is not; a path is none, it comes from outside."""
        system = system or self.settings.system
        if system not in SYSTEMS:
            raise UsageError(f"no system '{system}'", mend=nearest(system, SYSTEMS))
        if model and model not in (known := models.at_hand()):
            raise UsageError(f"there is no model '{model}'", mend=nearest(model, known))
        with self._turn:
            if (system, model) not in self.detectors:
                own = system == self.settings.system
                chosen = replace(
                    self.settings,
                    system=system,
                    model=model or (self.settings.model if own else None),
                    weights=self.settings.weights if own and not model else None,
                )
                self.detectors[system, model] = chosen.detector(True)
                while len(self.detectors) > DETECTORS:
                    self.detectors.popitem(last=False)
            self.detectors.move_to_end((system, model))
            return self.detectors[system, model]

    def find(self, bgr: np.ndarray, wanted: Request) -> tuple[Detections, Detector]:
        """The faces of a frame; followed, when it belongs to a session."""
        detector, conf = self.detector(wanted.system, wanted.model), max(self.settings.conf, wanted.conf or 0.0)
        (found,) = detector.detect([bgr])
        if wanted.session is None:
            found = found.take(found.face >= conf)
        else:
            tracker, turn = self._tracker((wanted.session, wanted.system, wanted.model, conf))
            with turn:
                found = tracker.update(found, time.monotonic() if wanted.time_s is None else wanted.time_s, bgr)
        below = detector.uncertain_below if self.settings.uncertain is None else self.settings.uncertain
        return found.rounded().doubted(below), detector

    def _tracker(self, key: tuple) -> tuple[Tracker, threading.Lock]:
        with self._turn:
            if key not in self.sessions:
                self.sessions[key] = Tracker(key[-1], self.settings.smooth_s), threading.Lock()
                while len(self.sessions) > SESSIONS:
                    self.sessions.popitem(last=False)
            self.sessions.move_to_end(key)
            return self.sessions[key]

    def look(self, bgr: np.ndarray, wanted: Request) -> dict:
        """What POST /detect answers."""
        start = time.perf_counter()
        found, detector = self.find(bgr, wanted)
        return answer(found, detector.names, bgr.shape[1::-1]) | {"ms": round(1000 * (time.perf_counter() - start), 1)}


def answer(found: Detections, names, size_wh) -> dict:
    """Faces as in detections.jsonl, with the name of the emotion."""
    return {
        "size_wh": list(size_wh),
        "names": list(names),
        "faces": [face | {"emotion": names[face["class_id"]]} for face in faces_of(found)],
    }


class Dropped(Exception):
    """A newer frame of the same session came while this one waited."""


class Busy(Exception):
    """More requests wait than are let in."""


class Newest:
    """At most `workers` functions at a time, in threads; of a session only the newest waits, of others up to
    WAITING.
    """

    def __init__(self, workers: int = 2):
        self.workers, self.running = workers, 0
        self.waiting: list = []  # (session, the future that lets it begin)

    async def run(self, session: str | None, function: Callable[[], T]) -> T:
        if self.running >= self.workers:
            await self._wait(session)
        else:
            self.running += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(None, partial(function))
        finally:
            self._next()

    async def _wait(self, session) -> None:
        for older in [entry for entry in self.waiting if session is not None and entry[0] == session]:
            self.waiting.remove(older)
            if not older[1].done():
                older[1].set_exception(Dropped())
        if len(self.waiting) >= WAITING:
            raise Busy
        entry = session, asyncio.get_running_loop().create_future()
        self.waiting.append(entry)
        try:
            await entry[1]
        except asyncio.CancelledError:  # whoever asked has gone
            if entry in self.waiting:
                self.waiting.remove(entry)
            elif entry[1].done() and not entry[1].cancelled():
                self._next()  # it had been told to begin
            raise

    def _next(self) -> None:
        """The place that a function leaves goes to the first that waits."""
        while self.waiting:
            _, future = self.waiting.pop(0)
            if not future.done():
                future.set_result(None)
                return
        self.running -= 1
