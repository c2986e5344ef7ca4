"""Comparisons of three systems, of classifiers, of results from files, of labelled media; and the page in a browser."""

import csv
import json
import runpy
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from converters.darknet_format.files import write_data
from converters.errors import DataError, UsageError
from emotion.comparison import compare, gallery, media_labels, report, side_by_side, wording
from emotion.comparison.foreign import FileSystem
from emotion.comparison.memory import peak_megabytes
from emotion.comparison.settings import Settings
from emotion.sources.frame import Frame
from emotion.systems.open import SystemSettings, open_subject, overrules

ROOT = Path(__file__).resolve().parents[3]
CLASSES = ("Neutral", "Happy", "Sad", "Surprise", "Fear", "Disgust", "Anger")


@pytest.fixture
def systems(detector_folder, classifier_folder):
    return f"two-stage:{detector_folder}+{classifier_folder}", f"yolo:{detector_folder}"


@pytest.fixture
def boxes(tmp_path, squares):
    """Twenty pictures of a square, labelled rightly."""
    folder = tmp_path / "set"
    folder.mkdir()
    for index in range(20):
        cv2.imwrite(str(folder / f"{index:02d}.png"), squares([(index % 3, 2, index % 7)])[0])
        (folder / f"{index:02d}.txt").write_text(f"{index % 7} {(index % 3 + 0.5) / 4} 0.625 0.25 0.25\n")
    (folder / "valid.txt").write_text("".join(f"{index:02d}.png\n" for index in range(20)))
    (folder / "emo.names").write_text("\n".join(CLASSES))
    write_data(folder / "emo.data", classes=7, valid="valid.txt", names="emo.names")
    return folder / "emo.data"


@pytest.fixture
def faces(tmp_path, squares):
    """A classifier's set of 28 pictures of one colour, all labelled rightly."""
    folder, names = tmp_path / "faces", []
    for index in range(28):
        names.append(f"valid/{CLASSES[index % 7]}/p{index:02d}.png")
        (folder / names[-1]).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / names[-1]), squares([(0, 0, index % 7)], cells=1)[0])
    (folder / "valid.txt").write_text("".join(f"{name}\n" for name in names))
    (folder / "labels.txt").write_text("".join(f"{name}\n" for name in CLASSES))
    write_data(folder / "emo.data", classes=7, valid="valid.txt", labels="labels.txt", top=2)
    return folder / "emo.data"


def test_three_systems_each_with_each(boxes, systems, detector_factory, tmp_path):
    shy = f"yolo:{detector_factory(tmp_path / 'shy', gain=0.0)}"  # names every face Neutral
    result = compare.run((*systems, shy), data=boxes, out=tmp_path / "out", settings=Settings(replicates=200))
    assert [pair["pair"] for pair in result["pairs"]] == [[0, 1], [0, 2], [1, 2]]
    assert [pair["same_emotion"] for pair in result["pairs"]] == [20, 3, 3]  # of Neutral there are three
    found = result["significance"]["figures"]["accuracy"]
    assert [each["value"] for each in found["systems"]] == [1, 1, pytest.approx(3 / 20)] and [
        each["shown"] for each in found["differences"]
    ] == [False, True, True]
    assert wording.better(result, "accuracy") is None  # two are equally good
    assert wording.winner("accuracy", found["differences"][1]) == 0
    said = report.text(result)
    assert (
        said.count("exact McNemar test") == 3
        and "shy - " in said
        and said.startswith("No system is better than all others, though some differ from each other")
    )
    page = (tmp_path / "out" / "report.html").read_text()
    assert (
        result["verdict"] in page.replace("&#39;", "'")
        and said.count("100.0 to 100.0%") == page.count(">100.0 to 100.0%<") > 3  # once a figure, not once a pair
        and len([line for line in said.splitlines() if line.startswith("accuracy ")]) == 3  # figure, interval, pairs
        and page.count('<th scope="row">accuracy</th>') == 3
        and 'class="t2"' in page
        and result["machine"]["processor"] in page
    )


def test_a_system_against_itself_differs_in_nothing(boxes, systems, tmp_path):
    result = compare.run((systems[1], systems[1]), data=boxes, out=tmp_path / "out", settings=Settings(replicates=200))
    for name, figure in result["significance"]["figures"].items():
        (difference,) = figure["differences"]
        assert (difference["value"], difference["low"], difference["high"], difference["shown"]) == (0, 0, 0, False), (
            name
        )
    assert (
        result["pairs"][0]["mcnemar"]["p"] == 1
        and result["pairs"][0]["share"] == 1
        and result["pairs"][0]["only"] == [0, 0]
    )


