"""Face finders of the two-stage system: haar, ssd, yunet, dlib, a yolo one, and one for pictures that are all face.

Each gives, for a frame, face boxes `# (N, 4)` in its pixels and a score `# (N,)` in 0..1, best first, and
has a `box_scale`, because the finders draw a face differently tight (see `found_boxes`). A finder may be shared by
threads: OpenCV's objects keep what they work on, so that one thread at a time has each.

    finder = open_finder("haar"); finder.find(frame)
    open_finder("yunet"), open_finder("ssd")         # once `emo models pull` has them
    open_finder("models/opencv_face_detector_uint8.pb"), open_finder("yunet.onnx"), open_finder("runs/v4-tiny-001")
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np

from converters.errors import MediaError, UsageError

from . import face_models, ssd_graph
from .backends import OpenCVBackend, name_for_opencv, quiet_opencv
from .found_boxes import BOX_SCALE, tidy

LONGEST = 1280  # a longer frame is shrunk for yunet, which looks at every pixel
SMALLEST, STEP = (
    40,
    1.25,
)  # of haar: the smallest face in pixels, a classifier's input being about as large; the next larger window


class FaceFinder(Protocol):
    name: str
    box_scale: float
    settings: dict

    @property
    def file(self) -> Path | None: ...  # what it was loaded from; None for what has no file of its own

    def find(self, frame: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """BGR frame (H, W, 3) -> xyxy_px (N, 4) float32, clipped to the frame, and scores (N,) float32."""


def open_finder(
    spec: str | Path | None = None, conf: float = 0.25, iou: float = 0.45, backend: Callable = OpenCVBackend
) -> FaceFinder:
    """The face finder that `spec` names; None is the best at hand (see `face_models.best`).

    spec  `face-nano`, emo's own; `haar`; `whole`, for pictures that are all face; `dlib` (an extra), or its shape predictor's .dat; `yunet` or
          `ssd`, as pulled; a Haar cascade .xml; an SSD's .pb or .caffemodel (with its .pbtxt or .prototxt, which OpenCV's .pb needs not); a YuNet .onnx; a Darknet detector's folder, .cfg or .weights; or a folder with one of them
    conf  score below which a face is dropped
    backend  Model -> Backend, for a Darknet detector; the others compute with OpenCV
    """  # noqa: E501
    quiet_opencv()
    spec = spec or face_models.best()
    if str(spec) == "haar":
        return Haar(conf)
    if str(spec) == "whole":
        return Whole()
    if str(spec) == "dlib" or Path(spec).suffix == ".dat":
        from .dlib_finder import Dlib

        return Dlib(conf, None if str(spec) == "dlib" else Path(spec))
    path = pulled(str(spec)) if str(spec) in face_models.PUBLISHED else Path(spec)
    if path.is_dir():
        if any(path.glob("*.cfg")):
            return YoloFaces(path, conf, iou, backend)
        found = [file for suffix in (".pb", ".caffemodel", ".onnx") for file in sorted(path.glob(f"*{suffix}"))]
        if not found:
            raise MediaError(
                "has no face finder",
                where=path,
                mend="expected a .pb with its .pbtxt, a .caffemodel with its .prototxt, an .onnx, or a model.cfg",
            )
        path = found[0]
    kind = {".pb": Ssd, ".caffemodel": Ssd, ".onnx": YuNet, ".xml": Haar}.get(path.suffix)
    if kind is None:
        return YoloFaces(spec, conf, iou, backend)
    if not path.is_file():
        raise MediaError("no such face model", where=path)
    return _tried(kind(conf, path), path)


def _tried(finder, path):
    """The finder, when it finds something, or nothing, in a picture: a network of another kind loads, and fails
    only then.
    """
    import cv2

    try:
        finder.find(np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8))
    except (cv2.error, SystemError, IndexError, ValueError, TypeError):
        raise MediaError(
            f"is not a {finder.name} face detector: it is a network of another kind",
            where=path,
            mend="a YuNet .onnx, an SSD's .pb or .caffemodel, a Haar cascade .xml, or a Darknet detector's folder",
        ) from None
    return finder


def pulled(name: str) -> Path:
    """The file of a published face model; UsageError when it has not been fetched."""
    path = face_models.at_hand(name)
    if path is None:
        raise UsageError(f"the face model {name} is not here", mend=f"emo models pull {name}")
    return path


def shrunk(frame: np.ndarray) -> tuple[np.ndarray, float]:
    """The frame, no side longer than LONGEST, and the factor that leads back."""
    import cv2

    back = max(frame.shape[:2]) / LONGEST
    if back <= 1:
        return frame, 1.0
    size = [max(1, round(side / back)) for side in frame.shape[1::-1]]
    return cv2.resize(frame, size, interpolation=cv2.INTER_AREA), back


def find_landmarks(finder: FaceFinder, frame: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """As `finder.find`, and landmarks (N, K, 2) in the frame's pixels: 5 that begin with the eyes, left first, or
    68; None when it has none.
    """
    own = getattr(finder, "find_landmarks", None)
    return own(frame) if own else (*finder.find(frame), None)


class Whole:
    """For pictures that are one face and nothing else, as FER2013's: the whole picture goes to the classifier as it
    is.
    """

    name, box_scale = "whole", 1.0

    def __init__(self):
        self.file, self.settings = None, {"finder": "whole"}

    def find(self, frame):
        height, width = frame.shape[:2]
        return np.array([[0, 0, width, height]], np.float32), np.ones(1, np.float32)


class Haar:
    """OpenCV's frontal-face cascade. A face's score is n / (n + 6), n being how many windows found it.

    So the default `conf` of 0.25 asks for 2 windows. Of the cascade's own weights and these counts, the counts rank
    faces better (AP 0.999, 0.987). The frame is shrunk until the smallest face asked for fills the cascade's window:
    OpenCV then looks at every second place only. On 160 of LFW's photographs that and steps of 1.25 find all faces with
    0.08 false ones a picture in 6 ms, and of faces of 58 pixels 95%; all faces from 20 pixels in steps of 1.1, five
    windows each, take 34 ms for 99.6% with 0.06 false, and 99% of those of 58 pixels.
    """

    name, box_scale = "haar", BOX_SCALE["haar"]

    def __init__(self, conf: float = 0.25, path: Path | None = None):
        import cv2
        import cv2.data

        path = path or Path(cv2.data.haarcascades) / "haarcascade_frontalface_default.xml"
        self.cascade, name = cv2.CascadeClassifier(), name_for_opencv(path)
        try:
            loaded = self.cascade.load(name)
        except (cv2.error, SystemError):
            loaded = False
        if not loaded or self.cascade.empty():
            raise MediaError("is not a Haar cascade that OpenCV can load", where=path)
        self.window = max(self.cascade.getOriginalWindowSize())
        self.neighbours = max(1, math.ceil(6 * conf / (1 - conf) - 1e-9)) if conf < 1 else 2**30
        self._turn = threading.Lock()
        self.file = path
        self.settings = {
            "finder": "haar",
            "file": path.name,
            "conf": conf,
            "neighbours": self.neighbours,
            "scale_factor": STEP,
            "smallest_face": "40 pixels, in a small frame 1/8 of its shorter side, in a large one 1/16",
        }

    def find(self, frame):
        import cv2

        grey, short = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY), min(frame.shape[:2])
        back = max(1.0, max(min(SMALLEST, short / 8), short / 16) / self.window)
        if back > 1:
            grey = cv2.resize(
                grey, [max(1, round(side / back)) for side in frame.shape[1::-1]], interpolation=cv2.INTER_AREA
            )
        with self._turn:
            found, counts = self.cascade.detectMultiScale2(grey, STEP, self.neighbours)
        if not len(found):
            return np.zeros((0, 4), np.float32), np.zeros(0, np.float32)
        order = np.lexsort([*np.transpose(found), -np.ravel(counts)])  # OpenCV's threads give them in any
        counts = np.ravel(counts)[order].astype(float)
        xywh = np.asarray(found, float)[order] * back
        return tidy(np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], 1), counts / (counts + 6), frame)


class Ssd:
    """OpenCV's ResNet-10 SSD, from TensorFlow or Caffe files. Input 300x300, BGR, mean (104, 177, 123)."""

    name, box_scale = "ssd", BOX_SCALE["ssd"]

    def __init__(self, conf: float, path: Path):
        import cv2

        caffe, graph = path.suffix == ".caffemodel", self._graph(path)
        try:
            read = cv2.dnn.readNetFromCaffe if caffe else cv2.dnn.readNetFromTensorflow
            parts = (
                np.fromfile(path, np.uint8),
                np.frombuffer(graph.read_bytes() if graph else ssd_graph.text().encode(), np.uint8),
            )
            self.net = read(*(parts[::-1] if caffe else parts))
        except cv2.error:
            mend = (
                "an SSD face detector is a pair of files that belong together"
                if graph
                else "another SSD's .pb needs its .pbtxt beside it"
            )
            raise MediaError(
                f"OpenCV cannot load it with {graph.name if graph else 'the graph of its own SSD'}",
                where=path,
                mend=mend,
            ) from None
        self.conf, self._turn = conf, threading.Lock()
        self.file = path
        self.settings = {"finder": "ssd", "file": path.name, "conf": conf, "input": [300, 300]}

    @staticmethod
    def _graph(path) -> Path | None:
        """The .pbtxt or .prototxt beside it: of the same stem, or the only one; None for OpenCV's own .pb, whose
        graph is `ssd_graph`.
        """
        suffix = {".pb": ".pbtxt", ".caffemodel": ".prototxt"}[path.suffix]
        if suffix == ".pbtxt" and face_models.sha256(path) == face_models.PUBLISHED["ssd"].sha256:
            return None
        found = sorted(path.parent.glob(f"*{suffix}"))
        same = [graph for graph in found if path.stem.startswith(graph.stem)]
        if len(same or found) != 1:
            if not found and suffix == ".pbtxt":
                return None
            raise MediaError(
                f"has no {suffix} beside it" if not found else f"has several {suffix} beside it", where=path
            )
        return (same or found)[0]

    def find(self, frame):
        import cv2

        blob = cv2.dnn.blobFromImage(frame, 1.0, (300, 300), (104, 177, 123))
        with self._turn:
            self.net.setInput(blob)
            rows = self.net.forward()[0, 0].reshape(-1, 7).copy()  # (N, 7): picture, class, score, x1, y1, x2, y2
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
            raise MediaError("is not a YuNet that OpenCV can load", where=path) from None
        self._turn = threading.Lock()
        self.file = path
        self.settings = {"finder": "yunet", "file": path.name, "conf": conf, "nms_iou": 0.3, "longest_side": LONGEST}

    def find(self, frame):
        return self.find_landmarks(frame)[:2]

    def find_landmarks(self, frame):
        """With the five points of each face: the eyes, the nose, the corners of the mouth, each pair from the left."""
        small, back = shrunk(frame)
        with self._turn:
            self.net.setInputSize(small.shape[1::-1])
            rows = self.net.detect(small)[1]  # (N, 15): x, y, w, h, five landmarks, score
        rows = np.zeros((0, 15), np.float32) if rows is None else rows
        xywh = rows[:, :4] * back
        return tidy(
            np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], 1),
            rows[:, 14],
            frame,
            rows[:, 4:14].reshape(-1, 5, 2) * back,
        )


class YoloFaces:
    """Any Darknet detector: its boxes are faces, whatever its classes, and how sure it is of a box is their score."""

    name, box_scale = "yolo", BOX_SCALE["yolo"]

    def __init__(self, spec: str | Path, conf: float, iou: float, backend: Callable = OpenCVBackend):
        from .models import find
        from .yolo import YoloDetector

        model = find(spec, "detector")
        self.detector = YoloDetector(model, conf, iou, backend(model), backend)
        self.file = self.detector.model.weights
        self.settings = {"finder": "yolo"} | {
            key: value for key, value in self.detector.settings.items() if key != "system"
        }

    def find(self, frame):
        (found,) = self.detector.detect([frame])
        return tidy(found.xyxy_px, found.face, frame)
