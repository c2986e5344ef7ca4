"""Videos whose every path and emotion is known, in the containers that people have: tracks against the paths,
times, cuts.
"""

import json
import struct
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest

av = pytest.importorskip("av", reason="the extra video, which writes these videos, is not installed")

from emotion.cli import main

FPS, FRAMES, SIDE = 10, 60, 256
BYSTANDERS = ((2, 3, 5), (3, 3, 5), (2, 0, 5))  # column, row, class: so much stays where it is that a step is not a cut


def path_of(who, index):
    """(column, row) of a person: the first goes down the left side and back, the second stands right, gone from
    frame 20 to 25.
    """
    if who == 0:
        return 0, (index // 10) % 6 if (index // 10) % 6 < 4 else 6 - (index // 10) % 6
    return None if 20 <= index < 25 else (3, 1)


def emotion_of(who, index):
    return 1 if who == 0 else (3 if index < 40 else 2)


def drawn(squares, index):
    places = [(*place, emotion_of(who, index)) for who in (0, 1) if (place := path_of(who, index))]
    return squares([*places, *BYSTANDERS], scale=4)[0]


def times(variable):
    """Seconds; with `variable` every third frame comes half a frame late."""
    return [index / FPS + (0.05 if variable and index % 3 == 1 else 0) for index in range(FRAMES)]


def write(path, squares, codec, variable=False, quarters=0):
    """`quarters`: the pictures lie on their side, so many quarter turns anticlockwise, as a phone stores them."""
    steady = codec in ("mjpeg", "mpeg4")
    with av.open(str(path), "w") as output:
        stream = output.add_stream(codec, rate=FPS)
        stream.width = stream.height = SIDE
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        if codec == "libx264":
            stream.options = {"crf": "10"}
        tick = Fraction(1, FPS) if steady else Fraction(1, 1000)
        stream.codec_context.time_base = tick
        for index, time_s in enumerate(times(variable)):
            frame = av.VideoFrame.from_ndarray(
                np.ascontiguousarray(np.rot90(drawn(squares, index), quarters)), format="bgr24"
            )
            frame.time_base, frame.pts = tick, round(time_s / tick)
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
    return turned(path, quarters) if quarters else path


def turned(path, quarters):
    """The MP4 with its header's matrix set so that players turn the pictures by quarters, clockwise."""
    data, one = bytearray(path.read_bytes()), 1 << 16
    at = data.index(b"tkhd") + 4
    cos, sin = ((1, 0), (0, 1), (-1, 0), (0, -1))[quarters]
    shift = (0, 0), (SIDE, 0), (SIDE, SIDE), (0, SIDE)
    right, down = (one * pixels for pixels in shift[quarters])
    data[at + 40 : at + 76] = struct.pack(
        ">9i", cos * one, sin * one, 0, -sin * one, cos * one, 0, right, down, 1 << 30
    )
    path.write_bytes(data)
    return path


def emo(*arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return ended.value.code or 0


@pytest.mark.parametrize(
    "name, codec, variable, quarters",
    [
        ("a.mp4", "libx264", False, 0),
        ("v.mp4", "libx264", True, 0),
        ("b.webm", "libvpx", True, 0),
        ("c.mkv", "libx264", True, 0),
        ("d.avi", "mjpeg", False, 0),
        ("e.mov", "mpeg4", False, 0),
        ("f.mp4", "libx264", True, 1),
        ("g.mp4", "libx264", False, 2),
        ("h.mov", "mpeg4", False, 3),
    ],
)
def test_tracks_follow_the_paths(tmp_path, squares, detector_folder, name, codec, variable, quarters):
    video = write(tmp_path / name, squares, codec, variable, quarters)
    assert emo("detect", video, "--model", detector_folder, "--backend", "opencv", "--out", tmp_path / "o") == 0
    _, *frames = [json.loads(line) for line in (tmp_path / "o" / "detections.jsonl").read_text().splitlines()]
    assert [frame["time_s"] for frame in frames] == pytest.approx(times(variable), abs=0.002)
    numbers = {0: set(), 1: set()}
    for frame in frames:
        there = {who: place for who in (0, 1) if (place := path_of(who, frame["index"]))}
        assert len(frame["faces"]) == len(there) + len(BYSTANDERS), frame["index"]
        for face in frame["faces"]:
            if int(np.argmax(face["frame_scores"])) == 5:
                continue
            centre = np.array([face["xyxy_px"][:2], face["xyxy_px"][2:]]).mean(0) / 64 - 0.5
            who = min(there, key=lambda one: np.abs(np.array(there[one]) - centre).sum())
            np.testing.assert_allclose(centre, there[who], atol=0.05)
            assert int(np.argmax(face["frame_scores"])) == emotion_of(who, frame["index"])
            numbers[who].add(face["track"])
    assert [len(found) for found in numbers.values()] == [1, 1]  # the one who was away for half a second is met again
    told = json.loads((tmp_path / "o" / "summary.json").read_text())
    first, second = (next(track for track in told["tracks"] if track["track"] in numbers[who]) for who in (0, 1))
    assert [stretch["emotion"] for stretch in first["stretches"]] == ["Happy"] and first["changes"] == 0
    assert [stretch["emotion"] for stretch in second["stretches"]] == ["Surprise", "Sad"]
    assert second["stretches"][0]["to_s"] == pytest.approx(
        4.3, abs=0.4
    )  # smoothing and hysteresis take a while to believe it
    with av.open(str(tmp_path / "o" / "annotated.mp4")) as file:
        written = [float(frame.pts * frame.time_base) for frame in file.decode(video=0)]
    assert written == pytest.approx(times(variable), abs=0.011)


@pytest.mark.parametrize(
    "name, codec", [("a.mp4", "libx264"), ("b.webm", "libvpx"), ("c.mkv", "libx264"), ("d.avi", "mjpeg")]
)
def test_a_cut_file_never_looks_whole(tmp_path, squares, detector_folder, name, codec, capsys):
    video = write(tmp_path / name, squares, codec)
    video.write_bytes(video.read_bytes()[: int(video.stat().st_size * 0.6)])
    code = emo("detect", video, "--model", detector_folder, "--backend", "opencv", "--out", tmp_path / "o")
    said = capsys.readouterr().err
    assert code == 1 and said.count("\n") == 1 and said.startswith(f"emo: {video}: "), said
    assert all(".part" in path.name for path in (tmp_path / "o").glob("[!.]*"))


def test_what_is_written_has_its_types_and_lies_in_the_frame(tmp_path, squares, detector_folder):
    """Which keys there are is compared with docs/outputs.md in `output/test_documented.py`."""
    video = write(tmp_path / "a.mp4", squares, "libx264")
    assert (
        emo(
            "detect",
            video,
            "--model",
            detector_folder,
            "--backend",
            "opencv",
            "--detect-every",
            "2",
            "--outputs",
            "jsonl,coco",
            "--out",
            tmp_path / "o",
        )
        == 0
    )
    _, *frames = [json.loads(line) for line in (tmp_path / "o" / "detections.jsonl").read_text().splitlines()]
    kinds = {
        "index": int,
        "size_wh": list,
        "faces": list,
        "xyxy_px": list,
        "face": float,
        "class_id": int,
        "scores": list,
        "track": int,
        "uncertain": bool,
        "frame_scores": list,
    }
    for frame in frames:
        for record in (frame, *frame["faces"]):
            assert all(isinstance(record[key], kind) for key, kind in kinds.items() if key in record)
        for face in frame["faces"]:
            x1, y1, x2, y2 = face["xyxy_px"]
            assert 0 <= x1 < x2 <= SIDE and 0 <= y1 < y2 <= SIDE and len(face["scores"]) == 7 and 0 <= face["face"] <= 1
    coco = json.loads((tmp_path / "o" / "coco.json").read_text())
    assert {one["image_id"] for one in coco["annotations"]} <= {one["id"] for one in coco["images"]} and len(
        coco["images"]
    ) == FRAMES


@pytest.mark.parametrize(
    "arguments, never",
    [
        (("--help",), "cv2 numpy torch onnx onnxruntime pandas matplotlib"),
        (
            ("detect", "{picture}", "--out", "{out}"),
            "torch pandas matplotlib starlette av dask darknet_runner.compiled darknet_runner.builtin",
        ),
    ],
)
def test_what_is_not_needed_is_never_imported(tmp_path, squares, arguments, never):
    import cv2

    cv2.imwrite(str(tmp_path / "a.png"), squares([(1, 1, 1)], scale=4)[0])
    arguments = [argument.format(picture=tmp_path / "a.png", out=tmp_path / "o") for argument in arguments]
    code = f"""
import sys
from emotion.cli import main
try:
    main({arguments!r})
except SystemExit as ended:
    assert not ended.code, ended.code
print([name for name in {never.split()!r} if name in sys.modules], file=sys.stderr)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0 and run.stderr.splitlines()[-1] == "[]", run.stderr
