"""Every command that writes a folder is alone there, follows a link, and replaces nothing that emo did not write."""

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from converters import output_folder
from converters.darknet_format.files import write_data

ROOT = Path(__file__).parents[3]
TRAIN = "10: 3.5, 3.5 avg, 0.001 rate, 0.1 seconds, 640 images\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A picture, a Darknet set, a set of folders, a log, a run and a pipeline, as far as the commands look before
    they lock.
    """
    root = tmp_path_factory.mktemp("locks")
    for name in ("1", "2"):
        cv2.imwrite(str(root / f"{name}.png"), np.full((64, 64, 3), 90, np.uint8))
        (root / f"{name}.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    (root / "train.txt").write_text("1.png\n2.png\n")
    (root / "names.txt").write_text(
        "".join(f"{name}\n" for name in ("Neutral", "Happy", "Sad", "Surprise", "Fear", "Disgust", "Anger"))
    )
    write_data(root / "emo.data", classes=7, train="train.txt", valid="train.txt", names="names.txt")
    (root / "classes" / "Happy").mkdir(parents=True)
    cv2.imwrite(
        str(root / "classes" / "Happy" / "1.png"), np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    )
    (root / "train.log").write_text(TRAIN)
    return root


COMMANDS = {
    "detect": ["detect", "1.png", "--out"],
    "compare": ["compare", "two-stage", "vs", "yolo", "1.png", "--out"],
    "evaluate": ["evaluate", "emo-v4-nano", "--data", "emo.data", "--out"],
    "convert": ["convert", "folder", "classes", "--task", "classifier", "--out"],
    "synth": ["dataset", "synth", "--as", "yolo", "--count", "2", "--out"],
    "split": ["dataset", "split", "emo.data", "--valid", "0.5", "--out"],
    "stats": ["dataset", "stats", "emo.data", "--out"],
    "log": ["darknet", "log", "train.log", "--out"],
    "resume": ["darknet", "train", "--resume"],
    "pipeline": ["darknet", "pipeline", "--resume"],
    "export": ["export", "emo-s", "--out"],
}
FORCELESS = ("stats", "resume", "pipeline")


def emo(name, out, folder, *more):
    command = [
        sys.executable,
        "-m",
        "emotion.cli",
        *COMMANDS[name],
        str(out),
        *([] if name in FORCELESS else ["--force"]),
        *more,
    ]
    path = os.pathsep.join([str(ROOT), *sys.path])
    return subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path, "XDG_CACHE_HOME": str(folder / "cache")},
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_another_that_writes_there_is_told(name, folder, tmp_path):
    if name == "export":
        pytest.importorskip("onnx")
    out = tmp_path / "out"
    if name in ("resume", "pipeline"):
        out.mkdir()
        (out / "pipeline.json").write_text(
            '{"plan": {"classifier": "a", '
            '"detector": "b", '
            '"classifier_data": "c", '
            '"detector_data": "d", '
            '"engine": {"engine": '
            '"auto"}}, '
            '"done": {}, '
            '"runs": {}}'
        )
    with output_folder.locked(out):
        ran = emo(name, out, folder)
    assert (ran.returncode, ran.stdout) == (1, "") and f"{out}: another emo is writing this output" in ran.stderr, (
        ran.stderr
    )
    assert ran.stderr.count("\n") == 1 and sorted(path.name for path in tmp_path.iterdir()) == (
        ["out"] if out.exists() else []
    )


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in ("resume", "pipeline", "export")])
def test_twice_into_a_link_beside_what_is_not_emos(name, folder, tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to("disk/target")
    for time in range(2):
        ran = emo(name, tmp_path / "out", folder)
        assert ran.returncode == 0, ran.stderr
        made = {path.name for path in (tmp_path / "disk" / "target").iterdir()}
        assert (tmp_path / "out").is_symlink() and len(made) > 1 and not any(".part" in item for item in made)
        if time == 0:
            (tmp_path / "disk" / "target" / "backup").mkdir(exist_ok=True)
            (tmp_path / "disk" / "target" / "backup" / "mine.weights").write_text("trained")
    assert (tmp_path / "disk" / "target" / "backup" / "mine.weights").read_text() == "trained"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["disk", "out"] and os.listdir(tmp_path / "disk") == [
        "target"
    ]


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("detect", "detections.csv"),
        ("detect", "pictures/holiday.jpg"),
        ("compare", "report.html"),
        ("stats", "classes.png"),
        ("log", "metrics.csv"),
        ("convert", "report.json"),
        ("evaluate", "report.json"),
    ],
)
def test_a_file_of_the_users_own_is_named_and_kept(name, theirs, folder, tmp_path):
    (tmp_path / "out" / theirs).parent.mkdir(parents=True)
    (tmp_path / "out" / theirs).write_text("mine")
    ran = emo(name, tmp_path / "out", folder)
    assert ran.returncode == 2 and (
        "is not an output of emo" in ran.stderr or f"holds {theirs}, which emo did not write" in ran.stderr
    )
    assert (tmp_path / "out" / theirs).read_text() == "mine" and len(
        [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    ) == 1
