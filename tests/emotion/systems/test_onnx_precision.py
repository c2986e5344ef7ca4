"""16 and 8 bits: the numbers stay near, the file gets small, and the command says what it costs."""

import json

import cv2
import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="the extra with onnx is not installed")
pytest.importorskip("onnxruntime", reason="the extra with onnxruntime is not installed")

from converters.errors import CfgError, DataError
from emotion.cli import main
from emotion.systems import models
from emotion.systems.backends import OnnxBackend
from emotion.systems.onnx_export import to_onnx
from emotion.systems.onnx_precision import half, quantised


@pytest.fixture(scope="module")
def fer():
    return models.find("emo-s", "classifier")


@pytest.fixture(scope="module")
def blobs():
    rng = np.random.default_rng(0)
    return [cv2.GaussianBlur(rng.random((48, 48), np.float32), (0, 0), 4)[None, None] * 3 - 1 for _ in range(12)]


@pytest.mark.parametrize("change, atol, share", [(half, 0.01, 0.55), (quantised, 0.15, 0.35)])
def test_answers_stay_near_and_the_file_gets_small(fer, blobs, change, atol, share):
    made = to_onnx(fer, prepares=False)
    before = made.SerializeToString()
    less = change(made, blobs) if change is quantised else change(made)
    assert made.SerializeToString() == before  # what was given is not changed
    assert len(less.SerializeToString()) < share * len(before)
    whole, fewer = OnnxBackend(fer), OnnxBackend(fer, made=less)
    for blob in blobs:
        (expected,), (found,) = whole.forward(blob), fewer.forward(blob)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, atol=atol)
    assert {entry.key: entry.value for entry in less.metadata_props}["names"].split("\n") == list(fer.names)


def test_what_cannot_be_done_is_said(fer):
    with pytest.raises(DataError, match="no picture to calibrate"):
        quantised(to_onnx(fer), [])
    made = to_onnx(fer)
    made.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(np.float32([1e6]), made.graph.initializer[0].name))
    with pytest.raises(CfgError, match="1e.06 does not fit 16 bits"):
        half(made)


@pytest.fixture
def data(tmp_path, squares, detector_folder):
    """A detector's set of ten pictures of squares, for training and validation alike."""
    folder, paths = tmp_path / "set", []
    folder.mkdir()
    for index in range(10):
        picture, boxes = squares([(index % 4, 1, index % 7), (3, 3, 6)])
        paths.append(folder / f"{index}.png")
        cv2.imwrite(str(paths[-1]), picture)
        rows = (
            (class_id, *((box[:2] + box[2:]) / 2 / 64), *((box[2:] - box[:2]) / 64))
            for class_id, box in zip((index % 7, 6), boxes)
        )
        paths[-1].with_suffix(".txt").write_text("".join(" ".join(map(str, row)) + "\n" for row in rows))
    (folder / "list.txt").write_text("".join(f"{path}\n" for path in paths))
    (folder / "emo.names").write_text((detector_folder / "emo.names").read_text())
    (folder / "emo.data").write_text(
        "classes = 7\ntrain = "
        f"{folder}/list.txt\n"
        "valid = "
        f"{folder}/list.txt\n"
        "names = "
        f"{folder}/emo.names\n"
        f"backup = {folder}\n"
    )
    return folder / "emo.data"


@pytest.mark.parametrize("bits", ["--half", "--int8"])
def test_the_command_measures_what_it_costs(tmp_path, detector_folder, data, capsys, bits):
    with pytest.raises(SystemExit) as ended:
        main(
            ["export", str(detector_folder), bits, "--data", str(data), "--out", str(tmp_path / "less.onnx"), "--json"]
        )
    told = json.loads(capsys.readouterr().out)
    assert (
        not ended.value.code
        and told["costs"].keys() == {"before", "after"}
        and (tmp_path / "less.onnx").stat().st_size == told["bytes"]
    )
    for row in told["costs"].values():
        assert row["accuracy"] == 1 and row["face_ap"] > 0.99 and row["ms"] > 0
    kinds = {node.op_type for node in onnx.load(tmp_path / "less.onnx").graph.node}
    assert ("QuantizeLinear" in kinds) == (bits == "--int8") and ("Cast" in kinds) == (bits == "--half")


