"""What a binary saved gets the run folder's names, and only when it is whole."""

import struct
from pathlib import Path

import pytest

from converters.errors import WeightsError
from darknet_runner.compiled import saved_weights
from darknet_runner.compiled.binary import Binary
from darknet_runner.run import folder as run_folder

SIZE = 40


@pytest.fixture
def run(tmp_path):
    return run_folder.create(tmp_path, "x")


def saved(run, name, seen, size=SIZE):
    path = run.weights / name
    path.write_bytes(struct.pack("<iiiQ", 0, 2, 5, seen) + bytes(size - 20))
    return path


def flavour(name):
    return Binary(
        Path("/d"), name, None, gpu=False, cudnn=False, half=False, opencv=False, avx=None, openmp=False, banner=""
    )


@pytest.mark.parametrize(
    "name, binary, classifier, expected",
    [
        ("model.backup", "pjreddie", False, "model_last.weights"),
        ("model.weights", "pjreddie", True, "model_final.weights"),
        ("model_7.weights", "pjreddie", True, "model_last.weights"),
        ("model_100.weights", "pjreddie", False, "model_100.weights"),
        ("model_final.weights", "pjreddie", False, "model_final.weights"),
        ("model_1000.weights", "alexeyab", True, "model_1000.weights"),
        ("model_best.weights", "hank-ai", False, "model_best.weights"),
    ],
)
def test_names(run, name, binary, classifier, expected):
    path = saved_weights.rename_saved_weights(run, saved(run, name, 8), flavour(binary), classifier, SIZE)
    assert path.name == expected and [item.name for item in run.weights.iterdir()] == [expected]


def test_short_ones_are_not_taken(run):
    with pytest.raises(WeightsError, match="30 bytes instead of 40"):
        saved_weights.rename_saved_weights(run, saved(run, "model.backup", 8, 30), flavour("pjreddie"), False, SIZE)


def test_newest_and_recover(run):
    assert saved_weights.newest(run, SIZE) is None
    saved(run, "model_best.weights", 100)
    saved(run, "model.backup", 300)
    saved(run, "model_400.weights", 400, 30)  # cut short by a full disk
    assert saved_weights.newest(run, SIZE) == (run.weights / "model.backup", 300)
    saved_weights.recover(run, SIZE)
    assert run.weights_file("last").read_bytes() == (run.weights / "model.backup").read_bytes()
