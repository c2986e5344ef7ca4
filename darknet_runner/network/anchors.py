"""Box sizes -> anchors: k-means with 1 - IoU as the distance (Redmon, Farhadi: YOLO9000, arXiv:1612.08242, 2).

sizes = label_sizes(files.read_data("emo.data"), (320, 320))
found = cluster(sizes, 6)
found.line, found.mean_iou
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from converters.darknet_format.files import DataFile, read_list
from converters.darknet_format.labels import label_path, read_label
from converters.errors import DataError, UsageError

RESTARTS, ROUNDS = 8, 300


@dataclass(frozen=True)
class Anchors:
    """`sizes_px` (k, 2) width and height, by area; `mean_iou` of the `boxes` with the best anchor of each."""

    sizes_px: np.ndarray
    mean_iou: float
    boxes: int

    @property
    def line(self) -> str:
        """The option to paste into every [yolo]."""
        return "anchors = " + ",  ".join(f"{w:.0f},{h:.0f}" for w, h in self.sizes_px)


def label_sizes(data: DataFile, size_wh: tuple[int, int], split: str = "train") -> np.ndarray:
    """(N, 2) widths and heights in network pixels of every box of a split; DataError when there is none.

    Pictures are stretched to the network's input, as Darknet does, so relative sizes times `size_wh` it is.
    """
    if data.is_classifier:
        raise DataError("a classifier's set has no boxes", where=data.path, mend="give a detector's set")
    labels = [read_label(label_path(image), data.classes) for image in read_list(data.list_of(split))]
    boxes = np.concatenate(labels)[:, 3:] * np.asarray(size_wh, float)
    boxes = boxes[(boxes > 0).all(1)]
    if not len(boxes):
        raise DataError(f"the {split} list has no boxes", where=data.path)
    return boxes


def iou_wh(sizes_px: np.ndarray, anchors_px: np.ndarray) -> np.ndarray:
    """(N, 2), (k, 2) -> (N, k) IoU of boxes with one centre."""
    inner = np.minimum(sizes_px[:, None], anchors_px[None]).prod(2)
    return inner / (sizes_px.prod(1)[:, None] + anchors_px.prod(1)[None] - inner)


def mean_iou(sizes_px: np.ndarray, anchors_px: np.ndarray) -> float:
    return float(iou_wh(sizes_px, anchors_px).max(1).mean())


def cluster(sizes_px: np.ndarray, number: int, seed: int = 0) -> Anchors:
    """The best of several k-means runs, whole pixels; the same for the same boxes and seed.

    Centres start as in k-means++ and move to the mean of their boxes, until no box changes sides.
    """
    sizes_px = np.asarray(sizes_px, float)
    different = len(np.unique(sizes_px, axis=0))
    if not 1 <= number <= different:
        raise UsageError(f"cannot make {number} anchors of {different} different box sizes")
    rng = np.random.default_rng(seed)
    found = max((_run(sizes_px, number, rng) for _ in range(RESTARTS)), key=lambda centres: mean_iou(sizes_px, centres))
    found = np.maximum(np.round(found[np.argsort(found.prod(1), kind="stable")]), 1)
    return Anchors(found, mean_iou(sizes_px, found), len(sizes_px))


def _run(sizes_px, number, rng):
    centres = sizes_px[[rng.integers(len(sizes_px))]]
    while len(centres) < number:
        distance = (1 - iou_wh(sizes_px, centres).max(1)).clip(0) ** 2
        if not distance.any():  # only equal sizes left, up to rounding
            distance = (sizes_px[:, None] != centres).any(2).all(1).astype(float)
        centres = np.vstack([centres, sizes_px[rng.choice(len(sizes_px), p=distance / distance.sum())]])
    owner = None
    for _ in range(ROUNDS):
        nearest = iou_wh(sizes_px, centres).argmax(1)
        if owner is not None and (nearest == owner).all():
            break
        owner = nearest
        counts = np.bincount(owner, minlength=number)
        sums = np.stack([np.bincount(owner, sizes_px[:, axis], number) for axis in (0, 1)], 1)
        centres = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], centres)
    return centres
