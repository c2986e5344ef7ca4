import base64
import json
import re
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

from converters.darknet_format.files import read_data, write_data
from converters.errors import DataError, UsageError
from emotion.cli import main
from emotion.comparison import bootstrap, compare, report, wording
from emotion.comparison.gallery import Gallery
from emotion.comparison.labels import labels_of
from emotion.comparison.settings import Settings
from emotion.comparison.tally import Tally, labelled_frames
from emotion.comparison.units import Units, units_of
from emotion.sources.frame import Frame

CLASSES = ("Neutral", "Happy", "Sad", "Surprise", "Fear", "Disgust", "Anger")


@pytest.fixture
def labelled(tmp_path, squares):
    """Ten pictures, two squares each; of the twenty labels, four name another class than is drawn, and two
    squares stand where nothing is drawn: 14 right, 4 wrong, 2 missed. One drawn square has no label."""
    folder = tmp_path / "set"
    folder.mkdir()
    rng, names = np.random.default_rng(0), []
    for index in range(10):
        drawn = [(0, index % 4, index % 7), (2, (index + 1) % 4, (index + 3) % 7)]
        labels = [list(square) for square in drawn]
        if index < 4:
            labels[0][2] = (labels[0][2] + 1) % 7
        if index in (4, 5):
            drawn = drawn[:1]
        if index == 6:
            drawn.append((3, 3, int(rng.integers(7))))
        name = f"{index:02d}.png"
        cv2.imwrite(str(folder / name), squares(drawn)[0])
        rows = [f"{class_id} {(x + 0.5) / 4} {(y + 0.5) / 4} 0.25 0.25\n" for x, y, class_id in labels]
        (folder / name).with_suffix(".txt").write_text("".join(rows))
        names.append(name)
    (folder / "valid.txt").write_text("\n".join(names) + "\n")
    (folder / "emo.names").write_text("\n".join(CLASSES) + "\n")
    write_data(folder / "emo.data", classes=7, valid="valid.txt", names="emo.names")
    return folder / "emo.data"


@pytest.fixture
def systems(detector_folder, classifier_folder):
    return f"two-stage:{detector_folder}+{classifier_folder}", f"yolo:{detector_folder}"


def test_labelled_figures_are_those_of_the_construction(labelled, systems, tmp_path):
    result = compare.run(systems, data=labelled, out=tmp_path / "out")
    assert result["subject"] == {
        "data": str(labelled),
        "split": "valid",
        "names": list(CLASSES),
        "frames": 10,
        "judged": 10,
        "task": "detector",
    }
    for system in result["systems"]:
        found = system["labelled"]
        assert (found["faces"], found["matched"], found["missed"], found["extra"]) == (20, 18, 2, 1)
        assert found["accuracy"] == pytest.approx(14 / 18)
        confusion = np.array(found["confusion"])
        assert confusion.sum() == 18 and np.trace(confusion) == 14
        assert sum(found["missed_per_class"].values()) == 2 and sum(found["truths"].values()) == 20
        # Every box is exact: class-blind, 18 of 20 are found; the unlabelled one costs at most its rank.
        assert 18 / 20 * 18 / 19 <= found["face_ap"] <= 18 / 20
        assert 0.5 < found["map"] < 0.9
        assert system["latency"]["total_ms"] > 0 and system["latency"]["frames_timed"] == 10
    assert set(result["systems"][0]["latency"]["stages_ms"]) == {"face", "classify"}
    assert set(result["systems"][1]["latency"]["stages_ms"]) == {"prepare", "network", "boxes"}
    assert (
        result["settings"]["ap_iou"] == 0.5
        and result["settings"]["score_floor"] == {"yolo": 0.005, "two-stage": 0.1}
        and result["settings"]["nms_iou"] == 0.45
    )
    # Both networks name a square by its colour, so they agree on all 19.
    agreement = result["pairs"][0]
    assert (agreement["matched"], agreement["same_emotion"], agreement["only"], agreement["share"]) == (
        19,
        19,
        [0, 0],
        1.0,
    )
    saved = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert saved == {key: value for key, value in result.items() if key != "files"}


