"""The server's addresses, as a Starlette app: the page, POST /detect, /stream.mjpg, /events, /choices, /healthz,
/openapi.json.

app = make_app(Settings(), sources=("camera",))
uvicorn.run(app, host="127.0.0.1", port=8000)
"""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

from starlette.applications import Starlette
from starlette.concurrency import iterate_in_threadpool, run_in_threadpool
from starlette.requests import Request as Asked
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from converters.errors import EmoError

from ..detect_many import Settings
from ..version import __version__
from .broadcast import Broadcast
from .engine import Busy, Dropped, Engine, Newest, Request
from .guard import Guard
from .openapi import openapi
from .pictures import decode

STATIC = Path(__file__).parent / "static"
BOUNDARY = "emo-frame"


class Refused(Exception):
    """A request that cannot be answered: status and why."""

    def __init__(self, status: int, why: str):
        self.status, self.why = status, why


def make_app(
    settings: Settings,
    sources: tuple[str, ...] = (),
    token: str | None = None,
    loopback: bool = True,
    megabytes: float = 20,
    rate: float = 60,
):
    """An ASGI app. `sources` are cameras, streams and videos of the server's that may be watched, by their number."""
    engine, queue = Engine(settings), Newest()
    shows = [Broadcast(source, engine) for source in sources]

    async def page(asked: Asked):
        return FileResponse(STATIC / "index.html")

    async def healthz(asked: Asked):
        return JSONResponse({"status": "ok", "version": __version__})

    async def choices(asked: Asked):
        return JSONResponse(
            await run_in_threadpool(engine.choices) | {"sources": [show.name for show in shows], "megabytes": megabytes}
        )

    async def detect(asked: Asked):
        wanted, body = _wanted(asked), await _picture(asked, int(megabytes * 1e6))
        try:
            return JSONResponse(await queue.run(wanted.session, lambda: engine.look(decode(body), wanted)))
        except Dropped:
            raise Refused(409, "dropped: a newer frame of this session came") from None
        except Busy:
            raise Refused(503, "too many requests wait") from None

    def show_of(asked: Asked) -> Broadcast:
        number = asked.query_params.get("source", "0")
        if not number.isdigit() or int(number) >= len(shows):
            raise Refused(404, f"no source {number}: the server was started with {len(shows)}")
        return shows[int(number)]

    async def first_of(asked: Asked):
        """The watched frames, the first of them at hand, so that a source that cannot be opened is an answer and no
        torn stream.
        """
        watching = show_of(asked).watch()
        async for frame in iterate_in_threadpool(watching):
            if frame is not None:
                return frame, watching
        raise Refused(502, "the source has ended")

    async def stream(asked: Asked):
        first, watching = await first_of(asked)

        async def parts():
            with closing(watching):
                yield _part(first[1])
                async for frame in iterate_in_threadpool(watching):
                    if frame is not None:
                        yield _part(frame[1])

        return StreamingResponse(
            parts(), media_type=f"multipart/x-mixed-replace; boundary={BOUNDARY}", headers={"Cache-Control": "no-store"}
        )

    async def events(asked: Asked):
        first, watching = await first_of(asked)

        async def lines():
            with closing(watching):
                yield _event(first)
                async for frame in iterate_in_threadpool(watching):
                    yield ": nothing new\n\n" if frame is None else _event(frame)
                yield "event: end\ndata: {}\n\n"

        return StreamingResponse(lines(), media_type="text/event-stream", headers={"Cache-Control": "no-store"})

    async def refused(asked: Asked, error: Exception) -> Response:
        return (
            JSONResponse({"error": error.why}, error.status)
            if isinstance(error, Refused)
            else JSONResponse({"error": str(error)}, 422)
        )

    routes = [
        Route("/", page),
        Route("/healthz", healthz),
        Route("/choices", choices),
        Route("/detect", detect, methods=["POST"]),
        Route("/stream.mjpg", stream),
        Route("/events", events),
        Route("/openapi.json", lambda asked: JSONResponse(openapi(__version__))),
        Mount("/static", StaticFiles(directory=STATIC)),
    ]
    return Guard(
        Starlette(routes=routes, exception_handlers={Refused: refused, EmoError: refused}),
        token,
        loopback,
        megabytes,
        rate,
    )


def _wanted(asked: Asked) -> Request:
    """The query's system, model, conf, session and time_s; Refused names what makes no sense."""
    query = asked.query_params
    numbers: dict[str, float | None] = {}
    for name, low, high in (("conf", 0, 1), ("time_s", 0, 1e9)):
        try:
            number = numbers[name] = float(query[name]) if name in query else None
            if number is not None and not low <= number <= high:
                raise ValueError
        except ValueError:
            raise Refused(422, f"{name} is a number from {low:g} to {high:g}") from None
    session = query.get("session")
    if session is not None and not 0 < len(session) <= 64:
        raise Refused(422, "session is a name of up to 64 characters")
    return Request(query.get("system") or None, query.get("model") or None, numbers["conf"], session, numbers["time_s"])


async def _picture(asked: Asked, most: int) -> bytes:
    """The body, or the file of a form; Refused for none and for more than `most` bytes, whatever its header says."""
    kind = asked.headers.get("content-type", "").partition(";")[0].strip().lower()
    body = bytearray()
    async for piece in asked.stream():
        body += piece
        if len(body) > most:
            raise Refused(413, f"more than {most / 1e6:g} MB")
    if kind == "multipart/form-data":
        return _file_of(asked.headers["content-type"], bytes(body))
    if not body:
        raise Refused(400, "send a picture: the body, or the file of a form")
    return bytes(body)


def _file_of(content_type: str, body: bytes) -> bytes:
    """The first file of a form, by the parser of e-mails, which have the same form."""
    from email.parser import BytesParser
    from email.policy import HTTP

    message = BytesParser(policy=HTTP).parsebytes(
        b"Content-Type: " + content_type.encode("latin-1") + b"\r\n\r\n" + body
    )
    for part in message.iter_parts() if message.is_multipart() else ():
        if part.get_filename() is not None:
            payload = part.get_payload(decode=True)
            return payload if isinstance(payload, bytes) else b""
    raise Refused(400, "the form has no file")


def _part(jpeg: bytes) -> bytes:
    return f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n".encode() + jpeg + b"\r\n"


def _event(frame: tuple[int, bytes, dict]) -> str:
    return f"id: {frame[0]}\ndata: {json.dumps(frame[2], separators=(',', ':'))}\n\n"
