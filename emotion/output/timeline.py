"""timeline.png: how the emotions' shares go over the time of a video, and a bar a face, coloured by what it shows when.

Drawn with Pillow: Matplotlib takes half a second to load, more than a short clip takes to detect in.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from converters.terminal_text import plain

SIZE, LEFT, RIGHT, TOP, ABOVE, BETWEEN, ROW, BELOW = 1210, 78, 130, 44, 270, 22, 30, 62  # pixels
MOST = 20  # tracks that are shown, the longest
TICKS_S = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)  # then whole hours
INK, LINE = (30, 30, 30), (176, 176, 176)


def timeline(path: Path, names: Sequence[str], bins: np.ndarray, bin_s: float, result: dict, title: str = "") -> None:
    """Write the picture; `bins` (B, C) are the sums of the faces' scores in the B spans of `bin_s` seconds from 0 on,
    `result` is what summary.json holds.
    """
    from PIL import Image, ImageDraw, ImageFont

    from .draw import colour_of

    colours = [colour_of(name, index)[::-1] for index, name in enumerate(names)]
    tracks = sorted(result["tracks"], key=lambda track: -track["seconds"])[:MOST]
    tracks.sort(key=lambda track: track["track"])
    begin_s, end_s, wide = result["from_s"], max(result["to_s"], result["from_s"] + bin_s), SIZE - LEFT - RIGHT
    low, bars = TOP + ABOVE, TOP + ABOVE + BETWEEN
    foot = bars + ROW * max(1, len(tracks)) + 8
    picture = Image.new("RGB", (SIZE, foot + BELOW), "white")
    draw, font, small = ImageDraw.Draw(picture), ImageFont.load_default(17), ImageFont.load_default(14)

    def across(time_s: float) -> float:
        return LEFT + wide * (time_s - begin_s) / (end_s - begin_s)

    def frame(top: int, bottom: int) -> None:
        draw.rectangle((LEFT - 1, top - 1, LEFT + wide, bottom), outline=INK)

    shown = stacked(bins, bin_s, np.linspace(begin_s, end_s, wide + 1), ABOVE)
    ground = np.array([*colours, (255, 255, 255)], np.uint8)
    picture.paste(Image.fromarray(ground[shown]), (LEFT, TOP))
    for share in (0, 0.25, 0.5, 0.75, 1):
        height = low - round(ABOVE * share)
        draw.line((LEFT - 6, height, LEFT - 1, height), INK)
        draw.text((LEFT - 10, height), f"{share:.0%}", INK, small, "rm")
    frame(TOP, low)
    for index, name in enumerate(names):
        top = TOP + 24 * index
        draw.rectangle((SIZE - RIGHT + 14, top + 3, SIZE - RIGHT + 28, top + 17), colours[index], LINE)
        draw.text((SIZE - RIGHT + 36, top + 10), fitted(name, small, RIGHT - 40), INK, small, "lm")
    for row, track in enumerate(tracks):
        top = bars + 4 + ROW * row
        draw.text((LEFT - 10, top + ROW / 2), f"#{track['track']}", INK, small, "rm")
        for stretch in track["stretches"]:
            left, right = round(across(stretch["from_s"])), round(across(stretch["to_s"])) - 1
            colour = colours[names.index(stretch["emotion"])]
            draw.rectangle((left, top + 3, max(left, right), top + ROW - 4), colour)
    if not tracks:
        draw.text((LEFT + wide / 2, (bars + foot) / 2), "no face was followed", INK, small, "mm")
    frame(bars, foot)
    step = tick(end_s - begin_s)
    for number in range(int(np.ceil(begin_s / step - 1e-9)), int(end_s / step + 1e-9) + 1):
        at = across(number * step)
        draw.line((at, foot, at, foot + 5), INK)
        draw.text((at, foot + 9), clock(number * step, step < 1), INK, small, "mt")
    draw.text((LEFT + wide / 2, foot + BELOW - 8), "time", INK, small, "mb")
    draw.text((LEFT + wide / 2, TOP - 14), fitted(title, font, wide + 2 * LEFT - 20), INK, font, "mb")
    picture.save(path, "PNG", compress_level=3)


def stacked(bins: np.ndarray, bin_s: float, edges_s: np.ndarray, height: int) -> np.ndarray:
    """(height, columns) class of each pixel, the first class at the bottom, one more than the last where no face was;
    `edges_s` are the columns' edges in seconds.
    """
    at = np.arange(len(bins) + 1) * bin_s
    sums = np.concatenate([np.zeros((1, bins.shape[1])), bins.cumsum(0)])
    mass = np.stack([np.diff(np.interp(edges_s, at, values)) for values in sums.T])  # (C, columns)
    total = mass.sum(0)
    there = total > 1e-9
    tops = np.divide(mass.cumsum(0), total, out=np.zeros_like(mass), where=there)
    level = 1 - (np.arange(height) + 0.5) / height
    shown = (tops[:-1, None] <= level[:, None]).sum(0)
    shown[:, ~there] = len(mass)
    return shown


def tick(span_s: float) -> float:
    """Seconds between two marks of a span, for at most eleven of them."""
    return next((step for step in TICKS_S if span_s / step <= 10), 3600.0 * np.ceil(span_s / 36000))


def fitted(text: str, font, wide: float) -> str:
    """`text`, with its middle left out when it would be wider than `wide` pixels."""
    text = plain(text).replace("\n", "\\n").encode("utf-8", "replace").decode()  # nor is every name UTF-8
    cut, keep = text, len(text)
    while (long := font.getlength(cut)) > wide and keep:
        keep = min(keep - 1, int(keep * wide / long))
        cut = text[: (keep + 1) // 2] + "..." + text[len(text) - keep // 2 :]
    return cut


def clock(time_s: float, tenths: bool = True) -> str:
    """83.4 -> 1:23.4, 3723.0 -> 1:02:03.0; without tenths 1:23."""
    count = round(time_s * 10)
    minutes, rest = divmod(count, 600)
    hours, minutes = divmod(minutes, 60)
    begin = f"{hours}:{minutes:02d}:" if hours else f"{minutes}:"
    return begin + f"{rest // 10:02d}" + (f".{rest % 10}" if tenths else "")
