"""The built-in trainer: a run cfg and a `.data` file -> weights that any Darknet reads.

Darknet's semantics (src/network.c, src/detector.c): gradients are summed over `subdivisions` micro-batches
and divided by `batch`; momentum and weight decay act as in update_convolutional_layer, decay on weights
only; `seen` counts pictures and makes the iteration.

Several processes (torchrun) share the micro-batches of every batch: rank r of n takes r, r + n, ...; the
sum of their gradients is the one that a single process gets from the same batch.
"""

from __future__ import annotations

import math
import os
import signal
import time
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import cast

import numpy as np
import torch
from torch import distributed

from converters.darknet_format.files import read_data
from converters.errors import RunError, UsageError

from ..engine import TrainJob, TrainResult, exploded
from ..network import cfg_file, weights_file
from ..network.templates import classes_of
from ..reporting import Reporter
from ..signals import STOPS
from . import checkpoint
from .augment import Options
from .batch_augment import middle, standardised
from .checkpoint import Progress
from .data import Loader, TrainSet
from .device import keep_freed_memory, pick_device
from .display import Display
from .evaluate import classifier_figures, evaluate_classifier, evaluate_detector
from .heads import head_of
from .loss import classifier_loss
from .network import Network
from .optimizers import make_optimizer
from .pictures import BatchLoader, PictureSet
from .rate import Schedule

SAVE_LAST, SAVE_NUMBERED = 100, 1000  # batches; src/detector.c
VALIDATED = 256  # a classifier's pictures in one pass
SIZE_HOLD = 10  # batches between size changes with random=1
HEARD_S = 1.0  # after a worker has ended: within it a stop that was sent to all is heard here too
MOST_BOXES = 300  # a picture, when validating while training; early networks see faces everywhere


