"""One system on a labelled set: mAP, face AP, emotion accuracy on matched faces, missed and extra faces.

tally = Tally(detector, names, conf=0.25)
tally.add(found, truth_xyxy, truth_ids)      # found: at the score floor, for AP needs the weak ones too
tally.result()["map"]
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from converters.boxes import cxcywh_rel_to_xyxy
from converters.darknet_format.files import DataFile, read_list
from converters.darknet_format.labels import label_path, read_label
from converters.errors import DataError, MediaError
from converters.text_files import table_rows
from darknet_runner.scoring.average_precision import mean_ap

from ..sources.frame import Frame
from ..sources.pictures import read_picture
from ..systems.detections import Detections, Detector
from . import metrics
from .bootstrap import Evidence, rank
from .classification import Said
from .detection import by_size

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


def units_of(data: DataFile, split: str, limit: int | None = None) -> tuple[np.ndarray, bool]:
    """Which pictures of a split are not independent: (P,) a unit's number each, and whether a manifest named groups.

    manifest.csv beside the .data names the group (a person, a source) of each face; pictures that share
    one, directly or through others, are one unit. Without it each picture is its own.
    """
    paths = [os.path.abspath(path) for path in read_list(data.list_of(split))[:limit]]
    manifest, groups = Path(data.path).parent / "manifest.csv", {}
    if manifest.is_file():
        for _, row in table_rows(manifest, ("image", "group"), mend="delete it, or convert again"):
            if row["image"] and row["group"]:
                groups.setdefault(os.path.abspath(manifest.parent / row["image"]), []).append(row["group"])
    root = {}  # name of a group or picture -> one it is joined to; itself for the one that stands for all

    def top(name):
        root.setdefault(name, name)
        while root[name] != name:
            root[name] = name = root[root[name]]
        return name

    for path in paths:
        for group in groups.get(path, []):
            root[top(("group", group))] = top(path)
    place = {path: index for index, path in enumerate(paths)}
    units = np.unique([place[top(path)] for path in paths], return_inverse=True)[1]
    return units, any(path in groups for path in paths)


class Tally:
    """Counts of one detector over a labelled set, its classes put into the order of `names`."""

    def __init__(self, detector: Detector, names: tuple[str, ...], conf: float):
        self.detector, self.names, self.conf = detector, names, conf
        self.columns = metrics.columns(detector, names)
        self.confusion = np.zeros((len(names), len(names)), int)
        self.predictions, self.faces, self.truths = [], [], []
        self.missed_per_class = np.zeros(len(names), int)
        self.named: list[np.ndarray] = []  # a picture: (M,) the class given to each labelled face, -1 for a missed one
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
        named[pairs[:, 1]] = sure.scores[:, self.columns].argmax(1)[pairs[:, 0]]
        confidence[pairs[:, 1]] = sure.scores[:, self.columns].max(1, initial=0)[pairs[:, 0]]
        np.add.at(self.confusion, (truth.class_ids[named >= 0], named[named >= 0]), 1)
        self.missed_per_class += np.bincount(truth.class_ids[named < 0], minlength=len(self.names))
        self.named.append(named)
        self.probabilities.append(np.full((len(truth.class_ids), len(self.names)), np.nan))
        self.probabilities[-1][pairs[:, 1]] = sure.scores[:, self.columns][pairs[:, 0]]
        self.confidence.append(confidence)
        self.extra.append(len(sure) - len(pairs))
        over = np.setdiff1d(np.arange(len(sure)), pairs[:, 0])
        self.extra_per_class += np.bincount(
            sure.scores[:, self.columns].argmax(1)[over] if len(over) else [], minlength=len(self.names)
        ).astype(int)

    def said(self) -> Said:
        """What was said of each labelled face, picture by picture; the missed ones among them."""
        return Said(
            self.names, np.concatenate([ids for _, ids in self.truths]).astype(int), np.concatenate(self.probabilities)
        )

    def right(self) -> np.ndarray:
        """(faces,) 1 where a labelled face was found and rightly named, 0 where wrongly, -1 where missed."""
        named, truth = np.concatenate(self.named), np.concatenate([ids for _, ids in self.truths])
        return np.where(named < 0, -1, named == truth)

    def evidence(self) -> Evidence:
        """What the bootstrap counts again."""
        pictures, classes = len(self.truths), len(self.names)
        truths, confusion = np.zeros((pictures, classes), int), np.zeros((pictures, classes, classes), int)
        for index, ((_, ids), named) in enumerate(zip(self.truths, self.named)):
            np.add.at(truths[index], ids, 1)
            np.add.at(confusion[index], (ids[named >= 0], named[named >= 0]), 1)
        (faces,) = rank(self.faces, self.blind(), 1, MATCH_IOU)
        missed = np.array([np.count_nonzero(named < 0) for named in self.named])
        return Evidence(
            rank(self.predictions, self.truths, classes, MATCH_IOU),
            faces,
            truths,
            confusion,
            missed,
            np.array(self.extra),
        )

    def sizes(self) -> list[dict]:
        """Faces found and rightly named, by the pixels of their longer side (`detection.by_size`)."""
        xyxy = np.concatenate([boxes for boxes, _ in self.truths]).reshape(-1, 4) if self.truths else np.zeros((0, 4))
        right = self.right() if self.truths else np.zeros(0, int)
        return by_size((xyxy[:, 2:] - xyxy[:, :2]).max(1, initial=0), right >= 0, right == 1)

    def blind(self):
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
            "extra": sum(self.extra),
            "ap": dict(zip(self.names, map(number, by_class.ap))),
            "f1": dict(zip(self.names, map(number, f1))),
            "truths": dict(zip(self.names, by_class.truths.tolist())),
            "missed_per_class": dict(zip(self.names, self.missed_per_class.tolist())),
            "confusion": self.confusion.tolist(),
            "sizes": self.sizes(),
            "calibration": metrics.calibration(confidence[right >= 0], right[right >= 0] == 1),
        }


def number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
