"""Backends: what computes a network. In: a blob (B, C, h, w) float32 in 0..1. Out: arrays.

A backend's `forward` gives, for a detector, arrays (B, rows, 5 + classes), together all heads' rows: centre
x, y, width, height relative to the network's input, objectness, and objectness times class probability
of each class; for a classifier, one array (B, classes) of probabilities.

A backend may be shared by threads. OpenCV keeps a network's input and outputs in the network itself, so that one
thread at a time has it; ONNX Runtime and PyTorch keep nothing there.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

import numpy as np

from converters.errors import CfgError, MediaError, MissingExtra, UsageError
from darknet_runner.network import cfg_file, weights_file
from darknet_runner.network.cfg_file import Cfg

from .models import Model

# cv2 zeroes class scores below a [yolo]'s `thresh`, 0.2 by default.
FLOOR = 0.001


class Backend(Protocol):
    """`batch`, where there is one, is how many frames a forward pass should take; 1 on a CPU, which gains nothing
    by more.
    """

    name: str

    def forward(self, blob: np.ndarray) -> list[np.ndarray]: ...


class OpenCVBackend:
    """cv2.dnn's own Darknet importer, on the CPU."""

    name = "opencv"

    def __init__(self, model: Model, device: str = "auto"):
        import cv2

        if device not in ("auto", "cpu"):
            raise UsageError(
                f"--device {device}: OpenCV computes on the CPU",
                mend="--backend torch takes GPUs, and onnx does with onnxruntime-gpu",
            )
        if region := next((section for section in model.cfg.layers if section.type == "region"), None):
            raise CfgError(
                "OpenCV does not decode [region] as Darknet does: it has an NMS of its own",
                where=model.cfg.path,
                line=region.line,
                mend="use --backend onnx or torch",
            )
        cfg = inference_cfg(model.cfg)
        self.temperature = 1.0 if cfg.is_detector else softmax_temperature(cfg)
        quiet_opencv()
        try:
            self.net = cv2.dnn.readNetFromDarknet(
                np.frombuffer(cfg_file.plain_text(cfg).encode(), np.uint8), weights_for_opencv(cfg, model.weights)
            )
        except cv2.error as error:
            reason = (error.err or str(error)).strip().splitlines()[-1]
            raise CfgError(f"OpenCV cannot load this network: {reason}", where=cfg.path) from None
        self.net.setPreferableBackend(cv2.dnn.DNN_BACKEND_OPENCV)
        self.outputs = self.net.getUnconnectedOutLayersNames()
        self._turn = threading.Lock()

    def forward(self, blob: np.ndarray) -> list[np.ndarray]:
        with self._turn:
            self.net.setInput(blob)
            outs = [out.copy() for out in self.net.forward(self.outputs)]  # they may lie in the network's own memory
        found = [out.reshape(len(blob), *self._shape(out, len(blob))) for out in outs]
        if self.temperature == 1:
            return found
        warm = [out ** (1 / self.temperature) for out in found]  # the importer passes over a [softmax]'s temperature
        return [out / out.sum(1, keepdims=True) for out in warm]

    @staticmethod
    def _shape(out, batch):
        """A [yolo] gives (rows, 5 + C), with a batch (B, rows, 5 + C); a [softmax] (B, C) or (B, C, 1, 1)."""
        if out.ndim == 4 or (len(out) == batch and out.ndim == 2):
            return (-1,)
        return out.shape[-2:]


class OnnxBackend:
    """ONNX Runtime, on the network that `export.to_onnx` makes of the model: what stays when OpenCV reads no
    Darknet any more.
    """

    name = "onnx"

    def __init__(self, model: Model, device: str = "auto", made=None):
        """`made`: another ModelProto of the model, such as one of 8 bits."""
        try:
            import onnxruntime
        except ImportError:
            raise MissingExtra("onnxruntime", "onnx", "--backend onnx") from None
        from .onnx_export import to_onnx

        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = _threads or 0
        settings.log_severity_level = 3
        # Idle threads that spin take the cores from the face finder, the decoder and the encoder: without it two-stage
        # takes 20 to 22 ms a frame instead of 24 to 29 with two threads on two cores.
        settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
        kind, _, number = device.partition(":")
        gpu = "CUDAExecutionProvider" in onnxruntime.get_available_providers()
        if kind not in ("auto", "cpu", "cuda") or (kind == "cuda" and not gpu):
            raise UsageError(
                f"--device {device}: this ONNX Runtime has no such device",
                mend="use auto or cpu, or install onnxruntime-gpu",
            )
        providers = [("CUDAExecutionProvider", {"device_id": number or "0"})] if gpu and kind != "cpu" else []
        self.session = onnxruntime.InferenceSession(
            (made or to_onnx(model, prepares=False)).SerializeToString(),
            settings,
            providers=[*providers, "CPUExecutionProvider"],
        )

    def forward(self, blob: np.ndarray) -> list[np.ndarray]:
        return self.session.run(None, {"pictures": blob})


