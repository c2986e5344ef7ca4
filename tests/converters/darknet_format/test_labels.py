"""The one label parser: what it takes as meant, what it refuses, and that check, conversions and engines all go by
it.
"""

import shutil
from pathlib import Path

import numpy as np
import pytest

from converters.convert import Settings, convert
from converters.darknet_format.dataset import load
from converters.darknet_format.files import read_data
from converters.darknet_format.labels import canonical, examine_label, label_path, parse, read_label, sibling
from converters.dataset.check import check
from converters.errors import DataError

GOOD = "1 0.5 0.5 0.25 0.25\n"


@pytest.mark.parametrize(
    "data, rows, codes",
    [
        (b"", [], []),
        (b"\n \r\n\t\n", [], []),
        (b"4 .5 .5 .25 .25", [[4, 0.5, 0.5, 0.25, 0.25]], []),
        (b"4\t.5  .5 .25 .25\r\n", [[4, 0.5, 0.5, 0.25, 0.25]], []),
        (b"4.0 .5 .5 .25 .25", [[4, 0.5, 0.5, 0.25, 0.25]], ["loose-label"]),
        (b"4e0 .5 .5 .25 .25", [[4, 0.5, 0.5, 0.25, 0.25]], ["loose-label"]),
        (b"\xef\xbb\xbf4 .5 .5 .25 .25", [[4, 0.5, 0.5, 0.25, 0.25]], ["loose-label"]),
        ("4 .5 .5 .25 .25\n".encode("utf-16"), [[4, 0.5, 0.5, 0.25, 0.25]], ["loose-label"]),
        (b"4 .5 .5 1.0000001 1", [[4, 0.5, 0.5, 1, 1]], []),
        (b"4 .5 .5 1.2 .5", [[4, 0.5, 0.5, 1, 0.5]], ["box-clipped"]),
        (b"4 1.0000001 .5 .5 .5", [[4, 0.875, 0.5, 0.25, 0.5]], []),
        (b"4 .5 .5 .25 .25\n4 .5 .5 .25 .25\n", [[4, 0.5, 0.5, 0.25, 0.25]], ["duplicate-row"]),
        (b"4 .5 .5 .25 .25\n4 .5000001 .5 .25 .25\n", [[4, 0.5, 0.5, 0.25, 0.25]], ["duplicate-row"]),
        ("4\u00a0.5 .5 .25 .25".encode(), [[4, 0.5, 0.5, 0.25, 0.25]], ["loose-label"]),
        ("4\u2003.5 .5 .25 .25".encode(), [[4, 0.5, 0.5, 0.25, 0.25]], ["loose-label"]),
        (b"4\x1c.5 .5 .25 .25", [[4, 0.5, 0.5, 0.25, 0.25]], ["loose-label"]),
        (b"4\v.5\f.5 .25 .25", [[4, 0.5, 0.5, 0.25, 0.25]], []),
    ],
)
def test_what_is_read_as_meant(tmp_path, data, rows, codes):
    path = tmp_path / "a.txt"
    path.write_bytes(data)
    np.testing.assert_allclose(read_label(path, 7), np.reshape(rows, (-1, 5)), atol=1e-6)
    assert [fault.code for fault in examine_label(path, 7).faults] == codes
    again = parse(canonical(read_label(path, 7)), 7)
    assert again.faults == [] and np.allclose(again.rows, read_label(path, 7), atol=1e-6)


@pytest.mark.parametrize(
    "line, code",
    [
        ("0 .5 .5 .1", "bad-number"),
        ("0 .5 .5 .1 .1 .9", "bad-number"),
        ("0,.5,.5,.1,.1", "bad-number"),
        ("0 0,5 0,5 0,1 0,1", "bad-number"),
        ("Happy .5 .5 .1 .1", "bad-number"),
        ("1.5 .5 .5 .1 .1", "bad-number"),
        ("0 nan .5 .1 .1", "bad-number"),
        ("0 .5 inf .1 .1", "bad-number"),
        ("0 .5 .5 1_0 .1", "bad-number"),
        ("0 .5 .5 ١ .1", "bad-number"),
        ("7 .5 .5 .1 .1", "class-range"),
        ("-1 .5 .5 .1 .1", "class-range"),
        ("9" * 400 + " .5 .5 .1 .1", "bad-number"),
        ("0 50 50 9 9", "box-outside"),
        ("0 1.2 .5 .1 .1", "box-outside"),
        ("0 -.1 .5 .9 .9", "box-outside"),
        ("0 .5 .5 0 .1", "box-empty"),
        ("0 .5 .5 .1 -.1", "box-empty"),
        ("2 .5 .5 .25 .25", "conflicting-labels"),
        ("2 .5000001 .5 .25 .25", "conflicting-labels"),
        ("0 .5 .5 1e-8 .1", "box-empty"),
        ("0 1.0000001 .5 3e-7 .1", "box-empty"),
    ],
)
def test_what_is_refused_with_its_line(tmp_path, line, code):
    path = tmp_path / "a.txt"
    path.write_text(f"{GOOD}\n{line}\n", encoding="utf-8")
    label = examine_label(path, 7)
    assert [(fault.code, fault.severity, fault.line) for fault in label.faults] == [(code, "error", 3)] and len(
        label.rows
    ) == 1
    with pytest.raises(DataError, match=r"a\.txt:3: "):
        read_label(path, 7)


