"""Epochs, images and batch size <-> Darknet's batches: max_batches, steps, burn_in.

plan(images=283_901, batch=64, max_batches=400_000).epochs     # 90.2
plan(images=283_901, batch=64, epochs=90).max_batches          # 399_236
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from converters.errors import UsageError


@dataclass(frozen=True)
class Schedule:
    """A training's length: `max_batches` weight updates over `images` pictures, `batch` at a time."""

    images: int
    batch: int
    max_batches: int

    @property
    def epochs(self) -> float:
        return self.max_batches * self.batch / self.images

    @property
    def steps(self) -> tuple[int, int]:
        """Where the learning rate falls to a tenth, twice: at 80% and 90% of the batches, as in AlexeyAB's README."""
        return self.max_batches * 8 // 10, self.max_batches * 9 // 10

    @property
    def burn_in(self) -> int:
        """Warm-up batches: Darknet's usual 1000, at most a tenth of all."""
        return min(1000, self.max_batches // 10)

    @property
    def net(self) -> dict[str, object]:
        """The [net] options, as `templates.render(net=...)` and a cfg take them."""
        return {
            "batch": self.batch,
            "burn_in": self.burn_in,
            "max_batches": self.max_batches,
            "policy": "steps",
            "steps": "{},{}".format(*self.steps),
            "scales": ".1,.1",
        }


def plan(
    images: int, batch: int, *, epochs: float | None = None, max_batches: int | None = None, round_to: int = 1
) -> Schedule:
    """From epochs or from max_batches, one of which is given; batches are rounded up to a multiple of `round_to`."""
    if epochs is not None and max_batches is None:
        above, exact = epochs > 0, epochs * images / max(batch, 1)
    elif max_batches is not None and epochs is None:
        above, exact = max_batches > 0, max_batches
    else:
        raise UsageError("give either epochs or max_batches")
    if not above or min(images, batch, round_to) < 1:
        raise UsageError("images, batch, epochs and max_batches must be above 0")
    exact = math.ceil(round(exact, 6))
    return Schedule(images, batch, math.ceil(exact / round_to) * round_to)
