"""What computes the networks: OpenCV, ONNX Runtime, PyTorch. All give the same faces."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from converters.errors import CfgError, EmoError, MissingExtra, UsageError
from darknet_runner.network import cfg_file, weights_file
from emotion.comparison.compare import shipped_media
from emotion.systems import backends, models
from emotion.systems.backends import BACKENDS, OpenCVBackend, TorchBackend, quickest
from emotion.systems.open import SystemSettings, open_system

NEEDS = {"onnx": "onnxruntime", "torch": "torch"}


@pytest.mark.parametrize("system", ["yolo", "two-stage", "two-stage:emo-v4-nano"])
@pytest.mark.parametrize("backend", ["onnx", "torch"])
def test_faces_are_the_same_as_opencvs(system, backend):
    """OpenCV adds 1e-6 to a variance, Darknet and emo 1e-5; a crop may move by a pixel then, when a network finds
    the faces.
    """
    pytest.importorskip(NEEDS[backend], reason=f"the extra with {NEEDS[backend]} is not installed")
    frames = [cv2.imread(str(path)) for path in shipped_media() if path.suffix == ".jpg"]
    detector = open_system(system, SystemSettings(backend=backend))
    found, expected = detector.detect(frames), open_system(system, SystemSettings(backend="opencv")).detect(frames)
    assert backend in str(detector.settings["backend"]) and sum(map(len, expected)) >= len(frames)
    for ours, other in zip(found, expected):
        assert len(ours) == len(other)
        # two faces whose scores are nearly the same may change places
        ours, other = (faces.take(np.argsort(faces.xyxy_px[:, 0])) for faces in (ours, other))
        np.testing.assert_allclose(ours.xyxy_px, other.xyxy_px, atol=0.5)
        np.testing.assert_allclose(ours.face, other.face, atol=0.005)
        np.testing.assert_allclose(ours.scores, other.scores, atol=0.05 if ":" in system else 0.005)
    if ":" in system:
        assert backend in detector.settings["face"]["backend"]


def test_auto_takes_onnx_runtime_where_it_is_and_opencv_elsewhere(monkeypatch):
    model = models.find("emo-s", "classifier")
    pytest.importorskip("onnxruntime", reason="the extra with onnxruntime is not installed")
    assert quickest(model).name == "onnx"
    monkeypatch.setattr(backends, "find_spec", lambda package: None)
    assert quickest(model).name == "opencv" == open_system("two-stage:haar").settings["backend"]


def test_auto_leaves_to_the_next_what_one_cannot(tmp_path, monkeypatch):
    """A network without a form in ONNX goes to OpenCV; of what nobody can the last one's error is told."""
    model = models.find("emo-s", "classifier")
    monkeypatch.setattr(
        backends.OnnxBackend, "__init__", lambda self, model, device: (_ for _ in ()).throw(CfgError("no form in ONNX"))
    )
    assert quickest(model).name == "opencv"
    with pytest.raises(UsageError, match="cuda:99"):
        quickest(model, "cuda:99")


@pytest.mark.parametrize("backend", list(BACKENDS))
def test_a_temperature_is_heard(tmp_path, backend):
    """[softmax] temperature=2 takes the root of each probability; OpenCV's importer passes over it in silence."""
    if backend in NEEDS:
        pytest.importorskip(NEEDS[backend], reason=f"the extra with {NEEDS[backend]} is not installed")
    text = (
        "[net]\nwidth=8\nheight=8\n"
        "channels=3\n"
        "[convolutional]\n"
        "filters=3\n"
        "size=1\n"
        "activation=linear\n"
        "[avgpool]\n[softmax]\n"
    )
    blob, rng = np.random.default_rng(0).random((2, 3, 8, 8), np.float32), np.random.default_rng(1)
    arrays = {
        "biases": rng.normal(0, 1, 3).astype(np.float32),
        "weights": rng.normal(0, 2, (3, 3, 1, 1)).astype(np.float32),
    }
    found = []
    for extra in ("", "temperature=2\n"):
        cfg = cfg_file.parse(text + extra)
        weights_file.write(cfg, tmp_path / "model.weights", [arrays, {}, {}], 0)
        (out,) = BACKENDS[backend](models.Model("plain", cfg, tmp_path / "model.weights", ("a", "b", "c"))).forward(
            blob
        )
        found.append(out)
    logits = np.einsum("bchw,fc->bf", blob, arrays["weights"][..., 0, 0]) / 64 + arrays["biases"]
    for temperature, out in zip((1, 2), found):
        powers = np.exp(logits / temperature)
        np.testing.assert_allclose(out, powers / powers.sum(1, keepdims=True), atol=1e-5)


