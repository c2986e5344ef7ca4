"""Every form of a set that a training takes ends in the same .data file; what fits the task is found by itself."""

import cv2
import numpy as np
import pytest

from converters.convert import Settings, convert
from converters.darknet_format.files import read_list
from converters.darknet_format.open_set import open_set
from converters.errors import DataError, UsageError


@pytest.fixture
def csv(tmp_path, monkeypatch):
    """FER2013's csv of 14 + 7 drawn faces, in the current folder."""
    monkeypatch.chdir(tmp_path)
    rng, rows = np.random.default_rng(1), ["emotion,pixels,Usage"]
    for index in range(21):
        pixels = " ".join(map(str, rng.integers(0, 256, 48 * 48)))
        rows.append(f"{index % 7},{pixels},{'Training' if index < 14 else 'PublicTest'}")
    (tmp_path / "fer2013.csv").write_text("\n".join(rows) + "\n")
    return tmp_path / "fer2013.csv"


def pictures(data, split):
    return sorted(cv2.imread(str(path), 0).tobytes() for path in read_list(data.list_of(split)))


def test_csv_folder_hdf5_and_data_give_the_same_pictures(csv, tmp_path):
    pytest.importorskip("h5py", reason="needs h5py")
    said = []
    first = open_set(csv, "classifier", said.append)
    assert (
        first.is_classifier
        and len(pictures(first, "train")) == 14
        and len(pictures(first, "valid")) == 7
        and "converting" in said[0]
    )
    again = open_set(csv, "classifier", said.append)
    assert again.path == first.path and len(said) == 1, "converted once"
    convert([("fer2013", str(csv))], tmp_path / "h5", Settings(task="hdf5"))
    for other in (tmp_path / "h5", tmp_path / "h5" / "train.h5", first.path, first.path.parent):
        data = open_set(other, "classifier")
        assert [pictures(data, split) == pictures(first, split) for split in ("train", "valid")] == [True, True]
    tree = tmp_path / "tree"
    for split in ("train", "valid"):
        for path in read_list(first.list_of(split)):
            target = tree / split / path.parent.name / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    assert pictures(open_set(tree), "train") == pictures(first, "train")


def test_a_set_that_changed_is_converted_anew(csv):
    first = open_set(csv)
    csv.write_text("\n".join(csv.read_text().split("\n")[:-2]) + "\n")
    second = open_set(csv)
    assert second.path != first.path and len(pictures(second, "valid")) == 6


def test_the_set_that_fits_is_found(csv, tmp_path):
    convert([("fer2013", str(csv))], tmp_path / "data" / "faces", Settings(task="classifier"))
    convert([("fer2013", str(csv))], tmp_path / "data" / "scenes", Settings(task="detector", scenes=4, size=(96, 96)))
    assert open_set(None, "classifier").is_classifier and not open_set(None, "detector").is_classifier
    with pytest.raises(UsageError, match="expected one"):
        open_set()
    convert([("fer2013", str(csv))], tmp_path / "data" / "more", Settings(task="classifier"))
    with pytest.raises(UsageError, match="faces.*more"):
        open_set(None, "classifier")


def test_faces_are_no_detectors_set_and_nothing_is_told(csv, tmp_path):
    with pytest.raises(UsageError, match="composes scenes"):
        open_set(csv, "detector")
    (tmp_path / "empty").mkdir()
    for bad in ("empty", "none", "none.data"):
        with pytest.raises((UsageError, DataError), match=bad):
            open_set(tmp_path / bad)
