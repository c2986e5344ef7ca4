"""`convert` from AffectNet-like folders to every form: contents, findings, repeatability, interruption."""

import csv
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from converters.boxes import cxcywh_rel_to_xyxy
from converters.convert import Settings, convert
from converters.darknet_format.files import class_of_path, read_data, read_list
from converters.darknet_format.labels import label_path, read_label
from converters.errors import DataError, UsageError
from converters.findings import CODES


def run(source, out, kind="affectnet", **settings):
    options = {
        name: settings.pop(name) for name in ("jobs", "cluster", "force", "limit", "dry_run") if name in settings
    }
    return convert([(kind, str(source))], out, Settings(**settings), **options)


def files_of(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def codes(report, subset=None):
    return sorted(finding["code"] for finding in report["findings"] if subset in (None, finding["subset"]))


ROWS = [
    ("1/a.jpg", 10, 20, 50, 60, 1),
    ("1/b.JPG", 0, 0, 120, 100, 6),
    ("2/c.png", 30, 5, 40, 40, 0),
    ("2/d.jpg", 60, 50, 30, 20, 5),
]
GOOD = {"training.csv": ROWS, "validation.csv": [("3/e.jpg", 1, 2, 100, 90, 4), ("3/f.jpg", 1, 2, 100, 90, 9)]}


def test_the_detector_form_has_links_labels_lists_and_data(affectnet, tmp_path):
    root, out = affectnet("affectnet", GOOD), tmp_path / "out"
    report = run(root, out)
    data = read_data(out / "emo.data")
    assert data.names == ("Neutral", "Happy", "Sad", "Surprise", "Fear", "Disgust", "Anger") and not data.is_classifier
    train = read_list(data.train)
    assert [path.relative_to(out).as_posix() for path in train] == [
        "train/1/a.jpg",
        "train/1/b.jpg",
        "train/2/c.png",
        "train/2/d.jpg",
    ]
    assert [path.relative_to(out).as_posix() for path in read_list(data.valid)] == ["valid/3/e.jpg"]
    for path, (name, x, y, w, h, expression) in zip(train, ROWS):
        assert path.is_absolute() and path.read_bytes() == (root / "Manually_Annotated_Images" / name).read_bytes()
        ((label, *box),) = read_label(label_path(path), 7).tolist()
        assert label == expression
        np.testing.assert_allclose(cxcywh_rel_to_xyxy(box, (120, 100)), (x, y, x + w, y + h), atol=1e-3)
    assert report["splits"]["train"]["by_class"] == {
        "Neutral": 1,
        "Happy": 1,
        "Sad": 0,
        "Surprise": 0,
        "Fear": 0,
        "Disgust": 1,
        "Anger": 1,
    }
    assert report["left_out"] == [{"split": "valid", "reason": "9 Uncertain", "rows": 1}]
    assert json.loads((out / "report.json").read_text())["splits"] == report["splits"]
    rows = list(csv.DictReader(open(out / "manifest.csv")))
    assert [(row["image"], row["emotion"], row["line"]) for row in rows][:2] == [
        ("train/1/a.jpg", "Happy", "2"),
        ("train/1/b.jpg", "Anger", "3"),
    ]
    assert [float(rows[0][key]) for key in ("x1", "y1", "x2", "y2", "width", "height")] == [10, 20, 60, 80, 120, 100]


@pytest.mark.parametrize("link", ["hard", "symlink", "copy"])
def test_pictures_are_linked_not_encoded_anew(affectnet, tmp_path, link):
    root = affectnet("affectnet", GOOD)
    source = root / "Manually_Annotated_Images" / "1" / "a.jpg"
    run(root, tmp_path / "out", link=link)
    made = tmp_path / "out" / "train" / "1" / "a.jpg"
    assert made.read_bytes() == source.read_bytes()
    assert made.is_symlink() == (link == "symlink")
    assert made.samefile(source) == (link != "copy")


def test_a_hard_link_to_a_link_in_the_source_is_to_the_picture_itself(affectnet, tmp_path):
    root = affectnet("affectnet", {"training.csv": ROWS[:1]})
    source = root / "Manually_Annotated_Images" / "1" / "a.jpg"
    source.rename(source.with_name("real.jpg"))
    source.symlink_to("real.jpg")  # relative: it would lead nowhere from the output
    run(root, tmp_path / "out")
    assert read_list(tmp_path / "out" / "train.txt")[0].read_bytes() == source.read_bytes()


@pytest.mark.parametrize("header", [True, False])
def test_the_header_row_may_be_missing(affectnet, tmp_path, header):
    report = run(affectnet("affectnet", GOOD, header=header), tmp_path / "out")
    assert report["splits"]["train"]["pictures"] == 4


@pytest.mark.parametrize(
    "folder", ["", "Manually_Annotated_Images", "Manually_Annotated/Manually_Annotated_Images", "images"]
)
def test_pictures_and_lists_are_found_in_the_usual_folders(affectnet, tmp_path, folder):
    root = affectnet("affectnet", {"training.csv": ROWS})
    lists = root / "Manually_Annotated_file_lists"
    lists.mkdir()
    (root / "training.csv").rename(lists / "training.csv")
    (root / "Manually_Annotated_Images").rename(root / "moved")
    if folder:
        (root / folder).parent.mkdir(exist_ok=True)
        (root / "moved").rename(root / folder)
    else:
        for path in (root / "moved").iterdir():
            path.rename(root / path.name)
    assert run(root, tmp_path / "out")["splits"]["train"]["pictures"] == 4


def test_the_automatic_list_is_read_with_its_own_pictures(affectnet, tmp_path):
    root = affectnet("affectnet", {"automatically_annotated.csv": ROWS})
    (root / "Manually_Annotated_Images").rename(root / "Automatically_Annotated_Images")
    assert run(root, tmp_path / "out")["splits"]["train"]["pictures"] == 4


@pytest.mark.parametrize(
    "classes, happy, anger, disgust, contempt", [(6, 1, 5, 5, None), (7, 1, 6, 5, None), (8, 1, 6, 5, 7)]
)
def test_class_ids_are_those_of_the_set_of_classes(affectnet, tmp_path, classes, happy, anger, disgust, contempt):
    rows = [(f"1/{i}.jpg", 5, 5, 50, 50, i) for i in (1, 6, 5, 7)]
    report = run(affectnet("affectnet", {"training.csv": rows}), tmp_path / "out", classes=classes)
    labels = [int(read_label(label_path(path), classes)[0, 0]) for path in read_list(tmp_path / "out" / "train.txt")]
    assert labels == [value for value in (happy, anger, disgust, contempt) if value is not None]
    assert (contempt is None) == bool(report["left_out"])


def test_one_class_takes_every_face_for_a_detector_only(affectnet, tmp_path):
    rows = [(f"1/{i}.jpg", 5, 5, 50, 50, i) for i in (1, 6, 5, 7)]
    root = affectnet("affectnet", {"training.csv": rows})
    run(root, tmp_path / "eight", classes=8)
    for kind, source in (("affectnet", root), ("yolo", tmp_path / "eight")):
        report = run(source, tmp_path / f"one-{kind}", kind=kind, classes=1)
        assert report["classes"] == {0: "Face"} and not report["left_out"]
        paths = read_list(tmp_path / f"one-{kind}" / "train.txt")
        assert [read_label(label_path(path), 1)[0, 0] for path in paths] == [0, 0, 0, 0]
    with pytest.raises(UsageError, match="one class, Face, teaches a classifier set nothing"):
        run(root, tmp_path / "none", task="classifier", classes=1)


def test_no_face_rows_can_be_kept_as_pictures_without_faces(affectnet, tmp_path):
    rows = [*ROWS, "1/g.jpg,NULL,NULL,NULL,NULL,NULL,10,-2,-2"]
    root = affectnet("affectnet", {"training.csv": rows}, {"1/g.jpg": (80, 80)})
    assert run(root, tmp_path / "dropped")["left_out"] == [{"split": "train", "reason": "10 No-Face", "rows": 1}]
    report = run(root, tmp_path / "kept", no_face="keep")
    assert report["splits"]["train"]["pictures"] == 5 and report["splits"]["train"]["faces"] == 4
    assert (tmp_path / "kept" / "train" / "1" / "g.txt").read_text() == ""


def test_the_classifier_form_has_one_label_in_each_path(affectnet, tmp_path):
    rows = [*ROWS, ("2/Saddam_Happy_0001.jpg", 1, 1, 50, 50, 2)]  # a name with two labels in it
    run(affectnet("affectnet", {"training.csv": rows}), tmp_path / "out", task="classifier")
    data = read_data(tmp_path / "out" / "emo.data")
    assert data.top == 2 and data.labels == data.names
    assert [class_of_path(path, data.labels) for path in read_list(data.train)] == [1, 6, 0, 5, 2]


def test_the_labels_give_way_to_the_outputs_own_path(affectnet, tmp_path):
    out = tmp_path / "Happy-emo-Anger" / "out"
    run(affectnet("affectnet", {"training.csv": ROWS}), out, task="classifier")
    data = read_data(out / "emo.data")
    assert data.names[1] == "Happy" and "Happy" in data.labels[1] != "Happy"
    assert [class_of_path(path, data.labels) for path in read_list(data.train)] == [1, 6, 0, 5]


PNG = cv2.imencode(".png", np.zeros((100, 120, 3), np.uint8))[1].tobytes()
JPG = cv2.imencode(".jpg", np.full((100, 120, 3), 90, np.uint8))[1].tobytes()
BOX = (10, 10, 40, 40, 1)
HOSTILE = [  # rows, pictures, the code they give, whether the row stays
    ([("1/x.jpg", *BOX)], {"1/x.jpg": None}, "missing-image", False),
    ([("1/x.jpg", *BOX)], {"1/x.jpg": b""}, "zero-bytes", False),
    ([("1/x.jpg", *BOX)], {"1/x.jpg": JPG[:-40]}, "truncated", False),
    ([("1/x.jpg", *BOX)], {"1/x.jpg": b"GIF, I say" * 99}, "undecodable", False),
    ([("1/x.jpg", *BOX)], {"1/x.jpg": PNG}, "wrong-extension", True),
    ([("1/x.jpg", 500, 10, 40, 40, 1)], {}, "box-outside", False),
    ([("1/x.jpg", 100, 80, 60, 60, 1)], {}, "box-clipped", True),
    ([("1/x.jpg", -5, -5, 60, 60, 1)], {}, "box-clipped", True),
    ([("1/x.jpg", 10, 10, 0, 40, 1)], {}, "box-empty", False),
    ([("1/x.jpg", 10, 10, 40, -4, 1)], {}, "box-empty", False),
    ([("1/x.jpg", "ten", 10, 40, 40, 1)], {}, "bad-number", False),
    ([("1/x.jpg", "nan", 10, 40, 40, 1)], {}, "bad-number", False),
    ([("1/x.jpg", "inf", 10, 40, 40, 1)], {}, "bad-number", False),
    ([("1/x.jpg", 10, "9" * 400, 40, 40, 1)], {}, "bad-number", False),
    ([("1/x.jpg", "9" * 308, 10, "9" * 308, 40, 1)], {}, "bad-number", False),
    ([("1/x.jpg", 10, 10, 40, 40, "glad")], {}, "bad-number", False),
    (["1/x.jpg,10,10"], {}, "bad-number", False),
    ([("1/x.jpg", 10, 10, 40, 40, 11)], {}, "class-range", False),
    ([("1/x.jpg", 10, 10, 40, 40, -1)], {}, "class-range", False),
    ([("../../secret.jpg", *BOX)], {}, "path-escapes", False),
    ([("/etc/hostname", *BOX)], {}, "path-escapes", False),
    ([("1/../../x.jpg", *BOX)], {}, "path-escapes", False),
    ([("1/x.jpg", *BOX), ("1/x.jpg", *BOX)], {}, "duplicate-row", True),
    ([("1/x.jpg", *BOX), ("1/x.jpg", 10, 10, 40, 40, 2)], {}, "conflicting-labels", False),
    ([("1/x y é$(touch PWNED).jpg", *BOX)], {}, "unsafe-path", True),
    ([("raw/images.jpg.jpg", *BOX)], {}, "unsafe-path", True),
    ([("1/" + "x" * 240 + ".jpg", *BOX)], {}, "unsafe-path", True),
]


@pytest.mark.parametrize("task", ["detector", "crops"])
@pytest.mark.parametrize(
    "rows, pictures, code, stays", HOSTILE, ids=[f"{case[2]}-{number}" for number, case in enumerate(HOSTILE)]
)
def test_a_bad_row_is_a_counted_finding_and_the_others_go_on(affectnet, tmp_path, rows, pictures, code, stays, task):
    root, out = affectnet("affectnet", {"training.csv": [*ROWS, *rows]}, pictures), tmp_path / "out"
    report = run(root, out, task=task)
    assert set(codes(report)) == {code} and code in CODES
    assert report["splits"]["train"]["pictures"] == len(ROWS) + stays
    finding = report["findings"][-1]
    assert finding["line"] >= len(ROWS) + 2 and finding["file"].endswith("training.csv") and finding["message"]
    assert not list(tmp_path.rglob("PWNED*")) and not (tmp_path / "secret.jpg").exists()
    for path in read_list(out / "train.txt"):
        assert path.is_file() and len(str(path)) <= 255
        name = path.relative_to(out).as_posix()
        assert (
            "images" not in name and "raw" not in name and name.count(".") == 1 and name.isascii() and " " not in name
        )
        if task == "detector":
            assert len(read_label(label_path(path), 7)) == 1


def test_a_picture_in_both_splits_stays_in_validation_only(affectnet, tmp_path):
    root = affectnet("affectnet", {"training.csv": ROWS, "validation.csv": ROWS[:1]})
    report = run(root, tmp_path / "out")
    assert (
        codes(report) == ["leak"]
        and report["splits"]["train"]["pictures"] == 3
        and report["splits"]["valid"]["pictures"] == 1
    )


def test_two_faces_of_one_picture_are_one_picture_with_two_labels(affectnet, tmp_path):
    root = affectnet("affectnet", {"training.csv": [*ROWS, ("1/a.jpg", 70, 20, 40, 60, 2)]})
    report = run(root, tmp_path / "out")
    assert report["findings"] == [] and report["splits"]["train"] | {"by_class": 0} == {
        "pictures": 4,
        "faces": 5,
        "by_class": 0,
    }
    assert read_label(tmp_path / "out" / "train" / "1" / "a.txt", 7)[:, 0].tolist() == [1, 2]
    report = run(root, tmp_path / "classes", task="classifier")
    assert (
        codes(report) == ["several-faces"]
        and set(codes(report)) <= set(CODES)
        and report["splits"]["train"]["pictures"] == 3
    )
    assert run(root, tmp_path / "crops", task="crops")["splits"]["train"]["pictures"] == 5


def test_pictures_of_one_name_do_not_share_a_label_file(affectnet, tmp_path):
    rows = [("1/a.jpg", *BOX), ("1/a.png", 10, 10, 30, 30, 2), ("1/A.jpg", 10, 10, 20, 20, 3)]
    run(affectnet("affectnet", {"training.csv": rows}), tmp_path / "out")
    paths = read_list(tmp_path / "out" / "train.txt")
    assert len({str(label_path(path)).lower() for path in paths}) == 3
    assert [read_label(label_path(path), 7)[0, 0] for path in paths] == [1, 2, 3]


def test_a_format_that_not_every_darknet_reads_becomes_a_lossless_png(affectnet, tmp_path, noise):
    bmp = cv2.imencode(".bmp", noise(3))[1].tobytes()
    run(affectnet("affectnet", {"training.csv": [("1/a.bmp", *BOX)]}, {"1/a.bmp": bmp}), tmp_path / "out")
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / "out" / "train" / "1" / "a.png")), noise(3))