def test_what_is_counted_again_is_what_was_counted(labelled, systems):
    """The evidence that is resampled gives, each picture once, every figure of the tally; also AP with weak boxes."""
    data = read_data(labelled)
    for spec in systems:
        tally = Tally(detector := systems_of(spec), data.names, 0.25)
        for frame, truth in labelled_frames(data):
            (found,) = detector.detect([frame.bgr])
            tally.add(found, truth)
        result, again = (
            tally.result(),
            bootstrap.figures(tally.evidence(Units.nested("picture", np.arange(10))), np.ones((10, 1), np.int32)),
        )
        assert {name: again[name][0] for name in bootstrap.FIGURES} == pytest.approx(
            {name: result[name] for name in bootstrap.FIGURES}
        )
        scores = result["calibration"]
        assert (scores["faces"], scores["accuracy"]) == (18, pytest.approx(14 / 18)) and sum(
            row["faces"] for row in scores["bins"]
        ) == 18
        assert (
            scores["confidence"] == pytest.approx(np.nanmean(np.concatenate(tally.confidence)))
            and tally.right().tolist().count(-1) == 2
        )


def systems_of(spec):
    from emotion.systems.open import SystemSettings, open_system

    return open_system(spec, SystemSettings(conf=0.005))


def test_significance_of_two_that_agree(labelled, systems, tmp_path):
    result = compare.run(systems, data=labelled, out=tmp_path / "out", settings=Settings(replicates=200, seed=5))
    about = result["significance"]
    assert (about["replicates"], about["seed"], about["unit"], about["units"]) == (200, 5, "picture", 10)
    assert result["pairs"][0]["mcnemar"] == {
        "faces": 18,
        "right_right": 14,
        "right_wrong": 0,
        "wrong_right": 0,
        "wrong_wrong": 4,
        "p": 1.0,
    }
    accuracy = about["figures"]["accuracy"]
    assert (
        accuracy["differences"][0] == {"pair": [0, 1], "value": 0, "low": 0, "high": 0, "shown": False}
        and accuracy["systems"][0] == accuracy["systems"][1]
    )
    assert accuracy["systems"][0]["low"] < 14 / 18 < accuracy["systems"][0]["high"]
    page, said = (tmp_path / "out" / "report.html").read_text(), report.text(result)
    for words in (
        "no difference was shown",
        "200 resamples of 10 pictures",
        "exact McNemar test, p = 1.000",
        "expected calibration error",
        "fewer than 10 pictures (Neutral ",
    ):
        assert words in page and words in " ".join(said.split()), words
    assert page.count("<svg") == 2 and "is better" not in page
    assert all(row[2] is None for row in report.figures(result)[:7])  # nothing is marked as better
    again = compare.run(systems, data=labelled, out=tmp_path / "again", settings=Settings(replicates=200, seed=5))
    assert again["significance"] == about


