"""A network's ONNX model with 16-bit floats or 8-bit integers, and what that costs: a ModelProto comes in, another goes
out.

    half(to_onnx(model))
    quantised(to_onnx(model), blobs)          # blobs: inputs as the network sees them, which show how large its numbers
                                              get

Inputs and outputs stay 32-bit floats. Only convolutions and dense layers become integers, weights a channel; the boxes'
decoding stays as it is, since 8 bits of a coordinate are 2 pixels of 400. Sums of 8-bit products overflow on processors
without VNNI instructions, so that weights have 7 bits.
"""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from converters.darknet_format.files import DataFile
from converters.errors import CfgError, DataError, MissingExtra

from .backends import OnnxBackend
from .classifier import Classifier
from .models import Model
from .yolo import YoloDetector


def half(made):
    """With 16-bit floats inside. CfgError when a number of the network is larger than those can be."""
    try:
        from onnxruntime.transformers.float16 import convert_float_to_float16
    except ImportError:
        raise MissingExtra("onnxruntime", "onnx", "a half-precision model") from None
    from onnx import numpy_helper

    largest = max(
        (
            float(np.abs(numpy_helper.to_array(array)).max(initial=0))
            for array in made.graph.initializer
            if array.data_type == 1
        ),
        default=0,
    )
    if largest > 65504:
        raise CfgError(f"a weight of {largest:g} does not fit 16 bits", where=made.graph.name)
    return convert_float_to_float16(
        type(made).FromString(made.SerializeToString()), keep_io_types=True, disable_shape_infer=True
    )


def quantised(made, blobs: Sequence[np.ndarray]):
    """With 8-bit integers inside, their ranges taken from `blobs` (B, C, h, w)."""
    try:
        from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    except ImportError:
        raise MissingExtra("onnxruntime", "onnx", "an 8-bit model") from None
    import onnx

    class Reader(CalibrationDataReader):
        def __init__(self):
            self.left = iter(blobs)

        def get_next(self):
            blob = next(self.left, None)
            return None if blob is None else {"pictures": blob}

    if not blobs:
        raise DataError("no picture to calibrate 8 bits with")
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)  # it recommends a step that changes nothing here
    try:
        with tempfile.TemporaryDirectory() as folder:
            whole, target = Path(folder) / "whole.onnx", Path(folder) / "int8.onnx"
            onnx.save(made, whole)  # given as it is, it would be changed
            quantize_static(
                whole,
                target,
                Reader(),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=["Conv", "Gemm"],
                per_channel=True,
                reduce_range=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
            )
            return onnx.load(target)
    finally:
        root.setLevel(level)


class _Recorder:
    """A backend that keeps what it passes on."""

    name = "recorder"

    def __init__(self, backend):
        self.backend, self.blobs = backend, []

    def forward(self, blob):
        self.blobs.append(blob)
        return self.backend.forward(blob)


def subject_of(model: Model, backend):
    """The model with a backend, as `judge` takes it."""
    return YoloDetector(model, 0.005, 0.45, backend) if model.task == "detector" else Classifier(model, backend)


def blobs_of(model: Model, data: DataFile, pictures: int, judge: Callable) -> list[np.ndarray]:
    """Inputs of the network, of the training list's first `pictures`."""
    recorder = _Recorder(OnnxBackend(model))
    judge(subject_of(model, recorder), data, "train", limit=pictures)
    return recorder.blobs


def milliseconds(backend, blob: np.ndarray, rounds: int = 15) -> float:
    """Of one forward pass, the quickest of some."""
    backend.forward(blob)
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        backend.forward(blob)
        times.append(time.perf_counter() - start)
    return 1000 * min(times)
