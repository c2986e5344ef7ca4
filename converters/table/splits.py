"""Splits that hold as a set grows, and balance among classes.

Which side a group (a person, a source) goes to depends on its name and the seed alone, by a hash: a
picture that is added or taken away moves nobody else. Shares are therefore kept on average, not exactly.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np

from ..errors import UsageError


def unit(key: str, seed: int = 0) -> float:
    """A number in 0..1 that depends on `key` and `seed` alone, evenly spread over keys."""
    text = f"{seed}\0{key}".encode("utf-8", "surrogateescape")
    return int.from_bytes(hashlib.blake2b(text, digest_size=7).digest(), "big") / 2**56


def assign(groups: Sequence[str], shares: Mapping[str, float], seed: int = 0) -> list[str]:
    """The split of each group: `shares` such as {"valid": 0.1, "test": 0.1}, what is left over is train.

    Enlarging the last share moves groups out of train only. UsageError when the shares make no sense.
    """
    if any(not 0 <= share <= 1 for share in shares.values()) or sum(shares.values()) > 1 or "train" in shares:
        raise UsageError(f"the shares {dict(shares)} are not 0..1 with a sum of at most 1", mend="the rest is train")
    names, edges = [*shares, "train"], np.cumsum([*shares.values()])
    known: dict[str, str] = {}
    for group in groups:
        if group not in known:
            known[group] = names[int(np.searchsorted(edges, unit(group, seed), side="right"))]
    return [known[group] for group in groups]


def joined(groups: Sequence[Sequence[str]]) -> list[str]:
    """One name for the groups of each picture, which may be several (the people in a scene): the same for all that
    share one, directly or through others. The least of their names, so that the order does not matter.
    """
    above: dict[str, str] = {}

    def top(group: str) -> str:
        while above.setdefault(group, group) != group:
            above[group] = above[above[group]]
            group = above[group]
        return group

    for first, *others in groups:
        for other in others:
            low, high = sorted((top(first), top(other)))
            above[high] = low
    return [top(some[0]) for some in groups]


def repeats(class_ids: Sequence[Sequence[int]], classes: int, cap: float = 4.0, power: float = 1.0) -> np.ndarray:
    """(N,) how often each picture should come, 1..cap, so that rare classes are seen more.

    A picture takes the factor of its rarest class, (most / faces of that class) ** power, as in LVIS's
    repeat factors (Gupta, Dollar & Girshick 2019, appendix B.2; there the power is 1/2 and the
    reference a fixed frequency). A picture without faces comes once.
    """
    if cap < 1 or not 0 <= power <= 1:
        raise UsageError(f"cap {cap:g} and power {power:g} make no sense", mend="cap >= 1, power 0..1")
    counts = np.zeros(classes)
    for ids in class_ids:
        np.add.at(counts, np.asarray(ids, int), 1)
    factor = np.clip((counts.max(initial=0) / np.maximum(counts, 1)) ** power, 1, cap)
    return np.array([factor[np.asarray(ids, int)].max() if len(ids) else 1.0 for ids in class_ids])


def repeated(images: Sequence[str], factors: np.ndarray, seed: int = 0) -> list[str]:
    """The list with each picture repeated by its factor, the fraction by a hash of its path.

    Round after round, so that repeats stand far apart: all pictures once, then those that come twice, ...
    """
    times = [int(factor) + (unit(image, seed) < factor % 1) for image, factor in zip(images, factors.tolist())]
    return [image for number in range(max(times, default=0)) for image, count in zip(images, times) if count > number]
