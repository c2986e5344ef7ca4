"""A classifier's pictures in memory, and batches of them: uint8 arrays, changed a whole batch at a time.

A `.data` file's split (or arrays) comes in; `BatchLoader` gives (pictures (B, C, h, w) float, targets (B, K) float).
28,558 FER2013 faces take 66 MB. Sets that are larger than `cache_bytes` are decoded anew for each batch, by threads.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

from converters.darknet_format.files import DataFile, class_of_path, read_list
from converters.darknet_format.votes import read_votes

from .batch_augment import BatchAugment
from .data import order, read_picture
from .recipe import Recipe

FEW = 2  # decoded at a time by each thread


def squared(picture: np.ndarray, size_wh: tuple[int, int]) -> np.ndarray:
    """uint8 (H, W, C): the middle of the network's aspect, resized to its size; as it is where it has that size."""
    import cv2

    height, width = picture.shape[:2]
    if (width, height) == tuple(size_wh):
        return picture
    scale = max(size_wh[0] / width, size_wh[1] / height)
    inner_w, inner_h = min(width, round(size_wh[0] / scale)), min(height, round(size_wh[1] / scale))
    left, top = (width - inner_w) // 2, (height - inner_h) // 2
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    out = cv2.resize(picture[top : top + inner_h, left : left + inner_w], tuple(size_wh), interpolation=method)
    return out if out.ndim == 3 else out[..., None]


class PictureSet:
    """N pictures of a classifier with their labels, and FER+'s votes where the set has them.

    labels (N,) int64; votes (N, K) float32, rows of zeros where there are none, or None; `take(indices)` gives
    (B, H, W, C) uint8, C 3 (RGB) or 1, all of `size_wh`.
    """

    def __init__(
        self,
        paths: list[Path],
        labels: np.ndarray,
        votes: np.ndarray | None,
        channels: int,
        size_wh: tuple[int, int],
        cache_bytes: int = 2 << 30,
        progress: Callable[..., Iterable] = lambda items, **_: items,
    ):
        self.paths, self.labels, self.votes = paths, np.asarray(labels, np.int64), votes
        self.channels, self.size_wh = channels, size_wh
        self.pool = ThreadPoolExecutor(max(1, min(8, os.cpu_count() or 1)))
        each = size_wh[0] * size_wh[1] * channels
        self.array = None
        if each * len(paths) <= cache_bytes:
            self.array = np.empty((len(paths), size_wh[1], size_wh[0], channels), np.uint8)
            for index, picture in enumerate(progress(self.pool.map(self._read, range(len(paths))), total=len(paths))):
                self.array[index] = picture

    @classmethod
    def of(
        cls,
        data: DataFile,
        split: str,
        channels: int,
        size_wh,
        cache_bytes: int = 2 << 30,
        progress=lambda items, **_: items,
    ) -> PictureSet:
        """A split of a classifier's `.data`; DataError for a path without its one label, or a picture that cannot
        be read.
        """
        paths = read_list(data.list_of(split))
        labels = [class_of_path(path, data.labels) for path in paths]
        return cls(paths, np.array(labels, np.int64), read_votes(data, paths), channels, size_wh, cache_bytes, progress)

    def _read(self, index: int) -> np.ndarray:
        return squared(read_picture(self.paths[index], self.channels), self.size_wh)

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: np.ndarray) -> np.ndarray:
        if self.array is not None:
            return self.array[indices]
        return np.stack(list(self.pool.map(self._read, indices.tolist(), chunksize=FEW)))

    def targets(self, classes: int, recipe: Recipe) -> np.ndarray:
        """(N, K) float32: the label, smoothed; votes where there are some, at their share; weighted where classes
        are balanced.
        """
        smooth = recipe.label_smoothing
        target = np.full((len(self), classes), smooth / classes, np.float32)
        target[np.arange(len(self)), self.labels] += 1 - smooth
        if recipe.vote_share and self.votes is not None:
            told = self.votes.sum(1) > 0
            target[told] = (1 - recipe.vote_share) * target[told] + recipe.vote_share * self.votes[told]
        if recipe.class_balance == "loss":
            count = np.maximum(np.bincount(self.labels, minlength=classes), 1)
            weight = 1 / count
            target *= (weight * len(self) / weight[self.labels].sum())[self.labels, None].astype(np.float32)
        return target


class BatchLoader:
    """Batches in order, as `data.Loader` gives them, but from a PictureSet and changed as a batch, on the device that
    trains.

    plan(m) -> (first sample number, count, size) of micro-batch m; `waited` adds up the seconds spent here.
    """

    def __init__(
        self,
        pictures: PictureSet,
        targets: np.ndarray,
        recipe: Recipe,
        plan: Callable[[int], tuple],
        numbers: range,
        seed: int,
        size_wh: tuple[int, int],
        device: torch.device,
    ):
        self.pictures, self.targets, self.plan, self.numbers, self.seed, self.device = (
            pictures,
            targets,
            plan,
            numbers,
            seed,
            device,
        )
        self.augment = BatchAugment(recipe, size_wh)
        self.waited = 0.0
        self.share = None
        if recipe.class_balance == "sampling":
            count = np.bincount(pictures.labels)
            self.share = np.cumsum(1 / count[pictures.labels])

    def indices(self, first: int, count: int) -> np.ndarray:
        """Which pictures are the samples first..first+count-1 of the run: each once an epoch, or drawn with classes
        alike.
        """
        total, out = len(self.pictures), []
        while count:
            epoch, place = divmod(first, total)
            part = min(count, total - place)
            out.append(self._order(epoch)[place : place + part])
            first, count = first + part, count - part
        return np.concatenate(out)

    def _order(self, epoch):
        if self.share is None:
            return order(len(self.pictures), self.seed, epoch)
        drawn = np.random.default_rng((self.seed, epoch, 7919)).random(len(self.pictures)) * self.share[-1]
        return np.searchsorted(self.share, drawn, side="right")

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for number in self.numbers:
            began = time.perf_counter()
            first, count, _ = self.plan(number)
            chosen = self.indices(first, count)
            pictures = torch.from_numpy(self.pictures.take(chosen)).to(self.device).permute(0, 3, 1, 2)
            found = self.augment(
                pictures, torch.from_numpy(self.targets[chosen]).to(self.device), hash_seed(self.seed, number)
            )
            self.waited += time.perf_counter() - began
            yield found

    def close(self) -> None:
        self.pictures.pool.shutdown(wait=False)


def hash_seed(seed: int, number: int) -> int:
    """One seed of a run's and a micro-batch's number."""
    return seed * 1_000_003 + number
