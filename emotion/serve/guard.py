"""Who may ask, how much and how often: token, origin, host, size and rate.

An ASGI app goes in, a guarded one comes out.
"""

from __future__ import annotations

import hmac
import time
from collections import OrderedDict
from http.cookies import SimpleCookie
from urllib.parse import parse_qs, urlsplit

from starlette.responses import JSONResponse, RedirectResponse

COOKIE = "emo-token"
LOOPBACK = ("localhost", "127.0.0.1", "::1")
CLIENTS = 1024  # whose rate is remembered
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; style-src 'self'; script-src "
        "'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(self), microphone=()",
}


class Guard:
    """
    token     asked for as `Authorization: Bearer`, or once as `/?token=`, which becomes a cookie; None asks for none
    loopback  only names of this machine are served, so that no other page's name can be made to lead here
    megabytes, rate  of a body; requests a second of one address, with twice as many at once
    """

    def __init__(self, app, token: str | None, loopback: bool, megabytes: float = 20, rate: float = 60):
        self.app, self.token, self.loopback, self.bytes, self.rate = app, token, loopback, int(megabytes * 1e6), rate
        self.left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {key.decode("latin-1").lower(): value.decode("latin-1") for key, value in scope["headers"]}
        refusal = self._refusal(scope, headers)
        if refusal is not None:
            await refusal(scope, receive, send)
            return

        async def guarded(message):
            if message["type"] == "http.response.start":
                message = message | {
                    "headers": [
                        *message["headers"],
                        *((key.lower().encode(), value.encode()) for key, value in HEADERS.items()),
                    ]
                }
            await send(message)

        await self.app(scope, receive, guarded)

    def _refusal(self, scope, headers):
        host = urlsplit(f"//{headers.get('host', '')}")
        if self.loopback and (host.hostname or "") not in LOOPBACK:
            return _no(421, "this server answers to localhost only")
        origin = headers.get("origin")
        if origin and urlsplit(origin).netloc != headers.get("host"):
            return _no(403, "another page's script may not ask")
        if self.token is not None and scope["path"] != "/healthz":
            given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
            if scope["path"] == "/" and given and _same(given, self.token):
                answer = RedirectResponse("/", 303, headers={"Referrer-Policy": "no-referrer"})
                answer.set_cookie(COOKIE, self.token, httponly=True, samesite="strict")
                return answer
            bearer = headers.get("authorization", "").removeprefix("Bearer ").strip()
            cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
            if not any(_same(one, self.token) for one in (bearer, cookie.value if cookie else "")):
                return _no(
                    401,
                    (
                        "a token is asked for: open the address that emo serve printed, or send Authorization: "
                        "Bearer TOKEN"
                    ),
                )
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > self.bytes:
            return _no(413, f"more than {self.bytes / 1e6:g} MB")
        if not self._in_time((scope.get("client") or ("",))[0]):
            return _no(429, f"more than {self.rate:g} requests a second", {"Retry-After": "1"})
        return None

    def _in_time(self, client: str) -> bool:
        """A bucket of 2 x rate requests, filled at `rate` a second."""
        now = time.monotonic()
        left, at = self.left.pop(client, (2 * self.rate, now))
        left = min(2 * self.rate, left + (now - at) * self.rate)
        self.left[client] = (left - 1 if left >= 1 else left), now
        while len(self.left) > CLIENTS:
            self.left.popitem(last=False)
        return left >= 1


def _same(given: str, token: str) -> bool:
    return hmac.compare_digest(given.encode(), token.encode())


def _no(status: int, why: str, headers: dict | None = None) -> JSONResponse:
    return JSONResponse({"error": why}, status, headers)
