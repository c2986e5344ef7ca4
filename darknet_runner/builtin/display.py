"""How a run shows itself: a bar or lines on stderr, train.log, metrics.csv, chart.png."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from converters.errors import naming

from ..run import metrics_plot
from .data import Loader

if TYPE_CHECKING:
    from .train import Trainer

NAMES = {"map": "mAP", "top1": "top-1", "loss": "validation loss", "macro_f1": "macro-F1"}
CLASSIFIER_COLUMNS = ("epoch", "train_loss", "train_top1", "valid_loss", "top1", "macro_f1")


class Display:
    """Progress: a bar on a terminal, else a line now and then; train.log and metrics.csv in full; the chart."""

    def __init__(self, trainer: Trainer, loader: Loader):
        self.trainer, self.loader, self.last_metric = trainer, loader, None
        self.shown = self.began = time.perf_counter()
        self.start = trainer.progress.iteration

    def __enter__(self):
        trainer = self.trainer
        self.on = not trainer.rank
        self.bar = None
        if self.on and not trainer.job.quiet and sys.stderr.isatty():
            from tqdm import tqdm

            self.bar = tqdm(total=trainer.total, initial=self.start, unit="batch", dynamic_ncols=True, smoothing=0.05)
        self.log = open(trainer.job.run.log, "a", buffering=1) if self.on else None
        return self

    def __exit__(self, kind, *_):
        if self.bar:
            self.bar.close()
        if self.log:
            with suppress(OSError) if kind else naming(self.trainer.job.run.log):
                self.log.close()

    def batch(self, loss: float, found: dict[str, float] | None) -> None:
        """Tell of a batch: its loss, and what a validation after it found."""
        if not self.on:
            return
        trainer, progress, now = self.trainer, self.trainer.progress, time.perf_counter()
        seconds = now - self.began
        speed = (progress.iteration - self.start) * trainer.batch / seconds
        left = (trainer.total - progress.iteration) * trainer.batch / speed
        name, rate = NAMES[trainer.metric], trainer.rate(progress.iteration)
        if found is not None:
            self.last_metric = found[trainer.metric]
        shown = (
            ""
            if self.last_metric is None
            else f", {name} {self.told(self.last_metric)} (best {self.told(progress.best)})"
        )
        line = (
            f"{progress.iteration}/{trainer.total}: loss "
            f"{loss:.4f}, "
            "average "
            f"{progress.average:.4f}{shown}, "
            f"rate {rate:.6f}, "
            f"{speed:.1f} pictures/s, waiting {self.loader.waited / seconds:.0%}, {_clock(left)} left"
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
        if self.bar:
            fields = {"loss": f"{progress.average:.3f}"}
            if self.last_metric is not None:
                fields[name] = self.told(self.last_metric)
            self.bar.set_postfix(fields, refresh=False)
            self.bar.update()
        elif not trainer.job.quiet and (
            now - self.shown > 30 or found is not None or progress.iteration == trainer.total
        ):
            print(line, file=sys.stderr, flush=True)
            self.shown = now

    def told(self, value: float) -> str:
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
