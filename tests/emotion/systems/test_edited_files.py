"""Files that people edit or mix up: a card, a settings file, a network of another kind.

One line each, when they are read.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from converters.errors import EmoError, MediaError
from emotion.cli import main
from emotion.systems import models
from emotion.systems.face_finders import open_finder

ROOT = Path(__file__).resolve().parents[3]
SHARED = ROOT.parent / "shared/models"


@pytest.fixture
def copy(detector_folder, tmp_path):
    return shutil.copytree(detector_folder, tmp_path / "model")


@pytest.mark.parametrize(
    ("card", "words"),
    [
        ("sha256 = 3", "'sha256' is a whole number; wanted: text"),
        ("metrics = 3", "'metrics' is a whole number; wanted: a table"),
        ("[metrics]\nmap50 = 0.4", "'metrics.map50' is a number; wanted: a table"),
        ("[metrics]\nmap50 = 2024-01-01", "'metrics.map50' is text; wanted: a table"),
        ("preprocessing = []", "'preprocessing' is a list; wanted: a table"),
        ("trained_on = 'all'", "'trained_on' is text; wanted: a list"),
        ("name", "is not TOML"),
        ("x = " + "[" * 3000 + "]" * 3000, "too deep"),
        ("x = " + "9" * 5000, "is not TOML"),
    ],
)
def test_a_card_that_does_not_hold_what_it_must(card, words, copy):
    (copy / "model.toml").write_text(card)
    with pytest.raises(EmoError, match=words) as fault:
        models.find(copy, None)
    assert str(fault.value).startswith(str(copy / "model.toml")) and "\n" not in str(fault.value)


def emo(capsys, *args):
    with pytest.raises(SystemExit) as ended:
        main([str(arg) for arg in args])
    return ended.value.code, capsys.readouterr()


@pytest.mark.parametrize("json_", [[], ["--json"]])
def test_a_card_with_dates_numbers_and_tables_of_all_kinds_is_shown(json_, copy, capsys):
    (copy / "model.toml").write_text(
        (
            "trained = 2024-05-01\nat = "
            "2024-05-01T10:00:00Z\nx = "
            "nan\ny = "
            "[[1, 2], "
            "['a']]\n"
            "[odd]\nz = 1\n"
            "[odd.deep]\nw = 10:00:00\n"
            "[metrics.all]\n"
            "map50 = inf\n"
        ),
        encoding="utf-8-sig",
    )
    code, said = emo(capsys, "models", "show", copy, *json_)
    assert code == 0 and "2024-05-01" in said.out
    if json_:
        card = json.loads(said.out, parse_constant=lambda text: pytest.fail(f"{text} is not JSON"))["card"]
        assert card["trained"] == "2024-05-01" and card["odd"]["deep"] == {"w": "10:00:00"} and card["x"] is None


@pytest.mark.parametrize("text", ["x = " + "[" * 3000, "[detect]\nconf = 2024-01-01", "\0", "[detect\n"])
def test_a_settings_file_that_is_none(text, tmp_path, capsys):
    (tmp_path / "my.toml").write_text(text)
    code, said = emo(capsys, "--config", tmp_path / "my.toml", "detect", "x.jpg")
    assert code == 2 and said.err.count("\n") == 1 and "my.toml" in said.err


@pytest.mark.parametrize("change", ["[upsample]\nstride=8000", "[convolutional]\nfilters=4000000\nsize=1"])
def test_a_network_whose_layers_no_memory_holds(copy, change):
    """However small its weights' file: OpenCV and torch ended in tracebacks, by what they could not allocate."""
    text = (copy / "model.cfg").read_text().replace("[convolutional]", f"{change}\n\n[convolutional]", 1)
    (copy / "model.cfg").write_text(text)
    with pytest.raises(EmoError, match=r"model.cfg:\d+: layer \d+ gives \d+x\d+x\d+ numbers, more than fit") as fault:
        models.find(copy, None)
    assert fault.value.line


def test_a_network_whose_input_no_memory_holds(copy):
    text = (copy / "model.cfg").read_text().replace("width=64", "width=65536").replace("height=64", "height=65536")
    (copy / "model.cfg").write_text(text)
    with pytest.raises(EmoError, match="larger than 8192x8192"):
        models.find(copy, None)


def test_an_onnx_of_another_kind_is_no_face_model(tmp_path):
    """emo's own detector and classifier: OpenCV loads them as a YuNet, and failed at the first picture."""
    pytest.importorskip("onnx")
    from emotion.systems.onnx_export import to_onnx

    for name in ("emo-v4-nano", "emo-s"):
        path = tmp_path / f"{name}.onnx"
        path.write_bytes(to_onnx(models.find(name, None)).SerializeToString())
        with pytest.raises(MediaError) as fault:
            open_finder(path)
        assert str(fault.value).startswith(str(path)) and "\n" not in str(fault.value)
    code = (
        f"from emotion.systems.face_finders import open_finder\ntry: open_finder({str(path)!r})\nexcept Exception: pass"
    )
    usual = {key: value for key, value in os.environ.items() if not key.startswith("OPENCV_")}
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, env=usual)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", ""), "OpenCV's own log lines"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.onnx", b""),
        ("a.onnx", b"junk"),
        ("a.pb", b"junk"),
        ("a.xml", b"<x/>"),
        ("a.xml", b""),
        ("a.caffemodel", b"junk"),
    ],
)
def test_files_that_are_no_face_models(name, content, tmp_path):
    (tmp_path / name).write_bytes(content)
    (tmp_path / "a.prototxt").write_text("junk")
    with pytest.raises(MediaError) as fault:
        open_finder(tmp_path / name)
    assert "\n" not in str(fault.value)


@pytest.mark.parametrize("name", ["face_detection_yunet_2026may.onnx", "opencv_face_detector_uint8.pb"])
def test_a_real_one_under_another_kinds_suffix(name, tmp_path):
    if not (SHARED / name).is_file():
        pytest.skip("../shared/models is not here")
    other = tmp_path / ("a.pb" if name.endswith(".onnx") else "a.onnx")
    shutil.copy(SHARED / name, other)
    # in its own process: a crash is one too
    code = f"from emotion.systems.face_finders import open_finder; open_finder({str(other)!r})"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert ran.returncode == 1 and "MediaError" in ran.stderr


def test_a_good_one_passes_its_trial():
    assert open_finder("haar").find(np.zeros((50, 60, 3), np.uint8))[0].shape == (0, 4)
