"""`emo darknet ...` as a user calls it, with Debian's darknet."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from converters.darknet_format.files import write_data
from darknet_runner.signals import STOPS
from emotion.cli import main
from emotion.systems.models import shipped

LOGS = Path(__file__).parents[2] / "darknet_runner" / "compiled" / "fixtures"
NAMES = ("Neutral", "Happy", "Sad")


@pytest.fixture
def debian():
    import shutil

    from darknet_runner.compiled import binary

    found = shutil.which("darknet")
    if not found or binary.probe(found).flavour != "pjreddie":
        pytest.skip("Debian's darknet is not installed")
    return found


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with data/emo.data: eight pictures of one box each."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("EMO_DARKNET", raising=False)
    rng, data = np.random.default_rng(0), tmp_path / "data"
    data.mkdir()
    paths = [data / f"{number}.jpg" for number in range(8)]
    for number, path in enumerate(paths):
        cv2.imwrite(str(path), rng.integers(0, 255, (64, 64, 3), np.uint8))
        path.with_suffix(".txt").write_text(f"{number % 3} 0.5 0.5 0.5 0.5\n")
    (data / "train.txt").write_text("".join(f"{path}\n" for path in paths))
    (data / "emo.names").write_text("\n".join(NAMES) + "\n")
    write_data(data / "emo.data", classes=3, train="train.txt", valid="train.txt", names="emo.names")
    text = (Path(__file__).parents[2] / "cfg" / "detector-binary.cfg").read_text()
    (tmp_path / "small.cfg").write_text(text.format(iterations=4))
    return tmp_path


def emo(capsys, *args):
    """Exit code, stdout, stderr."""
    with pytest.raises(SystemExit) as ended:
        main([str(arg) for arg in args])
    told = capsys.readouterr()
    assert "Traceback" not in told.err
    return ended.value.code, told.out, told.err


def test_train_valid_test_and_partial(folder, debian, capsys):
    code, out, err = emo(capsys, "darknet", "train", "--cfg", "small.cfg", "--engine", "compiled", "--json")
    told = json.loads(out)
    assert code == 0 and (told["engine"], told["verdict"], told["iterations"]) == ("compiled", "finished", 4)
    assert "as asked" in err
    run = told["run"]
    code, out, _ = emo(capsys, "darknet", "map", run, "--engine", "compiled", "--json")
    assert code == 0 and json.loads(out)["settings"]["pictures"] == 8
    code, out, _ = emo(capsys, "darknet", "valid", run, "--engine", "compiled")
    assert code == 0 and "mAP@0.5" in out and "input 64x64" in out
    code, out, _ = emo(capsys, "darknet", "test", "data/0.jpg", "--run", run, "--engine", "compiled", "--conf", "0.01")
    assert code == 0 and out.startswith("data/0.jpg:")
    weights = f"{run}/weights/model_final.weights"
    assert emo(capsys, "darknet", "partial", f"{run}/model.cfg", weights, "a.conv", 3, "--engine", "compiled")[0] == 0
    assert emo(capsys, "darknet", "partial", f"{run}/model.cfg", weights, "b.conv", 3, "--engine", "builtin")[0] == 0
    assert Path("a.conv").read_bytes()[20:] == Path("b.conv").read_bytes()[20:]
    code, _, err = emo(capsys, "darknet", "partial", f"{run}/model.cfg", weights, "b.conv", 3)
    assert code == 2 and "exists already" in err
    code, _, err = emo(capsys, "darknet", "top-k", run)
    assert code == 2 and "is a detector" in err


def test_partial_takes_every_model_that_ships_by_its_name(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name, folder in shipped().items():
        code, out, err = emo(capsys, "darknet", "partial", name, name, f"{name}.conv", 3)
        assert code == 0 and out.startswith(f"{name}.conv: layers 0 to 2"), (name, err)
        part, whole = Path(f"{name}.conv").read_bytes(), (folder / "model.weights").read_bytes()
        assert 20 < len(part) < len(whole) and part[20:] == whole[20 : len(part)], name


def test_all_faults_at_once_and_nothing_is_left(folder, debian, capsys):
    (folder / "data" / "0.jpg").unlink()
    (folder / "data" / "1.txt").write_text("9 0.5 0.5 0.5 0.5\n")
    (folder / "data" / "2.jpg").write_bytes(b"")
    code, _, err = emo(capsys, "darknet", "train", "--cfg", "small.cfg", "--engine", "compiled", "--net", "width=60")
    assert code == 1
    for said in (
        "width=60 is not a multiple of 32",
        "0.jpg: ",
        "1.txt:1: class 9 is not in 0..2",
        "2.jpg: is empty",
        "nothing was started",
    ):
        assert said in err, err
    assert not list(Path("runs").glob("*"))


def test_print_command_and_dry_run_leave_nothing(folder, debian, capsys):
    code, out, err = emo(
        capsys,
        "darknet",
        "train",
        "--cfg",
        "v4-tiny",
        "--pretrained",
        "csdarknet53.conv.105",
        "--map",
        "--gpus",
        "0,1",
        "--clear",
        "--print-command",
    )
    assert (
        code == 0
        and out.strip() == f"{debian} detector train feed/feed.data model.cfg feed/start.weights -gpus 0,1 -clear"
    )
    assert "groups in [route]" in err and "built without GPU" in err
    code, out, _ = emo(capsys, "darknet", "train", "--cfg", "small.cfg", "--dry-run", "--engine", "compiled")
    assert code == 0 and out.startswith("would train small.cfg on data/emo.data with pjreddie/darknet")
    assert not list(Path("runs").glob("*"))


def test_a_binary_that_cannot(folder, debian, capsys):
    code, _, err = emo(capsys, "darknet", "train", "--cfg", "v4-tiny", "--engine", "compiled")
    assert code == 1 and "cannot do groups in [route]" in err and "--engine builtin" in err
    code, _, err = emo(capsys, "darknet", "train", "--cfg", "small.cfg", "--darknet", "nowhere")
    assert code == 1 and "no such program" in err


def test_info(folder, debian, capsys):
    code, out, _ = emo(capsys, "darknet", "info", "--cfg", "v4-tiny")
    assert (
        code == 0
        and "pjreddie/darknet" in out
        and "GPU no" in out
        and "groups in [route]: would be another network" in out
    )
    assert (
        "trains    v4-tiny: no: pjreddie/darknet cannot do groups in [route]" in out
        and "evaluates v4-tiny: no: " in out
    )
    code, out, _ = emo(capsys, "darknet", "info", "--cfg", "face-small", "--json")
    told = json.loads(out)
    assert code == 0 and "channels=1" in told["cannot_train"][0] and told["cannot_evaluate"] == []
    code, out, _ = emo(capsys, "darknet", "info", "--json")
    told = json.loads(out)
    assert told["flavour"] == "pjreddie" and "train-classifier" in told["commands"] and told["lacks"] == []
    code, _, err = emo(capsys, "darknet", "info", "--darknet", sys.executable)
    assert code == 1 and "is not a Darknet that emo knows" in err


@pytest.mark.parametrize(
    "name, best",
    [("alexey-detector", 0.470606), ("hank-detector", 0.469), ("alexey-classifier", None), ("debian-classifier", None)],
)
def test_log(folder, capsys, name, best):
    code, out, _ = emo(capsys, "darknet", "log", LOGS / f"{name}.log", "--out", "report", "--json")
    told = json.loads(out)
    assert code == 0 and told["iterations"] == 230
    assert best is None or told["best"]["map"] == pytest.approx(best)
    assert len(Path(told["csv"]).read_text().splitlines()) == told["rows"] + 1
    assert cv2.imread(told["chart"]) is not None
    code, _, err = emo(capsys, "darknet", "log", LOGS / f"{name}.log", "--out", "report")
    assert code == 2 and "--force" in err


def test_anchors(folder, capsys):
    code, out, _ = emo(capsys, "darknet", "anchors", "--num", 1, "--size", 64)
    assert code == 0 and out.strip() == "anchors = 32,32"


def test_usage(folder, capsys):
    assert "pipeline" in emo(capsys, "darknet", "--help")[1]
    for args, said in (
        (("train",), "name a network to train"),
        (("valid",), "no network is named"),
        (("partial", "a", "b", "c"), "LAYERS or --for"),
        (("train", "--cfg", "small.cfg", "--gpus", "a,b"), "not a list of numbers"),
        (("tran",), "did you mean 'train'"),
        (("pipeline", "--classifier", "darknet-ref"), "--classifier and --detector"),
        (("pipeline", "--classifier", "darknet-ref", "--detector", "v3-tiny"), "it takes one of each"),
    ):
        code, _, err = emo(capsys, "darknet", *args)
        assert code in (1, 2) and said in err, err


@pytest.mark.parametrize("number", STOPS)
def test_signals_end_the_run_and_resume_goes_on(folder, debian, number, capsys):
    (folder / "small.cfg").write_text((folder / "small.cfg").read_text().replace("max_batches=4", "max_batches=100000"))
    args = ["darknet", "train", "--cfg", "small.cfg", "--engine", "compiled", "--no-map", "--threads", "1"]
    code = "import sys; from emotion.cli import main; main(sys.argv[1:])"
    running = subprocess.Popen(
        [sys.executable, "-c", code, *args],
        cwd=folder,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    last = folder / "runs" / "small-001" / "weights" / "model_last.weights"
    while not last.exists() and running.poll() is None:
        time.sleep(0.05)
    running.send_signal(number)
    _, err = running.communicate(timeout=120)
    assert running.returncode == 130, err
    assert "continue with: emo train --resume runs/small-001" in err and "Traceback" not in err
    told = json.loads((folder / "runs" / "small-001" / "run.json").read_text())
    assert told["verdict"] == "interrupted" and signal.Signals(number).name in told["reasons"][0]
    cfg = folder / "runs" / "small-001" / "model.cfg"
    cfg.write_text(cfg.read_text().replace("max_batches=100000", f"max_batches={told['iterations'] + 150}"))
    code, out, err = emo(capsys, "darknet", "train", "--resume", "runs/small-001", "--json")
    assert code == 0, out + err
    assert json.loads(out)["iterations"] == told["iterations"] + 150 and "going on with" in err


def test_a_resumed_run_keeps_its_binary_and_its_options(folder, debian, capsys):
    """The one of --darknet, named again, not whichever is found first; what would change the training is refused,
    not passed over.
    """
    own = folder / "mine" / "darknet"
    own.parent.mkdir()
    own.write_text(f'#!/bin/sh\nexec {debian} "$@"\n')
    own.chmod(0o755)
    assert (
        emo(
            capsys,
            "darknet",
            "train",
            "--cfg",
            "small.cfg",
            "--engine",
            "compiled",
            "--no-map",
            "--darknet",
            own,
            "--threads",
            1,
        )[0]
        == 0
    )
    run = folder / "runs" / "small-001"
    os.replace(run / "weights" / "model_final.weights", run / "weights" / "model_last.weights")
    (run / "model.cfg").write_text((run / "model.cfg").read_text().replace("max_batches=4", "max_batches=6"))
    code, _, err = emo(capsys, "darknet", "train", "--resume", run, "--iterations", 9, "--no-map")
    assert code == 2 and "--map, --iterations: a resumed run keeps its own" in err
    code, out, _ = emo(capsys, "darknet", "train", "--resume", run, "--dry-run", "--darknet", debian)
    assert code == 0 and out.endswith(f"{debian}, as asked\n")
    code, _, err = emo(capsys, "darknet", "train", "--resume", run)
    assert code == 1 and f"was trained with {own}" in err, "no other one takes its place unasked"
    code, _, err = emo(capsys, "darknet", "train", "--resume", run, "--darknet", own)
    told = json.loads((run / "run.json").read_text())
    assert code == 0 and told["darknet_argv"][0] == str(own) and told["environment"]["OMP_NUM_THREADS"] == "1"
    assert (told["resumed_at"], told["iterations"]) == (4, 6)


def test_what_saved_nothing_is_not_to_be_resumed(folder, debian):
    (folder / "small.cfg").write_text(
        (folder / "small.cfg").read_text().replace("width=64", "width=1024").replace("height=64", "height=1024")
    )
    code = "import sys; from emotion.cli import main; main(sys.argv[1:])"
    args = [
        "darknet",
        "train",
        "--cfg",
        "small.cfg",
        "--engine",
        "compiled",
        "--no-map",
        "--threads",
        "1",
        "--iterations",
        "10000",
    ]
    running = subprocess.Popen(
        [sys.executable, "-c", code, *args],
        cwd=folder,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    metrics = folder / "runs" / "small-001" / "metrics.csv"
    while not metrics.exists() and running.poll() is None:
        time.sleep(0.02)
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=120)
    assert running.returncode == 130 and "nothing was saved: train it again" in err and "go on with" not in err
    assert err.count("Ctrl-C again") == 1


def test_run_json_of_either_engine_has_the_hashes(folder, debian, capsys):
    import hashlib

    for engine, more in (("compiled", ()), ("builtin", ("--workers", "0"))):
        if engine == "builtin":
            pytest.importorskip("torch")
        args = ("--pretrained", "first.weights", "--clear") if Path("first.weights").exists() else ()
        code, out, err = emo(
            capsys, "darknet", "train", "--cfg", "small.cfg", "--engine", engine, "--no-map", "--json", *more, *args
        )
        assert code == 0, err
        run = Path(json.loads(out)["run"])
        told = json.loads((run / "run.json").read_text())
        digests = {
            path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (run / "weights").glob("*.weights")
        }
        assert told["weights"] == digests and "model_final.weights" in digests
        assert told["hashes"]["cfg"] == hashlib.sha256((run / "model.cfg").read_bytes()).hexdigest()
        assert told["hashes"]["data"]["train"] == hashlib.sha256(Path("data/train.txt").read_bytes()).hexdigest()
        assert (told["started_from"] or {}).get("sha256") == (
            hashlib.sha256(Path("first.weights").read_bytes()).hexdigest() if args else None
        )
        Path("first.weights").write_bytes((run / "weights" / "model_final.weights").read_bytes())


def test_a_pipeline_that_goes_on_keeps_its_engine(folder, debian, capsys):
    import shutil

    classifier = (Path(__file__).parents[2] / "cfg" / "classifier-binary.cfg").read_text()
    (folder / "classifier.cfg").write_text(classifier.format(iterations=4))
    (folder / "crops").mkdir()
    rows = []
    for number, name in enumerate(NAMES):
        rows.append(folder / "crops" / f"{name}.png")
        cv2.imwrite(str(rows[-1]), np.full((40, 40, 3), 80 * number, np.uint8))
    (folder / "crops" / "train.txt").write_text("".join(f"{path}\n" for path in rows))
    (folder / "crops" / "labels.txt").write_text("\n".join(NAMES) + "\n")
    write_data(
        folder / "crops" / "emo.data",
        classes=3,
        train="train.txt",
        valid="train.txt",
        names="labels.txt",
        labels="labels.txt",
    )
    code, _, err = emo(
        capsys,
        "darknet",
        "pipeline",
        "--classifier",
        "classifier.cfg",
        "--detector",
        "small.cfg",
        "--data",
        "crops/emo.data",
        "--data",
        "data/emo.data",
        "--engine",
        "compiled",
        "--threads",
        1,
    )
    assert code == 0, err
    state = folder / "runs" / "pipeline-001" / "pipeline.json"
    told = json.loads(state.read_text())
    for step in ("detector", "evaluation"):
        del told["done"][step]
    del told["runs"]["detector"]
    state.write_text(json.dumps(told))
    shutil.rmtree(state.parent / "detector-001")
    code, _, err = emo(capsys, "darknet", "pipeline", "--resume", state.parent, "--detector-size", 96)
    assert code == 2 and "--detector-size: a resumed pipeline keeps its own" in err
    code, out, err = emo(capsys, "darknet", "pipeline", "--resume", state.parent)
    assert (
        code == 0
        and "detector-001 with pjreddie/darknet" in err.replace(str(state.parent) + "/", "")
        and "built-in" not in err
    ), out + err


def test_a_full_disk_at_the_start(folder, debian, capsys):
    """A limit on the files' size stands in for it: the run folder is named, and gone again."""
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
        code, _, err = emo(capsys, "darknet", "train", "--cfg", "small.cfg", "--engine", "compiled")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert code == 1 and "runs/small-001: the run folder cannot be written" in err and not list(Path("runs").glob("*"))