def test_two_classifiers_on_a_classifiers_set(faces, classifier_folder, detector_folder, tmp_path):
    specs = (str(classifier_folder), f"two-stage:{detector_folder}+{classifier_folder}")
    result = compare.run((specs[0], specs[0]), data=faces, out=tmp_path / "same", settings=Settings(replicates=200))
    assert result["subject"]["task"] == "classifier" and [row[0] for row in report.figures(result)][:2] == [
        "accuracy",
        "macro-F1",
    ]
    assert all(
        system["labelled"]["accuracy"] == 1 and system["labelled"]["missed"] == 0 for system in result["systems"]
    )
    assert "mAP" not in report.text(result) and result["pairs"][0]["mcnemar"]["right_right"] == 28
    result = compare.run(specs, data=faces, out=tmp_path / "two", settings=Settings(replicates=0))
    (tmp_path / "said.csv").write_text(
        "picture,x1,y1,x2,y2,emotion,score\n"
        + "".join(f"p{index:02d}.png,0,0,16,16,{CLASSES[index % 7]},0.8\n" for index in range(14))
    )
    half = compare.run(
        (specs[0], f"file:{tmp_path / 'said.csv'}"), data=faces, out=tmp_path / "half", settings=Settings(replicates=0)
    )["systems"][1]["labelled"]
    assert (half["matched"], half["missed"], half["accuracy"]) == (14, 14, 1)
    told = result["systems"][1]["labelled"]
    assert told["matched"] + told["missed"] == 28
    with pytest.raises(UsageError, match="it finds no faces"):
        compare.run((specs[0], specs[1]), media=[faces.parent / "valid" / "Happy" / "p01.png"], out=tmp_path / "no")


def test_results_of_other_programs(boxes, systems, tmp_path):
    """The detector's own faces as emo's JSONL and CSV and as COCO: each agrees with it in every face."""
    from emotion import run_detection

    detector = open_subject(systems[1], SystemSettings(conf=0.25))
    run_detection.run(boxes.parent, detector, tmp_path / "found")
    coco = {
        "images": [],
        "categories": [{"id": index + 1, "name": name.lower()} for index, name in enumerate(CLASSES)],
        "annotations": [],
    }
    for index in range(20):
        coco["images"].append({"id": index, "file_name": f"x/{index:02d}.png"})
        x1, y1, x2, y2 = map(float, detector.detect([cv2.imread(str(boxes.parent / f"{index:02d}.png"))])[0].xyxy_px[0])
        coco["annotations"].append(
            {"image_id": index, "category_id": index % 7 + 1, "bbox": [x1, y1, x2 - x1, y2 - y1], "score": 0.9}
        )
    (tmp_path / "coco.json").write_text(json.dumps(coco))
    (tmp_path / "results.json").write_text(json.dumps(coco["annotations"]))
    (tmp_path / "plain.csv").write_text(
        "picture,x1,y1,x2,y2,emotion,score\n"
        + "".join(
            f"{index:02d}.png,{16 * (index % 3)},32,{16 * (index % 3) + 16},48,{['neutral', 'happiness', 'sadness', 'surprise', 'fear', 'disgust', 'angry'][index % 7]},0.8\n"  # noqa: E501
            for index in range(20)
        )
    )
    files = [
        "found/detections.jsonl",
        "found/detections.csv",
        "coco.json",
        f"results.json+{tmp_path / 'coco.json'}",
        "plain.csv",
    ]
    specs = [f"file:{tmp_path / name}" for name in files]
    result = compare.run((systems[1], *specs), data=boxes, out=tmp_path / "out", settings=Settings(replicates=0))
    for system in result["systems"]:
        assert (system["labelled"]["accuracy"], system["labelled"]["missed"], system["labelled"]["extra"]) == (
            1,
            0,
            0,
        ), system["system"]
    assert (
        all(pair["same_emotion"] == 20 for pair in result["pairs"])
        and result["systems"][1]["cost"]["megabytes"] is None
    )
    assert (
        result["systems"][1]["latency"]["total_ms"] is None
        and "how fast they are was not compared" in result["verdict"]
        and "look up" not in report.text(result)
    )
    frame = Frame(0, None, np.zeros((4, 4, 3), np.uint8), "00.png")
    assert (
        FileSystem(str(tmp_path / "plain.csv"), 0.9).of_frame(frame).xyxy_px.shape == (0, 4)
        and len(FileSystem(str(tmp_path / "plain.csv"), 0.5).of_frame(frame)) == 1
    )


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "json"])
def test_results_name_pictures_with_or_without_folders(suffix, tmp_path):
    """`x/a.png` is the labelled list's a.png; of two that are called b.png nobody knows which one is."""
    names, path = ("x/a.png", "x/b.png", "y\\b.png"), tmp_path / f"found.{suffix}"
    if suffix == "jsonl":
        face = {"xyxy_px": [0, 0, 9, 9], "face": 0.9, "scores": [1.0]}
        frames = [{"type": "frame", "index": i, "picture": name, "faces": [face]} for i, name in enumerate(names)]
        path.write_text("\n".join(map(json.dumps, [{"type": "header", "names": ["Happy"]}, *frames])))
    elif suffix == "csv":
        path.write_text(
            "picture,x1,y1,x2,y2,emotion,score\nempty.png,,,,,,\n"
            + "".join(f"{name},0,0,9,9,Happy,0.9\n" for name in names)
        )
    else:
        images = [{"id": index, "file_name": name} for index, name in enumerate(names)]
        faces = [{"image_id": index, "category_id": 0, "bbox": [0, 0, 9, 9], "score": 0.9} for index in range(3)]
        path.write_text(
            json.dumps({"images": images, "categories": [{"id": 0, "name": "Happy"}], "annotations": faces})
        )
    found = FileSystem(str(path))

    def faces_in(name):
        return len(found.of_frame(Frame(0, None, np.zeros((9, 9, 3), np.uint8), name)))

    assert [faces_in(name) for name in ("a.png", "x/a.png", "z/a.png", "x/b.png", "c.png")] == [1, 1, 1, 1, 0]
    with pytest.raises(DataError, match="several pictures called b.png"):
        faces_in("b.png")