def test_a_difference_that_is_shown(tmp_path, systems, squares, detector_factory):
    """Thirty pictures; the second system names every face Neutral."""
    for index in range(30):
        cv2.imwrite(str(tmp_path / f"{index}.png"), squares([(1, 1, index % 7)])[0])
        (tmp_path / f"{index}.txt").write_text(f"{index % 7} 0.375 0.375 0.25 0.25\n")
    (tmp_path / "list.txt").write_text("".join(f"{index}.png\n" for index in range(30)))
    (tmp_path / "emo.names").write_text("\n".join(CLASSES))
    write_data(tmp_path / "emo.data", classes=7, valid="list.txt", names="emo.names")
    result = compare.run(
        (systems[1], f"yolo:{detector_factory(tmp_path / 'shy', gain=0.0)}"),
        data=tmp_path / "emo.data",
        out=tmp_path / "out",
    )
    found, test = result["significance"]["figures"], result["pairs"][0]["mcnemar"]
    assert (
        found["accuracy"]["differences"][0]["value"] == pytest.approx(5 / 30 - 1)
        and found["accuracy"]["differences"][0]["shown"]
    )
    assert (test["right_right"], test["right_wrong"], test["wrong_right"]) == (5, 25, 0) and test["p"] == pytest.approx(
        2 / 2**25
    )
    assert not found["face_ap"]["differences"][0]["shown"] and not found["missed"]["differences"][0]["shown"]
    assert wording.better(result, "accuracy") == 0 and wording.better(result, "missed") is None
    said, name = report.text(result), result["systems"][0]["system"]
    assert f"{name} is better" in said and "p < 0.001" in said and f"{name} names them better" in " ".join(said.split())
    assert (
        found["map"]["differences"][0]["high"] < 0 and not found["map"]["differences"][0]["shown"]
    )  # of four or five faces a class
    assert (
        result["significance"]["scarce"] == {**dict.fromkeys(CLASSES, 4), "Neutral": 5, "Happy": 5}
        and "too few faces of some classes to say" in said
    )


def test_names_of_systems_are_short_unless_folders_tell_them_apart():
    assert labels_of(("two-stage:a/b/yunet.onnx+runs/fer-001/", "yolo:/x/y.cfg")) == [
        "two-stage:yunet.onnx+fer-001",
        "yolo:y.cfg",
    ]
    assert labels_of(("yolo:a/model.cfg", "yolo:b/model.cfg")) == ["yolo:a/model.cfg", "yolo:b/model.cfg"]
    assert labels_of(("yolo", "yolo", "yolo@320")) == ["yolo (1)", "yolo (2)", "yolo@320"] and labels_of(
        ("two-stage:+x/m", "two-stage")
    ) == ["two-stage:+m", "two-stage"]


def test_fewer_is_better_of_missed_and_extra_faces():
    def shown(value):
        return {
            "differences": [{"pair": [0, 1], "value": value, "low": value - 0.1, "high": value + 0.1, "shown": True}]
        }

    result = {
        "systems": [{}, {}],
        "significance": {
            "figures": {"missed": shown(3.0), "extra": shown(-3.0), "map": shown(0.3), "accuracy": shown(-0.3)}
        },
    }
    assert [wording.better(result, name) for name in ("missed", "extra", "map", "accuracy")] == [0, 1, 1, 0]


def test_of_three_systems_a_pair_may_differ_where_none_is_the_best():
    """b is better than a, c is like both: no winner, but not no difference either."""

    def figure(value, shown):
        pairs = [(0, 1), (0, 2), (1, 2)]
        return {"differences": [{"pair": list(pair), "value": value, "shown": pair in shown} for pair in pairs]}

    system = {"latency": {"total_ms": None}, "labelled": {"missed": 0}}
    result = {
        "subject": {"judged": 9, "task": "classifier"},
        "systems": [system | {"system": name} for name in "abc"],
        "significance": {"figures": {"accuracy": figure(0.1, {(0, 1)}), "macro_f1": figure(0.1, set())}},
    }
    assert wording.verdict(result).startswith("No system is better than all others, though some differ")
    result["significance"]["figures"]["accuracy"] = figure(0.1, {(0, 2), (1, 2)})
    assert wording.verdict(result).startswith(
        "c is better in accuracy; in the other figures no system beats all others"
    )
    result["significance"]["figures"]["accuracy"] = figure(0.1, set())
    assert wording.verdict(result).startswith("No difference in quality was shown")


def test_one_is_one_and_none_is_no():
    assert [wording.some(count, "face") for count in (0, 1, 2)] == ["no face", "1 face", "2 faces"]
    pairs = [{"pair": [0, 1], "matched": count, "same_emotion": 1, "share": count and 1.0} for count in (0, 1)]
    told = {"systems": [{"system": "a"}, {"system": "b"}], "pairs": pairs}
    assert report.agreement(told) == ["both found no face", "both found 1 face and agree on the emotion of 1 (100.0%)"]


