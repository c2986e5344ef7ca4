"""Telling flavours apart by what they print; the real one when it is installed."""

from pathlib import Path

import pytest

from converters.errors import RunError
from darknet_runner.compiled import binary
from darknet_runner.network import cfg_file, templates

ALEXEY = (
    " GPU isn't used \n Used AVX \n Used FMA & AVX2 \n OpenCV isn't used - data augmentation will be slow \nNot an "
    "option: version\n"
)
ALEXEY_GPU = (
    " CUDA-version: 11080 (12020), cuDNN: 8.9.2, CUDNN_HALF=1, GPU count: 2 \n CUDNN_HALF=1 \n OpenCV version: "
    "4.8.0\nNot an option: version\n"
)
HANK = (
    'Darknet V5 "Moonlit" '
    "\x1b[1;37mv5.1-104-gf684e1d7\x1b[0m [Nov "
    "20 2026]\n"
    "\x1b[1;33mDarknet is "
    "compiled "
    "to use the CPU.\x1b[0m"
    "  GPU is \x1b[1;31mdisabled\x1b[0m.\nOpenBLAS 0.3.21, OpenCV 4.6.0, docker\nAVX detected.\nFMA & AVX2 detected.\n"
)


def told(text, image=b""):
    return binary.identify(Path("/x/darknet"), binary.plain(text), image)


def test_flavours():
    found = told(ALEXEY, b"..libgomp.so.1..")
    assert (found.flavour, found.gpu, found.opencv, found.avx, found.openmp, found.half) == (
        "alexeyab",
        False,
        False,
        True,
        True,
        False,
    )
    assert "March" not in found.broken_training and "June 2021" in found.broken_training
    found = told(ALEXEY_GPU)
    assert (found.flavour, found.gpu, found.cudnn, found.half, found.opencv) == ("alexeyab", True, True, True, True)
    assert found.broken_training is None
    found = told(HANK)
    assert (found.flavour, found.version, found.gpu, found.opencv, found.avx) == (
        "hank-ai",
        "5.1-104-gf684e1d7",
        False,
        True,
        True,
    )
    assert "train-classifier" not in found.commands and found.broken_training
    found = told("Not an option: version\n", b"libopencv_core.so.406")
    assert (found.flavour, found.gpu, found.opencv, found.broken_training) == ("pjreddie", False, True, None)
    assert "map" not in found.commands
    assert told("Not an option: version\n", b"libcublas.so").gpu


def test_one_that_does_not_start():
    found = told(
        "darknet: error while loading shared libraries: libcudart.so.11: cannot open shared object file",
        b"calc_anchors Not an option libcublas",
    )
    assert found.flavour == "alexeyab" and "libcudart" in found.trouble
    with pytest.raises(RunError, match="is not a Darknet that emo knows; it printed: hello"):
        told("hello\n")


def test_finding(tmp_path, monkeypatch):
    monkeypatch.delenv("EMO_DARKNET", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(binary, "SYSTEM_PLACES", ())
    assert binary.find() is None
    program = tmp_path / "darknet"
    program.write_text("#!/bin/sh\n")
    with pytest.raises(RunError, match="is not executable"):
        binary.find(program)
    program.chmod(0o755)
    assert binary.find() == program == binary.find(tmp_path)
    monkeypatch.setenv("EMO_DARKNET", str(tmp_path / "gone"))
    with pytest.raises(RunError, match="EMO_DARKNET must name a Darknet binary"):
        binary.find()
    assert binary.find(program) == program, "--darknet goes before the environment"


def test_probing_a_stand_in(tmp_path):
    program = tmp_path / "darknet"
    program.write_text("#!/bin/sh\necho Not an option: version >&2\ntouch left-behind\n")
    program.chmod(0o755)
    assert binary.probe(program).flavour == "pjreddie"
    assert not (tmp_path / "left-behind").exists()
    program.write_text("#!/nowhere/sh\n")
    with pytest.raises(RunError, match="cannot be run"):
        binary.probe(program)


def test_what_a_flavour_lacks():
    debian, alexey = told("Not an option: version"), told(ALEXEY)
    four, three = templates.load("v4-tiny"), templates.load("v3-tiny")
    spoiled = {lack.what for lack in binary.lacks(debian, four) if lack.spoils == "network"}
    assert spoiled == {"groups in [route]", "group_id in [route]", "scale_x_y in [yolo]"}
    assert not [lack for lack in binary.lacks(debian, three) if lack.spoils == "network"]
    assert [(lack.what.split(",")[0], lack.spoils) for lack in binary.lacks(alexey, four)] == [("mosaic", "training")]
    mish = cfg_file.parse("[net]\nwidth=64\n[convolutional]\nfilters=3\nactivation=mish\n[sam]\nfrom=-1\n")
    assert [(lack.what.split("=")[-1][:4], lack.line) for lack in binary.lacks(debian, mish)] == [
        ("mish", 5),
        ("sect", 6),
    ]
    assert not binary.lacks(alexey, mish)


def test_grey_networks():
    """pjreddie's, and everybody's classifiers, load three channels whatever the cfg says: grey trainings overrun
    the input.
    """
    debian, alexey, hank = told("Not an option: version"), told(ALEXEY), told(HANK)
    grey = templates.load("face-small")
    for found in (debian, alexey):
        assert [(lack.what.split(" ")[0], lack.spoils) for lack in binary.lacks(found, grey)][:1] == [
            ("channels=1", "training")
        ]
    detector = templates.load("v3-tiny")
    assert not binary.lacks(debian, detector)
    detector = detector.edit({0: {"channels": 1}})
    assert [lack.spoils for lack in binary.lacks(debian, detector)] == ["training"]
    assert not binary.lacks(alexey, detector) and not binary.lacks(hank, detector)


def test_debians(debian):
    found = binary.probe(debian)
    assert found.flavour == "pjreddie" and not found.gpu and found.trouble is None
    assert "CPU only" in found.summary() and debian in found.summary()