def test_verify_decodes_what_the_header_does_not_tell(affectnet, tmp_path):
    broken = PNG[:40] + bytes(len(PNG) - 60) + PNG[-20:]  # a sound header and end
    root = affectnet("affectnet", {"training.csv": [*ROWS, ("1/x.png", 1, 1, 9, 9, 1)]}, {"1/x.png": broken})
    assert codes(run(root, tmp_path / "seen")) == []
    assert codes(run(root, tmp_path / "verified", verify=True)) == ["undecodable"]


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda root: None, "no such folder"),
        (lambda root: root.mkdir(), "has none of training.csv"),
        (lambda root: (root.mkdir(), (root / "training.csv").write_text("")), "is empty"),
        (
            lambda root: (
                root.mkdir(),
                (root / "training.csv").write_text("subDirectory_filePath,face_x,expression\n1/a.jpg,1,1\n"),
            ),
            "has no column face_y, face_width, face_height",
        ),
        (
            lambda root: (root.mkdir(), (root / "training.csv").write_text("1/a.jpg,1,1,9,9,,1,0,0\n")),
            "has no folder with the listed pictures",
        ),
        (
            lambda root: (
                (root / "Manually_Annotated_Images").mkdir(parents=True),
                (root / "training.csv").write_text("1/a.jpg,1,1,9,9,,1,0,0\n"),
            ),
            "none of the pictures can be used: 1 x missing-image",
        ),
        (
            lambda root: (
                (root / "Manually_Annotated_Images").mkdir(parents=True),
                (root / "training.csv").write_text("1/a.jpg,1,1,9,9,,9,0,0\n"),
            ),
            "has no row that can be used: 1 x 9 Uncertain",
        ),
    ],
)
def test_a_source_that_cannot_be_used_is_one_error_and_no_output(tmp_path, make, message):
    make(tmp_path / "affectnet")
    with pytest.raises(DataError, match=message):
        run(tmp_path / "affectnet", tmp_path / "out")
    assert not (tmp_path / "out").exists() and not list(tmp_path.glob(".*"))


