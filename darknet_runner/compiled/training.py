"""One training with a binary: start, watch, end, judge; `run.json` has all of it.

An exit code of 0 proves nothing with these programs. Finished means: the last iteration was reached, the
final weights have the exact length, no list of bad files grew, and the loss is finite.
"""

from __future__ import annotations

import contextlib
import math
import os
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

from converters.darknet_format.files import DataFile, read_data, read_list
from converters.errors import EmoError, RunError, WeightsError

from ..engine import TrainJob, TrainResult
from ..network import cfg_file, layers, weights_file
from ..run import metrics_plot
from ..run.create_run import hashes
from ..run.folder import STEM, RunDir, now, sha256, write_text
from ..signals import interruptible
from . import command_line, saved_weights
from .binary import Binary, plain
from .linked_dataset import LinkedDataset, link_dataset
from .logs import SAVED, LogParser, Row
from .process import Process
from .row_sinks import RowSinks, fill
from .watchdog import SILENCE_S, Trouble, Watchdog

FINAL = (f"{STEM}_final.weights", f"{STEM}.weights")  # a detector's last file, and that of pjreddie's for a classifier
WRITING_S = 2.0  # a file of the wrong length that was changed so shortly ago may still be being written
RECOVERIES = 4  # times that --auto-recover doubles the subdivisions
FAILED_EVALUATION = "the validation after the run failed: {}"


@dataclass(frozen=True)
class BinarySettings:
    """What the compiled engine can be told beyond a TrainJob."""

    allow_broken_cpu: bool = False
    mjpeg_port: int | None = None
    auto_recover: bool = False
    tensorboard: bool = False
    silence_s: float = SILENCE_S
    min_free: int | None = None  # bytes; None: twice the weights


@dataclass
class Outcome:
    """How one start of the binary ended."""

    trouble: Trouble | None = None
    signal: str | None = None
    returncode: int | None = None
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Attempt:
    """One start of the binary, from iteration `at` on: what reads it, and what became of it."""

    at: int
    feed: LinkedDataset
    parser: LogParser
    watchdog: Watchdog
    rows: RowSinks
    outcome: Outcome
    asked: list[str]  # names of the signals that came