class TorchBackend:
    """The built-in engine's own network: every layer that it trains, on CPU or GPU."""

    name = "torch"

    def __init__(self, model: Model, device: str = "auto"):
        try:
            import torch
        except ImportError:
            raise MissingExtra("torch", "train", "--backend torch") from None
        from darknet_runner.builtin.device import pick_device
        from darknet_runner.builtin.network import Network
        from darknet_runner.network import weights_file

        if _threads:
            torch.set_num_threads(_threads)
        self.device = pick_device(device)
        self.name = f"torch on {self.device}"
        self.batch = 1 if self.device.type == "cpu" else 8
        self.network = Network(model.cfg)
        self.network.load(weights_file.read(model.cfg, model.weights))
        self.network.eval().to(self.device, memory_format=torch.channels_last)

    def forward(self, blob: np.ndarray) -> list[np.ndarray]:
        import torch

        from darknet_runner.builtin.heads import head_of

        with torch.inference_mode():
            pictures = torch.from_numpy(blob).to(self.device, memory_format=torch.channels_last)
            if not self.network.heads:
                return [self.network.probabilities(pictures).cpu().numpy()]
            out = []
            for layer, raw in zip(self.network.heads, self.network(pictures)):
                boxes, objectness, classes = head_of(layer.section).decode(raw.float(), self.network.cfg.size_wh)
                rows = torch.cat([boxes, objectness[..., None], classes * objectness[..., None]], -1)
                out.append(rows.flatten(1, 3).cpu().numpy())
            return out


BACKENDS = {backend.name: backend for backend in (OpenCVBackend, OnnxBackend, TorchBackend)}


def quickest(model: Model, device: str = "auto") -> Backend:
    """What computes `model` quickest on a CPU of what is installed: ONNX Runtime, else OpenCV. Their boxes are the
    same.

    PyTorch, where it is installed, takes what neither of them can: some networks, GPUs without onnxruntime-gpu.
    """
    kinds = (
        [OnnxBackend] * all(map(find_spec, ("onnx", "onnxruntime")))
        + [OpenCVBackend]
        + [TorchBackend] * bool(find_spec("torch"))
    )
    for backend in kinds[:-1]:
        with suppress(CfgError, UsageError):
            return backend(model, device)
    return kinds[-1](model, device)


CHOICES = {"auto": quickest} | BACKENDS


def softmax_temperature(cfg: Cfg) -> float:
    """Of the classifier's [softmax]; 1 where it says nothing."""
    return next(
        (section.number("temperature", 1) for section in reversed(cfg.layers) if section.type == "softmax"), 1.0
    )


def weights_for_opencv(cfg: Cfg, path: Path) -> np.ndarray:
    """The weights file's bytes as OpenCV's importer reads them.

    It takes a [connected] layer's batch norm to stand before the weights, as a convolution's does, and knows nothing of
    the old files that hold them transposed: where there is one of these the layers are written anew, in its order.
    """
    read = weights_file.read(cfg, path)
    odd = any(section.type == "connected" and section.integer("batch_normalize", 0) for section in cfg.layers)
    if not odd and read.version[0] <= 1000 and read.version[1] <= 1000:
        return np.fromfile(path, np.uint8)
    order = ("biases", "scales", "mean", "variance", "weights")
    arrays = [np.ravel(layer[name]) for layer in read.layers for name in order if name in layer]
    head = np.concatenate(
        [np.array(weights_file.VERSION, "<i4").view(np.uint8), np.array([read.seen], "<u8").view(np.uint8)]
    )
    return np.concatenate([head, np.concatenate([np.empty(0), *arrays]).astype("<f4").view(np.uint8)])


def inference_cfg(cfg: Cfg) -> Cfg:
    """A copy in which each [yolo] reports scores down to `FLOOR`."""
    return cfg.edit({index: {"thresh": FLOOR} for index, section in enumerate(cfg.sections) if section.type == "yolo"})


_threads: int | None = None


def set_threads(count: int | None) -> None:
    """Limit OpenCV, and backends made from now on, to `count` threads; None leaves their choice, one a core."""
    global _threads
    import cv2

    _threads = count
    if count is not None:
        cv2.setNumThreads(count)


def name_for_opencv(path) -> str:
    """The absolute path as text: FFmpeg takes what stands before a colon in a relative one for a protocol.

    MediaError for one that is not UTF-8, of which OpenCV's own readers and writers crash.
    """
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise MediaError("its name is not UTF-8, which OpenCV cannot open", where=path, mend="rename it") from None
    return os.path.abspath(path)


def quiet_opencv() -> None:
    """No log lines from OpenCV and FFmpeg: emo says itself, in one line, what is wrong with a file."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # AV_LOG_QUIET
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    import cv2

    cv2.utils.logging.setLogLevel(0)
