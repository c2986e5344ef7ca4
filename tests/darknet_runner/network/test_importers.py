"""Weights of Keras, MatConvNet and torch: files made here in their forms, and the outputs of the networks they are
of.
"""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from converters.errors import EmoError, UsageError, WeightsError
from darknet_runner.network import cfg_file, templates, weights_file
from darknet_runner.network.importers import fit
from darknet_runner.network.importers.source import SCALES, InputScale, Source, SourceLayer

torch = pytest.importorskip("torch", reason="the sources are computed with PyTorch")
F = torch.nn.functional
RNG = np.random.default_rng(4)


def draw(*shape, low=-0.5, high=0.5):
    return RNG.uniform(low, high, shape).astype(np.float32)


def norm_of(channels):
    """gamma, beta, mean, variance; small variances, so that another epsilon shows."""
    return draw(channels, low=0.5, high=1.5), draw(channels), draw(channels), draw(channels, low=0.002, high=0.05)


def run(cfg, path):
    """The imported network on pictures: (pictures (2, C, H, W), its last layer before the softmax)."""
    from darknet_runner.builtin.network import Network

    network = Network(cfg).eval()
    network.load(weights_file.read(cfg, path, prefix=True))
    width, height = cfg.size_wh
    x = np.random.default_rng(9).random((2, cfg.net.integer("channels"), height, width)).astype(np.float32)
    with torch.no_grad():
        return torch.from_numpy(x), network(torch.from_numpy(x))[0], network


# --- Keras --------------------------------------------------------------------------------------------------------

KERAS_CFG = (Path(__file__).parents[2] / "cfg" / "classifier-keras.cfg").read_text()