def test_results_of_several_videos(systems, squares, video_factory, tmp_path):
    """Two videos of different faces; the first's third frame has none, which emo's CSV says with an empty row. Results
    that name their video agree with the system that found them; those that do not are refused.
    """
    from emotion import run_detection

    drawn = {"a": [[(0, 0, 1)], [(1, 1, 2)], []], "b": [[(2, 2, 3)], [(3, 3, 4)], [(0, 3, 5)]]}
    videos = [
        video_factory(tmp_path / f"{name}.mp4", [squares(faces, scale=4)[0] for faces in frames], fps=5)
        for name, frames in drawn.items()
    ]
    detector, rows, images, found = open_subject(systems[1], SystemSettings(conf=0.25)), [], [], []
    for video in videos:
        folder = tmp_path / "found" / video.stem
        run_detection.run(video, detector, folder)
        with open(folder / "detections.csv", newline="") as file:
            rows += [row | {"media": video.name} for row in csv.DictReader(file)]
    with open(tmp_path / "named.csv", "w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    for index, row in enumerate(row for row in rows if row["x1"]):
        x1, y1, x2, y2 = (float(row[key]) for key in ("x1", "y1", "x2", "y2"))
        images.append({"id": index, "file_name": f"{row['media']}/frame-{row['frame']}.jpg"})
        found.append(
            {"image_id": index, "category_id": 1, "bbox": [x1, y1, x2 - x1, y2 - y1], "score": float(row["face"])}
        )
    coco = {"images": images, "categories": [{"id": 1, "name": "Happy"}], "annotations": found}
    (tmp_path / "coco.json").write_text(json.dumps(coco))
    specs = [f"file:{tmp_path / name}" for name in ("found", "named.csv", "coco.json")]
    result = compare.run((systems[1], *specs), media=videos, out=tmp_path / "out")
    assert [system["faces_found"] for system in result["systems"]] == [5, 5, 5, 5]
    for pair in result["pairs"][:3]:
        assert pair["matched"] == 5 and pair["only"] == [0, 0], pair
    alone = f"file:{tmp_path / 'found' / 'a' / 'detections.csv'}"
    with pytest.raises(UsageError, match="does not say which of a.mp4, b.mp4 its faces are of"):
        compare.run((systems[1], alone), media=videos, out=tmp_path / "no")
    renamed = videos[0].rename(tmp_path / "renamed.mp4")  # of one video the name says nothing
    for spec in (alone, f"file:{tmp_path / 'found' / 'a' / 'detections.jsonl'}"):
        result = compare.run((systems[1], spec), media=[renamed], out=tmp_path / "one", force=True)
        assert result["pairs"][0]["matched"] == 2 and result["pairs"][0]["only"] == [0, 0]
    (tmp_path / "empty").mkdir()
    assert len(FileSystem(str(tmp_path / "found" / "a")).results.faces) == 3
    with pytest.raises(UsageError, match="has no folder with a detections.jsonl"):
        FileSystem(str(tmp_path / "empty"))


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.json", '[{"image_id": 1, "category_id": 1, "bbox": [0, 0, 5, 5], "score": 0.5}]', "list of results"),
        ("a.json", "[]", "no face with a box"),
        ("a.json", "{", "is neither JSON nor"),
        ("a.json", '{"images": [], "categories": [], "annotations": [{"image_id": 3}]}', "result 1 lacks"),
        ("a.json", "[" * 5000 + "]" * 5000, "has a record that is not a face|neither JSON"),
        ("a.jsonl", "{}\n", "no face with a box"),
        (
            "a.jsonl",
            '{"type": "header", "names": ["Happy"]}\n\n{"faces": [{"xyxy_px": [0, 0, 5, 5], "scores": [1, 2]}]}\n',
            "a.jsonl:3: has a record that is not a face",
        ),
        ("a.csv", "x,y\n1,2\n", "no face with a box"),
        ("a.csv", "picture,x1,y1,x2,y2,emotion,score\na.png,1,2,three,4,Happy,1\n", "a.csv:2: has a record .* 'three'"),
        ("a.txt", "", "neither JSON nor"),
        ("none.json", None, "no such results file"),
    ],
)
def test_files_that_are_no_results(tmp_path, name, text, words):
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises((DataError, UsageError), match=words):
        FileSystem(str(tmp_path / name))


