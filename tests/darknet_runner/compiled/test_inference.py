"""What Debian's darknet makes of weights, beside what ours makes of the same; AlexeyAB's when EMO_DARKNET names one."""

import numpy as np
import pytest

from converters import boxes
from converters.darknet_format.files import read_data, read_list
from converters.errors import MediaError, RunError, UsageError, WeightsError
from darknet_runner.compiled import inference
from darknet_runner.compiled.engine import CompiledEngine
from darknet_runner.network import cfg_file, weights_file


@pytest.fixture
def network(tmp_path, network_text, seeded_arrays):
    """kind -> paths of a cfg and of seeded weights for it."""

    def make(kind, text=None):
        cfg = cfg_file.parse(text or network_text(kind))
        paths = tmp_path / f"{kind}.cfg", tmp_path / f"{kind}.weights"
        cfg_file.save(cfg, paths[0])
        weights_file.write(cfg, paths[1], seeded_arrays(cfg, 5), 64)
        return paths

    return make


def test_partial_is_ours_byte_for_byte(debian, network, tmp_path):
    cfg, whole = network("detector")
    for count in (1, 2, 3, 5):
        length = CompiledEngine(debian).partial(cfg, whole, tmp_path / "theirs", count)
        weights_file.partial(cfg_file.load(cfg), whole, tmp_path / "ours", count, version=(0, 2, 0))
        assert (tmp_path / "theirs").read_bytes() == (tmp_path / "ours").read_bytes()
        assert (tmp_path / "theirs").stat().st_size == length
    for count in (0, -1, 6):  # they would write a bare header, or everything, and exit with 0
        with pytest.raises(UsageError, match=f"not {count}"):
            CompiledEngine(debian).partial(cfg, whole, tmp_path / "none", count)
    assert not (tmp_path / "none").exists()


def matched(theirs, ours):
    """Objects of a picture that have no like in the other list."""
    lonely = []
    for one in theirs:
        like = [two for two in ours if two["name"] == one["name"] and abs(two["score"] - one["score"]) < 2e-3]
        if not any(boxes.iou([one["xyxy_px"]], [two["xyxy_px"]])[0, 0] > 0.97 for two in like):
            lonely.append(one)
    return lonely


def test_boxes_are_ours(debian, network, detector_data):
    """Debian's letter-boxes always; so must ours for the comparison."""
    pytest.importorskip("torch")
    from darknet_runner.builtin.engine import BuiltinEngine

    cfg, whole = network("detector")
    data = read_data(detector_data)
    images = read_list(data.list_of("valid"))
    theirs = CompiledEngine(debian).predict(cfg, data.names, whole, images, conf=0.3)
    ours = BuiltinEngine().predict(cfg, data.names, whole, images, conf=0.3, device="cpu", letter_box=True)
    assert sum(len(item["objects"]) for item in theirs) >= 4 * len(images), (
        "the seeded weights must give something to compare"
    )
    for one, two in zip(theirs, ours):
        assert one["image"] == two["image"] and len(one["objects"]) == len(two["objects"])
        assert matched(one["objects"], two["objects"]) == []


def test_one_picture_is_enough(debian, network, detector_data):
    """Debian's `valid` reads four paths, whatever there is."""
    cfg, whole = network("detector")
    data = read_data(detector_data)
    images = read_list(data.list_of("valid"))
    every = CompiledEngine(debian).predict(cfg, data.names, whole, images)
    assert CompiledEngine(debian).predict(cfg, data.names, whole, images[:1]) == every[:1]


@pytest.mark.parametrize("temperature", ["", "temperature=3\n"])
def test_classes_are_ours(debian, network, classifier_data, temperature):
    pytest.importorskip("torch")
    from darknet_runner.builtin.engine import BuiltinEngine

    cfg, whole = network("classifier")
    cfg.write_text(cfg.read_text().replace("[softmax]\n", "[softmax]\n" + temperature))
    data = read_data(classifier_data)
    images = read_list(data.list_of("valid"))
    theirs = CompiledEngine(debian).predict(cfg, data.names, whole, images)
    ours = BuiltinEngine().predict(cfg, data.names, whole, images, device="cpu")
    for one, two in zip(theirs, ours):
        assert list(one["scores"]) == list(two["scores"])
        assert one["scores"] == pytest.approx(two["scores"], abs=2e-3)