class Trainer:
    """One run. `train` does it all; the parts are methods so that tests can take single steps."""

    def __init__(self, job: TrainJob):
        self.job, self.cfg, self.data, self.recipe = job, cfg_file.load(job.cfg), read_data(job.data), job.recipe
        self.world, self.rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
        net = self.cfg.net
        self.batch, self.parts = net.integer("batch", 1), net.integer("subdivisions", 1)
        self.total = net.integer("max_batches", 0)
        self._check()
        self.device = pick_device(job.device)
        if self.device.type == "cpu":
            keep_freed_memory()
        if job.threads:
            torch.set_num_threads(job.threads)
        torch.manual_seed(job.seed)
        self.network = Network(self.cfg, job.recipe.freeze_until).to(self.device, memory_format=torch.channels_last)
        self.heads = [head_of(layer.section) for layer in self.network.heads]
        self.optimizer = make_optimizer(self.network, net, self.recipe)
        self.network.freezing.govern(self.optimizer)
        self.progress = Progress()
        self.ema: dict[str, torch.Tensor] = {}
        known = len(self.network.layers)  # layers that do not begin at random
        if job.resume:
            checkpoint.resume(self)
        else:
            known = self._begin()
        if (frozen := self.network.freezing.frozen) and not self.rank:
            how = (
                ""
                if known >= frozen
                else " at their random start, only --pretrained changes that"
                if not known
                else f", those from {known} on at their random start"
            )
            job.reporter.note(f"emo: layers 0 to {frozen - 1} are frozen{how}")
        if self.recipe.ema and not self.ema:
            self.ema = {name: value.clone() for name, value in self.network.state_dict().items()}
        self.set = self._pictures("train")
        self.valid = (
            self._pictures("valid") if self.by_recipe and job.evaluate and self.data.valid is not None else None
        )
        epoch = len(self.set) / self.batch
        self.every = job.map_every or max(1 if self.by_recipe else 100, math.ceil(epoch))
        self.schedule = Schedule(net, self.recipe, epoch, self.total)
        for batch in (1, self.total):
            self.schedule(batch)  # a policy that is not known is not a fault of the first batch
        self.metric = self.recipe.monitors or ("top1" if self.data.is_classifier else "map")
        self.stop = None  # the signal that asked us to

    def _check(self):
        where = self.cfg.path
        if self.batch < 1 or self.parts < 1 or self.batch % self.parts:
            raise RunError(f"batch = {self.batch} cannot be cut into subdivisions = {self.parts}", where=where)
        if self.parts % self.world:
            raise RunError(
                f"subdivisions = {self.parts} cannot be shared by {self.world} processes",
                where=where,
                mend="make it a multiple of them",
            )
        if self.total < 1:
            raise RunError("max_batches is not set", where=where, mend="give --iterations")
        if self.data.is_classifier == self.cfg.is_detector:
            kinds = ("a detector's", "a classifier's")
            raise RunError(
                f"is {kinds[self.data.is_classifier]} data, but the cfg is {kinds[not self.cfg.is_detector]}",
                where=self.data.path,
                mend="emo convert --task makes the other form",
            )
        if classes_of(self.cfg) != self.data.classes:
            raise RunError(
                f"the cfg has {classes_of(self.cfg)} classes, {self.data.path} has {self.data.classes}",
                where=where,
                mend="render the cfg for this data",
            )
        if self.by_recipe and not self.data.is_classifier:
            raise UsageError(
                f"recipe {self.recipe.name} changes a classifier's pictures; a detector's are changed as its cfg says",
                mend="use --set augment=cfg",
            )
        if (self.recipe.monitor == "map") == self.data.is_classifier and self.recipe.monitor:
            raise UsageError(
                f"monitor = {self.recipe.monitor} is not measured on a "
                f"{'classifier' if self.data.is_classifier else 'detector'}"
            )

    @property
    def by_recipe(self) -> bool:
        """Whether the recipe, not the cfg, says how pictures are changed: then they are held as arrays and changed
        by the batch.
        """
        return self.recipe.augment == "recipe"

    def _pictures(self, split):
        channels, cache = self.cfg.net.integer("channels", 3), self.job.cache_bytes
        if self.by_recipe:
            return PictureSet.of(self.data, split, channels, self.job.preprocessing.before_cut(self.cfg.size_wh), cache)
        return TrainSet(self.data, channels, Options.of(self.cfg), split, cache_bytes=cache)

    def _begin(self) -> int:
        """New heads at the prior objectness (RetinaNet's remedy, arXiv:1708.02002, 4.1); then the pretrained
        layers, whose number it gives.
        """
        if not 0 < self.job.prior < 1:
            raise UsageError(f"--prior {self.job.prior} is not a probability between 0 and 1")
        with torch.no_grad():
            for layer, head in zip(self.network.heads, self.heads):
                if layer.type == "yolo":
                    bias = self.network.stack[layer.index - 1].bias
                    bias.view(-1, 5 + head.classes)[:, 4] = math.log(self.job.prior / (1 - self.job.prior))
        if not self.job.pretrained:
            return 0
        pretrained = weights_file.read(self.cfg, self.job.pretrained, prefix=True)
        self.network.load(pretrained)
        return len(pretrained.layers)

    # --- what is saved ---------------------------------------------------------------------------------

    @property
    def seen(self) -> int:
        return self.progress.iteration * self.batch

    @property
    def state_file(self):
        return self.job.run.weights / "state.pt"

    @contextmanager
    def averaged(self):
        """Within it the network has the averaged weights, if there are any."""
        if not self.ema:
            yield
            return
        raw = {name: value.clone() for name, value in self.network.state_dict().items()}
        self.network.load_state_dict(self.ema)
        try:
            yield
        finally:
            self.network.load_state_dict(raw)

    def save(self, *tags) -> None:
        """Write the weights under each tag, and with `last` what resuming needs beside them."""
        checkpoint.save(self, *tags)

    # --- a batch ---------------------------------------------------------------------------------------

    def size_of(self, iteration: int) -> tuple[int, int]:
        """The input size of a batch: the cfg's, or with random=1 another every ten batches (src/detector.c)."""
        width, height = self.cfg.size_wh
        spread = self.network.heads[-1].section.number("random", 0) if self.network.heads else 0
        if not spread:
            return width, height
        spread = 1.4 if spread == 1 else spread
        draw = np.random.default_rng((self.job.seed, iteration // SIZE_HOLD, 104729)).uniform(1 / spread, spread)
        width, height = (max(32, round(draw * side / 32 + 0.5) * 32) for side in (width, height))
        return width, height

    def plan(self, number: int):
        """Micro-batch `number` of the run: its first sample, how many, and their size."""
        count = self.batch // self.parts
        return number * count, count, self.size_of(number // self.parts)

    def forward_backward(self, pictures: np.ndarray, targets: list[np.ndarray]) -> float:
        """One micro-batch: adds its share to the gradients, returns Darknet's cost of it, over the batch.

        pictures  (B, H, W, C) uint8 with a list of B targets, or a BatchLoader's (B, C, H, W) float with (B, K) targets
        """
        tensor = pictures
        if isinstance(pictures, np.ndarray):
            tensor = torch.from_numpy(pictures).to(self.device, non_blocking=True).permute(0, 3, 1, 2).float() / 255
        tensor = tensor.contiguous(memory_format=torch.channels_last)
        size_wh = (tensor.shape[3], tensor.shape[2])
        with self.autocast():
            raw = self.network(tensor)
        self.tensor = tensor
        if self.data.is_classifier:
            targets = (
                targets if isinstance(targets, torch.Tensor) else torch.from_numpy(np.stack(targets)).to(self.device)
            )
            cost = classifier_loss(raw[0], targets, self.temperature)
            (cost / self.batch).backward()
            self._count(cost, raw[0], targets)
            return float(cost.detach()) / self.batch
        rows = [
            np.column_stack([np.full(len(label), index), label[:, 1:], label[:, 0]])
            for index, label in enumerate(targets)
        ]
        truths = torch.from_numpy(np.concatenate(rows)).float().to(self.device)
        deltas, cost = [], 0.0
        for layer, head, tensor in zip(self.network.heads, self.heads, raw):
            if self.network.freezing.rules[layer.index].only_forward:
                deltas.append(torch.zeros_like(tensor))
                continue
            delta, part, _ = head.delta(tensor.detach().float(), truths, size_wh, self.seen)
            deltas.append((delta / -self.batch).to(tensor.dtype))
            cost += part / len(self.heads)  # src/network.c, get_network_cost: the mean over the heads
        torch.autograd.backward(raw, deltas)
        return cost / self.batch

    def autocast(self):
        """bfloat16 where it was asked for: half of the time, on GPUs and on CPUs that have it."""
        return torch.autocast(self.device.type, torch.bfloat16) if self.job.amp else nullcontext()

    @property
    def temperature(self) -> float:
        section = next((layer.section for layer in self.network.layers if layer.type == "softmax"), None)
        return section.number("temperature", 1) if section else 1.0

    def _count(self, cost, logits, targets):
        """Loss and accuracy of the training pictures as they were changed, since the last validation."""
        seen = self.progress.epoch_loss
        seen[0] += float(cost.detach())
        seen[1] += int((logits.detach().argmax(1) == targets.argmax(1)).sum())
        seen[2] += len(targets)

    def step(self, batches) -> float:
        """One batch from the iterator of micro-batches: gradients, update; returns its loss."""
        self.network.train()
        self.network.iteration = self.progress.iteration
        self.optimizer.zero_grad(set_to_none=True)
        torch.manual_seed(self.job.seed * 1_000_003 + self.progress.iteration * self.world + self.rank)  # dropout
        loss = sum(self.forward_backward(*next(batches)) for _ in range(self.parts // self.world))
        if self.world > 1:
            loss = self._share(loss)
        if self.recipe.clip:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.clip)
        if self.recipe.clip_value:
            torch.nn.utils.clip_grad_value_(self.network.parameters(), self.recipe.clip_value)
        for group in self.optimizer.param_groups:
            group["lr"] = group.get("scale", 1.0) * self.rate(
                self.progress.iteration + 1
            )  # Darknet counts the batch before it updates
        if math.isfinite(loss):
            self.optimizer.step()
            if self.ema:
                self._average()
        return loss

    def rate(self, batch: int) -> float:
        """The rate of batch number `batch`: the schedule's, as far as plateaus have left of it."""
        return self.schedule(batch) * self.progress.rate_factor

    def _average(self):
        # A young average follows faster, so that it does not remember the random start.
        decay = min(self.recipe.ema, (1 + self.progress.iteration) / (10 + self.progress.iteration))
        for name, value in self.network.state_dict().items():
            self.ema[name].lerp_(value, 1 - decay)

    def _share(self, loss):
        """Sum gradients and loss over the processes; batch-norm's rolling values take the mean."""
        for parameter in self.network.parameters():
            if not parameter.requires_grad:
                continue
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            distributed.all_reduce(parameter.grad)
        for buffer in self.network.freezing.moving_statistics():
            distributed.all_reduce(buffer)
            buffer /= self.world
        total = torch.tensor([loss, float(self.stop is not None)], dtype=torch.float64, device=self.device)
        distributed.all_reduce(total)
        if total[1] and self.stop is None:
            self.stop = signal.SIGINT  # another process was asked to end: all do, at the same batch
        return float(total[0])

    # --- a run -----------------------------------------------------------------------------------------

    def validate(self) -> dict[str, float]:
        """What is measured on the valid split: a detector's map (mean over classes with truths), a classifier's
        top1, loss, macro_f1.
        """
        with self.averaged():
            if self.valid is not None:
                found = self._validate_arrays()
            elif self.data.is_classifier:
                found = evaluate_classifier(self.network, self.data, device=self.device)
            else:
                found = evaluate_detector(self.network, self.data, device=self.device, most=MOST_BOXES)
        return {key: found[key] for key in ("map", "top1", "loss", "macro_f1") if key in found}

    @torch.no_grad()
    def _validate_arrays(self):
        self.network.eval()
        logits = []
        for start in range(0, len(self.valid), VALIDATED):
            pictures = self.valid.take(np.arange(start, min(start + VALIDATED, len(self.valid))))
            x = middle(torch.from_numpy(pictures).to(self.device).permute(0, 3, 1, 2).float() / 255, self.cfg.size_wh)
            x = standardised(x) if self.recipe.standardise else x
            logits.append(self.network(x.contiguous(memory_format=torch.channels_last))[0].float().cpu().numpy())
        return classifier_figures(
            np.concatenate(logits) / self.temperature, self.valid.labels, self.data.names, self.data.top
        )

    def _judge(self):
        """Validate; (the figures, whether they are the best so far), of which only the first process has any."""
        progress, found, better = self.progress, None, False
        if not self.rank:
            found = self.validate()
            value = found[self.metric]
            better = math.isfinite(value) and (
                progress.best is None or (value < progress.best if self.metric == "loss" else value > progress.best)
            )
            if better:
                progress.best, progress.stale, progress.plateau = value, 0, 0
            else:
                progress.stale, progress.plateau = progress.stale + 1, progress.plateau + 1
                if self.recipe.plateau_patience and progress.plateau >= self.recipe.plateau_patience:
                    progress.rate_factor, progress.plateau = progress.rate_factor * self.recipe.plateau_factor, 0
            progress.history.append((progress.iteration, value))
        if self.world > 1:
            shared = [progress.stale, progress.rate_factor]
            distributed.broadcast_object_list(shared)
            progress.stale, progress.rate_factor = shared
        return found, better

    def _loader(self):
        """Micro-batches from where the run stands to its end."""
        start, stop = self.progress.iteration * self.parts + self.rank, self.total * self.parts
        if self.by_recipe:
            targets = self.set.targets(self.data.classes, self.recipe)
            numbers = range(start, stop, self.world)
            return BatchLoader(
                self.set, targets, self.recipe, self.plan, numbers, self.job.seed, self.cfg.size_wh, self.device
            )
        workers = max(0, min(16, (os.cpu_count() or 1) - 1)) if self.job.workers is None else self.job.workers
        sizes = [self.size_of(batch) for batch in range(0, self.total, SIZE_HOLD)]
        largest = (self.batch // self.parts, max(w for w, _ in sizes), max(h for _, h in sizes))
        return Loader(self.set, self.plan, start, stop, self.world, self.job.seed, workers, largest)

    def train(self) -> TrainResult:
        """Run to max_batches, to a signal, to a failure, or until nothing gets better.

        RunError when a file cannot be written, above all; run.json then says that the run failed, and why.
        """
        run = self.job.run
        try:
            return self._train()
        except OSError as error:
            fault = RunError(
                f"cannot be written: {error.strerror or error}",
                where=error.filename or run.path,
                mend="is the disk full?",
            )
            self._end(fault, "failed")
            raise fault from None
        except BaseException as error:
            self._end(error, "interrupted" if isinstance(error, KeyboardInterrupt) else "failed")
            raise

    def _end(self, error, verdict):
        if not self.rank:
            self.job.run.end(verdict, str(error) or type(error).__name__, iterations=self.progress.iteration)

    def _train(self):
        progress, job, run = self.progress, self.job, self.job.run
        if job.resume:
            checkpoint.mend(self)
        loader = self._loader()
        verdict, reasons, loss, found, better, began = "finished", (), None, None, False, time.perf_counter()
        start = progress.iteration
        validates = job.evaluate and self.data.valid is not None
        with self._signals(), Display(self, loader) as display:
            try:
                batches = iter(loader)
                while progress.iteration < self.total:
                    try:
                        loss = self.step(batches)
                    except RunError:
                        if not self._stop_is_asked():
                            raise
                        verdict, reasons = (
                            "interrupted",
                            (f"{signal.Signals(self.stop).name} at iteration {progress.iteration}",),
                        )
                        break
                    fault = self._fault(loss)
                    if fault:
                        verdict, reasons = "failed", (fault,)
                        break
                    progress.iteration += 1
                    done = progress.iteration
                    progress.average = loss if progress.average is None else 0.9 * progress.average + 0.1 * loss
                    progress.first_loss = progress.first_loss or loss
                    if validates and (done % self.every == 0 or done == self.total):
                        found, better = self._judge()
                    display.batch(loss, found)
                    if done % SAVE_NUMBERED == 0:
                        self.save(done)
                    if done % SAVE_LAST == 0 or found is not None:
                        self.save(*(["best"] if better else []), "last")  # of one moment, all
                        display.redraw()
                    given_up = found is not None and job.watch is not None and job.watch(done, found)
                    found, better = None, False
                    if self.stop is not None:
                        verdict, reasons = "interrupted", (f"{signal.Signals(self.stop).name} at iteration {done}",)
                        break
                    if given_up:
                        reasons = ("given up: other settings do better",)
                        break
                    if self.recipe.patience and progress.stale >= self.recipe.patience:
                        reasons = (f"stopped early: no better {self.metric} in {progress.stale} validations",)
                        break
            finally:
                loader.close()
            if verdict != "failed":
                self.save("last", *(["final"] if verdict == "finished" else []))
            display.redraw()
        seconds = time.perf_counter() - began
        pictures = (progress.iteration - start) * self.batch
        if not self.rank:
            run.write_json(
                verdict=verdict,
                reasons=reasons,
                iterations=progress.iteration,
                loss=progress.average,
                best={self.metric: progress.best},
                pictures_per_second=pictures / seconds if seconds else None,
                waiting_share=loader.waited / seconds if seconds else None,
                weights=run.weights_hashes(),
            )
        return TrainResult(run, verdict, progress.iteration, progress.average, progress.best, reasons)

    def _stop_is_asked(self) -> bool:
        """Whether a stop was asked for, or is within a second: sent to the whole group, a worker may hear it first."""
        until = time.monotonic() + HEARD_S
        while self.stop is None and time.monotonic() < until:
            time.sleep(0.02)
        return self.stop is not None

    def _fault(self, loss) -> str | None:
        """What is wrong with a batch's loss, and where it began; None when nothing is."""
        if math.isfinite(loss) and not exploded(loss, self.progress.first_loss):
            return None
        where = self.progress.iteration
        kept = (
            "the last good weights are kept"
            if self.job.run.weights_file("last").exists()
            else "no weights had been saved"
        )
        if math.isfinite(loss):
            return f"the loss exploded to {loss:.3g} at iteration {where}; {kept}; try a smaller --learning-rate"
        for layer, out in zip(self.network.layers, self.network.outputs(self.tensor)):
            if not torch.isfinite(out).all():
                return (
                    f"the loss is {loss} at iteration {where}; it begins in layer {layer.index} [{layer.type}]; "
                    f"{kept}; try a smaller --learning-rate"
                )
        return f"the loss is {loss} at iteration {where}, in the loss itself; {kept}; try a smaller --learning-rate"

    @contextmanager
    def _signals(self):
        """The first SIGINT, SIGTERM or SIGHUP ends the run after its batch, saved; a second one at once."""

        def ask(number, frame):
            if self.stop is not None:
                raise KeyboardInterrupt
            self.stop = number
            if not self.rank:
                self.job.reporter.warn(
                    f"\n{signal.Signals(number).name}: saving after this batch; a second one stops at once"
                )

        import threading

        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = [signal.signal(number, ask) for number in STOPS]
        try:
            yield
        finally:
            for number, handler in zip(STOPS, before):
                signal.signal(number, handler)


def train(job: TrainJob | None) -> TrainResult:
    """Train. Under torchrun the first process brings the job, and the others, who pass None, take it from there."""
    if job is not None and int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return Trainer(job).train()
    both = torch.cuda.is_available() and distributed.is_nccl_available()
    distributed.init_process_group("cpu:gloo,cuda:nccl" if both else "gloo")
    try:
        shared = [job and replace(job, reporter=Reporter())]
        distributed.broadcast_object_list(shared)
        trainer = Trainer(cast(TrainJob, job or shared[0]))
        if trainer.device.type == "cuda":
            torch.cuda.set_device(trainer.device)
        return trainer.train()
    finally:
        distributed.destroy_process_group()
