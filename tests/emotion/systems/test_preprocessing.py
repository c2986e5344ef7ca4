"""What a card asks to be done to a face is done by every backend and stands in every export."""

import numpy as np
import pytest

from converters.errors import DataError
from darknet_runner.network.preprocessing import Preprocessing
from emotion.systems.classifier import Classifier
from emotion.systems.models import find

CARD = "[preprocessing]\nstandardise = true\ncrop_from = 24\n"


@pytest.fixture
def model(tmp_path):
    """A classifier with random weights whose answer depends on size, cut and standardising."""
    from darknet_runner.network import cfg_file, weights_file
    from darknet_runner.network.layers import trace

    text = (
        "[net]\nwidth=20\nheight=20\nchannels=1\n[convolutional]\nfilters=4\nsize=3\nstride=2\npad=1\nactivation=leaky\n"
        "[connected]\noutput=7\nactivation=linear\n[softmax]\n"
    )
    cfg, rng = cfg_file.parse(text), np.random.default_rng(3)
    arrays = [
        {name: rng.normal(0, 0.3, shape).astype(np.float32) for name, shape in layer.blocks} for layer in trace(cfg)
    ]
    (tmp_path / "model.cfg").write_text(text)
    weights_file.write(cfg, tmp_path / "model.weights", arrays, 0)
    (tmp_path / "emo.names").write_text("Neutral\nHappy\nSad\nSurprise\nFear\nDisgust\nAnger" + "\n")
    (tmp_path / "model.toml").write_text(CARD)
    return find(tmp_path, "classifier")


def faces():
    rng = np.random.default_rng(5)
    return [rng.integers(0, 256, (side, side, 3), np.uint8) for side in (24, 48, 31)]


@pytest.mark.parametrize("backend", ["onnx", "torch"])
def test_every_backend_heeds_the_card(model, backend):
    pytest.importorskip({"onnx": "onnxruntime", "torch": "torch"}[backend], reason=f"--backend {backend} needs it")
    from emotion.systems.backends import BACKENDS

    expected = Classifier(model).classify(faces())
    assert np.allclose(Classifier(model, BACKENDS[backend](model)).classify(faces()), expected, atol=1e-5)
    bare = Classifier(model)
    bare.preprocessing = Preprocessing()
    assert not np.allclose(bare.classify(faces()), expected, atol=1e-3), "this network would notice"


def test_an_export_standardises_by_itself(model):
    """An exported file is given plain pictures of its input's size; the cut that it asks for stands in its metadata."""
    onnxruntime, _ = (
        pytest.importorskip("onnxruntime", reason="needs onnxruntime"),
        pytest.importorskip("onnx", reason="needs onnx"),
    )
    from emotion.systems.onnx_export import to_onnx

    made = to_onnx(model)
    assert {entry.key: entry.value for entry in made.metadata_props}["crop_from"] == "24"
    plain = Preprocessing(crop_from=24).blob(faces(), (20, 20), 1)
    (found,) = onnxruntime.InferenceSession(made.SerializeToString()).run(None, {"pictures": plain})
    assert np.allclose(found, Classifier(model).classify(faces()), atol=1e-5)


def test_a_cut_is_the_middle_and_can_be_made_already(model):
    face = faces()[0]
    classifier = Classifier(model)
    assert np.allclose(classifier.classify([face]), classifier.classify([face[2:22, 2:22]], cut=False), atol=1e-6)


def test_a_standardised_picture_has_mean_0_and_deviation_1():
    blob = Preprocessing(standardise=True).blob(faces(), (20, 20), 1)
    assert np.abs(blob.mean((1, 2, 3))).max() < 1e-5 and np.abs(blob.std((1, 2, 3)) - 1).max() < 1e-4
    assert (Preprocessing(standardise=True).blob([np.full((20, 20, 3), 7, np.uint8)], (20, 20), 1) == 0).all()


@pytest.mark.parametrize(
    "text",
    [
        "preprocessing = 3",
        "[preprocessing]\ncrop_scale = 'x'",
        "[preprocessing]\ncrop_from = 1.5",
        "[preprocessing]\nstandardise = 1",
        "[preprocessing]\ncrop_from = true",
    ],
)
def test_a_card_that_says_nonsense_is_one_line(tmp_path, text):
    (tmp_path / "model.toml").write_text(text)
    with pytest.raises(DataError, match=r"model\.toml"):
        Preprocessing.beside(tmp_path / "model.cfg")
