"""The trainer: exact resume, several processes, failures, and that what it writes is read elsewhere."""

import csv
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from converters.darknet_format.files import read_list
from converters.errors import DataError, RunError, WeightsError
from darknet_runner.builtin.engine import BuiltinEngine
from darknet_runner.builtin.evaluate import fitted, found_boxes
from darknet_runner.builtin.network import Network
from darknet_runner.builtin.train import Trainer
from darknet_runner.network import cfg_file, weights_file
from darknet_runner.run import folder as run_folder

torch.set_num_threads(1)


def final(job):
    return job.run.weights_file("final").read_bytes()


def test_learns_squares_and_leaves_a_whole_run_folder(tiny_text, squares, make_job):
    job = make_job(tiny_text(batches=250, rate=0.01, size=64, batch=8, parts=1), squares, map_every=50)
    result = BuiltinEngine().train(job)
    assert result.verdict == "finished" and result.iterations == 250
    assert result.metric > 0.7
    names = {path.name for path in job.run.weights.iterdir()}
    assert {"model_last.weights", "model_final.weights", "model_best.weights", "state.pt"} <= names
    assert job.run.chart.read_bytes()[:4] == b"\x89PNG"
    rows = job.run.metrics.read_text().splitlines()
    assert rows[0] == "iteration,loss,avg_loss,rate,images,seconds,map" and len(rows) == 251
    info = json.loads((job.run.path / "run.json").read_text())
    assert info["verdict"] == "finished" and info["best"]["map"] == pytest.approx(result.metric)
    # The same figure again from the files alone.
    found = BuiltinEngine().evaluate(job.run.cfg, squares, job.run.weights_file("best"), device="cpu")
    assert found["map"] == pytest.approx(result.metric, abs=1e-6)