def test_a_region_head_is_not_left_to_opencv(tmp_path):
    """OpenCV drops boxes by an NMS of its own, and stops at an assertion without softmax."""
    torch, _ = pytest.importorskip("torch"), pytest.importorskip("onnxruntime")
    from darknet_runner.builtin.network import Network

    text = (
        "[net]\nwidth=64\nheight=64\n"
        "channels=3\n"
        "[convolutional]\n"
        "filters=24\n"
        "size=3\n"
        "stride=8\npad=1\n"
        "activation=linear\n"
        "[region]\nanchors=1,1.5,3,2\nnum=2\nclasses=7\ncoords=4\nsoftmax=1\n"
    )
    (tmp_path / "model.cfg").write_text(text)
    (tmp_path / "emo.names").write_text("".join(f"c{index}\n" for index in range(7)))
    torch.manual_seed(0)
    weights_file.write(cfg_file.parse(text), tmp_path / "model.weights", Network(cfg_file.parse(text)).arrays(), 0)
    frame = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    found, other = (
        open_system(f"yolo:{tmp_path}", SystemSettings(backend=backend, conf=0.4)).detect([frame])[0]
        for backend in ("torch", "onnx")
    )
    assert len(found) == len(other) > 5
    np.testing.assert_allclose(found.xyxy_px, other.xyxy_px, atol=0.01)
    np.testing.assert_allclose(found.scores, other.scores, atol=1e-4)
    with pytest.raises(CfgError, match=r"model.cfg:11: OpenCV does not decode \[region\].*--backend onnx or torch"):
        open_system(f"yolo:{tmp_path}", SystemSettings(backend="opencv"))


def test_torch_runs_what_opencv_cannot(tmp_path):
    torch = pytest.importorskip("torch")
    from darknet_runner.builtin.network import Network

    text = (
        "[net]\nwidth=8\nheight=8\n"
        "channels=3\n"
        "[convolutional]\n"
        "filters=4\n"
        "size=1\n"
        "activation=stair\n"
        "[maxpool]\nmaxpool_depth=1\n"
        "out_channels=2\n"
        "[avgpool]\n"
        "[softmax]\n"
    )
    cfg = cfg_file.parse(text)
    torch.manual_seed(0)
    network = Network(cfg)
    weights_file.write(cfg, tmp_path / "model.weights", network.arrays(), 0)
    blob = np.random.default_rng(0).random((2, 3, 8, 8), np.float32)
    (out,) = TorchBackend(models.Model("odd", cfg, tmp_path / "model.weights", ("a", "b")), "cpu").forward(blob)
    np.testing.assert_allclose(out, network.eval().outputs(torch.from_numpy(blob))[-1].flatten(1).numpy(), atol=1e-6)


@pytest.mark.parametrize(
    ("backend", "device", "said"),
    [
        ("opencv", "cuda", "OpenCV computes on the CPU"),
        ("onnx", "tpu", "no such device"),
        ("onnx", "cuda:7", None),
        ("torch", "cuda:99", "cuda:99"),
        ("torch", "nowhere", "nowhere"),
    ],
)
def test_a_device_that_is_not_there_is_refused(backend, device, said):
    if backend in NEEDS:
        pytest.importorskip(NEEDS[backend], reason=f"the extra with {NEEDS[backend]} is not installed")
    if said is None:
        import onnxruntime

        if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
            pytest.skip("this ONNX Runtime has GPUs")
        said = "no such device"
    with pytest.raises(UsageError, match=said):
        open_system("yolo", SystemSettings(backend=backend, device=device))


