"""The output folder: locked, refused when it would overwrite, all or nothing.

Whatever goes wrong, `out` either holds a finished output or is as it was. `--force` replaces what emo wrote, which a
list in the folder (`.emo-files`) tells, and keeps everything else. A leftover of a run that was killed is cleared by
the next; two runs at once on one output are refused. An `out` that is a link keeps its target, which is filled.

    check(out, force, sources)
    with building(out) as work: ...                          # a new output in a folder beside it, renamed at the end
    with in_place(out, force, ("a.csv", "pictures")): ...    # or files whose names hold `.part` until `finish` renames them
    with locked(folder): ...                                 # or a folder that is written to as it comes, as a run's
"""  # noqa: E501

from __future__ import annotations

import hashlib
import os
import shutil
import threading
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import DataError, UsageError
from .file_handles import OWN

REPORT = "report.json"
LEDGER = (
    ".emo-files"  # the names of all files that emo wrote into an output, each ended by a NUL; `name/` is all below it
)
_held: dict[Path, int] = {}  # the folders that this process has locked, and the thread


def check(out: Path, force: bool, sources: list[Path]) -> None:
    """UsageError when `out` holds something that must not be replaced, or lies around or in a source.

    A source that one works in, such as `.`, may hold the output.
    """
    absolute, here = out.resolve(), Path.cwd()
    for source in sources:
        where = source.resolve()
        inside = where.is_dir() and where in absolute.parents and where not in (here, *here.parents)
        if absolute == where or absolute in where.parents or inside:
            raise UsageError(
                f"the output lies in, or around, the source {source}", where=out, mend="choose another --out"
            )
    if absolute.is_dir() and any(absolute.iterdir()):
        if not force:
            raise UsageError(
                "the output exists and is not empty", where=out, mend="--force replaces it, or choose another --out"
            )
        if not (absolute / LEDGER).is_file():
            raise UsageError(
                "is not an output of emo, so --force does not replace it", where=out, mend="choose another --out"
            )
    elif absolute.exists() and not absolute.is_dir():
        raise UsageError("exists and is not a folder", where=out, mend="choose another --out")


def free(default: Path, force: bool = False, taken: Collection[Path] = ()) -> Path:
    """`default`, or with -2, -3 ... the first that has nothing finished: where a run that named no output writes.

    With `force` what a folder holds does not count, since it will be replaced; `taken` are others that are not free.
    """

    def holds_something(folder: Path) -> bool:
        return not force and folder.is_dir() and any(name != LEDGER and ".part" not in name for name in _files(folder))

    path, number = default, 1
    while path in taken or holds_something(path):
        number += 1
        path = default.with_name(f"{default.name}-{number}")
    return path


@contextmanager
def locked(folder: Path, mend: str = "wait for it, or choose another --out") -> Iterator[None]:
    """Only this process writes to `folder` (which need not be there yet) while the block runs; DataError when another
    does.

    The lock is a file beside the folder and ends with its holder, however that ends. A link locks its target. A thread
    that has the lock may take it again.
    """
    real = folder.resolve()
    if _held.get(real) == threading.get_ident():
        yield
        return
    path = real.parent / f".{real.name}.lock"
    handle = _lock(path, folder, mend)
    _held[real] = threading.get_ident()
    try:
        yield
    finally:
        del _held[real]
        with suppress(OSError):  # Windows keeps a file that is open; it has nothing
            path.unlink(missing_ok=True)
        os.close(handle)


def _lock(path: Path, folder: Path, mend: str) -> int:
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_CREAT | OWN, 0o644)
        except (FileExistsError, NotADirectoryError):
            raise DataError("is not a folder", where=path.parent, mend="choose another --out") from None
        except OSError as error:
            raise DataError(f"cannot be written: {error.strerror}", where=path.parent) from None
        try:
            _lock_file(handle)
        except (BlockingIOError, PermissionError):
            os.close(handle)
            raise DataError("another emo is writing this output", where=folder, mend=mend) from None
        except OSError:  # a file system without locks
            return handle
        try:
            if os.path.samestat(os.fstat(handle), os.stat(path)):
                return handle
        except OSError:
            pass
        os.close(handle)  # its last holder deleted it just now: a lock on it is none


def _lock_file(handle: int) -> None:
    """BlockingIOError, on Windows PermissionError, when another process has locked it; the lock ends with the
    handle.
    """
    try:
        import fcntl
    except ImportError:
        import msvcrt

        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
    else:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


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


@contextmanager
def in_place(out: Path, force: bool, files: tuple[str, ...], sources: Iterable[Path] = ()) -> Iterator[Path]:
    """`out`, locked, to write `files` (files, or folders) into while it keeps what else it holds.

    Each is written under its `part` name and named by `finish`. What was begun and never finished keeps the `.part`: it
    can be read, and never looks whole; the next run clears it. `out`, and parents of it, that are made here and stay
    empty go again. UsageError when `out` is not empty without `force`, when it holds files of these names that emo did
    not write, or when a source would be replaced; DataError when it cannot be made or written, or another emo is
    writing there.
    """
    out = Path(out)
    made = [path for path in (out.resolve(), *out.resolve().parents) if not path.exists()]
    try:
        with locked(out):
            _prepare(out, force, files, sources)
            try:
                yield out
            except OSError as error:  # a full disk, above all
                raise DataError(f"cannot be written: {error.strerror or error}", where=error.filename or out) from None
            finally:
                _settle(out)
    finally:
        for path in made:
            with suppress(OSError):  # not empty, or never made
                path.rmdir()


def part(path: Path) -> Path:
    """`a.mp4` -> `a.part.mp4`: the suffix stays last, because it decides the format."""
    return path.with_name(f"{path.stem}.part{path.suffix}")


