"""The server's addresses, asked as programs ask: answers, limits, tokens, a queue that drops, sources that are
watched.
"""

import asyncio
import json
import re
import threading

import cv2
import numpy as np
import pytest

pytest.importorskip("starlette", reason="the extra serve is not installed")
pytest.importorskip("httpx", reason="httpx, which Starlette's test client needs, is not installed")
from starlette.testclient import TestClient

from emotion.detect_many import Settings
from emotion.serve.app import make_app
from emotion.serve.broadcast import Broadcast
from emotion.serve.engine import WAITING, Busy, Dropped, Newest

BASE = "http://127.0.0.1"


def png(picture):
    return cv2.imencode(".png", picture)[1].tobytes()


@pytest.fixture(scope="module")
def settings(detector_folder):
    return Settings(model=str(detector_folder), backend="opencv")


@pytest.fixture(scope="module")
def client(settings, tmp_path_factory, video_factory, squares):
    frames = [squares([(index % 4, 1, 2)], scale=4)[0] for index in range(20)]
    video = video_factory(tmp_path_factory.mktemp("serve") / "v.mp4", frames, fps=20)
    with TestClient(make_app(settings, (str(video), "/no/such.mp4"), megabytes=0.5, rate=1000), BASE) as made:
        yield made


def test_a_picture_as_body_or_form_gives_its_faces(client, squares):
    picture, truth = squares([(0, 0, 1), (2, 3, 6)], scale=4)
    for answer in (
        client.post("/detect", content=png(picture), headers={"Content-Type": "image/png"}),
        client.post("/detect", files={"file": ("ä.png", png(picture))}),
    ):
        assert answer.status_code == 200, answer.text
        told = answer.json()
        assert told["size_wh"] == [256, 256] and told["ms"] > 0 and len(told["names"]) == 7
        found = {face["class_id"]: face for face in told["faces"]}
        np.testing.assert_allclose([found[1]["xyxy_px"], found[6]["xyxy_px"]], truth, atol=0.5)
        assert found[1]["emotion"] == told["names"][1] and not found[1]["uncertain"] and "track" not in found[1]


def test_frames_of_a_session_are_followed(client, squares):
    picture = png(squares([(1, 1, 3)], scale=4)[0])
    first, second = (
        client.post(f"/detect?session=a&time_s={index / 10}", content=picture).json()["faces"] for index in range(2)
    )
    (other,) = client.post("/detect?session=b", content=picture).json()["faces"]
    assert [face["track"] for face in (*first, *second, other)] == [1, 1, 1]
    assert client.post("/detect?session=a&time_s=0.3&conf=0.9999999", content=picture).json()["faces"] == []


@pytest.mark.parametrize(
    "query, body, status, said",
    [
        ("", b"", 400, "send a picture"),
        ("", b"no picture", 422, "not a picture"),
        ("?system=nosuch", None, 422, "nosuch"),
        ("?model=nosuch", None, 422, "no model"),
        ("?model=/etc", None, 422, "no model"),
        ("?conf=2", None, 422, "conf is"),
        ("?conf=nan", None, 422, "conf is"),
        ("?time_s=x", None, 422, "time_s is"),
        ("?session=" + "x" * 65, None, 422, "session"),
        ("", b"x" * 600_000, 413, "0.5 MB"),
    ],
)
def test_what_makes_no_sense_is_said(client, squares, query, body, status, said):
    answer = client.post(f"/detect{query}", content=png(squares([])[0]) if body is None else body)
    assert answer.status_code == status and said in answer.json()["error"]


def test_a_body_without_a_length_is_measured_too(client):
    answer = client.post("/detect", content=(b"x" * 10_000 for _ in range(60)))
    assert answer.status_code == 413


def test_a_picture_of_too_many_pixels_is_refused_by_its_header(client, monkeypatch):
    monkeypatch.setenv("EMO_MAX_PIXELS", "1000")
    answer = client.post("/detect", content=png(np.zeros((100, 100, 3), np.uint8)))
    assert answer.status_code == 422 and "1000 pixels" in answer.json()["error"]


