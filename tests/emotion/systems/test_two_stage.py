import shutil

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from converters.errors import DataError
from darknet_runner.network import resize
from emotion.systems.classifier import BATCH, Classifier
from emotion.systems.face_finders import open_finder
from emotion.systems.models import find
from emotion.systems.two_stage import TwoStage, crop


@pytest.fixture
def system(detector_folder, classifier_folder):
    return TwoStage(open_finder(detector_folder), Classifier(find(classifier_folder, "classifier")))


class Counting:
    """A backend that notes the batches it passes on."""

    name = "counting"

    def __init__(self, backend):
        self.backend, self.batches = backend, []

    def forward(self, blob):
        self.batches.append(len(blob))
        return self.backend.forward(blob)


def test_faces_are_found_and_named(system, squares):
    drawn = [(0, 0, 0), (2, 1, 3), (3, 3, 6), (1, 2, 4)]
    picture, truth = squares(drawn)
    (found,) = system.detect([picture])
    named = {tuple(box.round()): int(class_id) for box, class_id in zip(found.xyxy_px, found.class_ids)}
    assert named == {tuple(box): class_id for box, (*_, class_id) in zip(truth, drawn)}
    assert np.allclose(found.scores.sum(1), 1, atol=1e-5)
    assert np.allclose(found.class_scores, found.face[:, None] * found.scores)
    # softmax of 2 gain sum over channels: corner 111 (class 6) has logit 3, its neighbours 1, then -1
    white = np.exp([-1, -1, 1, -1, 1, 1, 3])
    assert np.allclose(found.scores[found.class_ids == 6][0], white / white.sum(), atol=1e-4)


def test_crops_of_all_frames_go_through_together(system, squares):
    system.classifier.backend = Counting(system.classifier.backend)
    frames = [squares([(0, 0, 1), (2, 2, 5)])[0], np.zeros((64, 64, 3), np.uint8), squares([(3, 3, 6)])[0]]
    found = system.detect(frames)
    assert [len(each) for each in found] == [2, 0, 1] and system.classifier.backend.batches == [3]
    assert found[2].class_ids.tolist() == [6]


def test_a_crowd_is_classified_in_bounded_batches(system):
    system.classifier.backend = Counting(system.classifier.backend)
    crops = [np.full((5, 7, 3), 255, np.uint8)] * (BATCH + 3)
    scores = system.classifier.classify(crops)
    assert scores.shape == (BATCH + 3, 7) and system.classifier.backend.batches == [BATCH, 3]
    assert np.allclose(scores, scores[0], atol=1e-6)


def test_no_faces_need_no_network(system):
    system.classifier.backend = Counting(system.classifier.backend)
    (found,) = system.detect([np.zeros((30, 30, 3), np.uint8)])
    assert found.scores.shape == (0, 7) and system.classifier.backend.batches == []


def test_probabilities_are_those_of_the_built_in_network(tmp_path):
    """cv2.dnn and PyTorch on a grey classifier with batch norm, pooling and dropout; crops of many sizes."""
    torch = pytest.importorskip("torch")
    from darknet_runner.builtin.evaluate import fitted
    from darknet_runner.builtin.network import Network
    from darknet_runner.network import cfg_file, layers, templates, weights_file

    cfg, rng = templates.render("face-small", 7), np.random.default_rng(0)
    arrays = []
    for layer in layers.trace(cfg):
        made = {
            name: rng.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape)
            for name, shape in layer.blocks
            if name == "weights"
        }
        made |= {name: rng.uniform(0.5, 1.5, shape) for name, shape in layer.blocks if name != "weights"}
        arrays.append(made)
    cfg_file.save(cfg, tmp_path / "model.cfg")
    weights_file.write(cfg, tmp_path / "model.weights", arrays, seen=0)
    (tmp_path / "emo.names").write_text("\n".join("abcdefg") + "\n")
    crops = [rng.integers(0, 256, (size, size + 3, 3), np.uint8) for size in (20, 48, 131)]
    found = Classifier(find(tmp_path, "classifier")).classify(crops)

    network = Network(cfg)
    network.load(weights_file.read(cfg, tmp_path / "model.weights"))
    network.eval()
    with torch.no_grad():
        inputs = torch.cat([fitted(resize.grey(crop)[..., None], (48, 48)) for crop in crops])
        expected = torch.softmax(network(inputs)[0], 1).numpy()
    assert np.allclose(found, expected, atol=1e-4) and np.ptp(expected, axis=0).max() > 0.01


def test_stages_are_timed(system, squares):
    system.detect([squares([(0, 0, 1)])[0]])
    assert set(system.clock.take()) == {"face", "classify"} and system.clock.take() == {}


def test_the_classifiers_card_and_the_finder_set_the_crops_size(classifier_folder, detector_folder, tmp_path):
    folder = shutil.copytree(classifier_folder, tmp_path / "model")
    assert Classifier(find(folder, "classifier")).crop_scale == 1
    (folder / "model.toml").write_text("[preprocessing]\ncrop_scale = 0.8\n")
    system = TwoStage(open_finder("haar"), Classifier(find(folder, "classifier")))
    assert system.crop_scale == pytest.approx(0.8 * 1.05) and "0.84 x" in system.settings["crop"]
    (folder / "model.toml").write_text("[preprocessing]\ncrop_scale = -1\n")
    with pytest.raises(DataError, match="crop_scale"):
        Classifier(find(folder, "classifier"))


def test_a_crop_is_square_about_the_box():
    frame = np.arange(100 * 100 * 3, dtype=np.uint32).reshape(100, 100, 3).astype(np.uint8)
    out = crop(frame, np.array((40, 30, 60, 70), float), 1.0)  # 20 x 40 about (50, 50)
    assert np.array_equal(out, frame[30:70, 30:70])
    assert np.array_equal(crop(frame, np.array((40, 40, 60, 60), float), 1.5), frame[35:65, 35:65])


def test_a_crop_over_the_edge_repeats_it():
    frame = np.zeros((20, 20, 3), np.uint8)
    frame[:, 0] = 7
    out = crop(frame, np.array((0, 0, 10, 10), float), 2.0)  # from -5 to 15
    assert out.shape == (20, 20, 3) and (out[:, :6] == 7).all() and (out[:, 6:] == 0).all()


@settings(deadline=None)
@given(st.tuples(*[st.floats(0, 50)] * 4), st.floats(0.3, 3))
def test_every_box_in_the_frame_has_a_square_crop(values, factor):
    frame = np.zeros((40, 50, 3), np.uint8)
    (x1, x2), (y1, y2) = sorted(values[:2]), sorted(min(value, 40) for value in values[2:])
    out = crop(frame, np.array((x1, y1, x2, y2)), factor)
    assert out.shape[0] == out.shape[1] == max(1, round(max(x2 - x1, y2 - y1) * factor))
