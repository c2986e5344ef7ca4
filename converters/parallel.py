"""One ordered map over chunks: in this process, in local processes (joblib's loky), or on a Dask cluster.

The function gets one chunk and gives one result; what it writes must be the same however often it
runs, because a chunk whose worker dies is run again. No worker outlives its parent: when the map is interrupted its
chunk ends as by Ctrl-C, so that no file stays half written, and it ends by itself when the parent has gone without a
word.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import wait
from contextlib import contextmanager, suppress

from .errors import EmoError, MissingExtra, RunError
from .terminal_text import redacted

GRACE_S = 10.0  # for chunks that are interrupted, until their workers are killed
ATTEMPTS = 4  # runs of a chunk before a dying worker is taken for the chunk's fault


def chunked_map(function: Callable, chunks: Sequence, jobs: int = 1, cluster: str | None = None) -> Generator:
    """Results of `function(chunk)`, in the chunks' order. RunError when workers keep dying.

    `cluster` is a Dask scheduler's address; its workers must see the same files under the same paths.
    """
    if cluster:
        yield from _on_cluster(function, chunks, cluster)
    elif jobs > 1 and len(chunks) > 1:
        yield from _in_processes(function, chunks, min(jobs, len(chunks)))
    else:
        yield from map(function, chunks)


def _in_processes(function, chunks, jobs):
    from multiprocessing import resource_tracker

    from joblib.externals.loky import get_reusable_executor
    from joblib.externals.loky.backend.resource_tracker import ensure_running
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    done, deaths = 0, 0
    # Where loky's and Python's own book-keepers are started along with the workers they let SIGINT through to them; a
    # SIGHUP to the whole group would end them, and those that are started in their place complain of all that they do
    # not know, as they do of what a signal left them to tidy up: nobody is to read that.
    with _waits("SIGINT", "SIGHUP"), _without_warnings():
        ensure_running()
        resource_tracker.ensure_running()
    while done < len(chunks):
        with _waits("SIGINT"):
            executor = get_reusable_executor(max_workers=jobs, initializer=_live_with, initargs=(os.getpid(),))
        waiting, ahead = deque(), iter(chunks[done:])
        try:
            while True:
                for chunk in ahead:
                    with _waits("SIGINT"):  # here workers are started
                        waiting.append(executor.submit(_work, function, chunk))
                    if len(waiting) >= 2 * jobs:
                        break
                if not waiting:
                    break
                if isinstance(waiting[0].exception(), KeyboardInterrupt):  # somebody ended the worker, not this process
                    raise TerminatedWorkerError
                result = waiting[0].result()
                waiting.popleft()
                done += 1
                yield result
        except TerminatedWorkerError:
            deaths += 1
            if deaths >= ATTEMPTS:
                raise RunError(
                    f"worker processes were killed {deaths} times", mend="out of memory? try a smaller --jobs"
                ) from None
        finally:
            try:
                _interrupt(executor, waiting)
            finally:
                executor.shutdown(wait=True, kill_workers=True)


@contextmanager
def _waits(*signals: str) -> Iterator[None]:
    """Processes that are started within never get the signals, not even while they import; this one gets them
    afterwards.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {getattr(signal, name) for name in signals})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Pythons that are started within show no warnings."""
    before = os.environ.get("PYTHONWARNINGS")
    os.environ["PYTHONWARNINGS"] = "ignore"
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONWARNINGS"]
        else:
            os.environ["PYTHONWARNINGS"] = before


def _interrupt(executor, futures) -> None:
    """End what the workers are at, as Ctrl-C does, and wait for it."""
    if not any(future.running() for future in futures):
        return
    for pid in list(executor._processes or ()):
        with suppress(OSError):
            os.kill(pid, signal.SIGTERM)
    wait([future for future in futures if not future.cancel()], GRACE_S)


_at_work = _asked_to_end = False  # in a worker


def _live_with(parent: int) -> None:
    """In a worker: Ctrl-C is the parent's matter; SIGTERM, the parent's or another's, ends the chunk, and all that
    come after it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end_chunk)
    end_with_parent(parent)


def _end_chunk(number: int, frame) -> None:
    global _asked_to_end
    first, _asked_to_end = not _asked_to_end, True
    if _at_work and first:
        raise KeyboardInterrupt


def _work(function, chunk):
    """In a worker: the function's result."""
    global _at_work
    _at_work = True
    try:
        if _asked_to_end:
            raise KeyboardInterrupt
        return function(chunk)
    finally:
        _at_work = False


_watched: set[int] = set()


def end_with_parent(parent: int) -> None:
    """In a worker process: from now on it ends, whatever it is at, within a second of its parent process.

    A killed parent closes nothing and joins nothing, and a worker that waits for the next chunk would wait for ever.
    """
    if os.getpid() in _watched:
        return
    _watched.add(os.getpid())

    def watch():
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, name="emo-parent", daemon=True).start()


def _on_cluster(function, chunks, address):
    try:
        from distributed import Client, as_completed
        from distributed.scheduler import KilledWorker
    except ImportError:
        raise MissingExtra("dask[distributed]", "cluster", "--cluster") from None
    try:
        client = Client(address, timeout="10s")
    except (OSError, ValueError, TypeError) as error:
        said = str(error).replace(
            address.partition("://")[2] or address, redacted(address).partition("://")[2]
        )  # it quotes the address without its scheme
        raise RunError(
            f"no Dask scheduler answers at {address}: {said[:120] or type(error).__name__}",
            mend="start one with `dask scheduler`",
        ) from None
    with client:
        futures = client.map(function, chunks, pure=False, retries=ATTEMPTS)
        try:
            waiting, done = {}, 0
            place = {future.key: index for index, future in enumerate(futures)}
            for future, result in as_completed(futures, with_results=True):
                waiting[place[future.key]] = result
                while done in waiting:
                    yield waiting.pop(done)
                    done += 1
        except KilledWorker as error:
            raise RunError(f"the cluster's workers died on one chunk again and again: {error}") from None
        except EmoError:
            raise
        finally:
            client.cancel(futures)