def short(name: str, most: int = 200) -> str:
    """`name`, whose last part is cut, with a hash of the whole in place of what is left out, when it has more bytes
    than a file's name may have together with what comes to it (255 in all).
    """
    before, slash, last = name.rpartition("/")
    data = os.fsencode(last)
    if len(data) <= most:
        return name
    kept = data[: most - 9].decode("utf-8", "ignore" if _is_utf8(data) else "surrogateescape")
    return f"{before}{slash}{kept}-{hashlib.blake2b(data, digest_size=4).hexdigest()}"


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def finish(folder: Path, *paths: Path, instead_of: tuple[str, ...] = ()) -> None:
    """Give files or folders in `folder` that were written under their `part` names their own, in place of emo's earlier
    ones.

    `instead_of` are further names of which an earlier run's goes.
    """
    _remove_own(folder, {*instead_of, *(path.name for path in paths)})
    with open(folder / LEDGER, "ab") as ledger:
        ledger.write(_encoded(name for path in paths for name in (path.name, path.name + "/")))
    for path in paths:
        os.replace(part(path), path)


def _prepare(out, force, files, sources):
    parts = tuple(part(Path(name)).name for name in files)
    try:
        out.resolve().mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise UsageError(
            "cannot be made: it, or what it would lie in, is not a folder", where=out, mend="choose another --out"
        ) from None
    except OSError as error:
        raise DataError(f"cannot be made: {error.strerror}", where=out) from None
    foreign = strangers(out)
    if not force and (foreign or any(not _within(name, (LEDGER, *parts)) for name in _files(out))):
        raise UsageError(
            "is not empty", where=out, mend="--force replaces what emo wrote there; or choose another --out"
        )
    if taken := next((name for name in foreign if _within(name, (*files, *parts))), None):
        raise UsageError(
            f"holds {taken}, which emo did not write and would replace",
            where=out,
            mend="move it away, or choose another --out",
        )
    mine = {(out / name).resolve() for name in (*files, *parts)}
    for source in map(Path, sources):
        if mine & {source.resolve(), *source.resolve().parents}:
            raise UsageError("would be replaced by its own output", where=source, mend="choose another --out")
    try:
        _remove_own(out, parts)
        write_ledger(out, {*_own(out), *parts, *(f"{name}/" for name in parts)} - {LEDGER})
    except OSError as error:
        raise DataError(f"cannot be written: {error.strerror}", where=out) from None


def _settle(out):
    """The ledger as what is there of emo's: whole files, and those that it has left unfinished."""
    foreign = set(strangers(out))
    names = {name for name in _files(out) if name != LEDGER and name not in foreign}
    with suppress(OSError):  # of a full disk: then the ledger says what was begun, which is more than there is
        if names:
            write_ledger(out, names)
        else:
            (out / LEDGER).unlink(missing_ok=True)


def _within(name: str, places: Iterable[str]) -> bool:
    """Whether the file is one of the places or lies in one."""
    return any(name == place or name.startswith(f"{place}/") for place in places)


def _remove_own(folder: Path, places: Iterable[str]) -> None:
    """Of emo's own files those at, or in, the places; then the folders there that are empty."""
    places = tuple(places)
    foreign = set(strangers(folder))
    for name in [name for name in _files(folder) if _within(name, places) and name not in foreign]:
        (folder / name).unlink()
    for place in places:
        for path in sorted((folder / place).rglob("*"), reverse=True) if (folder / place).is_dir() else ():
            with suppress(OSError):
                path.rmdir()
        with suppress(OSError):
            (folder / place).rmdir()


def write_ledger(folder: Path, names: Iterable[str] | None = None) -> None:
    """Note `names` as emo's own, by default all files that are in `folder` now."""
    names = (name for name in _files(folder) if name != LEDGER) if names is None else names
    new = folder / f"{LEDGER}.part"
    try:
        new.write_bytes(_encoded(sorted(names)))
        os.replace(new, folder / LEDGER)
    except OSError:
        new.unlink(missing_ok=True)
        raise


def _encoded(names) -> bytes:
    return "".join(f"{name}\0" for name in names).encode("utf-8", "surrogateescape")


def _own(folder: Path) -> set[str]:
    try:
        return {*(folder / LEDGER).read_bytes().decode("utf-8", "surrogateescape").split("\0"), LEDGER} - {""}
    except OSError:
        return set()


def strangers(folder: Path) -> list[str]:
    """The files in `folder`, as paths in it, that emo did not write: all of them when it is not an output of emo."""
    own = _own(folder)
    below = tuple(name for name in own if name.endswith("/"))
    return sorted(name for name in _files(folder) if name not in own and not name.startswith(below))


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
            raise DataError(
                f"holds {name}, which emo did not write and would replace",
                where=out,
                mend="move it away, or choose another --out",
            )
        try:
            new.parent.mkdir(parents=True, exist_ok=True)
        except FileExistsError:
            raise DataError(
                f"holds {name}, which is in the way of a file to write",
                where=out,
                mend="move it away, or choose another --out",
            ) from None
        try:
            os.link(real / name, new, follow_symlinks=False)
        except OSError:  # a file system without links
            shutil.copy2(real / name, new, follow_symlinks=False)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside the file `path`, renamed to it when the block ends well. A link keeps its target.

    DataError when it cannot be, or when another emo is writing the same file.
    """
    real = path.resolve()
    temporary = real.with_name(real.name + ".part")
    try:
        try:
            real.parent.mkdir(parents=True, exist_ok=True)
            with locked(path):
                yield temporary
                os.replace(temporary, real)
        except BaseException:
            if temporary.exists():
                temporary.unlink()
            raise
    except OSError as error:
        raise DataError(f"cannot be written: {error.strerror or error}", where=path) from None