def write_keras(path, layers, config=None):
    """layers: (name, [(weight's name, array)]), as Keras 2 writes them; config: the model's, or weights alone."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        group = file
        if config is not None:
            file.attrs["model_config"] = json.dumps(
                {"class_name": "Sequential", "config": {"name": "sequential", "layers": config}}
            )
            group = file.create_group("model_weights")
        group.attrs["layer_names"] = [name.encode() for name, _ in layers]
        for name, weights in layers:
            layer = group.create_group(name)
            layer.attrs["weight_names"] = [weight.encode() for weight, _ in weights]
            for weight, array in weights:
                layer.create_dataset(weight, data=array)
    return path


def keras_net():
    """Arrays of a small Keras network, and a function that computes it on (B, H, W, 3), channels last."""
    k1, b1, n1 = draw(3, 3, 3, 6), draw(6), norm_of(6)
    k2, b2 = draw(3, 3, 6, 8), draw(8)
    d1, c1, n2 = draw(4 * 5 * 8, 9), draw(9), norm_of(9)
    d2, c2 = draw(9, 4), draw(4)

    def forward(x, eps):
        def norm(x, n):
            gamma, beta, mean, variance = map(torch.from_numpy, n)
            return (x - mean) / torch.sqrt(variance + eps) * gamma + beta

        x = F.conv2d(x.permute(0, 3, 1, 2), torch.from_numpy(k1).permute(3, 2, 0, 1), torch.from_numpy(b1)).permute(
            0, 2, 3, 1
        )
        x = torch.relu(norm(x, n1)).permute(0, 3, 1, 2)
        x = F.max_pool2d(
            torch.relu(F.conv2d(x, torch.from_numpy(k2).permute(3, 2, 0, 1), torch.from_numpy(b2), padding=1)), 2
        )
        x = x.permute(0, 2, 3, 1).flatten(1)  # Keras flattens height, width, channel
        x = torch.tanh(norm(x @ torch.from_numpy(d1) + torch.from_numpy(c1), n2))
        return x @ torch.from_numpy(d2) + torch.from_numpy(c2)

    def batch_norm(name, n):
        return name, [
            (f"{name}/{part}:0", array) for part, array in zip(("gamma", "beta", "moving_mean", "moving_variance"), n)
        ]

    layers = [
        ("conv2d", [("conv2d/kernel:0", k1), ("conv2d/bias:0", b1)]),
        batch_norm("batch_normalization", n1),
        ("activation", []),
        ("conv2d_1", [("conv2d_1/kernel:0", k2), ("conv2d_1/bias:0", b2)]),
        ("max_pooling2d", []),
        ("flatten", []),
        ("dense", [("dense/kernel:0", d1), ("dense/bias:0", c1)]),
        batch_norm("batch_normalization_1", n2),
        ("dense_1", [("dense_1/kernel:0", d2), ("dense_1/bias:0", c2)]),
    ]
    config = [
        {"class_name": "Conv2D", "config": {"name": "conv2d", "activation": "linear", "padding": "valid"}},
        {"class_name": "BatchNormalization", "config": {"name": "batch_normalization", "epsilon": 0.01}},
        {"class_name": "Activation", "config": {"name": "activation", "activation": "relu"}},
        {"class_name": "Conv2D", "config": {"name": "conv2d_1", "activation": "relu", "padding": "same"}},
        {"class_name": "MaxPooling2D", "config": {"name": "max_pooling2d"}},
        {"class_name": "Flatten", "config": {"name": "flatten"}},
        {"class_name": "Dense", "config": {"name": "dense", "activation": "linear"}},
        {"class_name": "BatchNormalization", "config": {"name": "batch_normalization_1", "epsilon": 0.01}},
        {"class_name": "Activation", "config": {"name": "activation_1", "activation": "tanh"}},
        {"class_name": "Dense", "config": {"name": "dense_1", "activation": "softmax"}},
    ]
    return layers, config, forward


@pytest.mark.parametrize("norm", [1, 0], ids=["normalised", "folded"])
@pytest.mark.parametrize("whole", [True, False], ids=["model", "weights"])
def test_a_keras_net_computes_the_same(norm, whole, tmp_path):
    layers, config, forward = keras_net()
    path = write_keras(tmp_path / "net.h5", layers, config if whole else None)
    cfg = cfg_file.parse(KERAS_CFG.format(norm=norm))
    found = fit.import_weights(path, cfg, tmp_path / "net.weights")
    assert (
        found.whole
        and not found.unused
        and [row.source for row in found.rows] == ["conv2d", "conv2d_1", "dense", "dense_1"]
    )
    assert found.form == ("Keras model" if whole else "Keras weights")
    x, logits, _ = run(cfg, tmp_path / "net.weights")
    expected = forward(x.permute(0, 2, 3, 1), 0.01 if whole else 0.001)
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=1e-4)


def test_a_keras_file_does_not_lead_to_other_files(tmp_path):
    h5py = pytest.importorskip("h5py")
    layers, config, _ = keras_net()
    path, secret = write_keras(tmp_path / "net.h5", layers, config), write_keras(tmp_path / "secret.h5", layers, config)
    for old in ("model_weights/conv2d/conv2d/kernel:0", "model_weights/dense"):
        with h5py.File(path, "a") as file:
            del file[old]
            file[old] = h5py.ExternalLink(str(secret), old)
        with pytest.raises(WeightsError, match="lies in another file, .*secret.h5"):
            fit.import_weights(path, cfg_file.parse(KERAS_CFG.format(norm=1)), tmp_path / "net.weights")
        write_keras(path, layers, config)
    assert not (tmp_path / "net.weights").exists()


def test_long_lists_of_names_are_cut(tmp_path):
    """Keras writes layer_names0, layer_names1, ... where one attribute would be too long for HDF5."""
    h5py = pytest.importorskip("h5py")
    layers, _, forward = keras_net()
    path = write_keras(tmp_path / "net.h5", layers)
    with h5py.File(path, "a") as file:
        names = file.attrs["layer_names"]
        del file.attrs["layer_names"]
        file.attrs["layer_names0"], file.attrs["layer_names1"] = names[:4], names[4:]
    cfg = cfg_file.parse(KERAS_CFG.format(norm=1))
    assert fit.import_weights(path, cfg, tmp_path / "net.weights").whole
    x, logits, _ = run(cfg, tmp_path / "net.weights")
    torch.testing.assert_close(logits, forward(x.permute(0, 2, 3, 1), 0.001), atol=2e-5, rtol=1e-5)


def write_keras3(path, layers, config):
    """As Keras 3 writes a .keras file: the variables by number, in groups that are named by the layers' classes."""
    h5py = pytest.importorskip("h5py")
    arrays, used = {name: [array for _, array in weights] for name, weights in layers}, {}
    with h5py.File(path.with_suffix(".tmp"), "w") as file:
        for layer in config:
            kind = {
                "Conv2D": "conv2d",
                "BatchNormalization": "batch_normalization",
                "Dense": "dense",
                "MaxPooling2D": "max_pooling2d",
            }.get(layer["class_name"], layer["class_name"].lower())
            used[kind] = used.get(kind, -1) + 1
            group = file.create_group(f"layers/{kind}" + (f"_{used[kind]}" if used[kind] else "") + "/vars")
            for number, array in enumerate(arrays.get(layer["config"]["name"], [])):
                group[str(number)] = array
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(
            "config.json", json.dumps({"class_name": "Sequential", "config": {"name": "sequential", "layers": config}})
        )
        file.write(path.with_suffix(".tmp"), "model.weights.h5")
    return path