def test_an_output_in_use_is_refused_and_force_replaces_only_emos_own(affectnet, tmp_path):
    root, out = affectnet("affectnet", GOOD), tmp_path / "out"
    run(root, out)
    before = files_of(out)
    with pytest.raises(UsageError, match="exists and is not empty"):
        run(root, out)
    run(root, out, force=True)
    assert files_of(out) == before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("...")
    with pytest.raises(UsageError, match="not an output of emo"):
        run(root, tmp_path / "mine", force=True)
    for place in (root, root / "out", tmp_path):
        with pytest.raises(UsageError):
            run(root, place, force=True)


@pytest.mark.parametrize(
    "folder, task, code",
    [
        ("my data", "detector", "unsafe-path"),
        ("é", "classifier", "unsafe-path"),
        ("images", "detector", "label-trap"),
        ("images", "classifier", None),
        ("my data", "csv", None),
        ("plain", "detector", None),
    ],
)
def test_an_output_whose_own_path_a_darknet_binary_cannot_take_is_told(affectnet, tmp_path, folder, task, code):
    source, out = affectnet("affectnet", {"training.csv": ROWS}), tmp_path / folder / "out"
    for report in (
        run(source, out, task=task),
        convert([("affectnet", str(source))], tmp_path / folder / "b", Settings(task), dry_run=True),
    ):
        assert codes(report) == ([code] if code else []) and all(
            "Darknet" in finding["message"] for finding in report["findings"]
        )


