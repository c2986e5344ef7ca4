"""Face finders of the two-stage system: haar, ssd, yunet, and a yolo one.

Each gives, for a frame, face boxes `# (N, 4)` in its pixels and a score `# (N,)` in 0..1, best first, and
has a `box_scale`, because the finders draw a face differently tight (see `BOX_SCALE`). A finder may be shared by
threads: OpenCV's objects keep what they work on, so that one thread at a time has each.

    finder = open_finder("haar"); finder.find(frame)
    open_finder("models/opencv_face_detector_uint8.pb"), open_finder("yunet.onnx"), open_finder("runs/v4-tiny-001")
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np

from converters import boxes
from converters.errors import MediaError

from .backends import OpenCVBackend, name_for_opencv

# What makes a finder's box as large as a face's box in LFW's labels: median ratio of the longer sides over
# 250 pictures of lfw-affectnet's validation.csv, 0.95 for haar, 1.05 for ssd, 1.00 for yunet.
BOX_SCALE = {"haar": 1.05, "ssd": 0.95, "yunet": 1.0, "yolo": 1.0}
LONGEST = 1280  # a longer frame is shrunk for haar and yunet, which look at every pixel


class FaceFinder(Protocol):
    name: str
    box_scale: float
    settings: dict

    def find(self, frame: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """BGR frame (H, W, 3) -> xyxy_px (N, 4) float32, clipped to the frame, and scores (N,) float32."""


def open_finder(spec: str | Path | None = None, conf: float = 0.25, iou: float = 0.45, backend: Callable = OpenCVBackend) -> FaceFinder:
    """The face finder that `spec` names; None is haar, which needs no file.

    spec  `haar`; a Haar cascade .xml; an SSD's .pb (its .pbtxt beside it) or .caffemodel (its .prototxt);
          a YuNet .onnx; a Darknet detector's folder, .cfg or .weights; or a folder with one of them
    conf  score below which a face is dropped
    backend  Model -> Backend, for a Darknet detector; the others compute with OpenCV
    """
    if spec is None or str(spec) == "haar":
        return Haar(conf)
    path = Path(spec)
    if path.is_dir():
        if any(path.glob("*.cfg")):
            return YoloFaces(path, conf, iou, backend)
        found = [file for suffix in (".pb", ".caffemodel", ".onnx") for file in sorted(path.glob(f"*{suffix}"))]
        if not found:
            raise MediaError("holds no face finder", where=path, mend="expected a .pb with its .pbtxt, a .caffemodel with its .prototxt, an .onnx, or a model.cfg")
        path = found[0]
    kind = {".pb": Ssd, ".caffemodel": Ssd, ".onnx": YuNet, ".xml": Haar}.get(path.suffix)
    if kind is None:
        return YoloFaces(spec, conf, iou, backend)
    if not path.is_file():
        raise MediaError("no such face model", where=path)
    return kind(conf, path)


def shrunk(frame: np.ndarray) -> tuple[np.ndarray, float]:
    """The frame, no side longer than LONGEST, and the factor that leads back."""
    import cv2

    back = max(frame.shape[:2]) / LONGEST
    if back <= 1:
        return frame, 1.0
    size = [max(1, round(side / back)) for side in frame.shape[1::-1]]
    return cv2.resize(frame, size, interpolation=cv2.INTER_AREA), back


def tidy(xyxy, scores, frame) -> tuple[np.ndarray, np.ndarray]:
    """Clipped to the frame, boxes without extent dropped, best first."""
    xyxy = boxes.clip(np.reshape(xyxy, (-1, 4)), frame.shape[1::-1]).astype(np.float32)
    scores = np.asarray(scores, np.float32)
    order = np.argsort(-scores, kind="stable")
    order = order[boxes.area(xyxy[order]) > 0]
    return xyxy[order], scores[order]


class Haar:
    """OpenCV's frontal-face cascade. A face's score is n / (n + 15), n being how many windows found it.

    So the default `conf` of 0.25 asks for 5 neighbours: 0.06 false faces a picture on LFW, 0.14 with
    OpenCV's 3. Of the cascade's own weights and these counts, the counts rank faces better (AP 0.999, 0.987).
    """

    name, box_scale = "haar", BOX_SCALE["haar"]

    def __init__(self, conf: float = 0.25, path: Path | None = None):
        import cv2

        path = path or Path(cv2.data.haarcascades) / "haarcascade_frontalface_default.xml"
        self.cascade, name = cv2.CascadeClassifier(), name_for_opencv(path)
        try:
            loaded = self.cascade.load(name)
        except (cv2.error, SystemError):
            loaded = False
        if not loaded or self.cascade.empty():
            raise MediaError("is no Haar cascade that OpenCV can load", where=path)
        self.neighbours = max(1, math.ceil(15 * conf / (1 - conf) - 1e-9)) if conf < 1 else 2**30
        self._turn = threading.Lock()
        self.settings = {"finder": "haar", "file": path.name, "conf": conf, "neighbours": self.neighbours, "scale_factor": 1.1, "smallest_face": "1/20 of the shorter side, at least 20 pixels"}

    def find(self, frame):
        import cv2

        small, back = shrunk(frame)
        least = max(20, min(small.shape[:2]) // 20)
        grey = cv2.cvtColor(small, cv2.COLOR_BGR2GRAY)
        with self._turn:
            found, counts = self.cascade.detectMultiScale2(grey, 1.1, self.neighbours, minSize=(least, least))
        if not len(found):
            return np.zeros((0, 4), np.float32), np.zeros(0, np.float32)
        counts = np.ravel(counts).astype(float)
        xywh = np.asarray(found, float) * back
        return tidy(np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], 1), counts / (counts + 15), frame)


class Ssd:
    """OpenCV's ResNet-10 SSD, from TensorFlow or Caffe files. Input 300x300, BGR, mean (104, 177, 123)."""

    name, box_scale = "ssd", BOX_SCALE["ssd"]

    def __init__(self, conf: float, path: Path):
        import cv2

        graph = self._graph(path)
        try:
            read = cv2.dnn.readNetFromTensorflow if path.suffix == ".pb" else lambda weights, graph: cv2.dnn.readNetFromCaffe(graph, weights)
            self.net = read(name_for_opencv(path), name_for_opencv(graph))
        except cv2.error:
            raise MediaError(f"OpenCV cannot load it with {graph.name}", where=path, mend="an SSD face detector is a pair of files that belong together") from None
        self.conf, self._turn = conf, threading.Lock()
        self.settings = {"finder": "ssd", "file": path.name, "conf": conf, "input": [300, 300]}

    @staticmethod
    def _graph(path):
        """The .pbtxt or .prototxt beside it: of the same stem, or the only one."""
        suffix = {".pb": ".pbtxt", ".caffemodel": ".prototxt"}[path.suffix]
        found = sorted(path.parent.glob(f"*{suffix}"))
        same = [graph for graph in found if path.stem.startswith(graph.stem)]
        if len(same or found) != 1:
            raise MediaError(f"has no {suffix} beside it" if not found else f"has several {suffix} beside it", where=path)
        return (same or found)[0]

    def find(self, frame):
        import cv2

        blob = cv2.dnn.blobFromImage(frame, 1.0, (300, 300), (104, 177, 123))
        with self._turn:
            self.net.setInput(blob)
            rows = self.net.forward()[0, 0].copy()  # (N, 7): picture, class, score, x1, y1, x2, y2
        rows = rows[rows[:, 2] > self.conf]
        height, width = frame.shape[:2]
        return tidy(rows[:, 3:] * (width, height, width, height), np.minimum(rows[:, 2], 1), frame)


