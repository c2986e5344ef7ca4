"""Runs as experiments: figures, what differs, their order; and MLflow's file store, where MLflow is installed."""

import json

import pytest

from converters.errors import RunError, UsageError
from darknet_runner.run import experiments


@pytest.fixture
def runs(tmp_path):
    """Three runs: two on the same lists at other rates, one on others; and a folder that is none."""

    def make(name, started, rate, data, rows, verdict="finished", recipe=""):
        folder = tmp_path / "runs" / name
        (folder / "weights").mkdir(parents=True)
        told = {
            "engine": "builtin",
            "verdict": verdict,
            "started": started,
            "iterations": 20,
            "data": "/x/emo.data",
            "settings": {"learning_rate": rate, "seed": 0, "quiet": bool(rate > 0.005), "silence": rate},
            "hashes": {"cfg": "c", "data": {"train": data, "valid": data}},
        }
        (folder / "run.json").write_text(json.dumps(told))
        (folder / "metrics.csv").write_text("iteration,loss,top1,valid_loss\n" + "".join(rows))
        (folder / "model.cfg").write_text("[net]\nwidth=32\nheight=32\n[softmax]\n")
        (folder / "recipe.toml").write_text(recipe)
        return folder

    make(
        "a-001",
        "2026-01-01T00:00:00",
        0.01,
        "one",
        ["10,2.0,,\n", "20,1.5,0.4,1.9\n", "30,1.6,0.3,nan\n"],
        recipe='name = "best"\nmixup = 0.2\n',
    )
    make("b-001", "2026-01-02T00:00:00", 0.001, "one", ["10,1.9,0.6,1.2\n"], recipe='name = "best"\nmixup = 0.4\n')
    make("c-001", "2026-01-03T00:00:00", 0.001, "two", [], verdict="interrupted")
    (tmp_path / "runs" / "d").mkdir()
    (tmp_path / "runs" / "d" / "run.json").write_text("{")
    return tmp_path / "runs"


def test_what_runs_were_and_how_good(runs):
    found, faults = experiments.read_runs(runs)
    assert [run.name for run in found] == ["c-001", "b-001", "a-001"] and len(faults) == 1 and "d" in faults[0]
    c, b, a = found
    assert a.figures == {"loss": 1.5, "top1": 0.4, "valid_loss": 1.9} and c.figures == {}
    assert a.data == b.data != c.data and len(a.data) == 8
    assert experiments.differing(found) == {"learning_rate": [0.001, 0.001, 0.01], "recipe.mixup": [None, 0.4, 0.2]}
    assert experiments.differing([a]) == {}


def test_order(runs):
    found, _ = experiments.read_runs(runs)
    assert [run.name[0] for run in experiments.ordered(found, "top1")] == ["b", "a", "c"]
    assert [run.name[0] for run in experiments.ordered(found, "loss")] == ["a", "b", "c"]
    assert [run.name[0] for run in experiments.ordered(found, "learning_rate")] == ["c", "b", "a"]
    assert [run.name[0] for run in experiments.ordered(found, "run")] == ["a", "b", "c"]


def test_no_runs(tmp_path):
    with pytest.raises(UsageError, match="no such folder"):
        experiments.read_runs(tmp_path / "nothing")
    assert experiments.read_runs(tmp_path) == ([], [])
    with pytest.raises(RunError, match="not a run folder"):
        experiments.read_run(tmp_path)


def test_mlflows_file_store(runs, tmp_path):
    pytest.importorskip("mlflow", reason="the extra `mlflow` is not installed")
    from mlflow.tracking import MlflowClient

    from darknet_runner.run.mlflow_log import log_run

    log_run(runs / "a-001", str(tmp_path / "store"))
    number = log_run(runs / "a-001", str(tmp_path / "store"))  # again: in its place
    log_run(runs / "c-001", str(tmp_path / "store"))
    client = MlflowClient((tmp_path / "store").absolute().as_uri())
    experiment = client.get_experiment_by_name("emo").experiment_id
    assert {run.info.run_name: run.info.status for run in client.search_runs([experiment])} == {
        "a-001": "FINISHED",
        "c-001": "KILLED",
    }
    run = client.get_run(number)
    assert (
        run.data.params["learning_rate"] == "0.01"
        and run.data.params["recipe.mixup"] == "0.2"
        and run.data.metrics["top1"] == 0.3
    )
    assert [(point.step, point.value) for point in client.get_metric_history(number, "loss")] == [
        (10, 2.0),
        (20, 1.5),
        (30, 1.6),
    ]
    assert {file.path for file in client.list_artifacts(number)} >= {"run.json", "model.cfg", "metrics.csv"}
