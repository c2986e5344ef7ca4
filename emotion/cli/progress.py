"""How long it will take, on stderr: a bar on a terminal, else one line once it is clear that the work is long.

    with Progress(quiet) as advance: work(progress=advance)              # advance(done, total), or None when nobody is told
    for item in going_through(items, quiet, unit="pictures"): ...        # or around what is gone through

Nothing is said with `quiet`, nor of work that takes less than two seconds.
"""  # noqa: E501

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import click

T = TypeVar("T")
FIRST_S = 2.0  # no work below this is spoken of
LONG_S = 20.0  # without a terminal: only what takes this long is


class Progress:
    """A context that gives `advance(done, total, about)`; `total` is None when nobody knows, and may be an estimate."""

    def __init__(self, quiet: bool, unit: str = "frames"):
        self.quiet, self.unit = quiet, unit
        self.first: tuple[float, int] | None = (
            None  # when the first was told; what came before, models opened, is no rate
        )
        self.told = False
        self.bar: Any = None

    def __enter__(self) -> Callable[..., None] | None:
        return None if self.quiet else self.advance

    def advance(self, done: int, total: int | None, about: bool = False) -> None:
        now = time.monotonic()
        began, before = self.first = self.first or (now, done)
        spent = now - began
        if sys.stderr.isatty():
            self._draw(done, total, about)
        elif not self.told and total and done > before and spent > FIRST_S:
            left = spent / (done - before) * (total - done)
            if spent + left > LONG_S:
                self.told = True
                click.echo(f"emo: {'about ' * about}{total:,} {self.unit}, about {in_words(left)} to go", err=True)

    def _draw(self, done: int, total: int | None, about: bool) -> None:
        from tqdm import tqdm

        if self.bar is None:
            self.bar = tqdm(
                total=total,
                unit=f" {self.unit}" if self.unit != "B" else "B",
                unit_scale=self.unit == "B",
                file=sys.stderr,
                dynamic_ncols=True,
                leave=False,
                delay=FIRST_S,
                bar_format="{l_bar}{bar}| {n_fmt}/about {total_fmt} [{elapsed}<{remaining}, {rate_fmt}]"
                if about and total
                else None,
            )
        self.bar.total = total
        self.bar.update(done - self.bar.n)

    def __exit__(self, *error: object) -> None:
        if self.bar is not None:
            self.bar.close()


def going_through(
    items: Iterable[T],
    quiet: bool,
    total: int | None = None,
    unit: str = "pictures",
    size: Callable[[T], int] = lambda item: 1,
) -> Iterator[T]:
    """`items`, telling how far they are; `size(item)` is how many of `total` one counts for."""
    if total is None and hasattr(items, "__len__"):
        total = len(items)  # type: ignore[arg-type]
    done = 0
    with Progress(quiet, unit) as advance:
        if advance:
            advance(0, total)
        for item in items:
            yield item
            done += size(item)
            if advance:
                advance(done, total)


def around(quiet: bool, unit: str = "pictures") -> Callable[..., Iterator[Any]]:
    """`going_through` as the library asks for it: `progress(items, total=...)`."""
    return lambda items, total=None, **_: going_through(items, quiet, total, unit)


def in_words(seconds: float) -> str:
    """`40 seconds`, `3 minutes`, `2.5 hours`."""
    if seconds < 90:
        return f"{max(1, round(seconds))} seconds"
    if seconds < 5400:
        return f"{round(seconds / 60)} minutes"
    return f"{seconds / 3600:.1f} hours"
