"""`emo train` and `emo recipes` as a user types them: recipes, further training, searches; drawn pictures, seconds."""

import csv
import json
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from emotion.cli import main

pytest.importorskip("torch", reason="training needs PyTorch")

NET = (Path(__file__).parents[2] / "cfg" / "classifier-command.cfg").read_text()
QUICK = ("--batch", "12", "--threads", "1", "--device", "cpu", "--quiet")


@pytest.fixture
def emo(capsys):
    def run(*words):
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
        out, err = capsys.readouterr()
        return ended.value.code, out, err

    return run


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with net.cfg and faces/train|valid/Happy|Sad|Fear: dark, grey and bright pictures."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EMO_DARKNET", raising=False)
    rng = np.random.default_rng(2)
    for split, count in (("train", 24), ("valid", 12)):
        for index in range(count):
            kind = index % 3
            path = tmp_path / "faces" / split / ("Happy", "Sad", "Fear")[kind] / f"{index:02d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), rng.integers(kind * 80, kind * 80 + 40, (16, 16), np.uint8))
    (tmp_path / "net.cfg").write_text(NET)
    return tmp_path


def test_a_folder_of_pictures_is_trained_on_by_the_default_recipe(emo, folder):
    code, out, err = emo("train", "net.cfg", "--data", "faces", "--epochs", "3", "--json", *QUICK)
    assert code == 0, err
    told = json.loads(out)
    run = folder / told["run"]
    assert told["verdict"] == "finished" and told["engine"] == "builtin" and "top1" in told["best"]
    assert 'name = "best"' in (run / "recipe.toml").read_text() and "ema = 0.999" in (run / "recipe.toml").read_text()
    with open(run / "metrics.csv", newline="") as file:
        assert [row["epoch"] for row in csv.DictReader(file) if row["top1"]] == ["1", "2", "3"]
    assert (run / "chart.png").is_file()
    # Seven classes, as everywhere, though the folder shows three of them.
    assert (run / "emo.names").read_text().split() == [
        "Neutral",
        "Happy",
        "Sad",
        "Surprise",
        "Fear",
        "Disgust",
        "Anger",
    ]


@pytest.mark.parametrize("fast", [False, True])
def test_bfloat16_that_would_be_slow_is_told(emo, folder, monkeypatch, fast):
    monkeypatch.setattr("darknet_runner.training.has_bfloat16", lambda device: fast)
    *loud, _ = QUICK
    code, _, err = emo("train", "net.cfg", "--data", "faces", "--epochs", "1", "--amp", *loud)
    assert code == 0 and ("--amp makes training slower here" in err) is not fast


def test_settings_of_a_recipe_are_overruled_in_every_way(emo, folder):
    (folder / "mine.toml").write_text(
        "# mine\nepochs = 2\nlearning_rate = 0.5\noptimizer = 'adamw'\nschedule = 'constant'\naugment = 'recipe'\n"
    )
    code, out, err = emo(
        "train",
        "net.cfg",
        "--data",
        "faces",
        "--recipe",
        "mine.toml",
        "--set",
        "lr=0.004",
        "--set",
        "dropout=0.1",
        "--optimizer",
        "adam",
        "--json",
        *QUICK,
    )
    assert code == 0, err
    run = folder / json.loads(out)["run"]
    told = (run / "recipe.toml").read_text()
    assert "learning_rate = 0.004" in told and 'optimizer = "adam"' in told and "dropout = 0.1" in told
    cfg = (run / "model.cfg").read_text()
    assert "batch=12" in cfg and "probability=0.1" in cfg and "max_batches=4" in cfg and "learning_rate=0.004" in cfg


def test_a_dropout_that_changes_nothing_is_told(emo, folder):
    plain = NET.replace("[dropout]\nprobability=.3\n", "")
    for text, told in ((plain, True), (NET, False)):
        (folder / "net.cfg").write_text(text)
        code, _, err = emo("train", "net.cfg", "--data", "faces", "--set", "dropout=0.1", "--dry-run", *QUICK[:-1])
        assert code == 0 and ("net.cfg has no [dropout]" in err) is told, err