def test_people_in_several_pictures_are_one_unit(labelled, systems, tmp_path):
    """Pictures 0 and 1 show A; 2 shows A and B, 3 B: one unit of four. 4 and 5 are C's; 6 has no group, 7 to 9 no
    row.
    """
    people = {0: "A", 1: "A", 3: "B", 4: "C", 5: "C", 6: ""}
    rows = [f"{index:02d}.png,{name}\n" for index, name in people.items()] + [
        "02.png,A\n",
        "02.png,B\n",
        "elsewhere.png,A\n",
    ]
    (labelled.parent / "manifest.csv").write_text("image,group\n" + "".join(rows))
    found = units_of(read_data(labelled), "valid")
    units = found.pictures
    assert (
        found.kind == "group"
        and len(set(units[:4])) == len(set(units[4:6])) == 1
        and sorted(set(units.tolist())) == list(range(6))
    )
    assert units_of(read_data(labelled), "valid", 3).pictures.tolist() == [0, 0, 0]
    result = compare.run(systems, data=labelled, out=tmp_path / "out")
    assert result["significance"]["figures"] is None and result["significance"]["units"] == 6
    assert "6 people or sources (as the manifest names them, each with all its pictures) are too few" in " ".join(
        report.text(result).split()
    )


def test_without_resamples(labelled, systems, tmp_path, capsys):
    assert emo("compare", *systems, "--data", labelled, "--out", tmp_path / "a", "--bootstrap", 0) == 0
    said = capsys.readouterr().out
    assert "95% intervals" not in said and "No intervals were asked for" in said and "McNemar" in said
    assert emo("compare", *systems, "--data", labelled, "--out", tmp_path / "b", "--bootstrap", 50) == 2
    assert "--bootstrap 50 is too few" in capsys.readouterr().err and not (tmp_path / "b").exists()


def test_a_perfect_system_scores_one(tmp_path, systems, squares):
    for index in range(7):
        picture, _ = squares([(1, 1, index)])
        cv2.imwrite(str(tmp_path / f"{index}.png"), picture)
        (tmp_path / f"{index}.txt").write_text(f"{index} 0.375 0.375 0.25 0.25\n")
    (tmp_path / "list.txt").write_text("".join(f"{index}.png\n" for index in range(7)))
    (tmp_path / "emo.names").write_text("\n".join(CLASSES))
    write_data(tmp_path / "emo.data", classes=7, valid="list.txt", test="list.txt", names="emo.names")
    for split in ("valid", "test"):
        result = compare.run(systems, data=tmp_path / "emo.data", out=tmp_path / split, settings=Settings(split=split))
        for system in result["systems"]:
            found = system["labelled"]
            assert [found[key] for key in ("map", "face_ap", "accuracy", "macro_f1", "missed", "extra")] == [
                1,
                1,
                1,
                1,
                0,
                0,
            ]
    with pytest.raises(DataError, match="no 'train' list"):
        compare.run(systems, data=tmp_path / "emo.data", out=tmp_path / "train", settings=Settings(split="train"))


