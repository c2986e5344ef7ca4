"""Text on its way to people: no control characters that a file brought along, no passwords of addresses.

    plain("\\x1b[31mHappy")                       == "\\\\u001b[31mHappy"
    redacted("rtsp://me:p@ss@cam/live?token=1")  == "rtsp://cam/live"

`PlainStream` makes whatever is printed plain, which is how the command line cleans all it says, tracebacks included.
"""

from __future__ import annotations

import re
import unicodedata
from contextlib import contextmanager
from typing import TextIO

# C0 and C1 (escape sequences, bells, backspaces), what turns the direction of writing, what takes no room and so makes
# two names look like one (but for the joiners, which scripts and emoji need), and line ends that are none. A tab, a
# newline, and a return before one, are left: a cfg on stdout stays a cfg.
_CONTROL = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u180e\u200b\u200e\u200f\u2028\u2029\u202a-\u202e\u2060-\u206f"
    "\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]|\r(?!\n)"
)
# A password may hold blanks, and then an address does; a number before one is a port.
_ADDRESS = re.compile(
    r"\b([a-z][a-z0-9+.-]+:/{1,2})((?:[^\s:@/]+:(?!\d+\s)[^\n@]{0,80}@)?\S+?)(?=[\"'):,;\]]*(?:\s|$))", re.IGNORECASE
)
_SECRET = re.compile(
    r"((?:user|login|pass|pwd|token|secret|key|auth|sign?|sid|session|credential|jwt)[\w.-]*(?:=|%3D))[^/\s]+",
    re.IGNORECASE,
)


def plain(text: str) -> str:
    """`text` with every control character as \\uXXXX, which JSON reads as the character that it was."""
    return _CONTROL.sub(_spelled, text) if _CONTROL.search(text) else text


def _spelled(found: re.Match) -> str:
    units = found[0].encode("utf-16-be").hex()  # two units beyond 65,535, as JSON has it
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def redacted(text: str) -> str:
    """`text` with addresses in it that lack user, password, query and fragment, and secrets in their path's parameters.

    A password may hold any character but a blank, an unescaped @ or / among them.
    """
    return _ADDRESS.sub(_without_secrets, text) if ":/" in text else text


def _without_secrets(found: re.Match) -> str:
    scheme, rest = found.groups()
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    port = re.fullmatch(r"[^:@]*:([^:@]+)", authority)
    if "@" in authority:
        before_query = re.split(r"[?#]", rest, maxsplit=1)[0]
        rest = rest[before_query.rindex("@") + 1 :]  # rather a host too few than a part of a password too many
    elif "@" in rest and port:  # what looks like a port may be the beginning of a password with a slash in it
        host = rest[rest.rindex("@") + 1 :]
        if not port[1].isdigit() or re.search(r"[/:]", re.split(r"[?#]", host, maxsplit=1)[0]):
            rest = host
    return scheme + _SECRET.sub(r"\1***", re.split(r"[?#]", rest, maxsplit=1)[0])


class PlainStream:
    """A text stream that makes plain what is written to it; for all else it is the stream that it was made of.

    `name`, such as "standard output", is what an OSError of the stream's names as its file.
    """

    def __init__(self, stream: TextIO, name: str = ""):
        self._stream, self._name = stream, name

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() takes text, not {type(text).__name__}")
        bar = text[:1] == "\r" and self._stream.isatty()  # a progress bar's own way back to the line's beginning
        inner = plain(text.strip("\r") if bar else text)
        with self._named():
            self._stream.write("\r" + inner + ("\r" if len(text) > 1 and text.endswith("\r") else "") if bar else inner)
        return len(text)

    def flush(self) -> None:
        with self._named():
            self._stream.flush()

    @contextmanager
    def _named(self):
        try:
            yield
        except OSError as error:
            error.filename = error.filename or self._name or None
            raise

    def writelines(self, lines) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str):
        return getattr(self._stream, name)


def drawable(text: str) -> str:
    """As OpenCV's letters can show it: accents go, other characters beyond ASCII become `?`.

    OpenCV ends the whole process on a name with a lone surrogate, which a file that is not UTF-8 gives.
    """
    plain = unicodedata.normalize("NFKD", text)
    return "".join(char if " " <= char <= "~" else "?" for char in plain if not unicodedata.combining(char))