@pytest.mark.parametrize("batches, extra", [(200, {}), (14, {"optimizer": "adamw", "ema": 0.9, "clip": 1.0})])
def test_resume_is_exact(tiny_text, squares, make_job, batches, extra):
    """All batches in one go, and in two halves by Ctrl-C and --resume, give the same weights to the last bit."""
    text = tiny_text(batches=batches, net="mosaic=1\nhue=.1\nsaturation=1.5\nexposure=1.5")
    straight = make_job(text, squares, evaluate=False, **extra)
    BuiltinEngine().train(straight)
    cut = make_job(text, squares, evaluate=False, **extra)
    trainer, step = Trainer(cut), Trainer.step

    def interrupted(iterator):
        if trainer.progress.iteration == batches // 2 - 1:
            os.kill(os.getpid(), signal.SIGINT)
        return step(trainer, iterator)

    trainer.step = interrupted
    result = trainer.train()
    assert (result.verdict, result.iterations) == ("interrupted", batches // 2)
    assert not cut.run.weights_file("final").exists()
    rest = BuiltinEngine().train(make_job(text, squares, run=cut.run, resume=True, evaluate=False, **extra))
    assert (rest.verdict, rest.iterations) == ("finished", batches)
    assert final(cut) == final(straight)


def test_workers_change_nothing(tiny_text, squares, make_job):
    text = tiny_text(batches=4, net="mosaic=1\nhue=.1")
    jobs = [make_job(text, squares, workers=workers) for workers in (0, 1, 3)]
    for job in jobs:
        BuiltinEngine().train(job)
    assert final(jobs[0]) == final(jobs[1]) == final(jobs[2])


def test_two_processes_give_the_gradients_of_one(tiny_text, squares, make_job, tmp_path):
    """One batch of 8 in 2 parts: by one process, and by two over gloo with a part each, without batch norm's own
    state.
    """
    text = tiny_text(batches=3, batch=8, parts=2, norm=0)
    alone = make_job(text, squares)
    BuiltinEngine().train(alone)
    shared = make_job(text, squares)
    script = tmp_path / "part.py"
    script.write_text(
        "import os, sys, torch\n"
        "torch.set_num_threads(1)\nfrom "
        "pathlib import "
        "Path\nfrom "
        "darknet_runner.engine import "
        "TrainJob\n"
        "from darknet_runner.run.folder import RunDir\nfrom darknet_runner.builtin.train import train\n"
        "run = RunDir(Path(sys.argv[1]))\n"
        "job = TrainJob(run.cfg, Path(sys.argv[2]), run, device='cpu', threads=1, workers=0)\n"
        "train(None if int(os.environ['RANK']) else job)\n"  # the second takes the job from the first
    )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = os.environ | {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": "2",
        "OMP_NUM_THREADS": "1",
    }
    parts = [
        subprocess.Popen(
            [sys.executable, script, shared.run.path, squares],
            env=environment | {"RANK": str(rank)},
            stderr=subprocess.PIPE,
        )
        for rank in range(2)
    ]
    for part in parts:
        _, error = part.communicate(timeout=120)
        assert part.returncode == 0, error.decode()
    one, two = (np.frombuffer(final(job)[20:], np.float32) for job in (alone, shared))
    assert np.allclose(one, two, rtol=1e-5, atol=1e-7)
    assert not np.array_equal(one, np.frombuffer(initial(text), np.float32))


def initial(text):
    """The weights a run with seed 0 begins with."""
    torch.manual_seed(0)
    network = Network(cfg_file.parse(text))
    return b"".join(
        np.ascontiguousarray(blocks[name]).tobytes()
        for layer, blocks in zip(network.layers, network.arrays())
        for name, _ in layer.blocks
    )


def test_sgd_is_darknets_update(tiny_text, squares, make_job):
    """Two steps against src/convolutional_layer.c, update_convolutional_layer, written out."""
    job = make_job(tiny_text(batches=2, batch=4, parts=1, rate=0.01), squares)
    trainer = Trainer(job)
    batches = iter(zip(*[iter(samples(trainer, 8))] * 4))
    updates = {name: torch.zeros_like(value) for name, value in trainer.network.named_parameters()}
    for group in batches:
        before = {name: value.detach().clone() for name, value in trainer.network.named_parameters()}
        pictures, targets = np.stack([picture for picture, _ in group]), [label for _, label in group]
        trainer.step(iter([(pictures, targets)]))
        for name, value in trainer.network.named_parameters():
            is_weight = name.endswith(".weight") and value.ndim == 4
            # weight_updates += gradient (turned) - decay * batch * weights; weights += rate / batch * weight_updates
            updates[name] = 0.9 * updates[name] - value.grad * 4 - (0.0005 * 4 * before[name] if is_weight else 0)
            assert torch.allclose(value, before[name] + 0.01 / 4 * updates[name], atol=1e-7), name
        trainer.progress.iteration += 1


def samples(trainer, count):
    for number in range(count):
        out = np.empty((64, 64, 3), np.uint8)
        label = trainer.set.sample(number, 0, (64, 64), out)
        yield out, label


REGION = """[region]
anchors=1,1, 2,2, 3.7,3.7
classes=3
num=3
coords=4
softmax=1
bias_match=1
rescore=1
jitter=.2
object_scale=5
thresh=.6
"""


@pytest.mark.parametrize("head", ["yolo", "region"])
def test_opencv_reads_the_weights_and_sees_the_same_boxes(tiny_text, squares, make_job, tmp_path, head):
    text = tiny_text(batches=120, batch=8, parts=1, rate=0.01)
    if head == "region":
        text = text[: text.index("[yolo]")] + REGION
    job = make_job(text, squares)
    assert BuiltinEngine().train(job).metric > 0.1  # it learns
    cfg = cfg_file.load(job.run.cfg)
    network = Network(cfg)
    network.load(weights_file.read(cfg, job.run.weights_file("final")))
    network.eval()
    index = next(i for i, section in enumerate(cfg.sections) if section.type == head)
    copy = tmp_path / "copy.cfg"
    cfg_file.save(cfg.edit({index: {"thresh": 0.001}}), copy)
    other = cv2.dnn.readNetFromDarknet(str(copy), str(job.run.weights_file("final")))
    picture = cv2.cvtColor(cv2.imread(str(read_list(squares.parent / "valid.txt")[0])), cv2.COLOR_BGR2RGB)
    tensor = fitted(picture, cfg.size_wh)
    other.setInput(tensor.numpy())
    rows = other.forward()
    rows = rows[rows[:, 5:].max(1) > 0.01]
    with torch.no_grad():
        ((xyxy, scores),) = found_boxes(network, network(tensor), 0.001)
    ours = scores.max(1) > 0.01
    # OpenCV drops from a region's classes what overlaps a better one.
    assert len(rows) == ours.sum() if head == "yolo" else 0 < len(rows) <= ours.sum()
    theirs = np.concatenate([rows[:, :2] - rows[:, 2:4] / 2, rows[:, :2] + rows[:, 2:4] / 2], 1)
    for box, score in zip(theirs, rows[:, 5:]):
        near = np.abs(xyxy - box).max(1).argmin()
        assert np.abs(xyxy[near] - box).max() < 1e-3
        assert np.abs(scores[near] - score)[score > 0].max() < 1e-3


def test_nan_stops_with_the_layer_named_and_the_last_good_weights_kept(tiny_text, squares, make_job):
    job = make_job(tiny_text(batches=50, rate=0.001), squares, evaluate=False)
    trainer, step = Trainer(job), Trainer.step
    trainer.save("last")
    good = job.run.weights_file("last").read_bytes()

    def poisoned(batches):
        if trainer.progress.iteration == 5:
            with torch.no_grad():
                trainer.network.stack[1].weight[0] = float("nan")
        return step(trainer, batches)

    trainer.step = poisoned
    result = trainer.train()
    assert result.verdict == "failed" and result.iterations == 5
    assert "iteration 5" in result.reasons[0] and "layer 1 [convolutional]" in result.reasons[0]
    assert job.run.weights_file("last").read_bytes() == good
    assert not job.run.weights_file("final").exists()


def test_a_runaway_loss_stops_too(tiny_text, squares, make_job):
    result = BuiltinEngine().train(make_job(tiny_text(batches=200, rate=50.0, norm=0), squares, evaluate=False))
    assert result.verdict == "failed" and "learning-rate" in result.reasons[0]


def test_early_stopping(tiny_text, squares, make_job):
    job = make_job(tiny_text(batches=100, rate=1e-9), squares, map_every=2, patience=3)
    result = BuiltinEngine().train(job)
    assert "stopped early" in result.reasons[0] and result.iterations < 100
    with open(job.run.metrics, newline="") as file:
        found = [float(row["map"]) for row in csv.DictReader(file) if row["map"]]
    assert len(found) - 1 - int(np.argmax(found)) == 3


def test_random_sizes_hold_for_ten_batches_and_are_multiples_of_32(tiny_text, squares, make_job):
    text = tiny_text(batches=60).replace("[yolo]\n", "[yolo]\nrandom=1\n")
    trainer = Trainer(make_job(text, squares))
    sizes = [trainer.size_of(batch) for batch in range(60)]
    assert all(w % 32 == 0 and w == h for w, h in sizes) and len(set(sizes)) > 1
    assert all(len(set(sizes[start : start + 10])) == 1 for start in range(0, 60, 10))


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"classes=3": "classes=2", "filters=24": "filters=21"}, RunError, "the cfg has 2 classes"),
        ({"batch=4": "batch=5"}, RunError, "batch = 5 cannot be cut"),
        ({"max_batches=8": "max_batches=0"}, RunError, "max_batches is not set"),
    ],
)
def test_cfg_that_does_not_fit(tiny_text, squares, make_job, change, error, words):
    text = tiny_text()
    for old, new in change.items():
        text = text.replace(old, new)
    with pytest.raises(error, match=words):
        BuiltinEngine().train(make_job(text, squares))