def test_unlabelled_media(tmp_path, systems, squares, video_factory, detector_factory, capsys):
    """Three frames of two squares, and a picture of one; the second system sees faces of class Anger only."""
    video = video_factory(tmp_path / "a.mp4", [squares([(0, 0, 1), (2, 2, 6)], scale=4)[0]] * 3)
    cv2.imwrite(str(tmp_path / "b.png"), squares([(1, 1, 6)])[0])
    result = compare.run((systems[1], systems[1]), media=[video, tmp_path / "b.png"], out=tmp_path / "out")
    assert [system["faces_found"] for system in result["systems"]] == [7, 7] and result["subject"]["frames"] == 4
    short = f"yolo:{systems[1].rpartition('/')[2]}"
    assert [system["system"] for system in result["systems"]] == [f"{short} (1)", f"{short} (2)"]
    assert (
        result["pairs"][0]["share"] == 1
        and "labelled" not in result["systems"][0]
        and "score_floor" not in result["settings"]
    )

    shy = detector_factory(tmp_path / "shy", gain=0.0)  # every class scores one half of the objectness
    result = compare.run((systems[1], f"yolo:{shy}"), media=[video], out=tmp_path / "out2")
    agreement = result["pairs"][0]
    assert agreement["matched"] == 6 and agreement["same_emotion"] == 0 and agreement["share"] == 0
    matrix, names = np.array(agreement["matrix"]), agreement["names"]
    assert names == list(CLASSES) and matrix[1, 0] == 3 and matrix[6, 0] == 3 and matrix.sum() == 6
    blind = detector_factory(tmp_path / "blind", bias=-60.0)  # objectness is a half at most, on white
    result = compare.run(
        (systems[1], f"yolo:{blind}"), media=[video], out=tmp_path / "out3", settings=Settings(conf=0.7)
    )
    assert (
        result["pairs"][0]["matched"] == 0
        and result["pairs"][0]["only"] == [6, 0]
        and result["pairs"][0]["share"] is None
    )
    assert "–" in report.text(result)