def test_keras_3s_own_form(tmp_path):
    layers, config, forward = keras_net()
    path = write_keras3(tmp_path / "net.keras", layers, config)
    cfg = cfg_file.parse(KERAS_CFG.format(norm=1))
    found = fit.import_weights(path, cfg, tmp_path / "net.weights")
    assert (
        found.whole
        and found.form == "Keras model"
        and [row.source for row in found.rows] == ["conv2d", "conv2d_1", "dense", "dense_1"]
    )
    x, logits, _ = run(cfg, tmp_path / "net.weights")
    torch.testing.assert_close(logits, forward(x.permute(0, 2, 3, 1), 0.01), atol=2e-5, rtol=1e-5)
    for content, what in (
        ({"config.json": "{}"}, "not a Keras model"),
        ({"config.json": "{", "model.weights.h5": ""}, "not JSON"),
        ({"config.json": "{}", "model.weights.h5": "x"}, "cannot be read"),
    ):
        with zipfile.ZipFile(tmp_path / "bad.keras", "w") as file:
            for name, text in content.items():
                file.writestr(name, text)
        with pytest.raises(WeightsError, match=what):
            fit.import_weights(tmp_path / "bad.keras", cfg, tmp_path / "x.weights")


def test_what_keras_was_shown_is_worked_in(tmp_path):
    layers, config, forward = keras_net()
    path = write_keras(tmp_path / "net.h5", layers, config)
    cfg = cfg_file.parse(KERAS_CFG.format(norm=1))
    fit.import_weights(path, cfg, tmp_path / "net.weights", "caffe")
    x, logits, _ = run(cfg, tmp_path / "net.weights")
    shown = 255 * x.flip(1) - torch.tensor([103.939, 116.779, 123.68]).view(3, 1, 1)
    torch.testing.assert_close(logits, forward(shown.permute(0, 2, 3, 1), 0.01), atol=1e-3, rtol=1e-3)
    grey = cfg.edit({0: {"channels": 1}})
    fit.import_weights(path, grey, tmp_path / "grey.weights", "-1..1")
    x, logits, _ = run(grey, tmp_path / "grey.weights")
    torch.testing.assert_close(
        logits, forward((2 * x - 1).expand(-1, 3, -1, -1).permute(0, 2, 3, 1), 0.01), atol=1e-4, rtol=1e-4
    )


def test_a_batch_norm_behind_an_activation_needs_a_layer_of_its_own(tmp_path):
    k, b, n, d, c = draw(3, 3, 1, 4), draw(4), norm_of(4), draw(4, 3), draw(3)
    layers = [
        ("conv2d", [("conv2d/kernel:0", k), ("conv2d/bias:0", b)]),
        (
            "bn",
            [(f"bn/{part}:0", array) for part, array in zip(("gamma", "beta", "moving_mean", "moving_variance"), n)],
        ),
        ("dense", [("dense/kernel:0", d), ("dense/bias:0", c)]),
    ]
    config = [
        {"class_name": "Conv2D", "config": {"name": "conv2d", "activation": "relu"}},
        {"class_name": "BatchNormalization", "config": {"name": "bn"}},
        {"class_name": "GlobalAveragePooling2D", "config": {"name": "pool"}},
        {"class_name": "Dense", "config": {"name": "dense", "activation": "softmax"}},
    ]
    path = write_keras(tmp_path / "net.h5", layers, config)
    text = (
        "[net]\nwidth=8\nheight=8\n"
        "channels=1\n"
        "[convolutional]\n"
        "filters=4\n"
        "size=3\n"
        "activation=relu\n"
        "{}[avgpool]\n[connected]\n"
        "output=3\n"
        "activation=linear\n"
        "[softmax]\n"
    )
    cfg = cfg_file.parse(text.format("[batchnorm]\n"))
    assert fit.import_weights(path, cfg, tmp_path / "net.weights").whole
    x, logits, _ = run(cfg, tmp_path / "net.weights")
    y = torch.relu(F.conv2d(x, torch.from_numpy(k).permute(3, 2, 0, 1), torch.from_numpy(b)))
    y = F.batch_norm(y, *map(torch.from_numpy, (n[2], n[3], n[0], n[1])), False, eps=1e-3).mean((2, 3))
    torch.testing.assert_close(logits, y @ torch.from_numpy(d) + torch.from_numpy(c), atol=1e-4, rtol=1e-4)
    with pytest.raises(WeightsError, match="gives no layer|batch norm behind an activation, 'bn'"):
        fit.import_weights(
            path,
            cfg_file.parse(text.format("[convolutional]\nfilters=4\nsize=1\nactivation=linear\n")),
            tmp_path / "x.weights",
        )


