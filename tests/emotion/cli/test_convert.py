"""`emo convert` as a user types it: tables, JSON, exit codes, one clear line for a fault."""

import json
import re
import subprocess
import sys

import cv2
import numpy as np
import pytest


@pytest.fixture
def folder(tmp_path):
    """A working folder with ./affectnet of four pictures."""
    images = tmp_path / "affectnet" / "Manually_Annotated_Images" / "1"
    images.mkdir(parents=True)
    rows = ["subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal"]
    for number, expression in enumerate((0, 1, 6, 9)):
        cv2.imwrite(str(images / f"{number}.jpg"), np.full((80, 100, 3), 30 * number, np.uint8))
        rows.append(f"1/{number}.jpg,10,10,50,60,,{expression},0,0")
    (tmp_path / "affectnet" / "training.csv").write_text("\n".join(rows) + "\n")
    (tmp_path / "affectnet" / "validation.csv").write_text(
        "\n".join([rows[0], rows[2].replace("1/1.jpg", "1/v.jpg")]) + "\n"
    )
    cv2.imwrite(str(images / "v.jpg"), np.zeros((80, 100, 3), np.uint8))
    return tmp_path


def emo(folder, *arguments):
    done = subprocess.run(
        [sys.executable, "-c", "from emotion.cli import main; main()", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert "Traceback" not in done.stderr
    return done


def test_the_first_line_of_the_readme(folder):
    done = emo(folder, "convert", "affectnet", "--task", "detector")
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout.splitlines() == [
        "       pictures  faces  Neutral  Happy  Sad  Surprise  Fear  Disgust  Anger",
        "train         3      3        1      1    0         0     0        0      1",
        "valid         1      1        0      1    0         0     0        0      0",
        "left out of train: 1 x 9 Uncertain",
        "-> data/affectnet-detector/emo.data",
    ]
    assert (folder / "data" / "affectnet-detector" / "train" / "1" / "0.txt").is_file()


def test_json_is_the_report_and_quiet_is_quiet(folder):
    done = emo(folder, "convert", "affectnet", "--json")
    assert json.loads(done.stdout) == json.loads((folder / "data" / "affectnet-detector" / "report.json").read_text())
    assert emo(folder, "convert", "affectnet", "--quiet", "--force").stdout == ""
    assert "nothing was written" in emo(folder, "convert", "affectnet", "--task", "crops", "--dry-run").stdout
    assert not (folder / "data" / "affectnet-crops").exists()


@pytest.mark.parametrize(
    "arguments, code, said",
    [
        (["affectnet", "nowhere"], 1, "emo: nowhere: no such folder (give the folder"),
        (["affectnet", "affectnet", "--out", "affectnet/out"], 2, "the output lies in, or around, the source"),
        (["afectnet"], 2, "'afectnet' is not one of"),
        (["affectnet/training.csv"], 2, "is a path: give the dataset's kind before it, as emo convert folder "),
        (["affectnet", "--with", "imagenet=x"], 2, "no dataset kind 'imagenet'"),
        (["affectnet", "--classes", "5"], 2, "'5' is not one of"),
        (["affectnet", "--size", "big"], 2, "'big' is neither N nor WxH"),
        (["affectnet", "--task", "csv", "--colour"], 2, "grey pictures only"),
        (
            ["affectnet", "--align"],
            2,
            "--align has no effect here (only --task crops or csv or hdf5 or npz or pickle uses it)",
        ),
        (
            ["affectnet", "--task", "classifier", "--size", "96"],
            2,
            "--size has no effect here (only --task detector or coco or crops or csv or hdf5 or npz or pickle uses it)",
        ),
        (["affectnet", "--colour"], 2, "--grey/--colour has no effect here"),
        (
            ["affectnet", "--task", "csv", "--link", "copy"],
            2,
            "--link has no effect here (only --task detector or coco or classifier uses it)",
        ),
        (
            ["affectnet", "--labels", "votes", "--with", "fer2013=f.csv"],
            2,
            "--labels has no effect here (only ferplus has it)",
        ),
        (["affectnet", "--cluster", "tcp://127.0.0.1:9"], 1, "no Dask scheduler answers at tcp://127.0.0.1:9"),
        (["fer2013", "affectnet/training.csv"], 1, "training.csv:1: has no column emotion, pixels, Usage"),
        (["yolo", "affectnet"], 2, "expected one .data file, found none"),
    ],
)
def test_a_fault_is_one_clear_line(folder, arguments, code, said):
    done = emo(folder, "convert", *arguments)
    assert done.returncode == code and said in done.stderr.splitlines()[-1] and done.stdout == ""
    assert not (folder / "data").exists() or not list((folder / "data").glob("*"))


def test_what_is_set_for_all_conversions_is_not_told_of_each(folder):
    (folder / "emo.toml").write_text("[convert]\nalign = true\nenlarge = 1.3\n")
    done = emo(folder, "--config", "emo.toml", "convert", "affectnet")
    assert done.returncode == 0 and done.stderr == ""


def test_a_size_that_nothing_gets_is_told(folder):
    done = emo(folder, "convert", "affectnet", "--size", "416", "--scenes", "3")
    assert (
        done.returncode == 0
        and "noted: --size and --scenes: no face fills its picture, so no scene is composed" in done.stdout
    )


def test_an_align_without_landmarks_is_told(folder):
    (folder / "photos" / "Happy").mkdir(parents=True)
    cv2.imwrite(str(folder / "photos" / "Happy" / "a.png"), np.arange(48 * 48, dtype=np.uint8).reshape(48, 48))
    for words, told in (["--align"], True), ([], False):
        done = emo(folder, "convert", "folder", "photos", "--task", "crops", "--dry-run", *words)
        assert done.returncode == 0, done.stderr
        assert ("noted: --align: neither the dataset nor --find gives landmarks" in done.stdout) is told


def test_a_second_run_is_refused_without_force(folder):
    assert emo(folder, "convert", "affectnet", "--quiet").returncode == 0
    done = emo(folder, "convert", "affectnet")
    assert done.returncode == 2 and done.stderr == (
        "emo: data/affectnet-detector: the output exists and is not empty (--force replaces it, or choose another "
        "--out)\n"
    )


def test_the_help_has_an_example_and_every_kind(folder):
    text = emo(folder, "convert", "--help").stdout
    from converters.readers import KINDS

    assert "emo convert affectnet --task detector" in text and all(
        re.search(rf"^  (\w+, )*{kind}\b", text, re.M) for kind in KINDS
    )
