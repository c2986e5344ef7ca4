"""The argument lists, flavour by flavour, against what each one's source reads."""

from pathlib import Path

import pytest

from converters.errors import RunError
from darknet_runner.compiled import command_line
from darknet_runner.compiled.binary import Binary
from darknet_runner.compiled.command_line import TrainOptions

DATA, CFG, WEIGHTS = Path("feed/feed.data"), Path("model.cfg"), Path("feed/start.weights")


def built(flavour, **features):
    off = {"gpu": False, "cudnn": False, "half": False, "opencv": False, "avx": None, "openmp": False} | features
    return Binary(Path("/d"), flavour, None, banner="", **off)


ALL = TrainOptions(clear=True, validate=True, map_epochs=2, gpus=(0, 1))


@pytest.mark.parametrize(
    "flavour, classifier, options, expected",
    [
        ("alexeyab", False, TrainOptions(), "/d detector train feed/feed.data model.cfg feed/start.weights -dont_show"),
        (
            "alexeyab",
            False,
            ALL,
            (
                "/d detector train feed/feed.data model.cfg feed/start.weights -dont_show -map -mAP_epochs 2 -gpus "
                "0,1 -clear"
            ),
        ),
        (
            "alexeyab",
            True,
            ALL,
            "/d classifier train feed/feed.data model.cfg feed/start.weights -dont_show -topk -gpus 0,1 -clear",
        ),
        (
            "hank-ai",
            False,
            ALL,
            "/d detector train feed/feed.data model.cfg feed/start.weights -dont_show -map -gpus 0,1 -clear",
        ),
        ("pjreddie", False, ALL, "/d detector train feed/feed.data model.cfg feed/start.weights -gpus 0,1 -clear"),
        ("pjreddie", True, TrainOptions(), "/d classifier train feed/feed.data model.cfg feed/start.weights"),
    ],
)
def test_train(flavour, classifier, options, expected):
    assert " ".join(command_line.train(built(flavour), DATA, CFG, WEIGHTS, options, classifier)) == expected


def test_train_without_weights():
    """pjreddie's takes whatever stands in the weights' place for weights: no flag of ours may end up there."""
    assert command_line.train(built("pjreddie"), DATA, CFG, None, TrainOptions(validate=True), False) == [
        "/d",
        "detector",
        "train",
        str(DATA),
        str(CFG),
    ]


def test_mjpeg_port_is_alexeys():
    argv = command_line.train(built("alexeyab", opencv=True), DATA, CFG, None, TrainOptions(mjpeg_port=8090), False)
    assert argv[-3:] == ["-mjpeg_port", "8090", "-dont_show"]
    for binary in (built("pjreddie", opencv=True), built("hank-ai", opencv=True)):
        with pytest.raises(RunError, match="has no -mjpeg_port"):
            command_line.train(binary, DATA, CFG, None, TrainOptions(mjpeg_port=8090), False)


def test_what_a_flavour_has_not():
    for call in (
        lambda: command_line.train(built("hank-ai"), DATA, CFG, None, TrainOptions(), True),
        lambda: command_line.map_(built("pjreddie"), DATA, CFG, WEIGHTS),
        lambda: command_line.top_k(built("hank-ai"), DATA, CFG, WEIGHTS),
        lambda: command_line.anchors(built("pjreddie"), DATA, 6, (416, 416)),
    ):
        with pytest.raises(RunError, match="cannot"):
            call()


def test_the_others():
    assert command_line.map_(built("alexeyab"), DATA, CFG, WEIGHTS, conf=0.3, iou=0.75, points=101)[-6:] == [
        "-thresh",
        "0.3",
        "-iou_thresh",
        "0.75",
        "-points",
        "101",
    ]
    assert command_line.partial(built("pjreddie"), CFG, WEIGHTS, Path("out"), 11) == [
        "/d",
        "partial",
        "model.cfg",
        "feed/start.weights",
        "out",
        "11",
    ]
    assert command_line.anchors(built("hank-ai"), DATA, 9, (416, 320))[2] == "calcanchors"
    assert (
        command_line.stdin_of(built("hank-ai")) == b"yes\n"
        and command_line.stdin_of(built("hank-ai", gpu=True)) is None
    )
    assert command_line.stdin_of(built("pjreddie")) is None
