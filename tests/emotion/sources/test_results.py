"""What other tools write, as they write it, is read back; emo's own files give what was found."""

import json

import numpy as np
import pytest

from converters.errors import DataError, UsageError
from emotion.cli import main
from emotion.sources.frame import Frame
from emotion.sources.results import read

BGR = np.zeros((10, 10, 3), np.uint8)
FER = [
    {
        "box": [10, 20, 30, 40],
        "emotions": {
            "angry": 0.1,
            "disgust": 0.0,
            "fear": 0.1,
            "happy": 0.7,
            "sad": 0.1,
            "surprise": 0.0,
            "neutral": 0.0,
        },
    }
]
DEEPFACE = [
    [
        {
            "emotion": {"angry": 1.0, "happy": 97.0, "sad": 2.0},
            "dominant_emotion": "happy",
            "region": {"x": 10, "y": 20, "w": 30, "h": 40, "left_eye": None},
            "face_confidence": 0.9,
        }
    ],
    [],
]
PYFEAT = "frame,FaceRectX,FaceRectY,FaceRectWidth,FaceRectHeight,FaceScore,anger,disgust,fear,happiness,sadness,surprise,neutral,input\n3,10,20,30,40,0.9,0,0,0,0.8,0.1,0.1,0,\n"  # noqa: E501
PLAIN = "Image;xmin;ymin;xmax;ymax;Label\na.jpg;10;20;40;60;Joy\nb.jpg;1;2;3;4;SAD\n"
LINES = (
    '{"frame": 5, "faces": '
    '[{"xyxy": '
    "[10, 20, "
    "40, 60], "
    '"label": '
    '"happiness", '
    '"score": '
    "0.8}]}\n"
    '{"frame": '
    '6, "faces": []}\n'
)
BY_NAME = {"sub/a.jpg": [{"bbox": [10, 20, 30, 40], "emotion": "happy"}]}
COCO = {
    "images": [{"id": 7, "file_name": "a.jpg"}],
    "categories": [{"id": 3, "name": "Happy"}],
    "annotations": [{"image_id": 7, "category_id": 3, "bbox": [10, 20, 30, 40], "score": 0.5}],
}


@pytest.mark.parametrize(
    "name, content, frame",
    [
        ("fer.json", FER, Frame(0, 0.0, BGR)),
        ("deepface.json", DEEPFACE, Frame(0, 0.0, BGR)),
        ("pyfeat.csv", PYFEAT, Frame(3, 0.1, BGR)),
        ("plain.csv", PLAIN, Frame(9, None, BGR, "x/a.jpg")),
        ("lines.jsonl", LINES, Frame(5, 0.2, BGR)),
        ("names.json", BY_NAME, Frame(0, None, BGR, "sub/a.jpg")),
        ("coco.json", COCO, Frame(4, None, BGR, "a.jpg")),
    ],
)
def test_forms_of_other_tools(tmp_path, name, content, frame):
    path = tmp_path / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    results = read(path)
    found = results.of(frame)
    np.testing.assert_allclose(found.xyxy_px, [[10, 20, 40, 60]])
    assert (
        results.names[found.class_ids[0]] == "Happy"
        and found.scores[0].sum() == pytest.approx(1)
        and 0.5 <= found.face[0] <= 1
    )
    assert len(results.of(Frame(77, None, BGR, "other.jpg"))) == 0 and len(results.of(Frame(8, 1.0, BGR))) == 0


def test_a_list_of_coco_results_needs_the_file_of_its_ids(tmp_path):
    (tmp_path / "list.json").write_text(json.dumps(COCO["annotations"]))
    (tmp_path / "all.json").write_text(json.dumps({key: COCO[key] for key in ("images", "categories")}))
    results = read(tmp_path / "list.json", tmp_path / "all.json")
    found = results.of(Frame(0, None, BGR, "a.jpg"))
    assert found.xyxy_px.tolist() == [[10, 20, 40, 60]] and results.names[found.class_ids[0]] == "Happy"
    with pytest.raises(UsageError, match="no meaning without"):
        read(tmp_path / "list.json")


