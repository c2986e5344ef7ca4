"""`emo evaluate` on nets whose answers are known by construction (see tests/emotion/conftest.py)."""

import csv
import json
import re
import shutil

import cv2
import numpy as np
import pytest

from converters.darknet_format.files import write_data
from converters.errors import DataError, UsageError
from darknet_runner.run.folder import sha256
from emotion.cli import main
from emotion.comparison.evaluate import evaluate
from emotion.comparison.labels import labels_of
from emotion.comparison.settings import Settings
from emotion.comparison.split_use import use_of
from emotion.systems.models import find

CLASSES = ("Neutral", "Happy", "Sad", "Surprise", "Fear", "Disgust", "Anger")


def read_csv(path):
    with open(path, newline="") as file:
        return list(csv.reader(file))


@pytest.fixture
def faces(tmp_path, squares):
    """A classifier's set of 28 pictures, each one colour, four a class; the first of each class but Anger lies in the
    next class's folder: 22 right, 6 wrong."""
    folder, names = tmp_path / "faces", []
    for index in range(28):
        drawn, wrong = index % 7, index < 6
        name = f"valid/{CLASSES[drawn + wrong]}/p{index:02d}.png"
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / name), squares([(0, 0, drawn)], cells=1)[0])
        names.append(name)
    (folder / "valid.txt").write_text("".join(f"{name}\n" for name in names))
    (folder / "labels.txt").write_text("".join(f"{name}\n" for name in CLASSES))
    write_data(folder / "emo.data", classes=7, valid="valid.txt", labels="labels.txt", top=2)
    return folder / "emo.data"


@pytest.fixture
def boxes(tmp_path, squares):
    """A detector's set of 12 pictures with a square each; two labels name another class, two squares are not drawn;
    one more is drawn.
    """
    folder = tmp_path / "boxes"
    folder.mkdir()
    for index in range(12):
        drawn = [] if index in (3, 4) else [(1, 2, index % 7)]
        drawn += [(3, 0, 1)] if index == 11 else []
        cv2.imwrite(str(folder / f"{index:02d}.png"), squares(drawn)[0])
        (folder / f"{index:02d}.txt").write_text(f"{(index + (index < 2)) % 7} 0.375 0.625 0.25 0.25\n")
    (folder / "valid.txt").write_text("".join(f"{index:02d}.png\n" for index in range(12)))
    (folder / "emo.names").write_text("\n".join(CLASSES))
    write_data(folder / "emo.data", classes=7, valid="valid.txt", names="emo.names")
    return folder / "emo.data"


def test_a_classifier_on_pictures(faces, classifier_folder, tmp_path):
    result = evaluate([str(classifier_folder)], faces, out=tmp_path / "out")
    (told,) = result["models"]
    assert (told["faces"], told["missed"], told["extra"], told["kind"]) == (28, 0, None, "classifier")
    assert told["accuracy"] == pytest.approx(22 / 28) and told["classes"]["Anger"]["support"] == 5
    spans = result["significance"]["figures"]["accuracy"]["systems"][0]
    assert spans["low"] < 22 / 28 < spans["high"] and result["significance"]["unit"] == "picture"
    out = tmp_path / "out"
    table = read_csv(out / "classes.csv")
    assert table[0] == ["class", "precision", "recall", "f1-score", "support"] and [row[0] for row in table[1:]] == [
        *CLASSES,
        "accuracy",
        "macro avg",
        "weighted avg",
    ]
    assert float(table[8][3]) == pytest.approx(22 / 28, abs=1e-6)
    confusion = read_csv(out / "confusion.csv")
    assert confusion[0] == ["labelled", *CLASSES] and np.trace(np.array([row[1:] for row in confusion[1:]], int)) == 22
    predictions = read_csv(out / "predictions.csv")
    assert (
        len(predictions) == 29
        and sum(int(row[3]) for row in predictions[1:]) == 22
        and predictions[1][1:3] == ["Happy", "Neutral"]
    )
    for name in ("confusion.png", "calibration.png"):
        assert cv2.imread(str(out / name)).std() > 5
    assert json.loads((out / "report.json").read_text()) == {
        key: value for key, value in result.items() if key != "files"
    }
    with pytest.raises(UsageError, match="not empty"):
        evaluate([str(classifier_folder)], faces, out=out)
    evaluate([str(classifier_folder)], faces, out=out, force=True, settings=Settings(replicates=0))


