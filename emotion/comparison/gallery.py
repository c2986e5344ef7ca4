"""The frames that a comparison shows: some spread evenly over all, and those on which the systems differ or err most.

However many frames go by, a bounded number is held, each as a small JPEG a system.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ..output.draw import draw, label
from ..sources.frame import Frame
from ..systems.detections import Detections
from . import metrics
from .tally import MATCH_IOU, Truth

LONGEST = 640  # pixels of a shown frame's longer side
RIGHT, MISNAMED, MISSED, FALSE, FOUND = (
    "right",
    "misnamed",
    "missed",
    "false",
    "found",
)  # the last where nothing is labelled
FACES = 12  # that are listed below a frame; a crowd has more


@dataclass(frozen=True)
class Said:
    """One face as a system sees it: its kind, what it is called and how sure, what is labelled."""

    kind: str
    named: str | None
    score: float | None
    labelled: str | None


@dataclass(frozen=True)
class Shown:
    """One frame as every system sees it: JPEG bytes and faces of each, what is labelled, on how many faces they
    differ.
    """

    index: int
    name: str
    time_s: float | None
    pictures: tuple[bytes, ...]
    size_wh: tuple[int, int]
    said: tuple[tuple[Said, ...], ...]
    labelled: str | None
    differ: int

    @property
    def title(self) -> str:
        return self.name if self.time_s is None else f"{self.name}, {self.time_s:.2f} s"

    @property
    def kinds(self) -> list[str]:
        """What a filter finds it by: kinds of its faces, and `differ`."""
        return sorted({face.kind for faces in self.said for face in faces} | ({"differ"} if self.differ else set()))

    @property
    def classes(self) -> list[str]:
        return sorted({name for faces in self.said for face in faces for name in (face.named, face.labelled) if name})


class Gallery:
    """`add` every frame; `chosen` gives those kept.

    evenly  between that many and half of it are spread evenly: when full, every other one goes
    worst   the frames with the most faces on which the systems differ or err; of a video, one a second at most
    """

    def __init__(self, evenly: int = 8, worst: int = 16):
        self.evenly, self.most = evenly, worst
        self.spread: list[Shown] = []
        self.worst: list[Shown] = []
        self.weight: dict[int, int] = {}
        self.stride, self.count = 1, 0

    def add(
        self,
        frame: Frame,
        found: Sequence[Detections],
        names: Sequence[Sequence[str]],
        truth: Truth | None,
        truth_names: Sequence[str],
        differ: int,
    ) -> None:
        evenly = self.count % self.stride == 0
        self.count += 1
        said = [faces_of(each, classes, truth, truth_names) for each, classes in zip(found, names)]
        weight = 2 * differ + sum(face.kind in (MISNAMED, MISSED, FALSE) for faces in said for face in faces)
        slot = self._slot(frame, weight) if weight else None
        if not evenly and slot is None:
            return
        pictures, size = drawn(frame, found, names, truth)
        labelled = None if truth is None else list_of(truth_names[class_id] for class_id in truth.class_ids)
        shown = Shown(self.count - 1, frame.name or "", frame.time_s, pictures, size, tuple(said), labelled, differ)
        if slot is not None:
            self.worst[slot : slot + 1] = [shown]
            self.weight[shown.index] = weight
        if evenly:
            self.spread.append(shown)
            if len(self.spread) > self.evenly:
                self.spread, self.stride = self.spread[::2], self.stride * 2

    def _slot(self, frame: Frame, weight: int) -> int | None:
        """Where among the worst it goes: in place of its neighbour in time or of the least, or nowhere."""
        for slot, other in enumerate(self.worst):
            if (
                frame.time_s is not None
                and other.name == frame.name
                and other.time_s is not None
                and abs(other.time_s - frame.time_s) < 1
            ):
                return slot if weight > self.weight[other.index] else None
        if len(self.worst) < self.most:
            return len(self.worst)
        least = min(range(len(self.worst)), key=lambda slot: self.weight[self.worst[slot].index])
        return least if weight > self.weight[self.worst[least].index] else None

    def chosen(self) -> dict[str, list[Shown]]:
        """`worst`, most first, and `spread`, in order, without those that stand among the worst."""
        worst = sorted(self.worst, key=lambda shown: (-self.weight[shown.index], shown.index))
        taken = {shown.index for shown in worst}
        return {"worst": worst, "spread": [shown for shown in self.spread if shown.index not in taken]}


def faces_of(
    found: Detections, names: Sequence[str], truth: Truth | None, truth_names: Sequence[str]
) -> tuple[Said, ...]:
    """Each face found, the surest first, then those missed."""
    ids = found.class_ids
    pairs = dict(metrics.match(found.xyxy_px, truth.xyxy_px, MATCH_IOU).tolist()) if truth is not None else {}
    out = []
    for index in range(len(found)):
        named, score, labelled, kind = names[int(ids[index])], float(found.scores[index, ids[index]]), None, FOUND
        if truth is not None:
            labelled = truth_names[int(truth.class_ids[pairs[index]])] if index in pairs else None
            kind = FALSE if labelled is None else RIGHT if labelled == named else MISNAMED
        out.append(Said(kind, named, score, labelled))
    missed = [] if truth is None else sorted(set(range(len(truth.class_ids))) - set(pairs.values()))
    return (
        *out,
        *(Said(MISSED, None, None, truth_names[truth.class_ids[index]]) for index in missed if truth is not None),
    )


def drawn(
    frame: Frame, found: Sequence[Detections], names: Sequence[Sequence[str]], truth: Truth | None
) -> tuple[tuple[bytes, ...], tuple[int, int]]:
    """Every system's faces as a JPEG at the shown size, and that size; labelled faces get a thin white box."""
    import cv2

    height, width = frame.bgr.shape[:2]
    scale = LONGEST / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    base = cv2.resize(frame.bgr, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    for box in [] if truth is None else truth.xyxy_px * scale:
        label(base, box, "", (255, 255, 255))
    pictures = []
    for detections, classes in zip(found, names):
        scaled = Detections((detections.xyxy_px * scale).astype(np.float32), detections.scores, detections.face)
        pictures.append(cv2.imencode(".jpg", draw(base, scaled, classes), [cv2.IMWRITE_JPEG_QUALITY, 82])[1].tobytes())
    return tuple(pictures), size


def list_of(names: Iterable[str]) -> str:
    """`2 Happy, Sad`; `no face` for none."""
    counts: dict[str, int] = {}
    for name in names:
        counts[name] = counts.get(name, 0) + 1
    return ", ".join(name if count == 1 else f"{count} {name}" for name, count in counts.items()) or "no face"
