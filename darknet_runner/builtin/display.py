"""What a run writes while it trains: train.log, metrics.csv, chart.png. The job's reporter hears of each batch."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

from converters.errors import naming

from ..reporting import Step
from ..run import metrics_plot
from .data import Loader

if TYPE_CHECKING:
    from .train import Trainer

NAMES = {"map": "mAP", "top1": "top-1", "loss": "validation loss", "macro_f1": "macro-F1"}
CLASSIFIER_COLUMNS = ("epoch", "train_loss", "train_top1", "valid_loss", "top1", "macro_f1")


class Display:
    """A context: `batch` after each batch, `redraw` for the chart. Only the first of several processes writes."""

    def __init__(self, trainer: Trainer, loader: Loader):
        self.trainer, self.loader = trainer, loader
        self.last_metric: float | None = None
        self.began = time.perf_counter()
        self.start = trainer.progress.iteration

    def __enter__(self):
        trainer = self.trainer
        self.on = not trainer.rank
        self.log = open(trainer.job.run.log, "a", buffering=1) if self.on else None
        if self.on:
            trainer.job.reporter.begin(trainer.job.run.path.name, self.start, trainer.total)
        return self

    def __exit__(self, kind, *_):
        if self.on:
            self.trainer.job.reporter.end()
        if self.log:
            with suppress(OSError) if kind else naming(self.trainer.job.run.log):
                self.log.close()

    def batch(self, loss: float, found: dict[str, float] | None) -> None:
        """Write down a batch: its loss, and what a validation after it found."""
        if not self.on:
            return
        trainer, progress = self.trainer, self.trainer.progress
        seconds = time.perf_counter() - self.began
        speed = (progress.iteration - self.start) * trainer.batch / seconds
        left = (trainer.total - progress.iteration) * trainer.batch / speed
        name, rate = NAMES[trainer.metric], trainer.rate(progress.iteration)
        if found is not None:
            self.last_metric = found[trainer.metric]
        shown = (
            ""
            if self.last_metric is None or progress.best is None
            else f", {name} {self.shown(self.last_metric)} (best {self.shown(progress.best)})"
        )
        line = (
            f"{progress.iteration}/{trainer.total}: loss {loss:.4f}, average {progress.average:.4f}{shown}, rate "
            f"{rate:.6f}, {speed:.1f} pictures/s, waiting {self.loader.waited / seconds:.0%}, {_clock(left)} left"
        )
        with naming(trainer.job.run.log):
            self.log.write(line + "\n")
        trainer.job.run.append_metrics(
            {
                "iteration": progress.iteration,
                "loss": f"{loss:.6g}",
                "avg_loss": f"{progress.average:.6g}",
                "rate": f"{rate:.6g}",
                "images": trainer.seen,
                "seconds": f"{seconds:.2f}",
                **self._measured(found),
            }
        )
        figures = {"loss": f"{progress.average:.3f}"}
        if self.last_metric is not None:
            figures[name] = self.shown(self.last_metric)
        trainer.job.reporter.step(Step(progress.iteration, trainer.total, line, figures, found is not None))

    def shown(self, value: float) -> str:
        return f"{value:.4f}" if self.trainer.metric == "loss" else f"{value:.1%}"

    def _measured(self, found):
        """The columns of a validation: a detector's map; a classifier's epoch, and loss and accuracy of both sides."""
        trainer = self.trainer
        if not trainer.data.is_classifier:
            return {"map": "" if found is None else f"{found['map']:.6f}"}
        if found is None:
            return dict.fromkeys(CLASSIFIER_COLUMNS, "")
        loss, right, count = trainer.progress.epoch_loss
        trainer.progress.epoch_loss = [0.0, 0, 0]
        epoch = trainer.seen / len(trainer.set)
        values = (epoch, loss / max(count, 1), right / max(count, 1), found["loss"], found["top1"], found["macro_f1"])
        return {key: f"{value:.6g}" for key, value in zip(CLASSIFIER_COLUMNS, values)}

    def redraw(self) -> None:
        run = self.trainer.job.run
        if self.on:
            metrics_plot.draw(metrics_plot.read_metrics(run.metrics), run.chart, run.path.name)


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
