"""Several sources, parts of them, in processes, gone on with: the same files to the byte."""

import csv
import io
import json
import sys

import cv2
import numpy as np
import pytest

from emotion.cli import main
from emotion.detect_many import expand, orders


def emo(*arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return ended.value.code or 0


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".emo-files"
    }


@pytest.fixture
def photos(tmp_path, squares):
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    for index in range(40):
        picture = squares([(index % 4, index // 4 % 4, index % 7)] if index % 5 else [], scale=2)[0]
        cv2.imwrite(str(folder / ("sub" if index % 2 else "") / f"{index:02d}.png"), picture)
    return folder


@pytest.fixture
def video(tmp_path, video_factory, squares):
    """20 frames, 10 a second; the square steps from column to column, a class each."""
    frames = [squares([(index // 5, 1, index // 5)], scale=4)[0] for index in range(20)]
    return video_factory(tmp_path / "v.mp4", frames, fps=10)


def frames_of(folder):
    return [json.loads(line) for line in (folder / "detections.jsonl").read_text().splitlines()[1:]]


@pytest.mark.parametrize(
    "arguments, indices",
    [
        (("--start", "0.5", "--end", "0:01"), range(5, 10)),
        (("--stride", "3"), range(0, 20, 3)),
        (("--max-fps", "2"), (0, 5, 10, 15)),
        (("--start", "1", "--stride", "2", "--limit", "3"), (10, 12, 14)),
        (("--max-fps", "100"), range(20)),
    ],
)
def test_parts_of_a_video_keep_their_place_in_it(video, detector_folder, tmp_path, arguments, indices):
    assert emo("detect", video, "--model", detector_folder, "--out", tmp_path / "o", *arguments) == 0
    frames = frames_of(tmp_path / "o")
    assert [frame["index"] for frame in frames] == list(indices)
    assert [frame["time_s"] for frame in frames] == pytest.approx([index / 10 for index in indices])
    played = cv2.VideoCapture(str(tmp_path / "o" / "annotated.mp4"))
    assert played.get(cv2.CAP_PROP_FRAME_COUNT) == len(frames)


def test_a_part_that_is_empty_is_said(video, detector_folder, tmp_path, capsys):
    assert emo("detect", video, "--model", detector_folder, "--out", tmp_path / "o", "--start", "9") == 1
    assert "no frame in the part" in capsys.readouterr().err and not (tmp_path / "o").exists()
    assert emo("detect", video, "--model", detector_folder, "--out", tmp_path / "o", "--start", "2", "--end", "1") == 2


def test_between_the_frames_that_are_looked_at_faces_go_on(tmp_path, detector_folder, video_factory, squares):
    """A square that stands still: looked at in every fourth frame, it is there in all of them, and these say which
    were looked at.
    """
    video = video_factory(tmp_path / "v.mp4", [squares([(1, 2, 3)], scale=4)[0]] * 12, fps=10)
    assert emo("detect", video, "--model", detector_folder, "--out", tmp_path / "o", "--detect-every", "4") == 0
    frames = frames_of(tmp_path / "o")
    assert [frame.get("detected", True) for frame in frames] == [index % 4 == 0 for index in range(12)]
    assert all(
        face["track"] == 1 and face["class_id"] == 3 and np.allclose(face["xyxy_px"], (64, 128, 128, 192), atol=3)
        for frame in frames
        for face in frame["faces"]
    )
    assert [len(frame["faces"]) for frame in frames] == [1] * 12
    (row,) = csv.DictReader((tmp_path / "o" / "tracks.csv").open())
    assert row["frames"] == "3"
    assert json.loads((tmp_path / "o" / "summary.json").read_text())["frames_looked_at"] == 3


def test_several_sources_get_a_folder_each_and_one_that_fails_stops_no_other(
    video, photos, detector_folder, tmp_path, capsys
):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "v.mp4").write_bytes(video.read_bytes())
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    code = emo(
        "detect",
        tmp_path / "v.mp4",
        tmp_path / "bad.mp4",
        tmp_path / "other" / "v.mp4",
        photos / "0*.png",
        "--model",
        detector_folder,
        "--out",
        tmp_path / "o",
        "--json",
    )
    said = capsys.readouterr()
    assert code == 1 and said.err.count("\n") == 1 and "bad.mp4" in said.err
    assert sorted(path.name for path in (tmp_path / "o").iterdir() if path.is_dir()) == [
        "00",
        "02",
        "04",
        "06",
        "08",
        "v",
        "v-2",
    ]
    assert [summary["frames"] for summary in json.loads(said.out)] == [20, 20, 1, 1, 1, 1, 1]
    assert contents(tmp_path / "o" / "v")["detections.csv"] == contents(tmp_path / "o" / "v-2")["detections.csv"]


def test_a_list_on_stdin(photos, detector_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{photos / '00.png'}\n\n{photos / '02.png'}\n"))
    assert emo("detect", "-", "--model", detector_folder, "--out", tmp_path / "o", "--outputs", "csv") == 0
    assert sorted(contents(tmp_path / "o")) == ["00/detections.csv", "02/detections.csv"]


def test_processes_write_the_same_bytes(photos, video, detector_folder, tmp_path):
    everything = ("--model", detector_folder, "--outputs", "media,jsonl,csv,crops,labels,coco,summary")
    for jobs in (1, 2):
        assert emo("detect", photos, *everything, "--out", tmp_path / f"photos-{jobs}", "--jobs", jobs) == 0
        assert (
            emo("detect", video, photos / "sub", *everything, "--out", tmp_path / f"both-{jobs}", "--jobs", jobs) == 0
        )
    for kind in ("photos", "both"):
        assert contents(tmp_path / f"{kind}-1") == contents(tmp_path / f"{kind}-2")
    found = contents(tmp_path / "photos-1")
    assert (
        sum(name.startswith("crops/") for name in found) == 32
        and sum(name.startswith("labels/") for name in found) == 41
    )


def test_a_cluster_writes_the_same_bytes(photos, video, detector_folder, tmp_path):
    distributed = pytest.importorskip("distributed", reason="the extra cluster is not installed")
    everything = ("--model", detector_folder, "--outputs", "media,jsonl,csv,crops,labels,coco,summary")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as local:
        for name, where in (("here", ()), ("there", ("--cluster", local.scheduler_address))):
            assert emo("detect", photos, *everything, "--out", tmp_path / f"photos-{name}", *where) == 0
            assert emo("detect", video, photos / "sub", *everything, "--out", tmp_path / f"both-{name}", *where) == 0
    for kind in ("photos", "both"):
        assert contents(tmp_path / f"{kind}-here") == contents(tmp_path / f"{kind}-there")


def test_a_cluster_that_is_not_there_is_one_line(photos, detector_folder, tmp_path, capsys):
    pytest.importorskip("distributed", reason="the extra cluster is not installed")
    address = "tcp://127.0.0.1:9"
    assert emo("detect", photos, "--model", detector_folder, "--out", tmp_path / "o", "--cluster", address) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and address in said


def test_a_broken_run_over_a_folder_is_gone_on_with(photos, detector_folder, tmp_path, monkeypatch, capsys):
    from emotion.systems.yolo import YoloDetector

    everything = ("--model", detector_folder, "--outputs", "media,jsonl,csv,crops,labels,coco")
    assert emo("detect", photos, *everything, "--out", tmp_path / "whole") == 0
    faces_of, seen = YoloDetector.faces_of, []

    def counting(self, *raw):
        seen.append(1)
        if len(seen) == 25:
            raise KeyboardInterrupt
        return faces_of(self, *raw)

    monkeypatch.setattr(YoloDetector, "faces_of", counting)
    assert emo("detect", photos, *everything, "--out", tmp_path / "broken") == 130
    assert (tmp_path / "broken" / "detections.part.jsonl").exists()
    before = len(seen)
    assert emo("detect", photos, *everything, "--out", tmp_path / "broken", "--resume") == 0
    assert contents(tmp_path / "broken") == contents(tmp_path / "whole") and 10 < len(seen) - before < 30
    capsys.readouterr()
    assert emo("detect", photos, *everything, "--out", tmp_path / "broken", "--resume") == 0
    assert "done before" in capsys.readouterr().err


def test_names_of_outputs(tmp_path):
    assert [order.out.name for order in orders(["a/x.mp4", "b/x.mp4", "camera"], None)] == ["x", "x-2", "camera-0"]
    assert [str(order.out) for order in orders(["x.mp4"], "o")] == ["o"]
    (tmp_path / "a[1].jpg").write_text("")
    assert expand([str(tmp_path / "a[1].jpg")]) == [str(tmp_path / "a[1].jpg")]  # a name is a name first


@pytest.mark.parametrize("value, code", [("media,nosuch", 2), ("csv", 0)])
def test_outputs_are_known_ones(photos, detector_folder, tmp_path, value, code, capsys):
    assert (
        emo("detect", photos / "00.png", "--model", detector_folder, "--out", tmp_path / "o", "--outputs", value)
        == code
    )
    assert code == 0 or "nosuch" in capsys.readouterr().err
