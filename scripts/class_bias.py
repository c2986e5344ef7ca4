#!/usr/bin/env python3
"""Biases of a classifier's classes, chosen on validation lists, into its weights.

    python scripts/class_bias.py cfg/models/emo-s --set data/fer --set data/fer7

A network that has learned from lopsided data names rare classes too seldom. A constant added to each class's logit mends
that without training (Menon et al., arXiv:2007.07314). The constants are those with the largest sum of accuracy and macro-F1
over all sets, less what the worst recall of the first set lacks of --least. Nothing is computed at detection:
they go into the biases of the last layer with weights. The model's temperature and card are to be made again afterwards
(ship_model.py does both).
"""  # noqa: E501

from __future__ import annotations

import argparse
import re
from pathlib import Path

import numpy as np

from converters.darknet_format.files import class_of_path, read_data, read_list
from darknet_runner.network import cfg_file, weights_file
from darknet_runner.run.folder import sha256
from emotion.comparison.metrics import macro_f1
from emotion.systems.backends import TorchBackend
from emotion.systems.classifier import Classifier
from emotion.systems.models import find

LEAST = 0.47  # recall of a class: PrivateTest's may be a little lower, and is to be 45%
STEPS = (0.2, 0.1, 0.05)  # of a logit
FAR = 15  # steps to either side


def answers(model: Path, data: Path, split: str = "valid") -> tuple[np.ndarray, np.ndarray]:
    """(N, K) log probabilities of a classifier on a set's split, and the true classes (N,)."""
    import cv2

    found, told = find(model, "classifier"), read_data(data)
    paths = read_list(told.list_of(split))
    shares = Classifier(found, TorchBackend(found)).classify([np.asarray(cv2.imread(str(path))) for path in paths])
    truth = np.array([class_of_path(path, told.labels) for path in paths])
    return np.log(np.maximum(shares.astype(float), 1e-12)), truth


def recalls_and_f1(named: np.ndarray, truth: np.ndarray, classes: int) -> tuple[np.ndarray, float]:
    """(K',) recalls of the classes that occur, and their macro-F1."""
    confusion = np.bincount(truth * classes + named, minlength=classes**2).reshape(classes, classes)
    there = (occurs := confusion.sum(1)) > 0
    return confusion.diagonal()[there] / occurs[there], macro_f1(confusion) or 0.0


def chosen(sets: list[tuple[np.ndarray, np.ndarray]], least: float = LEAST) -> np.ndarray:
    """[((N, K) logits, (N,) truth), ...] -> (K,) biases with a mean of 0: one class after another is moved to where
    the sum is largest, in ever smaller steps, until none gains.
    """
    classes = sets[0][0].shape[1]

    def worth(biases: np.ndarray) -> float:
        total = 0.0
        for index, (logits, truth) in enumerate(sets):
            named = (logits + biases).argmax(1)
            recalls, f1 = recalls_and_f1(named, truth, classes)
            short = max(0.0, least - recalls.min()) if index == 0 else 0.0
            total += (named == truth).mean() + f1 - short
        return total

    biases = np.zeros(classes)
    best = worth(biases)
    for step in STEPS:
        gained = True
        while gained:
            gained = False
            for one in np.eye(classes):
                moved = [biases + one * step * far for far in range(-FAR, FAR + 1)]
                worths = [worth(each) for each in moved]
                if max(worths) > best + 1e-9:
                    best, biases, gained = max(worths), moved[int(np.argmax(worths))], True
    return biases - biases.mean()


def into_weights(folder: Path, biases: np.ndarray) -> None:
    """Add (K,) to the biases of the last layer of `folder`'s network that has any; the card gets the new hash."""
    cfg, path = cfg_file.load(folder / "model.cfg"), folder / "model.weights"
    loaded = weights_file.read(cfg, path)
    last = max(index for index, blocks in enumerate(loaded.layers) if "biases" in blocks)
    layers = [dict(blocks) for blocks in loaded.layers]
    layers[last]["biases"] = (layers[last]["biases"] + biases).astype(np.float32)
    weights_file.write(cfg, path, layers, loaded.seen)
    card = folder / "model.toml"
    if card.is_file():
        text = card.read_text(encoding="utf-8")
        card.write_text(re.sub(r"(?m)^sha256 = .*$", f'sha256 = "{sha256(path)}"', text), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="folder of a model; its weights are overwritten")
    parser.add_argument("--set", dest="sets", type=Path, action="append", required=True, metavar="DATA")
    parser.add_argument("--least", type=float, default=LEAST, help=f"recall of the worst class (default: {LEAST})")
    parser.add_argument("--dry-run", action="store_true", help="print the biases")
    args = parser.parse_args()
    biases = chosen([answers(args.model, path) for path in args.sets], args.least)
    print(*(f"{value:+.2f}" for value in biases))
    if not args.dry_run:
        into_weights(args.model, biases)


if __name__ == "__main__":
    main()