@pytest.mark.parametrize("key", ["media", "input"])
def test_of_several_videos_only_the_one_that_is_drawn(tmp_path, key):
    rows = [{key: f"x/{name}.mp4", "frame": 2, "box": [at, 0, 5, 5], "emotion": "sad"} for at, name in enumerate("ab")]
    (tmp_path / "a.json").write_text(json.dumps(rows))
    results, frame = read(tmp_path / "a.json"), Frame(2, 0.1, BGR)
    assert [results.of(frame, f"{name}.mp4").xyxy_px[:, 0].tolist() for name in "abc"] == [[0], [1], []]
    (tmp_path / "a.json").write_text(json.dumps(rows[:1]))
    assert len(read(tmp_path / "a.json").of(frame, "renamed.mp4")) == 1


@pytest.mark.parametrize(
    ("record", "scores"),
    [
        ({"emotions": {"happy": 60, "sad": 20}}, {"Happy": 0.75, "Sad": 0.25}),
        ({"face": 0.9, "emotion": "joy", "score": 0.6}, {"Happy": 0.6}),  # the face's own score stands beside it
        ({"emotion": "joy", "score": 0.6}, {"Happy": 1}),
        ({"label": "bored"}, {"bored": 1}),
    ],
)
def test_scores_of_whatever_scale(tmp_path, record, scores):
    (tmp_path / "a.json").write_text(json.dumps({"box": [0, 0, 5, 5], **record}))
    results = read(tmp_path / "a.json")
    found = dict(zip(results.names, results.of(Frame(0, 0.0, BGR)).scores[0].tolist()))
    assert {name: score for name, score in found.items() if score} == pytest.approx(scores)


@pytest.mark.parametrize(
    "name, content, said",
    [
        ("a.json", "{", "neither JSON"),
        ("a.json", "[]", "no face"),
        ("a.json", '{"box": [5, 5, 0, 3]}', "without a size"),
        ("a.csv", "frame,emotion\n1,happy\n", "no face"),
        ("a.csv", "x1,y1,x2,y2\n1,1,nan,3\n", "a.csv:2: a box without a size"),
        ("a.csv", "x1,y1,x2,y2\n.1,.1,.2,.3\n0,0,1,1\n", "its boxes lie in 0..1"),
        ("a.json", "", "neither JSON"),
    ],
)
def test_what_holds_no_results_is_said(tmp_path, name, content, said):
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=said):
        read(tmp_path / name)


