"""The models that ship, on real pictures: faces are found, and emotions named far above chance."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from converters.boxes import cxcywh_rel_to_xyxy, iou
from converters.convert import convert
from converters.darknet_format.files import read_data, read_list
from converters.darknet_format.labels import label_path, read_label
from emotion.systems import models
from emotion.systems.open import open_system

SHARED = Path(__file__).resolve().parents[3].parent / "shared"

pytestmark = pytest.mark.skipif(len(models.shipped()) < 2, reason="no models are in cfg/models")


def shared(path):
    found = SHARED / path
    if not found.exists():
        pytest.skip(f"needs ../shared/{path}")
    return found


@pytest.mark.parametrize("system", ["yolo", "two-stage"])
def test_finds_the_faces_of_a_photograph(system):
    """Sixteen portraits of one woman, some with hands before the face."""
    picture = cv2.imread(str(shared("media/faces-grid.jpg")))
    (found,) = open_system(system).detect([picture])
    cells = {(int((x1 + x2) / 2 // 320), int((y1 + y2) / 2 // 212.5)) for x1, y1, x2, y2 in found.xyxy_px}
    assert len(cells) >= 13 and len(found) <= 20
    assert len(set(found.class_ids)) >= 3  # she pulls many faces


def test_detector_on_lfw_affectnet(tmp_path):
    """The first 120 pictures of the validation list: nearly every labelled face, and its emotion (half are Neutral)."""
    data = lfw(tmp_path)
    system, hit, right, total = open_system("yolo"), 0, 0, 0
    for path in read_list(data.list_of("valid"))[:120]:
        picture = cv2.imread(str(path))
        (found,) = system.detect([picture])
        label = read_label(label_path(path), data.classes)
        total += len(label)
        if len(found):
            overlap = iou(found.xyxy_px, cxcywh_rel_to_xyxy(label[:, 1:], picture.shape[1::-1]))[:, 0]
            hit += overlap.max() > 0.5
            right += overlap.max() > 0.5 and found.class_ids[overlap.argmax()] == label[0, 0]
    assert hit > 0.9 * total
    assert right > 0.7 * total


def lfw(folder):
    convert([("affectnet", str(shared("datasets/lfw-affectnet")))], folder / "lfw", jobs=1)
    return read_data(folder / "lfw" / "emo.data")


def test_classifier_on_fer2013():
    """600 faces of PublicTest: a seventh would be chance, a quarter is the share of Happy."""
    import csv

    folder = shared("datasets/fer2013")
    sheet = cv2.imread(str(folder / "public_test.png"), cv2.IMREAD_GRAYSCALE)
    with open(folder / "labels.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["usage"] == "PublicTest"][:600]
    crops = [sheet[int(row["cell"]) // 100 * 48 :, int(row["cell"]) % 100 * 48 :][:48, :48] for row in rows]
    from converters.emotions import FER2013
    from emotion.systems.classifier import Classifier

    classifier = Classifier(models.find(None, "classifier"))
    scores = classifier.classify([cv2.cvtColor(crop, cv2.COLOR_GRAY2BGR) for crop in crops])
    named = np.array([classifier.names[index] for index in scores.argmax(1)])
    assert (named == [FER2013[int(row["emotion"])] for row in rows]).mean() > 0.5
