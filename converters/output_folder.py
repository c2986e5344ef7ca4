"""The output folder: refused when it would overwrite, built in a temporary folder beside it, renamed at the end.

Whatever goes wrong, `out` either holds a finished output or is as it was. A leftover of a run that was
killed is cleared by the next; two runs at once on one output are refused.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import DataError, UsageError

REPORT = "report.json"  # every output of emo has one: --force replaces nothing else


def check(out: Path, force: bool, sources: list[Path]) -> None:
    """UsageError when `out` holds something that must not be replaced, or lies around or in a source.

    A source that one works in, such as `.`, may hold the output.
    """
    absolute, here = out.resolve(), Path.cwd()
    for source in sources:
        where = source.resolve()
        inside = where.is_dir() and where in absolute.parents and where not in (here, *here.parents)
        if absolute == where or absolute in where.parents or inside:
            raise UsageError(f"the output lies in, or around, the source {source}", where=out, mend="choose another --out")
    if out.is_dir() and any(out.iterdir()):
        if not force:
            raise UsageError("the output exists and is not empty", where=out, mend="--force replaces it, or choose another --out")
        if not (out / REPORT).is_file():
            raise UsageError("is no output of emo, so --force does not replace it", where=out, mend="choose another --out")
    elif out.exists() and not out.is_dir():
        raise UsageError("exists and is no folder", where=out, mend="choose another --out")


@contextmanager
def building(out: Path) -> Iterator[Path]:
    """A fresh folder beside `out` to write into; it takes `out`'s place when the block ends well."""
    work = out.parent / f".{out.name}.partial"
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(out.parent / f".{out.name}.lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise DataError(f"cannot be written: {error.strerror}", where=out.parent) from None
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise DataError("another emo is writing this output", where=out, mend="wait for it, or choose another --out") from None
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        try:
            yield work
            old = out.parent / f".{out.name}.old"
            shutil.rmtree(old, ignore_errors=True)
            if out.exists():
                out.rename(old)
            work.rename(out)
            shutil.rmtree(old, ignore_errors=True)
        except OSError as error:  # a full disk, above all
            raise DataError(f"cannot be written: {error.strerror or error}", where=error.filename or out) from None
        finally:
            shutil.rmtree(work, ignore_errors=True)
            (out.parent / f".{out.name}.lock").unlink(missing_ok=True)
    finally:
        os.close(lock)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside the file `path`, renamed to it when the block ends well. DataError when it cannot be."""
    temporary = path.with_name(path.name + ".part")
    try:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            os.replace(temporary, path)
        except BaseException:
            if temporary.exists():
                temporary.unlink()
            raise
    except OSError as error:
        raise DataError(f"cannot be written: {error.strerror or error}", where=path) from None
