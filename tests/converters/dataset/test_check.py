"""dataset_check: a hostile set with every finding, made here; sets without faults; the real sets."""

from __future__ import annotations

import io
import shutil
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from converters import findings
from converters.darknet_format.dataset import load
from converters.dataset import near_duplicates
from converters.dataset.check import Limits, check

SHARED = Path(__file__).resolve().parents[3].parent / "shared" / "datasets"
LABEL = "1 0.5 0.5 0.25 0.25\n"

# What a Darknet set can have. The other codes are of source datasets, of limits or of labels, whose tests have them.
CODES = set(findings.CODES) - {
    "path-escapes",
    "unknown-class",
    "not-an-emotion",
    "too-many-pixels",
    "loose-label",
    "size-differs",
}


def test_a_set_without_faults(loaded):
    one = loaded(
        "good",
        {"train": {"a.jpg": LABEL, "b.jpg": "", "c.png": "0 0.5 0.5 1 1\n"}, "valid": {"d.jpg": LABEL}},
        groups={},
    )
    assert check(one) == []


@pytest.fixture
def hostile(darknet_set, noise):
    """A set with every finding; {code: {(subset, file, line)}} beside it."""
    plain = [f"p{number}.jpg" for number in range(4)]
    train = dict.fromkeys(plain, LABEL) | {
        "gone.jpg": LABEL,
        "zero.jpg": LABEL,
        "cut.jpg": LABEL,
        "bad.jpg": LABEL,
        "garbled.png": LABEL,
        "named.png": LABEL,
        "turned.jpg": LABEL,
        "tiny.jpg": LABEL,
        "heavy.jpg": LABEL,
        "unlabelled.jpg": None,
        "twin.jpg": LABEL,
        "twin.png": LABEL,
        "outside.jpg": "0 1.5 0.5 0.2 0.2\n",
        "over.jpg": "\n0 0.95 0.5 0.2 0.2\n",
        "empty.jpg": "0 0.5 0.5 0.2 0\n",
        "words.jpg": "0 0.5 0.5 0.2\nhappy 1 2 3 4\n0 nan 0.5 0.1 0.1\n",
        "seven.jpg": "7 0.5 0.5 0.2 0.2\n-1 0.5 0.5 0.2 0.2\n",
        "two.jpg": "0 0.5 0.5 0.25 0.25\n1 0.5 0.5 0.25 0.25\n",
        "speck.jpg": "0 0.5 0.5 0.03 0.03\n",
        "same-a.jpg": LABEL,
        "same-b.jpg": "2 0.5 0.5 0.25 0.25\n",
        "again.jpg": LABEL,
        "again-copy.bmp": LABEL,
        "both.jpg": LABEL,
        "like-a.png": LABEL,
        "like-b.jpg": LABEL,
        "like-c.png": LABEL,
        "anna-1.jpg": LABEL,
        "a b$(x).jpg": LABEL,
        "images/deep.jpg": LABEL,
    }
    valid = {"v0.jpg": LABEL, "p0.jpg": LABEL, "both-too.jpg": LABEL, "like-d.jpg": LABEL, "anna-2.jpg": LABEL}
    root = darknet_set(
        "hostile", {"train": train, "valid": valid, "test": {}}, groups={"anna-1.jpg": "anna", "anna-2.jpg": "anna"}
    )
    t, v = root / "train", root / "valid"
    (t / "gone.jpg").unlink()
    (t / "zero.jpg").write_bytes(b"")
    (t / "cut.jpg").write_bytes((t / "cut.jpg").read_bytes()[:-200])
    (t / "bad.jpg").write_text("<html>")
    png = (t / "garbled.png").read_bytes()
    (t / "garbled.png").write_bytes(png[:60] + bytes(len(png) - 80) + png[-20:])  # header and end are whole
    (t / "named.png").write_bytes(cv2.imencode(".jpg", noise(100))[1].tobytes())
    exif, turned = Image.Exif(), io.BytesIO()
    exif[0x0112] = 6
    Image.fromarray(noise(101)).save(turned, "JPEG", exif=exif)
    (t / "turned.jpg").write_bytes(turned.getvalue())
    cv2.imwrite(str(t / "tiny.jpg"), noise(102, (40, 10)))
    (t / "tiny.txt").write_text("1 0.5 0.5 0.9 0.9\n")
    (t / "heavy.jpg").write_bytes((t / "heavy.jpg").read_bytes() + bytes(200_000))
    shutil.copy(t / "same-a.jpg", t / "same-b.jpg")
    cv2.imwrite(str(t / "again-copy.bmp"), cv2.imread(str(t / "again.jpg")))
    shutil.copy(t / "both.jpg", v / "both-too.jpg")
    large = noise(103, (256, 192))
    cv2.imwrite(str(t / "like-a.png"), large)
    cv2.imwrite(str(t / "like-b.jpg"), large, [cv2.IMWRITE_JPEG_QUALITY, 40])
    other = noise(104, (256, 192))
    cv2.imwrite(str(t / "like-c.png"), other)
    cv2.imwrite(str(v / "like-d.jpg"), cv2.resize(other, (128, 96), interpolation=cv2.INTER_AREA))
    (t / "orphan.txt").write_text(LABEL)
    cv2.imwrite(str(v / "extra.png"), noise(105))
    with open(root / "train.txt", "a") as file:
        file.write(f"\n{t}/p1.jpg\n{v}/v0.jpg\n")
    lines = len(train)
    number = {name: index for index, name in enumerate(train, start=1)}
    at = lambda name: ("train", str(t / name), number[name])
    label = lambda name, *rows: {("train", str(t / name), row) for row in rows}
    return load(root), {
        "missing-image": {at("gone.jpg")},
        "zero-bytes": {at("zero.jpg")},
        "truncated": {at("cut.jpg")},
        "undecodable": {at("bad.jpg"), at("garbled.png")},
        "wrong-extension": {at("named.png")},
        "exif-rotated": {at("turned.jpg")},
        "too-small": {at("tiny.jpg"), *label("speck.txt", 1)},
        "over-size": {at("heavy.jpg")},
        "box-outside": label("outside.txt", 1),
        "box-clipped": label("over.txt", 2),
        "box-empty": label("empty.txt", 1),
        "bad-number": label("words.txt", 1, 2, 3),
        "class-range": label("seven.txt", 1, 2),
        "missing-label": label("unlabelled.txt", 0),
        "conflicting-labels": label("two.txt", 2) | label("same-a.jpg", 0) | label("same-b.jpg", 0),
        "duplicate-row": {("train", str(t / "p1.jpg"), lines + 2)},
        "same-name": label("twin.png", 0) | {("valid", str(v / "p0.jpg"), 0)},
        "duplicate-image": label("again-copy.bmp", 0) | label("same-b.jpg", 0),
        "near-duplicate": label("like-b.jpg", 0),
        "near-leak": label("like-c.png", 0),
        "leak": label("both.jpg", 0) | label("anna-1.jpg", 0) | {("train", str(v / "v0.jpg"), 0)},
        "unsafe-path": {at("a b$(x).jpg")},
        "label-trap": {at("images/deep.jpg")},
        "empty-list": {("test", str(root / "test.txt"), 0)},
        "label-without-image": {("", str(t / "orphan.txt"), 0)},
        "unlisted-image": {("", str(v / "extra.png"), 0)},
    }


