"""What a classification is worth: accuracy, top-k, precision, recall, F1, confusion, calibration, and their intervals.

In: what was said of N labelled faces (`Said`), of a classifier's pictures or of the faces that a detector should have
found; a face that was missed counts as an error. Out: plain dicts, ready for JSON. Definitions are scikit-learn's
(`classification_report`, zero_division=0), which the tests hold them against; averages are over the classes that occur.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from . import bootstrap, metrics
from .metrics import number

FIGURES = (
    "accuracy",
    "top_k",
    "macro_precision",
    "macro_recall",
    "macro_f1",
    "weighted_precision",
    "weighted_recall",
    "weighted_f1",
    "ece",
)
OVER_CLASSES = ("macro_precision", "macro_recall", "macro_f1")  # what a single face of a rare class can move
BINS = 10


@dataclass(frozen=True)
class Said:
    """N labelled faces and what was said of them.

    names          C class names, in id order
    truth          (N,) class ids
    probabilities  (N, C); a row of nan for a face that was missed
    """

    names: tuple[str, ...]
    truth: np.ndarray
    probabilities: np.ndarray

    @property
    def found(self) -> np.ndarray:
        """(N,) bool: which faces have probabilities."""
        return ~np.isnan(self.probabilities).any(1)

    @property
    def named(self) -> np.ndarray:
        """(N,) the likeliest class; C for a face that was missed."""
        best = np.nan_to_num(self.probabilities, nan=-1).argmax(1) if len(self.truth) else np.zeros(0, int)
        return np.where(self.found, best, len(self.names))

    @property
    def confusion(self) -> np.ndarray:
        """(C, C + 1) counts, truth by row; the last column holds the missed."""
        counts = np.zeros((len(self.names), len(self.names) + 1), int)
        np.add.at(counts, (self.truth, self.named), 1)
        return counts

    def within(self, k: int) -> np.ndarray:
        """(N,) bool: whether the truth is among the k likeliest classes; never for a missed face."""
        ranks = np.argsort(-np.nan_to_num(self.probabilities, nan=-1), axis=1, kind="stable")[:, :k]
        return (ranks == self.truth[:, None]).any(1) & self.found


def per_class(confusion: np.ndarray) -> dict[str, np.ndarray]:
    """(..., C, C + 1) counts -> (..., C) precision, recall, f1 and support; nan where nothing is there to count."""
    hits = np.diagonal(confusion[..., :-1], axis1=-2, axis2=-1)
    support, predicted = confusion.sum(-1), confusion[..., :-1].sum(-2)
    precision = np.where(support + predicted > 0, hits / np.maximum(predicted, 1e-300), np.nan)
    recall = np.where(support > 0, hits / np.maximum(support, 1e-300), np.nan)
    f1 = np.where(support > 0, 2 * hits / np.maximum(support + predicted, 1e-300), np.nan)
    return {"precision": precision, "recall": recall, "f1": f1, "support": support}


def averages(table: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """macro_ and weighted_ precision, recall and f1, (...,), over the classes of `per_class` that occur."""
    support = table["support"]
    known = support > 0
    total = np.where(known.any(-1), support.sum(-1), np.nan)
    out = {}
    for name in ("precision", "recall", "f1"):
        values = np.where(known, np.nan_to_num(table[name]), 0)
        out[f"macro_{name}"] = values.sum(-1) / np.where(known.any(-1), known.sum(-1), np.nan)
        out[f"weighted_{name}"] = (values * support).sum(-1) / total
    return out


def figures(said: Said, top: int = 2) -> dict:
    """The figures of a classification; shares in 0..1, None where nothing is there to count."""
    confusion, count = said.confusion, len(said.truth)
    table = per_class(confusion)
    classes = {
        name: {key: number(table[key][index]) for key in ("precision", "recall", "f1")}
        | {"support": int(table["support"][index])}
        for index, name in enumerate(said.names)
    }
    found = said.found
    right = (said.named == said.truth)[found]
    top = min(top, len(said.names))
    return {
        "faces": count,
        "missed": int((~found).sum()),
        "accuracy": number(np.trace(confusion) / count) if count else None,
        "top_k": float(said.within(top).mean()) if count else None,
        "k": top,
        **{name: number(float(value)) for name, value in averages(table).items()},
        "classes": classes,
        "confusion": confusion.tolist(),
        "calibration": metrics.calibration(said.probabilities[found].max(1, initial=0), right, BINS),
    }


@dataclass(frozen=True)
class Counts:
    """What can be counted again for resamples, summed over each cell (see `units`)."""

    confusion: np.ndarray  # (K, C, C + 1)
    within: np.ndarray  # (K,)
    bins: np.ndarray  # (K, BINS, 3): faces, sum of confidences, right ones


def counts_of(said: Said, cells: np.ndarray, total: int, top: int = 2) -> Counts:
    """cells (N,): the cell, 0..total-1, that each face counts with."""
    confusion = np.zeros((total, len(said.names), len(said.names) + 1))
    np.add.at(confusion, (cells, said.truth, said.named), 1)
    within = np.bincount(cells, said.within(min(top, len(said.names))), minlength=total)
    found, bins = said.found, np.zeros((total, BINS, 3))
    confidence = said.probabilities[found].max(1, initial=0)
    at = metrics.bin_of(confidence, BINS)
    np.add.at(bins, (cells[found], at), np.stack([np.ones(len(at)), confidence, (said.named == said.truth)[found]], 1))
    return Counts(confusion, within, bins)


def resampled(counts: Counts, copies: np.ndarray, whole: dict[str, np.ndarray] | None = None) -> dict[str, np.ndarray]:
    """FIGURES where cell k counts copies[k, b] times: (K, B) -> (B,) each.

    A class that a resample lacks keeps the values that it has in the `whole` set, for means to stay over the same
    classes.
    """
    wide, shape = copies.T.astype(float), counts.confusion.shape[1:]
    confusion = (wide @ counts.confusion.reshape(len(counts.confusion), -1)).reshape(-1, *shape)
    table, faces = per_class(confusion), confusion.sum((1, 2))
    out = averages(table)
    if whole:
        lacking = np.isnan(table["recall"])
        for name in ("precision", "recall", "f1"):
            filled = np.where(lacking, whole[name], table[name])
            out[f"macro_{name}"] = bootstrap.mean_of_known(np.where(np.isnan(whole["recall"]), np.nan, filled))
    bins = (wide @ counts.bins.reshape(len(counts.bins), -1)).reshape(-1, BINS, 3)
    with np.errstate(invalid="ignore", divide="ignore"):
        out["accuracy"] = np.trace(confusion[..., :-1], axis1=1, axis2=2) / faces
        out["top_k"] = wide @ counts.within / faces
        out["ece"] = np.abs(bins[..., 1] - bins[..., 2]).sum(1) / bins[..., 0].sum(1)
    return {name: out[name] for name in FIGURES} | {name: table[name] for name in ("precision", "recall", "f1")}
