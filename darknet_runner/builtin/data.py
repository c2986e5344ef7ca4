"""From a `.data` file to batches: the set, the order of its pictures, a shared cache, worker processes.

What sample i of a run looks like depends on (seed, i) alone, never on the number of workers or on where a
run was interrupted: that is what makes `--resume` exact.
"""

from __future__ import annotations

import mmap
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np

from converters.darknet_format.files import DataFile, class_of_path, read_list
from converters.darknet_format.labels import label_path, read_label
from converters.errors import DataError, RunError
from converters.images import probe
from converters.parallel import end_with_parent

from ..signals import STOPS
from .augment import Options, classifier_sample, detection_sample

CACHE_BYTES = 2 << 30


def read_picture(path: str | Path, channels: int) -> np.ndarray:
    """Decode to uint8 RGB (H, W, 3), or grey (H, W, 1), as stored: labels are in stored pixels, so EXIF turns nothing.

    DataError when it cannot be.
    """
    try:
        raw = np.fromfile(path, np.uint8)
    except OSError as error:
        raise DataError(f"the picture cannot be read: {error.strerror}", where=path) from None
    flags = cv2.IMREAD_COLOR if channels == 3 else cv2.IMREAD_GRAYSCALE
    picture = cv2.imdecode(raw, flags | cv2.IMREAD_IGNORE_ORIENTATION) if len(raw) else None
    if picture is None:
        raise DataError("is not a picture that can be decoded", where=path, mend="emo dataset check finds all such")
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB) if channels == 3 else picture[..., None]


class Cache:
    """Decoded pictures, filled as they are first read, in memory that worker processes share.

    Anonymous shared memory: nothing lies in /dev/shm, and forked workers see what any of them decoded.
    Pictures beyond `limit` bytes are decoded anew each time.
    """

    def __init__(self, paths: list[Path], channels: int, limit: int = CACHE_BYTES):
        self.paths, self.channels = paths, channels
        slots = np.array([self._bytes(path) for path in paths], np.int64)
        ends = np.cumsum(slots)
        self.slots = np.where(ends <= limit, slots, 0)
        self.starts = ends - slots
        self.memory = mmap.mmap(-1, max(1, int(self.slots.sum())))
        self.shapes = np.frombuffer(mmap.mmap(-1, 8 * max(1, len(paths))), np.int32).reshape(
            -1, 2
        )  # 0, 0: not yet read

    def _bytes(self, path):
        width, height = probe(path).size_wh  # none: the decoder will say what is wrong with it when it is its turn
        return width * height * self.channels

    def __getitem__(self, index: int) -> np.ndarray:
        start, slot = int(self.starts[index]), int(self.slots[index])
        height, width = self.shapes[index]
        if height:
            return np.frombuffer(self.memory, np.uint8, slot, start).reshape(height, width, self.channels)
        picture = read_picture(self.paths[index], self.channels)
        if slot and picture.size == slot:
            np.frombuffer(self.memory, np.uint8, slot, start)[:] = picture.ravel()
            self.shapes[index] = picture.shape[:2]
        return picture


class TrainSet:
    """The pictures and labels of a `.data` file's split, and how one becomes a training sample.

    Raises DataError, with file and line, for a label that cannot be used.
    """

    def __init__(
        self, data: DataFile, channels: int, options: Options, split: str = "train", cache_bytes: int = CACHE_BYTES
    ):
        self.options, self.channels, self.classes = options, channels, data.classes
        self.paths = read_list(data.list_of(split))
        self.is_classifier = data.is_classifier
        if self.is_classifier:
            self.labels: list = [class_of_path(path, data.labels) for path in self.paths]
        else:
            self.labels = [read_label(label_path(path), data.classes) for path in self.paths]
        self.pictures = Cache(self.paths, channels, cache_bytes)

    def __len__(self):
        return len(self.paths)

    def load(self, index: int):
        return self.pictures[index], self.labels[index]

    def sample(self, number: int, seed: int, size_wh, out) -> np.ndarray:
        """Sample `number` of a run into `out`; returns labels (T, 5), or a classifier's target (C,)."""
        epoch, place = divmod(number, len(self))
        index = int(order(len(self), seed, epoch)[place])
        rng = np.random.default_rng((seed, number))
        make = classifier_sample if self.is_classifier else detection_sample
        extra = self.classes if self.is_classifier else self.channels
        return make(self.load, index, len(self), size_wh, extra, rng, self.options, out)


