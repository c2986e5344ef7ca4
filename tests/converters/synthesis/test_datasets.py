"""synth and the drawn faces: the same seed, the same bytes; faces that detectors find; the datasets' own forms."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from converters import boxes, emotions as labels
from converters.darknet_format.dataset import load
from converters.dataset.check import check
from converters.errors import UsageError
from converters.images import decode, probe
from converters.synthesis import datasets
from converters.synthesis.face import paint_face
from converters.synthesis.person import EXPRESSIONS, Expression, Light, Pose, blend, random_expression, random_person


def files(root):
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(Path(root).rglob("*")) if path.is_file()}


def test_every_expression_of_every_dataset_can_be_drawn():
    assert set(EXPRESSIONS) == set(labels.EMOTIONS)
    rng = np.random.default_rng(0)
    for name in labels.EMOTIONS:
        face = datasets.draw_face(name, 48, rng)
        assert face.shape == (48, 48, 3) and face.dtype == np.uint8 and face.std() > 10
    with pytest.raises(UsageError, match="did you mean 'Happy'"):
        datasets.draw_face("happy!", 48, rng)


def test_the_same_seed_draws_the_same_scene():
    first, again, other = (datasets.draw_scene((200, 160), 3, np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert np.array_equal(first[0], again[0]) and np.array_equal(first[1], again[1]) and first[2] == again[2]
    assert not np.array_equal(first[0], other[0])


@pytest.mark.parametrize("faces", [0, 1, 5, 12, ["Fear", "Sad"]])
@pytest.mark.parametrize("size_wh", [(320, 240), (120, 300)])
def test_a_scene(faces, size_wh):
    picture, xyxy, emotions = datasets.draw_scene(size_wh, faces, np.random.default_rng(1))
    assert picture.shape == (size_wh[1], size_wh[0], 3) and xyxy.shape == (len(emotions), 4)
    assert len(emotions) <= (faces if isinstance(faces, int) else len(faces)) and (faces == 0 or len(emotions) > 0)
    assert (boxes.clip(xyxy, size_wh) == xyxy).all() and (xyxy[:, 2:] - xyxy[:, :2] > 8).all()
    overlap = boxes.iou(xyxy, xyxy) - np.eye(len(xyxy))
    assert overlap.max(initial=0) < 0.05
    if isinstance(faces, list):
        assert sorted(emotions) == sorted(faces)


def test_a_box_holds_the_face_that_was_painted():
    """On a green ground, all skin lies in the box (ears and neck apart), and all landmarks."""
    rng = np.random.default_rng(3)
    for roll in (-20, 0, 15):
        picture = np.full((400, 400, 3), (0, 255, 0), np.uint8)
        box, points = paint_face(
            picture, random_person(rng), random_expression("Happy", rng), (200, 180), 150, Pose(roll, 8, 3), Light()
        )
        assert points.shape == (68, 2)
        assert (points >= box[:2] - 1).all() and (points <= box[2:] + 1).all()
        assert 140 < box[3] - box[1] < 190 and 95 < box[2] - box[0] < 150
        # left eye, right eye, nose, mouth: where they belong in the picture
        left, right, nose, mouth = (
            points[part].mean(0) for part in (slice(36, 42), slice(42, 48), slice(27, 36), slice(48, 68))
        )
        assert left[0] < nose[0] < right[0] and max(left[1], right[1]) < nose[1] < mouth[1]
        assert np.degrees(np.arctan2(*(right - left)[::-1])) == pytest.approx(roll, abs=4)


def test_a_face_over_the_edge_is_cut_and_one_outside_changes_nothing():
    rng = np.random.default_rng(0)
    person, calm = random_person(rng), Expression()
    for centre in ((0, 0), (100, 50), (50, 100)):
        picture = np.zeros((100, 100, 3), np.uint8)
        paint_face(picture, person, calm, centre, 60, Pose(), Light())
        assert picture.any()
    picture = np.zeros((100, 100, 3), np.uint8)
    paint_face(picture, person, calm, (1000, -500), 60, Pose(), Light())
    assert not picture.any()


def test_blend_goes_from_one_to_the_other():
    a, b = EXPRESSIONS["Neutral"][0], EXPRESSIONS["Surprise"][0]
    assert blend(a, b, 0) == a and blend(a, b, 1) == b
    assert blend(a, b, 0.5).jaw == pytest.approx(b.jaw / 2)


def test_a_detector_trained_on_photographs_finds_most_drawn_faces():
    """OpenCV's Haar cascade is the oracle that they look like faces."""
    cascade = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_default.xml")
    rng, hits, total, strays = np.random.default_rng(1), 0, 0, 0
    for number in range(25):
        picture, xyxy, _ = datasets.draw_scene((480, 360), 1 + number % 4, rng, face_share=(0.25, 0.5))
        found = cascade.detectMultiScale(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), 1.05, 3, minSize=(40, 40))
        found = np.array([(x, y, x + w, y + h) for x, y, w, h in found]).reshape(-1, 4)
        hit = (boxes.iou(xyxy, found) > 0.35).any(1) if len(found) else np.zeros(len(xyxy), bool)
        hits, total, strays = hits + hit.sum(), total + len(xyxy), strays + len(found) - hit.sum()
    assert hits / total > 0.85 and strays / total < 0.2