def test_a_backend_that_is_not_installed_says_how_to_get_it(monkeypatch):
    import sys

    for backend, module in NEEDS.items():
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(MissingExtra, match=r"emo-darknet\["):
            BACKENDS[backend](models.find("emo-s", "classifier"))
    assert OpenCVBackend(models.find("emo-s", "classifier")).forward(np.zeros((1, 1, 48, 48), np.float32))[0].shape == (
        1,
        7,
    )


def test_a_dense_layers_batch_norm_is_the_same_everywhere(tmp_path):
    """OpenCV's importer reads it before the weights, Darknet's files have it behind; aliases and notes are none of
    its business either.
    """
    torch = pytest.importorskip("torch", reason="the oracle is the built-in network")
    from darknet_runner.builtin.network import Network

    text = (
        "# r\udce9seau\n[network]\n"
        "width=6\n"
        "height=8\n"
        "channels=2\n"
        "[conv]\n"
        "filters=4 "
        "# four\n"
        "filters=9\n"
        "size=3\npad=1\nbatch_normalize=1\n"
        "activation=leaky\n[max]\n"
        "size=2\n stride = 2\n"
        "[conn]\noutput=5\nbatch_normalize=1\n"
        "activation=leaky\n"
        "[dropout]\n"
        "[connected]\n"
        "output=3\n"
        "activation=linear\n[soft]\n"
    )
    cfg, rng = cfg_file.parse(text), np.random.default_rng(2)
    network = Network(cfg).eval()
    arrays = [
        {name: rng.uniform(0.3, 1, array.shape).astype(np.float32) for name, array in layer.items()}
        for layer in network.arrays()
    ]
    blob = rng.random((2, 2, 8, 6), np.float32)
    for version in ((0, 2, 5), (0, 1, 0), (1001, 0, 0)):  # today's, with `seen` of 32 bits, transposed
        weights_file.write(cfg, tmp_path / "model.weights", arrays, 0, version)
        network.load(weights_file.read(cfg, tmp_path / "model.weights"))
        expected = network.probabilities(torch.from_numpy(blob)).numpy()
        (found,) = backends.OpenCVBackend(
            models.Model("odd", cfg, tmp_path / "model.weights", ("a", "b", "c"))
        ).forward(blob)
        np.testing.assert_allclose(found, expected, atol=1e-5)
        assert expected.std() > 1e-4


CASES = Path(__file__).resolve().parents[4] / "shared" / "cases" / "cfg-encoding"


@pytest.mark.skipif(not CASES.is_dir(), reason="no ../shared/cases")
@pytest.mark.parametrize("case", ["latin1", "bom", "utf16"])
def test_a_cfg_in_whatever_an_editor_saved_it_as(case, tmp_path):
    """The same network as that of the file in plain UTF-8."""
    codec = {"latin1": "latin-1", "bom": "utf-8-sig", "utf16": "utf-16"}[case]
    shutil.copytree(CASES / case, tmp_path / "model")
    shutil.copy(models.find("emo-v4-nano", "detector").weights, tmp_path / "model" / "model.weights")
    shutil.copytree(tmp_path / "model", tmp_path / "plain", copy_function=shutil.copyfile)
    text = (CASES / case / "model.cfg").read_bytes().decode(codec).replace("[network]", "[net]")
    (tmp_path / "plain" / "model.cfg").write_text(text, encoding="utf-8")
    found, plain = (models.find(str(tmp_path / name), "detector") for name in ("model", "plain"))
    blob = np.random.default_rng(0).random((1, 3, *found.cfg.size_wh[::-1]), np.float32)
    for ours, theirs in zip(backends.OpenCVBackend(found).forward(blob), backends.OpenCVBackend(plain).forward(blob)):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.skipif(not CASES.is_dir(), reason="no ../shared/cases")
def test_a_misspelt_option_is_named_where_a_layer_does_not_fit(tmp_path):
    shutil.copytree(CASES / "upper", tmp_path / "model")
    shutil.copy(models.find("emo-v4-nano", "detector").weights, tmp_path / "model" / "model.weights")
    with pytest.raises(EmoError, match=r"\[convolutional\] knows no 'FILTERS' \(did you mean 'filters'\?\)"):
        backends.OpenCVBackend(models.find(str(tmp_path / "model"), "detector"))