def test_a_run_of_somebody_elses_sends_nothing_to_its_mlflow(emo, folder):
    code, out, err = emo("train", "net.cfg", "--data", "faces", "--epochs", "1", "--json", *QUICK)
    assert code == 0, err
    run = folder / json.loads(out)["run"]
    info = json.loads((run / "run.json").read_text())
    info["settings"]["mlflow"] = "http://127.0.0.1:9/theirs"
    (run / "run.json").write_text(json.dumps(info))
    cfg = (run / "model.cfg").read_text()
    (run / "model.cfg").write_text(
        re.sub(r"max_batches *= *(\d+)", lambda found: f"max_batches={int(found[1]) + 1}", cfg)
    )
    code, out, err = emo("train", "--resume", run)
    assert code == 0 and "will not be logged to MLflow" in err and "127.0.0.1" not in out + err


def test_a_run_goes_on_at_a_tenth_of_its_rate(emo, folder):
    code, out, err = emo(
        "train",
        "net.cfg",
        "--data",
        "faces",
        "--epochs",
        "2",
        "--set",
        "lr=0.02",
        "--set",
        "schedule=constant",
        "--set",
        "warmup_epochs=0",
        "--json",
        *QUICK,
    )
    assert code == 0, err
    first = folder / json.loads(out)["run"]
    code, out, err = emo("train", "--continue", first, "--epochs", "2", "--json", *QUICK)
    assert code == 0, err
    second = folder / json.loads(out)["run"]
    assert "learning_rate = 0.002" in (second / "recipe.toml").read_text() and second != first
    info = json.loads((second / "run.json").read_text())
    assert info["started_from"]["path"].endswith("model_last.weights")
    code, _, err = emo("train", "net.cfg", "--continue", first)
    assert code == 2 and "takes its network from RUN" in err


ROOT = Path(__file__).parents[3]
HOLD = """if 1:
    import pathlib, sys
    from converters.output_folder import locked
    with locked(pathlib.Path(sys.argv[1])):
        print("held", flush=True)
        sys.stdin.read()
"""


def test_a_grid_from_the_command_line(emo, folder):
    pytest.importorskip("optuna", reason="the search needs Optuna")
    code, out, err = emo(
        "train",
        "net.cfg",
        "--data",
        "faces",
        "--epochs",
        "2",
        "--grid",
        "lr=0.05,0.005",
        "--grid",
        "optimizer=sgd,adam",
        *QUICK[:-1],
    )
    assert code == 0, err
    told = [line.split(":")[0] for line in err.splitlines() if line.startswith("trial ")]
    assert told == [f"trial {number} ({number} of 4 done)" for number in (1, 2, 3, 4)]
    assert sorted(line.split()[0] for line in out.splitlines()[1:5]) == ["1", "2", "3", "4"]
    assert out.count("\n") == 6 and "best.toml" in out  # a head, four trials, the best
    (search,) = (folder / "runs").glob("*-search-*")
    assert {"search.json", "study.db", "trials.csv", "trials.png", "best.toml", "trials"} <= {
        path.name for path in search.iterdir()
    }
    held = subprocess.Popen(
        [sys.executable, "-c", HOLD, search], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, text=True
    )
    assert held.stdout.readline() == "held\n"
    code, _, err = emo("train", "--resume", search)
    held.communicate()
    assert code == 1 and "another emo is writing" in err.splitlines()[-1], err
    code, out, err = emo("train", "--resume", search, "--json")
    assert code == 0 and len(json.loads(out)["trials"]) == 4, err
    assert len(list((search / "trials").iterdir())) == 4, "nothing was trained again"
    code, _, err = emo("train", "net.cfg", "--data", "faces", "--recipe", search / "best.toml", *QUICK)
    assert code == 0, err
    (search / "search.json").write_text('{"network": 3}')
    code, _, err = emo("train", "--resume", search)
    assert code == 1 and "search.json" in err and "Traceback" not in err


