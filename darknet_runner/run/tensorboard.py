"""Rows of a training -> TensorBoard event files, with the `tensorboard` package alone (no TensorFlow, no PyTorch)."""

from __future__ import annotations

import math
import time
from importlib.util import find_spec
from pathlib import Path

from converters.errors import MissingExtra

from . import metrics_plot
from .folder import RunDir


class TensorBoardWriter:
    """Scalars under runs/<run>/tensorboard; `tensorboard --logdir runs` shows them.

    MissingExtra without the package.
    """

    @staticmethod
    def need() -> None:
        """MissingExtra when the package is not installed."""
        if find_spec("tensorboard") is None:
            raise MissingExtra("tensorboard", "tensorboard", "--tensorboard")

    def __init__(self, folder: Path):
        self.need()
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._event, self._summary, self._writer = Event, Summary, EventFileWriter(str(folder))

    def add(self, row: dict) -> None:
        """Every number of the row but the iteration, as a scalar at that iteration."""
        values = [
            self._summary.Value(tag=key, simple_value=float(value))
            for key, value in row.items()
            if key != "iteration" and isinstance(value, (int, float)) and math.isfinite(value)
        ]
        self._writer.add_event(
            self._event(wall_time=time.time(), step=int(row["iteration"]), summary=self._summary(value=values))
        )

    def close(self) -> None:
        self._writer.close()


def from_metrics(run: RunDir) -> Path:
    """The events of a whole run, from its metrics.csv; their folder."""
    folder = run.path / "tensorboard"
    board = TensorBoardWriter(folder)
    for row in metrics_plot.read_metrics(run.metrics):
        board.add({key: _number(value) for key, value in row.items()})
    board.close()
    return folder


def _number(text):
    try:
        return float(text)
    except (TypeError, ValueError):
        return None
