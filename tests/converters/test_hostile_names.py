"""Names that no one would choose: every form keeps each row with its own picture, and a report that is JSON."""

import csv
import json
import os

import cv2
import numpy as np
import pytest

from converters.convert import Settings, convert

HEADER = "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal"
NAMES = [
    "1/plain.jpg",
    "1/new\nline.jpg",
    "1/nul\udcff.jpg",
    "1/qu'ote\".jpg",
    "1/c,omma.jpg",
    "1/caf\u00e9 \U0001f600.jpg",
    "1/-rf.jpg",
    "1/last.jpg",
]


@pytest.fixture
def named(tmp_path):
    """AffectNet of one 900x900 picture a name, each with a box of its own; one row's name is longer than any file's
    may be.
    """
    root = tmp_path / "affectnet"
    picture = cv2.imencode(".jpg", np.random.default_rng(0).integers(0, 256, (900, 900, 3), np.uint8))[1].tobytes()
    (root / "Manually_Annotated_Images/1").mkdir(parents=True)
    rows = [["1/" + "x" * 300 + ".jpg", 5, 5, 50, 50, "", 0, 0, 0]]
    for place, name in enumerate(NAMES):
        (root / "Manually_Annotated_Images" / name).write_bytes(picture)
        rows.append([name, 10 * place, 0, 400, 400, "", place % 7, 0, 0])
    with open(root / "training.csv", "w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        file.write(HEADER + "\n")
        csv.writer(file, lineterminator="\n").writerows(rows)
    return root


@pytest.mark.parametrize("grey", [True, False])
@pytest.mark.parametrize("task", ["detector", "crops", "csv", "hdf5"])
def test_a_hostile_name_moves_no_row(named, tmp_path, task, grey):
    if task == "hdf5":
        pytest.importorskip("h5py")
    if task == "csv" and not grey:
        pytest.skip("FER2013's csv is grey")
    out = tmp_path / "out"
    report = convert([("affectnet", str(named))], out, Settings(task=task, grey=grey))
    assert report["splits"]["train"]["pictures"] == len(NAMES)
    with open(out / "manifest.csv", newline="", encoding="utf-8", errors="surrogateescape") as file:
        rows = list(csv.DictReader(file))
    sources = [os.path.relpath(row["source"], named / "Manually_Annotated_Images") for row in rows]
    assert sources == NAMES
    assert [float(row["x1"]) for row in rows] == [10 * place for place in range(len(NAMES))]
    assert json.loads((out / "report.json").read_bytes().decode("utf-8", "strict"))["findings"]