def test_faults_of_the_cfg_are_told_in_the_users_file_and_before_the_pictures(folder, debian, capsys):
    text = (folder / "small.cfg").read_text().replace("mask=0,1,2", "mask=0,1,3")
    (folder / "small.cfg").write_text(text)
    (folder / "short.weights").write_bytes(bytes(100))
    (folder / "data" / "0.jpg").unlink()
    code, _, err = emo(
        capsys,
        "darknet",
        "train",
        "--cfg",
        "small.cfg",
        "--engine",
        "compiled",
        "--pretrained",
        "short.weights",
        "--net",
        "width=60",
    )
    line = text.splitlines().index("mask=0,1,3") + 1
    assert (
        code == 1
        and f"small.cfg:{line}: [yolo] mask=0,1,3" in err
        and "small.cfg: width=60" in err
        and "runs/small-001/model.cfg:" not in err
    )
    assert err.index("mask=0,1,3") < err.index("short.weights: ") < err.index("0.jpg: ")


def test_every_command_has_an_example_in_its_help(capsys):
    from emotion.cli.darknet import COMMANDS

    for name in COMMANDS:
        code, out, _ = emo(capsys, "darknet", name, "--help")
        assert code == 0 and "  emo darknet " in out, name


def test_a_dry_run_refuses_what_the_run_refuses(folder, capsys):
    """Faults that only the engine knows: a policy, a section, a recipe that does not fit, a device."""
    pytest.importorskip("torch")
    text = (folder / "small.cfg").read_text()
    (folder / "other.cfg").write_text(text.replace("[maxpool]", "[gru]"))
    common = (
        "darknet",
        "train",
        "--data",
        "data/emo.data",
        "--engine",
        "builtin",
        "--no-map",
        "--workers",
        0,
        "--threads",
        1,
    )
    for more in (
        ("--cfg", "small.cfg", "--net", "policy=plateau"),
        ("--cfg", "other.cfg"),
        ("--cfg", "small.cfg", "--set", "augment=recipe"),
        ("--cfg", "small.cfg", "--device", "cuda:77"),
        ("--cfg", "small.cfg", "--pretrained", "small.cfg"),
    ):
        (looked, out, short), (ran, _, long) = (emo(capsys, *common, *more, *dry) for dry in (("--dry-run",), ()))
        assert looked == ran in (1, 2) and "would train" not in out and "/emo-" not in short, more
        assert short.rstrip().rpartition(": ")[2] == long.rstrip().rpartition(": ")[2], "the same line"
        assert "model.cfg" not in short + long, "which is gone by then"
    assert not list(Path("runs").glob("*"))
    code, out, _ = emo(capsys, *common, "--cfg", "small.cfg", "--dry-run")
    assert code == 0 and "would train small.cfg" in out and not list(Path("runs").glob("*"))


