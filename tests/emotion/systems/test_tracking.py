"""Faces followed through constructed videos, whose truth is known."""

import csv
import json
import runpy
from pathlib import Path

import numpy as np
import pytest

from converters.errors import UsageError
from emotion import run_detection
from emotion.cli import main
from emotion.systems import tracking
from emotion.systems.detections import Detections
from emotion.systems.models import find
from emotion.systems.tracking import Tracker, pairs
from emotion.systems.yolo import YoloDetector


def faces(*rows):
    """(centre x, centre y, side, face, scores of two classes) -> Detections, best first."""
    rows = sorted(rows, key=lambda row: -row[3])
    xyxy = [(x - side / 2, y - side / 2, x + side / 2, y + side / 2) for x, y, side, _, _ in rows]
    scores = [(happy, 1 - happy) for *_, happy in rows]
    return Detections(
        np.array(xyxy, np.float32).reshape(-1, 4),
        np.array(scores, np.float32).reshape(-1, 2),
        np.array([row[3] for row in rows], np.float32),
    )


def test_two_who_pass_each_other_keep_their_numbers():
    """One walks left, one right, 25 frames a second; where they meet the one behind is not found for half a second."""
    tracker, numbers = Tracker(), {}
    for step in range(100):
        time_s = step / 25
        left, right = (100 + 100 * time_s, 100), (500 - 100 * time_s, 110)
        rows = [(*left, 60, 0.9, 1.0)]
        if abs(left[0] - right[0]) > 50:
            rows.append((*right, 60, 0.8, 0.0))
        out = tracker.update(faces(*rows), time_s)
        for box, number in zip(out.xyxy_px, out.track_ids.tolist()):
            numbers.setdefault("left" if abs(box[[0, 2]].mean() - left[0]) < 1 else "right", set()).add(number)
    assert numbers == {"left": {1}, "right": {2}} and tracker.count == 2


@pytest.mark.parametrize("fps", [5, 25])
def test_a_crowd_keeps_its_numbers(fps):
    """Five people on curves of their own, boxes that tremble, faces that are missed or hidden, false ones; none has
    two numbers at once.
    """
    bench = runpy.run_path(str(Path(__file__).parents[3] / "scripts" / "bench_tracking.py"))
    found = bench["follow"](range(4), fps, seconds=10)
    assert found["faces"] > 160 * fps and found["changes"] <= found["faces"] / (500 if fps == 25 else 50), found


def test_time_counts_not_frames():
    """A face at 300 px/s, frames that come irregularly: 40 ms or 200 ms apart, the latter its own side."""
    tracker, time_s = Tracker(), 0.0
    for step in range(60):
        time_s += 0.04 if step < 10 or step % 3 else 0.2
        assert tracker.update(faces((300 * time_s, 50, 60, 0.9, 0.5)), time_s).track_ids.tolist() == [1]


@pytest.mark.parametrize("gap", [0.5, 2.0, 4.0])
def test_who_looks_seldom_still_knows_whom_one_saw_last(gap):
    """As with --detect-every, or of a video of a frame every few seconds; only one who was not there at the last
    look is given up.
    """
    tracker = Tracker()
    assert [tracker.update(faces((100, 100, 60, 0.9, 1.0)), gap * index).track_ids.tolist() for index in range(4)] == [
        [1]
    ] * 4
    tracker.update(faces(), gap * 4)
    assert tracker.update(faces((100, 100, 60, 0.9, 1.0)), gap * 4 + 1.1).track_ids.tolist() == [2]
    assert Tracker().update(faces((1, 1, 9, 0.9, 1.0)), 0.0) is not None and tracker.update(
        faces((100, 100, 60, 0.9, 1.0)), gap * 4 + 9
    ).track_ids.tolist() == [3]


def test_a_weak_face_goes_on_with_a_track_and_begins_none():
    tracker = Tracker(conf=0.25)
    assert tracker.low == pytest.approx(0.1)
    assert len(tracker.update(faces((50, 50, 40, 0.2, 0.5)), 0.0)) == 0
    assert tracker.update(faces((50, 50, 40, 0.3, 0.5)), 0.1).track_ids.tolist() == [1]
    out = tracker.update(faces((51, 50, 40, 0.15, 0.5), (200, 50, 40, 0.2, 0.5)), 0.2)
    assert out.track_ids.tolist() == [1] and out.face.tolist() == [pytest.approx(0.15)]


