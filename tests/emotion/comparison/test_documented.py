"""docs/compare-json.md against what emo compare writes: every key of each kind of comparison stands there."""

import json
import re
from pathlib import Path

import cv2
import pytest

from converters.darknet_format.files import write_data
from converters.emotions import class_names
from emotion.comparison import compare
from emotion.comparison.settings import Settings

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "compare-json.md").read_text(encoding="utf-8")
WORDS = set(re.findall(r"`([a-z_0-9]+)`", PAGE))
OPEN = ("settings", "machine", "stages_ms", "ap", "f1", "truths", "missed_per_class", "scarce")  # keys are names


def keys_of(told):
    if isinstance(told, dict):
        for key, value in told.items():
            yield key
            yield from () if key in OPEN else keys_of(value)
    elif isinstance(told, list):
        for value in told:
            yield from keys_of(value)


@pytest.fixture
def kinds(tmp_path, squares, detector_folder, classifier_folder, video_factory):
    """What to compare: a detector's set, a classifier's, a video without labels and one with, a file's results."""
    boxes, faces, media = (tmp_path / name for name in ("boxes", "faces", "media"))
    for folder in (boxes, faces / "valid" / "Happy", media):
        folder.mkdir(parents=True)
    picture = squares([(0, 0, 1)])[0]
    for index in range(12):
        cv2.imwrite(str(boxes / f"{index}.png"), picture)
        (boxes / f"{index}.txt").write_text("1 0.125 0.125 0.25 0.25\n")
        cv2.imwrite(str(faces / "valid" / "Happy" / f"{index}.png"), squares([(0, 0, 1)], cells=1)[0])
    (boxes / "valid.txt").write_text("".join(f"{index}.png\n" for index in range(12)))
    (boxes / "emo.names").write_text("\n".join(class_names(7)))
    write_data(boxes / "emo.data", classes=7, valid="valid.txt", names="emo.names")
    (faces / "valid.txt").write_text("".join(f"valid/Happy/{index}.png\n" for index in range(12)))
    (faces / "labels.txt").write_text("\n".join(class_names(7)))
    write_data(faces / "emo.data", classes=7, valid="valid.txt", labels="labels.txt", top=2)
    video_factory(tmp_path / "plain.mp4", [picture] * 4)
    video_factory(media / "told.mp4", [picture] * 4)
    (media / "labels.csv").write_text("media,frame,x1,y1,x2,y2,emotion\ntold.mp4,0,0,0,16,16,Happy\n")
    (tmp_path / "said.csv").write_text("picture,x1,y1,x2,y2,emotion\n0.png,0,0,16,16,Happy\n")
    both = (f"two-stage:{detector_folder}+{classifier_folder}", f"yolo:{detector_folder}")
    return {
        "a detector's set": ((*both, f"file:{tmp_path / 'said.csv'}"), {"data": boxes / "emo.data"}),
        "a classifier's set": ((str(classifier_folder),) * 2, {"data": faces / "emo.data"}),
        "a video": (both, {"media": [tmp_path / "plain.mp4"]}),
        "a labelled video": (both, {"media": [media / "told.mp4"]}),
    }


def test_every_key_is_documented_and_every_documented_key_is_written(kinds, tmp_path):
    seen = set()
    for name, (systems, what) in kinds.items():
        out = tmp_path / "out" / name.replace(" ", "-")
        compare.run(systems, **what, out=out, memory=name == "a video", settings=Settings(replicates=100))
        told = json.loads((out / "compare.json").read_text())
        keys = {*keys_of(told), *told["settings"]}
        assert not keys - WORDS, name
        assert f"now {told['format']}." in PAGE
        seen |= keys
    values = {"group", "crossed", "picture", "medium", "detector", "classifier", "emo", "null"}
    unwritten = {"passed_over", "difference", "agreement"}  # of pictures that are none; of format 1
    assert not WORDS - seen - values - unwritten