def test_patience_without_validations_is_refused(folder, capsys):
    code, _, err = emo(capsys, "darknet", "train", "--cfg", "small.cfg", "--patience", 3, "--no-map")
    assert code == 2 and "--patience counts validations, and there will be none: --no-map leaves them out" in err
    write_data(folder / "data" / "emo.data", classes=3, train="train.txt", valid=None, names="emo.names")
    code, _, err = emo(capsys, "darknet", "train", "--cfg", "small.cfg", "--patience", 3)
    assert code == 2 and "has no valid list" in err


def test_a_class_count_that_is_rewritten_is_told(folder, capsys):
    (folder / "five.cfg").write_text(
        (folder / "small.cfg").read_text().replace("classes=3", "classes=5").replace("filters=24", "filters=30")
    )
    told = "five.cfg is made for 5 classes, data/emo.data has 3: the run's cfg is for 3"
    code, _, err = emo(capsys, "darknet", "train", "--cfg", "five.cfg", "--engine", "builtin", "--dry-run")
    assert code == 0 and told in err
    assert (
        told
        not in emo(capsys, "darknet", "train", "--cfg", "five.cfg", "--engine", "builtin", "--dry-run", "--quiet")[2]
    )
    for own in ("small.cfg", "v4-tiny"):
        assert "is made for" not in emo(capsys, "darknet", "train", "--cfg", own, "--engine", "builtin", "--dry-run")[2]