def test_health_choices_page_and_interface(client):
    assert client.get("/healthz").json()["status"] == "ok"
    told = client.get("/choices").json()
    assert (
        told["systems"] == ["yolo", "two-stage"]
        and "emo-s" in told["models"]["two-stage"]
        and len(told["sources"]) == 2
    )
    page = client.get("/")
    assert page.status_code == 200 and "default-src 'self'" in page.headers["content-security-policy"]
    for file in re.findall(r'(?:src|href)="(static/[^"]+)"', page.text):
        assert client.get(f"/{file}").status_code == 200
    assert client.get("/static/%2e%2e/app.py").status_code == 404
    document = client.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1") and {
        "/detect",
        "/stream.mjpg",
        "/events",
        "/choices",
        "/healthz",
    } == set(document["paths"])
    for name in re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document)):
        assert name in document["components"]["schemas"]


def test_answers_are_as_the_interface_says(client, squares):
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    told = client.post("/detect?session=schema", content=png(squares([(1, 1, 3)], scale=4)[0])).json()
    for value, schema in ((told, schemas["Faces"]), (told["faces"][0], schemas["Face"])):
        assert set(schema["required"]) <= value.keys() <= schema["properties"].keys()


def test_a_source_is_watched_as_events_and_as_pictures(client):
    with client.stream("GET", "/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        events = []
        for line in answer.iter_lines():
            if line.startswith('data: {"size_wh'):
                events.append(json.loads(line[6:]))
            if line == "event: end":
                break
    assert 3 <= len(events) <= 20 and all(
        face["emotion"] == event["names"][2] for event in events for face in event["faces"]
    )
    assert [event["time_s"] for event in events] == sorted({event["time_s"] for event in events})
    with client.stream("GET", "/stream.mjpg") as answer:
        body = b"".join(answer.iter_bytes())
    parts = body.split(b"--emo-frame\r\n")[1:]
    assert len(parts) >= 3
    for part in parts:
        head, _, jpeg = part.partition(b"\r\n\r\n")
        assert b"image/jpeg" in head and cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR).shape == (
            256,
            256,
            3,
        )


@pytest.mark.parametrize(
    "source, status, said", [("1", 422, "no such file"), ("2", 404, "no source 2"), ("x", 404, "no source x")]
)
def test_sources_that_cannot_be_watched(client, source, status, said):
    for path in ("/events", "/stream.mjpg"):
        answer = client.get(f"{path}?source={source}")
        assert answer.status_code == status and said in answer.json()["error"]


def test_who_stops_watching_is_forgotten_and_the_source_is_let_go(client, settings, tmp_path, video_factory, squares):
    from emotion.serve.engine import Engine

    video = video_factory(tmp_path / "long.mp4", [squares([(1, 1, 2)])[0]] * 300, fps=10)
    show = Broadcast(str(video), Engine(settings))
    watching = show.watch()
    assert next(frame for frame in watching if frame)[0] >= 1
    watching.close()
    show.thread.join(20)
    assert show.watchers == 0 and not show.thread.is_alive()


def test_a_source_is_shown_as_it_was_asked_for(settings, tmp_path, video_factory, squares):
    from dataclasses import replace

    from emotion.serve.engine import Engine

    video = video_factory(tmp_path / "v.mp4", [squares([(1, 1, 2)], scale=4)[0]] * 20, fps=20)
    asked = replace(settings, start_s=0.5, end_s=0.9, stride=2, raw=True)
    told = [frame[2] for frame in Broadcast(str(video), Engine(asked)).watch() if frame]
    assert told and {one["time_s"] for one in told} <= {0.5, 0.6, 0.7, 0.8}
    assert all("track" not in face for one in told for face in one["faces"])