@pytest.mark.parametrize("gap, number", [(0.9, 1), (1.1, 2)])
def test_a_face_is_waited_for(gap, number):
    tracker = Tracker(keep_s=1.0)
    tracker.update(faces((50, 50, 40, 0.9, 0.5)), 0.0)
    assert len(tracker.update(faces(), gap / 2)) == 0
    assert tracker.update(faces((50, 50, 40, 0.9, 0.5)), gap).track_ids.tolist() == [number]


def test_a_cut_ends_all_tracks_and_their_scores():
    rng, tracker = np.random.default_rng(0), Tracker()
    here, there = (np.repeat(np.repeat(rng.integers(0, 256, (9, 16, 3), np.uint8), 20, 0), 20, 1) for _ in range(2))
    one = tracker.update(faces((50, 50, 40, 0.9, 1.0)), 0.0, here)
    brighter = np.clip(here.astype(int) + 20, 0, 255).astype(np.uint8)
    moved = np.roll(brighter, 3, 1)
    assert [
        tracker.update(faces((50, 50, 40, 0.9, 1.0)), 0.04 * (1 + step), frame).track_ids.tolist()
        for step, frame in enumerate([brighter, moved])
    ] == [[1], [1]]
    other = tracker.update(faces((50, 50, 40, 0.9, 0.0)), 0.12, there)
    assert one.track_ids.tolist() == [1] and other.track_ids.tolist() == [2] and other.scores[0].tolist() == [0, 1]


def test_frames_of_one_colour_are_a_cut_only_when_it_changes():
    tracker, grey = Tracker(), np.full((40, 60, 3), 90, np.uint8)
    numbers = [
        tracker.update(faces((30, 20, 10, 0.9, 0.5)), 0.1 * step, frame).track_ids.tolist()
        for step, frame in enumerate([grey, grey, grey + 2, 255 - grey])
    ]
    assert numbers == [[1], [1], [1], [2]]


def test_scores_are_the_weighted_mean_of_what_was():
    """By hand: time constant 0.5 s, frames at 0 and 0.25 s, faces of 0.8 and 0.4."""
    tracker = Tracker(smooth_s=0.5)
    assert tracker.update(faces((50, 50, 40, 0.8, 1.0)), 0.0).scores[0].tolist() == [1, 0]
    out = tracker.update(faces((50, 50, 40, 0.4, 0.0)), 0.25)
    fade = np.exp(-0.5)
    assert out.scores[0] == pytest.approx([0.8 * fade / (0.8 * fade + 0.4), 0.4 / (0.8 * fade + 0.4)])
    assert out.frame_scores[0].tolist() == [0, 1] and out.class_ids.tolist() == [0]
    plain = Tracker(smooth_s=0)
    plain.update(faces((50, 50, 40, 0.8, 1.0)), 0.0)
    assert plain.update(faces((50, 50, 40, 0.4, 0.25)), 0.25).scores[0].tolist() == [0.25, 0.75]


def test_one_face_a_track_the_best_pair_first():
    a = np.array([(0, 0, 10, 10), (2, 0, 12, 10)], float)
    assert pairs(a, a[1:], 0.1) == [(1, 0)] and pairs(a, a, 0.1) == [(0, 0), (1, 1)]
    assert pairs(a, a + 100, 0.1) == [] and pairs(a[:0], a, 0.1) == pairs(a, [], 0.1) == []


def test_times_below_zero_are_refused():
    for bad in ({"smooth_s": -1}, {"keep_s": float("nan")}):
        with pytest.raises(UsageError, match="0 or more"):
            Tracker(**bad)


@pytest.fixture
def video(tmp_path, video_factory, squares):
    """Two squares of classes 3 and 5; the first is of class 4 in one frame; both are gone in the first two."""
    frames = [
        squares([(1, 2, 4 if index == 6 else 3), (3, 0, 5)] if index > 1 else [], scale=4)[0] for index in range(10)
    ]
    return video_factory(tmp_path / "clip.mp4", frames, fps=10)