class YuNet:
    """YuNet (Wu et al. 2023) through cv2.FaceDetectorYN."""

    name, box_scale = "yunet", BOX_SCALE["yunet"]

    def __init__(self, conf: float, path: Path):
        import cv2

        try:
            self.net = cv2.FaceDetectorYN.create(name_for_opencv(path), "", (320, 320), max(conf, 1e-3), 0.3, 5000)
        except cv2.error:
            raise MediaError("is no YuNet that OpenCV can load", where=path) from None
        self._turn = threading.Lock()
        self.settings = {"finder": "yunet", "file": path.name, "conf": conf, "nms_iou": 0.3, "longest_side": LONGEST}

    def find(self, frame):
        small, back = shrunk(frame)
        with self._turn:
            self.net.setInputSize(small.shape[1::-1])
            rows = self.net.detect(small)[1]  # (N, 15): x, y, w, h, five landmarks, score
        rows = np.zeros((0, 15), np.float32) if rows is None else rows
        xywh = rows[:, :4] * back
        return tidy(np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], 1), rows[:, 14], frame)


class YoloFaces:
    """Any Darknet detector: its boxes are faces, whatever its classes, and its best class score is theirs."""

    name, box_scale = "yolo", BOX_SCALE["yolo"]

    def __init__(self, spec: str | Path, conf: float, iou: float, backend: Callable = OpenCVBackend):
        from .models import find
        from .yolo import YoloDetector

        model = find(spec, "detector")
        self.detector = YoloDetector(model, conf, iou, backend(model))
        self.settings = {"finder": "yolo"} | {key: value for key, value in self.detector.settings.items() if key != "system"}

    def find(self, frame):
        (found,) = self.detector.detect([frame])
        return tidy(found.xyxy_px, found.scores.max(1) if len(found) else found.face, frame)