def test_a_token_is_asked_for_and_the_page_keeps_it(settings):
    app = make_app(settings, token="s3cret", loopback=False)
    with TestClient(app, "http://emo.example") as client:
        assert client.get("/healthz").status_code == 200
        assert [
            client.get(path).status_code for path in ("/", "/choices", "/?token=wrong", "/choices?token=s3cret")
        ] == [401] * 4
        assert client.get("/choices", headers={"Authorization": "Bearer s3cret"}).status_code == 200
        assert client.get("/choices", headers={"Authorization": "Bearer s3cre"}).status_code == 401
        opened = client.get("/?token=s3cret")  # goes on to / with a cookie
        assert (
            opened.status_code == 200
            and "token" not in str(opened.url)
            and "httponly" in opened.history[0].headers["set-cookie"].lower()
        )
        assert client.get("/choices").status_code == 200


def test_other_pages_and_other_names_are_refused(client):
    assert client.get("/choices", headers={"Origin": "http://evil.example"}).status_code == 403
    assert client.get("/choices", headers={"Host": "evil.example"}).status_code == 421
    assert client.get("/choices", headers={"Origin": "http://127.0.0.1"}).status_code == 200


def test_too_many_requests_are_turned_away(settings):
    with TestClient(make_app(settings, rate=5), BASE) as client:
        codes = [client.get("/healthz").status_code for _ in range(60)]
    assert codes[:10] == [200] * 10 and 429 in codes


def test_of_a_session_the_newest_frame_is_kept_and_of_others_so_many_wait():
    async def scene():
        queue, gate, order = Newest(workers=1), threading.Event(), []
        begun = threading.Event()

        def work(name):
            begun.set()
            gate.wait(20)
            order.append(name)
            return name

        first = asyncio.create_task(queue.run("a", lambda: work("a1")))
        await asyncio.to_thread(begun.wait, 20)
        older = asyncio.create_task(queue.run("a", lambda: work("a2")))
        await asyncio.sleep(0)
        newer = asyncio.create_task(queue.run("a", lambda: work("a3")))
        others = [asyncio.create_task(queue.run(None, lambda index=index: work(index))) for index in range(WAITING)]
        await asyncio.sleep(0.05)
        gone = others.pop(3)
        gone.cancel()  # somebody hung up
        await asyncio.sleep(0.05)
        gate.set()
        results = await asyncio.gather(first, older, newer, *others, return_exceptions=True)
        assert results[0] == "a1" and isinstance(results[1], Dropped) and results[2] == "a3"
        assert isinstance(results[-1], Busy) and sum(isinstance(result, Busy) for result in results) == 1
        assert order == ["a1", "a3", *[index for index in range(WAITING - 1) if index != 3]]
        assert queue.running == 0 and not queue.waiting
        assert await queue.run(None, lambda: "again") == "again"

    asyncio.run(scene())


def test_without_the_extra_one_line_says_what_to_install(monkeypatch, capsys):
    import builtins

    from emotion.cli import main

    real = builtins.__import__
    monkeypatch.setattr(
        builtins,
        "__import__",
        lambda name, *rest: (
            (_ for _ in ()).throw(ImportError(name="uvicorn")) if name == "uvicorn" else real(name, *rest)
        ),
    )
    with pytest.raises(SystemExit) as ended:
        main(["serve"])
    said = capsys.readouterr().err
    assert ended.value.code == 1 and said.count("\n") == 1 and "uvicorn" in said and "[serve]" in said


def test_a_file_that_is_not_there_is_said_at_the_start(tmp_path, capsys):
    pytest.importorskip("uvicorn", reason="the extra serve is not installed")
    from emotion.cli import main

    with pytest.raises(SystemExit) as ended:
        main(["serve", "--source", str(tmp_path / "no.mp4")])
    told = capsys.readouterr()
    assert (ended.value.code, told.out, told.err) == (1, "", f"emo: {tmp_path}/no.mp4: no such file or folder\n")