class Links(HTMLParser):
    """What a browser would fetch, and the tags left open."""

    def __init__(self):
        super().__init__()
        self.links, self.open = [], []

    def handle_starttag(self, tag, attrs):
        self.links += [value for key, value in attrs if key in ("src", "href", "srcset", "action", "poster")]
        if tag not in ("meta", "img", "br", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_report_holds_everything_itself(labelled, systems, tmp_path):
    compare.run(systems, data=labelled, out=tmp_path / "out")
    text = (tmp_path / "out" / "report.html").read_text()
    page = Links()
    page.feed(text)
    without_pictures = re.sub(r"base64,[A-Za-z0-9+/=]+", "", text)
    assert not page.open and not re.search(r"https?:|//[a-z]|@import|url\(", without_pictures)
    assert len(page.links) == 2 * 8  # 0 to 6, in which they err, and 8, as both systems see them
    for link in page.links:
        head, data = link.split(",", 1)
        assert head == "data:image/jpeg;base64"
        assert cv2.imdecode(np.frombuffer(base64.b64decode(data, validate=True), np.uint8), cv2.IMREAD_COLOR).shape == (
            640,
            640,
            3,
        )
    for words in (
        "mAP@0.5",
        "face AP@0.5",
        "macro-F1",
        "missed faces",
        "ms a frame",
        "score_floor",
        "nms_iou",
        "sha256",
        "labelled (white box)",
    ):
        assert words in text, words


def test_a_name_that_is_no_utf_8_in_the_report(systems, tmp_path, squares):
    folder = tmp_path / "in\udcff"
    folder.mkdir()
    cv2.imwrite(str(tmp_path / "a.png"), squares([(0, 0, 1)])[0])
    (tmp_path / "a.png").rename(folder / "a\udcfe.png")
    compare.run(systems, media=[folder], out=tmp_path / "out")
    assert r"in\udcff" in (tmp_path / "out" / "report.html").read_text("utf-8")
    assert json.loads((tmp_path / "out" / "compare.json").read_text())["subject"]["media"] == [str(folder)]


def test_names_in_the_report_are_escaped(systems, tmp_path, squares):
    name = "<b>&amp;'\".png"
    cv2.imwrite(str(tmp_path / name), squares([(1, 1, 6)])[0])
    compare.run(systems, media=[tmp_path / name], out=tmp_path / "out")
    text = (tmp_path / "out" / "report.html").read_text()
    assert name not in text and "&lt;b&gt;&amp;amp;" in text


def test_a_comparison_needs_a_set_or_media_not_both(labelled, systems, tmp_path):
    with pytest.raises(UsageError, match="labelled set and media"):
        compare.run(systems, data=labelled, media=["a.jpg"], out=tmp_path / "out")


def shown(gallery, index, differ, time_s=None, name="a"):
    from emotion.systems.detections import Detections

    empty = Detections.empty(1)
    gallery.add(
        Frame(index, time_s, np.zeros((4, 4, 3), np.uint8), name), (empty, empty), (("x",), ("x",)), None, (), differ
    )


def test_the_gallery_is_bounded_spread_and_worst_first():
    gallery = Gallery(evenly=8, worst=3)
    for index in range(1000):
        shown(gallery, index, differ={500: 9, 7: 5, 900: 7}.get(index, index % 2))
        assert len(gallery.spread) <= 8 and len(gallery.worst) <= 3
    chosen = gallery.chosen()
    assert [each.index for each in chosen["worst"]] == [500, 900, 7]
    steps = np.diff([each.index for each in chosen["spread"]])
    assert len(set(steps)) == 1 and 4 <= len(chosen["spread"]) <= 8


def test_the_gallery_takes_one_frame_a_second_of_a_video():
    gallery = Gallery(worst=8)
    for index in range(100):
        shown(gallery, index, differ=1 + (index == 13), time_s=index / 25)
    worst = gallery.chosen()["worst"]
    assert (
        worst[0].index == 13
        and len(worst) <= 4
        and min(abs(a.time_s - b.time_s) for a in worst for b in worst if a is not b) >= 1
    )


def emo(*args):
    with pytest.raises(SystemExit) as stop:
        main([str(arg) for arg in args])
    return stop.value.code


def test_the_command(labelled, systems, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert emo("compare", systems[0], "vs", systems[1], "--data", labelled, "--out", "a") == 0
    printed = capsys.readouterr().out
    assert (
        re.search(r"mAP@0\.5 +\d+\.\d% +\d+\.\d%", printed) and "missed faces" in printed and "a/report.html" in printed
    )
    assert emo("compare", *systems, "--data", labelled, "--out", "b", "--json", "--limit", 3) == 0
    assert json.loads(capsys.readouterr().out)["subject"]["frames"] == 3
    assert emo("compare", *systems, "--data", labelled, "--out", "a") == 2
    assert "a: is not empty" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("yolo",), "name two systems"),
        (("yolo", "vs"), "name two systems"),
        (("yola", "vs", "yolo"), "no system or model 'yola' (did you mean 'yolo'?"),
        (("{yolo}", "vs", "{yolo}", "nosuch.jpg"), "nosuch.jpg: no such file"),
        (("{yolo}", "{yolo}", "--data", "nosuch.data"), "nosuch.data: no such file"),
        (("yolo:nosuch", "yolo"), "there is no model 'nosuch'"),
    ],
)
def test_the_commands_errors_are_one_line(systems, tmp_path, monkeypatch, capsys, args, words):
    monkeypatch.chdir(tmp_path)
    assert emo("compare", *(arg.format(yolo=systems[1]) for arg in args)) in (1, 2)
    printed = capsys.readouterr()
    assert printed.out == "" and words in printed.err and "Traceback" not in printed.err
    assert not (tmp_path / "compare-out").exists()


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("00.txt", "9 0.5 0.5 0.1 0.1\n", "00.txt:1: class 9"),
        ("00.txt", None, "label file is missing"),
        ("03.png", b"", "03.png: is empty"),
        ("03.png", None, "03.png: is not there"),
        ("valid.txt", None, "valid list is missing"),
        ("valid.txt", "", "the list is empty"),
        ("emo.names", "a\nb\n", "classes = 7"),
    ],
)
def test_a_broken_set_is_one_line_and_leaves_no_report(labelled, systems, tmp_path, capsys, file, content, words):
    target = labelled.parent / file
    if content is None:
        target.unlink()
    else:
        target.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert emo("compare", *systems, "--data", labelled, "--out", tmp_path / "out") == 1
    printed = capsys.readouterr()
    assert words in printed.err and len(printed.err.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_full_disk_is_told_of_the_file_and_leaves_nothing(tmp_path, systems, squares):
    import subprocess
    import sys

    cv2.imwrite(str(tmp_path / "a.png"), squares([(0, 0, 1)])[0])
    line = (
        f"ulimit -f 1; exec {sys.executable} -m "
        "emotion.cli "
        "compare "
        f"{' '.join(systems)} "
        f"{tmp_path / 'a.png'} --out "
        f"{tmp_path / 'out'}"
    )
    run = subprocess.run(["sh", "-c", line], capture_output=True, text=True)
    assert (run.returncode, run.stdout) == (
        1,
        "",
    ) and run.stderr == f"emo: {tmp_path / 'out' / 'report.html'}: cannot be written: File too large\n"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("stands", [False, True])
def test_an_interrupted_comparison_leaves_what_was_there(labelled, systems, tmp_path, stands):
    """No empty folder of ours, nor its parent; one that the user had made stays."""
    out = tmp_path / "new" / "out"
    if stands:
        out.mkdir(parents=True)

    def interrupt(done, expected, about):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compare.run(systems, data=labelled, out=out, progress=interrupt)
    assert out.exists() == out.parent.exists() == stands and not (stands and list(out.iterdir()))


def test_an_interrupted_second_comparison_keeps_the_first(labelled, systems, tmp_path):
    out = tmp_path / "out"
    compare.run(systems, data=labelled, out=out, settings=Settings(replicates=0))
    before = {path.name: path.read_bytes() for path in out.iterdir()}

    def interrupt(done, expected, about):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compare.run(systems, data=labelled, out=out, force=True, progress=interrupt)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_a_set_with_classes_that_a_model_lacks(labelled, systems, tmp_path):
    (labelled.parent / "emo.names").write_text("\n".join([*CLASSES[:6], "Boredom"]))
    with pytest.raises(UsageError, match="does not know Boredom"):
        compare.run(systems, data=labelled, out=tmp_path / "out")


def test_a_set_without_a_face_or_without_a_find(tmp_path, systems, squares, detector_factory):
    """Negatives alone, and a system that finds nothing: no figure, no interval, no test, and a page that says so."""
    for index in range(12):
        cv2.imwrite(str(tmp_path / f"{index}.png"), squares([(1, 1, index % 7)] if index % 2 else [])[0])
        (tmp_path / f"{index}.txt").write_text("")
    (tmp_path / "list.txt").write_text("".join(f"{index}.png\n" for index in range(12)))
    (tmp_path / "emo.names").write_text("\n".join(CLASSES))
    write_data(tmp_path / "emo.data", classes=7, valid="list.txt", names="emo.names")
    blind = f"yolo:{detector_factory(tmp_path / 'blind', bias=-60.0)}"
    result = compare.run(
        (systems[1], blind),
        data=tmp_path / "emo.data",
        out=tmp_path / "negatives",
        settings=Settings(conf=0.7, replicates=100),
    )
    found = result["significance"]["figures"]
    assert (
        found["map"]["differences"][0] == {"pair": [0, 1], "value": None, "low": None, "high": None, "shown": False}
        and found["accuracy"]["systems"][0]["low"] is None
    )
    assert (
        found["extra"]["differences"][0]["value"] == -6
        and found["extra"]["differences"][0]["shown"]
        and "blind finds fewer" in report.text(result)
    )
    assert result["pairs"][0]["mcnemar"]["faces"] == 0 and "McNemar" not in report.text(result)
    for index in range(1, 12, 2):
        (tmp_path / f"{index}.txt").write_text(f"{index % 7} 0.375 0.375 0.25 0.25\n")
    result = compare.run(
        (systems[1], blind),
        data=tmp_path / "emo.data",
        out=tmp_path / "blind-one",
        settings=Settings(conf=0.7, replicates=100),
    )
    found = result["significance"]["figures"]
    assert found["missed"]["differences"][0][
        "value"
    ] == 6 and f"{result['systems'][0]['system']} misses fewer" in report.text(result)
    assert (
        found["accuracy"]["differences"][0]["value"] is None
        and "nan" not in (tmp_path / "blind-one" / "compare.json").read_text().lower()
    )
    assert result["systems"][1]["labelled"]["calibration"]["ece"] is None
