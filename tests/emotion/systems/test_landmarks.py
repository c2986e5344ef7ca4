"""Faces and landmarks for pictures without boxes: YuNet's five points, dlib's, aligned crops; pictures that are all
face; score bars.
"""

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest

from converters.convert import Settings, convert
from converters.errors import DataError, MediaError, MissingExtra
from converters.table.found_faces import with_found
from converters.table.records import Face, Notes, Record, from_records
from emotion.output.draw import COLOURS, draw, score_bars
from emotion.systems.detections import Detections
from emotion.systems.face_finders import Whole, find_landmarks, open_finder

SHARED = Path(__file__).resolve().parents[4] / "shared"
YUNET = SHARED / "models" / "face_detection_yunet_2026may.onnx"
GRID = SHARED / "media" / "faces-grid.jpg"
needs_shared = pytest.mark.skipif(not (YUNET.is_file() and GRID.is_file()), reason="needs ../shared/models and media")


def stub(xyxy, points):
    return lambda frame: (
        np.array(xyxy, float).reshape(-1, 4),
        np.ones(len(xyxy)),
        None if points is None else np.array(points, float),
    )


@pytest.fixture
def records(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((60, 80, 3), np.uint8))
    record = lambda image, box: Record(tmp_path / image, (Face(box, "Happy"),), "train", image, tmp_path, 1)
    return from_records([record("a.png", None), record("a.png", (10, 10, 30, 30)), record("gone.png", None)])


def test_the_largest_face_is_the_pictures_and_boxes_keep_theirs(records):
    points = [np.full((5, 2), 1.0), np.full((5, 2), 2.0)]
    table = with_found(records, stub([(50, 5, 60, 15), (8, 8, 32, 32)], points), notes := Notes(), True)
    assert table.xyxy.tolist() == [[8, 8, 32, 32], [10, 10, 30, 30]] and [mark[0, 0] for mark in table.landmarks] == [
        2,
        2,
    ]
    assert [(finding.code, finding.severity) for finding in notes.findings] == [
        ("several-faces", "warning"),
        ("undecodable", "error"),
    ]
    assert notes.findings[0].message.startswith("2 faces were found; the largest")
    table = with_found(records, stub([(50, 5, 60, 15)], points[:1]), Notes(), True)
    assert table.landmarks[1] is None  # another's face


def test_a_picture_without_a_face_is_left_out(records):
    table = with_found(records, stub([], None), notes := Notes(), True)
    assert (
        len(table) == 1
        and notes.left_out["train", "picture in which no face was found"] == 1
        and table.landmarks is None
    )


@needs_shared
def test_yunets_five_points_are_eyes_nose_and_mouth():
    xyxy, scores, points = find_landmarks(open_finder(YUNET), cv2.imread(str(GRID)))
    assert len(xyxy) >= 8 and points.shape == (len(xyxy), 5, 2) and (np.diff(scores) <= 0).all()
    left, right, nose, mouth_left, mouth_right = points.transpose(1, 0, 2)
    assert (left[:, 0] < right[:, 0]).all() and (mouth_left[:, 0] < mouth_right[:, 0]).all()
    assert (left[:, 1] < nose[:, 1]).all() and (nose[:, 1] < mouth_left[:, 1]).all()
    assert (points > xyxy[:, None, :2]).all() and (points < xyxy[:, None, 2:]).all()


