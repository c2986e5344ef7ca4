"""Names for linked pictures that every Darknet binary takes, unique, from whatever the dataset calls them.

Darknet splits lists at line ends, AlexeyAB's hands paths to a shell, pjreddie's looks for labels by
replacing `images`, `raw` and the first `.jpg` anywhere in the path, a classifier's class is whichever label
occurs in the path: so output names are plain, have no dot, none of those words, and no label.
"""

from __future__ import annotations

import hashlib
import re

from ..errors import UsageError
from ..findings import MAX_PATH

_PLAIN = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9_-]*+[/\n])*+")  # names, each with a line end
_TRAPS = ("images", "raw", "labels", "JPEGImages")
_WORDS = re.compile("images|raw|labels|jpegimages")


def safe_names(wished: list[str], prefix: str, labels: tuple[str, ...] = ()) -> list[str]:
    """One name for each wished one: itself where it is safe, else a plain spelling of it and a hash.

    `prefix` is the longest path that will stand before a name; `labels` must not occur in any.
    UsageError when `prefix` leaves no room.
    """
    room = MAX_PATH - len(prefix.encode()) - len("/.jpg")
    if room < 24:
        raise UsageError(
            f"the output's path is too long: Darknet takes {MAX_PATH} characters with the picture's name",
            where=prefix,
            mend="choose a shorter --out",
        )
    label = re.compile("|".join(map(re.escape, labels))) if labels else None

    def safe(names: list[str]) -> bool:
        lines = "\n".join([*names, ""])
        plain = (
            _PLAIN.fullmatch(lines)
            and "/\n" not in lines
            and lines.count("\n") == len(names)
            and max(map(len, names)) <= room
        )
        return bool(plain) and not (label and label.search(lines)) and not any(word in lines for word in _TRAPS)

    # Most often all are, which one look tells.
    names = (
        wished if not wished or safe(wished) else [name if safe([name]) else _spelled(name, room) for name in wished]
    )
    if len(set(map(str.lower, names))) < len(names):  # two folders, two datasets, or a.jpg beside a.png
        names, seen = list(names), set()
        for index, name in enumerate(names):
            number = 1
            while name.lower() in seen:
                number += 1
                name = _cut(names[index], room - 8) + f"-{number}"
            seen.add(name.lower())
            names[index] = name
    return names


def _spelled(name: str, room: int) -> str:
    digest = hashlib.blake2b(name.encode("utf-8", "surrogateescape"), digest_size=6).hexdigest()
    text = re.sub(r"[^a-z0-9_]+", "_", name.rpartition("/")[2].lower()).strip("_")
    text = _WORDS.sub("x", text)
    return f"{_cut(text, min(room - 13, 80))}-{digest}" if text else digest


def _cut(name: str, length: int) -> str:
    return name if len(name) <= length else name[:length]