_order: dict[tuple, np.ndarray] = {}


def order(count: int, seed: int, epoch: int) -> np.ndarray:
    """The permutation of an epoch; every picture is seen once in it."""
    key = (count, seed, epoch)
    if key not in _order:
        _order.clear()
        _order[key] = np.random.default_rng((seed, epoch, 7919)).permutation(count)
    return _order[key]


class Loader:
    """Micro-batches, in order, made ahead by worker processes.

    plan(m) -> (first sample number, count, (width, height)) of micro-batch m. Iterating gives
    (pictures (B, H, W, C) uint8, list of what `TrainSet.sample` returned). `waited` adds up the seconds
    in which nothing was ready.
    """

    DEPTH = 2  # micro-batches that each worker keeps ready

    def __init__(
        self,
        data: TrainSet,
        plan: Callable[[int], tuple],
        start: int,
        stop: int,
        step: int,
        seed: int,
        workers: int,
        largest: tuple[int, int, int],
    ):
        self.data, self.plan, self.seed = data, plan, seed
        self.numbers = range(start, stop, step)
        self.waited = 0.0
        forks = "fork" in multiprocessing.get_all_start_methods()  # Windows does not: there this process does it all
        self.workers = min(workers, len(self.numbers)) if forks else 0
        self.links: list = []
        self.processes: list = []
        if not self.workers:
            return
        count, width, height = largest
        self.bytes = count * width * height * data.channels
        cv2.setNumThreads(
            1
        )  # ends OpenCV's own threads: a fork inherits their locks, and its workers would wait for ever
        context = multiprocessing.get_context("fork")
        self.memory = mmap.mmap(-1, self.workers * self.DEPTH * self.bytes)
        for worker in range(self.workers):
            ours, theirs = context.Pipe()
            process = context.Process(
                target=self._work, args=(worker, theirs, [*self.links, ours], os.getpid()), daemon=True
            )
            process.start()
            theirs.close()
            self.links.append(ours)
            self.processes.append(process)

    def _buffer(self, worker, turn, shape):
        start = (worker * self.DEPTH + turn % self.DEPTH) * self.bytes
        return np.frombuffer(self.memory, np.uint8, int(np.prod(shape)), start).reshape(shape)

    def _fill(self, number, out=None):
        first, count, size_wh = self.plan(number)
        shape = (count, size_wh[1], size_wh[0], self.data.channels)
        pictures = np.empty(shape, np.uint8) if out is None else out(shape)
        targets = [self.data.sample(first + index, self.seed, size_wh, pictures[index]) for index in range(count)]
        return pictures, shape, targets

    def _work(self, worker, link, trainers, trainer):
        for number in STOPS:  # a stop, whoever it is sent to, is the trainer's to hear; it ends us
            signal.signal(number, signal.SIG_IGN)
        for end in trainers:
            end.close()
        end_with_parent(trainer)
        os.environ["OMP_NUM_THREADS"] = "1"
        cv2.setNumThreads(1)
        try:
            for turn, number in enumerate(self.numbers[worker :: self.workers]):
                if turn >= self.DEPTH:
                    link.recv()  # the slot is free again
                try:
                    _, shape, targets = self._fill(number, lambda shape: self._buffer(worker, turn, shape))
                    link.send((shape, targets))
                except DataError as error:
                    link.send(error)
                    return
        except (EOFError, ConnectionError):
            pass  # the trainer has ended

    def __iter__(self) -> Iterator[tuple[np.ndarray, list[np.ndarray]]]:
        for count, number in enumerate(self.numbers):
            began = time.perf_counter()
            if not self.workers:
                pictures, _, targets = self._fill(number)
            else:
                worker, turn = count % self.workers, count // self.workers
                try:
                    message = self.links[worker].recv()
                except (EOFError, ConnectionError):
                    raise RunError(
                        "a worker process ended without a message", mend="out of memory? try --workers 0"
                    ) from None
                if isinstance(message, Exception):
                    raise message
                shape, targets = message
                pictures = self._buffer(worker, turn, shape).copy()
                try:
                    self.links[worker].send(None)
                except ConnectionError:
                    pass  # it has made its last one
            self.waited += time.perf_counter() - began
            yield pictures, targets

    def close(self) -> None:
        for link in self.links:
            link.close()
        for process in self.processes:
            process.kill()  # it has nothing but memory, and hears no other signal
            process.join()
        self.links, self.processes = [], []