def test_what_is_written(video, detector_folder, tmp_path, capsys):
    with pytest.raises(SystemExit) as code:
        main(["detect", str(video), "--model", str(detector_folder), "--out", str(tmp_path / "out")])
    printed = capsys.readouterr()
    assert (
        code.value.code in (0, None)
        and "2 tracks" in printed.out
        and str(tmp_path / "out" / "tracks.csv") in printed.out
    )
    header, *frames = [json.loads(line) for line in (tmp_path / "out" / "detections.jsonl").read_text().splitlines()]
    assert header["settings"]["tracking"]["smooth_s"] == 0.5 and header["settings"]["conf"] == pytest.approx(0.1)
    by_track = {
        number: [face for frame in frames for face in frame["faces"] if face["track"] == number] for number in (1, 2)
    }
    first, second = sorted(by_track.values(), key=lambda track: track[0]["class_id"])
    assert [face["class_id"] for face in first] == [3] * 8 and [face["class_id"] for face in second] == [5] * 8
    assert (
        int(np.argmax(first[4]["frame_scores"])) == 4 and len(first[4]["scores"]) == 7
    )  # one odd frame does not change who this is
    rows = list(csv.DictReader((tmp_path / "out" / "tracks.csv").open()))
    assert [(row["frames"], row["first_s"], row["last_s"]) for row in rows] == [("8", "0.2", "0.9")] * 2 and {
        row["emotion"] for row in rows
    } == {"Surprise", "Disgust"}
    mean = np.mean([face["frame_scores"] for face in first], axis=0)
    mine = next(row for row in rows if row["emotion"] == "Surprise")
    np.testing.assert_allclose([float(mine[name]) for name in header["names"]], mean, atol=2e-6)
    assert float(mine["score"]) == pytest.approx(mean.max(), abs=2e-6)
    assert {row["track"] for row in csv.DictReader((tmp_path / "out" / "detections.csv").open())} == {
        "1",
        "2",
        "",
    }  # two frames have no face


def test_without_tracking_nothing_changes(video, detector_folder, tmp_path):
    detector = YoloDetector(find(detector_folder, "detector"))
    summary = run_detection.run(video, detector, tmp_path / "out")
    assert summary.tracks is None and not (tmp_path / "out" / "tracks.csv").exists()
    header, *frames = [json.loads(line) for line in (tmp_path / "out" / "detections.jsonl").read_text().splitlines()]
    assert "tracking" not in header["settings"] and all(
        face.keys() == {"xyxy_px", "face", "class_id", "scores", "uncertain"}
        for frame in frames
        for face in frame["faces"]
    )
    assert "track" not in (tmp_path / "out" / "detections.csv").read_text().splitlines()[0]


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["--start", "1"], "pictures have no time"),
        (["--raw", "--smooth", "1"], "--smooth has no effect with --raw"),
        (["--face-model", "haar"], "--face-model has no effect without --system two-stage"),
        (["--raw", "--detect-every", "2"], "--detect-every has no effect"),
        (["--smooth", "-1"], "-1"),
    ],
)
def test_what_cannot_be_tracked_is_one_line(detector_folder, tmp_path, squares, capsys, arguments, said):
    import cv2

    cv2.imwrite(str(tmp_path / "a.png"), squares([(0, 0, 1)])[0])
    with pytest.raises(SystemExit) as code:
        main(
            [
                "detect",
                str(tmp_path / "a.png"),
                "--model",
                str(detector_folder),
                "--out",
                str(tmp_path / "out"),
                *arguments,
            ]
        )
    lines = capsys.readouterr().err.strip().splitlines()
    assert code.value.code == 2 and len(lines) == 1 and said in lines[0] and not (tmp_path / "out").exists()


def test_a_tracks_plain_numbers_are_the_kalman_filters_matrices():
    rng, track = np.random.default_rng(0), tracking.Track(1, (10.0, 20.0, 30.0, 60.0), 0.0, 2)
    state, covariance = np.array([[20.0, 40.0], [0, 0]]), np.diag([tracking.MEASURED**2, tracking.STARTS**2])
    for time_s in np.cumsum(rng.uniform(0, 0.2, 20)):
        step = time_s - track.time_s
        move = np.array([[1, step], [0, 1]])
        unrest = tracking.MOVES**2 * np.array([[step**3 / 3, step**2 / 2], [step**2 / 2, step]])
        state, covariance = move @ state, move @ covariance @ move.T + unrest
        track.predict(time_s)
        if rng.random() < 0.7:
            xyxy = rng.uniform(0, 50, 4)
            gain = covariance[:, :1] / (covariance[0, 0] + tracking.MEASURED**2)
            state = state + gain * ((xyxy[:2] + xyxy[2:]) / 2 - state[:1])
            covariance = covariance - gain * covariance[:1]
            track.correct(xyxy.tolist())
        assert np.allclose([[track.x, track.y], [track.velocity_x, track.velocity_y]], state)
        assert np.allclose([track.of_place, track.of_both, track.of_velocity], covariance[[0, 0, 1], [0, 1, 1]])