def test_a_two_stage_system_end_to_end_and_what_it_missed(boxes, detector_folder, classifier_folder, tmp_path):
    """10 of 12 squares are drawn; 8 of them are what their label says."""
    specs = [
        f"two-stage:{detector_folder}+{classifier_folder}",
        f"yolo:{detector_folder}",
        str(detector_folder),
        str(classifier_folder),
    ]
    result = evaluate(specs, boxes, out=tmp_path / "out")
    for told in result["models"][:3]:
        assert (told["faces"], told["missed"], told["extra"]) == (12, 2, 1)
        assert told["accuracy"] == pytest.approx(8 / 12) and np.array(told["confusion"])[:, -1].sum() == 2
        assert told["calibration"]["faces"] == 10
    assert [told["kind"] for told in result["models"]] == ["two-stage", "yolo", "yolo", "classifier"]
    alone = result["models"][3]  # cuts out what is labelled, so it misses nothing; the black squares are some class
    assert alone["missed"] == 0 and 8 / 12 <= alone["accuracy"] <= 10 / 12
    first = next((tmp_path / "out").glob("two-stage*"))
    assert (
        read_csv(first / "confusion.csv")[0][-1] == "missed"
        and [row[2] for row in read_csv(first / "predictions.csv")].count("missed") == 2
    )
    rows = read_csv(tmp_path / "out" / "table.csv")
    assert (
        len(rows) == 5
        and rows[0][0] == "model"
        and "missed" in rows[0]
        and rows[1][rows[0].index("missed")] == "2 of 12"
    )
    same = result["significance"]["figures"]["accuracy"]["differences"][0]
    assert same["pair"] == [0, 1] and (same["value"], same["low"], same["high"], same["shown"]) == (0, 0, 0, False)


def test_pictures_that_are_all_face_go_to_the_classifier_whole(faces, classifier_folder, tmp_path):
    spec = f"two-stage:whole+{classifier_folder}"
    result = evaluate([spec, str(classifier_folder)], faces, out=tmp_path / "out")
    whole, alone = result["models"]
    assert (whole["missed"], whole["kind"]) == (0, "two-stage") and whole["accuracy"] == pytest.approx(22 / 28)
    assert whole["classes"] == alone["classes"] and whole["megabytes"] == alone["megabytes"]


def test_a_detector_on_pictures_of_one_face(faces, detector_folder, tmp_path):
    """16 pixels of one colour are one face of the detector."""
    (told,) = evaluate([f"yolo:{detector_folder}"], faces, out=tmp_path / "out")["models"]
    assert told["faces"] == 28 and told["missed"] + round(told["accuracy"] * 28) <= 28 and told["extra"] is None


@pytest.mark.parametrize("tta", ["tencrop", 3])
def test_colours_are_the_same_in_all_views(faces, classifier_folder, tmp_path, tta):
    result = evaluate([str(classifier_folder)], faces, out=tmp_path / "out", tta=tta, settings=Settings(seed=4))
    assert (
        result["models"][0]["accuracy"] == pytest.approx(22 / 28)
        and result["models"][0]["model_settings"]["tta"] == tta
    )


def test_tta_needs_crops(boxes, detector_folder, tmp_path):
    with pytest.raises(UsageError, match="one-stage"):
        evaluate([f"yolo:{detector_folder}"], boxes, out=tmp_path / "out", tta=3)
    assert not (tmp_path / "out").exists()


def test_what_the_split_was_to_the_weights(faces, classifier_folder, tmp_path):
    """A run knows by its lists' hashes, or by the pictures themselves, whatever the name under which they are
    listed.
    """
    from converters.darknet_format.files import read_data

    run = tmp_path / "runs" / "x-001"
    (run / "weights").mkdir(parents=True)
    for name, to in (
        ("model.cfg", "model.cfg"),
        ("emo.names", "emo.names"),
        ("model.weights", "weights/model_best.weights"),
    ):
        (run / to).write_bytes((classifier_folder / name).read_bytes())
    data = read_data(faces)

    def told(**hashes):
        (run / "run.json").write_text(
            json.dumps({"data": str(tmp_path / "gone.data"), "hashes": {"cfg": "", "data": hashes}})
        )
        return use_of(find(run, "classifier"), data, "valid")["use"]

    here = sha256(data.list_of("valid"))
    assert (told(valid=here), told(train=here, valid=here), told(train="other"), told()) == (
        "chosen",
        "trained",
        "unknown",
        "unknown",
    )
    other = tmp_path / "other"
    (other / "valid" / "Happy").mkdir(parents=True)
    linked = other / "valid" / "Happy" / "again.png"
    linked.hardlink_to(faces.parent / "valid" / "Happy" / "p00.png")
    (other / "valid.txt").write_text(f"{linked}\n")
    (other / "emo.names").write_text("\n".join(CLASSES))
    write_data(other / "emo.data", classes=7, train="valid.txt", labels="emo.names")
    (run / "run.json").write_text(json.dumps({"data": str(other / "emo.data")}))
    assert use_of(find(run, "classifier"), data, "valid") == {
        "use": "trained",
        "why": "4% of these pictures were trained on",
    }
    (run / "weights" / "model_best.weights").rename(run / "weights" / "model_final.weights")
    (run / "run.json").write_text(json.dumps({"data": str(faces), "hashes": {"data": {"valid": here}}}))
    assert use_of(find(run, "classifier"), data, "valid")["use"] == "unseen"


