import json
import shutil

import numpy as np
import pytest

from converters.errors import CfgError, DataError, UsageError, WeightsError
from darknet_runner.network import cfg_file, weights_file
from darknet_runner.run import folder as run_folder
from emotion.systems import models
from emotion.systems.models import find


@pytest.fixture
def folder(detector_folder, tmp_path):
    return shutil.copytree(detector_folder, tmp_path / "mine")


def test_a_folder_is_a_model(folder):
    model = find(folder, "detector")
    assert (model.name, model.task, model.names[:2]) == ("mine", "detector", ("Neutral", "Happy"))
    assert model.weights == folder / "model.weights" and model.card == {}
    assert model.describe()["input"] == [64, 64, 3]


@pytest.mark.parametrize("file", ["model.cfg", "model.weights"])
def test_a_file_names_its_neighbours(folder, file):
    assert find(folder / file, "detector").weights == folder / "model.weights"


def test_weights_and_names_may_lie_elsewhere(folder, tmp_path):
    (folder / "emo.names").rename(tmp_path / "other.txt")
    (folder / "model.weights").rename(tmp_path / "other.weights")
    model = find(
        folder / "model.cfg", "detector", weights_file=tmp_path / "other.weights", names_file=tmp_path / "other.txt"
    )
    assert len(model.names) == 7
    with pytest.raises(UsageError, match="weights"):
        find(folder / "model.cfg", "detector")


def test_a_run_folder_is_a_model(folder, tmp_path):
    run = run_folder.create(tmp_path / "runs", "v4-tiny")
    shutil.copy(folder / "model.cfg", run.cfg)
    shutil.copy(folder / "emo.names", run.names)
    run.write_json(name="v4-tiny")
    for tag in ("last", "best"):
        shutil.copy(folder / "model.weights", run.weights_file(tag))
    assert find(run.path, "detector").weights == run.weights_file("best")


def test_the_newest_run_of_the_task_is_found(folder, classifier_folder, tmp_path):
    root = tmp_path / "runs"
    assert models.newest_run("detector", root) is None
    made = []
    for name, source in (("a", folder), ("b", classifier_folder), ("broken", None)):
        run = run_folder.create(root, name)
        run.write_json(name=name)
        made.append(run.path)
        if source:
            shutil.copy(source / "model.cfg", run.cfg)
            shutil.copy(source / "emo.names", run.names)
            shutil.copy(source / "model.weights", run.weights_file("best"))
    assert models.newest_run("detector", root) == made[0]
    assert models.newest_run("classifier", root) == made[1]


@pytest.mark.parametrize(
    "change",
    [lambda data: data[:-4], lambda data: data + b"\0\0\0\0", lambda data: b"", lambda data: b"<html>not found</html>"],
)
def test_weights_of_another_length_are_refused_before_opencv_sees_them(folder, change):
    file = folder / "model.weights"
    file.write_bytes(change(file.read_bytes()))
    with pytest.raises(WeightsError) as error:
        find(folder, "detector")
    assert str(error.value).startswith(str(file))


def test_weights_that_are_not_numbers_are_refused(folder):
    cfg = cfg_file.load(folder / "model.cfg")
    read = [
        {name: np.array(array) for name, array in blocks.items()}
        for blocks in weights_file.read(cfg, folder / "model.weights").layers
    ]
    read[0]["biases"][3] = np.nan
    weights_file.write(cfg, folder / "model.weights", read, seen=0)
    with pytest.raises(WeightsError, match="not finite"):
        find(folder, "detector")


def test_the_card_is_read_and_its_hash_checked(folder):
    (folder / "model.toml").write_text(f'licence = "MIT"\nsha256 = "{models.sha256(folder / "model.weights")}"\n')
    assert find(folder, "detector").card["licence"] == "MIT"
    (folder / "model.toml").write_text(f'sha256 = "{"0" * 64}"\n')
    with pytest.raises(WeightsError, match="sha256"):
        find(folder, "detector")
    (folder / "model.toml").write_text("sha256 = \n")
    with pytest.raises(DataError, match="TOML"):
        find(folder, "detector")


def test_names_must_be_as_many_as_classes(folder):
    (folder / "emo.names").write_text("Happy\nSad\n")
    with pytest.raises(DataError, match="2 names.*7 classes"):
        find(folder, "detector")


def test_the_other_task_is_refused(folder, classifier_folder):
    with pytest.raises(UsageError, match="is a detector"):
        find(folder, "classifier")
    with pytest.raises(UsageError, match="is a classifier"):
        find(classifier_folder, "detector")


def test_a_name_there_is_not(tmp_path):
    with pytest.raises(UsageError, match="no model 'nosuch'"):
        find("nosuch", "detector")
    with pytest.raises(UsageError, match=r"model\.cfg"):
        find(tmp_path, "detector")


def test_a_file_of_another_kind_is_there_and_no_model(tmp_path):
    (tmp_path / "a.onnx").write_bytes(b"x")
    with pytest.raises(UsageError, match=r"a\.onnx: is a file of another kind .*--onnx"):
        find(tmp_path / "a.onnx", "detector")


def test_a_network_that_emo_cannot_read_the_answer_of(folder):
    text = (folder / "model.cfg").read_text()
    (folder / "model.cfg").write_text(text[: text.index("[yolo]")])
    with pytest.raises(CfgError, match=r"ends in \[convolutional\]"):
        find(folder, "classifier")


def shipped_models():
    return sorted(models.shipped().items())


@pytest.mark.parametrize(
    ("name", "folder"), shipped_models() or [pytest.param("", None, marks=pytest.mark.skip("no model ships yet"))]
)
def test_what_ships_is_whole(name, folder):
    task = "detector" if cfg_file.load(folder / "model.cfg").is_detector else "classifier"
    model = find(name, task)
    assert model.card["task"] == task and model.card["sha256"] == models.sha256(model.weights)
    assert {"data", "split", "metrics", "licence", "preprocessing"} <= set(model.card), json.dumps(sorted(model.card))
    assert find(None, task).name == models.DEFAULTS[task]