def emo(*arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return ended.value.code or 0


def frames_of(folder):
    return [json.loads(line) for line in (folder / "detections.jsonl").read_text().splitlines()[1:]]


@pytest.mark.parametrize("results", ["detections.jsonl", "detections.csv", "coco.json"])
def test_emos_own_files_give_what_was_found(tmp_path, detector_folder, video_factory, squares, results):
    video = video_factory(
        tmp_path / "v.mp4",
        [squares([(index // 5, 1, 2), (3, 3, 5)] if index else [], scale=4)[0] for index in range(15)],
        fps=10,
    )
    assert (
        emo(
            "detect",
            video,
            "--model",
            detector_folder,
            "--raw",
            "--start",
            "0.2",
            "--outputs",
            "jsonl,csv,coco",
            "--out",
            tmp_path / "a",
        )
        == 0
    )
    assert emo("draw", tmp_path / "a" / results, video, "--outputs", "media,jsonl", "--out", tmp_path / "b") == 0
    before, after = frames_of(tmp_path / "a"), frames_of(tmp_path / "b")
    assert (
        len(after) == 15
        and not after[0]["faces"]
        and not after[1]["faces"]
        and (tmp_path / "b" / "annotated.mp4").is_file()
    )
    for one, other in zip(before, after[2:]):
        assert one["index"] == other["index"] and len(one["faces"]) == 2
        for face, drawn in zip(one["faces"], other["faces"]):
            np.testing.assert_allclose(drawn["xyxy_px"], face["xyxy_px"], atol=0.011)
            assert drawn["class_id"] == face["class_id"]
    assert (
        emo("draw", tmp_path / "a" / results, video, "--track", "--outputs", "csv,summary", "--out", tmp_path / "c")
        == 0
    )
    assert len(json.loads((tmp_path / "c" / "summary.json").read_text())["tracks"]) >= 2


@pytest.mark.parametrize("separator, encoding", [(";", "utf-8-sig"), ("\t", "utf-16"), (";", "cp1252")])
def test_a_table_that_a_spreadsheet_saved_says_the_same(separator, encoding, tmp_path):
    """Decimal commas in the scores were none: each face was as sure as can be, its emotion's score 0."""
    text = "frame,time_s,x1,y1,x2,y2,face,emotion,score,track,happy,sad\n3,0.25,1.5,2,30,40,0.75,happy,0.6,2,0.6,0.4\n"
    (tmp_path / "a.csv").write_text(text)
    (tmp_path / "b.csv").write_bytes(text.replace(",", separator).replace(".", ",").encode(encoding))
    expected, found = (read(tmp_path / name).of(Frame(3, 0.25, BGR)) for name in ("a.csv", "b.csv"))
    for told in (expected, found):
        np.testing.assert_array_equal(told.xyxy_px, [[1.5, 2, 30, 40]])
        np.testing.assert_allclose(told.face, [0.75])
        assert sorted(told.scores[0].tolist(), reverse=True)[:2] == pytest.approx([0.6, 0.4])


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.csv", "frame,x1,y1,x2,y2,emotion\n0,1,2,30,40,happy\n1,1,2\n", r":3: .*lacks a side"),
        ("a.json", '[{"box": [1, 2, 3, 4], "emotions": {"happy": NaN, "sad": 1}}]', "a score of nan"),
        ("a.json", '[{"box": [1, 2, 3, 4], "emotion": "happy", "score": NaN}]', "a score of nan"),
        ("a.json", '[{"box": [1, 2, 3, 4], "emotions": {"happy": Infinity}}]', "a score of inf"),
    ],
)
def test_half_a_face_is_none_and_said(tmp_path, name, text, words):
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=words):
        read(tmp_path / name)


def test_a_frame_without_a_face_has_no_box_and_perhaps_a_size(tmp_path):
    (tmp_path / "a.csv").write_text("frame,x,y,width,height,emotion\n0,1,2,30,40,happy\n1,,,640,480,\n")
    assert len(read(tmp_path / "a.csv").of(Frame(1, 0.1, BGR))) == 0


def test_faces_that_nothing_fits_are_told_of_and_no_emotion_is_uncertain(tmp_path, video_factory, capsys):
    """One face in the video, one frame beyond its end, and one of another picture; the first has no emotion."""
    video = video_factory(tmp_path / "v.mp4", [np.zeros((64, 64, 3), np.uint8)] * 3)
    faces = [{"frame": frame, "box": [10, 10, 20, 20]} for frame in (1, 7)]
    (tmp_path / "a.json").write_text(json.dumps([*faces, {"picture": "b.jpg", "box": [1, 1, 5, 5], "emotion": "sad"}]))
    assert emo("draw", tmp_path / "a.json", video, "--outputs", "jsonl", "--out", tmp_path / "o") == 0
    said = capsys.readouterr().err
    assert said == f"emo: {tmp_path}/a.json: 2 of 3 faces are of frames or pictures that {video} does not have\n"
    assert [face["uncertain"] for frame in frames_of(tmp_path / "o") for face in frame["faces"]] == [True]
    assert emo("draw", tmp_path / "a.json", video, "--limit", 2, "--outputs", "jsonl", "--out", tmp_path / "p") == 0
    assert capsys.readouterr().err == ""


def test_emos_own_scores_and_doubts_stay_as_they_were(tmp_path, detector_folder, video_factory, squares):
    """A YOLO's scores do not add up to 1; the threshold stands in the header."""
    video = video_factory(tmp_path / "v.mp4", [squares([(1, 1, 2)], scale=4)[0] // 2] * 3)
    usual = ("--outputs", "jsonl", "--out")
    assert (
        emo("detect", video, "--model", detector_folder, "--uncertain", "0.999", "--raw", *usual, tmp_path / "a") == 0
    )
    assert emo("draw", tmp_path / "a/detections.jsonl", video, *usual, tmp_path / "b") == 0
    before, after = frames_of(tmp_path / "a"), frames_of(tmp_path / "b")
    assert before == after and sum(len(frame["faces"]) for frame in after) == 3
    assert all(face["uncertain"] for frame in after for face in frame["faces"])


def test_tracks_and_the_emotions_that_were_shown_stay_as_they_were(tmp_path, detector_folder, video_factory, squares):
    """The second half of one face changes its emotion, which is shown later only: hysteresis and smoothing."""
    frames = [squares([(1 if index < 6 else 4, 1, 2), (3, 3, 5)], scale=4)[0] for index in range(12)]
    video = video_factory(tmp_path / "v.mp4", frames, fps=10)
    usual = ("--outputs", "jsonl,csv,coco,summary", "--out")
    assert emo("detect", video, "--model", detector_folder, *usual, tmp_path / "a") == 0
    told = json.loads((tmp_path / "a/summary.json").read_text())
    for file in ("detections.jsonl", "detections.csv", "coco.json"):
        out = tmp_path / file.replace(".", "-")
        assert emo("draw", tmp_path / "a" / file, video, *usual, out) == 0
        again = json.loads((out / "summary.json").read_text())
        assert [one["track"] for one in again["tracks"]] == [one["track"] for one in told["tracks"]] == [1, 2]
        assert [one["stretches"] for one in again["tracks"]] == [one["stretches"] for one in told["tracks"]]
        if file != "coco.json":  # which has one score a face
            assert (out / "detections.csv").read_text() == (tmp_path / "a/detections.csv").read_text()


def test_another_tools_tracks_and_dominant_emotion(tmp_path, video_factory):
    video = video_factory(tmp_path / "v.mp4", [np.full((64, 64, 3), 90, np.uint8)] * 3, fps=10)
    face = {"box": [8, 8, 40, 40], "emotions": {"happy": 0.6, "sad": 0.4}, "dominant_emotion": "sad", "track_id": 7}
    other = face | {"dominant_emotion": "none of them", "track_id": 9}
    told = [{"frame": 0} | face, {"frame": 2} | face, {"frame": 2} | other]
    (tmp_path / "r.json").write_text(json.dumps(told))
    assert emo("draw", tmp_path / "r.json", video, "--outputs", "csv", "--out", tmp_path / "out") == 0
    rows = [line.split(",") for line in (tmp_path / "out/detections.csv").read_text().splitlines()]
    assert len({len(row) for row in rows}) == 1 and rows[0][-1] == "track"
    shown = [(row[0], row[rows[0].index("emotion")], row[-1]) for row in rows[1:]]
    assert shown == [("0", "Sad", "7"), ("1", "", ""), ("2", "Sad", "7"), ("2", "Happy", "9")]
    del told[0]["track_id"]  # numbers of some faces only say nothing
    (tmp_path / "r.json").write_text(json.dumps(told))
    assert emo("draw", tmp_path / "r.json", video, "--outputs", "csv", "--out", tmp_path / "two") == 0
    assert not (tmp_path / "two/detections.csv").read_text().splitlines()[0].endswith("track")