def test_a_card_says_it_too(faces, tmp_path, classifier_folder):
    from converters.darknet_format.files import read_data

    model = tmp_path / "model"
    model.mkdir()
    for name in ("model.cfg", "emo.names", "model.weights"):
        (model / name).write_bytes((classifier_folder / name).read_bytes())
    (model / "model.toml").write_text('trained_on = ["fer2013 train"]\nchosen_on = ["fer2013 valid"]\n')
    data = read_data(faces)
    assert use_of(find(model, None), data, "valid")["use"] == "unknown"
    (faces.parent / "report.json").write_text(json.dumps({"sources": [{"kind": "fer2013", "path": "x"}]}))
    assert use_of(find(model, None), data, "valid")["use"] == "chosen"
    assert use_of(find(model, None), data, "test")["use"] == "unseen"


def test_the_shipped_models_say_what_they_were_chosen_on():
    assert (
        "fer2013 valid" in find("emo-s", "classifier").card["chosen_on"]
        and "fer2013 train" in find("emo-v4-nano", "detector").card["trained_on"]
    )


def test_command_line(faces, classifier_folder, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*args):
        with pytest.raises(SystemExit) as end:
            main(["evaluate", *map(str, args)])
        return end.value.code, *capsys.readouterr()

    code, out, err = run(classifier_folder, "--data", faces.parent, "--threads", 1)
    assert code == 0 and "macro average" in out and "78.6%" in out and "evaluate-out/colours/classes.csv" in out
    code, out, err = run(classifier_folder, classifier_folder, "--data", faces, "--force", "--table", "markdown")
    assert code == 0 and re.match(r"\| model \| accuracy", out) and out.count("78.6%") == 4 and "| colours (2) |" in out
    code, out, err = run(classifier_folder, "--data", faces, "--force", "--table", "latex", "--bootstrap", 0)
    assert code == 0 and out.startswith(r"\begin{tabular}") and r"78.6\%" in out
    code, out, err = run(classifier_folder, "--data", faces, "--force", "--json", "--limit", 7)
    assert code == 0 and json.loads(out)["subject"]["pictures"] == 7
    code, out, err = run(classifier_folder, "--data", faces, "--tta", "two")
    assert code == 2 and "neither tencrop" in err
    code, out, err = run("nothing-here", "--data", faces)
    assert code == 2 and "no system or model 'nothing-here'" in err
    code, out, err = run(classifier_folder)
    assert code == 2 and "no set is named" in err
    (faces.parent / "valid" / "Sad" / "p01.png").unlink()
    code, out, err = run(classifier_folder, "--data", faces, "--out", "new")
    assert code == 1 and "p01.png" in err and not (tmp_path / "new").exists()


def test_names_are_short_unless_folders_tell_them_apart():
    assert labels_of(["runs/a/", "emo-s"]) == ["a", "emo-s"] and labels_of(["x/a", "y/a"]) == ["x/a", "y/a"]
    assert labels_of(["a", "a"]) == ["a (1)", "a (2)"] and labels_of(["two-stage:d/yunet.onnx+r/m"]) == [
        "two-stage:yunet.onnx+m"
    ]


def test_a_list_that_names_nothing_usable(faces, classifier_folder, tmp_path):
    (faces.parent / "valid.txt").write_text("valid/nothing.png\n")
    with pytest.raises(DataError):
        evaluate([str(classifier_folder)], faces, out=tmp_path / "out")


def test_the_gate_of_the_command(faces, classifier_folder, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*args):
        with pytest.raises(SystemExit) as end:
            main(
                [
                    "evaluate",
                    str(classifier_folder),
                    "--data",
                    str(faces),
                    "--bootstrap",
                    "0",
                    "--force",
                    "--out",
                    "out",
                    *args,
                ]
            )
        return end.value.code, capsys.readouterr().err

    assert run("--fail-under", "accuracy=0.78") == (0, "")
    shutil.copy(tmp_path / "out" / "report.json", tmp_path / "old.json")
    code, err = run("--fail-under", "accuracy=0.8", "--junit", "gate.xml", "--summary", "gate.md")
    assert (
        code == 1
        and "colours: accuracy 0.7857, at least 0.8000" in err
        and 'failures="1"' in (tmp_path / "gate.xml").read_text()
    )
    assert "1 of 1 checks failed" in (tmp_path / "gate.md").read_text()
    (tmp_path / "empty.md").touch()  # as a step of CI gives it
    assert run("--fail-under", "accuracy=0.7", "--junit", "gate.xml", "--summary", "empty.md") == (0, "")
    assert run("--fail-under", "accuracy=0.7", "--junit", "gate.xml", "--summary", "empty.md") == (0, "")
    (tmp_path / "notes.md").write_text("mine")
    for option in ("--junit", "--summary"):
        code, err = run("--fail-under", "accuracy=0.7", option, "notes.md")
        assert code == 2 and "notes.md: holds something else" in err and (tmp_path / "notes.md").read_text() == "mine"
    assert run("--baseline", "old.json")[0] == 0
    lines = (faces.parent / "valid.txt").read_text().splitlines()
    (faces.parent / "valid.txt").write_text("\n".join(lines[:14]))  # half of what is wrong is among a quarter more
    assert (
        run("--baseline", "old.json", "--tolerance", "0.01")[0] == 1
        and run("--baseline", "old.json", "--tolerance", "0.4")[0] == 0
    )
    assert run("--junit", "x.xml")[0] == 2
