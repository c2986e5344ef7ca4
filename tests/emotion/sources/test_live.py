"""Streams from a server on this machine; there is no camera to test with."""

import http.server
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time

import cv2
import numpy as np
import pytest

from converters.errors import MediaError
from emotion.sources.live import Live, is_live
from emotion.sources.open import open_source


@pytest.fixture
def server(tmp_path):
    """serve(count, every_s) -> the URL of an MJPEG stream whose frame i is grey 4 i; serve(file=path) of a file."""
    running = []

    def serve(count=10, every_s=0.02, file=None):
        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *arguments):
                pass

            def do_GET(self):
                self.send_response(200)
                if file:
                    self.send_header("Content-Length", str(file.stat().st_size))
                    self.end_headers()
                    self.wfile.write(file.read_bytes())
                    return
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
                self.end_headers()
                try:
                    for index in range(count):
                        data = cv2.imencode(".jpg", np.full((48, 64, 3), min(4 * index, 255), np.uint8))[1].tobytes()
                        self.wfile.write(
                            b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n"
                            % (len(data), data)
                        )
                        serve.sent = index + 1
                        time.sleep(every_s)
                    self.wfile.write(b"--frame--\r\n")
                except OSError:
                    pass  # the reader has gone

        made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        made.daemon_threads = True
        threading.Thread(target=made.serve_forever, daemon=True).start()
        running.append(made)
        return f"http://127.0.0.1:{made.server_port}/{'video.mp4' if file else 'stream.mjpg'}"

    yield serve
    for made in running:
        made.shutdown()


def test_what_is_live(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert all(map(is_live, ("0", "camera", "camera:2", "rtsp://host/a", "HTTP://host/a.mp4")))
    assert not any(map(is_live, ("video.mp4", "1234", "camera:x", "ftp://host/a", "")))
    (tmp_path / "0").mkdir()
    assert not is_live("0")  # a folder of that name


def test_a_stream_gives_its_frames_in_order(server):
    source = open_source(server(12))
    frames = list(source)
    levels = [int(frame.bgr.mean()) for frame in frames]
    assert levels == sorted(levels) and len(frames) + source.missed >= 11  # FFmpeg may keep the last one
    assert [frame.index for frame in frames] == list(range(len(frames)))
    assert frames[0].time_s == 0 and all(a.time_s < b.time_s for a, b in itertools.pairwise(frames))


def test_who_is_slow_misses_frames_and_gets_the_newest(server):
    source, seen = Live(server(60, 0.02)), []
    for frame in source:
        seen.append(int(frame.bgr.mean()))
        enough = min(60, server.sent + 6)
        while server.sent < enough:  # however slow the machine, six more come meanwhile
            time.sleep(0.01)
        time.sleep(0.05)
    assert source.missed > 20 and len(seen) < 30
    assert seen == sorted(set(seen))


def test_limit_ends_it(server):
    assert len(list(open_source(server(200), limit=3))) == 3


def test_a_video_at_a_url_is_read_whole(server, tmp_path):
    path = tmp_path / "a.avi"
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"MJPG"), 20, (64, 48))
    for index in range(30):
        writer.write(np.full((48, 64, 3), 8 * index, np.uint8))
    writer.release()
    source, frames = open_source(server(file=path)), []
    for frame in source:
        frames.append((frame.time_s, round(frame.bgr.mean() / 8)))
        time.sleep(0.01)
    assert not source.live and source.missed == 0
    assert frames == [(index / 20, index) for index in range(30)]


def test_what_is_not_there_is_told():
    with pytest.raises(MediaError, match=r"camera:97: cannot be opened.*plugged in"):
        open_source("camera:97")
    with pytest.raises(MediaError, match=r"http://127.0.0.1:9/x: cannot be opened"):
        open_source("http://me:secret@127.0.0.1:9/x?key=secret")


def test_ctrl_c_ends_a_stream_with_everything_written(server, tmp_path):
    url = server(100_000, 0.03).replace("//", "//me:secret@")
    code = "from emotion.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "detect", url, "--out", str(tmp_path / "out"), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (begun := list((tmp_path / "out").glob("*.mp4*"))) and process.poll() is None:
        time.sleep(0.05)
    assert begun, process.communicate()
    time.sleep(1.5)
    os.kill(process.pid, signal.SIGINT)
    said, error = process.communicate(timeout=60)
    assert process.returncode == 0, error
    assert json.loads(said)["frames"] >= 3
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        ".emo-files",
        "detections.jsonl",
        "detections.csv",
        "tracks.csv",
        "annotated.mp4",
        "summary.html",
        "summary.json",
        "timeline.png",
    }
    header = json.loads((tmp_path / "out" / "detections.jsonl").read_text().splitlines()[0])
    assert "secret" not in (tmp_path / "out" / "detections.jsonl").read_text() and header["source"].endswith(
        "/stream.mjpg"
    )
    last = json.loads((tmp_path / "out" / "detections.jsonl").read_text().splitlines()[-1])
    shown_s = [frame.time_s for frame in open_source(tmp_path / "out" / "annotated.mp4")]
    assert shown_s[-1] == pytest.approx(
        last["time_s"], abs=0.1
    )  # by frames and rate it would be as uneven as the stream