def test_dry_run_writes_nothing_and_says_what_would_be(affectnet, tmp_path):
    report = run(affectnet("affectnet", GOOD), tmp_path / "out", dry_run=True)
    assert report["splits"]["train"]["pictures"] == 4 and not (tmp_path / "out").exists()


@pytest.fixture
def many(affectnet):
    """Some hundreds of rows, so that there are several chunks in every form."""
    rows = [(f"{i % 7}/{i}.jpg", i % 40, 5, 50 + i % 20, 60, i % 8) for i in range(420)]
    return affectnet(
        "affectnet", {"training.csv": rows, "validation.csv": [("9/v.jpg", *BOX)]}, {row[0]: (130, 90) for row in rows}
    )


@pytest.mark.parametrize("task", ["detector", "classifier", "crops", "csv", "hdf5", "coco"])
def test_the_bytes_do_not_depend_on_the_processes(many, tmp_path, task, monkeypatch):
    for name in ("LINKS", "CUTS"):  # small chunks, and processes for any number of them
        monkeypatch.setattr(f"converters.writers.form.{name}", (60, 1))
    outputs = []
    for jobs in (1, 8):
        run(many, tmp_path / "out", task=task, jobs=jobs, force=True)
        outputs.append(files_of(tmp_path / "out"))
    assert outputs[0] == outputs[1] and len(outputs[0]) >= 3


