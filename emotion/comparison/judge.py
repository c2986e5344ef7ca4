"""A model or system at a labelled set: what it says of each labelled face.

A set is a detector's (pictures, faces with boxes) or a classifier's (pictures that are a face); a subject is a
classifier or a detector, one- or two-stage. All four meet:

    classifier on pictures     each picture whole
    classifier on boxes        each labelled face cut out as a two-stage system would
    detector on boxes          faces matched by IoU; a labelled face that was not found is missed
    detector on pictures       the picture's face is the surest one found; none found is missed
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np

from converters.darknet_format.files import DataFile, class_of_path, read_list
from converters.errors import DataError, MediaError

from ..sources.pictures import read_picture
from ..systems.classifier import Classifier
from ..systems.detections import Detector
from ..systems.two_stage import crop
from . import metrics
from .classification import Said
from .tally import SCORE_FLOORS, Tally, labelled_frames

BATCH = 64  # pictures held at a time

Item = TypeVar("Item")


@dataclass(frozen=True)
class Judgement:
    """What one subject did on a set.

    said      of every labelled face
    picture   (N,) the picture of each labelled face
    tally     of a detector on a set with boxes; else None
    boxes     the same: a picture's (xyxy_px, scores of each class), of a one-stage detector after Darknet's own NMS a
              class
    sizes_wh  the same: a picture's size
    extra     faces found that nobody labelled; None where nobody could have
    seconds   spent on it, pictures read
    """

    said: Said
    picture: np.ndarray
    tally: Tally | None
    extra: int | None
    seconds: float
    boxes: list[tuple[np.ndarray, np.ndarray]] | None = None
    sizes_wh: list[tuple[int, int]] | None = None


class Task(NamedTuple):
    """What `judge` was asked, `columns` being where the set's classes stand in the subject's."""

    subject: Any
    data: DataFile
    split: str
    conf: float
    limit: int | None
    columns: list[int]
    progress: Callable[[int], None]


def judge(
    subject: Classifier | Detector,
    data: DataFile,
    split: str = "valid",
    *,
    conf: float = 0.25,
    limit: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Judgement:
    """Run `subject` over a split.

    conf  a detector's faces below it do not count; for AP it should have been opened with a lower one
    Raises DataError for a picture or label that cannot be used, UsageError for a class that the subject does not know.
    """
    columns = metrics.columns(subject, data.names)
    detects = hasattr(subject, "detect")
    go = {
        (False, True): _classified,
        (False, False): _classified_boxes,
        (True, False): _detected,
        (True, True): _detected_pictures,
    }
    return go[detects, data.is_classifier](
        Task(subject, data, split, conf, limit, columns, progress or (lambda done: None))
    )


def labelled_pictures(data: DataFile, split: str, limit: int | None) -> Iterator[tuple[np.ndarray, int]]:
    """(picture BGR, class id) of a classifier's set; DataError for a picture or path that cannot be used."""
    for path in read_list(data.list_of(split))[:limit]:
        try:
            yield read_picture(path, upright=False), class_of_path(path, data.labels)
        except MediaError as error:
            raise DataError(
                error.what, where=path, mend=f"named in {data.list_of(split)}; run emo convert again"
            ) from None


def _batches(items: Iterable[Item], size: int = BATCH) -> Iterator[list[Item]]:
    held = []
    for item in items:
        held.append(item)
        if len(held) == size:
            yield held
            held = []
    if held:
        yield held


def _classified(task: Task) -> Judgement:
    subject, data, split, _, limit, columns, progress = task
    truth, out, spent = [], [], 0.0
    for batch in _batches(labelled_pictures(data, split, limit)):
        start = time.perf_counter()
        out.append(subject.classify([picture for picture, _ in batch])[:, columns])
        spent += time.perf_counter() - start
        truth += [class_id for _, class_id in batch]
        progress(len(truth))
    return Judgement(
        Said(data.names, np.array(truth, int), np.concatenate(out)), np.arange(len(truth)), None, None, spent
    )


def _classified_boxes(task: Task) -> Judgement:
    subject, data, split, _, limit, columns, progress = task
    truth, picture, out, spent = [], [], [np.zeros((0, len(columns)))], 0.0
    for index, (frame, faces) in enumerate(labelled_frames(data, split, limit)):
        start = time.perf_counter()
        out.append(subject.classify([crop(frame.bgr, box, subject.crop_scale) for box in faces.xyxy_px])[:, columns])
        spent += time.perf_counter() - start
        truth += faces.class_ids.tolist()
        picture += [index] * len(faces.class_ids)
        progress(index + 1)
    return Judgement(
        Said(data.names, np.array(truth, int), np.concatenate(out)), np.array(picture, int), None, None, spent
    )


def _detected(task: Task) -> Judgement:
    subject, data, split, conf, limit, columns, progress = task
    tally, boxes, sizes, spent = Tally(subject, data.names, conf), [], [], 0.0
    for index, (frame, truth) in enumerate(labelled_frames(data, split, limit)):
        start = time.perf_counter()
        if hasattr(subject, "detect_both"):
            [(found, (xyxy, scores))] = subject.detect_both([frame.bgr])
            scores = scores[:, columns]
        else:
            (found,) = subject.detect([frame.bgr])
            xyxy, scores = (
                found.xyxy_px,
                np.where((scores := found.class_scores[:, columns]) > SCORE_FLOORS["yolo"], scores, 0),
            )
        spent += time.perf_counter() - start
        boxes.append((xyxy, scores))
        sizes.append(frame.bgr.shape[1::-1])
        tally.add(found, truth)
        progress(index + 1)
    faces = [len(ids) for _, ids in tally.truths]
    return Judgement(
        tally.said(), np.repeat(np.arange(len(faces)), faces), tally, sum(tally.extra), spent, boxes, sizes
    )


def _detected_pictures(task: Task) -> Judgement:
    subject, data, split, conf, limit, columns, progress = task
    truth, out, spent = [], [], 0.0
    for picture, class_id in labelled_pictures(data, split, limit):
        start = time.perf_counter()
        (found,) = subject.detect([picture])
        spent += time.perf_counter() - start
        found = found.take(found.face >= conf)
        out.append(found.scores[found.face.argmax()][columns] if len(found) else np.full(len(columns), np.nan))
        truth.append(class_id)
        progress(len(truth))
    return Judgement(
        Said(data.names, np.array(truth, int), np.array(out, float)), np.arange(len(truth)), None, None, spent
    )
