"""Composed scenes: exact boxes, no large overlaps, every face used, and nothing but the seed decides."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from converters import boxes
from converters.convert import Settings, convert
from converters.darknet_format.files import read_list
from converters.darknet_format.labels import label_path, read_label
from converters.errors import DataError, UsageError
from converters.synthesis.backgrounds import background, drawn, listed
from converters.synthesis.scenes import SMALLEST, compose, plan


@given(st.lists(st.integers(0, 2), min_size=1, max_size=300), st.none() | st.integers(1, 200), st.integers(0, 5))
@settings(max_examples=60, deadline=None)
def test_every_face_is_dealt_before_any_is_dealt_again_and_splits_do_not_mix(splits, scenes, seed):
    splits = np.array(splits)
    hands = plan(splits, scenes, seed)
    for split in np.unique(splits):
        times = np.bincount(np.concatenate([hand for which, hand in hands if which == split]), minlength=len(splits))
        assert not times[splits != split].any() and np.ptp(times[splits == split]) <= 1
    assert [list(hand) for _, hand in hands] == [list(hand) for _, hand in plan(splits, scenes, seed)]


@pytest.mark.parametrize("crowd", [1, 2, 7, 25])
def test_a_crowd_has_from_a_third_of_its_number_to_all(crowd):
    splits = np.repeat([0, 2], [900, 100])
    hands = plan(splits, 200, 5, crowd)
    sizes = {len(hand) for _, hand in hands}
    assert len(hands) == 200 and sum(split == 2 for split, _ in hands) == 20
    assert sizes == set(range(-(-crowd // 3), crowd + 1))
    assert sum(len(hand) for _, hand in plan(splits, None, 5, crowd)) == pytest.approx(1000, rel=0.15)


@pytest.mark.parametrize("seed", range(12))
def test_a_crowd_stands_close_and_nobody_is_left_out(seed):
    count, rng = 4 + 2 * seed, np.random.default_rng(seed)
    picture, xyxy, placed = compose(faces(count), rng, (416, 320), crowd=True)
    assert placed == list(range(count)) and picture.shape == (320, 416, 3)
    assert boxes.iou(xyxy, xyxy)[~np.eye(count, dtype=bool)].max(initial=0) == 0
    sides, cells = xyxy[:, 2] - xyxy[:, 0], np.ceil(count**0.5)
    assert (sides <= 320 / (cells - 1)).all() and np.ptp(sides) <= 0.3 * sides.max()


def faces(count, seed=0):
    """Bright noise without any structure of a background."""
    return [np.random.default_rng([seed, i]).integers(100, 256, (48, 48), np.uint8) for i in range(count)]


@pytest.mark.parametrize("seed", range(25))
def test_boxes_lie_in_the_picture_apart_and_on_the_faces(seed):
    crops = faces(seed % 10 + 1)
    rng = np.random.default_rng(seed)
    picture, xyxy, placed = compose(crops, rng, (320, 240))
    assert picture.shape == (240, 320, 3) and picture.dtype == np.uint8
    assert len(xyxy) == len(placed) == len(set(placed)) >= 1
    np.testing.assert_array_equal(xyxy, boxes.clip(xyxy, (320, 240)))
    assert (boxes.area(xyxy) >= (0.7 * SMALLEST) ** 2).all()
    assert boxes.iou(xyxy, xyxy)[~np.eye(len(xyxy), dtype=bool)].max(initial=0) == 0


def test_the_box_is_where_the_face_is():
    """The same scene with another face differs inside the boxes and hardly anywhere else."""
    inside, outside = [], []
    for seed in range(12):
        a, xyxy, _ = compose([np.full((48, 48), 140, np.uint8)], np.random.default_rng(seed), (200, 200))
        stripes = np.full((48, 48), 140, np.uint8)
        stripes[:, ::4], stripes[:, 2::4] = 250, 30  # the same median at the cheeks
        b, again, _ = compose([stripes], np.random.default_rng(seed), (200, 200))
        np.testing.assert_array_equal(xyxy, again)
        change = np.abs(a.astype(int) - b).sum(axis=2)
        x1, y1, x2, y2 = xyxy[0].astype(int)
        inside.append(change[y1:y2, x1:x2].mean())
        change[y1:y2, x1:x2] = 0
        outside.append(change.mean())
    assert np.median(inside) > 20 * np.median(outside)


def test_backgrounds_are_varied_and_repeatable():
    looks = [drawn(np.random.default_rng(seed), (64, 48)) for seed in range(40)]
    assert all(look.shape == (48, 64, 3) for look in looks)
    assert len({look.tobytes() for look in looks}) == 40
    assert np.std([look.mean() for look in looks]) > 20  # some dark, some bright
    np.testing.assert_array_equal(looks[3], drawn(np.random.default_rng(3), (64, 48)))


def test_photographs_serve_as_backgrounds(tmp_path, noise):
    cv2.imwrite(str(tmp_path / "wall.jpg"), np.full((90, 200, 3), (10, 200, 10), np.uint8))
    (tmp_path / "notes.txt").write_text("no picture")
    photos = listed(tmp_path)
    assert [path.rpartition("/")[2] for path in photos] == ["wall.jpg"]
    ground = background(np.random.default_rng(0), (64, 64), photos)
    assert ground.shape == (64, 64, 3) and np.abs(ground.astype(int) - (10, 200, 10)).max() < 12
    with pytest.raises(DataError, match="no picture"):
        listed(_empty(tmp_path))
    with pytest.raises(DataError, match="no such folder"):
        listed(tmp_path / "nowhere")


def _empty(tmp_path):
    (tmp_path / "empty").mkdir()
    return tmp_path / "empty"


def test_crops_become_scenes_whose_bytes_only_the_seed_decides(tmp_path, fer2013_csv):
    path, outputs = fer2013_csv(60), []
    for seed, jobs in ((1, 1), (1, 4), (2, 1)):
        report = convert(
            [("fer2013", str(path))],
            tmp_path / "out",
            Settings(scenes=24, size=(160, 120), seed=seed),
            jobs=jobs,
            force=True,
        )
        outputs.append({file.name: file.read_bytes() for file in sorted((tmp_path / "out").rglob("scene0*"))})
    assert outputs[0] == outputs[1] != outputs[2]
    assert sum(part["pictures"] for part in report["splits"].values()) == 24
    for split, part in report["splits"].items():
        paths = read_list(tmp_path / "out" / f"{split}.txt")
        assert sum(len(read_label(label_path(image), 7)) for image in paths) == part["faces"]
        assert cv2.imread(str(paths[0])).shape == (120, 160, 3)


def test_boxed_and_whole_pictures_make_one_set(tmp_path, affectnet, fer2013_csv):
    rows = [(f"1/{i}.jpg", 5, 5, 60, 60, i) for i in range(7)]
    sources = [("affectnet", str(affectnet("affectnet", {"training.csv": rows}))), ("fer2013", str(fer2013_csv(20)))]
    report = convert(sources, tmp_path / "out", Settings(scenes=5, size=(160, 160)))
    names = [path.relative_to(tmp_path / "out").as_posix() for path in read_list(tmp_path / "out" / "train.txt")]
    assert names[:7] == [f"train/1/{i}.jpg" for i in range(7)] and all("/scenes/" in name for name in names[7:])
    assert sum(part["pictures"] for part in report["splits"].values()) == 12


def test_a_bad_crop_is_told_once_and_stands_in_no_scene(tmp_path, noise):
    for number in range(4):
        path = tmp_path / "faces" / "train" / "happy" / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), noise(number))
    path.with_name("cut.jpg").write_bytes(path.read_bytes()[:-300])
    path.with_name("zero.jpg").write_bytes(b"")
    report = convert([("folder", str(tmp_path / "faces"))], tmp_path / "out", Settings(scenes=12, size=(160, 120)))
    assert report["finding_counts"] == {"truncated": 1, "zero-bytes": 1} and report["splits"]["train"]["pictures"] == 12
    assert {item["reason"]: item["rows"] for item in report["left_out"]} == {"truncated": 1, "zero-bytes": 1}
    assert "cut.jpg" not in (tmp_path / "out" / "manifest.csv").read_text()


def test_a_crowd_without_room_is_refused(fer2013_csv, tmp_path):
    for size, said in (((416, 416), "--crowd 49 at most, or a larger --size"), ((60, 900), "a larger --size")):
        options = Settings(task="detector", crowd=50, size=size)
        with pytest.raises(UsageError, match=rf"{size[0]}x{size[1]} pixels has no room for a crowd of 50.*{said}"):
            convert([("fer2013", str(fer2013_csv(60)))], tmp_path / "out", options)
    convert([("fer2013", str(fer2013_csv(60)))], tmp_path / "out", Settings(task="detector", crowd=49, scenes=2))
    found = [len(read_label(label_path(path), 7)) for path in read_list(tmp_path / "out" / "train.txt")]
    assert found and min(found) >= 17
