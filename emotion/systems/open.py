"""Systems by name: what `--system` and `emo compare` understand.

    yolo                       the one-stage detector that ships
    yolo:MODEL                 another one: a name, folder, run folder, .cfg or .weights
    two-stage                  the best face finder at hand and the classifier that ships
    two-stage:FACE             another face finder (see `face_finders.open_finder`)
    two-stage:FACE+MODEL       and another classifier; FACE may be empty
    MODEL                      (`open_subject` only) a classifier by itself, or yolo:MODEL
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from converters.errors import UsageError, nearest

from . import models
from .backends import CHOICES
from .classifier import Classifier
from .detections import Detector
from .face_finders import open_finder
from .two_stage import TwoStage
from .yolo import YoloDetector

SYSTEMS = ("yolo", "two-stage")


def open_system(
    spec: str, *, model: str | None = None, weights: str | Path | None = None, names: str | Path | None = None,
    face_model: str | None = None, conf: float = 0.25, iou: float = 0.45, backend: str = "auto", device: str = "auto",
) -> Detector:  # fmt: skip
    """The detector that `spec` names. `model` and `face_model` hold where `spec` does not say.

    conf  the face's score must exceed it: a YOLO's objectness, a face finder's own score
    iou   NMS overlap of a YOLO
    backend  what computes the networks, see `backends.CHOICES`; face finders that are no Darknet networks have their own
    device  auto, cpu, cuda or cuda:N; OpenCV has only the CPU
    """
    kind, _, rest = spec.partition(":")
    if kind not in SYSTEMS:
        raise UsageError(f"no system '{kind}'", mend=nearest(kind, SYSTEMS))
    if backend not in CHOICES:
        raise UsageError(f"no backend '{backend}'", mend=nearest(backend, CHOICES))
    compute = partial(CHOICES[backend], device=device)
    if kind == "yolo":
        found = models.find(rest or model, "detector", weights_file=weights, names_file=names)
        return YoloDetector(found, conf, iou, compute(found))
    face, _, classifier = rest.partition("+")
    found = models.find(classifier or model, "classifier", weights_file=weights, names_file=names)
    return TwoStage(open_finder(face or face_model, conf, iou, compute), Classifier(found, compute(found)))


def open_subject(spec: str, *, face_model: str | None = None, conf: float = 0.25, iou: float = 0.45, backend: str = "auto", device: str = "auto") -> Detector | Classifier:
    """What `emo evaluate` and `emo compare` measure: a system, or a model by itself, which its task makes a detector or a classifier."""
    if spec.partition(":")[0] in SYSTEMS and not Path(spec).exists():
        return open_system(spec, face_model=face_model, conf=conf, iou=iou, backend=backend, device=device)
    if backend not in CHOICES:
        raise UsageError(f"no backend '{backend}'", mend=nearest(backend, CHOICES))
    found = models.find(spec, None)
    compute = CHOICES[backend](found, device=device)
    return YoloDetector(found, conf, iou, compute) if found.task == "detector" else Classifier(found, compute)