def test_pretrained_of_the_wrong_size_is_refused_with_both_lengths(tiny_text, squares, make_job, tmp_path):
    broken = tmp_path / "broken.weights"
    broken.write_bytes(bytes(100))
    with pytest.raises(WeightsError, match=r"100 bytes; .* needs [\d,]+"):
        BuiltinEngine().train(make_job(tiny_text(), squares, pretrained=broken))


def test_prefix_of_weights_begins_the_first_layers_only(tiny_text, squares, make_job, tmp_path):
    job = make_job(tiny_text(), squares)
    BuiltinEngine().train(job)
    cfg = cfg_file.load(job.run.cfg)
    whole = weights_file.read(cfg, job.run.weights_file("final"))
    size = 20 + 4 * sum(array.size for array in whole.layers[0].values())
    prefix = tmp_path / "first.conv.1"
    prefix.write_bytes(job.run.weights_file("final").read_bytes()[:size])
    network = Trainer(make_job(tiny_text(), squares, pretrained=prefix, seed=9)).network
    assert np.array_equal(network.arrays()[0]["weights"], whole.layers[0]["weights"])
    assert not np.array_equal(network.arrays()[1]["weights"], whole.layers[1]["weights"])


@pytest.mark.parametrize("workers", [0, 2])
def test_a_picture_that_cannot_be_decoded_is_named(tiny_text, squares, make_job, tmp_path, workers):
    for name in ("emo.names", "valid.txt"):
        (tmp_path / name).write_text((squares.parent / name).read_text())
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no picture")
    bad.with_suffix(".txt").write_text("")
    (tmp_path / "train.txt").write_text(f"{bad}\n")
    data = tmp_path / "emo.data"
    data.write_text(squares.read_text())
    with pytest.raises(DataError, match="bad.png: is not a picture"):
        BuiltinEngine().train(make_job(tiny_text(), data, workers=workers))