def test_the_hostile_set_gives_every_finding_and_no_other(hostile):
    one, expected = hostile
    found = {}
    for item in check(one, Limits(min_side=16, min_face=4, max_bytes=200_000)):
        found.setdefault(item.code, set()).add((item.subset, item.file, item.line))
        assert item.message and item.severity in findings.SEVERITIES
    assert found == expected
    of_classifiers, of_converting = {"no-label-match", "two-labels-match"}, {"several-faces", "no-face", "no-effect"}
    assert set(expected) == CODES - of_classifiers - of_converting


def test_jobs_change_nothing(hostile, monkeypatch):
    from converters.dataset import check as dataset_check

    one, _ = hostile
    alone = check(one)
    monkeypatch.setattr(dataset_check, "_CHUNK", 4)  # enough chunks for two processes
    assert check(one, jobs=2) == alone


def test_without_decoding_only_headers_and_labels_are_judged(hostile):
    one, _ = hostile
    codes = Counter(item.code for item in check(one, decode=False))
    assert codes["truncated"] == codes["missing-image"] == codes["undecodable"] == 1  # garbled.png has a good header
    assert not {"near-duplicate", "duplicate-image", "near-leak"} & set(codes)
    assert codes["leak"] == 2  # the file and the person; the copied picture is not seen


def test_the_messages_say_what_and_where(hostile):
    by_file = {
        Path(item.file).name: item.message
        for item in check(hostile[0])
        if item.code in ("leak", "conflicting-labels", "box-clipped")
    }
    assert "'anna' is also in valid" in by_file["anna-1.jpg"] and "anna-2.jpg" in by_file["anna-1.jpg"]
    assert "Happy here" in by_file["same-a.jpg"] and "Sad as" in by_file["same-a.jpg"]
    assert "right by 3.2 px" in by_file["over.txt"]  # 64 px wide, box from 0.85 to 1.05


