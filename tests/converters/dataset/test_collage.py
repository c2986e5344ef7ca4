"""Collages: boxes exactly on what they were on, no picture over another, and nothing but the seed decides."""

import csv
import json

import cv2
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from converters import boxes
from converters.darknet_format.dataset import find_data, load
from converters.darknet_format.labels import label_path, read_label
from converters.dataset.check import check
from converters.dataset.collage import LARGEST, SMALLEST, collage, lay
from converters.errors import DataError, UsageError

RED = (30, 30, 200)


def piece(size_wh, *xyxy):
    """Dark noise in which each box is filled with red."""
    picture = np.random.default_rng(sum(size_wh)).integers(0, 40, (size_wh[1], size_wh[0], 3), np.uint8)
    for x1, y1, x2, y2 in xyxy:
        picture[y1:y2, x1:x2] = RED
    return picture, np.array(xyxy, float)


def redness(picture):
    return picture[..., 2].astype(int) - picture[..., 1]


@pytest.fixture(scope="module")
def black(tmp_path_factory):
    """A black ground."""
    path = tmp_path_factory.mktemp("ground") / "black.png"
    cv2.imwrite(str(path), np.zeros((400, 400, 3), np.uint8))
    return str(path)


@given(st.integers(0, 10_000), st.integers(60, 300), st.integers(60, 300))
@settings(max_examples=60, deadline=None)
def test_boxes_are_where_the_faces_are(black, seed, width, height):
    pieces = [
        piece((width, height), (20, 10, 50, 45)),
        piece((90, 80), (5, 5, 30, 30), (40, 20, 85, 75)),
        piece((200, 100), (150, 40, 190, 90)),
    ]
    canvas, laid = lay(pieces, np.random.default_rng(seed), (240, 200), [black])
    assert (
        canvas.shape == (200, 240, 3)
        and canvas.dtype == np.uint8
        and len({which for which, _ in laid}) == len(laid) >= 1
    )
    every = np.concatenate([xyxy for _, xyxy in laid])
    np.testing.assert_allclose(every, boxes.clip(every, (240, 200)), atol=1e-6)
    sides = every[:, 2:] - every[:, :2]
    assert sides.max(axis=1).min() >= SMALLEST - 1.5 and (boxes.iou(every, every) * (1 - np.eye(len(every)))).max() == 0
    for which, xyxy in laid:
        for (x1, y1, x2, y2), (a, b, c, d) in zip(xyxy, pieces[which][1]):
            assert (x2 - x1) <= LARGEST * (c - a) + 1.5 and abs(
                (x2 - x1) / (c - a) - (y2 - y1) / (d - b)
            ) < 0.15  # the shape is kept
            fade = 3 + 0.05 * max(pieces[which][0].shape[:2]) * (x2 - x1) / (
                c - a
            )  # a soft edge may reach into the box
            inner = canvas[int(y1 + fade) : int(y2 - fade), int(x1 + fade) : int(x2 - fade)]
            if inner.size:
                assert inner.std(axis=(0, 1)).max() < 12, "the box holds something else than its face"


def test_what_is_grey_may_get_a_tint_and_what_is_colour_may_lose_it():
    grey = np.repeat(np.random.default_rng(0).integers(0, 256, (60, 60, 1), np.uint8), 3, axis=2)
    face = np.array([[10, 10, 50, 50]], float)
    kinds = set()
    for picture, name in ((grey, "grey"), (piece((60, 60), (10, 10, 50, 50))[0], "colour")):
        for seed in range(40):
            canvas, ((_, (box,)),) = lay([(picture, face)], np.random.default_rng(seed), (160, 160))
            x1, y1, x2, y2 = box.astype(int)
            kinds.add((name, bool(np.abs(redness(canvas[y1 + 2 : y2 - 2, x1 + 2 : x2 - 2])).max() > 3)))
    assert kinds == {("grey", True), ("grey", False), ("colour", True), ("colour", False)}


def test_a_face_that_cannot_be_small_enough_is_left_out():
    """A picture forty times as wide as its face does not fit, at 16 px a face, into 64 px."""
    thin = piece((400, 20), (0, 5, 10, 15))
    wide = (thin[0], np.array([[0, 5, 10, 15], [390, 5, 400, 15]], float))  # both of its faces must stay in
    assert lay([wide], np.random.default_rng(0), (64, 64))[1] == []


