"""The output folder: locked, refused when it would overwrite, built in a temporary folder beside it, renamed at the end.

Whatever goes wrong, `out` either holds a finished output or is as it was. `--force` replaces what emo wrote, which a
list in the folder (`.emo-files`) tells, and keeps everything else. A leftover of a run that was killed is cleared by the
next; two runs at once on one output are refused. An `out` that is a link keeps its target, which is filled.

    check(out, force, sources)
    with building(out) as work: ...          # a new output, all or nothing
    with locked(folder): ...                 # a folder that is written to in place, as a run's
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import DataError, UsageError

REPORT = "report.json"
LEDGER = ".emo-files"  # the names of all files that emo wrote into an output, each ended by a NUL


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
    if absolute.is_dir() and any(absolute.iterdir()):
        if not force:
            raise UsageError("the output exists and is not empty", where=out, mend="--force replaces it, or choose another --out")
        if not (absolute / LEDGER).is_file():
            raise UsageError("is no output of emo, so --force does not replace it", where=out, mend="choose another --out")
    elif absolute.exists() and not absolute.is_dir():
        raise UsageError("exists and is no folder", where=out, mend="choose another --out")


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Only this process writes to `folder` (which need not be there yet) while the block runs; DataError when another does.

    The lock is a file beside the folder and ends with its holder, however that ends. A link locks its target. Do not nest.
    """
    real = folder.resolve()
    path = real.parent / f".{real.name}.lock"
    handle = _lock(path, folder)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(handle)


def _lock(path: Path, folder: Path) -> int:
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise DataError(f"cannot be written: {error.strerror}", where=path.parent) from None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            raise DataError("another emo is writing this output", where=folder, mend="wait for it, or choose another --out") from None
        except OSError:  # a file system without locks
            return handle
        try:
            if os.path.samestat(os.fstat(handle), os.stat(path)):
                return handle
        except OSError:
            pass
        os.close(handle)  # its last holder deleted it just now: a lock on it is none


@contextmanager
def building(out: Path) -> Iterator[Path]:
    """A fresh folder beside `out` to write into; it takes `out`'s place when the block ends well.

    What `out` holds besides emo's own files is kept. DataError when that is in the way of a new file, when the disk
    refuses, or when another emo writes the same output.
    """
    real = out.resolve()
    work, old = real.parent / f".{real.name}.partial", real.parent / f".{real.name}.old"
    with locked(out):
        try:
            if old.exists() and not real.exists():  # killed between the two renames below
                old.rename(real)
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir()
            yield work
            write_ledger(work)
            _keep_strangers(real, work, out)
            shutil.rmtree(old, ignore_errors=True)
            if real.exists():
                real.rename(old)
            work.rename(real)
            shutil.rmtree(old, ignore_errors=True)
        except OSError as error:  # a full disk, above all
            raise DataError(f"cannot be written: {error.strerror or error}", where=error.filename or out) from None
        finally:
            shutil.rmtree(work, ignore_errors=True)


def write_ledger(folder: Path) -> None:
    """Note all files that are in `folder` now as emo's own."""
    names = "".join(f"{name}\0" for name in sorted(_files(folder)) if name != LEDGER)
    (folder / LEDGER).write_bytes(names.encode("utf-8", "surrogateescape"))


def strangers(folder: Path) -> list[str]:
    """The files in `folder`, as paths in it, that emo did not write: all of them when it is no output of emo."""
    try:
        own = set((folder / LEDGER).read_bytes().decode("utf-8", "surrogateescape").split("\0")) | {LEDGER}
    except OSError:
        own = set()
    return sorted(name for name in _files(folder) if name not in own)


def _files(folder: Path) -> Iterator[str]:
    """All files under `folder`, links to folders among them, as paths relative to it."""
    root = os.fspath(folder)
    waiting = [""]
    while waiting:
        here = waiting.pop()
        with os.scandir(f"{root}/{here}") as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(f"{here}{entry.name}/")
                else:
                    yield here + entry.name


def _keep_strangers(real: Path, work: Path, out: Path) -> None:
    """Link what emo did not write from the old output into the new one: until the old is gone, it is in both."""
    for name in strangers(real) if real.is_dir() else ():
        new = work / name
        if os.path.lexists(new):
            raise DataError(f"holds {name}, which emo did not write and would replace", where=out, mend="move it away, or choose another --out")
        try:
            new.parent.mkdir(parents=True, exist_ok=True)
        except FileExistsError:
            raise DataError(f"holds {name}, which is in the way of a file to write", where=out, mend="move it away, or choose another --out") from None
        try:
            os.link(real / name, new, follow_symlinks=False)
        except OSError:  # a file system without links
            shutil.copy2(real / name, new, follow_symlinks=False)


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
