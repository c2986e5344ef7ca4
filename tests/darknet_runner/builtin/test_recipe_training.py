"""Classifiers by recipe: what is learned, measured, stopped, resumed; drawn pictures of two and three classes."""

import csv
import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

from converters.darknet_format.files import read_data, write_data
from converters.errors import DataError, RunError, UsageError
from darknet_runner.builtin.engine import BuiltinEngine
from darknet_runner.builtin.pictures import BatchLoader, PictureSet, squared
from darknet_runner.builtin.recipe import Recipe
from darknet_runner.builtin.train import Trainer
from darknet_runner.network import cfg_file, weights_file
from darknet_runner.network.preprocessing import Preprocessing
from darknet_runner.reporting import TerminalReporter
from darknet_runner.run import create_run
from darknet_runner.run.folder import RunDir

NAMES = ("Left", "Right", "Low")
NET = (Path(__file__).parents[2] / "cfg" / "classifier-recipe.cfg").read_text()


@pytest.fixture(scope="module")
def bars(tmp_path_factory):
    """36 + 18 pictures of 16 x 16, a bright bar at the left, the right, or below; votes of half of them say
    something else.
    """
    import cv2

    root, rng = tmp_path_factory.mktemp("bars"), np.random.default_rng(3)
    votes = [",".join(("path", *NAMES))]
    for split, count in (("train", 36), ("valid", 18)):
        paths = []
        for index in range(count):
            picture = rng.integers(0, 90, (16, 16), np.uint8)
            kind = index % 3
            picture[
                (slice(None), slice(0, 5))
                if kind == 0
                else (slice(None), slice(11, 16))
                if kind == 1
                else (slice(11, 16), slice(None))
            ] += 120
            name = f"{split}/{NAMES[kind]}/{index:02d}.png"
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(root / name), picture)
            paths.append(str(root / name))
            if index % 2:
                votes.append(f"{name},{','.join('0.25' if other != kind else '0.5' for other in range(3))}")
        (root / f"{split}.txt").write_text("\n".join(paths) + "\n")
    (root / "votes.csv").write_text("\n".join(votes) + "\n")
    (root / "emo.names").write_text("\n".join(NAMES) + "\n")
    write_data(
        root / "emo.data",
        classes=3,
        train="train.txt",
        valid="valid.txt",
        names="emo.names",
        labels="emo.names",
        votes="votes.csv",
    )
    return root / "emo.data"


BARE = {"augment": "recipe", "schedule": "constant", "learning_rate": 0.01, "optimizer": "adam"}


@pytest.fixture
def make(bars, tmp_path):
    """make(recipe settings..., **job fields) -> a job, its run made as the command line makes it."""
    from darknet_runner.engine import TrainJob

    def build(settings=(), run=None, **fields):
        recipe = Recipe(name="mine").override(BARE | dict(settings))
        (tmp_path / "net.cfg").write_text(NET)
        run = run or create_run.create_run(
            str(tmp_path / "net.cfg"), read_data(bars), runs=tmp_path / "runs", recipe=recipe
        )
        job = {"device": "cpu", "threads": 1, "preprocessing": Preprocessing.beside(run.cfg), **fields}
        return TrainJob(run.cfg, bars, run, recipe=recipe, **job)

    return build


