"""Rows of a binary's log -> metrics.csv, TensorBoard, the terminal, chart.png.

rows = RowSinks(job, names, total=4000, start=0); rows.take(row); rows.best; rows.close()
"""

from __future__ import annotations

import csv
import time

from ..engine import TrainJob
from ..reporting import Reporter, Step
from ..run import metrics_plot
from ..run.folder import RunDir, write_text
from .logs import COLUMNS, Row

CHART_S = 30.0  # between two drawings of the chart


class RowSinks:
    """All of them; `best` is the best score of these rows, of those of an earlier start, and the one that is given."""

    def __init__(
        self,
        job: TrainJob,
        names: tuple[str, ...],
        total: int,
        start: int,
        tensorboard: bool = False,
        best: float | None = None,
    ):
        self.metrics = Metrics(job.run, names, start)
        self.best = max([*self.metrics.scores(), *([] if best is None else [best])], default=None)
        self.board = None
        if tensorboard:
            from ..run.tensorboard import TensorBoardWriter

            self.board = TensorBoardWriter(job.run.path / "tensorboard")
        self.progress = Progress(job.run, total, start, job.reporter)

    def take(self, row: Row) -> None:
        score = row.map if row.map is not None else row.top1
        if score is not None and (self.best is None or score > self.best):
            self.best = score
        out = self.metrics.add(row)
        if self.board:
            self.board.add(out)
        self.progress.show(row, self.best, self.metrics.rows)

    def close(self) -> None:
        self.metrics.close()
        if self.board:
            self.board.close()
        self.progress.close(self.metrics.rows)


class Metrics:
    """metrics.csv of a run, with a column for every class; goes on in the file of an earlier start."""

    def __init__(self, run: RunDir, names: tuple[str, ...], start: int):
        self.path, self.names = run.metrics, names
        run.trim_metrics(start)
        kept = metrics_plot.read_metrics(run.metrics) if start else []
        columns = [*COLUMNS, *(f"ap_{name}" for name in names)]
        self.columns = columns + [key for key in (kept[0] if kept else ()) if key not in columns]
        self.rows: list[dict] = kept
        write_text(self.path, ",".join(self.columns) + "\n")
        self._file = open(self.path, "a", newline="")
        self._writer = csv.DictWriter(self._file, self.columns, lineterminator="\n")
        self._writer.writerows(kept)
        self._file.flush()

    def add(self, row: Row) -> dict:
        out = row.as_dict(self.names)
        self.rows.append(out)
        self._writer.writerow(out)
        self._file.flush()
        return out

    def scores(self) -> list[float]:
        """mAP or top-1 of every validation so far."""
        return [float(score) for row in self.rows if (score := row.get("map") or row.get("top1"))]

    def close(self) -> None:
        self._file.close()


class Progress:
    """Each row goes to the job's reporter, and chart.png is drawn again from time to time."""

    def __init__(self, run: RunDir, total: int, start: int, reporter: Reporter):
        self.run, self.total, self.reporter = run, total, reporter
        self._drawn, self._cost = time.monotonic(), 0.0
        reporter.begin(run.path.name, start, total)

    def show(self, row: Row, best: float | None, rows: list[dict]) -> None:
        figures = {"loss": f"{row.avg_loss:.4g}"} | ({"best": f"{best:.1%}"} if best is not None else {})
        line = f"{row.iteration}/{self.total}: average loss {row.avg_loss:.4f}" + (
            f", best {figures['best']}" if best is not None else ""
        )
        validated = row.map is not None or row.top1 is not None
        self.reporter.step(Step(row.iteration, self.total, line, figures, validated))
        now = time.monotonic()
        if now - self._drawn > max(CHART_S, 20 * self._cost):
            self.draw(rows)
            self._drawn, self._cost = time.monotonic(), time.monotonic() - now

    def draw(self, rows: list[dict]) -> None:
        metrics_plot.draw(rows, self.run.chart, self.run.path.name)

    def close(self, rows: list[dict]) -> None:
        self.reporter.end()
        self.draw(rows)


def fill(row: Row, scores: dict) -> None:
    """Put an `evaluate` result into a row."""
    if "map" in scores:
        row.map, row.precision, row.recall = scores["map_darknet"], scores.get("precision"), scores.get("recall")
        row.ap = {name: value for name, value in scores["ap"].items() if value is not None}
    else:
        row.top1 = scores["top1"]
        row.k, row.topk = next(
            ((int(key[3:]), value) for key, value in scores.items() if key.startswith("top") and key != "top1"),
            (None, None),
        )
