"""The pipeline with Debian's darknet: all steps, and going on after each kind of end."""

import json
import os
import shutil
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from converters.darknet_format.files import write_data
from converters.errors import DataError, RunError, UsageError
from darknet_runner import pipeline
from darknet_runner.compiled.engine import CompiledEngine
from darknet_runner.network import cfg_file, weights_file
from darknet_runner.run.folder import RunDir

NAMES = ("Red", "Blue")
BACKBONE = (Path(__file__).parents[1] / "cfg" / "backbone.cfg").read_text()
CLASSIFIER = BACKBONE.format(filters=2) + "\n[avgpool]\n\n[softmax]\ngroups=1\n"
DETECTOR = BACKBONE.format(filters=14) + "\n[yolo]\nmask=0,1\nanchors=10,10, 20,20\nclasses=2\nnum=2\nrandom=0\n"


@pytest.fixture
def plan(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return make_plan(tmp_path)


@pytest.fixture(scope="module")
def finished(debian, tmp_path_factory):
    """A finished pipeline's folder, its plan, and what it gave; to be copied, not changed."""
    folder = tmp_path_factory.mktemp("pipeline")
    plan = make_plan(folder)
    trained = []
    return folder / "run", plan, pipeline.run(folder / "run", plan, with_debian(debian, trained)), trained


def make_plan(tmp_path):
    import cv2

    rng, rows = np.random.default_rng(0), []
    for number in range(8):
        path = tmp_path / "set" / NAMES[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), rng.integers(0, 255, (32, 32, 3), np.uint8))
        path.with_suffix(".txt").write_text(f"{number % 2} 0.5 0.5 0.5 0.5\n")
        rows.append(f"{path}\n")
    for kind in ("detector", "classifier"):
        (tmp_path / "list.txt").write_text("".join(rows))
        (tmp_path / "names.txt").write_text("\n".join(NAMES) + "\n")
        told = {"labels": "names.txt"} if kind == "classifier" else {}
        write_data(tmp_path / f"{kind}.data", classes=2, train="list.txt", valid="list.txt", names="names.txt", **told)
    (tmp_path / "classifier.cfg").write_text(CLASSIFIER)
    (tmp_path / "detector.cfg").write_text(DETECTOR)
    return pipeline.Plan(
        *(str(tmp_path / name) for name in ("classifier.cfg", "detector.cfg", "classifier.data", "detector.data")),
        job={"threads": 1},
    )


def with_debian(debian, done=None):
    def engine_for(job):
        if done is not None:
            done.append((job.run.path.name, job.resume))
        return CompiledEngine(debian), "as the test wants it"

    return engine_for


def test_all_steps(debian, finished, tmp_path):
    folder, _, result, _ = finished
    assert (result.verdict, result.layers, set(result.scores["ap"])) == ("finished", 2, set(NAMES))
    state = json.loads((folder / "pipeline.json").read_text())
    assert list(state["done"]) == list(pipeline.STEPS)
    classifier, detector = RunDir(folder / "classifier-001"), RunDir(folder / "detector-001")
    backbone, theirs = folder / "backbone.conv.2", tmp_path / "theirs"
    CompiledEngine(debian).partial(classifier.cfg, classifier.weights_file("final"), theirs, 2)
    assert backbone.read_bytes()[20:] == theirs.read_bytes()[20:], "after the header, which tells another version"
    assert detector.read_json()["started_from"]["path"].endswith("backbone.conv.2")
    assert weights_file.header_bytes(detector.weights_file("final"))[1] == 12
    assert pipeline.run(folder, None, lambda job: pytest.fail("trained again")) == result, "nothing is done twice"


@pytest.mark.parametrize("lost", pipeline.STEPS)
def test_goes_on_at_every_step(debian, finished, tmp_path, lost):
    """As if it had been ended in that step: the steps from there on are done again, those before are not."""
    shutil.copytree(finished[0], tmp_path / "run", symlinks=True)
    state = json.loads((tmp_path / "run" / "pipeline.json").read_text())
    for step in pipeline.STEPS[pipeline.STEPS.index(lost) :]:
        del state["done"][step]
    (tmp_path / "run" / "pipeline.json").write_text(json.dumps(state))
    asked = []
    result = pipeline.run(tmp_path / "run", None, with_debian(debian, asked))
    assert result.verdict == "finished" and result.layers == 2
    assert ("classifier" in [name.partition("-")[0] for name, _ in asked]) == (lost == "classifier")


def test_an_interrupted_training_is_resumed(debian, plan, tmp_path):
    text = (tmp_path / "classifier.cfg").read_text().replace("max_batches=6", "max_batches=400")
    (tmp_path / "classifier.cfg").write_text(text)
    folder = tmp_path / "run"
    last = folder / "classifier-001" / "weights" / "model_last.weights"

    def interrupt():
        while not last.exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=interrupt, daemon=True).start()
    result = pipeline.run(folder, plan, with_debian(debian))
    assert (result.verdict, result.step) == ("interrupted", "classifier")
    asked = []
    result = pipeline.run(folder, None, with_debian(debian, asked))
    assert result.verdict == "finished" and asked[0] == ("classifier-001", True)
    assert RunDir(folder / "classifier-001").read_json()["resumed_at"] > 0


def test_what_cannot_end_well_is_refused_at_once(plan, tmp_path):
    from dataclasses import replace

    with pytest.raises(UsageError, match="must be a classifier's cfg"):
        pipeline.check(replace(plan, classifier=plan.detector), binary=True)
    (tmp_path / "other.cfg").write_text(DETECTOR.replace("filters=8", "filters=4", 1))
    with pytest.raises(UsageError, match="share no layers"):
        pipeline.check(replace(plan, detector=str(tmp_path / "other.cfg")), binary=True)
    next((tmp_path / "set").rglob("*.png")).write_bytes(b"")
    with pytest.raises(DataError) as caught:
        pipeline.check(plan, binary=True)
    assert str(caught.value).count("is empty") == 4, "of both data and both lists"
    with pytest.raises(RunError, match="is not a pipeline's folder"):
        pipeline.run(tmp_path / "nothing", None, lambda job: None)


def test_state_is_whole_at_all_times(plan, tmp_path):
    state = pipeline.State(tmp_path)
    state.content["plan"] = {
        "classifier": "a",
        "detector": "b",
        "classifier_data": "c",
        "detector_data": "d",
        "later": 1,
    }
    state.write()
    assert pipeline.State.load(tmp_path).plan == pipeline.Plan("a", "b", "c", "d")
    assert cfg_file.load(plan.classifier).is_detector is False
