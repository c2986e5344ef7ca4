"""ONNX against the built-in network (every layer with a form there) and against OpenCV (the shipped models)."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from converters.errors import CfgError
from darknet_runner.network import cfg_file, templates, weights_file
from emotion.systems import models
from emotion.systems.backends import OnnxBackend

pytest.importorskip("onnxruntime", reason="the onnx extra is not installed")

CONV = "[convolutional]\nfilters={}\nsize=3\nstride={}\npad=1\nbatch_normalize=1\nactivation={}\n"
DETECTOR = (
    "[net]\nwidth=64\nheight=96\nchannels=3\n"
    + CONV.format(8, 2, "mish")
    + CONV.format(8, 1, "swish")
    + "[shortcut]\nfrom=-2\nweights_type=per_channel\nweights_normalization=softmax\nactivation=leaky\n"  # 2
    + "[maxpool]\nsize=3\nstride=2\n"
    + CONV.format(12, 1, "relu6")
    + CONV.format(6, 2, "tanh")  # 5
    + "[shortcut]\nfrom=3\nactivation=elu\n"  # twice as large, with more channels
    + "[shortcut]\nfrom=4\nactivation=linear\n[batchnorm]\n[local_avgpool]\nsize=3\nstride=1\n"  # 9
    # 12
    + "[avgpool]\n[convolutional]\nfilters=6\nsize=1\nactivation=logistic\n[scale_channels]\nfrom=9\nactivation=relu\n"
    + "[convolutional]\nfilters=6\nsize=1\nactivation=logistic\n[sam]\nfrom=12\n[upsample]\nstride=2\nscale=1.5\n"  # 15
    + "[route]\nlayers=-1,4\n[convolutional]\nfilters=24\nsize=1\nactivation=linear\n"
    + "[yolo]\nmask=0,2\nanchors=8,9,20,11,30,40\nnum=3\nclasses=7\nscale_x_y=1.1\n"  # 18
    + (
        "[route]\nlayers=-3\n"
        "groups=2\n"
        "group_id=1\n"
        "[convolutional]\n"
        "filters=24\n"
        "size=3\n"
        "stride=2\n"
        "stride_x=1\n"
        "pad=1\ndilation=2\nactivation=logistic\n"
    )
    + "[yolo]\nmask=0,1\nanchors=8,9,20,11,30,40\nnum=3\nclasses=7\nscale_x_y=2\nnew_coords=1\n"
    + (
        "[route]\nlayers=16\n"
        "[convolutional]\n"
        "filters=24\n"
        "size=1\n"
        "activation=linear\n"
        "[region]\n"
        "anchors=1,1.5,3,2\nnum=2\n"
        "classes=7\n"
        "softmax=1\n"
    )
)
CLASSIFIER = (
    "[net]\nwidth=24\nheight=24\nchannels=1\n"
    + CONV.format(8, 2, "leaky")
    + "[maxpool]\nsize=2\nstride=2\npadding=0\n[dropout]\n"
    + (
        "[connected]\noutput=10\n"
        "activation=selu\n"
        "batch_normalize=1\n"
        "[connected]\n"
        "output=7\n"
        "activation=linear\n"
        "[softmax]\ntemperature=2\n"
        "[cost]\n"
    )
)


def model_of(cfg, folder, seed=0):
    """A Model of random weights that matter, and the built-in network of them."""
    torch = pytest.importorskip("torch")
    from darknet_runner.builtin.network import Network

    torch.manual_seed(seed)
    network, rng = Network(cfg).eval(), np.random.default_rng(seed)
    arrays = network.arrays()
    for layer in arrays:
        for name, array in layer.items():
            if name != "weights" or array.ndim < 2:
                layer[name] = (
                    rng.uniform(0.5, 1.5, array.shape).astype(np.float32)
                    if name in ("scales", "variance")
                    else rng.normal(0, 0.3, array.shape).astype(np.float32)
                )
    weights_file.write(cfg, folder / "model.weights", arrays, 0)
    network.load(weights_file.read(cfg, folder / "model.weights"))
    return models.Model(
        "random", cfg, folder / "model.weights", tuple(f"c{index}" for index in range(templates.classes_of(cfg)))
    ), network


@pytest.mark.parametrize("text", [DETECTOR, CLASSIFIER], ids=["detector", "classifier"])
def test_every_layer_that_has_a_form(text, tmp_path):
    torch = pytest.importorskip("torch")
    from darknet_runner.builtin.heads import head_of

    cfg = cfg_file.parse(text)
    model, network = model_of(cfg, tmp_path)
    blob = np.random.default_rng(1).random((3, cfg.net.integer("channels"), *cfg.size_wh[::-1]), np.float32)
    (found,) = OnnxBackend(model).forward(blob)
    with torch.no_grad():
        raw = network(torch.from_numpy(blob))
    if not cfg.is_detector:
        expected = torch.softmax(raw[0] / 2, 1)
    else:
        expected = []
        for layer, tensor in zip(network.heads, raw):
            boxes, objectness, classes = head_of(layer.section).decode(tensor, cfg.size_wh)
            rows = torch.cat([boxes, objectness[..., None], classes * objectness[..., None]], -1)
            expected.append(rows.permute(0, 2, 3, 1, 4).flatten(1, 3))
        expected = torch.cat(expected, 1)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-4, atol=1e-5)


def test_what_has_no_form_is_named(tmp_path):
    from emotion.systems.onnx_export import to_onnx

    for section, said in (
        ("[reorg]\nstride=2\n", r"\[reorg\] cannot be exported"),
        ("[maxpool]\nmaxpool_depth=1\nout_channels=2\n", "maxpool_depth cannot be exported"),
        ("[convolutional]\nfilters=4\nactivation=stair\n", "activation stair cannot be exported"),
    ):
        model, _ = model_of(
            cfg_file.parse(
                f"[net]\nwidth=8\nheight=8\nchannels=3\n{CONV.format(4, 1, 'leaky')}{section}[avgpool]\n[softmax]\n"
            ),
            tmp_path,
        )
        with pytest.raises(CfgError, match=said):
            to_onnx(model)


def test_the_file_is_whole(tmp_path):
    """Names and hash are in it, any batch is taken, and it is the same every time."""
    import onnx

    from emotion.systems.onnx_export import to_onnx

    folder = shutil.copytree(models.shipped()["emo-s"], tmp_path / "tight")
    card = folder / "model.toml"
    card.write_text(card.read_text().replace("crop_scale = 1.0", "crop_scale = 0.9"))
    model = models.find(folder, "classifier")
    made = to_onnx(model)
    assert {entry.key: entry.value for entry in made.metadata_props} == {
        "names": "\n".join(model.names),
        "task": "classifier",
        "crop_scale": "0.9",
        "sha256": model.describe()["sha256"],
    }
    assert made.SerializeToString() == to_onnx(model).SerializeToString()
    onnx.save(made, tmp_path / "a.onnx")
    onnx.checker.check_model(str(tmp_path / "a.onnx"), full_check=True)
    assert Path(tmp_path / "a.onnx").stat().st_size < 1.1 * model.weights.stat().st_size


def test_the_command(tmp_path, monkeypatch, capsys):
    import onnxruntime

    from emotion.cli import main

    monkeypatch.chdir(tmp_path)
    for arguments, code, said in (
        (["export", "emo-s"], 0, "emo-s.onnx"),
        (["export", "emo-s"], 2, "emo-s.onnx: exists"),
        (["export", "emo-v4-nano", "--out", "emo-s.onnx", "--force", "--json"], 0, '"task": "detector"'),
        (["export", "nobody"], 2, "there is no model 'nobody'"),
    ):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        output = capsys.readouterr()
        assert ended.value.code == code and said in output.out + output.err
    session = onnxruntime.InferenceSession(str(tmp_path / "emo-s.onnx"), providers=["CPUExecutionProvider"])
    assert session.get_outputs()[0].name == "boxes"
    assert [path.name for path in tmp_path.iterdir()] == ["emo-s.onnx"]
