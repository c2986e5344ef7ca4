"""One system on a labelled set: mAP, face AP, emotion accuracy on matched faces, missed and extra faces.

tally = Tally(detector, names, conf=0.25)
tally.add(found, truth_xyxy, truth_ids)      # found: at the score floor, for AP needs the weak ones too
tally.result()["map"]
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from converters.boxes import cxcywh_rel_to_xyxy
from converters.darknet_format.files import DataFile, read_list
from converters.darknet_format.labels import label_path, read_label
from converters.errors import DataError, MediaError
from darknet_runner.scoring.average_precision import mean_ap

from ..sources.frame import Frame
from ..sources.pictures import read_picture
from ..systems.detections import Detections, Detector
from . import metrics
from .bootstrap import Evidence, rank
from .classification import Said
from .detection import by_size
from .metrics import number
from .units import Units

# Scores below are not counted for AP. A YOLO's is what Darknet's `detector map` keeps (src/detector.c,
# validate_detector_map: thresh). Of a two-stage system it is the face's score: each of the hundred boxes
# that an SSD gives below it would cost a pass of the classifier, and ranks last anyway.
SCORE_FLOORS = {"yolo": 0.005, "two-stage": 0.1}
MATCH_IOU = 0.5


@dataclass(frozen=True)
class Truth:
    """The labelled faces of a picture: xyxy_px (M, 4), class ids (M,)."""

    xyxy_px: np.ndarray
    class_ids: np.ndarray


def labelled_frames(data: DataFile, split: str = "valid", limit: int | None = None) -> Iterator[tuple[Frame, Truth]]:
    """The pictures of a split with their labels. Not turned by EXIF: labels are of the stored pixels.

    DataError for a list, label or picture that cannot be used, before or at the picture concerned.
    """
    if data.is_classifier:
        raise DataError(
            "is a classifier's: it has no boxes", where=data.path, mend="emo convert --task detector makes one that has"
        )
    for index, path in enumerate(read_list(data.list_of(split))[:limit]):
        try:
            bgr = read_picture(path, upright=False)
        except MediaError as error:
            raise DataError(
                error.what, where=path, mend=f"named in {data.list_of(split)}; run emo convert again"
            ) from None
        label = read_label(label_path(path), data.classes)
        xyxy = cxcywh_rel_to_xyxy(label[:, 1:], bgr.shape[1::-1])
        yield Frame(index, None, bgr, path.name), Truth(xyxy, label[:, 0].astype(int))


class Tally:
    """Counts of one detector over a labelled set, its classes put into the order of `names`."""

    def __init__(self, detector: Detector, names: tuple[str, ...], conf: float):
        self.detector, self.names, self.conf = detector, names, conf
        self.columns = metrics.columns(detector, names)
        self.confusion = np.zeros((len(names), len(names) + 1), int)  # last: found, and given none of the names
        self.predictions: list[tuple[np.ndarray, np.ndarray]] = []  # a picture: boxes (N, 4), their scores (N, C)
        self.faces: list[tuple[np.ndarray, np.ndarray]] = []  # and how surely they are faces, (N, 1)
        self.truths: list[tuple[np.ndarray, np.ndarray]] = []  # boxes (M, 4), their classes (M,)
        self.missed_per_class = np.zeros(len(names), int)
        self.named: list[np.ndarray] = []  # a picture: (M,) the class given to each labelled face; -1: missed, C: none
        self.probabilities: list[
            np.ndarray
        ] = []  # a picture: (M, C) of each labelled face; rows of nan for missed ones
        self.confidence: list[
            np.ndarray
        ] = []  # a picture: (M,) its score, given that it is a face; nan for a missed one
        self.extra: list[int] = []  # a picture
        self.extra_per_class = np.zeros(len(names), int)  # what the extra faces were called

    def add(self, found: Detections, truth: Truth) -> None:
        """One picture: detections down to the score floor, and what is there."""
        scores = found.class_scores[:, self.columns]
        self.predictions.append((found.xyxy_px, np.where(scores > SCORE_FLOORS["yolo"], scores, 0)))
        self.faces.append((found.xyxy_px, found.face[:, None]))
        self.truths.append((truth.xyxy_px, truth.class_ids))
        sure = found.take(found.face >= self.conf)
        pairs = metrics.match(sure.xyxy_px, truth.xyxy_px, MATCH_IOU)
        named, confidence = np.full(len(truth.class_ids), -1), np.full(len(truth.class_ids), np.nan)
        called = np.where(sure.scores[:, self.columns].any(1), sure.scores[:, self.columns].argmax(1), len(self.names))
        named[pairs[:, 1]] = called[pairs[:, 0]]
        confidence[pairs[:, 1]] = sure.scores[:, self.columns].max(1, initial=0)[pairs[:, 0]]
        np.add.at(self.confusion, (truth.class_ids[named >= 0], named[named >= 0]), 1)
        self.missed_per_class += np.bincount(truth.class_ids[named < 0], minlength=len(self.names))
        self.named.append(named)
        self.probabilities.append(np.full((len(truth.class_ids), len(self.names)), np.nan))
        self.probabilities[-1][pairs[:, 1]] = sure.scores[:, self.columns][pairs[:, 0]]
        self.confidence.append(confidence)
        self.extra.append(len(sure) - len(pairs))
        over = np.setdiff1d(np.arange(len(sure)), pairs[:, 0])
        self.extra_per_class += np.bincount(called[over], minlength=len(self.names) + 1)[:-1]

    def said(self) -> Said:
        """What was said of each labelled face, picture by picture; the missed ones among them."""
        return Said(
            self.names, np.concatenate([ids for _, ids in self.truths]).astype(int), np.concatenate(self.probabilities)
        )

    def right(self) -> np.ndarray:
        """(faces,) 1 where a labelled face was found and correctly named, 0 where wrongly, -1 where missed."""
        named, truth = np.concatenate(self.named), np.concatenate([ids for _, ids in self.truths])
        return np.where(named < 0, -1, named == truth)

    def evidence(self, units: Units) -> Evidence:
        """What the bootstrap counts again."""
        faces = [len(ids) for _, ids in self.truths]
        cells, at = units.of_faces(np.repeat(np.arange(len(faces)), faces)), units.pictures
        truth, named = self.said().truth, np.concatenate([*self.named, np.zeros(0, int)]).astype(int)
        truths = np.zeros((units.cells, len(self.names)), int)
        confusion = np.zeros((*truths.shape, len(self.names) + 1), int)
        np.add.at(truths, (cells, truth), 1)
        np.add.at(confusion, (cells[named >= 0], truth[named >= 0], named[named >= 0]), 1)
        (blind,) = rank(self.faces, self.blind(), 1, units, MATCH_IOU)
        return Evidence(
            rank(self.predictions, self.truths, len(self.names), units, MATCH_IOU),
            blind,
            truths,
            confusion,
            np.bincount(cells[named < 0], minlength=units.cells),
            np.bincount(at, self.extra, minlength=units.cells),
            np.bincount(at, minlength=units.cells),
        )

    def sizes(self) -> list[dict]:
        """Faces found and correctly named, by the pixels of their longer side (`detection.by_size`)."""
        xyxy = np.concatenate([boxes for boxes, _ in self.truths]).reshape(-1, 4) if self.truths else np.zeros((0, 4))
        right = self.right() if self.truths else np.zeros(0, int)
        return by_size((xyxy[:, 2:] - xyxy[:, :2]).max(1, initial=0), right >= 0, right == 1)

    def blind(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """The labelled faces as one class."""
        return [(xyxy, np.zeros(len(ids), int)) for xyxy, ids in self.truths]

    def result(self) -> dict:
        """The figures; shares in 0..1, None where nothing is there to count."""
        by_class = mean_ap(self.predictions, self.truths, len(self.names), iou=MATCH_IOU, conf=self.conf)
        faces = mean_ap(self.faces, self.blind(), 1, iou=MATCH_IOU, conf=self.conf)
        right, confidence = self.right(), np.concatenate(self.confidence)
        f1 = metrics.f1_per_class(self.confusion)
        return {
            "map": number(by_class.mean),
            "face_ap": number(faces.mean),
            "accuracy": metrics.accuracy(self.confusion),
            "macro_f1": metrics.macro_f1(self.confusion),
            "faces": int(sum(len(ids) for _, ids in self.truths)),
            "matched": int(self.confusion.sum()),
            "missed": int(self.missed_per_class.sum()),
            "unnamed": int(self.confusion[:, -1].sum()),
            "extra": sum(self.extra),
            "ap": dict(zip(self.names, map(number, by_class.ap))),
            "f1": dict(zip(self.names, map(number, f1))),
            "truths": dict(zip(self.names, by_class.truths.tolist())),
            "missed_per_class": dict(zip(self.names, self.missed_per_class.tolist())),
            "confusion": self.confusion[:, :-1].tolist(),
            "sizes": self.sizes(),
            "calibration": metrics.calibration(confidence[right >= 0], right[right >= 0] == 1),
        }
