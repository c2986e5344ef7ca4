"""Pictures without faces, the set to train on, and the settings of the detector's stages."""

import importlib
import json
import sys
import tomllib
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from converters.darknet_format.files import read_list
from converters.darknet_format.labels import label_path, read_label
from converters.synthesis.datasets import write_set

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"
BOX = (60, 40, 120, 130)


@pytest.fixture(scope="module")
def scripts():
    """The scripts as modules, by name."""
    if not SCRIPTS.is_dir():
        pytest.skip("scripts/ is not here: the package alone is tested")
    sys.path.insert(0, str(SCRIPTS))
    yield importlib.import_module
    sys.path.remove(str(SCRIPTS))


def test_every_kind_is_drawn_the_same_for_the_same_seed(scripts):
    faceless = scripts("faceless")
    for kind in faceless.KINDS:
        one, same, other = (faceless.draw(kind, np.random.default_rng(seed), (96, 64)) for seed in (3, 3, 4))
        assert one.shape == (64, 96, 3) and one.dtype == np.uint8
        assert (one == same).all() and (one != other).any(), kind


def test_a_painted_out_face_is_gone_and_the_rest_stays(scripts):
    rng = np.random.default_rng(0)
    picture = np.full((200, 200, 3), 200, np.uint8)
    x1, y1, x2, y2 = BOX
    picture[y1:y2, x1:x2] = rng.integers(0, 80, (y2 - y1, x2 - x1, 3))
    gone = scripts("faceless").painted_out(picture, [BOX], rng, wide=1.5)
    assert abs(gone[y1:y2, x1:x2].astype(int) - 200).max() < 30, "filled from what is around it"
    assert (gone[160:, :] == picture[160:, :]).all() and (picture[y1:y2, x1:x2] < 80).all()


def test_badges_and_buttons_leave_the_face_alone(scripts):
    picture = np.full((300, 300, 3), 90, np.uint8)
    x1, y1, x2, y2 = BOX
    many = [scripts("faceless").adorned(picture, [BOX], np.random.default_rng(seed)) for seed in range(30)]
    assert all((one[y1:y2, x1:x2] == 90).all() for one in many)
    assert sum((one != 90).any() for one in many) > 25


def test_faces_are_counted(scripts):
    told = scripts("false_faces").summed(
        Counter({"badges": 30, "tags": 20, "painted out": 8}), Counter({"badges": 3, "painted out": 2})
    )
    assert told == {
        "drawn": {"pictures": 50, "false_faces": 3, "in_100": 6.0},
        "painted_out": {"pictures": 8, "false_faces": 2, "in_100": 25.0},
        "kinds": {"badges": 3, "painted out": 2},
    }


def test_the_command_counts_what_the_model_finds(scripts):
    """At a score that everything has, every picture shows faces; at one that nothing has, none does."""
    false_faces = scripts("false_faces")
    for conf, wanted in (("0.0001", True), ("1", False)):
        ran = CliRunner().invoke(false_faces.main, ["measure", "yolo@64", "--count", "9", "--conf", conf, "--json"])
        assert ran.exit_code == 0, ran.output
        told = json.loads(ran.output)["yolo@64"]
        assert told["drawn"]["pictures"] == 9 and (told["drawn"]["false_faces"] > 0) is wanted
        assert sum(told["kinds"].values()) == told["drawn"]["false_faces"]


def test_the_set_to_train_on(scripts, tmp_path):
    """Of three pictures two have no face, and the third its own, where it was."""
    write_set("yolo", 9, tmp_path / "scenes")
    out = tmp_path / "negatives"
    words = ["teach", "--lfw", str(tmp_path / "scenes"), "--finder", "haar", "--count", "9", "--out", str(out)]
    ran = CliRunner().invoke(scripts("false_faces").main, words)
    assert ran.exit_code == 0, ran.output
    paths = read_list(out / "train.txt")
    found = [read_label(label_path(path), 7) for path in paths]
    assert [len(one) > 0 for one in found] == [False, False, True] * 3
    for path, label in zip(paths, found):
        assert cv2.imread(str(path)) is not None
        assert ((label[:, 1:] > 0) & (label[:, 1:] <= 1)).all()


def test_the_stages_settings_are_options_of_the_command(scripts):
    release = scripts("train_release")
    from emotion.cli.darknet_train import train

    known = {option for param in train.params for option in param.opts}
    made = set(release.set_commands(Path("fer"), Path("lfw"), Path("data"), "yunet"))
    for name in (release.CROPS_FIRST, *release.STAGES):
        settings = tomllib.loads((SCRIPTS / "release" / f"{name}.toml").read_text())
        assert {"--" + key.replace("_", "-") for key in settings} - {"--sets"} <= known, name
        assert set(settings["sets"]) <= made, name