def test_valid_sets_whole_people_aside_and_the_same_ones_as_the_set_grows(affectnet, tmp_path):
    rows = [(f"1/Person{i % 30}_{i:04d}.jpg", *BOX) for i in range(90)]
    sides = []
    for count in (60, 90):
        run(affectnet(f"set{count}", {"training.csv": rows[:count]}), tmp_path / f"out{count}", valid=0.3)
        people = [
            {path.stem.rpartition("_")[0] for path in read_list(tmp_path / f"out{count}" / f"{split}.txt")}
            for split in ("train", "valid")
        ]
        assert not people[0] & people[1] and people[1]
        sides.append(people)
    assert sides[0] == sides[1]


def test_an_interrupted_run_leaves_no_output_and_can_be_started_again(many, tmp_path):
    script = (
        "import sys, time; from "
        "converters.convert import "
        "*; slow "
        "= lambda "
        "parts, total: "
        "(time.sleep(60) or "
        "part for part in parts)\n"
        "convert([('affectnet', sys.argv[1])], sys.argv[2], Settings(task='crops'), jobs=1, progress=slow)"
    )
    out = tmp_path / "out"
    run(many, tmp_path / "whole")
    for how in (signal.SIGINT, signal.SIGKILL):
        process = subprocess.Popen(
            [sys.executable, "-c", script, str(many), str(out)],
            stderr=subprocess.DEVNULL,
            cwd=Path(__file__).parents[2],
        )
        partial = tmp_path / ".out.partial"
        while not list(partial.rglob("*.png")):
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(how)
        process.wait()
        assert not out.exists() and partial.exists() == (how == signal.SIGKILL)
    run(many, out)
    assert {name: data for name, data in files_of(out).items() if name.startswith(("train/", "valid/"))} == {
        name: data for name, data in files_of(tmp_path / "whole").items() if name.startswith(("train/", "valid/"))
    }
    assert not list(tmp_path.glob(".out*"))


