"""The answers about a video, counted by hand; the page and the plot are made from them."""

import base64
import json
import re

import cv2
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from converters.output_folder import part
from emotion.output.summary import BINS, MOMENTS, Answers
from emotion.output.timeline import clock, fitted, stacked, tick
from emotion.sources.frame import Frame
from emotion.systems.detections import Detections

NAMES = ("Neutral", "Happy", "Sad")
BGR = np.full((60, 80, 3), 90, np.uint8)


def faces(*rows):
    """(track, class id, score) -> Detections."""
    scores = np.full((len(rows), 3), 0.0, np.float32)
    for index, (_, class_id, score) in enumerate(rows):
        scores[index] = (1 - score) / 2
        scores[index, class_id] = score
    box = np.tile(np.float32([10, 10, 40, 40]), (len(rows), 1))
    return Detections(
        box, scores, np.ones(len(rows), np.float32), np.array([row[0] for row in rows], np.int64), scores
    ).doubted(0.5)


def answers(folder, frames, fps=10.0, until_s=None):
    made = Answers(folder, NAMES, {"source": "<a> & b.mp4"}, fps, until_s)
    for index, (time_s, found) in enumerate(frames):
        made.write(Frame(index, time_s, BGR), found, None)
    return made


def test_shares_changes_and_gaps_are_those_of_the_time_not_of_the_frames(tmp_path):
    """One is Happy for 1 s (in ten frames), Sad for 3 s (one frame that lasts), then gone for 2 s; another is
    Neutral, unsurely, for the last 0.1 s.
    """
    frames = [(index / 10, faces((1, 1, 0.9))) for index in range(10)] + [
        (1.0, faces((1, 2, 0.8))),
        (4.0, faces()),
        (6.0, faces((2, 0, 0.4))),
    ]
    found = answers(tmp_path, frames).result()
    assert (
        found["from_s"],
        found["to_s"],
        found["frames"],
        found["frames_without_face"],
        found["seconds_without_face"],
    ) == (0, 6.1, 13, 1, 2)
    assert found["face_seconds"] == 4.1 and found["shares"] == {
        "Neutral": round(0.1 / 4.1, 4),
        "Happy": round(1 / 4.1, 4),
        "Sad": round(3 / 4.1, 4),
    }
    assert found["uncertain_share"] == round(0.1 / 4.1, 4) and found["changes"] == 1
    first, second = found["tracks"]
    assert first["stretches"] == [
        {"from_s": 0, "to_s": 1, "emotion": "Happy"},
        {"from_s": 1, "to_s": 4, "emotion": "Sad"},
    ]
    assert (first["emotion"], first["seconds"], first["shares"]["Sad"], first["changes"]) == ("Sad", 4, 0.75, 1)
    assert (second["track"], second["first_s"], second["last_s"], second["changes"]) == (2, 6, 6.1, 0)


def test_the_last_frame_of_a_part_lasts_to_the_parts_end(tmp_path):
    for until_s, end_s in ((None, 0.2), (0.15, 0.15), (9, 0.2)):
        found = answers(tmp_path, [(0.0, faces((1, 1, 0.9))), (0.1, faces((1, 1, 0.9)))], until_s=until_s).result()
        assert (found["to_s"], found["tracks"][0]["last_s"], found["face_seconds"]) == (end_s, end_s, end_s)


def test_the_strongest_moments_are_the_best_scores_some_seconds_apart(tmp_path):
    scores = [
        0.6,
        0.99,
        0.7,
        0.95,
        0.5,
        0.97,
        0.8,
        0.9,
    ]  # one a second: 0.99 at 1 s keeps its neighbours out, and so on
    found = answers(tmp_path, [(float(index), faces((1, 1, score))) for index, score in enumerate(scores)]).result()[
        "strongest"
    ]
    assert [(one["time_s"], one["frame"], one["track"]) for one in found["Happy"]] == [
        (1, 1, 1),
        (5, 5, 1),
        (3, 3, 1),
    ] and found["Sad"] == []


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 6), st.floats(0.05, 5), st.integers(0, 99))
def test_a_long_video_takes_no_more_memory_and_loses_no_time(tmp_path_factory, people, step, seed):
    rng, made = np.random.default_rng(seed), Answers(tmp_path_factory.mktemp("a"), NAMES, {}, 1 / step)
    for index in range(400):
        made.write(
            Frame(index, index * step * 10, BGR),
            faces(*((person, int(rng.integers(3)), float(rng.uniform(0.4, 1))) for person in range(1, people + 1))),
            None,
        )
    found = made.result()
    assert made.bins.shape == (BINS, 3) and all(len(kept) <= MOMENTS for kept in made.moments)
    lasts = min(step * 10, 10) * 399 + step
    assert found["face_seconds"] == pytest.approx(people * lasts, rel=1e-4) and made.bins.sum() == pytest.approx(
        people * lasts, rel=1e-3
    )
    assert sum(found["shares"].values()) == pytest.approx(1, abs=1e-3)


def test_the_three_files(tmp_path):
    made = answers(tmp_path, [(index / 10, faces((1, index // 10 % 3, 0.9))) for index in range(40)])
    made.close()
    result = json.loads(part(tmp_path / "summary.json").read_text())
    assert result["changes"] == 3 and result["source"] == "<a> & b.mp4"
    plotted, page = cv2.imread(str(part(tmp_path / "timeline.png"))), part(tmp_path / "summary.html").read_text()
    colours = {tuple(colour) for colour in plotted.reshape(-1, 3).tolist()}
    assert {(200, 200, 200), (80, 220, 250), (240, 150, 60)} <= colours  # each emotion's own
    assert "&lt;a&gt; &amp; b.mp4" in page and "<a>" not in page and 'src="http' not in page
    pictures = [base64.b64decode(data) for data in re.findall(r"data:image/jpeg;base64,([A-Za-z0-9+/=]+)", page)]
    assert len(pictures) == 4 and all(
        cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR).shape == (160, 160, 3) for data in pictures
    )  # Neutral has two, 3 s apart


def test_clock():
    assert [clock(value) for value in (0, 59.96, 83.4, 3723)] == ["0:00.0", "1:00.0", "1:23.4", "1:02:03.0"]


def test_a_column_is_stacked_by_the_shares_of_its_time():
    """Bins of a second: one with both classes alike, an empty one, one that is all of the second class."""
    bins = np.array([[0.5, 0.5], [0, 0], [0, 2.0]])
    shown = stacked(bins, 1.0, np.linspace(0, 3, 7), 4)
    assert shown.T.tolist() == [[1, 1, 0, 0]] * 2 + [[2] * 4] * 2 + [[1] * 4] * 2


@pytest.mark.parametrize("span_s", [0.1, 4, 59, 61, 3600, 36_000, 400_000])
def test_marks_of_a_timeline_are_few(span_s):
    assert 1 <= span_s / tick(span_s) <= 10


def test_a_long_title_loses_its_middle():
    from PIL import ImageFont

    font = ImageFont.load_default(17)
    cut = fitted("a" * 300 + "z", font, 400)
    assert font.getlength(cut) <= 400 and cut.startswith("aa") and cut.endswith("az") and "..." in cut
    assert fitted("short", font, 400) == "short"
