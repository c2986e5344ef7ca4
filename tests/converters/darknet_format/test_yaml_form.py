"""data.yaml as Roboflow, ultralytics and CVAT write it, and CVAT's Darknet layout: the same set as a .data file
says.
"""

import shutil

import pytest

from converters.darknet_format import yaml_form
from converters.darknet_format.dataset import find_data, load
from converters.darknet_format.files import read_data, read_list
from converters.errors import DataError, UsageError
from darknet_runner.run.preflight_files import check_lists

LABEL = "1 0.5 0.5 0.25 0.25\n"


@pytest.fixture
def roboflow(darknet_set, tmp_path):
    """train/images, train/labels, valid/images, valid/labels and the text of a data.yaml -> the folder."""

    def make(text, name="data.yaml"):
        made, root = (
            darknet_set("made", {"train": {"a.jpg": LABEL, "b.jpg": ""}, "valid": {"c.jpg": LABEL}}),
            tmp_path / "set",
        )
        for split in ("train", "valid"):
            for path in sorted((made / split).iterdir()):
                place = root / split / ("labels" if path.suffix == ".txt" else "images") / path.name
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.move(path, place)
        (root / name).write_text(text)
        return root

    return make


NAMES = "names: [Neutral, Happy, Sad]\nnc: 3\n"


@pytest.mark.parametrize(
    "text",
    [
        "train: ../train/images\nval: ../valid/images\n" + NAMES,
        "train: train/images\nval: valid/images\n" + NAMES,
        "path: .\ntrain: train/images\nval: valid/images\nnames:\n  0: Neutral\n  1: Happy\n  2: Sad\n",
        "path: /nowhere/at/all\ntrain: train/images\nval: valid/images\ntest:\n" + NAMES,
        "train: [train\\images]\nvalid: valid/images\n" + NAMES,
        "train: train/images\nvalid: valid/images\nnames: [Neutral, Happy, Sad]\nnc: '3'\n",
    ],
)
def test_a_yaml_is_a_set(roboflow, text):
    root = roboflow(text)
    one = load(root)
    assert one.names == ("Neutral", "Happy", "Sad") and find_data(root).name == "data.yaml"
    assert {split: [path.rpartition("/")[2] for path in images] for split, images in one.images.items()} == {
        "train": ["a.jpg", "b.jpg"],
        "valid": ["c.jpg"],
    }
    assert one.faces(one.images["train"][0]).tolist() == [[1, 0.5, 0.5, 0.25, 0.25]]
    assert not one.data.is_classifier


@pytest.mark.parametrize(
    "text, said",
    [
        ("train: x\n", "has no names"),
        ("- a\n", "has no names"),
        ("names: [a]\n", "neither train nor val"),
        ("names: [a]\nnc: 2\ntrain: x\n", "nc is 2"),
        ("names: [a]\nnc: two\ntrain: x\n", "nc is two"),
        ("names: [a]\nnc: &a [*a]\ntrain: x\n", "nc is no number"),
        ("names: {0: a, 2: b}\ntrain: x\n", "not numbered"),
        ("names: 3\ntrain: x\n", "list of names"),
        ("names: [a]\ntrain: 3\n", "folder"),
        ("names: [a]\ntrain: [x, 3]\n", "folder"),
        ("names: [a]\ntrain: [x, '']\n", "folder"),
        ("names: [[a]]\ntrain: x\n", "list of names"),
        ("a: [", "is not YAML"),
        ("names: []\ntrain: x\n", "list of names"),
        ("names: [a]\ntrain: {a: b}\n", "folder"),
    ],
)
def test_a_yaml_that_is_no_set_says_why(tmp_path, text, said):
    (tmp_path / "data.yaml").write_text(text)
    with pytest.raises(DataError, match=said):
        read_data(tmp_path / "data.yaml")


def test_several_folders_and_lists_are_one_split(roboflow, monkeypatch):
    """As ultralytics takes them, named from wherever one stands."""
    root = roboflow(
        "train: [../train/images, more.txt]\nval: valid/images\ntest: [valid/images, train/images]\n" + NAMES
    )
    (root / "more.txt").write_text("./valid/images/c.jpg\n")
    for where in (root, "data.yaml", "set"):
        if where != root:
            monkeypatch.chdir(root if where == "data.yaml" else root.parent)
        one = load(where)
        assert {split: [path[len(str(root)) + 1 :] for path in images] for split, images in one.images.items()} == {
            "train": ["train/images/a.jpg", "train/images/b.jpg", "valid/images/c.jpg"],
            "valid": ["valid/images/c.jpg"],
            "test": ["valid/images/c.jpg", "train/images/a.jpg", "train/images/b.jpg"],
        }
        assert one.lines["train"] == [1, 2, 3] and one.faces(one.images["train"][2]).tolist() == [
            [1, 0.5, 0.5, 0.25, 0.25]
        ]
        assert len(read_list(one.data.list_of("train"))) == 3
        assert check_lists(one.data, "train") == check_lists(one.data, "test") == []  # nothing is in the training's way
    (root / "more.txt").unlink()
    with pytest.raises(DataError, match="train folder or list is missing: .*more.txt"):
        load(root)


def test_what_is_written_is_read(tmp_path):
    for split in ("train", "valid"):
        (tmp_path / f"{split}.txt").write_text("a.jpg\n")
    yaml_form.write(tmp_path / "data.yaml", str(tmp_path), ("Wütend", "no", "3"), ["train", "valid"])
    assert yaml_form.read(tmp_path / "data.yaml") == (
        ("Wütend", "no", "3"),
        {"train": f"{tmp_path}/train.txt", "valid": f"{tmp_path}/valid.txt"},
    )


def test_other_yaml_files_are_no_sets(roboflow):
    root = roboflow("train: train/images\nval: valid/images\n" + NAMES)
    (root / "hyp.yaml").write_text("lr0: 0.01\n")
    assert find_data(root).name == "data.yaml"
    (root / "data.yaml").unlink()
    with pytest.raises(UsageError, match="found none"):
        find_data(root)


def test_cvats_darknet_layout(darknet_set, tmp_path):
    made, root = darknet_set("made", {"train": {"a.jpg": LABEL}}), tmp_path / "task"
    (root / "obj_train_data").mkdir(parents=True)
    for path in (made / "train").iterdir():
        shutil.move(path, root / "obj_train_data" / path.name)
    (root / "obj.names").write_text("Neutral\nHappy\n")
    (root / "train.txt").write_text("data/obj_train_data/a.jpg\n")
    (root / "obj.data").write_text("classes = 2\ntrain = data/train.txt\nnames = data/obj.names\nbackup = backup/\n")
    one = load(root)
    assert (
        one.images == {"train": [str(root / "obj_train_data" / "a.jpg")]}
        and len(one.faces(one.images["train"][0])) == 1
    )


def test_backslashes_in_a_list(darknet_set):
    root = darknet_set("set", {"train": {"a.jpg": LABEL}})
    (root / "train.txt").write_text("train\\a.jpg\r\n")
    assert load(root).images == {"train": [str(root / "train" / "a.jpg")]}