def test_separable_and_nested_keras_layers(tmp_path):
    """A SeparableConv2D is two layers here; a model in a model, Keras 3's names."""
    depthwise, pointwise, bias = draw(3, 3, 2, 2), draw(1, 1, 4, 5), draw(5)
    first, start = draw(1, 1, 3, 2), draw(2)
    inner = [
        ("base/conv/kernel", first),
        ("base/conv/bias", start),
        ("base/sep/depthwise_kernel", depthwise),
        ("base/sep/pointwise_kernel", pointwise),
        ("base/sep/bias", bias),
    ]
    path = write_keras(tmp_path / "net.h5", [("base", inner)])
    text = "[net]\nwidth=6\nheight=6\nchannels=3\n" + "".join(
        f"[convolutional]\nfilters={filters}\nsize={size}\npad=1\ngroups={groups}\nactivation=linear\n"
        for filters, size, groups in ((2, 1, 1), (4, 3, 2), (5, 1, 1))
    )
    cfg = cfg_file.parse(text)
    found = fit.import_weights(path, cfg, tmp_path / "net.weights")
    assert found.whole and [row.source for row in found.rows] == ["conv", "sep", "sep"]
    x, out, _ = run(cfg, tmp_path / "net.weights")
    y = F.conv2d(x, torch.from_numpy(first).permute(3, 2, 0, 1), torch.from_numpy(start))
    planes = [
        F.conv2d(y[:, c : c + 1], torch.from_numpy(depthwise[:, :, c, m].copy())[None, None], padding=1)
        for c in range(2)
        for m in range(2)
    ]
    y = F.conv2d(torch.cat(planes, 1), torch.from_numpy(pointwise).permute(3, 2, 0, 1), torch.from_numpy(bias))
    torch.testing.assert_close(out, y.flatten(1), atol=1e-5, rtol=1e-5)


# --- VGG-Face -----------------------------------------------------------------------------------------------------

CHANNELS = [64] * 2 + [128] * 2 + [256] * 3 + [512] * 6
NAMES = [f"conv{stage}_{number}" for stage, count in enumerate((2, 2, 3, 3, 3), 1) for number in range(1, count + 1)]


