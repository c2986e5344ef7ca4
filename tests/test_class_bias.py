"""The biases of classes: chosen on labelled answers, put into a model's weights."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def class_bias(monkeypatch):
    pytest.importorskip("torch", reason="answers are computed by PyTorch")
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    import class_bias

    yield class_bias
    sys.modules.pop("class_bias")


def answered(rng, counts, against, signal=2.0):
    """Logits of a fair classifier, moved by `against`, as lopsided training moves them."""
    truth = np.repeat(np.arange(len(counts)), counts)
    logits = rng.normal(size=(len(truth), len(counts)))
    logits[np.arange(len(truth)), truth] += signal
    return logits - against, truth


def test_what_holds_a_class_back_is_taken_away(class_bias):
    rng = np.random.default_rng(0)
    against = np.array([0.0, 0.0, 1.5])
    logits, truth = answered(rng, (1000, 1000, 200), against)
    biases = class_bias.chosen([(logits, truth)])
    assert biases.mean() == pytest.approx(0, abs=1e-9)
    # Of rare faces, what is best by accuracy and F1 together is a little less than what was taken.
    assert 0.5 < biases[2] - biases[:2].mean() < 1.7 and abs(biases[0] - biases[1]) < 0.4
    before, old = class_bias.recalls_and_f1(logits.argmax(1), truth, 3)
    after, new = class_bias.recalls_and_f1((logits + biases).argmax(1), truth, 3)
    assert new > old + 0.02 and after[2] > before[2] + 0.2


def test_the_least_recall_counts_in_the_first_set_only(class_bias):
    rng = np.random.default_rng(1)
    sets = [answered(rng, (600, 60), np.array([0.0, 2.5]), 1.0) for _ in range(2)]
    found = {}
    for least in (0.0, 0.6):
        biases = class_bias.chosen(sets, least)
        recalls, _ = class_bias.recalls_and_f1((sets[0][0] + biases).argmax(1), sets[0][1], 2)
        found[least] = recalls.min()
    assert found[0.6] > found[0.0] + 0.05 and found[0.6] > 0.55, found


def test_recalls_and_f1_are_those_of_scikit_learn(class_bias):
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is the oracle")
    rng = np.random.default_rng(2)
    truth, named = rng.integers(0, 5, 300), rng.integers(0, 6, 300)
    recalls, f1 = class_bias.recalls_and_f1(named, truth, 6)  # nobody is of the sixth class
    there = np.unique(truth)
    assert np.allclose(recalls, metrics.recall_score(truth, named, labels=there, average=None))
    assert f1 == pytest.approx(metrics.f1_score(truth, named, labels=there, average="macro"))


def test_biases_in_the_weights_move_the_logits(class_bias, tmp_path):
    from emotion.systems.backends import TorchBackend
    from emotion.systems.classifier import Classifier
    from emotion.systems.models import find

    folder = tmp_path / "emo-s"
    shutil.copytree(ROOT / "cfg" / "models" / "emo-s", folder)
    faces = list(np.random.default_rng(3).integers(0, 255, (4, 48, 48, 3), np.uint8))

    def logits():
        model = find(folder, "classifier")
        shares = np.log(Classifier(model, TorchBackend(model)).classify(faces))
        return shares - shares.mean(1, keepdims=True)

    before, moved = logits(), np.array([0.5, -0.5, 0.25, 0, -0.25, 0.75, -0.75])
    class_bias.into_weights(folder, moved)
    temperature = float((folder / "model.cfg").read_text().partition("temperature=")[2].split()[0])
    assert np.allclose(logits() - before, moved / temperature, atol=1e-4)
