"""Two networks whose answers are known by construction, because their weights are written by hand.

A scene is black with squares of 16x16 pixels on a grid of 16; a square's colour is one of the seven corners
of the RGB cube that are not black, and names its class. The detector is one convolution of 16x16 with
stride 16: each output cell sees exactly one square.
"""

import itertools
from pathlib import Path

import numpy as np
import pytest

from converters.emotions import class_names
from darknet_runner.network import cfg_file, weights_file

NAMES = class_names(7)
CORNERS = np.array([corner for corner in itertools.product((0, 1), repeat=3) if any(corner)])  # RGB, class by row
CELL = 16

DETECTOR = (Path(__file__).parents[1] / "cfg" / "detector-drawn.cfg").read_text()

CLASSIFIER = (Path(__file__).parents[1] / "cfg" / "classifier-drawn.cfg").read_text()


def colour_logits(gain):
    """weights (7, 3) and biases (7,): gain * sum (2c - 1)(2x - 1) over the channels; 3 gain at a class's own corner."""
    signs = 2.0 * CORNERS - 1
    return gain * 2 * signs, -gain * signs.sum(1)


def save_model(folder, text, arrays, names=NAMES):
    folder.mkdir(parents=True, exist_ok=True)
    cfg = cfg_file.parse(text)
    cfg_file.save(cfg, folder / "model.cfg")
    weights_file.write(cfg, folder / "model.weights", arrays, seen=0)
    (folder / "emo.names").write_text("\n".join(names) + "\n")
    return folder


def make_detector(folder, size=64, net="", yolo="", gain=3.0, bias=-10.0):
    """A detector of coloured squares: objectness sigmoid(20 (r + g + b) + bias), box the whole cell."""
    matrix, biases = np.zeros((12, 3)), np.zeros(12)
    matrix[4], biases[4] = 20, bias
    matrix[5:], biases[5:] = colour_logits(gain)
    kernel = np.repeat(matrix / CELL**2, CELL**2, axis=1).reshape(12, 3, CELL, CELL)
    return save_model(
        folder, DETECTOR.format(size=size, net=net, yolo=yolo), [{"biases": biases, "weights": kernel}, {}]
    )


def make_classifier(folder, gain=1.0):
    matrix, biases = colour_logits(gain)
    return save_model(folder, CLASSIFIER, [{}, {"biases": biases, "weights": matrix.reshape(7, 3, 1, 1)}, {}, {}])


def draw_squares(squares, cells=4, scale=1):
    """squares: (column, row, class id) -> BGR (16 cells scale, ...) picture, and its boxes (N, 4) in pixels."""
    picture = np.zeros((CELL * cells, CELL * cells, 3), np.uint8)
    for column, row, class_id in squares:
        picture[row * CELL : (row + 1) * CELL, column * CELL : (column + 1) * CELL] = CORNERS[class_id][::-1] * 255
    picture = picture.repeat(scale, 0).repeat(scale, 1)
    boxes = np.array([(c, r, c + 1, r + 1) for c, r, _ in squares], float).reshape(-1, 4) * CELL * scale
    return picture, boxes


@pytest.fixture(scope="session")
def squares():
    return draw_squares


@pytest.fixture(scope="session")
def detector_factory():
    return make_detector


@pytest.fixture(scope="session")
def detector_folder(tmp_path_factory):
    return make_detector(tmp_path_factory.mktemp("models") / "squares")


@pytest.fixture(scope="session")
def classifier_folder(tmp_path_factory):
    return make_classifier(tmp_path_factory.mktemp("models") / "colours")


@pytest.fixture(scope="session")
def video_factory():
    def make(path, frames, fps=10.0):
        """Write BGR frames as mp4v."""
        import cv2

        from emotion.systems.backends import quiet_opencv

        quiet_opencv()  # FFmpeg asks once, when it is first used
        writer = cv2.VideoWriter(
            str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"mp4v"), fps, frames[0].shape[1::-1]
        )
        for frame in frames:
            writer.write(frame)
        writer.release()
        return path

    return make
