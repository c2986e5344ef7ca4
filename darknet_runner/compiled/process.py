"""Start a Darknet, read it line by line, and end it: never an orphan, never a lost line.

    with Process(argv, cwd=run.path, log=run.log) as process:
        for line in process.lines(tick=1.0):     # None when a tick passed without a line
            ...
    process.returncode

It runs in a session and process group of its own, writes to a pseudo-terminal (so that the C library
hands out whole lines at once, not blocks of 4,096 bytes), and dies with its parent (Linux).
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from converters.errors import RunError

from ..signals import interruptible
from .logs import LineSplitter

GRACE_S = 3.0  # between SIGTERM and SIGKILL; these programs save nothing on a signal
_PR_SET_PDEATHSIG = 1


def _libc():
    return ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def cpu_environment(threads: int | None) -> dict[str, str]:
    """The environment of a binary: OpenMP's waiting threads sleep (spinning costs a factor of four on a busy
    machine).
    """
    count = str(threads or os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)
    return os.environ | {
        "OMP_WAIT_POLICY": "passive",
        "OMP_NUM_THREADS": count,
        "OPENBLAS_NUM_THREADS": count,
        "GOMP_SPINCOUNT": "0",
        "QT_QPA_PLATFORM": "offscreen",
        "LC_ALL": "C",
        "TERM": "dumb",
    }


class Process:
    """One run of a program. `stdin` is what it is told; None closes its input."""

    def __init__(
        self,
        argv: list[str],
        *,
        cwd: Path,
        log: Path | None = None,
        stdin: bytes | None = None,
        threads: int | None = None,
    ):
        self.argv, self.cwd, self.log, self.stdin = [str(part) for part in argv], cwd, log, stdin
        self.environment = cpu_environment(threads)
        self.returncode: int | None = None
        self.started = 0.0

    def __enter__(self) -> Process:
        import pty  # not on Windows, where emo trains and detects without a binary
        import tty

        master, slave = pty.openpty()
        tty.setraw(slave)  # no echo, no newline translation
        libc, parent = _libc(), os.getpid()

        def own_life():  # in the child, between fork and exec
            if libc is not None:
                libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
                if os.getppid() != parent:  # the parent died in between
                    os._exit(1)

        try:
            self._log = open(self.log, "ab", buffering=0) if self.log else None
            self._child = subprocess.Popen(
                self.argv,
                cwd=self.cwd,
                env=self.environment,
                stdout=slave,
                stderr=slave,
                start_new_session=True,
                preexec_fn=own_life,
                stdin=subprocess.DEVNULL if self.stdin is None else subprocess.PIPE,
            )
        except OSError as error:
            os.close(master)
            if self.log and self._log:
                self._log.close()
            raise RunError(f"cannot be run: {error.strerror}", where=self.argv[0]) from None
        finally:
            os.close(slave)
        self._master, self.started = master, time.monotonic()
        if self.stdin is not None:
            threading.Thread(target=self._tell, daemon=True).start()
        return self

    def __exit__(self, *error) -> None:
        self.stop()
        os.close(self._master)
        if self._log:
            self._log.close()

    def _tell(self):
        with contextlib.suppress(OSError):  # it may end before it has read all
            self._child.stdin.write(self.stdin)
            self._child.stdin.close()

    @property
    def pid(self) -> int:
        return self._child.pid

    def _ended(self):
        """Whether the program has ended; it is not reaped yet, so that its group's number stays its own."""
        return (
            self.returncode is not None
            or os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        )

    def lines(self, tick: float = 1.0) -> Iterator[str | None]:
        """Its lines as they come (ended by a newline or a return), and None after every `tick` seconds without one.

        Ends when the program has ended and all is read, or when `stop` was called. The log gets every byte.
        """
        splitter, ended = LineSplitter(), False
        while self.returncode is None:
            ready, _, _ = select.select([self._master], [], [], 0.05 if ended else tick)
            if not ready:
                if ended:  # nothing more within the time that its last words take
                    break
                ended = self._ended()
                yield None
                continue
            try:
                chunk = os.read(self._master, 1 << 16)
            except OSError as error:
                if error.errno != errno.EIO:  # EIO is a pseudo-terminal's end of file
                    raise
                chunk = b""
            if not chunk:
                break
            self._keep(chunk)
            yield from splitter.feed(chunk)
        yield from splitter.close()
        while self.returncode is None and not self._ended():  # it closed its output and works on
            time.sleep(min(tick, 0.05))
            yield None
        self.kill()

    def _keep(self, chunk):
        if self._log:
            try:
                while chunk:
                    chunk = chunk[self._log.write(chunk) :]
            except OSError as error:
                self.kill()
                raise RunError(f"the log cannot be written: {error.strerror}", where=self.log) from None

    def _signal(self, number):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def stop(self, grace: float = GRACE_S) -> int:
        """End it and everything it started; its return code (negative: the signal that ended it)."""
        if self.returncode is not None:
            return self.returncode
        if not self._ended():
            self._signal(signal.SIGTERM)
            until = time.monotonic() + grace
            while not self._ended() and time.monotonic() < until:
                time.sleep(0.02)
        return self.kill()

    def kill(self) -> int:
        """End the whole group at once."""
        if self.returncode is None:
            self._signal(signal.SIGKILL)
            self.returncode = self._child.wait()
        return self.returncode


def run(
    argv: list[str],
    *,
    cwd: Path,
    stdin: bytes | None = None,
    log: Path | None = None,
    threads: int | None = None,
    silence_s: float = 1800,
) -> tuple[int, list[str]]:
    """Run a program to its end: return code and lines. RunError when it says nothing for `silence_s`."""
    said, lines = time.monotonic(), []
    with interruptible() as asked, Process(argv, cwd=cwd, stdin=stdin, log=log, threads=threads) as process:
        for line in process.lines():
            if asked:
                process.stop()
                raise KeyboardInterrupt
            if line is not None:
                said = time.monotonic()
                lines.append(line)
            elif time.monotonic() - said > silence_s:
                process.stop()
                raise RunError(f"printed nothing for {silence_s:g} s and was ended", where=argv[0])
    code = process.returncode
    return process.kill() if code is None else code, lines