def test_two_runs_on_one_output_do_not_mix(many, tmp_path):
    from converters import output_folder

    def other():
        with output_folder.building(tmp_path / "out"):
            writing.set()
            done.wait(600)

    writing, done = threading.Event(), threading.Event()
    thread = threading.Thread(target=other)
    thread.start()
    try:
        assert writing.wait(600)
        with pytest.raises(DataError, match="another emo"):
            run(many, tmp_path / "out")
    finally:
        done.set()
        thread.join()


def test_an_output_that_cannot_be_written_is_one_error(many, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="file: is not a folder .choose another --out"):
        run(many, tmp_path / "file" / "out")


@pytest.mark.parametrize("task", ["detector", "csv", "hdf5", "coco"])
def test_an_output_is_not_read_with_another_number_of_classes(affectnet, tmp_path, task):
    kind = {"detector": "yolo", "csv": "fer2013"}.get(task, task)
    run(affectnet("affectnet", GOOD), tmp_path / "seven", task=task)
    for classes in (6, 8):
        with pytest.raises(DataError, match=f"was made with 7 classes, not {classes}"):
            run(tmp_path / "seven", tmp_path / "again", kind=kind, classes=classes)
    assert run(tmp_path / "seven", tmp_path / "again", kind=kind, scenes=3)["splits"]


