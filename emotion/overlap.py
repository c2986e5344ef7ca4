"""Work that overlaps, order kept and few items held: items come in, they or what a function makes of them go out.

    frames = ahead(video, 2)                          # decoded in a thread
    found = ahead(each(detect, frames), 1)            # detected in another
    for done in mapped(write, found, workers=2):      # written by two: OpenCV, too, lets go of the interpreter

Threads end with the block that goes through the items; close the generators (`contextlib.closing`) where it can break
off.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def ahead(items: Iterable[T], held: int) -> Iterator[T]:
    """`items`, taken in a thread up to `held` + 1 before they are asked for.

    An error comes after the items before it.
    """
    waiting: queue.Queue = queue.Queue(held)
    stop, source = threading.Event(), iter(items)

    def take():
        end: tuple = ()
        try:
            for item in source:
                waiting.put((item,))
                if stop.is_set():
                    break
                del item  # nobody's any more while the next one is made
        except BaseException as error:  # whatever it is, it is told where the items are asked for
            end = (None, error)
        finally:
            if stop.is_set() and hasattr(source, "close"):
                source.close()
            waiting.put(end)

    thread = threading.Thread(target=take, name="emo-ahead", daemon=True)
    thread.start()
    try:
        while len(got := waiting.get()) == 1:
            (item,), got = got, None
            yield item
            del item
        if got:
            raise got[1]
    finally:
        stop.set()
        while thread.is_alive():
            try:
                waiting.get(timeout=0.05)  # room for what it wants to put
            except queue.Empty:
                pass
        thread.join()


def mapped(function: Callable[[T], R], items: Iterable[T], workers: int, held: int | None = None) -> Generator[R]:
    """`function` of each item, in order, by `workers` threads; at most `held` items (default workers + 1) are begun and
    not given.

    An error of `items` comes after the results before it, one of `function` in its item's place. With `held` 1 each
    result is given before the next item is asked for.
    """
    pending: deque = deque()
    failure: Exception | None = None
    items = iter(items)
    with ThreadPoolExecutor(workers, thread_name_prefix="emo-work") as pool:
        try:
            while failure is None or pending:
                if failure is None and len(pending) < (held or workers + 1):
                    try:
                        pending.append(pool.submit(function, next(items)))
                    except Exception as error:  # StopIteration too
                        failure = error
                    continue
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
            if hasattr(items, "close"):
                items.close()
    if not isinstance(failure, StopIteration):
        raise failure


def each(function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """`function` of each item, as they are asked for: `map`, but closing it closes `items`."""
    source = iter(items)
    try:
        for item in source:
            yield function(item)
            del item  # nobody's any more while the next one is made
    finally:
        if hasattr(source, "close"):
            source.close()


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of `size` items, the last one shorter. An error comes after the items before it."""
    failure: Exception | None = None
    items = iter(items)
    try:
        while failure is None:
            batch: list[T] = []
            try:
                for item in islice(items, size):
                    batch.append(item)
                    del item
                failure = StopIteration() if len(batch) < size else None
            except Exception as error:
                failure = error
            if batch:
                yield batch
            del batch
    finally:
        if hasattr(items, "close"):
            items.close()
    if not isinstance(failure, StopIteration):
        raise failure
