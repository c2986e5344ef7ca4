"""The box of a COCO annotation: its bbox, else what its polygons or its run-length mask cover.

Run lengths count pixels column by column, first those that are not set (cocoapi, maskApi.c, `rleToBbox` and, for the
compressed text, `rleFrString`).
"""

from __future__ import annotations

import math

from ..text_files import number

MOST_RUNS = 1 << 22


def box_of(entry: dict) -> tuple[float, float, float, float]:
    """xyxy_px of an annotation; ValueError, KeyError or TypeError when it has none."""
    bbox, mask = entry.get("bbox"), entry.get("segmentation")
    if not _has_bbox(entry):
        if not mask:
            raise KeyError("bbox")
        box = _of_runs(mask) if isinstance(mask, dict) else _of_polygons(mask)
    else:
        x, y, w, h = _numbers(bbox)
        box = x, y, x + w, y + h
    if not all(map(math.isfinite, box)):
        raise ValueError("a box is not a number")
    return box


def mask_size(entry: dict) -> tuple[int, int] | None:
    """(width, height) of the picture that the annotation's run lengths are of, when its box is taken from them."""
    mask = entry.get("segmentation")
    if _has_bbox(entry) or not isinstance(mask, dict):
        return None
    height, width = (int(value) for value in mask["size"])
    return width, height


def _has_bbox(entry: dict) -> bool:
    bbox = entry.get("bbox")
    return not (bbox is None or (isinstance(bbox, list) and not bbox and entry.get("segmentation")))


def _numbers(values) -> list[float]:
    """A list of numbers, or of texts that are; what else can be gone through, such as a text's characters, is none."""
    if not isinstance(values, list) or any(isinstance(value, bool) for value in values):
        raise TypeError("not a list of numbers")
    return [number(value) if isinstance(value, str) else float(value) for value in values]


def _of_polygons(polygons) -> tuple[float, float, float, float]:
    if isinstance(polygons, list) and not isinstance(polygons[0], list):
        polygons = [polygons]
    points = [_numbers(polygon) for polygon in polygons]
    if any(len(some) % 2 or not all(map(math.isfinite, some)) for some in points):
        raise ValueError("a polygon has half a point")
    x, y = [value for some in points for value in some[0::2]], [value for some in points for value in some[1::2]]
    return min(x), min(y), max(x), max(y)


def _of_runs(mask: dict) -> tuple[float, float, float, float]:
    height, width = (int(value) for value in mask["size"])
    counts = mask["counts"]
    runs = _decompressed(counts) if isinstance(counts, str) else [int(value) for value in counts]
    if not (0 < height < 1e6 and 0 < width < 1e6) or any(run < 0 for run in runs) or sum(runs) > height * width:
        raise ValueError("a mask of no size")
    left, top, right, bottom, at = width, height, 0, 0, 0
    for index, run in enumerate(runs):
        if index % 2 and run:
            first, last = at, at + run - 1
            left, right = min(left, first // height), max(right, last // height + 1)
            whole = first // height != last // height  # it goes on in the next column, so over the bottom edge
            top = 0 if whole else min(top, first % height)
            bottom = height if whole else max(bottom, last % height + 1)
        at += run
    if right <= left:
        raise ValueError("a mask of nothing")
    return float(left), float(top), float(right), float(bottom)


def _decompressed(text: str) -> list[int]:
    """Run lengths of their compressed form: six bits a character, the sixth for `goes on`; from the third run on
    differences.
    """
    runs: list[int] = []
    at = 0
    while at < len(text):
        value, shift, more = 0, 0, True
        while more:
            bits = ord(text[at]) - 48
            if not 0 <= bits < 64:
                raise ValueError("not a compressed mask")
            value |= (bits & 0x1F) << shift
            more, at, shift = bool(bits & 0x20), at + 1, shift + 5
            if more and (at == len(text) or shift > 60):
                raise ValueError("not a compressed mask")
            if not more and bits & 0x10:
                value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        if len(runs) > MOST_RUNS:
            raise ValueError("a mask of too many runs")
    return runs
