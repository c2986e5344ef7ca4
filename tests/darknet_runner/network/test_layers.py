"""Shapes, parameters and operations: figures that real binaries printed, and cases worked out by hand."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from converters.errors import CfgError
from darknet_runner.network import cfg_file, layers, templates, weights_file

FIGURES = json.loads((Path(__file__).parents[1] / "fixtures" / "alexey_layers.json").read_text())["cfgs"]


def network(*sections, size="24x16x6"):
    width, height, channels = size.split("x")
    return cfg_file.parse(
        f"[net]\nwidth={width}\nheight={height}\nchannels={channels}\n" + "\n".join(sections), "test.cfg"
    )


def last(*sections, **net):
    return layers.trace(network(*sections, **net))[-1]


@pytest.mark.parametrize("name", FIGURES)
def test_figures_are_those_that_a_binary_printed_for_the_upstream_cfg(name):
    expected, traced = FIGURES[name], layers.trace(templates.load(name))
    found = []
    for layer in traced:
        width, height, channels = layer.out
        if layer.type in ("softmax", "cost"):
            found.append(f"{layer.type} {width * height * channels}")
        else:
            found.append(f"{layer.type} {width}x{height}x{channels} {layer.bflops:.3f}")
    assert found == expected["layers"]
    assert f"{layers.total_bflops(traced):.3f}" == expected["total_bflops"]
    assert weights_file.weights_bytes(traced) == expected["weights_bytes"]


@pytest.mark.parametrize("name", ["v3-tiny", "darknet-ref", "darknet-ref-17", "darknet-tiny", "face-small"])
def test_operations_are_those_of_debians_darknet(name, debian):
    cfg = templates.load(name)
    printed = subprocess.run(
        [debian, "ops", str(cfg.path)], capture_output=True, text=True, timeout=120, check=False
    ).stdout
    assert re.search(r"Operations: (\d+)$", printed, re.MULTILINE)[1] == str(
        sum(layer.operations for layer in layers.trace(cfg))
    )


@pytest.mark.parametrize(
    ("section", "out", "blocks"),
    [
        # (24 + 2 - 3) // 2 + 1 = 12, (16 + 2 - 3) // 2 + 1 = 8
        ("[conv]\nfilters=4\nsize=3\nstride=2\npad=1", (12, 8, 4), {"biases": (4,), "weights": (4, 6, 3, 3)}),
        (
            "[conv]\nfilters=4\nsize=3\nstride=1\npad=1\ngroups=2\nbatch_normalize=1",
            (24, 16, 4),
            {"biases": (4,), "scales": (4,), "mean": (4,), "variance": (4,), "weights": (4, 3, 3, 3)},
        ),
        (
            "[conv]\nfilters=4\nsize=3\nstride_x=2\nstride_y=1\npad=1",
            (12, 16, 4),
            {"biases": (4,), "weights": (4, 6, 3, 3)},
        ),
        ("[conv]\nfilters=4\nsize=3\ndilation=2\npad=1", (24, 16, 4), {"biases": (4,), "weights": (4, 6, 3, 3)}),
        ("[conv]\nfilters=4\nsize=2\npad=1", (25, 17, 4), {"biases": (4,), "weights": (4, 6, 2, 2)}),
        # padding is both sides together: (24 + 1 - 2) // 2 + 1
        ("[max]\nsize=2\nstride=2", (12, 8, 6), {}),
        ("[max]\nsize=2\nstride=1", (24, 16, 6), {}),
        ("[max]\nsize=3\nstride=2\npadding=0", (11, 7, 6), {}),
        ("[max]\nmaxpool_depth=1\nout_channels=3\nsize=1", (24, 16, 3), {}),
        ("[local_avg]\nsize=3\nstride=3", (8, 6, 6), {}),
        ("[avg]", (1, 1, 6), {}),
        (
            "[conn]\noutput=5\nbatch_normalize=1",
            (1, 1, 5),
            {"biases": (5,), "weights": (5, 2304), "scales": (5,), "mean": (5,), "variance": (5,)},
        ),
        ("[batchnorm]", (24, 16, 6), {"biases": (6,), "scales": (6,), "mean": (6,), "variance": (6,)}),
        ("[reorg]\nstride=1", (24, 16, 6), {}),
        ("[reorg3d]\nstride=2", (12, 8, 24), {}),
        ("[upsample]\nstride=3", (72, 48, 6), {}),
        ("[upsample]\nstride=-2", (12, 8, 6), {}),
        ("[yolo]\nclasses=1\nnum=3\nmask=2", (24, 16, 6), {}),
        ("[region]\nclasses=1\nnum=1", (24, 16, 6), {}),
        ("[dropout]\nprobability=.5", (24, 16, 6), {}),
    ],
)
def test_shapes_and_blocks(section, out, blocks):
    layer = last(section)
    assert layer.out == out
    assert dict(layer.blocks) == blocks and list(dict(layer.blocks)) == list(blocks)  # the order is the file's


def test_joins():
    half = "[conv]\nfilters=8\nsize=3\nstride=2\npad=1"
    same = "[conv]\nfilters=8\nsize=3\nstride=1\npad=1"
    assert last(half, same, "[route]\nlayers=-1,0").out == (12, 8, 16)
    assert last(half, same, "[route]\nlayers=-1,0\ngroups=4\ngroup_id=3").out == (12, 8, 4)
    assert last(half, same, "[route]\nlayers=-1,0").sources == (1, 0)
    assert last(half, same, "[shortcut]\nfrom=-2\nactivation=linear").bflops == 12 * 8 * 8 / 1e9
    weighted = last(half, same, same, "[shortcut]\nfrom=0,1\nweights_type=per_channel\nweights_normalization=relu")
    assert weighted.blocks == (("weights", (3, 8)),) and weighted.bflops == 2 * 2 * 12 * 8 * 8 / 1e9
    assert last(half, same, "[shortcut]\nfrom=0\nweights_type=per_feature").blocks == (("weights", (2,)),)
    assert last(half, "[avg]", "[conv]\nfilters=8\nsize=1", "[scale_channels]\nfrom=0").out == (12, 8, 8)
    assert last(half, "[conv]\nfilters=1\nsize=1", "[scale_channels]\nfrom=0\nscale_wh=1").out == (12, 8, 8)
    assert last(half, same, "[sam]\nfrom=0").out == (12, 8, 8)


@pytest.mark.parametrize(
    ("sections", "line", "message"),
    [
        (["[conv]\nfilters=4\nsize=3\nstride=0"], 8, "stride = 0 must be 1 or more"),
        (["[conv]\nfilters=4\nsize=3\ngroups=4"], 8, "groups = 4 does not divide 6 channels"),
        (["[conv]\nfilters=4\nsize=3\ndilation=2"], 8, "dilation = 2 needs padding = 1, not 0"),
        (["[conv]\nfilters=4\nsize=40"], 5, "shrinks its input 24x16x6 to nothing"),
        (["[conv]\nfilters=four"], 6, "filters = four is not a number"),
        (["[conv]\nfilters=4\nxnor=1"], 7, "xnor = 1 is not supported"),
        (["[conv]\nfilters=4\ndontload=1"], 7, "dontload = 1 is not supported .*take the line out"),
        (["[maxpool]\nsize=2\ndontloadscales=1"], 7, "dontloadscales = 1 is not supported .*take the line out"),
        (["[gru]\noutput=4"], 5, r"section \[gru\] is not supported"),
        (["[route]\nlayers=-1"], 6, "does not name earlier layers"),
        (
            ["[max]\nsize=2\nstride=2", "[max]\nsize=2\nstride=2", "[route]\nlayers=0,1"],
            12,
            "different sizes: 12x8x6 and 6x4x6",
        ),
        (["[max]\nsize=2\nstride=2", "[route]\nlayers=0\ngroups=4"], 10, "cannot take group 0 of 4 from 12x8x6"),
        (
            ["[max]\nsize=5\nstride=5", "[max]\nsize=2\nstride=2", "[shortcut]\nfrom=0"],
            12,
            "adds layers of different sizes",
        ),
        (["[max]\nsize=1", "[shortcut]\nfrom=0\nweights_type=each"], 9, "weights_type = each is not known"),
        (["[max]\nsize=1", "[scale_channels]\nfrom=0"], 8, "cannot scale 24x16x6 by 24x16x6"),
        (["[avg]", "[sam]\nfrom=0", "[avg]", "[max]\nsize=0"], 10, "size = 0 must be 1 or more"),
        (["[reorg]\nstride=2"], 6, "stride = 2 does not divide 24x16x6"),
        (["[yolo]\nclasses=7\nnum=3"], 5, r"needs 36 channels \(3 anchors x \(classes \+ 5\)\) and gets 6"),
    ],
)
def test_faults_name_their_line(sections, line, message):
    with pytest.raises(CfgError, match=message) as caught:
        layers.trace(network(*sections))
    assert (caught.value.line, str(caught.value.where)) == (line, "test.cfg")


def test_a_net_without_a_size_is_refused_and_a_vector_is_not():
    with pytest.raises(CfgError, match="width, height and channels"):
        layers.trace(cfg_file.parse("[net]\nwidth=32\nheight=32\n[avg]"))
    assert layers.trace(cfg_file.parse("[net]\ninputs=10\n[conn]\noutput=3"))[0].params == 33


@pytest.mark.parametrize("name", templates.names())
@pytest.mark.parametrize("classes", [1, 7])
def test_every_template_renders_for_other_classes(name, classes):
    rendered = templates.render(name, classes)
    assert templates.classes_of(rendered) == classes
    assert len(rendered.layers) == len(templates.load(name).layers)


def test_nano_costs_a_quarter_of_tiny():
    tiny, nano = (
        layers.total_bflops(layers.trace(templates.render(name, 7, size=320))) for name in ("v4-tiny", "v4-nano")
    )
    assert 0.2 < nano / tiny < 0.3
