import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from converters import boxes
from converters.errors import MediaError, UsageError
from emotion.comparison import compare
from emotion.sources.pictures import read_picture
from emotion.systems.face_finders import Haar, open_finder, tidy

SHARED = Path(__file__).resolve().parents[4] / "shared"
SHIPPED = {path.name: path for path in compare.shipped_media()}


@pytest.fixture(scope="module")
def portrait():
    return read_picture(SHIPPED["portrait.jpg"])


def test_haar_finds_the_portraits_one_face(portrait):
    xyxy, scores = open_finder("haar").find(portrait)
    assert len(xyxy) == 1 and scores[0] > 0.5
    # The face, drawn round by eye: from the cap's rim to the chin, from ear to ear.
    assert boxes.iou(xyxy, [(160, 140, 375, 340)])[0, 0] > 0.6


def test_haar_gives_many_faces_in_one_order(monkeypatch):
    """OpenCV's threads find them in any order: here each time in another, what is written is the same to the byte."""
    finder = open_finder("haar", conf=0.3)
    boxes = np.array([[60, 10, 50, 50], [10, 10, 50, 50], [10, 80, 40, 40], [90, 90, 60, 60]], np.int32)
    counts, rng, seen = np.array([7, 7, 9, 7], np.int32), np.random.default_rng(0), set()

    class Cascade:
        def detectMultiScale2(self, *_):
            order = rng.permutation(4)
            return boxes[order], counts[order]

    monkeypatch.setattr(finder, "cascade", Cascade())
    for _ in range(10):
        xyxy, scores = finder.find(np.zeros((200, 200, 3), np.uint8))
        seen.add((xyxy.tobytes(), scores.tobytes()))
    assert len(seen) == 1 and scores.argmax() == 0


def test_haars_threshold_is_a_number_of_neighbours(portrait):
    assert Haar(0.25).neighbours == 2 and Haar(0.5).neighbours == 6 and Haar(0.005).neighbours == 1
    assert len(open_finder("haar", conf=0.99).find(portrait)[0]) == 0
    assert (open_finder("haar", conf=0.3).find(portrait)[1] >= 0.3).all()


def test_a_large_frame_is_shrunk_and_its_boxes_are_not(portrait):
    large = portrait.repeat(4, 0).repeat(4, 1)
    small, big = open_finder("haar").find(portrait)[0], open_finder("haar").find(large)[0]
    assert boxes.iou(small * 4, big)[0, 0] > 0.7


def test_a_darknet_detector_is_a_face_finder(detector_folder, squares):
    picture, truth = squares([(1, 1, 2), (3, 0, 6)])
    finder = open_finder(detector_folder)
    xyxy, scores = finder.find(picture)
    assert (
        finder.name == "yolo" and sorted(map(tuple, xyxy.round())) == sorted(map(tuple, truth)) and (scores > 0.9).all()
    )


def test_a_darknet_finders_score_is_how_sure_it_is_of_the_box(portrait):
    """face-nano's one class is likely wherever its box may be: the class's score says nothing."""
    finder = open_finder("face-nano", conf=0.01)
    (found,) = finder.detector.detect([portrait])
    xyxy, scores = finder.find(portrait)
    np.testing.assert_array_equal(scores, np.sort(found.face)[::-1])
    assert len(scores) > 1 and scores[0] > 0.9 and scores[-1] < 0.25 < 0.9 < found.scores.min()
    assert boxes.iou(xyxy[:1], [(160, 130, 375, 360)])[0, 0] > 0.7


def test_face_nano_finds_all_faces_of_the_group():
    group = SHIPPED["group.jpg"]
    with open(group.with_name("labels.csv"), newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["media"] == group.name]
    truth = np.array([[float(row[side]) for side in ("x1", "y1", "x2", "y2")] for row in rows])
    xyxy, scores = open_finder("face-nano").find(read_picture(group))
    assert len(xyxy) == len(truth) == 10 and (boxes.iou(truth, xyxy).max(1) > 0.4).all() and (scores > 0.4).all()


@pytest.mark.parametrize(
    ("name", "files"),
    [("ssd", ""), ("ssd", "opencv_face_detector_uint8.pb"), ("yunet", "face_detection_yunet_2026may.onnx")],
)
def test_finders_that_need_files(portrait, name, files):
    if not (SHARED / "models").is_dir():
        pytest.skip("../shared/models is not here")
    finder = open_finder(SHARED / "models" / files)
    xyxy, scores = finder.find(portrait)
    assert finder.name == name and boxes.iou(xyxy[:1], [(160, 130, 375, 360)])[0, 0] > 0.5 and scores[0] > 0.8
    assert len(finder.find(np.zeros((40, 30, 3), np.uint8))[0]) == 0


@pytest.mark.parametrize(
    ("name", "content", "error", "words"),
    [
        ("a.pb", None, MediaError, "no such face model"),
        ("a.pb", b"junk", MediaError, "another SSD's .pb needs its .pbtxt beside it"),
        ("a.caffemodel", b"junk", MediaError, "no .prototxt beside it"),
        ("a.onnx", b"junk", MediaError, "not a YuNet"),
        ("a.xml", b"junk", MediaError, "not a Haar cascade"),
        ("a\udcff.onnx", b"junk", MediaError, "not UTF-8"),
        ("a\udcff.xml", b"junk", MediaError, "not UTF-8"),
        ("nosuch", None, UsageError, "no model 'nosuch'"),
        ("", None, MediaError, "has no face finder"),
    ],
)
def test_face_models_that_cannot_be_used(tmp_path, monkeypatch, name, content, error, words):
    monkeypatch.chdir(tmp_path)
    if content is not None:
        Path(name).write_bytes(content)
    with pytest.raises(error, match=words):
        open_finder(name or tmp_path)


def test_an_ssd_whose_files_are_broken(tmp_path):
    (tmp_path / "a.pb").write_bytes(b"junk")
    (tmp_path / "a.pbtxt").write_text("junk")
    with pytest.raises(MediaError, match="a.pbtxt"):
        open_finder(tmp_path)


@settings(deadline=None)
@given(st.integers(0, 30), st.integers(0, 1000))
def test_tidy_boxes_lie_in_the_frame_best_first(count, seed):
    rng = np.random.default_rng(seed)
    xyxy, scores = tidy(rng.uniform(-50, 150, (count, 4)), rng.random(count), np.zeros((60, 90, 3), np.uint8))
    assert (xyxy >= 0).all() and (xyxy <= (90, 60, 90, 60)).all() and (boxes.area(xyxy) > 0).all()
    assert (np.diff(scores) <= 0).all() and len(xyxy) == len(scores)
