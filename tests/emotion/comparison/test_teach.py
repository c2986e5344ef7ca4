"""`emo dataset teach` with nets whose answers are known by construction (see tests/emotion/conftest.py)."""

import json
import shutil

import cv2
import numpy as np
import pytest

from converters.darknet_format.files import read_data, read_list, write_data
from converters.darknet_format.votes import read_votes
from converters.errors import DataError, UsageError
from emotion.cli import main
from emotion.comparison.settings import Settings
from emotion.comparison.teach import teach
from emotion.systems.models import find

CLASSES = ("Neutral", "Happy", "Sad", "Surprise", "Fear", "Disgust", "Anger")


@pytest.fixture
def faces(tmp_path, squares):
    """A classifier's set: 14 pictures to learn from, each one colour and in its class's folder, and 7 to choose by; taggers
    said of the first four that half of them are Happy and half Sad.
    """  # noqa: E501
    folder = tmp_path / "a set, of faces"
    names = {"train": [], "valid": []}
    for split, count in (("train", 14), ("valid", 7)):
        for index in range(count):
            name = f"{split}/{CLASSES[index % 7]}/p{index:02d}.png"
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(folder / name), squares([(0, 0, index % 7)], cells=1)[0])
            names[split].append(name)
        (folder / f"{split}.txt").write_text("".join(f"{name}\n" for name in names[split]))
    (folder / "labels.txt").write_text("".join(f"{name}\n" for name in CLASSES))
    rows = "".join(f"{name},0,5,5,0,0,0,0\n" for name in names["train"][:4])
    (folder / "votes.csv").write_text(f"path,{','.join(CLASSES)}\n{rows}")
    lists = {split: f"{split}.txt" for split in names}
    write_data(folder / "emo.data", classes=7, labels="labels.txt", top=2, votes="votes.csv", **lists)
    return folder / "emo.data"


def answers(model, paths):
    from emotion.systems.classifier import Classifier

    return Classifier(find(model, "classifier")).classify([cv2.imread(str(path)) for path in paths])


def run(words):
    with pytest.raises(SystemExit) as ended:
        main(words)
    return ended.value.code


def votes_in(folder, data="emo.data"):
    found = read_data(folder / data)
    paths = read_list(found.list_of("train"))
    return paths, read_votes(found, paths)


def test_the_answers_become_votes(faces, classifier_folder, tmp_path):
    report = teach(faces, [str(classifier_folder)], tmp_path / "out", settings=Settings(backend="opencv"))
    assert report["teachers"] == [{"model": str(classifier_folder), "top1": 1.0}]
    assert report["pictures"] == {"train": 14, "valid": 7}
    paths, votes = votes_in(tmp_path / "out")
    assert [str(path) for path in paths] == [str(path) for path in read_list(faces.parent / "train.txt")]
    np.testing.assert_allclose(votes, answers(classifier_folder, paths), atol=1e-5)
    assert json.loads((tmp_path / "out" / "report.json").read_text()) == report


def test_two_teachers_and_the_taggers_are_averaged(faces, classifier_folder, tmp_path):
    other = shutil.copytree(classifier_folder, tmp_path / "turned")  # its classes stand in another order
    (other / "emo.names").write_text("\n".join(CLASSES[1:] + CLASSES[:1]))
    names = [str(classifier_folder), str(other)]
    teach(faces, names, tmp_path / "out", own=0.25, settings=Settings(backend="opencv"))
    paths, votes = votes_in(tmp_path / "out")
    first = answers(classifier_folder, paths)
    wanted = (first + np.roll(first, 1, axis=1)) / 2
    wanted[:4] = 0.75 * wanted[:4] + 0.25 * np.array([0, 0.5, 0.5, 0, 0, 0, 0])
    np.testing.assert_allclose(votes, wanted, atol=1e-5)


def test_what_was_taught_can_be_learned_from(faces, classifier_folder, tmp_path, monkeypatch, capsys):
    pytest.importorskip("torch", reason="the built-in engine needs PyTorch (extra train)")
    monkeypatch.chdir(tmp_path)
    words = ["dataset", "teach", str(faces), "--by", str(classifier_folder), "--tta", "2", "--out", "taught"]
    assert run(words) == 0
    assert "14 train, 7 valid" in capsys.readouterr().out
    training = ["train", "emo-s", "--data", "taught", "--set", "vote_share=1", "--set", "mixup=0", "--batch", "7"]
    assert run([*training, "--iterations", "2", "--quiet"]) == 0
    assert run(words) == 2 and "--force" in capsys.readouterr().err


def test_a_set_without_votes_has_no_own_share(faces, classifier_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    options = {key: value for key, value in read_data(faces).options.items() if key not in ("classes", "votes")}
    write_data(faces, classes=7, **options)
    assert run(["dataset", "teach", str(faces), "--by", str(classifier_folder), "--own", "0.5", "-o", "taught"]) == 0
    assert "no votes of its own" in capsys.readouterr().out
    assert json.loads((tmp_path / "taught/report.json").read_text())["own"] == 0
    np.testing.assert_allclose(votes_in(tmp_path / "taught")[1].sum(1), 1, atol=1e-5)


@pytest.mark.parametrize(
    "spoil", ["detector set", "detector", "others' classes", "no picture", "in the set", "its votes"]
)
def test_what_cannot_be_taught_is_one_line(faces, classifier_folder, detector_folder, tmp_path, spoil):
    data, teachers, out, own = faces, [str(classifier_folder)], tmp_path / "out", 0.0
    if spoil == "detector set":
        (faces.parent / "emo.names").write_text("\n".join(CLASSES))
        write_data(faces, classes=7, train="train.txt", names="emo.names")
        wanted = UsageError, "a detector's set"
    elif spoil == "detector":
        teachers, wanted = [str(detector_folder)], (UsageError, "is no classifier")
    elif spoil == "others' classes":
        other = shutil.copytree(classifier_folder, tmp_path / "other")
        (other / "emo.names").write_text("\n".join(CLASSES[:6] + ("Boredom",)))
        teachers = [str(other)]
        wanted = UsageError, "Anger"
    elif spoil == "no picture":
        (faces.parent / "train/Sad/p02.png").write_bytes(b"no picture")
        wanted = DataError, "p02.png"
    elif spoil == "in the set":
        out, wanted = faces.parent, (UsageError, "the output lies in, or around, the source")
    else:
        (faces.parent / "votes.csv").write_text(f"path,{','.join(CLASSES)}\ntrain/Sad/p02.png,1,2,x,0,0,0,0\n")
        own, wanted = 0.5, (DataError, "votes.csv:2: is not a distribution")
    before = sorted(faces.parent.rglob("*"))
    with pytest.raises(wanted[0], match=wanted[1]):
        teach(data, teachers, out, own=own, settings=Settings(backend="opencv"))
    assert sorted(faces.parent.rglob("*")) == before and not (tmp_path / "out").exists()
