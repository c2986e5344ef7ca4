"""`import emotion`: what it gives, what it takes, and the examples of its docstrings and of docs/python.md."""

import doctest
import json
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

import emotion
from converters.errors import EmoError, MediaError, MissingExtra, UsageError
from emotion import api, result, system
from emotion.comparison.compare import shipped_media
from emotion.systems.open import open_system

ROOT = Path(__file__).resolve().parents[2]
MEDIA = {path.stem: path for path in shipped_media()}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working directory with a photograph, a video and nothing else."""
    shutil.copy(MEDIA["group"], tmp_path / "group.jpg")
    shutil.copy(MEDIA["group"], tmp_path / "photo.jpg")
    shutil.copy(MEDIA["clip"], tmp_path / "video.mp4")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def yolo():
    return emotion.load("yolo")


@pytest.mark.parametrize("module", [api, result, system])
def test_examples_of_the_docstrings(module, here):
    done = doctest.testmod(module)
    assert done.attempted and not done.failed


def test_examples_of_the_page(here):
    done = doctest.testfile(
        str(ROOT / "docs" / "python.md"),
        module_relative=False,
        optionflags=doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL,
    )
    assert done.attempted > 5 and not done.failed


def test_importing_it_imports_nothing_heavy():
    code = (
        "import sys, emotion; emotion.load; sys.exit(bool({'torch', 'cv2', 'numpy', 'pandas', 'matplotlib'} & "
        "set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_functions_stay_functions_when_modules_are_imported():
    code = (
        "import emotion, emotion.run_detection, emotion.comparison.compare, emotion.comparison.evaluate, "
        "emotion.cli.detect\n"
    )
    code += "assert all(callable(getattr(emotion, name)) for name in emotion.__all__ if name != '__version__')"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_form_of_a_picture_gives_the_same(yolo, here):
    bgr = cv2.imread("group.jpg")
    expected = yolo("group.jpg")
    forms = [
        Path("group.jpg"),
        bgr,
        np.dstack([bgr, np.zeros(bgr.shape[:2], np.uint8)]),
        Image.fromarray(bgr[:, :, ::-1]),
    ]
    for found in yolo(forms):
        np.testing.assert_array_equal(found.boxes_xyxy_px, expected.boxes_xyxy_px)
        np.testing.assert_array_equal(found.scores, expected.scores)
    grey = cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY)
    as_three = yolo(cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR))
    wide = grey.astype(np.uint16) * 257
    for form in (
        grey,
        grey[..., None],
        Image.fromarray(grey),
        Image.fromarray(wide),
        Image.fromarray(grey / np.float32(255)),
    ):
        np.testing.assert_array_equal(yolo(form).scores, as_three.scores)


def test_a_pil_picture_is_turned_upright(yolo, here):
    picture = Image.open("group.jpg").rotate(-90, expand=True)
    exif = Image.Exif()
    exif[0x0112] = 8  # to be turned by 90 degrees to the left
    picture.save("turned.png", exif=exif)
    assert yolo(Image.open("turned.png")).picture.shape == yolo("group.jpg").picture.shape


@pytest.mark.parametrize(
    ("picture", "said"),
    [
        ("video.mp4", "stream"),
        (".", "is a folder"),
        ("nowhere.jpg", "nowhere.jpg"),
        (3, r"3 \(int\) is not a picture"),
        (None, r"None \(NoneType\) is not a picture"),
        ({}, r"\(dict\) is not a picture"),
        (b"group.jpg", r"\(bytes\) is not a picture"),
        (np.zeros((4, 4)), "float64"),
        (np.zeros((0, 4, 3), np.uint8), "is not a picture"),
        (np.zeros((4, 4, 2), np.uint8), r"\(4, 4, 2\)"),
        ([np.zeros(3, np.uint8)], r"\(3,\)"),
    ],
)
def test_what_is_no_picture(yolo, here, picture, said):
    with pytest.raises(MediaError, match=said):
        yolo(picture)


@pytest.mark.parametrize("source", [None, 3.5, [], b"group.jpg", np.zeros((4, 4, 3), np.uint8)])
def test_what_is_no_source(yolo, source):
    for run in (lambda: list(yolo.stream(source)), lambda: emotion.detect(source)):
        with pytest.raises(MediaError, match="is not the name of a source"):
            run()


@pytest.mark.parametrize(
    "settings", [{"conf": 2}, {"conf": "high"}, {"conf": None}, {"iou": -1}, {"iou": float("nan")}]
)
def test_a_threshold_is_from_0_to_1(settings):
    with pytest.raises(UsageError, match=f"{next(iter(settings))} = .* is not a number from 0 to 1"):
        emotion.load("yolo", **settings)


@pytest.mark.parametrize(
    ("run", "said"),
    [
        (lambda: emotion.evaluate(None), "no model is named"),
        (lambda: emotion.convert(None), "no dataset kind 'None'"),
        (lambda: emotion.convert("yolo", ".", valid="a tenth"), "valid = 'a tenth' is not a number from 0 to 1"),
        (lambda: emotion.convert("yolo", ".", enlarge=-1), "enlarge = -1 is not a number from 0$"),
        (lambda: emotion.train(None), "no cfg 'None'"),
        (lambda: emotion.compare("yolo", None), "no system or model 'None'"),
        (lambda: emotion.load(np.zeros(3)), "model = array.* is not a name or path"),
        (lambda: emotion.evaluate(["emo-s", 5], data="."), r"model = 5 \(int\)"),
        (lambda: emotion.evaluate(object(), data="."), r"model = .*\(object\)"),
        (lambda: emotion.evaluate("emo-s", data=["a"]), "data = .*list"),
        (lambda: emotion.compare("yolo", "two-stage", media=[np.zeros(3)]), "media = array"),
        (lambda: emotion.convert([]), "kind = "),
        (lambda: emotion.convert("fer2013", b"a"), "source = .*bytes"),
        (lambda: emotion.train("emonet", {}), "data = .*dict"),
    ],
)
def test_what_is_wrong_is_named(run, said):
    with pytest.raises(UsageError, match=said):
        run()


def test_a_single_medium_needs_no_list():
    with pytest.raises(MediaError, match=r"nowhere\.jpg"):
        emotion.compare("yolo", "two-stage:haar", media="nowhere.jpg")


@pytest.mark.parametrize("model", [None, "", "nowhere"])
def test_what_is_no_model(model):
    with pytest.raises(UsageError, match="no model"):
        emotion.load(model)


def test_it_is_what_the_detector_says(yolo, here):
    (found,) = open_system("yolo").detect([cv2.imread("group.jpg")])
    said = yolo("group.jpg")
    np.testing.assert_array_equal(said.boxes_xyxy_px, found.xyxy_px)
    assert said.emotions == [said.names[index] for index in found.scores.argmax(1)]
    for face, name, row in zip(said, said.emotions, said.scores):
        assert face.emotion == name == max(face.scores, key=face.scores.get) and face.score == pytest.approx(row.max())
    json.dumps(said.as_dict())
    assert said.as_dict()["size_wh"] == [1220, 560] and len(said.as_dict()["faces"]) == len(said) == 9


def test_a_picture_without_faces(yolo):
    said = yolo(np.full((64, 64, 3), 127, np.uint8))
    assert (
        len(said) == 0
        and said.emotions == []
        and list(said) == []
        and said.boxes_xyxy_px.shape == (0, 4)
        and said.scores.shape == (0, 7)
    )
    assert "no face" in repr(said)
    np.testing.assert_array_equal(said.plot(), said.picture)


def test_tables(yolo, here):
    pytest.importorskip("pandas")
    said = yolo("group.jpg")
    table = said.to_frame()
    assert len(table) == 9 and table.emotion.tolist() == said.emotions and table.name.tolist() == ["group.jpg"] * 9
    np.testing.assert_array_equal(table[["x1_px", "y1_px", "x2_px", "y2_px"]], said.boxes_xyxy_px)
    np.testing.assert_allclose(table[list(said.names)], said.scores)
    assert len(yolo(np.full((64, 64, 3), 127, np.uint8)).to_frame()) == 0


def test_supervision(yolo, here):
    said = yolo("group.jpg")
    if find_spec("supervision") is None:
        with pytest.raises(MissingExtra, match=r"emo-darknet\[supervision\]"):
            said.to_supervision()
        return
    theirs = said.to_supervision()
    np.testing.assert_allclose(theirs.xyxy, said.boxes_xyxy_px)
    assert theirs["class_name"].tolist() == said.emotions and len(theirs) == 9
    np.testing.assert_allclose(theirs.confidence, said.face_scores * said.scores.max(1))


def test_plot_and_save(yolo, here):
    said = yolo("group.jpg")
    before = said.picture.copy()
    assert (said.plot() != before).any() and (said.picture == before).all()
    said.save("out.png")
    np.testing.assert_array_equal(cv2.imread("out.png"), said.plot())
    assert said._repr_jpeg_().startswith(b"\xff\xd8")
    with pytest.raises(MediaError, match="cannot be written"):
        said.save("nowhere/out.png")
    with pytest.raises(MediaError, match="cannot be written"):
        said.save("out.nothing")


def test_stream_tracks(yolo, here):
    frames = list(yolo.stream("video.mp4", track=True, limit=4))
    assert [frame.index for frame in frames] == [0, 1, 2, 3] and all(
        frame.track_ids.tolist() == [1] for frame in frames
    )
    assert frames[1].time_s > frames[0].time_s == 0
    assert all(frame.track_ids is None for frame in yolo.stream("video.mp4", limit=1))
    assert [frame.name for frame in yolo.stream(here, limit=1)] == ["group.jpg"]
    with pytest.raises(MediaError, match="track"):
        next(yolo.stream("group.jpg", track=True))


def test_what_can_be_loaded(here):
    assert emotion.load("emo-v4-nano", conf=0.9).detector.name == "yolo"
    system = emotion.load("emo-s", face_model="haar")
    assert (
        system.detector.name == "two-stage"
        and system.settings["face"]["finder"] == "haar"
        and len(system("group.jpg")) > 5
    )
    for wrong in ({"model": "nothing"}, {"backend": "x"}, {"model": "yolo:nothing"}):
        with pytest.raises(UsageError):
            emotion.load(**wrong)


def test_detect_and_compare_write_what_the_commands_write(here):
    assert (
        emotion.detect("video.mp4", track=True, limit=3).tracks == 1
        and (here / "detect-out/video/tracks.csv").is_file()
    )
    assert "detect-out/video-2" in emotion.detect("video.mp4", limit=1, outputs=["csv"]).files[0]
    with pytest.raises(EmoError, match="--force"):
        emotion.detect("video.mp4", limit=1, out="detect-out/video")
    told = emotion.compare("two-stage:haar", "yolo", media=["group.jpg"])
    assert [system["faces_found"] for system in told["systems"]][1] == 9 and (here / "compare-out").is_dir()


def test_convert_train_evaluate(here):
    pytest.importorskip("torch")
    from converters.synthesis.datasets import write_set

    write_set("affectnet", 24, here / "drawn", seed=1)
    report = emotion.convert("affectnet", "drawn", task="classifier")
    assert report["splits"]["train"]["pictures"] > 10
    (here / "small.cfg").write_text(
        "[net]\nwidth=32\nheight=32\nchannels=3\nbatch=4\nmax_batches=2\n[convolutional]\nfilters=7\nsize=3\nstride=2\n"
        "activation=leaky\n[avgpool]\n[softmax]\n"
    )
    done = emotion.train("small.cfg", iterations=2, engine="builtin", device="cpu", quiet=True, workers=0)
    assert done.verdict == "finished" and done.run.weights_file("final").is_file()
    told = emotion.evaluate(done.run.path, replicates=0)
    assert told["models"][0]["kind"] == "classifier"