def test_the_real_affectnet_sample_in_every_form(shared, tmp_path):
    root = shared / "datasets" / "affectnet-sample"
    for task in ("detector", "classifier", "crops", "csv", "hdf5", "coco"):
        report = run(root, tmp_path / task, task=task, align=task == "crops")
        with open(root / "training.csv") as file:
            kept = [row for row in csv.DictReader(file) if int(row["expression"]) < 7]
        assert report["splits"]["train"]["faces"] == len(kept) == 9
        assert report["left_out"] == [{"split": "train", "reason": "10 No-Face", "rows": 1}]


def test_lfw_affectnet_in_full(shared, tmp_path):
    """Every box against the csv, to a pixel; and no person on both sides."""
    root = shared / "datasets" / "lfw-affectnet"
    report = run(root, tmp_path / "out")
    assert {split: part["pictures"] for split, part in report["splits"].items()} == {"train": 4547, "valid": 464}
    assert report["left_out"] == [
        {"split": "train", "reason": "Contempt is none of the 7 classes", "rows": 2},
        {"split": "train", "reason": "duplicate-row", "rows": 2},
        {"split": "valid", "reason": "duplicate-row", "rows": 1},
    ]
    people = []
    for split, file in (("train", "training.csv"), ("valid", "validation.csv")):
        with open(root / file) as listing:
            rows = {row["subDirectory_filePath"]: row for row in csv.DictReader(listing) if int(row["expression"]) < 7}
        manifest = [row for row in csv.DictReader(open(tmp_path / "out" / "manifest.csv")) if row["split"] == split]
        people.append({row["group"] for row in manifest})
        paths = read_list(tmp_path / "out" / f"{split}.txt")
        assert len(paths) == len(rows) == len(manifest)
        for path, row in zip(paths, rows.values()):
            ((label, *box),) = read_label(label_path(path), 7).tolist()
            x, y, w, h = (float(row[f"face_{key}"]) for key in ("x", "y", "width", "height"))
            expected = np.clip([x, y, x + w, y + h], 0, 250)
            assert (
                label == int(row["expression"]) and np.abs(cxcywh_rel_to_xyxy(box, (250, 250)) - expected).max() < 0.01
            )
            assert os.path.samefile(path, root / "Manually_Annotated_Images" / row["subDirectory_filePath"])
    assert not people[0] & people[1]


def test_limit_takes_the_first_of_each_split_and_source(affectnet, fer2013_csv, tmp_path):
    rows = {
        file: [(f"{file}/{i}.jpg", 5, 5, 60, 60, i % 7) for i in range(6)]
        for file in ("training.csv", "validation.csv")
    }
    root = affectnet("affectnet", rows)
    sources = [("affectnet", str(root)), ("fer2013", str(fer2013_csv(16)))]
    report = convert(sources, tmp_path / "out", Settings(task="csv"), limit=2, jobs=1)
    assert {split: part["pictures"] for split, part in report["splits"].items()} == {"train": 4, "valid": 4, "test": 2}
    assert [(item["split"], item["rows"]) for item in report["left_out"] if "--limit" in item["reason"]] == [
        ("test", 2),
        ("train", 4 + 6),
        ("valid", 4 + 2),
    ]
