"""Order, bounds and ends of work that overlaps; errors come where a plain loop would meet them."""

import threading
import time
from contextlib import closing

import pytest
from hypothesis import given, strategies as st

from emotion.overlap import ahead, batches, mapped


def failing(count):
    yield from range(count)
    raise ValueError("broke")


@given(st.integers(0, 30), st.integers(1, 4), st.integers(1, 5), st.integers(1, 4))
def test_everything_comes_once_and_in_order(count, held, workers, size):
    def late(batch):
        time.sleep(0.001 * (batch[0] % 3))
        return [-item for item in batch]

    out = [item for batch in mapped(late, batches(ahead(range(count), held), size), workers) for item in batch]
    assert out == [-item for item in range(count)]


@pytest.mark.parametrize(
    "wrap",
    [
        lambda items: ahead(items, 2),
        lambda items: mapped(int, items, 2),
        lambda items: mapped(int, items, 1, held=1),
        lambda items: (item for batch in batches(items, 4) for item in batch),
    ],
)
def test_an_error_of_the_source_comes_after_what_came_before_it(wrap):
    got = []
    with pytest.raises(ValueError, match="broke"):
        for item in wrap(failing(10)):
            got.append(item)
    assert got == list(range(10))


def test_an_error_of_the_work_comes_in_its_place():
    got = []
    with pytest.raises(ZeroDivisionError):
        for item in mapped(lambda item: item // (5 - item) and item, range(1, 100), 3):
            got.append(item)
    assert got == [0, 0, 3, 4]


def test_no_more_is_taken_than_may_be_held_and_the_source_is_closed_when_the_block_ends_early():
    taken, closed = [], threading.Event()

    def source():
        try:
            for item in range(1000):
                taken.append(item)
                yield item
        finally:
            closed.set()

    with closing(mapped(lambda item: item, ahead(source(), 2), 2)) as out:
        assert next(out) == 0
    assert closed.is_set() and len(taken) <= 2 + 2 + 3 + 1
    assert not any(thread.name.startswith("emo-") for thread in threading.enumerate())


def test_work_overlaps():
    """Three at a time: each waits until three are at work, which a loop would never see."""
    together = threading.Barrier(3, timeout=20)
    assert list(mapped(lambda item: together.wait() * 0 + item, range(6), 3, held=3)) == list(range(6))


def test_held_1_asks_for_no_item_before_the_last_one_is_given():
    asked = []

    def source():
        for item in range(3):
            asked.append(item)
            yield item

    for item in mapped(lambda item: item, source(), 1, held=1):
        assert asked == list(range(item + 1))