def test_a_classifiers_paths_must_match_one_label(tmp_path, noise):
    root = tmp_path / "set"
    for folder in ("happy", "sad", "happysad", "other"):
        (root / folder).mkdir(parents=True)
        cv2.imwrite(str(root / folder / "a.png"), noise(hash(folder) % 1000))
    (root / "train.txt").write_text(
        "".join(f"{root}/{folder}/a.png\n" for folder in ("happy", "sad", "happysad", "other"))
    )
    (root / "labels.txt").write_text("happy\nsad\n")
    (root / "c.data").write_text("classes = 2\ntrain = train.txt\nlabels = labels.txt\n")
    found = {(item.code, Path(item.file).parent.name) for item in check(load(root)) if item.code.endswith("match")}
    assert found == {("two-labels-match", "happysad"), ("no-label-match", "other")}


def test_balanced_lists_repeat_on_purpose(loaded, tmp_path):
    from converters.dataset import edit

    one = loaded(
        "rare",
        {"train": {f"{n}.jpg": "0 0.5 0.5 0.5 0.5\n" for n in range(6)} | {"x.jpg": LABEL}, "valid": {"v.jpg": LABEL}},
    )
    edit.balance(one, tmp_path / "balanced", cap=3)
    balanced = load(tmp_path / "balanced")
    assert len(balanced.images["train"]) == 6 + 3
    assert check(balanced) == []


def test_lookalikes_are_found_among_many(noise):
    """Every picture's recompressed half-size twin is found, and nothing else; repeats of one picture count once."""
    pixels = [noise(seed, (128, 96)) for seed in range(150)]

    def looked(picture):
        grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
        thumbnail = cv2.resize(grey, (near_duplicates.SIDE,) * 2, interpolation=cv2.INTER_AREA).tobytes()
        return near_duplicates.Look(
            near_duplicates.pixel_hash(picture), near_duplicates.perceptual_hash(grey), thumbnail
        )

    twins = [
        cv2.imdecode(cv2.imencode(".jpg", cv2.resize(p, (64, 48), interpolation=cv2.INTER_AREA))[1], 1) for p in pixels
    ]
    looks = [looked(picture) for picture in pixels + twins]
    pairs = {(i, j) for i, j, _ in near_duplicates.alike(looks)}
    assert pairs <= {(i, i + 150) for i in range(150)} and len(pairs) > 145
    assert near_duplicates.alike(looks[:1] * 5) == [] and near_duplicates.same(looks[:1] * 3 + looks[1:3]) == [
        [0, 1, 2]
    ]
    blank = [looked(np.full((20, 20, 3), value, np.uint8)) for value in range(100, 110)]
    assert near_duplicates.alike(blank) == []  # no contrast, nothing to compare
    assert near_duplicates.alike([None, *looks[:2]]) == [] and near_duplicates.alike([]) == []


@pytest.mark.skipif(not (SHARED / "fer2013").is_dir(), reason="needs ../shared/datasets/fer2013")
def test_fer2013_holds_the_same_pictures_again_and_again():
    """1,513 pictures come more than once, 1,840 rows too many; 738 rows repeat one of a later usage.

    Known by pixels.
    """
    import csv

    usages, looks, sheets = [], [], {}
    with open(SHARED / "fer2013" / "labels.csv", newline="") as file:
        for row in csv.DictReader(file):
            if row["sheet"] not in sheets:
                grid = cv2.imread(str(SHARED / "fer2013" / row["sheet"]), cv2.IMREAD_GRAYSCALE)
                sheets[row["sheet"]] = grid.reshape(-1, 48, 100, 48).transpose(0, 2, 1, 3).reshape(-1, 48, 48)
            face = sheets[row["sheet"]][int(row["cell"])]
            looks.append(near_duplicates.Look(near_duplicates.pixel_hash(face), 0, b""))
            usages.append(row["usage"])
    groups = near_duplicates.same(looks)
    order = ["Training", "PublicTest", "PrivateTest"]
    sides = [[order.index(usages[i]) for i in group] for group in groups]
    assert (len(looks), len(groups), sum(map(len, groups)) - len(groups)) == (35710, 1513, 1840)
    assert sum(side < max(group) for group in sides for side in group) == 738
