"""The errors a user can cause: what is wrong, where, and how to mend it, in one line.

Library code raises them where the fault is known; `emotion.cli` prints them and exits with `exit_code`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from .terminal_text import plain, redacted


class EmoError(Exception):
    """`what` went wrong, `where` (a file, with `line` if known), the `mend`, and `below` it a line each of a list."""

    exit_code = 1

    def __init__(
        self,
        what: str,
        *,
        where: str | Path | None = None,
        line: int | None = None,
        mend: str | None = None,
        below: Iterable[str] = (),
    ):
        self.what, self.where, self.line, self.mend, self.below = what, where, line, mend, tuple(below)
        super().__init__(what)

    def __str__(self) -> str:
        place = "" if self.where is None else f"{self.where}:{self.line}: " if self.line else f"{self.where}: "
        said = place + self.what + (f" ({self.mend})" if self.mend else "")
        # nothing from a file must make a second line
        return "\n".join(
            plain(redacted(text.replace("\n", "\\n").replace("\r", "\\r"))) for text in (said, *self.below)
        )


class UsageError(EmoError):
    """The command line or a settings file asks for something there is not."""

    exit_code = 2


class DataError(EmoError):
    """A dataset, list, label or .data file cannot be used."""


class CfgError(EmoError):
    """A network cfg cannot be used."""


class WeightsError(EmoError):
    """A .weights file does not fit its cfg."""


class MediaError(EmoError):
    """A picture or video cannot be read or written."""


class RunError(EmoError):
    """Training or evaluation failed."""


class MissingExtra(EmoError):
    """An optional package is needed that is not installed."""

    def __init__(self, package: str, extra: str, why: str):
        super().__init__(f"{why} needs {package}", mend=install(extra))


def install(extra: str) -> str:
    """What to type for an extra, with a package from the index and in a checkout."""
    return f"pip install 'emo-darknet[{extra}]'; in a checkout: pip install '.[{extra}]'"


@contextmanager
def naming(path: str | Path) -> Iterator[None]:
    """An OSError in the block that names no file, as that of a full disk, names `path`."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def nearest(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` plus the known names: the tail of every unknown-name error."""
    known = sorted(known)
    close = difflib.get_close_matches(name.lower(), known, n=1)
    hint = f"did you mean '{close[0]}'? " if close else ""
    return f"{hint}known: {', '.join(known)}"