@needs_shared
def test_pictures_without_boxes_become_level_crops(tmp_path):
    grid = cv2.imread(str(GRID))
    xyxy, _ = open_finder(YUNET).find(grid)
    x1, y1, x2, y2 = xyxy[0].astype(int)
    side = int(1.5 * max(x2 - x1, y2 - y1))
    scene = grid[max(0, y1 - side // 2) : y2 + side // 2, max(0, x1 - side // 2) : x2 + side // 2]
    turned = cv2.warpAffine(
        scene, cv2.getRotationMatrix2D((scene.shape[1] / 2, scene.shape[0] / 2), 20, 1), scene.shape[1::-1]
    )
    for name, picture in (("happy/a.png", turned), ("sad/none.png", np.full((100, 100, 3), 90, np.uint8))):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(tmp_path / "photos" / name), picture)
    finder = open_finder(YUNET)
    report = convert(
        [("folder", str(tmp_path / "photos"))],
        tmp_path / "out",
        Settings(task="crops", find="yunet", align=True),
        jobs=1,
        find=lambda frame: find_landmarks(finder, frame),
    )
    assert report["splits"]["train"]["faces"] == 1 and report["left_out"] == [
        {"split": "train", "reason": "picture in which no face was found", "rows": 1}
    ]
    (row,) = csv.DictReader(open(tmp_path / "out" / "landmarks.csv"))
    eyes = np.array([[float(row[f"{axis}{i}"]) for axis in "xy"] for i in (0, 1)])
    assert abs(eyes[0, 1] - eyes[1, 1]) < 1 and eyes[1, 0] - eyes[0, 0] > 20
    assert cv2.imread(str(tmp_path / "out" / row["path"])).shape == (96, 96, 3)


@needs_shared
def test_dlib_finds_the_faces_that_yunet_finds():
    pytest.importorskip("dlib", reason="needs emo-darknet[dlib]")
    grid = cv2.imread(str(GRID))
    ours, _ = open_finder(YUNET).find(grid)
    finder = open_finder("dlib")
    xyxy, scores, points = find_landmarks(finder, grid)
    from converters.boxes import iou

    assert (
        points is None
        and len(xyxy) >= 0.6 * len(ours)
        and (iou(xyxy, ours).max(1) > 0.3).all()
        and ((scores > 0.2) & (scores < 1)).all()
    )
    np.testing.assert_array_equal(finder.find(grid)[0], xyxy)


@pytest.fixture
def predictor(tmp_path):
    """What makes a shape predictor of dlib's with as many points."""
    dlib = pytest.importorskip("dlib", reason="needs emo-darknet[dlib]")
    options = dlib.shape_predictor_training_options()
    options.tree_depth = options.cascade_depth = options.num_trees_per_cascade_level = options.num_test_splits = 1
    options.oversampling_amount, options.feature_pool_size = 1, 20
    picture, box = np.random.default_rng(0).integers(0, 256, (100, 100, 3), np.uint8), dlib.rectangle(10, 10, 90, 90)

    def make(points: int) -> Path:
        parts = [dlib.point(10 + i, 20 + i % 7) for i in range(points)]
        shape = [dlib.full_object_detection(box, parts)]
        dlib.train_shape_predictor([picture] * 3, [shape] * 3, options).save(str(tmp_path / f"{points}.dat"))
        return tmp_path / f"{points}.dat"

    return make


def test_a_file_of_68_landmarks_gives_as_many_a_face_and_none_where_no_face_is(predictor):
    finder = open_finder(predictor(68))
    xyxy, scores, points = find_landmarks(finder, np.full((200, 200, 3), 90, np.uint8))
    assert xyxy.shape == (0, 4) and scores.shape == (0,) and points.shape == (0, 68, 2)
    if GRID.is_file():
        xyxy, _, points = find_landmarks(finder, cv2.imread(str(GRID)))
        assert len(xyxy) > 5 and points.shape == (len(xyxy), 68, 2)
        # The file was taught with one shape, of a box whose corner is (10, 10) and whose sides are 80 pixels.
        left = (points[:, 0] - xyxy[:, :2]) / (xyxy[:, 2:] - xyxy[:, :2])
        np.testing.assert_allclose(left, np.tile([0, 0.125], (len(xyxy), 1)), atol=0.02)


def test_a_file_of_dlibs_five_landmarks_is_refused_since_they_begin_with_one_eye(predictor):
    with pytest.raises(MediaError, match="has 5 landmarks .give the one with 68"):
        open_finder(predictor(5))


def test_dlibs_files_that_are_not_there_or_none(tmp_path):
    (tmp_path / "bad.dat").write_bytes(b"no shape predictor")
    for path, said in (
        (tmp_path / "none.dat", "no such face model"),
        (tmp_path / "bad.dat", "is not a shape predictor"),
    ):
        with pytest.raises((MediaError, MissingExtra)) as told:
            open_finder(path)
        assert said in str(told.value) or "dlib" in str(told.value)


def test_a_picture_that_is_all_face_goes_to_the_classifier_whole():
    from emotion.systems.open import SystemSettings, open_system

    system = open_system("two-stage", SystemSettings(face_model="whole"))
    faces = np.random.default_rng(0).integers(0, 256, (3, 48, 48, 3), np.uint8)
    for frame, found in zip(faces, system.detect(list(faces))):
        assert found.xyxy_px.tolist() == [[0, 0, 48, 48]] and found.face.tolist() == [1]
        np.testing.assert_allclose(found.scores, system.classifier.classify([frame]), atol=1e-6)
    assert isinstance(system.finder, Whole) and system.settings["crop"] == "the whole picture"


@pytest.mark.parametrize("box", [(10, 10, 60, 80), (150, 20, 199, 120), (0, 0, 200, 150), (190, 140, 200, 150)])
def test_bars_tell_the_scores_and_stay_in_the_picture(box):
    names, frame = ("Neutral", "Happy", "Sad"), np.full((150, 200, 3), 120, np.uint8)
    picture = frame.copy()
    score_bars(picture, box, [0.1, 0.8, 0.1], names)
    happy, sad = (int((np.abs(picture.astype(int) - COLOURS[name]).sum(2) < 12).sum()) for name in ("Happy", "Sad"))
    assert happy > 4 * sad > 0
    found = Detections(np.array([box], np.float32), np.array([[0.1, 0.8, 0.1]], np.float32), np.ones(1, np.float32))
    assert (draw(frame, found, names) != draw(frame, found, names, bars=True)).any()


def test_bars_within_a_box_leave_its_label_readable():
    """A face that is the whole picture has its label at the top and seven bars below its middle."""
    frame, names = np.full((150, 200, 3), 120, np.uint8), tuple(COLOURS)[:7]
    scores = np.full((1, 7), 1 / 7, np.float32)
    found = Detections(np.array([[0, 0, 200, 150]], np.float32), scores, np.ones(1, np.float32))
    plain, barred = draw(frame, found, names), draw(frame, found, names, bars=True)
    changed = (plain != barred).any((1, 2))
    assert not changed[:75].any() and changed[75:].any()


def test_nothing_but_pictures_without_faces_is_one_error(tmp_path):
    (tmp_path / "set" / "happy").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "set" / "happy" / "a.png"), np.zeros((50, 50, 3), np.uint8))
    with pytest.raises(DataError, match="no row that can be used: 1 x picture in which no face was found"):
        convert(
            [("folder", str(tmp_path / "set"))],
            tmp_path / "out",
            Settings(task="crops", find="haar"),
            find=stub([], None),
        )
