"""One system in a comparison: what it finds in each frame, how long that takes, and what it is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from darknet_runner.network.layers import total_bflops, trace

from ..sources.frame import Frame
from ..systems.classifier import Classifier
from ..systems.detections import Detections, Detector
from ..systems.models import Model
from ..systems.stage_timer import StageTimer
from ..systems.tracking import Tracker
from .tally import Tally, Truth

WARM_UP = 3  # passes over the first frame that are not measured: memory is allocated, code is compiled


class WholePicture:
    """A classifier, or a detector, on pictures that are a face: a detector whose one face is the whole picture.

    Of a detector the surest face's scores are taken; where it finds none there is none.
    """

    def __init__(self, subject: Any):
        self.subject, self.names = subject, subject.names
        self.name = getattr(subject, "name", "classifier")
        self.clock = getattr(subject, "clock", None) or StageTimer()
        self.settings = getattr(subject, "settings", None) or {
            "system": "classifier",
            "model": subject.model.describe(),
            "backend": subject.backend.name,
        }

    def detect(self, frames: Sequence[np.ndarray]) -> list[Detections]:
        if isinstance(self.subject, Classifier):
            with self.clock("classify"):
                found = list(self.subject.classify(frames))
        else:
            found = [each.scores[each.face.argmax()] if len(each) else None for each in self.subject.detect(frames)]
        return [self._whole(frame, scores) for frame, scores in zip(frames, found)]

    def of_frame(self, frame: Frame) -> Detections:
        if not hasattr(self.subject, "of_frame"):
            return self.detect([frame.bgr])[0]
        found = self.subject.of_frame(frame)
        return self._whole(frame.bgr, found.scores[found.face.argmax()] if len(found) else None)

    def _whole(self, frame: np.ndarray, scores: np.ndarray | None) -> Detections:
        return Detections.empty(len(self.names)) if scores is None else whole(frame, scores)


def whole(frame: np.ndarray, scores: np.ndarray) -> Detections:
    height, width = frame.shape[:2]
    return Detections(
        np.array([[0, 0, width, height]], np.float32), scores[None].astype(np.float32), np.ones(1, np.float32)
    )


@dataclass
class Contestant:
    """As a user would run it, and, on labelled frames, down to the score that AP needs.

    weak    the same system with a lower `conf`; None where nothing is labelled
    """

    label: str
    spec: str
    detector: Detector
    conf: float
    weak: Detector | None = None
    tally: Tally | None = None
    faces: int = 0
    frames_without: int = 0
    times: list[dict[str, float]] = field(default_factory=list)
    flicker: Flicker = field(default_factory=lambda: Flicker())

    def warm_up(self, frame: Frame) -> None:
        for _ in range(WARM_UP):
            look(self.detector, frame)

    def find(self, frame: Frame, truth: Truth | None, timed: bool) -> Detections:
        """The faces above `conf`; counted, timed, and with a truth also tallied."""
        found = None
        if timed or truth is None:
            self.detector.clock.take()
            found = look(self.detector, frame)
            self.times.append(self.detector.clock.take())
        if truth is not None and self.tally is not None and self.weak is not None:
            weak = look(self.weak, frame)
            self.tally.add(weak, truth)
            found = weak.take(weak.face >= self.conf)
        assert found is not None
        self.faces, self.frames_without = self.faces + len(found), self.frames_without + (len(found) == 0)
        if frame.time_s is not None:
            self.flicker.add(frame, found)
        return found

    def latency(self) -> dict:
        """Milliseconds a frame: the median of each stage, the median (p50) and the 95th percentile (p95) in all;
        None for results from a file.
        """
        if self.spec.startswith("file:"):  # nobody was at work
            return {
                "stages_ms": {},
                "total_ms": None,
                "p95_ms": None,
                "frames_per_s": None,
                "frames_timed": 0,
                "warm_up": 0,
            }
        names = list(dict.fromkeys(name for time in self.times for name in time))
        stages = {
            name: round(1000 * float(np.median([time.get(name, 0.0) for time in self.times])), 2) for name in names
        }
        totals = [sum(time.values()) for time in self.times]
        half, most = 1000 * float(np.median(totals)), 1000 * float(np.percentile(totals, 95))
        per_s = round(1000 / half, 1) if half else None
        return {
            "stages_ms": stages,
            "total_ms": round(half, 2),
            "p95_ms": round(most, 2),
            "frames_per_s": per_s,
            "frames_timed": len(totals),
            "warm_up": WARM_UP,
        }

    def result(self) -> dict:
        out = {
            "system": self.label,
            "spec": self.spec,
            "settings": self.detector.settings,
            "faces_found": self.faces,
            "frames_without_face": self.frames_without,
        }
        out |= {"labelled": self.tally.result()} if self.tally else {}
        out |= {"flicker": self.flicker.result()} if self.flicker.frames else {}
        return out | {"latency": self.latency(), "cost": cost(self.detector)}


def look(detector: Any, frame: Frame) -> Detections:
    """What a detector finds in a frame; one that has its results from a file asks for the frame's name."""
    if hasattr(detector, "of_frame"):
        return detector.of_frame(frame)
    return detector.detect([frame.bgr])[0]


class Flicker:
    """How often a face's emotion changes while it is followed through a video."""

    def __init__(self):
        self.name, self.tracker, self.last = None, None, {}
        self.frames = self.changes = self.tracks = 0
        self.seconds = 0.0

    def add(self, frame: Frame, found: Detections) -> None:
        self.frames += 1
        if frame.name != self.name or self.tracker is None:
            self.name, self.tracker, self.last = frame.name, Tracker(smooth_s=0.0), {}
        followed = self.tracker.update(found, frame.time_s, frame.bgr)
        for track, class_id in zip(followed.track_ids.tolist(), followed.class_ids.tolist()):
            if track in self.last:
                time_s, before = self.last[track]
                self.seconds += frame.time_s - time_s
                self.changes += class_id != before
            else:
                self.tracks += 1
            self.last[track] = frame.time_s, class_id

    def result(self) -> dict:
        per_minute = 60 * self.changes / self.seconds if self.seconds else None
        return {
            "tracks": self.tracks,
            "changes": self.changes,
            "face_seconds": round(self.seconds, 3),
            "per_minute": per_minute and round(per_minute, 2),
        }


def cost(detector: Any) -> dict:
    """What a system is made of: megabytes of its files, BFLOPs a frame and a face (None where they are not known)."""
    subject = getattr(detector, "subject", detector)
    models: list[Model] = [
        model
        for model in (getattr(subject, "model", None), getattr(getattr(subject, "classifier", None), "model", None))
        if model
    ]
    files: set[Path] = {model.weights for model in models}
    finder = getattr(subject, "finder", None)
    if finder is not None and finder.file:
        files.add(finder.file)
    bflops = {model.task: total_bflops(trace(model.cfg)) for model in models}
    inner = getattr(getattr(finder, "detector", None), "model", None)
    per_frame = total_bflops(trace(inner.cfg)) if inner else bflops.get("detector")
    return {
        "megabytes": round(sum(file.stat().st_size for file in files) / 1e6, 2) if files else None,
        "bflops_a_frame": per_frame and round(per_frame, 4),
        "bflops_a_face": round(bflops["classifier"], 4) if "classifier" in bflops else None,
    }