@pytest.mark.parametrize("naming, scale", [("paper", "vgg-face"), ("numbered", "vgg-face-rgb")])
def test_vgg_face_as_keras_h5(naming, scale, tmp_path):
    """The published sizes with constant kernels: rcmalli's names with dense fc layers, and numbered ones with fc as
    convolutions.
    """
    h5py = pytest.importorskip("h5py")
    names = NAMES if naming == "paper" else [f"conv2d_{number}" for number in range(1, 14)]
    with h5py.File(tmp_path / "vgg.h5", "w") as file:
        before, listed = 3, []
        for index, (name, channels) in enumerate(zip(names, CHANNELS)):
            layer = file.create_group(name)
            layer.attrs["weight_names"] = [f"{name}/kernel:0", f"{name}/bias:0"]
            kernel = np.zeros((3, 3, before, channels), np.float32)
            kernel[1, 1] = np.eye(before, channels) * (1 if index else 1 / 255)  # each channel on, unchanged
            layer.create_dataset(f"{name}/kernel:0", data=kernel, compression=1)
            layer.create_dataset(f"{name}/bias:0", data=np.full(channels, 0.25, np.float32))
            listed, before = [*listed, name], channels
        fc = file.create_group("fc6")
        fc.attrs["weight_names"] = ["fc6/kernel:0", "fc6/bias:0"]
        fc.create_dataset(
            "fc6/kernel:0", shape=(25088, 4096) if naming == "paper" else (7, 7, 512, 4096), dtype="f4", compression=1
        )  # zeros, not stored
        fc.create_dataset("fc6/bias:0", data=np.zeros(4096, np.float32))
        file.attrs["layer_names"] = [*listed, "fc6"]
    cfg = templates.load("vgg-face")
    found = fit.import_weights(tmp_path / "vgg.h5", cfg, tmp_path / "vgg.weights")
    made = found.rows[0]
    assert (made.how, [row.source for row in found.rows[1:14]]) == ("made", names) and [
        row.how for row in found.rows[14:]
    ] == ["new", "new"]
    assert not found.whole and found.unused[0].startswith("fc6") and SCALES[scale].about in found.notes[0]
    # The file is the start of a training of the cfg, at 64 pixels as at 224.
    x, _, network = run(templates.render("vgg-face", 7, size=64), tmp_path / "vgg.weights")
    with torch.no_grad():
        seen = network.outputs(x)
    order = [2, 1, 0] if naming == "paper" else [0, 1, 2]
    mean = torch.tensor([129.1863, 104.7624, 93.5940])[order].view(3, 1, 1)
    torch.testing.assert_close(seen[0], 255 * x[:, order] - mean, atol=1e-3, rtol=1e-5)
    torch.testing.assert_close(seen[1][:, :3], torch.relu(seen[0] / 255 + 0.25), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(seen[2][:, :3], seen[1][:, :3] + 0.25, atol=1e-5, rtol=1e-4)


SMALL = (Path(__file__).parents[2] / "cfg" / "classifier-small.cfg").read_text()
SCALE = "[convolutional]\nfilters=3\nsize=1\nactivation=linear\n"


@pytest.mark.parametrize("holder", ["net", "top", "older"])
def test_matconvnet(holder, tmp_path):
    """Filters (h, w, in, out), fc layers as convolutions over the whole map, RGB less the file's own mean."""
    scipy = pytest.importorskip("scipy.io")
    k, b, fc, c, last, e = draw(3, 3, 3, 4), draw(4), draw(4, 4, 4, 5), draw(5), draw(1, 1, 5, 3), draw(3)
    mean = np.array([120.0, 100.0, 90.0])

    def conv(name, kernel, bias):
        if holder == "older":
            return {"type": "conv", "name": name, "filters": kernel, "biases": bias.reshape(1, -1)}
        return {"type": "conv", "name": name, "weights": np.array([kernel, bias.reshape(-1, 1)], object)}

    layers = [
        conv("conv1_1", k, b),
        {"type": "relu", "name": "relu1_1"},
        {"type": "pool", "name": "pool1"},
        conv("fc6", fc, c),
        {"type": "relu", "name": "relu6"},
        conv("fc8", last, e),
        {"type": "softmax", "name": "prob"},
    ]
    cells = np.empty((1, len(layers)), object)
    cells[0, :] = layers
    meta = {
        "normalization": {
            "averageImage": mean.reshape(1, 1, 3) if holder != "top" else np.broadcast_to(mean, (8, 8, 3))
        }
    }
    content = {
        "net": {"layers": cells, "meta": meta},
        "top": {"layers": cells, "meta": meta},
        "older": {"layers": cells, **meta},
    }
    scipy.savemat(tmp_path / "net.mat", {"net": content["net"]} if holder == "net" else content[holder])
    cfg = cfg_file.parse(SMALL.format(3, SCALE))
    found = fit.import_weights(tmp_path / "net.mat", cfg, tmp_path / "net.weights")
    assert found.whole and [row.source for row in found.rows[1:]] == ["conv1_1", "fc6", "fc8"] and not found.notes[1:]
    x, logits, _ = run(cfg, tmp_path / "net.weights")
    y = 255 * x - torch.tensor(mean, dtype=torch.float32).view(3, 1, 1)
    y = F.max_pool2d(
        torch.relu(F.conv2d(y, torch.from_numpy(k).permute(3, 2, 0, 1), torch.from_numpy(b), padding=1)), 2
    )
    y = torch.relu(F.conv2d(y, torch.from_numpy(fc).permute(3, 2, 0, 1), torch.from_numpy(c)))
    expected = F.conv2d(y, torch.from_numpy(last).permute(3, 2, 0, 1), torch.from_numpy(e)).flatten(1)
    torch.testing.assert_close(logits, expected, atol=2e-2, rtol=1e-4)
    # Without a layer for the scale it goes into the first convolution; what that changes at the border is said.
    plain = cfg_file.parse(SMALL.format(3, ""))
    assert any(
        "border" in note for note in fit.import_weights(tmp_path / "net.mat", plain, tmp_path / "plain.weights").notes
    )
    inner = run(plain, tmp_path / "plain.weights")[2].outputs(x)[0][:, :, 1:-1, 1:-1]
    torch.testing.assert_close(
        inner, run(cfg, tmp_path / "net.weights")[2].outputs(x)[1][:, :, 1:-1, 1:-1], atol=1e-2, rtol=1e-4
    )


# --- torch --------------------------------------------------------------------------------------------------------


class Block(torch.nn.Module):
    """torchvision's BasicBlock and Bottleneck, by their names."""

    def __init__(self, before, filters, stride, deep):
        super().__init__()
        nn, out = torch.nn, filters * (4 if deep else 1)
        shapes = (
            [(before, filters, 1, 1), (filters, filters, 3, stride), (filters, out, 1, 1)]
            if deep
            else [(before, filters, 3, stride), (filters, out, 3, 1)]
        )
        for number, (a, b, size, step) in enumerate(shapes, 1):
            setattr(self, f"conv{number}", nn.Conv2d(a, b, size, step, size // 2, bias=False))
            setattr(self, f"bn{number}", nn.BatchNorm2d(b))
        self.count = len(shapes)
        self.downsample = (
            nn.Sequential(nn.Conv2d(before, out, 1, stride, bias=False), nn.BatchNorm2d(out))
            if stride > 1 or before != out
            else None
        )

    def forward(self, x):
        y = x
        for number in range(1, self.count + 1):
            y = getattr(self, f"bn{number}")(getattr(self, f"conv{number}")(y))
            y = torch.relu(y) if number < self.count else y
        return torch.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet(torch.nn.Module):
    def __init__(self, blocks, deep, classes=1000):
        super().__init__()
        nn, before = torch.nn, 64
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        for stage, (count, filters) in enumerate(zip(blocks, (64, 128, 256, 512)), 1):
            made = []
            for number in range(count):
                made.append(Block(before, filters, 2 if stage > 1 and not number else 1, deep))
                before = filters * (4 if deep else 1)
            setattr(self, f"layer{stage}", nn.Sequential(*made))
        self.fc = nn.Linear(before, classes)

    def forward(self, x):
        x = F.max_pool2d(torch.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        return self.fc(self.layer4(self.layer3(self.layer2(self.layer1(x)))).mean((2, 3)))


def lively(module):
    """Batch norms that do something."""
    for part in module.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.running_mean.uniform_(-0.1, 0.1)
            part.running_var.uniform_(0.5, 1.5)
            torch.nn.init.uniform_(part.weight, 0.5, 1)
            torch.nn.init.uniform_(part.bias, -0.1, 0.1)
    return module.eval()


@pytest.mark.parametrize("name, blocks, deep", [("resnet18", (2, 2, 2, 2), False), ("resnet50", (3, 4, 6, 3), True)])
def test_torchvisions_resnets(name, blocks, deep, tmp_path):
    torch.manual_seed(2)
    source = lively(ResNet(blocks, deep))
    torch.save(source.state_dict(), tmp_path / "net.pth")
    cfg = templates.load(name).edit({0: {"channels": 3, "width": 64, "height": 64}, 1: {"stride": 2}})
    cfg = templates.render(cfg, 1000)
    found = fit.import_weights(tmp_path / "net.pth", cfg, tmp_path / "net.weights", "0..1")
    assert found.whole and not found.unused
    x, logits, _ = run(cfg, tmp_path / "net.weights")
    with torch.no_grad():
        torch.testing.assert_close(logits, source(x), atol=1e-3, rtol=1e-3)
    # For seven classes and grey faces of 48 pixels, as it ships: all but the top, with ImageNet's scale in the first
    # layer.
    seven = templates.load(name)
    found = fit.import_weights(tmp_path / "net.pth", seven, tmp_path / "seven.weights")
    assert not found.whole and [row.how for row in found.rows].count("new") == 1 and found.rows[-1].kind == "connected"
    x, _, network = run(seven, tmp_path / "seven.weights")
    mean, deviation = (
        torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1),
        torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1),
    )
    with torch.no_grad():
        stem = torch.relu(
            source.bn1(F.conv2d((x.expand(-1, 3, -1, -1) - mean) / deviation, source.conv1.weight, padding=3))
        )
        torch.testing.assert_close(
            network.outputs(x)[0][:, :, 3:-3, 3:-3], stem[:, :, 3:-3, 3:-3], atol=1e-4, rtol=1e-4
        )


@pytest.mark.parametrize("norm", [False, True], ids=["vgg", "vgg_bn"])
@pytest.mark.parametrize("cfg_norm", [0, 1])
def test_torchvisions_vgg(norm, cfg_norm, tmp_path):
    """`features` and `classifier` of narrow layers; plain into batch norm, batch norm into plain, and each into its
    own.
    """
    nn = torch.nn
    torch.manual_seed(3)
    parts = []
    for a, b in ((3, 6), (6, 8)):
        parts += [nn.Conv2d(a, b, 3, padding=1), *([nn.BatchNorm2d(b)] if norm else []), nn.ReLU(), nn.MaxPool2d(2)]
    source = nn.ModuleDict(
        {
            "features": nn.Sequential(*parts),
            "classifier": nn.Sequential(nn.Linear(8 * 4, 7), nn.ReLU(), nn.Dropout(), nn.Linear(7, 5)),
        }
    )
    lively(source)
    torch.save(
        {"epoch": 3, "state_dict": {f"module.{key}": value for key, value in source.state_dict().items()}},
        tmp_path / "net.pth",
    )
    text = (
        "[net]\nwidth=8\nheight=8\nchannels=3\n"
        + "".join(
            (
                f"[convolutional]\nfilters={filters}\n"
                "size=3\npad=1\n"
                f"batch_normalize={cfg_norm}\n"
                "activation=relu\n[maxpool]\n"
                "size=2\n"
                "stride=2\n"
            )
            for filters in (6, 8)
        )
        + "[connected]\noutput=7\nactivation=relu\n[dropout]\n[connected]\noutput=5\nactivation=linear\n[softmax]\n"
    )
    cfg = cfg_file.parse(text)
    found = fit.import_weights(tmp_path / "net.pth", cfg, tmp_path / "net.weights", "0..1")
    assert found.whole and found.rows[0].source == "features.0"
    x, logits, _ = run(cfg, tmp_path / "net.weights")
    with torch.no_grad():
        torch.testing.assert_close(logits, source["classifier"](source["features"](x).flatten(1)), atol=1e-5, rtol=1e-4)
    wider = cfg_file.parse(text.replace("output=7", "output=9"))
    found = fit.import_weights(tmp_path / "net.pth", wider, tmp_path / "wider.weights")
    assert found.layers == 4 and len(found.unused) == 2  # a new top: as `partial` would end it, before the dense layers
    assert (tmp_path / "wider.weights").stat().st_size == weights_file.weights_bytes(weights_file.trace(wider)[:4])


# --- what does not fit --------------------------------------------------------------------------------------------


def test_another_network_is_refused(tmp_path):
    layers, config, _ = keras_net()
    path = write_keras(tmp_path / "net.h5", layers, config)
    for change, shapes in (({"filters": 7}, "7x3x3x3"), ({"size": 5}, "6x3x5x5")):
        cfg = cfg_file.parse(KERAS_CFG.format(norm=1)).edit({1: change})
        with pytest.raises(WeightsError, match=f"layer 0 .convolutional. takes {shapes}; next is 'conv2d', 6x3x3x3"):
            fit.import_weights(path, cfg, tmp_path / "x.weights")
    with pytest.raises(WeightsError, match="layer 1 .convolutional. takes 9x6x3x3; next is 'conv2d_1', 8x6x3x3"):
        fit.import_weights(
            path, cfg_file.parse(KERAS_CFG.format(norm=1)).edit({2: {"filters": 9}}), tmp_path / "x.weights"
        )
    assert not (tmp_path / "x.weights").exists()


def test_files_that_are_none(tmp_path):
    h5py = pytest.importorskip("h5py")
    cfg = cfg_file.parse(KERAS_CFG.format(norm=1))
    for name in ("a.h5", "a.keras", "a.mat", "a.pth", "a.pt"):
        (tmp_path / name).write_bytes(b"nothing of the kind")
        with pytest.raises(WeightsError) as caught:
            fit.import_weights(tmp_path / name, cfg, tmp_path / "x.weights")
        assert "\n" not in str(caught.value)
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["x"] = [1, 2]
    torch.save([1, 2, 3], tmp_path / "b.pth")
    torch.save({"lstm.weight_ih_l0": torch.zeros(4, 4)}, tmp_path / "c.pth")
    for name, what in (("b.h5", "not a Keras model"), ("b.pth", "no state dict"), ("c.pth", "'lstm'")):
        with pytest.raises(WeightsError, match=what):
            fit.import_weights(tmp_path / name, cfg, tmp_path / "x.weights")
    with pytest.raises(UsageError, match=".weights has no format|known: "):
        fit.import_weights(tmp_path / "a.tflite", cfg, tmp_path / "x.weights")
    with pytest.raises(WeightsError, match="no such file"):
        fit.import_weights(tmp_path / "none.h5", cfg, tmp_path / "x.weights")


@pytest.mark.parametrize(
    "change, what",
    [
        (("conv2d_1/bias:0", lambda a: a[:3]), "'conv2d_1' has 3 biases, but 8 outputs"),
        (("dense/kernel:0", lambda a: a * np.nan), "'dense' has values that are not finite"),
        (("batch_normalization/moving_variance:0", lambda a: -a), "'batch_normalization' has a variance below zero"),
    ],
)
def test_arrays_that_no_network_has_are_named(change, what, tmp_path):
    layers, config, _ = keras_net()
    name, made = change
    bad = [(layer, [(key, made(one) if key == name else one) for key, one in arrays]) for layer, arrays in layers]
    path = write_keras(tmp_path / "net.h5", bad, config)
    with pytest.raises(WeightsError, match=f"net.h5: layer {what}"):
        fit.import_weights(path, cfg_file.parse(KERAS_CFG.format(norm=1)), tmp_path / "x.weights")


@pytest.mark.filterwarnings("error")
def test_what_torch_says_is_told_in_few_words(tmp_path):
    whole = torch.nn.Sequential(torch.nn.Conv2d(3, 6, 3))
    torch.save(whole, tmp_path / "object.pth")
    torch.save(whole.state_dict(), tmp_path / "net.pth")
    (tmp_path / "cut.pth").write_bytes((tmp_path / "net.pth").read_bytes()[:900])
    (tmp_path / "empty.pth").write_bytes(b"")
    torch.save({"0.weight": torch.zeros(6, 3, 3, 3, dtype=torch.complex64)}, tmp_path / "complex.pth")
    torch.save({1: torch.zeros(6, 3, 3, 3)}, tmp_path / "number.pth")
    for name, what in (
        ("object", "holds objects of Python, which emo does not load, as they could run code .save model.state_dict"),
        ("cut", "it is cut off"),
        ("empty", "it is cut off"),
        ("complex", "'0.weight' is sparse, complex or quantized"),
        ("number", "is not a convolution"),
    ):
        with pytest.raises(WeightsError, match=what):
            fit.read_source(tmp_path / f"{name}.pth")


def test_the_table_has_the_sources_own_shapes_and_the_folder_is_made(tmp_path):
    torch.save({"features.0.weight": torch.rand(6, 3, 3, 3), "features.0.bias": torch.rand(6)}, tmp_path / "net.pth")
    cfg = cfg_file.parse(
        "[net]\nwidth=8\nheight=8\nchannels=1\n[convolutional]\nfilters=6\nsize=3\npad=1\nactivation=relu\n"
    )
    found = fit.import_weights(tmp_path / "net.pth", cfg, tmp_path / "new" / "net.weights")
    (row,) = found.rows
    assert (row.shape, row.source_shape, row.how) == ((6, 1, 3, 3), (6, 3, 3, 3), "copied, colours summed to grey")
    assert (tmp_path / "new" / "net.weights").is_file()


def test_a_checkpoint_runs_no_code(tmp_path):
    import pickle

    class Bad:
        def __reduce__(self):
            return open, (str(tmp_path / "ran"), "w")

    (tmp_path / "bad.pth").write_bytes(pickle.dumps({"features.0.weight": Bad()}, protocol=2))
    with pytest.raises(EmoError):
        fit.import_weights(tmp_path / "bad.pth", cfg_file.parse(KERAS_CFG.format(norm=1)), tmp_path / "x.weights")
    assert not (tmp_path / "ran").exists()


def test_a_grey_source_sees_colour_as_luminance():
    kernel = draw(2, 1, 1, 1)
    source = Source(None, "test", (SourceLayer("only", kernel, None),), InputScale("0..255", (255.0,) * 3, (0.0,) * 3))
    cfg = cfg_file.parse(
        "[net]\nwidth=4\nheight=4\nchannels=3\n[convolutional]\nfilters=2\nsize=1\nactivation=linear\n"
    )
    arrays, found = fit.fit(source, cfg)
    np.testing.assert_allclose(
        arrays[0]["weights"][:, :, 0, 0], kernel[:, 0, 0] * 255 * np.array([0.299, 0.587, 0.114]), rtol=1e-6
    )
    assert found.whole
    with pytest.raises(UsageError, match="--input vgg-face is of colour"):
        fit.fit(source, cfg, "vgg-face")


def test_broken_files_are_one_line(tmp_path):
    """Every byte of a small file turned, one at a time, or the end cut off: an answer or one line, never a
    traceback.
    """
    layers, config, _ = keras_net()
    torch.save({"0.weight": torch.rand(6, 3, 3, 3), "0.bias": torch.rand(6)}, tmp_path / "net.pth")
    paths = [
        write_keras(tmp_path / "net.h5", layers, config),
        write_keras3(tmp_path / "net.keras", layers, config),
        tmp_path / "net.pth",
    ]
    cfg, rng, failed = cfg_file.parse(KERAS_CFG.format(norm=1)), np.random.default_rng(8), 0
    for path in paths:
        data = path.read_bytes()
        for turn in range(60):
            changed = bytearray(data)
            for place in rng.integers(0, len(data) if turn % 2 else min(len(data), 2500), 1 + turn % 5):
                changed[place] = rng.integers(256)
            (tmp_path / f"bad{path.suffix}").write_bytes(
                changed[: len(data) if turn % 3 else int(rng.integers(len(data)))]
            )
            try:
                fit.import_weights(tmp_path / f"bad{path.suffix}", cfg, tmp_path / "x.weights")
            except EmoError as error:
                failed += 1
                assert "\n" not in str(error)
    assert failed > 60


def test_an_array_that_claims_to_be_huge(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "bomb.h5", "w") as file:
        file.attrs["layer_names"] = ["conv"]
        layer = file.create_group("conv")
        layer.attrs["weight_names"] = ["conv/kernel:0"]
        layer.create_dataset("conv/kernel:0", shape=(3, 3, 1 << 15, 1 << 15), dtype="f4", chunks=(3, 3, 64, 64))
    with pytest.raises(WeightsError, match="which no such layer has"):
        fit.import_weights(tmp_path / "bomb.h5", cfg_file.parse(KERAS_CFG.format(norm=1)), tmp_path / "x.weights")
