"""A classifier from a description, and the classifiers that ship: each computes the same everywhere and can be
trained.
"""

import numpy as np
import pytest

from converters.errors import UsageError
from darknet_runner.network import cfg_file, layers, templates, weights_file
from darknet_runner.network.conv_net import ConvNet

NETWORKS = ("emonet", "emonet-deep", "vgg16", "vgg19", "resnet18", "resnet50", "xception-mini", "vgg-face")


def weights_of(cfg):
    return [layer.section.integer("filters") for layer in layers.trace(cfg) if layer.type == "convolutional"]


def test_a_description_becomes_its_layers():
    net = ConvNet.of(
        "2*32x3, 64x5", "20,10", dropout=0.5, conv_dropout="0.1,0", classes=5, size=40, channels=3, activation="mish"
    )
    cfg = cfg_file.parse(net.text("mine"))
    kinds = [layer.type for layer in cfg.layers]
    assert kinds == (
        ["convolutional", "convolutional", "maxpool", "dropout", "convolutional", "maxpool"]
        + ["connected", "dropout"] * 2
        + ["connected", "softmax"]
    )
    traced = layers.trace(cfg)
    assert [layer.out for layer in traced if layer.type in ("convolutional", "maxpool", "connected")] == [
        (40, 40, 32),
        (40, 40, 32),
        (20, 20, 32),
        (20, 20, 64),
        (10, 10, 64),
        (1, 1, 20),
        (1, 1, 10),
        (1, 1, 5),
    ]
    assert cfg.size_wh == (40, 40) and cfg.net.integer("channels") == 3 and cfg.net.number("hue") == 0.02
    assert cfg.text.startswith("# mine: ") and not cfg_file.findings(cfg)
    assert [section.number("probability") for section in cfg.layers if section.type == "dropout"] == [0.1, 0.5, 0.5]


@pytest.mark.parametrize(
    "conv, dense, options",
    [
        ("", "", {}),
        ("32", "", {}),
        ("32x4", "", {}),
        ("0x3", "", {}),
        ("0*8x3", "", {}),
        ("99999999x3", "", {}),
        ("32x3;64x3", "", {}),
        ("32x3", "-4", {}),
        ("32x3", "0", {}),
        ("32x3", "1.5", {}),
        ("32x3", "", {"conv_dropout": "1"}),
        ("32x3", "", {"conv_dropout": ".1,.2"}),
        ("32x3", "", {"conv_dropout": "nan"}),
        ("32x3", "", {"conv_dropout": "much"}),
    ],
)
def test_what_is_no_description(conv, dense, options):
    with pytest.raises(UsageError, match="--conv|--dense"):
        ConvNet.of(conv, dense, **options)


def test_the_networks_are_what_their_papers_say():
    """Channels of the convolutions in order; parameters of the originals, counted by hand where the top is another."""
    expected = {
        "emonet": [32] * 2 + [64] * 2 + [128] * 2 + [256] * 2,
        "emonet-deep": [64] * 2 + [128] * 3 + [256] * 4 + [512] * 4,
        "vgg16": [64] * 2 + [128] * 2 + [256] * 3 + [512] * 6,
        "vgg19": [64] * 2 + [128] * 2 + [256] * 4 + [512] * 8,
        "vgg-face": [3] + [64] * 2 + [128] * 2 + [256] * 3 + [512] * 6,
    }
    for name, channels in expected.items():
        assert weights_of(templates.load(name)) == channels, name
    params = {name: sum(layer.params for layer in layers.trace(templates.load(name))) for name in NETWORKS}
    # torchvision's resnet18 has 11,689,512 and resnet50 25,557,032 trained values in colour with 1,000 classes, and
    # 9,600 / 53,120 means and variances besides; grey saves 2 x 64 x 49, 993 fewer classes 993 x (512 or 2048) + 993.
    assert params["resnet18"] == 11_689_512 + 9_600 - 6_272 - 993 * 513
    assert params["resnet50"] == 25_557_032 + 53_120 - 6_272 - 993 * 2049
    # The original has 58,423, and no bias in a depthwise convolution: 8 + 16, 16 + 32, 32 + 64, 64 + 128 of them here.
    assert params["xception-mini"] == 58_423 + 360


def trainable(name):
    """The network as small as it may be: its own size, or 64 pixels where that is 224."""
    return templates.render(
        name, 3, size=64 if name == "vgg-face" else None, batch=4, subdivisions=1, iterations=3, learning_rate=1e-4
    )


@pytest.fixture(scope="module")
def shades(tmp_path_factory):
    """A classifier's set: dark, grey and light pictures with noise; gives emo.data."""
    import cv2

    from converters.darknet_format.files import write_data

    root, rng, paths = tmp_path_factory.mktemp("shades"), np.random.default_rng(3), []
    for index in range(12):
        name = ("dark", "grey", "light")[index % 3]
        path = root / f"{index}-{name}.png"
        cv2.imwrite(str(path), (rng.integers(0, 60, (64, 64, 3)) + 90 * (index % 3)).astype(np.uint8))
        paths.append(str(path))
    (root / "train.txt").write_text("\n".join(paths) + "\n")
    (root / "emo.names").write_text("dark\ngrey\nlight\n")
    write_data(
        root / "emo.data", classes=3, train="train.txt", valid="train.txt", names="emo.names", labels="emo.names"
    )
    return root / "emo.data"


@pytest.mark.parametrize("name", NETWORKS)
def test_trains_and_gives_the_same_in_opencv_and_onnx(name, shades, tmp_path):
    torch = pytest.importorskip("torch", reason="the built-in engine needs PyTorch")
    cv2 = pytest.importorskip("cv2")
    from darknet_runner.builtin.engine import BuiltinEngine
    from darknet_runner.builtin.network import Network
    from darknet_runner.engine import TrainJob
    from darknet_runner.run import folder as run_folder

    run = run_folder.create(tmp_path / "runs", name)
    run.cfg.write_text(trainable(name).text)
    job = TrainJob(run.cfg, shades, run, device="cpu", threads=1, workers=0, evaluate=False)
    torch.manual_seed(0)  # as the trainer begins: what it moved away from
    cfg = cfg_file.load(run.cfg)
    before = Network(cfg).arrays()
    result = BuiltinEngine().train(job)
    assert (result.verdict, result.iterations) == ("finished", 3) and np.isfinite(result.loss)
    file = run.weights_file("final")
    after = weights_file.read(cfg, file).layers
    for index, (old, new) in enumerate(zip(before, after)):
        for block in old:
            still = name == "vgg-face" and index == 0  # its learning_rate is 0
            assert np.array_equal(old[block], new[block]) == still, f"layer {index} {block}"

    network = Network(cfg).eval()
    network.load(weights_file.read(cfg, file))
    width, height = cfg.size_wh
    pictures = np.random.default_rng(1).random((2, cfg.net.integer("channels"), height, width)).astype(np.float32)
    expected = network.probabilities(torch.from_numpy(pictures)).numpy()
    assert expected.std() > 0
    net = cv2.dnn.readNetFromDarknet(str(run.cfg), str(file))
    net.setInput(pictures)
    np.testing.assert_allclose(net.forward().reshape(2, -1), expected, atol=1e-5)

    pytest.importorskip("onnxruntime", reason="the onnx extra is not installed")
    from emotion.systems.backends import OnnxBackend
    from emotion.systems.models import Model

    model = Model(name, cfg, file, ("dark", "grey", "light"))
    np.testing.assert_allclose(OnnxBackend(model).forward(pictures)[0], expected, atol=1e-5)