def test_another_size_or_backend_behind_an_at_sign(detector_folder, classifier_folder):
    assert overrules("yolo:runs/a@416@onnx") == ("yolo:runs/a", (416, 416), "onnx") and overrules("yolo@640x384") == (
        "yolo",
        (640, 384),
        None,
    )
    assert overrules("me@home/model.cfg") == ("me@home/model.cfg", None, None) and overrules("a@b@opencv") == (
        "a@b",
        None,
        "opencv",
    )
    assert open_subject(f"{detector_folder}@128x96").settings["model"]["input"] == [128, 96, 3]
    onnx = SystemSettings(backend="onnx")
    assert open_subject(f"yolo:{detector_folder}@opencv", onnx).settings["backend"] == "opencv"
    for spec, words in (
        (f"{detector_folder}@100", "multiples of 32"),
        (f"{classifier_folder}@64", "is a classifier"),
        ("two-stage@64", "size of its own"),
    ):
        with pytest.raises(UsageError, match=words):
            open_subject(spec)


def test_media_with_labels_are_judged(systems, squares, video_factory, tmp_path):
    """A picture, rightly labelled; a video of six frames, of which four are labelled, two of them wrongly and one
    as empty.
    """
    cv2.imwrite(str(tmp_path / "a.png"), squares([(1, 1, 6)])[0])
    video_factory(tmp_path / "b.mp4", [squares([(2, 2, 1)], scale=4)[0]] * 6)
    rows = [
        ("a.png", 0, 16, 16, 32, 32, "Anger"),
        *(("b.mp4", frame, 128, 128, 192, 192, "Happy" if frame < 1 else "Sad") for frame in range(3)),
        ("b.mp4", 3, "", "", "", "", ""),
    ]
    with open(tmp_path / "labels.csv", "w", newline="") as file:
        csv.writer(file).writerows([media_labels.COLUMNS, *rows])
    result = compare.run(systems, media=[tmp_path / "a.png", tmp_path / "b.mp4"], out=tmp_path / "out", clip=True)
    assert (result["subject"]["frames"], result["subject"]["judged"]) == (7, 5)
    for system in result["systems"]:
        told = system["labelled"]
        assert (told["faces"], told["missed"], told["extra"], told["accuracy"]) == (4, 0, 1, 0.5) and system[
            "faces_found"
        ] == 7
        assert system["flicker"]["tracks"] == 1 and system["flicker"]["changes"] == 0
    assert (
        result["significance"]["unit"] == "medium"
        and result["significance"]["figures"] is None
        and "4 of 4 faces and 1 more without a label" in result["verdict"]
    )
    clip = cv2.VideoCapture(str(tmp_path / "out" / side_by_side.FILE))
    count = 0
    while clip.read()[0]:
        count += 1
    assert count == 6 and str(tmp_path / "out" / side_by_side.FILE) in result["files"]
    (tmp_path / "labels.csv").write_text("media,frame,x1,y1,x2,y2,emotion\na.png,0,5,5,4,4,Happy\n")
    with pytest.raises(DataError, match="expected a file's name"):
        compare.run(systems, media=[tmp_path / "a.png"], out=tmp_path / "bad")
    (tmp_path / "labels.csv").write_text("picture,label\na.png,1\n")  # somebody else's
    assert compare.run(systems, media=[tmp_path / "a.png"], out=tmp_path / "other")["subject"]["judged"] == 0


