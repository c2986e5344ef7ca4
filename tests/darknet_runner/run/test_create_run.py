"""What a recipe makes of a network's cfg."""

import pytest

from darknet_runner.network import cfg_file, templates
from darknet_runner.run.create_run import dropouts


def net(*kinds):
    options = {"convolutional": "filters=4\nsize=1\n", "connected": "output=4\n", "dropout": "probability=.3\n"}
    return cfg_file.parse(
        "[net]\nwidth=8\nheight=8\nchannels=1\n" + "".join(f"[{kind}]\n{options.get(kind, '')}" for kind in kinds)
    )


@pytest.mark.parametrize(
    "kinds, set_",
    [
        (("convolutional", "dropout", "connected", "dropout", "connected", "dropout", "connected"), [4, 6]),
        (("convolutional", "dropout", "connected", "batchnorm", "dropout", "connected"), [5]),
        (("convolutional", "dropout", "convolutional", "dropout", "connected"), [4]),  # the dense layer has none
        (("convolutional", "dropout", "convolutional", "dropout", "convolutional", "avgpool"), [4]),
        (("convolutional", "avgpool", "connected"), []),
    ],
)
def test_a_recipes_dropout_is_that_of_the_top(kinds, set_):
    assert dropouts(net(*kinds)) == set_


def test_emonets_convolutions_keep_their_dropouts():
    cfg = templates.load("emonet")
    places = dropouts(cfg)
    rates = [
        section.number("probability")
        for section in cfg.edit({i: {"probability": 0.4} for i in places}).sections
        if section.type == "dropout"
    ]
    assert rates == [0.3, 0.3, 0.25, 0.25, 0.4, 0.4]