class Training:
    """The state of a training; `run()` does it."""

    def __init__(self, binary: Binary, job: TrainJob, settings: BinarySettings, evaluate=None):
        """`evaluate(cfg, data, weights)` validates after the run where the binary cannot while it trains."""
        self.binary, self.job, self.settings, self.evaluate = binary, job, settings, evaluate
        self.data: DataFile = read_data(job.data)
        self.last: Row | None = None
        self.best: float | None = None
        self._load_cfg()

    def _load_cfg(self):
        self.cfg = cfg_file.load(self.job.cfg)
        self.classifier = not self.cfg.is_detector
        self.expected = weights_file.weights_bytes(layers.trace(self.cfg))
        self.max_batches = self.cfg.net.integer("max_batches", 0)
        self.batch = self.cfg.net.integer("batch", 1)

    def run(self) -> TrainResult:
        """Train to the end or to a verdict; RunError when the run folder cannot be written."""
        try:
            return self._run()
        except OSError as error:
            fault = RunError(
                f"the run folder cannot be written: {error.strerror}",
                where=error.filename or self.job.run.path,
                mend="is the disk full?",
            )
            self.job.run.end("failed", str(fault))
            raise fault from None
        except EmoError as error:
            self.job.run.end("failed", str(error))
            raise

    def _run(self):
        run, began = self.job.run, time.time()
        run.write_json(
            engine="compiled",
            binary=self.binary.as_dict(),
            started=now(),
            verdict="running",
            hashes=hashes(self.job.cfg, self.data),
        )
        found = saved_weights.newest(run, self.expected) if self.job.resume else None
        if found and found[1] // self.batch >= self.max_batches:
            return self._finished_before(found)
        outcome = Outcome(Trouble("start", "it did not start"))
        for _ in range(RECOVERIES + 1):
            outcome = self._attempt(found)
            if not (
                outcome.trouble
                and outcome.trouble.code == "out-of-memory"
                and self.settings.auto_recover
                and self._halve()
            ):
                break
            found = saved_weights.newest(run, self.expected)
            self.job = replace(self.job, resume=found is not None)
        result = self._judge(outcome)
        run.write_json(
            verdict=result.verdict,
            reasons=list(result.reasons),
            notes=outcome.notes,
            returncode=outcome.returncode,
            iterations=result.iterations,
            max_batches=self.max_batches,
            loss=result.loss,
            best={"top1" if self.classifier else "map": self.best},
            ended=now(),
            seconds=round(time.time() - began, 3),
            weights=run.weights_hashes(),
        )
        return result

    def _finished_before(self, found):
        """The weights have reached max_batches already: these programs would write them again, or crash."""
        final = self.job.run.weights_file("final")
        if not final.exists():
            os.link(found[0], final)
        row = (metrics_plot.read_metrics(self.job.run.metrics) or [{}])[-1]
        self.job.run.write_json(
            verdict="finished", notes=[f"nothing to do: {found[0].name} is at iteration {found[1] // self.batch}"]
        )
        return TrainResult(
            self.job.run,
            "finished",
            found[1] // self.batch,
            float(row["avg_loss"]) if row.get("avg_loss") else None,
            None,
        )

    def _halve(self):
        """Twice the subdivisions in the run's cfg, half the pictures at once; False when they are one by one
        already.
        """
        subdivisions = self.cfg.net.integer("subdivisions", 1)
        if subdivisions * 2 > self.batch or self.batch % (subdivisions * 2):
            return False
        write_text(self.job.cfg, self.cfg.edit({0: {"subdivisions": subdivisions * 2}}).text)
        self._load_cfg()
        self.job.reporter.warn(f"emo: out of memory; going on with subdivisions={subdivisions * 2}")
        return True

    def options(self) -> command_line.TrainOptions:
        """What the flavour is asked for."""
        validates = self.job.evaluate and self.binary.flavour != "pjreddie" and self.data.valid is not None
        epochs = None
        if self.job.map_every and not self.classifier:
            count = len(read_list(self.data.list_of("train")))
            epochs = max(1, round(self.job.map_every * self.batch / max(1, count)))
        device = self.job.device.partition(":")[2]
        return command_line.TrainOptions(
            clear=self.job.clear and not self.job.resume,
            validate=validates,
            map_epochs=epochs,
            gpus=self.job.gpus or ((int(device),) if device else ()),
            mjpeg_port=self.settings.mjpeg_port,
        )

    def argv(self, start: str | None) -> list[str]:
        return command_line.train(
            self.binary,
            Path("feed/feed.data"),
            Path(self.job.cfg.name),
            Path(start) if start else None,
            self.options(),
            self.classifier,
        )

    def _attempt(self, found) -> Outcome:
        with contextlib.ExitStack() as listening:
            asked = listening.enter_context(
                interruptible()
            )  # from the first file on, so that whatever was begun ends with a verdict
            return self._watched(found, asked, listening.close)

    def _watched(self, found, asked, listen_no_more) -> Outcome:
        run = self.job.run
        splits = ("train", "valid") if self.data.valid is not None else ("train",)
        every = 100 if self.max_batches >= 1000 else max(1, self.max_batches // 10)
        more = {"savelast": every, "saveweights": max(1000, every * 10)} if self.binary.flavour == "alexeyab" else {}
        feed = link_dataset(run.path, self.data, splits, backup=run.weights.name, **more)
        begun_with = found[0] if found else self.job.pretrained
        if begun_with:
            os.symlink(os.path.abspath(begun_with), run.path / "feed" / "start.weights")
        at = found[1] // self.batch if found else 0
        argv = self.argv("feed/start.weights" if begun_with else None)
        run.write_json(
            darknet_argv=argv,
            cwd=str(run.path),
            resumed_at=at or None,
            started_from=begun_with and {"path": str(begun_with), "sha256": sha256(begun_with)},
        )
        if found:
            saved_weights.put_aside(run)
        rows = RowSinks(self.job, self.data.names, self.max_batches, at, self.settings.tensorboard, self.best)
        self.best = earlier = rows.best
        watchdog = Watchdog(run.path, self.expected, self.settings.silence_s, self.settings.min_free)
        attempt = Attempt(at, feed, LogParser(), watchdog, rows, Outcome(), asked)
        process = Process(
            argv, cwd=run.path, log=run.log, stdin=command_line.stdin_of(self.binary), threads=self.job.threads
        )
        run.write_json(
            environment={
                key: value for key, value in process.environment.items() if key.startswith(("OMP_", "CUDA", "OPENBLAS"))
            }
        )
        try:
            with process:
                self._read(process, attempt)
            listen_no_more()  # the validation that may follow is ended by Ctrl-C as anything else
            attempt.outcome.returncode = process.returncode
            self._after(attempt)
        finally:
            for row in attempt.parser.close():
                self._take(row, rows)
            saved_weights.put_back(run, improved=self.best != earlier)
            rows.close()
        return attempt.outcome

    def _read(self, process: Process, attempt: Attempt) -> None:
        """Lines -> rows, until the binary ends or must."""
        outcome, watchdog, at = attempt.outcome, attempt.watchdog, attempt.at
        saved: set[str] = set()  # told since the last row
        due: set[str] = set()  # to be checked
        first = True
        for line in process.lines():
            trouble = None
            if line is not None:
                line = plain(line)
                trouble = watchdog.line(line)
                if match := SAVED.search(line):
                    saved.add(match[1])
                    watchdog.all_saved = watchdog.all_saved or match[1].endswith(FINAL)
                for row in attempt.parser.feed(line):
                    if first and at and row.iteration > at + max(1, len(self.job.gpus)):
                        outcome.notes.append(f"resumed at iteration {row.iteration}, not {at + 1}")
                    first = False
                    self._take(row, attempt.rows)
                    trouble = trouble or watchdog.row(row)
                    due |= saved
                    saved = set()
            trouble = trouble or self._adopt(due)
            if trouble := trouble or watchdog.tick():
                outcome.trouble = replace(trouble, what=attempt.feed.told(trouble.what))
            if attempt.asked and not outcome.signal:
                outcome.signal = attempt.asked[0]
                if outcome.signal == "SIGINT":
                    self.job.reporter.note("\nemo: stopping; Ctrl-C again to stop at once")
            if outcome.trouble or outcome.signal:
                process.stop()

    def _take(self, row: Row, rows: RowSinks) -> None:
        rows.take(row)
        self.last, self.best = row, rows.best

    def _adopt(self, due: set[str]) -> Trouble | None:
        """Check and rename what the binary said it has saved before the last row: it is whole by then, unless the
        binary is writing it anew at that moment. What is still to be checked stays in `due`.
        """
        for name in sorted(due):
            path = self.job.run.path / name
            if not path.exists():
                return Trouble("not-saved", f"{name} was not written", "is the folder writable, the disk full?")
            try:
                saved_weights.rename_saved_weights(self.job.run, path, self.binary, self.classifier, self.expected)
                due.remove(name)
            except WeightsError as error:
                if time.time() - path.stat().st_mtime > WRITING_S:
                    return Trouble("disk-full", str(error))
        return None

    def _after(self, attempt: Attempt) -> None:
        """The binary has ended: its last files, its bad lists, and the validation that it could not do."""
        run, outcome = self.job.run, attempt.outcome
        for path in sorted(run.weights.glob("model*"), key=lambda path: path.stat().st_mtime_ns):
            if path.stat().st_size == self.expected:
                saved_weights.rename_saved_weights(run, path, self.binary, self.classifier, self.expected)
            else:
                outcome.notes.append(f"{path.name} has {path.stat().st_size:,} bytes instead of {self.expected:,}")
        late = attempt.watchdog.late
        outcome.notes += [f"after everything was saved it printed: {line[:160]}" for line in late]
        listed = attempt.watchdog.lists()
        if listed and not outcome.trouble:
            outcome.trouble = replace(listed, what=attempt.feed.told(listed.what))
        final, last = run.weights_file("final"), attempt.parser.last
        whole = final.exists() and final.stat().st_size == self.expected
        if (
            self.job.evaluate
            and self.evaluate
            and whole
            and last
            and not (outcome.trouble or outcome.signal)
            and self.data.valid is not None
        ):
            if last.map is None and last.top1 is None:
                try:
                    fill(last, self.evaluate(self.job.cfg, self.job.data, final))
                except RunError as error:
                    outcome.notes.append(FAILED_EVALUATION.format(error))

    def _judge(self, outcome: Outcome) -> TrainResult:
        run, row = self.job.run, self.last
        reached = row.iteration if row else 0
        final = run.weights_file("final")
        reasons = [str(outcome.trouble)] if outcome.trouble else []
        if outcome.signal:
            kept = saved_weights.newest(run, self.expected)
            where = f"{kept[0].name} at iteration {kept[1] // self.batch}" if kept else "no weights were saved yet"
            return TrainResult(
                run,
                "interrupted",
                reached,
                row.avg_loss if row else None,
                self.best,
                (f"{outcome.signal} at iteration {reached}; {where}",),
            )
        if not row:
            reasons.append(f"it trained nothing (exit code {outcome.returncode}): {self._last_words()}")
        elif reached < self.max_batches:
            reasons.append(
                f"it ended at iteration {reached} of {self.max_batches} (exit code {outcome.returncode}): "
                f"{self._last_words()}"
            )
        if row and not math.isfinite(row.loss):
            reasons.append(f"the last loss is {row.loss}")
        if not final.exists():
            reasons.append("there are no final weights")
        elif final.stat().st_size != self.expected:
            reasons.append(f"{final.name} has {final.stat().st_size:,} bytes instead of {self.expected:,}")
        elif not finite_weights(final):
            reasons.append(f"{final.name} holds values that are not finite numbers")
        if outcome.returncode and not reasons:
            outcome.notes.append(f"exit code {outcome.returncode} after everything was saved")
        return TrainResult(
            run, "failed" if reasons else "finished", reached, row.avg_loss if row else None, self.best, tuple(reasons)
        )

    def _last_words(self):
        try:
            with open(self.job.run.log, "rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - 2000))
                said = [line.strip() for line in file.read().decode("utf-8", "replace").splitlines() if line.strip()]
        except OSError:
            said = []
        return f"'{said[-1][:160]}'" if said else "it printed nothing"


def finite_weights(path: Path) -> bool:
    """Whether every value is a finite number, read in pieces."""
    import numpy as np

    _, _, offset = weights_file.header_bytes(path)
    values = np.memmap(path, "<f4", "r", offset=offset)
    return all(bool(np.isfinite(values[start : start + (1 << 22)]).all()) for start in range(0, len(values), 1 << 22))


def state(run: RunDir) -> dict:
    """run.json, or an empty dict when it was never written."""
    return run.read_json() if (run.path / "run.json").exists() else {}
