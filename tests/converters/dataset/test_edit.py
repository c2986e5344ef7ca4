"""setedit and darknetset: merge, split, balance and clean over real files."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

import pytest

from converters.convert import Settings, convert
from converters.darknet_format.dataset import find_data, load
from converters.darknet_format.files import read_data, read_list
from converters.dataset import edit
from converters.dataset.check import check
from converters.errors import DataError, UsageError
from converters.findings import finding, write_csv

LABEL = "1 0.5 0.5 0.25 0.25\n"
OTHER = "4 0.5 0.5 0.5 0.5\n"


def names(folder, split):
    return [path.name for path in read_list(Path(folder) / f"{split}.txt")]


def test_merge(loaded, tmp_path):
    a = loaded("a", {"train": {"1.jpg": LABEL, "2.jpg": LABEL}, "valid": {"3.jpg": LABEL}}, groups={"1.jpg": "anna"})
    b = loaded("b", {"train": {"4.jpg": OTHER}, "test": {"5.jpg": LABEL}})
    report = edit.merge([a, b], tmp_path / "both")
    assert report["pictures"] == {"train": 3, "valid": 1, "test": 1}
    data = read_data(tmp_path / "both" / "emo.data")
    assert data.names == a.names and data.train.is_absolute() and Path(data.backup).is_dir()
    assert names(tmp_path / "both", "train") == ["1.jpg", "2.jpg", "4.jpg"] and names(tmp_path / "both", "test") == [
        "5.jpg"
    ]
    both = load(tmp_path / "both")
    assert both.groups(a.images["train"][0]) == ["anna"] and both.groups(b.images["train"][0]) == []
    assert check(both) == []
    assert json.loads((tmp_path / "both" / "report.json").read_text())["pictures"] == report["pictures"]
    # A set that holds another is that other's pictures once.
    again = edit.merge([both, a], tmp_path / "again")
    assert again["pictures"] == report["pictures"] and again["listed_by_both"] == {"train": 2, "valid": 1}


def test_merge_keeps_what_a_set_repeats_on_purpose(loaded, tmp_path):
    a = loaded("a", {"train": {"1.jpg": LABEL}})
    a.images["train"].append(a.images["train"][0])
    b = loaded("b", {"train": {"2.jpg": LABEL}})
    assert edit.merge([a, b], tmp_path / "both")["pictures"] == {"train": 3}


def test_merge_refuses(loaded, tmp_path, darknet_set):
    a = loaded("a", {"train": {"1.jpg": LABEL}})
    six = loaded("six", {"train": {"2.jpg": LABEL}}, names=a.names[:5] + ("Anger",))
    with pytest.raises(DataError, match=r"its classes are .* --classes"):
        edit.merge([a, six], tmp_path / "out")
    root = darknet_set("cls", {"train": {"Happy.jpg": None}})
    (root / "labels.txt").write_text((root / "emo.names").read_text())
    with open(root / "emo.data", "a") as file:
        file.write("labels = labels.txt\n")
    with pytest.raises(DataError, match="is a classifier set, but .* is a detector set"):
        edit.merge([a, load(root)], tmp_path / "out")
    turned = loaded("turned", {"valid": {"3.jpg": LABEL}})
    turned.images["valid"].append(a.images["train"][0])
    with pytest.raises(DataError, match="is in train and in valid|is in valid and in train"):
        edit.merge([a, turned], tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(UsageError, match="in, or around"):
        edit.merge([a, a], tmp_path / "a" / "inside")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("x")
    for force in (False, True):  # --force replaces what emo wrote, and nothing else
        with pytest.raises(UsageError):
            edit.merge([a, a], tmp_path / "full", force)


def test_split_by_group_moves_nobody_as_the_set_grows(loaded, tmp_path):
    people = {f"{person}-{shot}.jpg": f"person {person}" for person in range(40) for shot in range(3)}
    some = {name: LABEL for name, group in people.items() if int(group.split()[1]) < 25}
    small = loaded("small", {"train": some}, groups=people)
    large = loaded("large", {"train": dict(reversed([(name, LABEL) for name in people]))}, groups=people)
    shares, sides = {"valid": 0.2, "test": 0.2}, {}
    for one, out in ((small, "s"), (large, "l")):
        report = edit.split(one, tmp_path / out, shares)
        assert report["groups"] == (25 if out == "s" else 40) and len(report["pictures"]) == 3
        sides[out] = {name: split for split in report["pictures"] for name in names(tmp_path / out, split)}
        assert not [item for item in check(load(tmp_path / out)) if item.code == "leak"]
    assert sides["s"] == {name: side for name, side in sides["l"].items() if name in sides["s"]}
    assert len(sides["l"]) == 120
    first = (tmp_path / "l" / "train.txt").read_bytes()
    edit.split(large, tmp_path / "l", shares, force=True)
    assert (tmp_path / "l" / "train.txt").read_bytes() == first
    rows = list(csv.DictReader((tmp_path / "l" / "manifest.csv").read_text().splitlines()))
    assert {Path(row["image"]).name: row["split"] for row in rows} == sides["l"]


def test_scenes_that_share_a_face_go_to_one_side(fer2013_csv, tmp_path):
    options = Settings(scenes=40, size=(160, 120), usage="PublicTest=train,PrivateTest=train")
    convert([("fer2013", str(fer2013_csv(120)))], tmp_path / "scenes", options)
    whole = load(tmp_path / "scenes")
    half = len(whole.images["train"]) // 2
    (tmp_path / "scenes" / "valid.txt").write_text("".join(f"{image}\n" for image in whole.images["train"][half:]))
    (tmp_path / "scenes" / "train.txt").write_text("".join(f"{image}\n" for image in whole.images["train"][:half]))
    with open(whole.data.path, "a") as file:
        file.write(f"valid = {tmp_path}/scenes/valid.txt\n")
    people = [set(whole.groups(image)) for image in whole.images["train"]]
    shared = sum(any(some & other for other in people[half:]) for some in people[:half])
    one = load(tmp_path / "scenes")
    leaks = [item for item in check(one, decode=False) if item.code == "leak"]
    assert len(leaks) == len({item.file for item in leaks}) == shared > 0
    report = edit.split(one, tmp_path / "out", {"valid": 0.4})
    assert 1 < report["groups"] < 40 and report["largest"] > 1
    assert not [item for item in check(load(tmp_path / "out"), decode=False) if item.code == "leak"]


def test_split_by_picture_keeps_equal_pictures_together(loaded, tmp_path):
    one = loaded(
        "one", {"train": {f"{n}.jpg": LABEL for n in range(30)}, "valid": {f"copy-{n}.jpg": LABEL for n in range(30)}}
    )
    for n in range(30):
        Path(one.images["valid"][n]).write_bytes(Path(one.images["train"][n]).read_bytes())
    assert Counter(item.code for item in check(one))["leak"] == 30
    report = edit.split(one, tmp_path / "out", {"valid": 0.5}, by="picture")
    assert report["groups"] == 30 and min(report["pictures"].values()) >= 10
    assert not [item for item in check(load(tmp_path / "out")) if item.code == "leak"]


def test_balance(loaded, tmp_path):
    train = {f"{n}.jpg": LABEL for n in range(12)} | {"rare.jpg": OTHER, "mixed.jpg": OTHER + LABEL, "none.jpg": ""}
    one = loaded("one", {"train": train, "valid": {"v.jpg": OTHER}})
    report = edit.balance(one, tmp_path / "out", cap=4)
    counts = Counter(names(tmp_path / "out", "train"))  # 13 faces of class 1, 2 of class 4: factor 6.5, capped at 4
    assert counts == {f"{n}.jpg": 1 for n in range(12)} | {"rare.jpg": 4, "mixed.jpg": 4, "none.jpg": 1}
    assert names(tmp_path / "out", "valid") == ["v.jpg"]
    assert (
        report["faces_before"]["Fear"] == 2
        and report["faces_after"]["Fear"] == 8
        and report["faces_after"]["Happy"] == 16
    )
    with pytest.raises(DataError, match="train list"):
        edit.balance(loaded("two", {"valid": {"v.jpg": OTHER}}), tmp_path / "x")
    (tmp_path / "one" / "train" / "3.txt").write_text("9 0.5 0.5 0.1 0.1\n")
    with pytest.raises(DataError, match=r"3.txt:1: class 9"):
        edit.balance(one, tmp_path / "x")


def test_clean(loaded, tmp_path):
    pictures = ["good", "gone", "label", "leak", "warned", "kept", "rejected"]
    one = loaded("one", {"train": {f"{name}.jpg": LABEL for name in pictures}, "valid": {"v.jpg": LABEL}})
    one = load(_append(one, "train", one.images["train"][0]))
    t = tmp_path / "one" / "train"
    found = [
        finding("missing-image", "x", file=t / "gone.jpg", line=2, subset="train"),
        finding("class-range", "x", file=t / "label.txt", line=1, subset="train"),
        finding("leak", "x", file=t / "leak.jpg", subset="train"),
        finding("near-duplicate", "x", file=t / "warned.jpg", subset="train"),
        finding("unsafe-path", "x", file=t / "kept.jpg", subset="train"),
        finding("duplicate-row", "x", file=t / "good.jpg", line=8, subset="train"),
        finding("missing-image", "of another split", file=t / "good.jpg", subset="valid"),
    ]
    report = edit.clean(one, tmp_path / "out", found, keep=["unsafe-path"], rejected=[str(t / "rejected.jpg")])
    assert names(tmp_path / "out", "train") == ["good.jpg", "warned.jpg", "kept.jpg"]
    assert report["left_out"]["train"] == {
        "missing-image": 1,
        "class-range": 1,
        "leak": 1,
        "rejected": 1,
        "duplicate-row": 1,
    }
    edit.clean(one, tmp_path / "out", found, also=["near-duplicate"], force=True)
    assert names(tmp_path / "out", "train") == ["good.jpg", "rejected.jpg"]
    write_csv(found, tmp_path / "f.csv")
    (tmp_path / "f.json").write_text(json.dumps({"findings": [vars(item) for item in found]}))
    assert edit.read_findings(tmp_path / "f.csv") == edit.read_findings(tmp_path / "f.json") == found
    assert [Path(image).name for image in edit.pictures_of(one, found)] == [
        "gone.jpg",
        "label.jpg",
        "leak.jpg",
        "warned.jpg",
        "kept.jpg",
        "good.jpg",
    ]
    with pytest.raises(UsageError, match="did you mean 'leak'"):
        edit.clean(one, tmp_path / "x", found, also=["leek"])
    with pytest.raises(DataError, match="no picture would be left"):
        edit.clean(
            one,
            tmp_path / "x",
            [
                finding("leak", "x", file=image, subset=split)
                for split, listed in one.images.items()
                for image in listed
            ],
        )
    for content in ("[1, 2]", "no json", '[{"code": "leak"}]'):
        (tmp_path / "bad.json").write_text(content)
        with pytest.raises(DataError, match="bad.json"):
            edit.read_findings(tmp_path / "bad.json")


def _append(one, split, image):
    with open(one.data.list_of(split), "a") as file:
        file.write(f"{image}\n")
    return one.data.path


def test_check_then_clean_leaves_nothing_to_find(loaded, tmp_path):
    one = loaded(
        "one",
        {"train": {f"{n}.jpg": LABEL for n in range(6)}, "valid": {"v.jpg": LABEL}},
        groups={"1.jpg": "anna", "v.jpg": "anna"},
    )
    folder = tmp_path / "one" / "train"
    (folder / "2.jpg").write_bytes(b"")
    (folder / "3.txt").write_text("9 0.5 0.5 0.1 0.1\n")
    (folder / "4.jpg").write_bytes((folder / "0.jpg").read_bytes())
    one = load(_append(one, "train", one.images["train"][0]))
    edit.clean(one, tmp_path / "out", check(one), also=["duplicate-image"])
    assert names(tmp_path / "out", "train") == ["0.jpg", "5.jpg"]
    assert {item.code for item in check(load(tmp_path / "out"))} == {"unlisted-image"}


def test_find_data(darknet_set, tmp_path, monkeypatch):
    root = darknet_set("data/one", {"train": {"1.jpg": LABEL}})
    assert find_data(root) == find_data(root / "emo.data") == root / "emo.data"
    monkeypatch.chdir(tmp_path)
    assert find_data() == Path("data/one/emo.data")
    darknet_set("data/two", {"train": {"1.jpg": LABEL}})
    with pytest.raises(UsageError, match="expected one .data file, found data/one/emo.data, data/two/emo.data"):
        find_data()
    with pytest.raises(DataError, match="no such file or folder"):
        find_data("nowhere")


def test_lists_as_people_have_them(darknet_set, tmp_path, monkeypatch):
    root = darknet_set("set", {"train": {"1.jpg": LABEL, "2.jpg": LABEL}})
    (root / "train.txt").write_bytes(b"\xef\xbb\xbftrain/1.jpg\r\n\r\n  set/train/2.jpg  \r\n")
    monkeypatch.chdir(tmp_path)  # the second is relative to here, as Darknet takes it
    one = load(root)
    assert one.images["train"] == [str(root / "train" / "1.jpg"), str(root / "train" / "2.jpg")] and one.lines[
        "train"
    ] == [1, 3]
    (root / "manifest.csv").write_text("a,b\n")
    with pytest.raises(DataError, match="manifest.csv"):
        load(root)
    (root / "emo.data").write_text("classes = 7\nnames = emo.names\n")
    with pytest.raises(DataError, match="names no list"):
        load(root)
