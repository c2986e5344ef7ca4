"""Rows of a training -> TensorBoard event files, with the `tensorboard` package alone (no TensorFlow, no PyTorch)."""

from __future__ import annotations

import math
import time
from pathlib import Path

from converters.errors import MissingExtra


class Board:
    """Scalars under runs/<run>/tensorboard; `tensorboard --logdir runs` shows them. MissingExtra without the package."""

    def __init__(self, folder: Path):
        try:
            from tensorboard.compat.proto.event_pb2 import Event
            from tensorboard.compat.proto.summary_pb2 import Summary
            from tensorboard.summary.writer.event_file_writer import EventFileWriter
        except ImportError:
            raise MissingExtra("tensorboard", "tensorboard", "--tensorboard") from None
        self._event, self._summary, self._writer = Event, Summary, EventFileWriter(str(folder))

    def add(self, row: dict) -> None:
        """Every number of the row but the iteration, as a scalar at that iteration."""
        values = [
            self._summary.Value(tag=key, simple_value=float(value))
            for key, value in row.items()
            if key != "iteration" and isinstance(value, (int, float)) and math.isfinite(value)
        ]
        self._writer.add_event(self._event(wall_time=time.time(), step=int(row["iteration"]), summary=self._summary(value=values)))

    def close(self) -> None:
        self._writer.close()
