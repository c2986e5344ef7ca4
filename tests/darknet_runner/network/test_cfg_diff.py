"""Where two networks begin to differ, with the pairs that people cut weights for."""

import pytest

from converters.errors import CfgError
from darknet_runner.network import cfg_file, templates
from darknet_runner.network.cfg_diff import Difference, differences, effective, first_difference

NET = "[net]\nwidth=32\nheight=32\nchannels=3\n"


@pytest.mark.parametrize(
    ("a", "b", "layer"),
    [
        ("csdarknet53", "v4", 105),  # avgpool against the neck's first convolution
        ("darknet-ref", "v3-tiny", 11),  # the last pooling: stride 2 against stride 1
        ("darknet-ref-17", "v3-tiny", 11),
        ("darknet-ref", "darknet-ref-17", 13),
        ("v4-tiny", "v4-tiny-3l", 30),  # the first head's anchors
        ("v3", "v4", 0),
        ("v4", "v4", None),
    ],
)
def test_first_difference(a, b, layer):
    assert first_difference(templates.load(a), templates.load(b)) == layer
    assert first_difference(templates.load(b), templates.load(a)) == layer


@pytest.mark.parametrize(
    ("name", "layer"), [("v4-tiny", 29), ("v4", 138), ("v3-tiny", 15), ("darknet-ref", 14), ("face-small", 11)]
)
def test_other_classes_differ_in_the_first_head(name, layer):
    rendered = templates.render(name, 5, size=templates.load(name).size_wh[0] * 2)
    found = first_difference(templates.load(name), rendered)
    assert found == layer
    assert rendered.layers[layer].type == "convolutional"


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (
            "[conv]\nfilters=4\nsize=3\npad=1\nactivation=leaky",
            "[convolutional]\nactivation=leaky\nsize=3\nfilters=4.0\npadding=1\nstride=1\ngroups=1",
        ),
        ("[conv]\nfilters=4\nstride_x=2\nstride_y=2", "[conv]\nfilters=4\nstride=2"),
        ("[max]\nstride=2", "[max]\nstride=2\nsize=2\npadding=1"),
        ("[conv]\nfilters=4\n[route]\nlayers=-1", "[conv]\nfilters=4\n[route]\nlayers=0"),
        ("[conv]\nfilters=4\nlearning_rate=.5\nstopbackward=1", "[conv]\nfilters=4"),
        ("[dropout]\nprobability=.5", "[dropout]\nprobability=.2"),
    ],
)
def test_what_computes_the_same_is_no_first_difference(one, two):
    assert first_difference(cfg_file.parse(NET + one), cfg_file.parse(NET + two)) is None


@pytest.mark.parametrize(
    "change", ["filters=5", "size=1", "pad=0", "activation=mish", "batch_normalize=1", "stride_y=2", "dilation=2"]
)
def test_every_option_that_computes_counts(change):
    one = "[conv]\nfilters=4\nsize=3\npad=1\nactivation=leaky\nstride=1\n"
    key = change.split("=")[0]
    kept = "".join(f"{line}\n" for line in one.splitlines() if not line.startswith(f"{key}="))
    assert first_difference(cfg_file.parse(NET + one), cfg_file.parse(NET + kept + change)) == 0


def test_a_shorter_cfg_differs_where_it_ends():
    one, two = (cfg_file.parse(NET + "[conv]\nfilters=4\n" * count) for count in (2, 5))
    assert first_difference(one, two) == 2


def test_differences_name_layer_and_option():
    one = templates.load("v4-tiny")
    found = differences(one, templates.render("v4-tiny", 7, size=320, net={"mosaic": None, "letter_box": 1}))
    assert Difference(-1, "width", "416", "320") in found
    assert Difference(29, "filters", "255", "36") in found
    assert Difference(-1, "mosaic", "1", None) in found and Difference(-1, "letter_box", None, "1") in found
    assert {one.index for one in found} == {-1, 29, 30, 36, 37}
    assert differences(one, one) == []


def test_sections_are_compared_in_step():
    one, two = cfg_file.parse(NET + "[avg]\n[softmax]"), cfg_file.parse(NET + "[max]\nsize=2\n[softmax]\n[cost]")
    assert differences(one, two) == [Difference(0, "type", "avgpool", "maxpool"), Difference(2, "type", None, "cost")]


def test_effective_fills_in_what_darknet_would():
    section = cfg_file.parse(NET + "[conv]\nsize=5\npad=1\nactivation=linear").layers[0]
    assert effective(section, 0) == {
        "filters": "1",
        "size": "5",
        "groups": "1",
        "dilation": "1",
        "batch_normalize": "0",
        "activation": "linear",
        "stride_x": "1",
        "stride_y": "1",
        "padding": "2",
    }
    with pytest.raises(CfgError, match="does not name earlier layers"):
        effective(cfg_file.parse(NET + "[route]\nlayers=4").layers[0], 0)