CLASSIFIER = (Path(__file__).parents[2] / "cfg" / "classifier-grey.cfg").read_text()


def test_classifier_learns_and_counts(make_job, tmp_path):
    rng, paths = np.random.default_rng(0), []
    for index in range(60):
        kind = ("bright", "dark")[index % 2]
        path = tmp_path / f"{index:02d}_{kind}.png"
        cv2.imwrite(str(path), rng.integers(0, 120, (16, 16), np.uint8) + (120 if kind == "bright" else 0))
        paths.append(str(path))
    (tmp_path / "train.txt").write_text("\n".join(paths[:40]) + "\n")
    (tmp_path / "valid.txt").write_text("\n".join(paths[40:]) + "\n")
    (tmp_path / "emo.names").write_text("bright\ndark\n")
    data = tmp_path / "emo.data"
    data.write_text("classes=2\ntrain=train.txt\nvalid=valid.txt\nlabels=emo.names\nnames=emo.names\ntop=2\n")
    job = make_job(CLASSIFIER, data, map_every=40)
    result = BuiltinEngine().train(job)
    assert result.metric == 1.0
    found = BuiltinEngine().evaluate(job.run.cfg, data, job.run.weights_file("final"), device="cpu")
    assert found["top2"] == 1.0 and np.sum(found["confusion"]) == 20 and found["settings"]["pictures"] == 20


def test_detector_cfg_on_classifier_data_says_so(tiny_text, make_job, tmp_path):
    (tmp_path / "train.txt").write_text("a_red.png\n")
    (tmp_path / "emo.names").write_text("red\ngreen\nblue\n")
    data = tmp_path / "emo.data"
    data.write_text("classes=3\ntrain=train.txt\nlabels=emo.names\n")
    with pytest.raises(RunError, match="is a classifier's data, but the cfg is a detector's"):
        BuiltinEngine().train(make_job(tiny_text(), data))


def test_rundir_numbers_and_latest(tmp_path):
    first, second = (run_folder.create(tmp_path, "x") for _ in range(2))
    assert (first.path.name, second.path.name) == ("x-001", "x-002")
    assert run_folder.latest(tmp_path) is None
    second.write_json(a=1)
    second.write_json(b=2)
    assert run_folder.latest(tmp_path).path == second.path and second.read_json() == {"a": 1, "b": 2}
    with pytest.raises(RunError, match="saved no weights"):
        second.newest_weights()
