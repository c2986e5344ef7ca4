"""The frames that a comparison shows: some spread evenly over all, and those on which the systems differ most.

However many frames go by, a bounded number is held, each as two small JPEGs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..output.draw import draw, label
from ..sources.frame import Frame
from ..systems.detections import Detections

LONGEST = 640  # pixels of a shown frame's longer side


@dataclass(frozen=True)
class Shown:
    """One frame as both systems see it: title, JPEG bytes of each, what is labelled, on how many faces they differ."""

    index: int
    name: str
    time_s: float | None
    pictures: tuple[bytes, bytes]
    size_wh: tuple[int, int]
    said: tuple[str, str]
    labelled: str | None
    differ: int

    @property
    def title(self) -> str:
        return self.name if self.time_s is None else f"{self.name}, {self.time_s:.2f} s"


class Gallery:
    """`add` every frame; `chosen` gives those kept.

    evenly  between that many and half of it are spread evenly: when full, every other one goes
    worst   the frames with the most faces on which the systems differ; of a video, one a second at most
    """

    def __init__(self, evenly: int = 8, worst: int = 8):
        self.evenly, self.most = evenly, worst
        self.spread, self.worst, self.stride, self.count = [], [], 1, 0

    def add(self, frame: Frame, found, names, truth, truth_names, differ: int) -> None:
        evenly = self.count % self.stride == 0
        self.count += 1
        slot = self._slot(frame, differ) if differ else None
        if not evenly and slot is None:
            return
        shown = show(frame, found, names, truth, truth_names, differ)
        if slot is not None:
            self.worst[slot : slot + 1] = [shown]
        if evenly:
            self.spread.append(shown)
            if len(self.spread) > self.evenly:
                self.spread, self.stride = self.spread[::2], self.stride * 2

    def _slot(self, frame, differ) -> int | None:
        """Where among the worst it goes: in place of its neighbour in time or of the least, or nowhere."""
        for slot, other in enumerate(self.worst):
            if frame.time_s is not None and other.name == frame.name and other.time_s is not None and abs(other.time_s - frame.time_s) < 1:
                return slot if differ > other.differ else None
        if len(self.worst) < self.most:
            return len(self.worst)
        least = min(range(len(self.worst)), key=lambda slot: self.worst[slot].differ)
        return least if differ > self.worst[least].differ else None

    def chosen(self) -> dict[str, list[Shown]]:
        """`worst`, most first, and `spread`, in order, without those that stand among the worst."""
        worst = sorted(self.worst, key=lambda shown: (-shown.differ, shown.index))
        taken = {shown.index for shown in worst}
        return {"worst": worst, "spread": [shown for shown in self.spread if shown.index not in taken]}


def show(frame: Frame, found, names, truth, truth_names, differ: int) -> Shown:
    """Draw both systems' faces at the shown size; labelled faces get a thin white box."""
    import cv2

    height, width = frame.bgr.shape[:2]
    scale = LONGEST / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    base = cv2.resize(frame.bgr, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    for box in [] if truth is None else truth.xyxy_px * scale:
        label(base, box, "", (255, 255, 255))
    pictures, said = [], []
    for detections, classes in zip(found, names):
        scaled = Detections((detections.xyxy_px * scale).astype(np.float32), detections.scores, detections.face)
        pictures.append(cv2.imencode(".jpg", draw(base, scaled, classes), [cv2.IMWRITE_JPEG_QUALITY, 82])[1].tobytes())
        said.append(list_of(classes[class_id] for class_id in detections.class_ids))
    labelled = None if truth is None else list_of(truth_names[class_id] for class_id in truth.class_ids)
    return Shown(frame.index, frame.name, frame.time_s, tuple(pictures), size, tuple(said), labelled, differ)


def list_of(names) -> str:
    """`2 Happy, Sad`; `no face` for none."""
    counts = {}
    for name in names:
        counts[name] = counts.get(name, 0) + 1
    return ", ".join(name if count == 1 else f"{count} {name}" for name, count in counts.items()) or "no face"
