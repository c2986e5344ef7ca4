"""What an engine says while it trains, and who hears it: engines call a Reporter, the caller chooses which.

engine.train(TrainJob(..., reporter=TerminalReporter()))
"""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

LINE_S = 30.0  # without a terminal: seconds between two lines


@dataclass(frozen=True)
class Step:
    """A batch that was trained."""

    iteration: int
    total: int  # iterations in all; 0 when the cfg does not say
    line: str  # everything about it, as train.log has it
    figures: dict[str, str] = field(default_factory=dict)  # the two or three that a bar has room for
    validated: bool = False  # a validation followed it


class Reporter:
    """Hears everything and says nothing."""

    def begin(self, name: str, start: int, total: int) -> None:
        """The training of run `name` begins after iteration `start`."""

    def step(self, step: Step) -> None:
        """A batch was trained."""

    def end(self) -> None:
        """No more batches will come."""

    def note(self, text: str) -> None:
        """Good to know."""

    def warn(self, text: str) -> None:
        """What must be known."""


class TerminalReporter(Reporter):
    """A bar on a terminal's stderr, else a line now and then; `quiet` leaves only warnings. A terminal that closes ends
    no training.
    """

    def __init__(self, quiet: bool = False):
        self.quiet, self.shown = quiet, 0.0
        self.bar: Any = None

    def begin(self, name: str, start: int, total: int) -> None:
        self.shown = time.monotonic()
        if not self.quiet and sys.stderr.isatty():
            from tqdm import tqdm

            self.bar = tqdm(
                total=total or None, initial=start, unit="batch", desc=name, dynamic_ncols=True, smoothing=0.05
            )

    def step(self, step: Step) -> None:
        with suppress(OSError):
            if self.bar is not None:
                self.bar.set_postfix(step.figures, refresh=False)
                self.bar.update(step.iteration - self.bar.n)
            elif not self.quiet and (
                step.validated or step.iteration == step.total or time.monotonic() - self.shown > LINE_S
            ):
                print(step.line, file=sys.stderr, flush=True)
                self.shown = time.monotonic()

    def end(self) -> None:
        with suppress(OSError):
            if self.bar is not None:
                self.bar.close()
        self.bar = None

    def note(self, text: str) -> None:
        if not self.quiet:
            self.warn(text)

    def warn(self, text: str) -> None:
        with suppress(OSError):
            print(text, file=sys.stderr, flush=True)
