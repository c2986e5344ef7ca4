import csv
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from converters.errors import MediaError, UsageError
from converters.output_folder import LEDGER
from emotion import run_detection as detect
from emotion.cli import main
from emotion.output import sinks
from emotion.sources.frame import Frame
from emotion.systems.models import find
from emotion.systems.yolo import YoloDetector


@pytest.fixture
def detector(detector_folder):
    return YoloDetector(find(detector_folder, "detector"))


@pytest.fixture
def video(tmp_path, video_factory, squares):
    """Ten frames: a square of class 3 from the third on."""
    return video_factory(
        tmp_path / "clip.mp4", [squares([(1, 2, 3)] if index > 1 else [], scale=4)[0] for index in range(10)], fps=5
    )


def records(folder):
    header, *frames = [json.loads(line) for line in (folder / "detections.jsonl").read_text().splitlines()]
    return header, frames


def names(folder):
    return sorted(path.name for path in folder.iterdir() if path.name != LEDGER)


def test_a_video_becomes_jsonl_csv_and_a_video(video, detector, tmp_path):
    summary = detect.run(video, detector, tmp_path / "out")
    assert names(tmp_path / "out") == [
        "annotated.mp4",
        "detections.csv",
        "detections.jsonl",
        "summary.html",
        "summary.json",
        "timeline.png",
    ]
    header, frames = records(tmp_path / "out")
    assert header["type"] == "header" and header["program"] == "emo" and header["version"] and header["fps"] == 5
    assert (
        header["names"] == list(detector.names)
        and header["settings"]["conf"] == 0.25
        and header["settings"]["system"] == "yolo"
    )
    assert header["settings"]["model"]["sha256"]
    # a record a frame, also without a face
    assert [(frame["index"], frame["time_s"]) for frame in frames] == [
        (index, pytest.approx(index / 5)) for index in range(10)
    ]
    assert [len(frame["faces"]) for frame in frames] == [0, 0] + [1] * 8 and frames[0]["size_wh"] == [256, 256]
    (face,) = frames[5]["faces"]
    assert face["class_id"] == 3 and len(face["scores"]) == 7 and face["scores"][3] == max(face["scores"])
    assert np.allclose(face["xyxy_px"], (64, 128, 128, 192), atol=0.5)
    assert (summary.frames, summary.faces, summary.frames_without_face) == (10, 8, 2) and summary.emotions[
        "Surprise"
    ] == 8
    assert set(summary.stages) == {"decode", "prepare", "network", "boxes", "draw", "write"}

    rows = list(csv.DictReader((tmp_path / "out" / "detections.csv").open()))
    assert len(rows) == 10 and list(rows[0])[:11] == [
        "frame",
        "time_s",
        "picture",
        "x1",
        "y1",
        "x2",
        "y2",
        "face",
        "emotion",
        "score",
        "uncertain",
    ]
    assert [row["frame"] for row in rows] == [str(index) for index in range(10)] and not any(
        rows[1][key] for key in list(rows[0])[2:]
    )  # without a face
    rows = rows[2:]
    assert (
        rows[0]["frame"] == "2"
        and rows[0]["time_s"] == "0.4"
        and rows[0]["emotion"] == "Surprise"
        and rows[0]["score"] == rows[0]["Surprise"]
    )

    played = cv2.VideoCapture(str(tmp_path / "out" / "annotated.mp4"))
    pictures = [played.read()[1] for _ in range(10)]
    assert not played.read()[0] and played.get(cv2.CAP_PROP_FPS) == 5 and pictures[0].shape == (256, 256, 3)
    assert pictures[0].max() < 40 and pictures[5][100:128, 64:128].max() > 100  # the label above the square


