"""`emo models` in a folder with one whole run and one whose weights are cut."""

import json
import re
import shutil

import pytest

from darknet_runner.run import folder as run_folder
from emotion.cli import main
from emotion.systems import models


@pytest.fixture
def emo(tmp_path, monkeypatch, capsys, detector_folder):
    monkeypatch.chdir(tmp_path)
    for name in ("whole", "cut"):
        run = run_folder.create(tmp_path / "runs", name)
        shutil.copy(detector_folder / "model.cfg", run.cfg)
        shutil.copy(detector_folder / "emo.names", run.names)
        run.weights.mkdir(exist_ok=True)
        data = (detector_folder / "model.weights").read_bytes()
        (run.weights / "model_best.weights").write_bytes(data if name == "whole" else data[:-4])
        (run.path / "run.json").write_text("{}")
    (run_folder.create(tmp_path / "runs", "empty").path / "run.json").write_text("{}")

    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        printed = capsys.readouterr()
        return ended.value.code or 0, printed.out, printed.err

    return run


def test_what_ships_and_what_was_trained_here(emo):
    code, out, _ = emo("models", "list")
    lines = {line.split()[0]: line for line in out.splitlines()[1:]}
    assert code == 0 and set(lines) == {*models.shipped(), "runs/whole-001", "runs/cut-001"}
    assert (
        "detector" in lines["runs/whole-001"]
        and "64x64" in lines["runs/whole-001"]
        and "bytes" in lines["runs/cut-001"]
    )
    assert re.search(r"top-1 \d\d\.\d%, .*fer", lines["emo-s"])
    found = {one["name"]: one for one in json.loads(emo("models", "list", "--json")[1])}
    assert (
        found["emo-v4-nano"]["metrics"] and "fault" in found["runs/cut-001"] and found["runs/whole-001"]["classes"] == 7
    )


def test_verify_tells_what_is_not_whole(emo):
    code, out, _ = emo("models", "verify")
    assert code == 1 and "runs/whole-001: whole\n" in out and "runs/cut-001: " in out and "emo-s: whole\n" in out
    assert emo("models", "verify", "emo-s", "runs/whole-001") == (0, "emo-s: whole\nruns/whole-001: whole\n", "")
    code, out, _ = emo("models", "verify", "nobody", "--json")
    assert code == 1 and "there is no model 'nobody'" in json.loads(out)["nobody"]


def test_a_card_is_shown(emo):
    code, out, _ = emo("models", "show", "emo-s")
    card = models.find("emo-s", None).card
    assert (
        code == 0
        and f"sha256: {card['sha256']}\n" in out
        and "classes: Neutral, Happy" in out
        and "metrics (fer2013 PublicTest): faces" in out
    )
    assert json.loads(emo("models", "show", "emo-s", "--json")[1])["card"] == card
    code, _, err = emo("models", "show", "nobody")
    assert code == 2 and err.startswith("emo: there is no model 'nobody'")