def test_the_labels_that_ship_are_those_of_the_script():
    made = runpy.run_path(str(ROOT / "scripts" / "make_media.py"))["labels"]()
    media = compare.shipped_media()
    told = media_labels.read_media_labels(media)
    folder = media[0].parent.absolute()
    assert set(told.faces) == {(folder, name, frame) for name, frame, _ in made}
    for name, frame, faces in made:
        shipped = told.faces[folder, name, frame]
        assert [emotion for _, emotion in shipped] == [emotion for _, emotion in faces]
        np.testing.assert_allclose([box for box, _ in shipped], [box for box, _ in faces], atol=0.06)


def test_peak_memory_is_of_a_process_of_its_own(systems, squares):
    found = peak_megabytes(
        systems[1],
        [squares([(0, 0, 1)])[0]],
        {"conf": 0.25, "iou": 0.45, "face_model": None, "backend": "opencv", "device": "cpu"},
    )
    assert found is not None and 20 < found < 2000
    assert peak_megabytes("file:x.json", [], {}) is None


@pytest.fixture
def browser():
    """A headless Chromium: `browser(page, width)` loads a page."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="looking at the page needs selenium")
    program, driver = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
    if not program or not driver:
        pytest.skip("looking at the page needs chromium and chromedriver")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    chrome = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))

    def load(page, width):
        chrome.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False},
        )
        chrome.get(page.as_uri())
        return chrome

    yield load
    chrome.quit()


def test_the_page_in_a_browser(boxes, systems, detector_factory, tmp_path, browser):
    """Nothing reaches over the edge of a telephone, no error is told, and the filter shows what it says."""
    shy = f"yolo:{detector_factory(tmp_path / 'a-rather-long-name-of-a-model-folder', gain=0.0)}"
    compare.run((*systems, shy), data=boxes, out=tmp_path / "out", settings=Settings(replicates=200))
    for width in (390, 800, 1400):
        chrome = browser(tmp_path / "out" / "report.html", width)
        over = (
            "return [...document.querySelectorAll('body "
            "*')].filter(e => "
            "e.getBoundingClientRect().right "
            "> innerWidth + 1 || "
            "e.scrollWidth > "
            "e.clientWidth + 1 && "
            "getComputedStyle(e).overflowX != "
            "'visible').length"
        )
        assert (
            chrome.execute_script("return document.documentElement.scrollWidth") <= width
            and chrome.execute_script(over) == 0
        ), width
    shown = "return [...document.querySelectorAll('.frame')].filter(e => e.style.display != 'none').length"
    every = chrome.execute_script(shown)
    choose = "const s = document.getElementById(arguments[0]); s.value = arguments[1]; s.onchange();"
    chrome.execute_script(choose, "kind", "misnamed")
    wrong = chrome.execute_script(shown)
    chrome.execute_script(choose, "class", "Happy")
    happy = chrome.execute_script(shown)
    assert (
        0 < happy < wrong <= every
        and chrome.execute_script("return document.getElementById('count').textContent") == f"{happy} of {every} frames"
    )
    assert not [entry for entry in chrome.get_log("browser") if entry["level"] == "SEVERE"]


def test_the_filter_finds_classes_of_any_name(tmp_path, browser):
    """Names with what a list, an attribute or a script could be cut at; each stands in one of two frames."""
    names = ("a|b", "a", 'c"d', "e'f", "</script><script>alert(1)</script>", "&amp;", "two  spaces")
    faces = [gallery.Said("found", name, 0.5, None) for name in names]
    frames = [
        gallery.Shown(index, f"<b>{name}", None, (b"", b""), (4, 3), ((face,), ()), None, 1)
        for index, (name, face) in enumerate(zip(names, faces))
    ]
    system = {
        "system": "<i>x</i>",
        "settings": {"<u>": "<s>"},
        "faces_found": 1,
        "frames_without_face": 0,
        "latency": {"total_ms": None, "stages_ms": {}, "frames_timed": 0},
        "cost": {"megabytes": None, "bflops_a_frame": None, "bflops_a_face": None},
    }
    pair = {"pair": [0, 1], "matched": 0, "only": [1, 0], "share": None}
    told = {
        "version": "1",
        "verdict": "<b>",
        "subject": {"media": ["<img src=x onerror=alert(1)>"], "frames": 7, "judged": 0, "task": "detector"},
        "settings": {"conf": 0.25, "match_iou": 0.5, "threads": 1},
        "machine": {},
        "systems": [system, system | {"system": "y"}],
        "pairs": [pair],
    }
    (tmp_path / "page.html").write_text(report.render(told, {"worst": frames, "spread": []}))
    chrome = browser(tmp_path / "page.html", 390)
    assert not chrome.execute_script("return document.querySelectorAll('b b, i, u, s, img[onerror]').length")
    options = chrome.execute_script("return [...document.getElementById('class').options].map(each => each.value)")
    assert options == ["", *sorted(names)]
    for name in names:
        chrome.execute_script("const s = document.getElementById('class'); s.value = arguments[0]; s.onchange();", name)
        shown = chrome.execute_script(
            "return [...document.querySelectorAll('.frame')].filter(e => e.style.display != 'none')"
            ".map(e => e.querySelector('h3').firstChild.textContent.trim())"
        )
        assert shown == [f"<b>{name}"]


def test_faces_with_another_emotion_or_none_are_wrongly_named(boxes, systems, tmp_path):
    """Of 20 faces 10 are named rightly, 5 Contempt, which is no labelled class, 5 not at all: none of these is Neutral.

    Classes 0 to 6 have 3, 3, 3, 3, 3, 3, 2 faces, of which 2, 2, 2, 1, 1, 1, 1 are named, all rightly.
    """
    rows = [
        f"{index:02d}.png,{16 * (index % 3)},32,{16 * (index % 3) + 16},48,"
        + (CLASSES[index % 7] if index < 10 else "Contempt" if index < 15 else "")
        for index in range(20)
    ]
    (tmp_path / "said.csv").write_text("\n".join(["picture,x1,y1,x2,y2,emotion", *rows, ""]))
    result = compare.run(
        (systems[1], f"file:{tmp_path / 'said.csv'}"),
        data=boxes,
        out=tmp_path / "out",
        settings=Settings(replicates=200),
    )
    own, told = (system["labelled"] for system in result["systems"])
    assert (told["matched"], told["missed"], told["extra"], told["unnamed"]) == (20, 0, 0, 10) and own["unnamed"] == 0
    assert told["accuracy"] == 0.5 and np.trace(told["confusion"]) == np.sum(told["confusion"]) == 10
    macro_f1 = (3 * 2 * 2 / (3 + 2) + 3 * 2 / (3 + 1) + 2 / (2 + 1)) / 7
    assert told["macro_f1"] == pytest.approx(macro_f1)
    found = result["significance"]["figures"]
    assert found["accuracy"]["systems"][1]["value"] == 0.5 and 0.2 < found["accuracy"]["systems"][1]["low"] < 0.5
    assert found["macro_f1"]["systems"][1]["value"] == pytest.approx(macro_f1)
    assert result["pairs"][0]["mcnemar"] == {
        "faces": 20,
        "right_right": 10,
        "right_wrong": 10,
        "wrong_right": 0,
        "wrong_wrong": 0,
        "p": pytest.approx(2 / 2**10),
    }
    assert "said.csv gave 10 of the 20 faces that it found none of the labelled emotions" in report.text(result)


def test_results_of_other_pictures_are_refused(boxes, systems, tmp_path):
    (tmp_path / "other.csv").write_text("picture,x1,y1,x2,y2,emotion\nelse/a.png,0,0,9,9,Happy\n")
    with pytest.raises(DataError, match=r"has none of what is compared, such as 19.png; it names else/a.png"):
        compare.run((systems[1], f"file:{tmp_path / 'other.csv'}"), data=boxes, out=tmp_path / "out")
    (tmp_path / "video.csv").write_text("frame,x1,y1,x2,y2,emotion\n90,0,0,9,9,Happy\n")
    with pytest.raises(DataError, match=r"it names frame 90 "):
        compare.run((systems[1], f"file:{tmp_path / 'video.csv'}"), data=boxes, out=tmp_path / "out")
    assert not (tmp_path / "out").exists() or not any((tmp_path / "out").iterdir())