def test_a_storages_password_is_written_nowhere_and_asked_for_again(emo, folder, monkeypatch):
    """SQLite has none, but takes a query, which is left out just the same."""
    pytest.importorskip("optuna", reason="the search needs Optuna")
    storage = f"sqlite:///{folder}/shared.db?timeout=37"
    mlflow = ("--mlflow", "http://me:s3cret@localhost:1")
    words = ("--data", "faces", "--epochs", "1", "--grid", "lr=0.05", "--storage", storage, *mlflow)
    code, _, err = emo("train", "net.cfg", *words, *QUICK)
    assert code == 0, err
    (search,) = (folder / "runs").glob("*-search-*")
    records = [path.read_text() for path in search.rglob("*") if path.suffix in (".json", ".toml", ".csv")]
    assert len(records) > 4 and not [text for text in records if "timeout=37" in text or "s3cret" in text]
    assert f"sqlite:///{folder}/shared.db" in (search / "search.json").read_text()
    code, _, err = emo("train", "--resume", search)
    assert code == 2 and "EMO_TRAIN_STORAGE" in err and err.count("\n") == 1, err
    code, _, err = emo("train", "--resume", search, "--storage", "sqlite:///other.db?timeout=37")
    assert code == 2 and "the search is kept at" in err and not (folder / "other.db").exists(), err
    monkeypatch.setenv("EMO_TRAIN_STORAGE", storage)
    code, out, err = emo("train", "--resume", search, "--json")
    assert code == 0 and len(json.loads(out)["trials"]) == 1, err
    code, _, err = emo("train", "--resume", search / "trials" / "trial-001")
    assert code == 2 and "--storage belongs to" in err, err


@pytest.mark.parametrize(
    "words, code, said",
    [
        (("--grid", "lr=0.1", "--grid", "lr=0.2"), 2, "twice"),
        (("--grid", "lrate=0.1"), 2, "learning_rate"),
        (("--trials", "3"), 2, "--search"),
        (("--set", "lr=fast"), 2, "a number"),
        (("--set", "speed=1"), 2, "there is no setting"),
        (("--recipe", "bst"), 2, "best"),
        (("--recipe", "no.toml"), 1, "no.toml"),
        (("--grid", "lr=0.1..1"), 2, "--search tpe"),
        (("--monitor", "map"), 2, "map"),
        (("--freeze-until", "9"), 1, "layer"),
        (("--search", "tpe", "--dry-run"), 2, "--dry-run"),
    ],
)
def test_what_cannot_be_is_one_line_and_leaves_nothing(emo, folder, words, code, said):
    found, _out, err = emo("train", "net.cfg", "--data", "faces", *words, *QUICK)
    assert found == code and said in err and "Traceback" not in err, err
    assert not list(folder.glob("runs/*/weights/*.weights"))


def test_recipes_are_listed_and_shown(emo):
    code, out, _ = emo("recipes", "list")
    assert code == 0 and [line.split()[0] for line in out.splitlines()] == [
        "best",
        "darknet",
        "ssd-cnn",
        "tencrop",
        "transfer",
        "vgg-noise",
    ]
    code, out, _ = emo("recipes", "show", "vgg-noise")
    assert code == 0 and out.startswith("# A VGG") and "standardise = true" in out
    code, out, _ = emo("recipes", "show", "best", "--set", "mixup=0.4")
    assert code == 0 and "mixup = 0.4" in out
    code, out, _ = emo("recipes", "show", "tencrop", "--json")
    assert json.loads(out)["crop_from"] == 48
    code, _, err = emo("recipes", "show", "bets")
    assert code == 2 and "best" in err