def test_a_set_may_have_any_form_that_training_takes(tmp_path, monkeypatch, data, detector_folder, capsys):
    def emo(*arguments):
        with pytest.raises(SystemExit) as ended:
            main([*map(str, arguments), "--limit", "4", "--calibrate", "2", "--force"])
        told = capsys.readouterr()
        return (ended.value.code or 0), told.out, told.err

    monkeypatch.chdir(tmp_path)
    rng, tree = np.random.default_rng(0), tmp_path / "tree"
    for split in ("train", "valid"):
        for name in ("Happy", "Sad"):
            (tree / split / name).mkdir(parents=True)
            for index in range(2):
                cv2.imwrite(str(tree / split / name / f"{index}.png"), rng.integers(0, 256, (48, 48), np.uint8))
    code, out, err = emo("export", "emo-s", "--int8", "--data", tree)
    assert code == 0 and out.startswith("emo-s-int8.onnx\n") and err.startswith(f"converting {tree} (folder)")
    assert emo("export", "emo-s", "--half", "--data", next((tmp_path / "data" / ".sets").iterdir()))[::2] == (0, "")
    assert emo("export", detector_folder, "--half", "--data", data.parent)[::2] == (0, "")
    code, _, err = emo("export", detector_folder, "--half", "--data", tree)
    assert code == 2 and "a detector learns from whole pictures" in err
    (tmp_path / "empty").mkdir()
    code, _, err = emo("export", "emo-s", "--half", "--data", tmp_path / "empty")
    assert code == 2 and err.endswith("found none (emo convert makes one of a dataset)\n")


@pytest.mark.parametrize(
    "arguments, said",
    [
        (("--int8",), "--int8 needs --data"),
        (("--half", "--int8"), "not both"),
        (("--data", "x"), "--data has no effect"),
    ],
)
def test_options_that_do_not_go_together(detector_folder, arguments, said, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["export", str(detector_folder), *arguments])
    assert ended.value.code == 2 and said in capsys.readouterr().err


def test_detect_takes_the_exported_file(tmp_path, detector_folder, squares, capsys):
    from emotion.systems.open import SystemSettings, open_system

    def emo(*arguments):
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        return ended.value.code or 0

    picture, truth = squares([(1, 2, 3), (3, 0, 6)])
    cv2.imwrite(str(tmp_path / "a.png"), picture)
    assert emo("export", detector_folder, "--half", "--out", tmp_path / "half.onnx") == 0
    assert (
        emo(
            "detect",
            tmp_path / "a.png",
            "--model",
            detector_folder,
            "--onnx",
            tmp_path / "half.onnx",
            "--out",
            tmp_path / "o",
        )
        == 0
    )
    header, frame = map(json.loads, (tmp_path / "o" / "detections.jsonl").read_text().splitlines())
    assert header["settings"]["backend"] == "onnx, half.onnx"
    np.testing.assert_allclose(sorted(face["xyxy_px"] for face in frame["faces"]), sorted(truth.tolist()), atol=1)
    (tmp_path / "junk.onnx").write_bytes(b"junk")
    capsys.readouterr()
    for file, said in (
        ("junk.onnx", "not an ONNX file"),
        ("gone.onnx", "cannot be read"),
        ("half.onnx", "not exported from the weights of emo-v4-nano"),
    ):
        model = () if file == "half.onnx" else ("--model", detector_folder)
        assert emo("detect", tmp_path / "a.png", *model, "--onnx", tmp_path / file, "--out", tmp_path / "p") == 2
        assert said in capsys.readouterr().err
    assert open_system("two-stage:haar", SystemSettings(onnx=None)).classifier.backend.name == "onnx"
