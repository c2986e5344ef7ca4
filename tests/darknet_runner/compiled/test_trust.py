"""Only a program that the user named, or that lies in a system's place, is run: a folder from elsewhere runs
nothing.
"""

import json
from pathlib import Path

import pytest

from converters.errors import RunError
from darknet_runner.compiled import binary
from emotion.cli import main


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty current folder, a HOME, and no Darknet on the PATH or in the system's places."""
    for name in ("here", "home", "bin"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.delenv("EMO_DARKNET", raising=False)
    monkeypatch.setattr(binary, "SYSTEM_PLACES", ())
    return tmp_path / "here"


def spy(path, trace):
    """A program that leaves a trace when it is run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho ran >> {trace}\necho Not an option: version >&2\n")
    path.chmod(0o755)
    return path


def emo(capsys, *args):
    with pytest.raises(SystemExit) as ended:
        main([str(arg) for arg in args])
    told = capsys.readouterr()
    assert "Traceback" not in told.err
    return ended.value.code, told.out, told.err


@pytest.mark.parametrize(
    "place", ["here/darknet", "here/darknet/darknet", "home/darknet/darknet", "home/darknet/build/darknet"]
)
def test_what_lies_about_is_told_and_not_run(place, here, capsys):
    program = spy(here.parent / place, here.parent / "trace")
    assert binary.find() is None
    code, _, err = emo(capsys, "darknet", "info")
    shown = (
        "./" + str(program.relative_to(here))
        if here in program.parents
        else "~/" + str(program.relative_to(here.parent / "home"))
    )
    assert code == 1 and f"--darknet {shown} runs the one there" in err
    assert not (here.parent / "trace").exists()
    assert emo(capsys, "darknet", "info", "--darknet", program)[0] == 0 and (here.parent / "trace").exists()


@pytest.mark.parametrize("path", ["", ".", ":", ".:bin", "::/nowhere"])
def test_a_path_that_holds_the_current_folder(path, here, monkeypatch):
    spy(here / "darknet", here / "trace")
    spy(here / "bin" / "darknet", here / "trace")
    monkeypatch.setenv("PATH", path)
    assert binary.find() is None


def run_folder(here, program, **changes):
    run = here / "runs" / "x-001"
    (run / "weights").mkdir(parents=True)
    (run / "weights" / "model_last.weights").write_bytes(bytes(20))
    told = {
        "engine": "compiled",
        "data": "x.data",
        "settings": {"darknet": str(program), "engine": "compiled"},
        "binary": {"path": str(program)},
    }
    (run / "run.json").write_text(json.dumps(told | changes))
    return run


@pytest.mark.parametrize(
    "more",
    [[], ["--dry-run"], ["--print-command"], ["--engine", "compiled"], ["--engine", "auto", "--dry-run"]],
    ids=" ".join,
)
def test_a_run_folder_names_no_program(more, here, capsys):
    program = spy(here.parent / "theirs" / "evil", here.parent / "trace")
    run = run_folder(here, program)
    code, out, err = emo(capsys, "darknet", "train", "--resume", run, *more)
    assert code == 1 and not (here.parent / "trace").exists() and not out
    if more[:1] != ["--engine"]:
        assert (
            f"was trained with {program}" in err
            and f"--darknet {program} does, if you trust it" in err
            and err.count("\n") == 1
        )


def test_a_pipelines_folder_names_no_program(here, capsys):
    program = spy(here.parent / "theirs" / "evil", here.parent / "trace")
    plan = {
        "classifier": "darknet-ref",
        "detector": "v3-tiny",
        "classifier_data": "a.data",
        "detector_data": "b.data",
        "engine": {"engine": "compiled", "darknet": str(program)},
    }
    (here / "p").mkdir()
    (here / "p" / "pipeline.json").write_text(json.dumps({"plan": plan, "done": {}, "runs": {}}))
    code, _, err = emo(capsys, "darknet", "pipeline", "--resume", "p")
    assert code == 1 and f"was trained with {program}" in err and not (here.parent / "trace").exists()


def test_the_one_of_the_system_goes_on_by_itself(here, monkeypatch):
    program = spy(here.parent / "bin" / "darknet", here.parent / "trace")
    assert binary.find_again(str(program), "run") == program == binary.find_again(None, "run")
    other = spy(here.parent / "mine" / "darknet", here.parent / "trace")
    with pytest.raises(RunError, match="does not run only because a file names it"):
        binary.find_again(str(other), "run")
    monkeypatch.setenv("EMO_DARKNET", str(other))
    assert binary.find_again(str(program), "run") == other


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "is not JSON"),
        ("[]", "it is a list; wanted: a table"),
        ("{}", "has no 'engine'"),
        ('{"engine": "builtin", "data": "x"}', "has no 'settings'"),
        ('{"engine": 1, "data": "x", "settings": {}}', "'engine' is a whole number; wanted: text"),
        ('{"engine": "builtin", "data": ["x"], "settings": {}}', "'data' is a list; wanted: text"),
        ('{"engine": "magic", "data": "x", "settings": {}}', "'engine' is 'magic'"),
        ('{"engine": "builtin", "data": "x", "settings": []}', "'settings' is a list; wanted: a table"),
        ('{"engine": "builtin", "data": "x", "settings": {}, "binary": "/bin/x"}', "'binary' is text; wanted: a table"),
        (
            '{"engine": "compiled", "data": "x", "settings": {}, "binary": {"path": 3}}',
            "'binary.path' is a whole number",
        ),
        (
            '{"engine": "builtin", "data": "x.data", "settings": {"seed": "many"}}',
            "settings.seed = 'many' is not a value of --seed",
        ),
        ('{"engine": "builtin", "data": "x.data", "settings": {"ema": [1]}}', "settings.ema"),
        ('{"engine": "builtin", "data": "x.data", "settings": {"evaluate": 3}}', "settings.evaluate"),
        ('{"engine": "builtin", "data": "x.data", "settings": {"gpus": "a"}}', "settings.gpus"),
        ('{"engine": "builtin", "data": "x.data", "settings": {"gpus": 3}}', "settings.gpus"),
    ],
)
def test_a_run_json_that_does_not_hold_what_it_must(content, words, here, capsys):
    run = run_folder(here, "x")
    (run / "run.json").write_text(content)
    code, _, err = emo(capsys, "darknet", "train", "--resume", run)
    assert code == 1 and words in err and str(run) in err and err.count("\n") == 1, err


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"plan": None}, "'plan' is nothing"),
        ({"plan": {}}, "has no 'plan.classifier'"),
        ({"done": []}, "'done' is a list"),
        ({"done": {"cut-off": {}}}, "has no 'done.cut-off.layers'"),
        ({"runs": {"classifier": "../../elsewhere"}}, "wanted: the name of a folder in it"),
        ({"job": {"nonsense": 1}}, "'plan.job.nonsense' is not a setting"),
        ({"seed": "x"}, "'plan.seed' is text"),
        ({"engine": {"engine": "magic"}}, "'plan.engine.engine' is 'magic'"),
    ],
)
def test_a_pipeline_json_that_does_not_hold_what_it_must(changes, words, here, capsys):
    plan = {
        "classifier": "darknet-ref",
        "detector": "v3-tiny",
        "classifier_data": "a.data",
        "detector_data": "b.data",
        "engine": {"engine": "auto", "darknet": None},
    }
    content = {"plan": plan, "done": {}, "runs": {}}
    content |= changes if changes.keys() <= content.keys() else {"plan": plan | changes}
    Path("p").mkdir()
    Path("p/pipeline.json").write_text(json.dumps(content))
    code, _, err = emo(capsys, "darknet", "pipeline", "--resume", "p")
    assert code == 1 and words in err and err.count("\n") == 1, err
