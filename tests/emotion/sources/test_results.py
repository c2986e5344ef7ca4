"""What other tools write, as they write it, is read back; emo's own files give what was found."""

import json

import numpy as np
import pytest

from converters.errors import DataError
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


@pytest.mark.parametrize(
    "name, content, said",
    [
        ("a.json", "{", "neither JSON"),
        ("a.json", "[]", "no face"),
        ("a.json", '{"box": [5, 5, 0, 3]}', "without extent"),
        ("a.csv", "frame,emotion\n1,happy\n", "no face"),
        ("a.csv", "x1,y1,x2,y2\n1,1,nan,3\n", "a.csv:2: a box without extent"),
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
