"""emo dataset, as a user runs it: a drawn set through every command; the real sets; exit codes and messages."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from converters.darknet_format.dataset import load
from emotion.cli import main

SHARED = Path(__file__).resolve().parents[3].parent / "shared"


@pytest.fixture
def emo(capsys, monkeypatch, tmp_path):
    """Run `emo ARGS` in an empty folder -> (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def run(*args):
        with pytest.raises(SystemExit) as ended:
            main([str(arg) for arg in args])
        out = capsys.readouterr()
        return ended.value.code or 0, out.out, out.err

    return run


def test_a_made_set_through_every_command(emo, tmp_path):
    assert emo("dataset", "synth", "--as", "yolo", "--count", 20, "--out", "data/a") == (
        0,
        "data/a: 16 train, 4 valid\n",
        "",
    )
    code, out, _ = emo("dataset", "synth", "--as", "yolo", "--count", 10, "--seed", 1, "--out", "b", "--json")
    assert code == 0 and json.loads(out)["rows"] == {"train": 8, "valid": 2}
    code, out, _ = emo("dataset", "collage", "--count", 5, "--size", "160x128", "--out", "collages", "--jobs", 1)
    assert (code, out) == (0, "collages/emo.data: 4 train, 1 valid\n") and cv2.imread(
        "collages/train/collage0000000.jpg"
    ).shape == (128, 160, 3)
    code, out, err = emo("dataset", "check", "--strict")
    assert (code, out, err) == (0, "data/a/emo.data: 16 train, 4 valid\nnothing found\n", "")
    code, out, _ = emo("dataset", "stats", "--out", "plots")
    assert (
        code == 0
        and "Neutral" in out
        and json.loads(Path("plots/stats.json").read_text())["splits"]["train"]["pictures"] == 16
    )
    assert {path.name for path in Path("plots").iterdir()} == {
        ".emo-files",
        "classes.png",
        "faces.png",
        "pictures.png",
        "stats.json",
    }
    code, out, _ = emo("dataset", "view", "--count", 6, "--columns", 3, "--tile", 64, "--out", "sheet.png")
    assert code == 0 and cv2.imread("sheet.png").shape == (2 * 68 + 4, 3 * 68 + 4, 3)
    assert emo("dataset", "merge", "data/a", "b", "--out", "both")[1] == "both/emo.data: 24 train, 6 valid\n"
    code, out, _ = emo(
        "dataset", "split", "both", "--valid", 0.3, "--test", 0.2, "--by", "picture", "--out", "dealt", "--json"
    )
    assert code == 0 and sum(json.loads(out)["pictures"].values()) == 30
    code, out, _ = emo("dataset", "balance", "dealt", "--out", "balanced")
    assert (
        code == 0 and "Neutral" in out and len(load("balanced").images["train"]) >= len(load("dealt").images["train"])
    )
    Path("b/train/000000.jpg").write_bytes(b"")
    code, out, _ = emo("dataset", "check", "both", "--strict", "--csv", "f.csv")
    assert code == 1 and "zero-bytes" in out
    assert [
        row["code"] for row in csv.DictReader(Path("f.csv").read_text().splitlines()) if row["severity"] == "error"
    ] == ["zero-bytes"]
    assert emo("dataset", "check", "both", "--quiet")[:2] == (0, "")
    assert json.loads(emo("dataset", "check", "both", "--json")[1])["counts"]["zero-bytes"] == 1
    assert (
        emo("dataset", "view", "both", "--findings", "f.csv", "--code", "zero-bytes")[1]
        == "contact-sheet.png: 1 pictures\n"
    )
    Path("reject.txt").write_text("a/../b/train/000001.jpg\nb/train/1.jpg\n")
    code, out, _ = emo("dataset", "clean", "both", "--findings", "f.csv", "--reject", "reject.txt", "--out", "clean")
    assert (
        code == 0
        and "clean/emo.data: 22 train, 6 valid" in out
        and "1 left out as zero-bytes" in out
        and "train: 1 left out as rejected" in out
    )
    assert f"1 paths in reject.txt are none of the set's, such as {tmp_path}/b/train/1.jpg" in out
    code, out, _ = emo("dataset", "check", "clean", "--strict")
    assert code == 0 and "error" not in out


@pytest.mark.parametrize(
    "args, code, said",
    [
        (["check"], 1, "data: no such file or folder (give a .data file"),
        (["stats", "nowhere"], 1, "nowhere: no such file or folder"),
        (["merge", "a", "--out", "x"], 2, "at least two sets"),
        (["merge", "a", "b"], 2, "Missing option '--out'"),
        (["collage", "--out", "x", "--size", "9"], 2, "sides are 32 to 8192"),
        (["collage", "--out", "x", "--backgrounds", "nowhere"], 1, "data: no such file or folder"),
        (["synth", "--as", "affectnt", "--out", "x"], 2, "'affectnt' is not one of"),
        (["synth", "--as", "fer2013", "--classes", "8", "--out", "x"], 2, "FER2013 has no Contempt"),
        (["view", "--code", "leak"], 2, "--code needs --findings"),
        (["chek"], 2, "no command 'chek' (did you mean 'check'?"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(emo, args, code, said):
    got, out, err = emo("dataset", *args)
    assert (got, out) == (code, "") and said in err and "Traceback" not in err


def test_a_set_that_names_a_missing_list(emo, tmp_path):
    Path("x.data").write_text("classes = 2\nnames = n\ntrain = no.txt\n")
    Path("n").write_text("a\nb\n")
    code, _, err = emo("dataset", "check", "x.data")
    assert code == 1 and err == "emo: x.data: the train list is missing: no.txt (run emo convert again)\n"
    assert (
        emo("dataset", "split", "x.data", "--valid", 0.7, "--test", 0.7, "--out", "y")[0] == 1
        and not Path("y").exists()
    )


def test_a_made_affectnet_converts(emo):
    assert emo("dataset", "synth", "--count", 30, "--others", 0.2, "--out", "affectnet", "--quiet")[0] == 0
    assert emo("convert", "affectnet", "--task", "detector", "--quiet")[0] == 0
    one = load("data/affectnet-detector")
    with open("affectnet/training.csv") as file:
        kept = [row for row in csv.DictReader(file) if int(row["expression"]) < 7]
    assert len(one.images["train"]) == len(kept) < 24
    assert emo("dataset", "check", "--strict")[0] == 0
    _, out, _ = emo("convert", "affectnet", "--out", "my data")
    assert (
        "noted: the output's own path has characters that a Darknet binary cannot take: ' '" in out
        and "unsafe-path" not in out
    )


@pytest.mark.skipif(
    not (SHARED / "datasets" / "lfw-affectnet").is_dir(), reason="needs ../shared/datasets/lfw-affectnet"
)
def test_the_real_photographs(emo):
    """Nobody on both sides, eight lookalikes (crops of one photograph, looked at), nothing broken."""
    assert emo("convert", "affectnet", SHARED / "datasets" / "lfw-affectnet", "--quiet")[0] == 0
    report = json.loads(emo("dataset", "check", "--json")[1])
    assert report["pictures"] == {"train": 4547, "valid": 464}
    assert set(report["counts"]) == {"near-duplicate"} and 6 <= report["counts"]["near-duplicate"] <= 10


def test_a_file_of_the_sets_own_is_not_written_over(emo, tmp_path):
    """A sheet or table that is given a picture's or label's name."""
    Path("set").mkdir()
    picture, label = Path("set/a.png"), Path("set/a.txt")
    cv2.imwrite(str(picture), np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))
    label.write_text("0 0.5 0.5 0.5 0.5\n")
    Path("set/train.txt").write_text("a.png\n")
    Path("set/emo.names").write_text("Happy\n")
    Path("set/emo.data").write_text("classes=1\ntrain=train.txt\nnames=emo.names\n")
    before = picture.read_bytes(), label.read_bytes()
    code, _, err = emo("dataset", "view", "set", "--out", picture)
    assert code == 2 and f"{picture}: exists already (give --force" in err
    code, _, err = emo("dataset", "check", "set", "--csv", label)
    assert code == 2 and f"{label}: exists and is not a file of findings" in err
    assert (picture.read_bytes(), label.read_bytes()) == before
    for _ in range(2):
        assert (
            emo("dataset", "view", "set", "--force")[0] == 0
            and emo("dataset", "check", "set", "--csv", "f.csv")[0] == 0
        )