def test_without_pyav_opencv_writes_the_video(video, detector, tmp_path, monkeypatch):
    from emotion.output import h264

    monkeypatch.setattr(h264, "available", lambda: False)
    detect.run(video, detector, tmp_path / "out")
    played = cv2.VideoCapture(str(tmp_path / "out" / "annotated.mp4"))
    assert int(played.get(cv2.CAP_PROP_FOURCC)) in (cv2.VideoWriter.fourcc(*"FMP4"), cv2.VideoWriter.fourcc(*"mp4v"))
    assert (
        played.get(cv2.CAP_PROP_FPS) == 5
        and played.get(cv2.CAP_PROP_FRAME_COUNT) == 10
        and played.read()[1].shape == (256, 256, 3)
    )


def test_a_picture(tmp_path, detector, squares):
    cv2.imwrite(str(tmp_path / "a.png"), squares([(0, 0, 1), (2, 2, 6)])[0])
    summary = detect.run(tmp_path / "a.png", detector, tmp_path / "out")
    assert names(tmp_path / "out") == ["annotated.png", "detections.csv", "detections.jsonl"] and summary.faces == 2
    _, (frame,) = records(tmp_path / "out")
    assert frame["picture"] == "a.png" and frame["time_s"] is None


def test_a_folder_keeps_names_and_goes_on_after_an_unreadable_picture(tmp_path, detector, squares):
    (tmp_path / "in" / "sub").mkdir(parents=True)
    for name in ("a.png", "sub/b.jpg", "c.bmp"):
        cv2.imwrite(str(tmp_path / "in" / name), squares([(0, 0, 1)])[0])
    (tmp_path / "in" / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    told = []
    summary = detect.run(tmp_path / "in", detector, tmp_path / "out", skipped=told.append)
    found = sorted(
        str(path.relative_to(tmp_path / "out" / "pictures")) for path in (tmp_path / "out" / "pictures").rglob("*.*")
    )
    assert found == ["a.png", "c.bmp.png", "sub/b.jpg"]
    assert (summary.frames, summary.unreadable, len(told)) == (3, 1, 1) and "broken.jpg" in str(told[0])
    with pytest.raises(MediaError, match="broken.jpg"):
        detect.run(tmp_path / "in", detector, tmp_path / "strict")


def test_nothing_readable_leaves_nothing(tmp_path, detector):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jpg").write_bytes(b"")
    with pytest.raises(MediaError, match="none of its pictures"):
        detect.run(tmp_path / "in", detector, tmp_path / "out", skipped=lambda error: None)
    assert not (tmp_path / "out").exists()


def test_a_second_run_gives_the_same_bytes(video, detector, tmp_path):
    detect.run(video, detector, tmp_path / "a")
    detect.run(video, detector, tmp_path / "b")
    for name in names(tmp_path / "a"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


def test_a_full_folder_is_refused_and_force_replaces_only_emos_files(video, detector, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("keep")
    with pytest.raises(UsageError, match="not empty"):
        detect.run(video, detector, out)
    assert names(out) == ["mine.txt"]
    detect.run(video, detector, out, force=True)
    assert names(out) == [
        "annotated.mp4",
        "detections.csv",
        "detections.jsonl",
        "mine.txt",
        "summary.html",
        "summary.json",
        "timeline.png",
    ]
    (out / "annotated.jpg").write_text("mine, though it is called like emo's")
    with pytest.raises(UsageError, match="holds annotated.jpg, which emo did not write"):
        detect.run(video, detector, out, force=True)
    (out / "annotated.jpg").unlink()
    detect.run(video, detector, out, force=True)
    assert names(out) == [
        "annotated.mp4",
        "detections.csv",
        "detections.jsonl",
        "mine.txt",
        "summary.html",
        "summary.json",
        "timeline.png",
    ]


@pytest.mark.parametrize("done", [0, 4])
def test_force_keeps_the_earlier_result_until_the_new_one_is_whole(video, detector, tmp_path, done):
    """An interruption before the first frame is written, and one after four; then a run that ends well."""
    out = tmp_path / "out"
    detect.run(video, detector, out)
    before = {name: (out / name).read_bytes() for name in names(out)}

    class Broken(YoloDetector):
        def detect(self, frames):
            if self.calls >= done:
                raise KeyboardInterrupt
            self.calls += 1
            return super().detect(frames)

    broken = Broken(detector.model)
    broken.calls = 0
    with pytest.raises(KeyboardInterrupt):
        detect.run(video, broken, out, force=True)
    after = {name: (out / name).read_bytes() for name in names(out)}
    assert (
        before.items() <= after.items()
        and all(".part." in name for name in after.keys() - before.keys())
        and bool(after.keys() - before.keys()) == bool(done)
    )
    detect.run(video, detector, out, force=True, outputs=("jsonl", "csv"))
    assert names(out) == ["detections.csv", "detections.jsonl"]


def test_the_source_is_never_replaced(video, detector, tmp_path):
    out = tmp_path / "out"
    detect.run(video, detector, out)
    before = (out / "annotated.mp4").read_bytes()
    with pytest.raises(UsageError, match="own output"):
        detect.run(out / "annotated.mp4", detector, out, force=True)
    assert (out / "annotated.mp4").read_bytes() == before


def test_a_cut_video_leaves_only_partial_names(tmp_path, detector):
    path = tmp_path / "cut.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    for index in range(60):
        writer.write(np.random.default_rng(index).integers(0, 256, (48, 64, 3), np.uint8))
    writer.release()
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(MediaError, match="breaks off"):
        detect.run(path, detector, tmp_path / "out")
    assert names(tmp_path / "out") == ["annotated.part.mp4", "detections.part.csv", "detections.part.jsonl"]
    lines = (tmp_path / "out" / "detections.part.jsonl").read_text().splitlines()
    assert len(lines) > 20 and json.loads(lines[-1])["index"] == len(lines) - 2  # all frames up to the cut


def test_an_interrupted_run_leaves_only_partial_names(tmp_path, detector_folder, video_factory, squares):
    """SIGINT to the real command in the midst of a long video."""
    video = video_factory(tmp_path / "long.mp4", [squares([(1, 2, 3)], scale=8)[0]] * 3000, fps=25)
    run = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from emotion.cli import main; main()"
    )
    command = [
        sys.executable,
        "-c",
        run,
        "detect",
        str(video),
        "--model",
        str(detector_folder),
        "--out",
        str(tmp_path / "out"),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    part = tmp_path / "out" / "detections.part.jsonl"
    until = time.monotonic() + 60
    while not (part.exists() and part.stat().st_size > 0) and time.monotonic() < until and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130 and out == "" and err.strip() == "emo: interrupted"
    assert names(tmp_path / "out") == [
        "annotated.part.mp4",
        "detections.part.csv",
        "detections.part.jsonl",
        "tracks.part.csv",
    ]
    assert json.loads(part.read_text().splitlines()[-1])["type"] in ("frame", "header")


@pytest.mark.parametrize(("width", "height"), [(63, 48), (64, 47), (33, 35)])
def test_odd_sizes_gain_a_row_or_column(tmp_path, width, height):
    from emotion.systems.detections import Detections

    sink = sinks.Video(tmp_path / "a.mp4", 10)
    picture = np.full((height, width, 3), 128, np.uint8)
    for index in range(3):
        sink.write(Frame(index, 0.0, picture), Detections.empty(1), picture)
    sink.close()
    good, back = cv2.VideoCapture(str(sinks.part(tmp_path / "a.mp4"))).read()
    assert good and back.shape == (height + height % 2, width + width % 2, 3) and abs(back.astype(int) - 128).max() < 8


def test_no_annotate_writes_detections_alone(video, detector, tmp_path):
    detect.run(video, detector, tmp_path / "out", outputs=("jsonl", "csv"), limit=3)
    assert names(tmp_path / "out") == ["detections.csv", "detections.jsonl"] and len(records(tmp_path / "out")[1]) == 3


@pytest.mark.parametrize("kilobytes", [4, 40])
def test_a_full_disk_leaves_nothing_that_looks_finished(kilobytes, tmp_path, detector_folder, video_factory):
    """The file size limit of the shell, as a disk that is full: of noise, a frame takes more."""
    rng = np.random.default_rng(0)
    video = video_factory(tmp_path / "a.mp4", [rng.integers(0, 256, (96, 96, 3), np.uint8) for _ in range(30)], fps=10)
    line = (
        f"ulimit -f {2 * kilobytes}; exec {sys.executable} -m emotion.cli detect {video} --model {detector_folder} "
        f"--out {tmp_path / 'out'}"
    )
    run = subprocess.run(["sh", "-c", line], capture_output=True, text=True)  # sh counts in 512 bytes
    assert (
        (run.returncode, run.stdout, run.stderr.count("\n")) == (1, "", 1)
        and "out/" in run.stderr
        and "cannot be written" in run.stderr
    )
    assert all(".part" in name for name in names(tmp_path / "out"))


def test_a_name_that_is_no_utf_8(tmp_path, detector, squares, video, monkeypatch):
    """OpenCV crashes on it; a picture is read without OpenCV's own reader, a video is refused in one line."""
    folder = tmp_path / "in\udcff"
    folder.mkdir()
    cv2.imwrite(str(tmp_path / "a.png"), squares([(0, 0, 1)])[0])
    (tmp_path / "a.png").rename(folder / "a\udcfe\n.png")
    detect.run(folder, detector, tmp_path / "out")
    header, (frame,) = records(tmp_path / "out")
    assert header["source"] == str(folder) and frame["picture"] == "a\udcfe\n.png" and len(frame["faces"]) == 1
    assert (tmp_path / "out" / "pictures" / "a\udcfe\n.png").is_file()
    with pytest.raises(MediaError, match="not UTF-8"):
        detect.run(video.rename(folder / "v.mp4"), detector, tmp_path / "refused")
    with pytest.raises(MediaError, match="not UTF-8"):
        detect.run((folder / "v.mp4").rename(video), detector, folder / "out")
    assert not (tmp_path / "refused").exists() and not (folder / "out").exists()


def emo(*args):
    with pytest.raises(SystemExit) as stop:
        main([str(arg) for arg in args])
    return stop.value.code


def test_the_command(video, detector_folder, classifier_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert emo("detect", video, "--model", detector_folder) == 0
    assert "8 faces in 10 frames (2 without one): Surprise 8" in capsys.readouterr().out
    assert names(tmp_path / "detect-out" / "clip") == [
        "annotated.mp4",
        "detections.csv",
        "detections.jsonl",
        "summary.html",
        "summary.json",
        "timeline.png",
        "tracks.csv",
    ]
    two = ("--system", "two-stage", "--face-model", detector_folder, "--model", classifier_folder)
    assert emo("detect", video, *two, "--out", "two", "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert (
        printed["system"] == "two-stage"
        and printed["emotions"]["Surprise"] == 8
        and {"face", "classify"} <= set(printed["stages"])
    )
    assert emo("detect", video, "--model", detector_folder, "--out", "quiet", "--quiet") == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (("nosuch.mp4", "--model", "{model}"), 1, "nosuch.mp4: no such file"),
        (("{video}", "--system", "two-stage", "--face-model", "nosuch.onnx"), 1, "nosuch.onnx: no such face model"),
        (("{video}", "--model", "nosuch"), 2, "there is no model 'nosuch'"),
        (("{video}", "--model", "{model}", "--conf", "2"), 2, "--conf"),
        (("{video}", "--model", "{model}", "--out", "{video}"), 2, "cannot be made"),
        (("{text}", "--model", "{model}"), 1, "cannot be opened"),
        (("{video}", "--system", "two-stage", "--model", "{model}"), 2, "is a detector"),
    ],
)
def test_the_commands_errors_are_one_line(video, detector_folder, tmp_path, monkeypatch, capsys, args, code, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.mp4").write_text("hello")
    known = {"video": video, "model": detector_folder, "text": tmp_path / "text.mp4"}
    assert emo("detect", *(arg.format(**known) for arg in args)) == code
    printed = capsys.readouterr()
    assert printed.out == "" and words in printed.err and "Traceback" not in printed.err
    assert len(printed.err.strip().splitlines()) == 1
    assert not (tmp_path / "detect-out").exists()


def test_a_run_of_ones_own_is_hinted_at(video, detector_folder, tmp_path, monkeypatch, capsys):
    """Without --model the shipped one is used, and the newest run is named."""
    import shutil

    from emotion.systems import models

    if "emo-v4-nano" not in models.shipped():
        pytest.skip("no model ships yet")
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "runs" / "mine-001"
    shutil.copytree(detector_folder, run)
    (run / "run.json").write_text("{}")
    assert emo("detect", video, "--limit", 1) == 0
    assert capsys.readouterr().err == "emo: using the detector that ships; yours: --model runs/mine-001\n"


def test_a_link_keeps_the_name_that_was_typed(video, detector_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.mp4").symlink_to(video)
    assert emo("detect", "mine.mp4", "--model", str(detector_folder), "--quiet") == 0
    assert (tmp_path / "detect-out" / "mine" / "annotated.mp4").is_file()


@pytest.mark.parametrize("name", ["12:30.mp4", "rtp:5004.mp4", "file:x.mp4", "concat:a|b.mp4", "http:.mp4"])
def test_a_colon_in_a_relative_name_is_no_protocol(name, video, detector, tmp_path, monkeypatch):
    """Neither where a video is read nor where one is written."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(video.read_bytes())
    summary = detect.run(name, detector, f"out:{name}")
    assert summary.frames == 10 and names(tmp_path / f"out:{name}") == [
        "annotated.mp4",
        "detections.csv",
        "detections.jsonl",
        "summary.html",
        "summary.json",
        "timeline.png",
    ]
    assert (
        detect.run(name, detector).frames == 10
        and cv2.VideoCapture(str(tmp_path / f"out:{name}" / "annotated.mp4")).read()[0]
    )


@pytest.mark.parametrize("name", ["a\nb.mp4", "\x1b[31m.mp4", "x" * 251 + ".mp4", "%d #?&.mp4", " .mp4", "-a.mp4"])
def test_a_video_of_any_name(name, video, detector, tmp_path, monkeypatch):
    """A line end broke the plot's title, a long name the default output's."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    video.rename(name)
    assert detect.run(name, detector, limit=2).frames == 2
    (out,) = Path("detect-out").iterdir()
    assert out.name[:190] == name[:-4][:190] and (out / "annotated.mp4").is_file() and (out / "timeline.png").is_file()


def test_several_sources_in_one_call(video, detector_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "twin").mkdir()
    shutil.copy(video, tmp_path / "twin" / video.name)
    model = ("--model", detector_folder)
    assert emo("detect", video, f"twin/{video.name}", *model) == 0
    said = capsys.readouterr().out
    assert said.count("8 faces in 10 frames") == 2 and f"twin/{video.name}: " in said
    assert emo("detect", video, f"twin/{video.name}", *model, "--json") == 0  # what nobody named is never refused
    assert [Path(one["files"][0]).parent.name for one in json.loads(capsys.readouterr().out)] == [
        f"{video.stem}-3",
        f"{video.stem}-4",
    ]
    assert emo("detect", video, f"twin/{video.name}", *model, "--out", "named") == 0
    assert sorted(path.name for path in Path("named").iterdir()) == [video.stem, f"{video.stem}-2"]
    assert emo("detect", video, f"twin/{video.name}", *model, "--out", "named") == 2  # what somebody named is
    assert emo("detect", video, f"twin/{video.name}", *model, "--out", "named", "--force") == 0
    assert sorted(path.name for path in Path("named").iterdir()) == [video.stem, f"{video.stem}-2"]
