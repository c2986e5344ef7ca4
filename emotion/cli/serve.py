"""`emo serve`."""

from __future__ import annotations

import secrets
import signal
import socket
from contextlib import contextmanager

import click

from darknet_runner.signals import STOPS

from . import options
from .groups import Command


@click.command(cls=Command)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on; with one that others can reach, a token is required.",
)
@click.option(
    "--port", type=options.Whole(0, 65535), default=8000, show_default=True, help="Port to listen on; 0: any free one."
)
@click.option(
    "--source",
    "sources",
    multiple=True,
    help="A camera, stream or video of this machine that may be watched; may be repeated.",
)
@options.system
@click.option(
    "--token",
    help="Token that every request must carry; default: none on this machine's own address, else a new one, "
    "which is printed.",
)
@click.option(
    "--megabytes", type=options.Number(min=0.001), default=20, show_default=True, help="A larger picture is refused."
)
@click.option(
    "--rate",
    type=options.Number(min=0.1),
    default=60,
    show_default=True,
    help="Requests a second from one address, at most.",
)
@options.max_pixels
@click.option("--open", "open_", is_flag=True, help="Open the page in a browser.")
def serve(host, port, sources, token, megabytes, rate, open_, **settings):
    """Serve a page for a camera, and an interface for programs, until Ctrl-C.

    The page takes the browser's camera, a dropped picture or video, or one of the --source's, and shows boxes, scores,
    a line of emotions over time and frames a second. POST /detect takes a picture and gives JSON; /stream.mjpg and
    /events give a --source annotated and as events; /openapi.json describes everything. Needs the extra serve.

    \b
    emo serve
    emo serve --source camera --source rtsp://host/stream --open
    emo serve --host 0.0.0.0 --token "$TOKEN"
    curl --data-binary @photo.jpg http://127.0.0.1:8000/detect
    """
    run(host, port, sources, token, megabytes, rate, open_, settings)


def run(host, port, sources, token, megabytes, rate, open_, settings, path: str = "/") -> None:
    """Listen and serve; one line on stdout says where. UsageError when the address cannot be had, MediaError for a file
    among `sources` that cannot be opened; a camera or stream may come later.
    """
    from converters.errors import MissingExtra, UsageError

    try:
        import uvicorn

        from ..serve.app import make_app
    except ImportError as error:
        raise MissingExtra(error.name or "starlette", "serve", "emo serve") from None
    from ..detect_many import Settings
    from ..serve.guard import LOOPBACK
    from ..sources.live import is_live
    from ..sources.open import open_source

    for source in sources:
        if not is_live(source):
            open_source(source)
    loopback = host in LOOPBACK
    token = token or (None if loopback else secrets.token_urlsafe(18))
    app = make_app(Settings(**settings), tuple(sources), token, loopback, megabytes, rate)
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except (OSError, OverflowError) as error:
        listener.close()
        raise UsageError(
            f"cannot listen on {host}:{port}: {getattr(error, 'strerror', None) or error}",
            mend="choose another --port or --host",
        ) from None
    shown = f"[{host}]" if ":" in host else host
    address = f"http://{shown}:{listener.getsockname()[1]}{path}" + (
        f"{'&' if '?' in path else '?'}token={token}" if token else ""
    )
    click.echo(f"emo: serving at {address}")
    if open_:
        import webbrowser

        webbrowser.open(address)

    class Server(uvicorn.Server):
        @contextmanager
        def capture_signals(self):
            """Uvicorn's own raises them again at its end, and a second one in the midst of it."""
            before = {number: signal.signal(number, self.handle_exit) for number in STOPS}
            try:
                yield
            finally:
                for number, handler in before.items():
                    signal.signal(number, handler)

        def handle_exit(self, number, frame):
            self.should_exit = True

    try:
        Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=2, server_header=False)).run(
            [listener]
        )
    finally:
        listener.close()
