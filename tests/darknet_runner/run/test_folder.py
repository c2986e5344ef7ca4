"""A run's folder: metrics.csv goes on where the run does, run.json says how it ended."""

import json
from pathlib import Path

import pytest

from converters.errors import RunError
from darknet_runner.run.folder import RunDir

HEAD = 'iteration,loss,"ap_a,b"\n'


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (HEAD + "1,0.5,\n2,0.4,0.1\n3,0.3,\n", HEAD + "1,0.5,\n2,0.4,0.1\n"),
        (HEAD + "1,0.5,\n2,0.4,0.1\n", HEAD + "1,0.5,\n2,0.4,0.1\n"),
        (HEAD + "1,0.5,\n2,0.4,0", HEAD + "1,0.5,\n"),  # a torn number that looks whole
        (HEAD + "1,0.5,\n2,0.\n2,0.4,0.1\n", HEAD + "1,0.5,\n2,0.4,0.1\n"),
        (HEAD + "1,0.5,\n\x00\x00\x00\n2,0.4,\n", HEAD + "1,0.5,\n2,0.4,\n"),
        (HEAD, HEAD),
        ("iteration,lo", None),
        ("", None),
    ],
)
def test_metrics_past_the_iteration_and_torn_lines_go(text, kept, tmp_path):
    run = RunDir(tmp_path)
    run.metrics.write_text(text)
    run.trim_metrics(2)
    assert (run.metrics.read_text() if run.metrics.exists() else None) == kept
    run.append_metrics({"iteration": 3, "loss": 0.1, "ap_a,b": 1})
    assert run.metrics.read_text().endswith("3,0.1,1\n")


def test_the_verdict_is_written_also_where_nothing_else_can_be(tmp_path, monkeypatch):
    run = RunDir(tmp_path)
    run.write_json(verdict="running", engine="builtin")
    run.end("failed", "the reason", iterations=7)
    assert {key: run.read_json()[key] for key in ("verdict", "reasons", "iterations", "engine")} == {
        "verdict": "failed",
        "reasons": ["the reason"],
        "iterations": 7,
        "engine": "builtin",
    }
    run.write_json(verdict="running")

    def full(*args, **more):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(RunDir, "write_json", full)
    run.end("failed", "the reason")
    assert json.loads((tmp_path / "run.json").read_text())["verdict"] == "failed"


@pytest.mark.parametrize("content", ["", "[]", '{"verdict": 3}', "{" * 5000, '{"loss": "x"}', '{"binary": 3}'])
def test_a_run_json_that_does_not_hold_what_it_must(content, tmp_path):
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(RunError) as fault:
        RunDir(tmp_path).read_json()
    assert str(fault.value).startswith(str(tmp_path / "run.json")) and "\n" not in str(fault.value)


def test_no_record_of_a_run_holds_a_password(tmp_path):
    """Whoever writes it: settings, words of the command line, reasons; a path is no address, whatever it looks like."""
    run, secret = RunDir(tmp_path), "postgresql+psycopg2://me:p@ss/w@host/db?sslkey=p@ss"
    run.write_json(settings={"mlflow": secret, "deep": [{"x": Path(secret)}]}, argv=["emo", f"--mlflow={secret}"])
    run.end("failed", f"cannot reach {secret}", data="/data/set:/a@b?c/emo.data", loss=float("nan"))
    text = (tmp_path / "run.json").read_text()
    assert "p@ss" not in text and "me:" not in text and text.count("host/db") == 4
    assert run.read_json()["data"] == "/data/set:/a@b?c/emo.data" and run.read_json()["loss"] is None


def test_the_data_is_found_from_anywhere(tmp_path, monkeypatch):
    """Absolute, relative to the run folder, or, as older runs have it, to the current folder."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "emo.data").touch()
    run = RunDir(tmp_path / "runs" / "x-001")
    run.path.mkdir(parents=True)
    for told, where in (
        (tmp_path / "data" / "emo.data", "/"),
        ("../../data/emo.data", "/"),
        ("data/emo.data", tmp_path),
    ):
        monkeypatch.chdir(where)
        run.write_json(data=str(told))
        assert run.data_file().samefile(tmp_path / "data" / "emo.data")
    run.write_json(data="gone.data")
    assert str(run.data_file()) == "gone.data"