def test_scores_are_ours(debian, network, detector_data, classifier_data):
    pytest.importorskip("torch")
    from darknet_runner.builtin.engine import BuiltinEngine

    cfg, whole = network("detector")
    theirs = CompiledEngine(debian).evaluate(cfg, detector_data, whole)
    ours = BuiltinEngine().evaluate(cfg, detector_data, whole, device="cpu", letter_box=True)
    assert theirs["map"] == pytest.approx(ours["map"], abs=0.02) and theirs["truths"] == ours["truths"]
    assert set(theirs) == set(ours) and theirs["settings"]["letter_box"]
    cfg, whole = network("classifier")
    theirs = CompiledEngine(debian).evaluate(cfg, classifier_data, whole)
    ours = BuiltinEngine().evaluate(cfg, classifier_data, whole, device="cpu")
    assert (theirs["top1"], theirs["top2"]) == pytest.approx((ours["top1"], ours["top2"]))


def test_alexeys_map_is_ours(alexey, network, detector_data, tmp_path):
    pytest.importorskip("torch")
    from darknet_runner.builtin.engine import BuiltinEngine

    engine = CompiledEngine(alexey)
    cfg, whole = network("detector")
    theirs = engine.evaluate(cfg, detector_data, whole)
    ours = BuiltinEngine().evaluate(cfg, detector_data, whole, device="cpu")
    assert theirs["map"] == pytest.approx(ours["map"], abs=0.01) and set(theirs) == set(ours)
    assert theirs["ap"] == pytest.approx(ours["ap"], abs=0.02)
    data = read_data(detector_data)
    images = read_list(data.list_of("valid"))
    boxed = (
        engine.predict(cfg, data.names, whole, images, conf=0.3),
        BuiltinEngine().predict(cfg, data.names, whole, images, conf=0.3, device="cpu"),
    )
    for one, two in zip(*boxed):
        assert len(one["objects"]) >= 20 and len(matched(one["objects"], two["objects"])) <= 1, (
            "its scores differ by up to 1e-4, and NMS may fall the other way"
        )
    weights_file.partial(cfg_file.load(cfg), whole, tmp_path / "ours", 3)
    engine.partial(cfg, whole, tmp_path / "theirs", 3)
    assert (tmp_path / "theirs").read_bytes() == (tmp_path / "ours").read_bytes()
    found = engine.anchors(detector_data, 2, (64, 64))
    assert len(found) == 2 and np.prod(found[0]) <= np.prod(found[1])


@pytest.mark.parametrize("spoil", ["empty", "header", "half", "text"])
def test_no_weights_are_predicted_from(debian, network, detector_data, spoil):
    """These programs take any file for weights, and predict from noise with exit code 0."""
    cfg, whole = network("detector")
    content = whole.read_bytes()
    whole.write_bytes(
        {
            "empty": b"",
            "header": content[:20],
            "half": content[: len(content) // 2],
            "text": b"<html>not found</html>" * 40,
        }[spoil]
    )
    with pytest.raises(WeightsError):
        CompiledEngine(debian).evaluate(cfg, detector_data, whole)


def test_what_it_is_not_made_for(debian, network, tmp_path, network_text):
    cfg, whole = network("detector", network_text("detector").replace("activation=leaky", "activation=mish"))
    with pytest.raises(RunError, match=r"cannot do activation=mish"):
        CompiledEngine(debian).predict(cfg, ("a", "b", "c"), whole, [tmp_path / "x.jpg"])
    cfg, whole = network("detector")
    with pytest.raises(MediaError, match="no such picture"):
        CompiledEngine(debian).predict(cfg, ("a", "b", "c"), whole, [tmp_path / "x.jpg"])
    with pytest.raises(RunError, match="computes no anchors"):
        CompiledEngine(debian).anchors(tmp_path / "emo.data", 3, (64, 64))


def test_printed_classes(logs_folder):
    from darknet_runner.compiled.linked_dataset import LinkedDataset

    names = ("fear", "angry", "happy")
    feed = LinkedDataset(None, None, names, names, {})
    alexey = inference._classes((logs_folder / "alexey-classifier-predict.log").read_text().splitlines(), feed)
    debian = inference._classes((logs_folder / "debian-classifier-predict.log").read_text().splitlines(), feed)
    assert alexey == [{"fear": 0.572654, "angry": 0.346422, "happy": 0.039420}]
    assert debian == [pytest.approx({"fear": 0.5777, "angry": 0.2953, "happy": 0.0537})]
