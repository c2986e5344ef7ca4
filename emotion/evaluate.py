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
from converters.darknetfiles import DataFile, label_path, read_label, read_list
from converters.errors import DataError, MediaError
from darknet_runner.ap import mean_ap

from . import metrics
from .detections import Detections, Detector
from .sources import Frame, read_picture

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
        raise DataError("is a classifier's: it has no boxes", where=data.path, mend="emo convert --task detector makes one that has")
    for index, path in enumerate(read_list(data.list_of(split))[:limit]):
        try:
            bgr = read_picture(path, upright=False)
        except MediaError as error:
            raise DataError(error.what, where=path, mend=f"named in {data.list_of(split)}; run emo convert again") from None
        label = read_label(label_path(path), data.classes)
        xyxy = cxcywh_rel_to_xyxy(label[:, 1:], bgr.shape[1::-1])
        yield Frame(index, None, bgr, path.name), Truth(xyxy, label[:, 0].astype(int))


class Tally:
    """Counts of one detector over a labelled set, its classes put into the order of `names`."""

    def __init__(self, detector: Detector, names: tuple[str, ...], conf: float):
        self.detector, self.names, self.conf = detector, names, conf
        self.columns = metrics.columns(detector, names)
        self.confusion = np.zeros((len(names), len(names)), int)
        self.predictions, self.faces, self.truths = [], [], []
        self.missed, self.extra, self.missed_per_class = 0, 0, np.zeros(len(names), int)

    def add(self, found: Detections, truth: Truth) -> None:
        """One picture: detections down to the score floor, and what is there."""
        scores = found.class_scores[:, self.columns]
        self.predictions.append((found.xyxy_px, np.where(scores > SCORE_FLOORS["yolo"], scores, 0)))
        self.faces.append((found.xyxy_px, found.face[:, None]))
        self.truths.append((truth.xyxy_px, truth.class_ids))
        sure = metrics.select(found, found.face >= self.conf)
        pairs = metrics.match(sure.xyxy_px, truth.xyxy_px, MATCH_IOU)
        named = sure.scores[:, self.columns].argmax(1)
        np.add.at(self.confusion, (truth.class_ids[pairs[:, 1]], named[pairs[:, 0]]), 1)
        lost = np.delete(truth.class_ids, pairs[:, 1])
        self.missed_per_class += np.bincount(lost, minlength=len(self.names))
        self.missed, self.extra = self.missed + len(lost), self.extra + len(sure) - len(pairs)

    def result(self) -> dict:
        """The figures; shares in 0..1, None where nothing is there to count."""
        by_class = mean_ap(self.predictions, self.truths, len(self.names), iou=MATCH_IOU, conf=self.conf)
        blind = [(xyxy, np.zeros(len(ids), int)) for xyxy, ids in self.truths]
        faces = mean_ap(self.faces, blind, 1, iou=MATCH_IOU, conf=self.conf)
        f1 = metrics.f1_per_class(self.confusion)
        return {
            "map": number(by_class.mean), "face_ap": number(faces.mean),
            "accuracy": metrics.accuracy(self.confusion), "macro_f1": metrics.macro_f1(self.confusion),
            "faces": int(sum(len(ids) for _, ids in self.truths)), "matched": int(self.confusion.sum()),
            "missed": self.missed, "extra": self.extra,
            "ap": dict(zip(self.names, map(number, by_class.ap))), "f1": dict(zip(self.names, map(number, f1))),
            "truths": dict(zip(self.names, by_class.truths.tolist())),
            "missed_per_class": dict(zip(self.names, self.missed_per_class.tolist())),
            "confusion": self.confusion.tolist(),
        }  # fmt: skip


def number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