def test_a_label_lies_beside_its_picture_or_in_the_tree_of_labels(tmp_path):
    for image, label in (
        ("set/images/train/a.jpg", "set/labels/train/a.txt"),
        ("VOC/JPEGImages/b.png", "VOC/labels/b.txt"),
        ("images/images/c.jpg", "images/labels/c.txt"),
        ("images/x/images.old/d.e.jpg", "labels/x/images.old/d.e.txt"),
        ("other/train/imgs/e.jpg", "other/train/labels/e.txt"),
        ("other/Images/train/f.jpg", "other/Labels/train/f.txt"),
        ("other/frames/g.jpg", "other/labels/g.txt"),
    ):
        path = tmp_path / label
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(GOOD)
        assert label_path(tmp_path / image) == path
        assert label_path(tmp_path / image.replace(".", "0.")) == sibling(
            tmp_path / image.replace(".", "0.")
        )  # is nowhere: beside it
    (tmp_path / "set" / "images" / "train").mkdir(parents=True)
    (tmp_path / "set" / "images" / "train" / "a.txt").write_text(GOOD)
    assert label_path(tmp_path / "set/images/train/a.jpg") == tmp_path / "set/images/train/a.txt"


@pytest.mark.parametrize("name", ["/", ".", "..", "", "a.jpg", "/images/", "images/a"])
def test_no_name_is_too_odd(name):
    assert isinstance(label_path(name), Path)


CASES = {
    "4.0 0.5 0.5 0.25 0.5\n": True,
    "\ufeff4 0.5 0.5 0.25 0.5\n": True,
    "4 0.5 0.5 1.0000001 1.0\n": True,
    "4 0.5 0.5 1.3 1.0\n": True,
    "4 .5 .5 .3 .3\n4 .5 .5 .3 .3\n": True,
    "4 .5 .5 .3\n": False,
    "4 1.3 .5 .3 .3\n": False,
    "4 .5 .5 .3 .3\n5 .5 .5 .3 .3\n": False,
    "4 .5 .5 0 .3\n": False,
    "4 .5 .5 4e-7 .3\n": False,
    "4 .5 .5 .3 .3\n5 .5000001 .5 .3 .3\n": False,
    "4\u00a00.5 0.5 0.25 0.5\n": True,
}


@pytest.mark.parametrize("text", CASES)
def test_check_convert_and_train_agree(darknet_set, tmp_path, text):
    from darknet_runner.run.preflight_files import check_files

    root, usable = darknet_set("set", {"train": {"a.jpg": text, "b.jpg": GOOD}}), CASES[text]
    errors = [item for item in check(load(root), decode=False) if item.severity == "error"]
    faults = [item for item in check_files(read_data(root / "emo.data"), "train") if item.severity == "error"]
    report = convert([("yolo", str(root))], tmp_path / "out", Settings(), jobs=1)
    assert (not errors, not faults, report["splits"]["train"]["pictures"] == 2) == (usable,) * 3
    if usable:
        rows = read_label(tmp_path / "out" / "train" / "a.txt", 7)
        assert rows[:, 0].tolist() == [4] and (rows[:, 1:] <= 1).all()


@pytest.mark.parametrize("case", ["floatclass", "slightly", "bom"])
def test_the_case_of_three_parsers(shared, tmp_path, case):
    from darknet_runner.run.preflight_files import check_files

    if not (shared / "cases").is_dir():
        pytest.skip("needs ../shared/cases")
    shutil.copytree(shared / "cases" / "label-three-parsers" / case, tmp_path / "set")
    assert not [item for item in check(load(tmp_path / "set")) if item.severity == "error"]
    assert not [
        item for item in check_files(read_data(tmp_path / "set" / "emo.data"), "train") if item.severity == "error"
    ]
    report = convert([("yolo", str(tmp_path / "set"))], tmp_path / "out", Settings(), jobs=1)
    assert report["splits"]["train"]["faces"] == 3 and not report["left_out"]


def test_labels_beside_images_and_a_data_yaml(shared, tmp_path):
    if not (shared / "cases").is_dir():
        pytest.skip("needs ../shared/cases")
    report = convert([("yolo", str(shared / "cases" / "label-tree" / "images"))], tmp_path / "out", Settings(), jobs=1)
    assert report["splits"]["train"]["pictures"] == 2 and report["splits"]["train"]["faces"] > 0
    assert not [
        item for item in check(load(shared / "cases" / "label-tree" / "images")) if item.code == "missing-label"
    ]