def rows(run: RunDir):
    with open(run.metrics, newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_it_learns_and_tells_every_epoch(make, optimizer):
    job = make(
        {"epochs": 15, "optimizer": optimizer, "learning_rate": 0.05 if optimizer == "sgd" else 0.01, "flip": False}
    )
    result = BuiltinEngine().train(job)
    assert result.verdict == "finished" and result.iterations == 45 and result.metric > 0.9
    told = [row for row in rows(job.run) if row["top1"]]
    assert [float(row["epoch"]) for row in told] == list(range(1, 16))
    assert all(
        float(row[key]) >= 0 for row in told for key in ("train_loss", "train_top1", "valid_loss", "macro_f1", "rate")
    )
    assert float(told[-1]["train_loss"]) < float(told[0]["train_loss"])
    # The same figure from the files alone.
    found = BuiltinEngine().evaluate(job.run.cfg, job.data, job.run.weights_file("best"), device="cpu")
    assert found["top1"] == pytest.approx(result.metric) and found["macro_f1"] > 0.9


def test_averaged_weights_are_what_is_judged_and_what_is_saved(make):
    """With a slow average both differ much: the files must hold the average, not the raw weights."""
    job = make({"epochs": 8, "ema": 0.97, "learning_rate": 0.05, "monitor": "loss"})
    result = BuiltinEngine().train(job)
    found = BuiltinEngine().evaluate(job.run.cfg, job.data, job.run.weights_file("best"), device="cpu")
    assert found["loss"] == pytest.approx(result.metric, rel=1e-4)
    state = torch.load(job.run.weights / "state.pt", weights_only=True)
    saved = weights_file.read(cfg_file.load(job.run.cfg), job.run.weights_file("last")).layers[0]["weights"]
    assert np.array_equal(saved, state["ema"]["stack.0.weight"].numpy()) and not np.array_equal(
        saved, state["raw"]["stack.0.weight"].numpy()
    )


def test_standardising_is_kept_with_the_run_and_heeded_when_it_is_evaluated(make):
    job = make({"epochs": 12, "standardise": True, "crop_from": 20, "size": 16})
    result = BuiltinEngine().train(job)
    assert job.preprocessing == Preprocessing(20, True) == Preprocessing.beside(job.run.cfg)
    found = BuiltinEngine().evaluate(job.run.cfg, job.data, job.run.weights_file("best"), device="cpu")
    assert found["top1"] == pytest.approx(result.metric, abs=0.06)  # Darknet's resize beside OpenCV's
    assert found["settings"]["crop"] == {"crop_from": 20, "standardise": True}


def test_resume_is_exact_and_metrics_go_on_without_a_gap(make):
    settings = {
        "epochs": 4,
        "mixup": 0.3,
        "noise": 0.05,
        "flip": True,
        "ema": 0.9,
        "schedule": "cosine",
        "plateau_patience": 1,
    }
    straight, cut = make(settings), make(settings)
    BuiltinEngine().train(straight)
    trainer, step = Trainer(cut), Trainer.step

    def interrupted(batches):
        if trainer.progress.iteration == 6:
            os.kill(os.getpid(), signal.SIGINT)
        return step(trainer, batches)

    trainer.step = interrupted
    assert trainer.train().verdict == "interrupted"
    with open(cut.run.metrics, "a") as file:
        file.write(
            "9,1,1,1\n10,0.5,0.5,0.01,100,1,,,,,,\n11,0."
        )  # what a killed run leaves: rows past its state, a torn line
    BuiltinEngine().train(make(settings, run=cut.run, resume=True))
    assert cut.run.weights_file("final").read_bytes() == straight.run.weights_file("final").read_bytes()
    assert [int(row["iteration"]) for row in rows(cut.run)] == list(range(1, 13))
    keys = ("loss", "avg_loss", "rate", "top1", "train_loss", "valid_loss")
    assert [[row[key] for key in keys] for row in rows(cut.run)] == [
        [row[key] for key in keys] for row in rows(straight.run)
    ]


def test_a_kill_between_state_and_weights_loses_nothing(make):
    """The state is written first: with older weights beside it, it is gone on with as it is; its best stays."""
    settings = {"epochs": 4}
    job = make(settings)
    BuiltinEngine().train(job)
    older = weights_file.read(cfg_file.load(job.run.cfg), job.run.weights_file("last"))
    weights_file.write(cfg_file.load(job.run.cfg), job.run.weights_file("last"), older.layers, 12 * 3)
    trainer = Trainer(make(settings, run=job.run, resume=True))
    assert trainer.progress.iteration == 12 and trainer.progress.best is not None


def contents(run):
    return {path.name: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}


def test_a_kill_between_state_and_best_loses_neither(make, monkeypatch):
    """The state that says how good the best is comes first: the run that goes on writes the best of that moment."""
    settings, write = {"epochs": 6, "ema": 0.9, "monitor": "loss"}, weights_file.write
    straight, cut = make(settings), make(settings)
    BuiltinEngine().train(straight)
    last_best = weights_file.header_bytes(straight.run.weights_file("best"))[1]

    class Killed(BaseException):
        pass

    def killed(cfg, path, arrays, seen, **more):
        if path.name.endswith("_best.weights") and seen == last_best:
            raise Killed
        return write(cfg, path, arrays, seen, **more)

    monkeypatch.setattr(weights_file, "write", killed)
    with pytest.raises(Killed):
        BuiltinEngine().train(cut)
    monkeypatch.undo()
    before = contents(cut.run)
    BuiltinEngine().check(make(settings, run=cut.run, resume=True))
    assert contents(cut.run) == before, "a dry run writes nothing"
    BuiltinEngine().train(make(settings, run=cut.run, resume=True))
    assert cut.run.weights_file("best").read_bytes() == straight.run.weights_file("best").read_bytes()
    assert [row["valid_loss"] for row in rows(cut.run)] == [row["valid_loss"] for row in rows(straight.run)]


def test_a_validation_that_is_no_number_is_never_the_best(make, monkeypatch):
    job = make({"epochs": 3, "monitor": "loss"})
    trainer, validate, told = Trainer(job), Trainer.validate, []

    def first_is_nan(self):
        told.append(validate(self))
        return told[-1] | ({"loss": float("nan")} if len(told) == 1 else {})

    monkeypatch.setattr(Trainer, "validate", first_is_nan)
    assert trainer.train().metric == min(found["loss"] for found in told[1:])


def test_a_batch_that_was_changed_since_does_not_make_the_weights_newer(make, capsys):
    job = make({"epochs": 2})
    BuiltinEngine().train(job)
    cfg = cfg_file.load(job.run.cfg)
    cfg_file.save(cfg.edit({0: {"batch": cfg.net.integer("batch", 1) // 2}}), job.run.cfg)
    trainer = Trainer(make({"epochs": 2}, run=job.run, resume=True, reporter=TerminalReporter(quiet=True)))
    assert trainer.progress.iteration == 6 and trainer.progress.history and not capsys.readouterr().err


@pytest.mark.parametrize("other", ["network", "optimizer", "words"])
def test_the_state_of_another_run_is_one_line(make, other):
    job = make({"epochs": 1, **({"optimizer": "sgd"} if other == "optimizer" else {})})
    BuiltinEngine().train(job)
    state = torch.load(job.run.weights / "state.pt", weights_only=True)
    if other == "network":
        state["raw"]["stack.0.weight"] = state["raw"]["stack.0.weight"][:, :, :1]
    if other == "words":
        state["progress"]["iteration"] = "three"
    torch.save(state, job.run.weights / "state.pt")
    with pytest.raises(RunError, match=r"state\.pt: is .*delete it"):
        Trainer(make({"epochs": 1}, run=job.run, resume=True))


def test_weights_of_another_engine_are_gone_on_with_and_the_best_stays(make, capsys):
    job = make({"epochs": 4})
    BuiltinEngine().train(job)
    newer = weights_file.read(cfg_file.load(job.run.cfg), job.run.weights_file("last"))
    weights_file.write(cfg_file.load(job.run.cfg), job.run.weights_file("last"), newer.layers, 12 * 20)
    trainer = Trainer(make({"epochs": 4}, run=job.run, resume=True, reporter=TerminalReporter(quiet=True)))
    assert trainer.progress.iteration == 20 and trainer.progress.best is not None
    assert "starts again" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"", b"half", None])
def test_a_damaged_state_is_one_line(make, content):
    job = make({"epochs": 1})
    BuiltinEngine().train(job)
    state = job.run.weights / "state.pt"
    state.write_bytes(state.read_bytes()[:-300] if content is None else content)
    with pytest.raises(RunError, match=r"state\.pt"):
        Trainer(make({"epochs": 1}, run=job.run, resume=True))


def test_plateaus_lower_the_rate_and_patience_ends_the_run(make):
    """A rate of nearly nothing: no validation is better than the first but by chance of rounding."""
    job = make(
        {
            "epochs": 40,
            "learning_rate": 1e-12,
            "optimizer": "sgd",
            "monitor": "top1",
            "plateau_patience": 2,
            "plateau_factor": 0.1,
            "patience": 5,
        }
    )
    result = BuiltinEngine().train(job)
    told = [float(row["rate"]) for row in rows(job.run) if row["top1"]]
    assert result.reasons and "stopped early" in result.reasons[0] and len(told) == 6
    assert told == pytest.approx([1e-12, 1e-12, 1e-12, 1e-13, 1e-13, 1e-14], rel=1e-3)


def test_the_best_is_chosen_by_the_quantity_that_is_named(make):
    job = make({"epochs": 6, "monitor": "loss"})
    result = BuiltinEngine().train(job)
    least = min(float(row["valid_loss"]) for row in rows(job.run) if row["valid_loss"])
    assert result.metric == pytest.approx(least, rel=1e-4)
    assert json.loads((job.run.path / "run.json").read_text())["best"] == {"loss": result.metric}
    found = BuiltinEngine().evaluate(job.run.cfg, job.data, job.run.weights_file("best"), device="cpu")
    assert found["loss"] == pytest.approx(least, rel=1e-4)


def test_targets_mix_labels_and_votes(bars):
    pictures = PictureSet.of(read_data(bars), "train", 1, (16, 16))
    target = pictures.targets(3, Recipe(vote_share=0.5, label_smoothing=0.3))
    assert target[0] == pytest.approx([0.8, 0.1, 0.1]), "no votes: the smoothed label"
    assert target[1] == pytest.approx([0.1 / 2 + 0.125, 0.4 + 0.25, 0.05 + 0.125])
    assert np.allclose(target.sum(1), 1)


def test_balanced_classes():
    labels = np.array([0] * 8 + [1] * 2)
    pictures = PictureSet.__new__(PictureSet)
    pictures.labels, pictures.votes = labels, None
    target = pictures.targets(2, Recipe(class_balance="loss"))
    assert target[0, 0] * 8 == pytest.approx(target[9, 1] * 2) and target.sum() == pytest.approx(10)
    loader = BatchLoader(
        pictures, target, Recipe(class_balance="sampling"), None, range(0), 0, (8, 8), torch.device("cpu")
    )
    drawn = labels[loader.indices(0, 2000)]
    assert 0.4 < drawn.mean() < 0.6
    plain = BatchLoader(pictures, target, Recipe(), None, range(0), 0, (8, 8), torch.device("cpu"))
    assert sorted(plain.indices(5, 20)[5:15].tolist()) == list(range(10)), "each once an epoch"


def test_a_set_that_does_not_fit_the_memory_is_read_anew(bars):
    kept, read = (PictureSet.of(read_data(bars), "train", 1, (16, 16), cache_bytes=size) for size in (1 << 20, 0))
    assert kept.array is not None and read.array is None
    assert np.array_equal(kept.take(np.array([3, 1, 7])), read.take(np.array([3, 1, 7])))


def test_pictures_keep_their_proportions():
    picture = np.zeros((20, 40, 1), np.uint8)
    picture[:, 10:30] = 200
    assert (squared(picture, (10, 10)) == 200).all() and squared(picture, (10, 10)).shape == (10, 10, 1)
    assert squared(picture, (40, 20)) is picture


@pytest.mark.parametrize(
    "text",
    [
        "path,Left,Right\n",
        "path,Left,Right,Low\ntrain/Left/00.png,a,0,1\n",
        "path,Left,Right,Low\ntrain/Left/00.png,-1,0,1\n",
        "path,Left,Right,Low\nother.png,1,0,0\n",
        "path,Left,Right,Low\ntrain/Left/00.png,1,0\n",
    ],
)
def test_votes_that_are_none_are_one_line(bars, tmp_path, text):
    (tmp_path / "votes.csv").write_text(text)
    write_data(
        tmp_path / "emo.data",
        classes=3,
        train=bars.parent / "train.txt",
        names=bars.parent / "emo.names",
        labels=bars.parent / "emo.names",
        votes="votes.csv",
    )
    with pytest.raises(DataError, match="votes.csv"):
        PictureSet.of(read_data(tmp_path / "emo.data"), "train", 1, (16, 16))


def test_what_a_detector_or_a_classifier_cannot_have(make, squares, tiny_text, make_job):
    with pytest.raises(UsageError, match="map"):
        Trainer(make({"monitor": "map", "epochs": 1}))
    with pytest.raises(UsageError, match="detector"):
        Trainer(make_job(tiny_text(), squares, augment="recipe"))
    with pytest.raises(UsageError, match="top1"):
        Trainer(make_job(tiny_text(), squares, monitor="top1"))
