"""Pictures that are the same or look the same, at a cost that grows about linearly with their number.

Same pixels are found by hash. Lookalikes are found in two steps: a perceptual hash of 64 bits, cut into
four bands of 16, brings together pictures that agree in a whole band; those are then compared by 64-bit
distance and by the correlation of their thumbnails. All pairs whose hashes differ in at most three bits are
brought together, and most of those that differ in a few more.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..images import decode, perceptual_hash, pixel_hash

SIDE = 16  # a thumbnail's side
MAX_BITS = 10  # of 64 in which the hashes of lookalikes may differ
MIN_CORRELATION = 0.93  # of the thumbnails; looked at on FER2013: at 0.90 pairs still are one photograph cropped twice
_BUCKET = 32  # neighbours that one picture is compared with in a band; keeps a crowd of blank pictures linear


class Look(NamedTuple):
    """What two pictures are compared by."""

    pixels: bytes  # pixel_hash
    coarse: int  # perceptual_hash
    thumbnail: bytes  # SIDE x SIDE grey


def look(path) -> Look:
    """Decode the picture once, for all three. MediaError when that fails."""
    import cv2

    pixels = decode(path)
    grey = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)
    thumbnail = cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return Look(pixel_hash(pixels), perceptual_hash(grey), thumbnail.tobytes())


def same(looks: list[Look | None]) -> list[list[int]]:
    """Indices of pictures with the same pixels, group by group, in order of the first."""
    groups: dict[bytes, list[int]] = {}
    for index, item in enumerate(looks):
        if item is not None:
            groups.setdefault(item.pixels, []).append(index)
    return [group for group in groups.values() if len(group) > 1]


def alike(
    looks: list[Look | None], max_bits: int = MAX_BITS, min_correlation: float = MIN_CORRELATION
) -> list[tuple[int, int, float]]:
    """Pairs (i < j, correlation) of pictures that look the same but have not the same pixels, sorted.

    Of pictures with the same pixels only the first is compared. Pictures without any contrast are left out.
    """
    index = np.array(list({item.pixels: i for i, item in reversed(list(enumerate(looks))) if item}.values()), int)
    index.sort()
    if len(index) < 2:
        return []
    coarse = np.array([looks[i].coarse for i in index], "<u8")
    thumbnails = np.frombuffer(b"".join(looks[i].thumbnail for i in index), np.uint8).reshape(len(index), -1)
    pairs = _candidates(coarse, max_bits)
    out = []
    for start in range(0, len(pairs), 1 << 15):  # a block at a time: the pairs may be many, the thumbnails are small
        a, b = pairs[start : start + (1 << 15)].T
        x, y = (thumbnails[side].astype(np.float32) for side in (a, b))
        x, y = x - x.mean(1, keepdims=True), y - y.mean(1, keepdims=True)
        norm = np.sqrt((x * x).sum(1) * (y * y).sum(1))
        share = np.divide(
            (x * y).sum(1), norm, out=np.zeros_like(norm), where=norm > SIDE * SIDE
        )  # contrast above about 1 grey level
        out += [(int(index[a[k]]), int(index[b[k]]), float(share[k])) for k in np.flatnonzero(share >= min_correlation)]
    return sorted(out)


def _candidates(coarse: np.ndarray, max_bits: int) -> np.ndarray:
    """(M, 2) pairs i < j that share a band and differ in at most `max_bits` bits, each once."""
    found = [np.zeros((0, 2), int)]
    for band in range(4):
        key = (coarse >> np.uint64(16 * band)).astype(np.uint16)
        # Sorted by the band and then by the rest, so that the nearest stand near when a bucket is crowded.
        order = np.lexsort((coarse, key))
        key, sorted_hash = key[order], coarse[order]
        for step in range(1, min(_BUCKET, len(order) - 1) + 1):
            here = np.flatnonzero(key[step:] == key[:-step])
            if not len(here):
                break
            bands = (sorted_hash[here] ^ sorted_hash[here + step]).view(np.uint8).reshape(-1, 8)
            near = np.unpackbits(bands, axis=1).sum(1) <= max_bits
            if band:  # not what an earlier band has brought together (little-endian: band 0 is the first two bytes)
                near &= bands.view(np.uint16)[:, :band].all(1)
            found.append(np.stack([order[here[near]], order[here[near] + step]], 1))
    return np.sort(np.concatenate(found), axis=1)