def test_expressions_can_be_told_apart_at_48_pixels():
    """A linear discriminant on a quarter of the pixels is right for most faces of people it has never seen."""

    def features(seeds):
        faces = [
            [
                datasets.draw_face(name, 48, np.random.default_rng([seed, i]))
                for i, name in enumerate(labels.EMOTIONS[:7])
            ]
            for seed in seeds
        ]
        grey = np.array(
            [cv2.cvtColor(face, cv2.COLOR_BGR2GRAY)[8:46, 6:42] for row in faces for face in row], np.float32
        )
        small = np.array(
            [cv2.equalizeHist(cv2.resize(g.astype(np.uint8), (18, 19), interpolation=cv2.INTER_AREA)) for g in grey],
            float,
        )
        flat = small.reshape(len(small), -1) / 255
        return np.c_[flat, np.ones(len(flat))], np.tile(np.arange(7), len(seeds))

    x, y = features(range(60))
    weights = np.linalg.solve(x.T @ x + 8 * np.eye(x.shape[1]), x.T @ np.eye(7)[y])  # ridge regression on one-hot
    x, y = features(range(1000, 1020))
    assert (np.argmax(x @ weights, 1) == y).mean() > 0.45  # chance is 0.14; 0.7 with 160 people


def test_affectnet_form(tmp_path):
    report = datasets.write_set("affectnet", 70, tmp_path / "affectnet", classes=8, others=0.3)
    assert report["rows"] == {"training": 56, "validation": 14}
    rows = {
        name: list(csv.DictReader((tmp_path / "affectnet" / f"{name}.csv").read_text().splitlines()))
        for name in report["rows"]
    }
    assert list(rows["training"][0]) == list(datasets._AFFECTNET_COLUMNS)
    others = Counter()
    for row in rows["training"] + rows["validation"]:
        info = probe(tmp_path / "affectnet" / "Manually_Annotated_Images" / row["subDirectory_filePath"])
        x, y, w, h = (int(row[key]) for key in ("face_x", "face_y", "face_width", "face_height"))
        assert info.problem is None and 0 <= x < x + w <= info.size_wh[0] and 0 <= y < y + h <= info.size_wh[1]
        assert len(row["facial_landmarks"].split(";")) == 136
        others[int(row["expression"])] += 1
    assert set(others) == set(range(11)) and 8 <= others[8] + others[9] + others[10] <= 35


def test_fer2013_form(tmp_path):
    report = datasets.write_set("fer2013", 140, tmp_path / "fer")
    rows = list(csv.reader((tmp_path / "fer" / "fer2013.csv").read_text().splitlines()))
    assert rows[0] == ["emotion", "pixels", "Usage"] and len(rows) == 141
    assert (
        Counter(row[2] for row in rows[1:]) == report["rows"] == {"Training": 112, "PublicTest": 14, "PrivateTest": 14}
    )
    assert {int(row[0]) for row in rows[1:] if row[2] == "PublicTest"} == set(range(7))
    pixels = np.array([row[1].split() for row in rows[1:]], int)
    assert pixels.shape == (140, 48 * 48) and pixels.min() >= 0 and pixels.max() <= 255 and pixels.std() > 20
    with pytest.raises(UsageError, match="no Contempt"):
        datasets.write_set("fer2013", 1, tmp_path / "x", classes=8)


def test_darknet_form_is_sound_and_repeats_to_the_byte(tmp_path):
    report = datasets.write_set("yolo", 20, tmp_path / "scenes", seed=4)
    one = load(tmp_path / "scenes")
    assert check(one) == [] and report["rows"] == {"train": 16, "valid": 4}
    assert json.loads((tmp_path / "scenes" / "report.json").read_text()) == report
    before = files(tmp_path / "scenes")
    datasets.write_set("yolo", 20, tmp_path / "scenes", seed=4, force=True)
    assert files(tmp_path / "scenes") == before
    more = datasets.write_set("yolo", 25, tmp_path / "more", seed=4)["rows"]  # a larger set begins with the smaller
    assert more == {"train": 20, "valid": 5}
    assert (tmp_path / "more" / "train" / "000003.jpg").read_bytes() == before["train/000003.jpg"]
    with pytest.raises(UsageError, match="not empty"):
        datasets.write_set("yolo", 1, tmp_path / "scenes")
    with pytest.raises(UsageError, match="did you mean 'affectnet'"):
        datasets.write_set("afectnet", 1, tmp_path / "x")


def test_labels_lie_on_the_faces(tmp_path):
    """Two people are drawn on black: what is bright and not black lies round the boxes in the label's coordinates."""
    ground = np.zeros((300, 400, 3), np.uint8)
    picture, xyxy, _ = datasets.draw_scene((400, 300), 2, np.random.default_rng(2), background=ground)
    assert not ground.any()  # the background given is not painted on
    inside = np.zeros((300, 400), bool)
    for x1, y1, x2, y2 in np.round(xyxy).astype(int):
        assert picture[y1:y2, x1:x2].mean() > 40
        height = y2 - y1
        inside[max(0, y1 - height) : y2 + height, max(0, x1 - height) : x2 + height] = True
    assert picture[~inside].mean() < 10
    cv2.imwrite(str(tmp_path / "a.png"), picture)
    assert np.array_equal(decode(tmp_path / "a.png"), picture)
