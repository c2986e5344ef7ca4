"""Drawn data, small networks, run folders, and a stand-in program that misbehaves as no real Darknet can be made to."""

import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from converters.darknet_format.files import write_data

NAMES = ("Neutral", "Happy", "Sad")
FIXTURES = Path(__file__).parent / "fixtures"

DETECTOR = (Path(__file__).parents[2] / "cfg" / "detector-binary.cfg").read_text()
CLASSIFIER = (Path(__file__).parents[2] / "cfg" / "classifier-binary.cfg").read_text()


@pytest.fixture(scope="session")
def logs_folder():
    return FIXTURES


@pytest.fixture(scope="session")
def network_text():
    """kind, iterations -> the text of a small cfg with three classes."""
    return lambda kind, iterations=4: {"detector": DETECTOR, "classifier": CLASSIFIER}[kind].format(
        iterations=iterations
    )


def _write_data(folder, rows, labels=None):
    for split in ("train", "valid"):
        (folder / f"{split}.txt").write_text("".join(f"{path}\n" for path in rows[split]))
    (folder / "emo.names").write_text("".join(f"{name}\n" for name in NAMES))
    told = {"labels": folder / "emo.names", "top": 2} if labels else {}
    write_data(
        folder / "emo.data",
        classes=len(NAMES),
        train=folder / "train.txt",
        valid=folder / "valid.txt",
        names=folder / "emo.names",
        backup=folder,
        **told,
    )
    return folder / "emo.data"


def draw_detector_set(folder, count=16):
    """Pictures of 96x80 with one coloured box a picture; the class is the colour. Returns the .data file."""
    import cv2

    rng, rows = np.random.default_rng(0), {"train": [], "valid": []}
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        kind = number % len(NAMES)
        picture = rng.integers(0, 60, (80, 96, 3), np.uint8)
        x, y, w, h = rng.integers(5, 45), rng.integers(5, 35), rng.integers(20, 45), rng.integers(20, 40)
        picture[y : y + h, x : x + w] = np.eye(3, dtype=np.uint8)[kind] * 230
        path = folder / f"{number:03d}.jpg"
        cv2.imwrite(str(path), picture)
        path.with_suffix(".txt").write_text(
            f"{kind} {(x + w / 2) / 96:.6f} {(y + h / 2) / 80:.6f} {w / 96:.6f} {h / 80:.6f}\n"
        )
        rows["valid" if number % 4 == 3 else "train"].append(path)
    return _write_data(folder, rows)


def draw_classifier_set(folder, count=16):
    """Pictures of 40x40 of one colour a class, in a folder of the class's name. Returns the .data file."""
    import cv2

    rng, rows = np.random.default_rng(0), {"train": [], "valid": []}
    for number in range(count):
        kind = number % len(NAMES)
        path = folder / NAMES[kind] / f"{number:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), rng.integers(0, 60, (40, 40, 3), np.uint8) + np.eye(3, dtype=np.uint8)[kind] * 190)
        rows["valid" if number % 4 == 3 else "train"].append(path)
    return _write_data(folder, rows, labels=True)


@pytest.fixture(scope="session")
def detector_data(tmp_path_factory):
    return draw_detector_set(tmp_path_factory.mktemp("boxes"))


@pytest.fixture(scope="session")
def classifier_data(tmp_path_factory):
    return draw_classifier_set(tmp_path_factory.mktemp("crops"))


@pytest.fixture
def draw_set():
    """kind, folder -> the .data file of a fresh set that the test may spoil."""
    return lambda kind, folder: {"detector": draw_detector_set, "classifier": draw_classifier_set}[kind](folder)


@pytest.fixture
def job(tmp_path, network_text, detector_data, classifier_data):
    """kind, iterations, TrainJob fields -> a job in a new run folder."""
    from darknet_runner.engine import TrainJob
    from darknet_runner.run import folder as run_folder

    def make(kind="detector", iterations=4, text=None, data=None, **fields):
        run = run_folder.create(tmp_path / "runs", kind)
        run.cfg.write_text(text or network_text(kind, iterations))
        data = data or (detector_data if kind == "detector" else classifier_data)
        return TrainJob(cfg=run.cfg, data=data, run=run, threads=1, **fields)

    return make


STAND_IN = """#!{python}
import os, signal, struct, sys, time
if sys.argv[1:2] == ["version"]:
    sys.exit("Not an option: version")
SIZE = {size}
def row(number, loss=1.0, end="\\n"):
    print(f"{{number}}: {{loss}}, {{loss}} avg, 0.001 rate, 0.01 seconds, {{4 * number}} images", end=end, flush=True)
def save(name, iteration, size=SIZE):
    print(f"Saving weights to weights/{{name}}", file=sys.stderr, flush=True)
    with open(f"weights/{{name}}", "wb") as file:
        file.write(struct.pack("<iiiQ", 0, 2, 0, 4 * iteration) + bytes(max(0, size - 20)))
"""


@pytest.fixture
def stand_in(tmp_path, network_text):
    """The body of a program -> an engine that drives it as if it were Debian's darknet. It has row() and save()."""
    from darknet_runner.compiled.engine import CompiledEngine
    from darknet_runner.compiled.training import BinarySettings
    from darknet_runner.network import cfg_file, layers, weights_file

    def make(body, kind="detector", **settings):
        size = weights_file.weights_bytes(layers.trace(cfg_file.parse(network_text(kind))))
        path = tmp_path / "darknet"
        path.write_text(STAND_IN.format(python=sys.executable, size=size) + textwrap.dedent(body))
        path.chmod(0o755)
        return CompiledEngine(path, BinarySettings(**settings))

    return make
