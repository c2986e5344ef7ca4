"""`emo models pull` against a server on this machine: whole, broken off, changed, absent; and what two-stage then
takes.
"""

import hashlib
import http.server
import threading
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from converters.errors import MediaError, UsageError
from emotion.systems import face_finders, face_models, ssd_graph

SHARED = Path(__file__).resolve().parents[4] / "shared" / "models"
CONTENT = bytes(range(256)) * 1000


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("EMO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def published(monkeypatch):
    """`yunet` is CONTENT for as long as the test runs."""
    model = replace(face_models.PUBLISHED["yunet"], sha256=hashlib.sha256(CONTENT).hexdigest(), bytes=len(CONTENT))
    monkeypatch.setitem(face_models.PUBLISHED, "yunet", model)
    return model


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        start = (
            int(self.headers["Range"].removeprefix("bytes=").rstrip("-"))
            if "Range" in self.headers and server.ranges
            else 0
        )
        server.asked.append(self.headers.get("Range"))
        self.send_response(server.status if server.status != 200 else 206 if start else 200)
        body = server.content[start:]
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: server.breaks_after])

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as made:
        made.content, made.ranges, made.status, made.breaks_after, made.asked = CONTENT, True, 200, None, []
        made.url = f"http://127.0.0.1:{made.server_port}/models"
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def test_a_file_is_fetched_once(server, published, cache):
    seen = []
    path = face_models.pull("yunet", server.url, lambda done, total: seen.append((done, total)))
    assert path == cache / published.file and path.read_bytes() == CONTENT and seen[-1] == (len(CONTENT), len(CONTENT))
    assert face_models.pull("yunet", server.url) == path and len(server.asked) == 1
    assert [file.name for file in cache.iterdir()] == [published.file]


@pytest.mark.parametrize("ranges", [True, False])
def test_a_broken_download_goes_on_where_it_broke(server, published, cache, ranges):
    server.breaks_after, server.ranges = 100_000, ranges
    with pytest.raises(MediaError, match="stopped early.*by hand: put https://.* at "):
        face_models.pull("yunet", server.url)
    kept = (cache / f"{published.file}.part").stat().st_size
    assert 0 < kept <= 100_000 and face_models.at_hand("yunet") is None
    server.breaks_after = None
    assert face_models.pull("yunet", server.url).read_bytes() == CONTENT
    assert server.asked == [None, f"bytes={kept}-"]


@pytest.mark.parametrize(
    "content", [b"<html>", CONTENT[:-1] + b"x", CONTENT + b"more"], ids=["a page", "a changed byte", "too long"]
)
def test_another_file_than_published_is_refused_and_not_kept(server, published, cache, content):
    server.content = content
    with pytest.raises(MediaError, match="sha256 differs"):
        face_models.pull("yunet", server.url)
    assert list(cache.iterdir()) == []


def test_what_a_server_or_a_network_says(server, published):
    server.status = 404
    with pytest.raises(MediaError, match="the server says 404"):
        face_models.pull("yunet", server.url)
    with pytest.raises(MediaError, match="no connection"):
        face_models.pull("yunet", "http://127.0.0.1:1")
    with pytest.raises(MediaError, match="cannot be fetched"):
        face_models.pull("yunet", "nowhere")
    with pytest.raises(UsageError, match="known: ssd, yunet"):
        face_models.pull("yunnet")


def test_a_file_put_there_by_hand_counts_and_a_changed_one_does_not(published, cache):
    cache.mkdir()
    (cache / published.file).write_bytes(CONTENT)
    assert face_models.at_hand("yunet") == cache / published.file and face_models.best() == "yunet"
    (cache / published.file).write_bytes(CONTENT[:-1])
    assert face_models.at_hand("yunet") is None and face_models.best() == "face-nano"
    with pytest.raises(UsageError, match="emo models pull yunet"):
        face_finders.open_finder("yunet")


@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/models is not here")
def test_two_stage_takes_the_best_finder_at_hand(cache):
    cache.mkdir()
    assert face_finders.open_finder().settings["model"]["name"] == "face-nano"
    for name, best in (("ssd", "yolo"), ("yunet", "yunet")):
        file = face_models.PUBLISHED[name].file
        (cache / file).write_bytes((SHARED / file).read_bytes())
        assert face_finders.open_finder(name).name == name and face_finders.open_finder().name == best


@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared/models is not here")
def test_the_ssds_graph_computes_what_its_publishers_mended_one_does():
    weights, shape = SHARED / "opencv_face_detector_uint8.pb", (300, 300, 3)
    theirs = cv2.dnn.readNetFromTensorflow(str(weights), str(SHARED / "opencv_face_detector.pbtxt"))
    ours = cv2.dnn.readNetFromTensorflow(
        np.fromfile(weights, np.uint8), np.frombuffer(ssd_graph.text().encode(), np.uint8)
    )
    blob = cv2.dnn.blobFromImage(
        np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8), 1.0, (300, 300), (104, 177, 123)
    )
    theirs.setInput(blob), ours.setInput(blob)
    np.testing.assert_array_equal(ours.forward(), theirs.forward())


def test_the_command_fetches_and_prints_where(server, published, cache, capsys):
    from emotion.cli import main

    with pytest.raises(SystemExit) as ended:
        main(["models", "pull", "yunet", "--from", server.url])
    assert not ended.value.code and capsys.readouterr().out == f"yunet: {cache / published.file}\n"
    server.status = 503
    with pytest.raises(SystemExit) as ended:
        main(["models", "pull", "yunet", "ssd", "--from", server.url])
    said = capsys.readouterr()
    assert (
        ended.value.code == 1
        and said.out.startswith("yunet: ")
        and said.err.count("\n") == 1
        and "says 503" in said.err
    )
