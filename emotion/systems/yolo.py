"""One-stage detector: a Darknet YOLO finds faces and names their emotion in one pass.

Boxes and scores are Darknet's own (see `resize` and `backends`); what follows is decided a face, not a
class: a box keeps the scores of all its classes, and overlapping boxes are one face, so that no face
carries two emotions, and no mouth within a face is a face of its own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np

from converters import boxes
from darknet_runner.network import resize
from darknet_runner.network.cfg_file import Cfg
from darknet_runner.network.layers import trace
from darknet_runner.scoring.nms import NMS_IOU, darknet_order, diou_beta, greedy, nms as class_nms, overlap

from .backends import Backend, OpenCVBackend
from .detections import Detections, checked_frames
from .models import Model, at_size
from .stage_timer import StageTimer

MAP_FLOOR = 0.005  # of src/detector.c, validate_detector_map
SIZES = 8  # input sizes of which the network is kept, a few megabytes each
INSIDE = 0.8  # share of a box in a better and bigger one from which it is a part of that face; IoU does not see it


class YoloDetector:
    """`detect(frames)` with a detector model.

    conf  objectness above which a box is a face. Darknet asks the same of the best class score as well, which
          hides faces whose emotion is unclear: with seven emotions that score is a fraction of the objectness
    iou   overlap above which the weaker of two boxes is dropped, whatever their classes; 1 keeps all boxes
    open_backend  makes the backend of the same network with another input size. With it a network with a letter box
          (letter_box=1) gets only the part of it that has the picture, rounded up to the network's stride: of 16:9
          video that is 0.58 of the work. None: the whole square, as Darknet does it
    """

    def __init__(
        self,
        model: Model,
        conf: float = 0.25,
        iou: float = 0.45,
        backend: Backend | None = None,
        open_backend: Callable[[Model], Backend] | None = None,
    ):
        self.model, self.conf, self.iou, self.name, self.names = model, conf, iou, "yolo", model.names
        self.backend = backend or (open_backend or OpenCVBackend)(model)
        self.batch, self.inside = getattr(self.backend, "batch", 1), INSIDE if iou < 1 else None
        self.clock, self._turn = StageTimer(), threading.Lock()  # who waits for the network spends no time in it
        self.letter_box = bool(model.cfg.net.integer("letter_box", 0))
        self.stride = stride_of(model.cfg) if self.letter_box and open_backend else None
        self._of_size = lru_cache(maxsize=SIZES)(lambda size: open_backend(at_size(model, size)))  # type: ignore[misc]
        self.beta, self.uncertain_below = nms_beta(model.cfg), model.uncertain_below
        self.settings = {
            "system": "yolo",
            "model": model.describe(),
            "backend": self.backend.name,
            "conf": conf,
            "nms_iou": iou,
            "nms": ("IoU" if self.beta is None else f"IoU - (d^2/c^2)^{self.beta:g}") + ", across classes",
            "nms_inside": self.inside,
            "resize": "stretch" if not self.letter_box else "letterbox" + " without its bars" * bool(self.stride),
        }

    def detect(self, frames: Sequence[np.ndarray]) -> list[Detections]:
        """BGR uint8 frames, each of its own size -> one Detections a frame, in its pixels."""
        return self._faces(self._raw(frames))

    @property
    def steps(self):
        """What `detect` does, in three: each takes what the one before gives."""
        return self._prepared, self._computed, self._faces

    def detect_both(self, frames: Sequence[np.ndarray]) -> list[tuple[Detections, tuple[np.ndarray, np.ndarray]]]:
        """As `detect`, and of the same pass what `darknet detector map` judges (see `class_boxes_of`)."""
        return [(self.faces_of(*raw), self.class_boxes_of(*raw)) for raw in self._raw(frames)]

    def _raw(self, frames):
        """A frame: its rows (R, 5 + C), its size, where it lies in the network's input."""
        return self._computed(self._prepared(frames)) if len(frames) else []

    def _prepared(self, frames):
        frames = checked_frames(frames)
        with self.clock("prepare"):
            blob, placed = self.prepare(frames)
        return blob, [frame.shape[1::-1] for frame in frames], placed

    def _computed(self, prepared):
        blob, sizes, placed = prepared
        with self._turn, self.clock("network"):
            outputs = self.backend_for(blob).forward(blob)
        with self.clock("boxes"):
            return list(zip(np.concatenate(outputs, axis=1), sizes, placed))

    def _faces(self, computed) -> list[Detections]:
        with self.clock("boxes"):
            return [self.faces_of(*raw) for raw in computed]

    def prepare(self, frames):
        """The blob, and where in the network's input each frame lies: (x, y, w, h), relative."""
        width, height = size = self.size_for(frames)
        channels = self.model.cfg.net.integer("channels", 3)
        if not self.letter_box:
            return resize.blob(frames, size, channels), [(0, 0, 1, 1)] * len(frames)
        blob, placed = resize.letterbox_blob(frames, size, channels)
        return blob, [(x / width, y / height, w / width, h / height) for x, y, w, h in placed]

    def size_for(self, frames) -> tuple[int, int]:
        """The input size (width, height) that holds each of the frames at the scale that it has in the letter box."""
        size = self.model.cfg.size_wh
        if not self.stride:
            return size
        parts = np.array([resize.letter_size(frame.shape[1::-1], size) for frame in frames]).max(0)
        width, height = (int(-(-part // self.stride) * self.stride) for part in parts)
        return width, height

    def backend_for(self, blob: np.ndarray) -> Backend:
        """What computes a blob (B, C, h, w) of that size; backends of the last SIZES sizes are kept."""
        size = blob.shape[:1:-1]
        return self.backend if size == self.model.cfg.size_wh else self._of_size(size)

    def faces_of(self, rows: np.ndarray, size_wh, placed=(0, 0, 1, 1)) -> Detections:
        """rows (R, 5 + C) as a backend gives them -> the faces above `conf`, after NMS."""
        rows = rows[rows[:, 4] > self.conf]
        x, y, w, h = placed
        centred = (rows[:, :4] - (x, y, 0, 0)) / (w, h, w, h)
        xyxy = boxes.cxcywh_rel_to_xyxy(centred, size_wh)
        kept = nms(xyxy, rows[:, 5:].max(1), self.iou, self.beta, self.inside)
        xyxy = boxes.clip(xyxy[kept], size_wh).astype(np.float32)
        kept, xyxy = kept[(inside := boxes.area(xyxy) > 0)], xyxy[inside]
        return Detections(xyxy, (rows[kept, 5:] / rows[kept, 4:5]).astype(np.float32), rows[kept, 4].astype(np.float32))

    def class_boxes_of(self, rows: np.ndarray, size_wh, placed=(0, 0, 1, 1)) -> tuple[np.ndarray, np.ndarray]:
        """Boxes as Darknet's `detector map` has them: xyxy_px (N, 4) unclipped, scores (N, C) after NMS a class, 0
        for none.
        """
        rows = rows[(rows[:, 4] > MAP_FLOOR) & np.isfinite(rows[:, :4]).all(1)]
        x, y, w, h = placed
        xyxy = boxes.cxcywh_rel_to_xyxy((rows[:, :4] - (x, y, 0, 0)) / (w, h, w, h), (1, 1))
        scores = np.where(rows[:, 5:] > MAP_FLOOR, rows[:, 5:], 0)
        order = darknet_order(scores)
        xyxy, scores = xyxy[order], class_nms(xyxy[order], scores[order], NMS_IOU, self.beta)
        kept = scores.any(1)
        return xyxy[kept] * np.tile(size_wh, 2), scores[kept]


def stride_of(cfg: Cfg) -> int | None:
    """Input pixels a cell of the coarsest head; None where the input size is no multiple of it."""
    width, height = cfg.size_wh
    stride = max(width // layer.out[0] for layer in trace(cfg) if layer.type in ("yolo", "region"))
    return stride if width % stride == height % stride == 0 else None


def nms_beta(cfg: Cfg) -> float | None:
    """What the last [yolo], where Darknet looks, asks for (see `diou_beta`); None for plain IoU."""
    return diou_beta([section for section in cfg.layers if section.type in ("yolo", "region")][-1])


def nms(
    xyxy: np.ndarray, scores: np.ndarray, iou: float, beta: float | None = None, inside: float | None = None
) -> np.ndarray:
    """Indices of the boxes kept, best score first; a box that overlaps a better one by more than `iou` goes.

    With `inside` a box also goes when that share of it, or more, lies in a better and bigger one. `beta` as for
    `overlap`.
    """

    def dropped(best: int, rest: np.ndarray) -> np.ndarray:
        gone = overlap(xyxy[best : best + 1], xyxy[rest], beta)[0] > iou
        if inside is not None:
            gone |= (share_within(xyxy[best], xyxy[rest]) >= inside) & (boxes.area(xyxy[rest]) < boxes.area(xyxy[best]))
        return gone

    with np.errstate(over="ignore", invalid="ignore"):  # boxes of a network that has learned nothing yet
        return greedy(scores, dropped)


def share_within(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(4,), (N, 4) -> (N,) how much of each of the others' area lies in `box`; 0 for one without area."""
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    area = boxes.area(others)
    return np.divide(boxes.area(np.concatenate([low, high], 1)), area, out=np.zeros(len(others)), where=area > 0)
