"""Systems by name: what `--system` and `emo compare` understand.

yolo                       the one-stage detector that ships
yolo:MODEL                 another one: a name, folder, run folder, .cfg or .weights
two-stage                  the best face finder at hand and emo's own classifier
two-stage:FACE             another face finder (see `face_finders.open_finder`)
two-stage:FACE+MODEL       and another classifier; FACE may be empty
MODEL                      (`open_subject` only) a classifier by itself, or yolo:MODEL
...@416 ...@onnx           (`open_subject` only) with another size or backend
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, SupportsFloat

from converters.errors import MissingExtra, UsageError, nearest

from . import models
from .backends import CHOICES, OnnxBackend
from .classifier import Classifier
from .detections import Detector
from .face_finders import open_finder
from .models import Model
from .two_stage import TwoStage
from .yolo import YoloDetector

SYSTEMS = ("yolo", "two-stage")


@dataclass(frozen=True)
class SystemSettings:
    """How a system is opened; what its name says goes before `model` and `face_model`."""

    model: str | None = None  # None: the one that ships
    weights: str | Path | None = None  # that do not lie beside the cfg
    names: str | Path | None = None
    face_model: str | None = None  # see `face_finders.open_finder`
    conf: float = 0.25  # the face's score must exceed it: a YOLO's objectness, a face finder's own score
    iou: float = 0.45  # NMS overlap of a YOLO
    backend: str = "auto"  # what computes the networks, see `backends.CHOICES`; some face finders have their own
    device: str = "auto"  # auto, cpu, cuda or cuda:N; OpenCV has only the CPU
    square: bool = False  # the whole letter box goes through a YOLO, as Darknet does it, with its grey bars
    onnx: str | Path | None = None  # the model as `emo export` wrote it, which ONNX Runtime then computes

    def __post_init__(self) -> None:
        for name in ("conf", "iou"):
            value: Any = getattr(self, name)
            if isinstance(value, (str, bool)) or not isinstance(value, SupportsFloat) or not 0 <= float(value) <= 1:
                raise UsageError(f"{name} = {value!r:.60} is not a number from 0 to 1")


def open_system(spec: str, settings: SystemSettings = SystemSettings()) -> Detector:
    """The detector that `spec` names; UsageError for a system or backend there is not."""
    kind, _, rest = spec.partition(":")
    if kind not in SYSTEMS:
        raise UsageError(f"no system '{kind}'", mend=nearest(kind, SYSTEMS))
    face, _, classifier = rest.partition("+") if kind == "two-stage" else ("", "", rest)
    compute = partial(_backend(settings.backend), device=settings.device)
    task = "detector" if kind == "yolo" else "classifier"
    named = classifier or settings.model
    model = models.find(named, task, weights_file=settings.weights, names_file=settings.names)
    backend = of_file(settings.onnx, model, settings.device) if settings.onnx else compute(model)
    if kind == "yolo":
        own = settings.square or settings.onnx
        return YoloDetector(model, settings.conf, settings.iou, backend, None if own else compute)
    finder = open_finder(face or settings.face_model, settings.conf, settings.iou, compute)
    return TwoStage(finder, Classifier(model, backend))


def of_file(path: str | Path, model: Model, device: str) -> OnnxBackend:
    """The backend of an exported file; UsageError when it is not one, or of other weights than the model's."""
    try:
        import onnx
    except ImportError:
        raise MissingExtra("onnx", "onnx", "--onnx") from None
    try:
        made = onnx.load(path)
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror or error}", where=path) from None
    except Exception:  # protobuf's own, of which there are several
        raise UsageError("is not an ONNX file", where=path, mend="emo export writes one") from None
    told = {entry.key: entry.value for entry in made.metadata_props}
    if told.get("sha256") != model.describe()["sha256"]:
        mend = f"emo export {model.name}, or name its model with --model"
        raise UsageError(f"was not exported from the weights of {model.name}", where=path, mend=mend)
    backend = OnnxBackend(model, device, made)
    backend.name = f"onnx, {Path(path).name}"
    return backend


def open_subject(spec: str, settings: SystemSettings = SystemSettings()) -> Detector | Classifier:
    """What `emo evaluate` and `emo compare` measure: a system, or a model by itself, which its task makes a detector or
    a classifier.

    A size or a backend after `@` goes before the settings: yolo:MODEL@416, runs/a-001@onnx,
    yolo@640x384@torch.
    """
    spec, size, chosen = overrules(spec)
    compute = partial(_backend(chosen or settings.backend), device=settings.device)
    kind, _, rest = spec.partition(":")
    if kind == "two-stage" and not Path(spec).exists():
        if size:
            raise UsageError(
                f"'{spec}' has a size of its own for each stage", mend="a size is for a single network: yolo:MODEL@416"
            )
        return open_system(spec, replace(settings, backend=chosen or settings.backend))
    known = models.shipped()
    if kind == "yolo" and not Path(spec).exists():
        found = models.find(rest or None, "detector")
    elif (
        spec in known or Path(spec).exists() or "/" in spec or spec.endswith((".cfg", ".weights"))
    ):  # a file, there or not
        found = models.find(spec, None)
    else:
        raise UsageError(
            f"no system '{kind}'" if rest else f"no system or model '{spec}'", mend=nearest(kind, [*SYSTEMS, *known])
        )
    if size:
        found = resized(found, size)
    if found.task == "classifier":
        return Classifier(found, compute(found))
    return YoloDetector(found, settings.conf, settings.iou, compute(found), None if settings.square else compute)


def _backend(name: str) -> Callable[..., Any]:
    if name not in CHOICES:
        raise UsageError(f"no backend '{name}'", mend=nearest(name, CHOICES))
    return CHOICES[name]


def overrules(spec: str) -> tuple[str, tuple[int, int] | None, str | None]:
    """`yolo:MODEL@416@onnx` -> (`yolo:MODEL`, (416, 416), `onnx`); an `@` that says neither belongs to the name."""
    size = backend = None
    while match := re.search(rf"@(?:(\d+)(?:x(\d+))?|({'|'.join(CHOICES)}))$", spec):
        width, height, chosen = match.groups()
        if chosen:
            backend = backend or chosen
        else:
            size = size or (int(width), int(height or width))
        spec = spec[: match.start()]
    return spec, size, backend


def resized(model: Model, size_wh: tuple[int, int]) -> Model:
    """The model with another input size; UsageError for a size, or a network, that cannot be."""
    if any(side % 32 or not 32 <= side <= 8192 for side in size_wh):
        raise UsageError(f"a size of {size_wh[0]}x{size_wh[1]} is not possible", mend="use multiples of 32")
    if model.task != "detector":
        raise UsageError(
            f"'{model.name}' is a classifier, whose size is fixed",
            mend="a size is for a detector",
        )
    return models.at_size(model, size_wh)