@pytest.fixture
def faces(darknet_set):
    """Twelve pictures of 64x48 in train, four in valid, one without a face, with people."""
    label = "1 0.5 0.5 0.4 0.5\n"
    train = {f"t{i}.png": label for i in range(12)} | {"none.png": ""}
    valid = {f"v{i}.png": "0 0.25 0.5 0.3 0.4\n0 0.75 0.5 0.3 0.4\n" for i in range(4)}
    return darknet_set(
        "faces", {"train": train, "valid": valid}, groups={f"t{i}.png": f"person{i // 2}" for i in range(12)}
    )


def test_a_set_of_collages(faces, tmp_path):
    report = collage(load(faces), tmp_path / "out", 20, size_wh=(320, 256), seed=3)
    assert report["pictures"] == {"train": 15, "valid": 5} and report["left_out"] == {}
    assert json.loads((tmp_path / "out" / "report.json").read_text())["pictures"] == report["pictures"]
    one = load(report["data"])
    assert one.names == load(faces).names and [item.code for item in check(one)] == []
    rows = list(csv.DictReader((tmp_path / "out" / "manifest.csv").open()))
    by_image = {}
    for row in rows:
        by_image.setdefault(row["image"], []).append(row)
        assert (
            (row["group"].startswith("person") and "/train/" in row["source"])
            if row["split"] == "train"
            else "/valid/" in row["source"]
        )
    for split, images in one.images.items():
        for image in images:
            assert cv2.imread(image).shape == (256, 320, 3)
            found, said = (
                read_label(label_path(image), one.data.classes),
                by_image[image[len(str(tmp_path / "out")) + 1 :]],
            )
            corners = boxes.cxcywh_rel_to_xyxy(found[:, 1:], (320, 256))
            np.testing.assert_allclose(
                corners, [[float(row[key]) for key in ("x1", "y1", "x2", "y2")] for row in said], atol=0.01
            )
            assert [one.names[int(label)] for label in found[:, 0]] == [row["emotion"] for row in said] and {
                row["split"] for row in said
            } == {split}
    assert len({row["source"] for row in rows}) >= 14  # of the sixteen with faces


def test_processes_change_nothing_and_seeds_do(faces, tmp_path):
    def bytes_of(name, **options):
        collage(load(faces), tmp_path / name, 120, size_wh=(128, 128), **options)
        return {
            path.relative_to(tmp_path / name): path.read_bytes()
            for path in sorted((tmp_path / name).rglob("*.[jt][px][gt]"))
            if path.parent != tmp_path / name
        }

    first = bytes_of("a")
    assert len(first) > 200 and bytes_of("b", jobs=2) == first and bytes_of("c", seed=1) != first


def test_bad_pictures_are_left_out_and_told(faces, tmp_path):
    one = load(faces)
    (faces / "train" / "t0.png").write_bytes(b"")
    (faces / "train" / "t1.txt").unlink()
    (faces / "train" / "t2.txt").write_text("1 0.5 0.5 nan 1\n")
    (faces / "train" / "t3.txt").write_text("1 0.5 0.5 0.4 0.5\n1 0.5 0.5 0 0\n")
    (faces / "train" / "t4.png").write_bytes((faces / "train" / "t4.png").read_bytes()[:-100])
    report = collage(one, tmp_path / "out", 20)
    assert {path.rsplit("/")[-1] for path in report["left_out"]} == {f"t{i}.png" for i in range(5)} and sum(
        report["pictures"].values()
    ) >= 8
    for path in (faces / "train").glob("*.png"):
        path.unlink()
    for path in (faces / "valid").glob("*.png"):
        path.unlink()
    with pytest.raises(DataError, match="none of its pictures can be used: .*is not there"):
        collage(one, tmp_path / "other", 10)
    assert not (tmp_path / "other").exists()


def test_pictures_without_a_face_make_no_collage(darknet_set, tmp_path):
    with pytest.raises(DataError, match="none has a face for which there is room"):
        collage(load(darknet_set("empty", {"train": {"a.png": "", "b.png": "\n"}})), tmp_path / "out", 3)


def test_what_cannot_be_laid_is_refused(faces, tmp_path):
    with pytest.raises(UsageError, match="lies in, or around"):
        collage(load(faces), faces / "out", 10)
    data = find_data(faces)
    (faces / "labels.txt").write_text("t\nv\n")
    data.write_text(data.read_text() + "labels = labels.txt\ntop = 2\n")
    with pytest.raises(UsageError, match="classifier's pictures, which have no boxes"):
        collage(load(faces), tmp_path / "out", 10)
