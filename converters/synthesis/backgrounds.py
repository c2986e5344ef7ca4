"""Backgrounds without faces for composed scenes: pictures of a folder, or drawn ones of many kinds.

A generator of random numbers and a size come in, uint8 (H, W, 3) BGR goes out; the same generator state
gives the same background.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..errors import DataError
from ..images import decode, probe


def listed(folder: str | Path) -> list[str]:
    """The pictures under `folder`, sorted; DataError when there is none."""
    root = Path(folder)
    if not root.is_dir():
        raise DataError("no such folder of backgrounds", where=root)
    found = sorted(str(path) for path in root.rglob("*") if path.is_file() and probe(path).problem is None)
    if not found:
        raise DataError("has no picture that can serve as background", where=root)
    return found


def background(rng: np.random.Generator, size_wh: tuple[int, int], photos: Sequence[str] = ()) -> np.ndarray:
    """A piece of a photograph when there are any, else a drawn background."""
    if photos:
        return _piece(rng, decode(photos[int(rng.integers(len(photos)))]), size_wh)
    return drawn(rng, size_wh)


def _piece(rng, picture, size_wh):
    """A random window of the picture, mirrored at times, scaled to fill."""
    import cv2

    width, height = size_wh
    h, w = picture.shape[:2]
    largest = min(w / width, h / height)
    scale = largest * rng.uniform(0.5, 1.0)
    cw, ch = max(1, int(width * scale)), max(1, int(height * scale))
    x, y = rng.integers(w - cw + 1), rng.integers(h - ch + 1)
    window = cv2.resize(
        picture[y : y + ch, x : x + cw], size_wh, interpolation=cv2.INTER_AREA if scale > 1 else cv2.INTER_LINEAR
    )
    return np.ascontiguousarray(window[:, ::-1]) if rng.random() < 0.5 else window


def drawn(rng: np.random.Generator, size_wh: tuple[int, int]) -> np.ndarray:
    """One of: studio (a gradient with vignette), clouds of noise, a room of shapes, bokeh, stripes, foliage."""
    kinds = (_studio, _clouds, _shapes, _bokeh, _stripes, _foliage)
    canvas = kinds[rng.choice(len(kinds), p=(0.25, 0.2, 0.25, 0.1, 0.08, 0.12))](rng, size_wh)
    return np.clip(canvas, 0, 255).astype(np.uint8)


def palette_colour(rng: np.random.Generator) -> np.ndarray:
    """A colour as pictures have them: mostly muted, at times strong; BGR float (3,)."""
    import cv2

    hue, value = rng.uniform(0, 180), rng.uniform(15, 245)
    saturation = rng.uniform(0, 70) if rng.random() < 0.7 else rng.uniform(70, 230)
    colour = np.array([[[hue, saturation, value]]]).astype(np.uint8)
    return cv2.cvtColor(colour, cv2.COLOR_HSV2BGR)[0, 0].astype(np.float32)


def noise(rng: np.random.Generator, size_wh: tuple[int, int], finest: int = 4) -> np.ndarray:
    """Fractal noise: octaves of random grids, each half as strong and twice as fine; (H, W) in -1..1."""
    import cv2

    width, height = size_wh
    total, weight, cells = np.zeros((height, width), np.float32), 1.0, int(rng.integers(2, 5))
    while max(size_wh) / cells >= finest:
        grid = rng.uniform(-1, 1, (cells + 1, cells + 1)).astype(np.float32)
        total += weight * cv2.resize(grid, size_wh, interpolation=cv2.INTER_CUBIC)
        weight, cells = weight * rng.uniform(0.45, 0.7), cells * 2
    return total / max(1e-6, float(np.abs(total).max()))


def _mix(rng, amount, colours=None):
    a, b = colours or (palette_colour(rng), palette_colour(rng))
    amount = amount[..., None]
    return a * (1 - amount) + b * amount


def _studio(rng, size_wh):
    width, height = size_wh
    y, x = np.mgrid[:height, :width].astype(np.float32)
    angle = rng.uniform(0, 2 * math.pi)
    slope = ((x / width - 0.5) * math.cos(angle) + (y / height - 0.5) * math.sin(angle)) + 0.5
    cx, cy = rng.uniform(0.2, 0.8) * width, rng.uniform(0.2, 0.8) * height
    round_ = np.hypot((x - cx) / width, (y - cy) / height) / rng.uniform(0.6, 1.1)
    colour = palette_colour(rng)
    amount = np.clip(slope if rng.random() < 0.4 else round_, 0, 1)
    return _mix(rng, amount, (colour, colour * rng.uniform(0.15, 0.9))) + 5 * noise(rng, size_wh, 8)[..., None]


def _clouds(rng, size_wh):
    return _mix(rng, (noise(rng, size_wh, int(rng.choice([2, 4, 16, 48]))) + 1) / 2)


def _shapes(rng, size_wh):
    import cv2

    width, height = size_wh
    canvas = _studio(rng, size_wh) if rng.random() < 0.5 else _clouds(rng, size_wh)
    canvas = np.ascontiguousarray(canvas, np.float32)
    for _ in range(rng.integers(4, 30)):
        colour = tuple(float(v) for v in palette_colour(rng))
        x, y = int(rng.uniform(-0.1, 1) * width), int(rng.uniform(-0.1, 1) * height)
        w, h = int(np.exp(rng.uniform(1.5, 5.2))), int(np.exp(rng.uniform(1.5, 5.6)))
        kind = rng.random()
        if kind < 0.5:  # window, door, picture on the wall
            cv2.rectangle(
                canvas, (x, y), (x + w, y + h), colour, -1 if rng.random() < 0.75 else int(rng.integers(1, 6))
            )
        elif kind < 0.7:
            points = (np.array([x, y]) + rng.uniform(-1, 1, (rng.integers(3, 7), 2)) * (w, h)).astype(np.int32)
            cv2.fillPoly(canvas, [points], colour)
        elif kind < 0.85:
            cv2.line(
                canvas,
                (x, y),
                (x + w * 2, y + int(rng.integers(-h, h + 1))),
                colour,
                int(rng.integers(1, 8)),
                cv2.LINE_AA,
            )
        else:  # an ellipse in any colour, so that an ellipse is not a face
            cv2.ellipse(
                canvas,
                (x, y),
                (max(2, w // 2), max(2, h // 3)),
                float(rng.uniform(0, 180)),
                0,
                360,
                colour,
                -1,
                cv2.LINE_AA,
            )
    if rng.random() < 0.3:
        text = "".join(chr(rng.integers(48, 91)) for _ in range(rng.integers(3, 12)))
        place = int(rng.uniform(0, 0.7) * width), int(rng.uniform(0.1, 1) * height)
        font, scale, colour = (
            int(rng.integers(0, 7)),
            float(rng.uniform(0.4, 2.5)),
            tuple(map(float, palette_colour(rng))),
        )
        cv2.putText(canvas, text, place, font, scale, colour, int(rng.integers(1, 5)), cv2.LINE_AA)
    canvas += rng.uniform(0, 12) * noise(rng, size_wh, 2)[..., None]
    return cv2.GaussianBlur(canvas, (0, 0), float(rng.uniform(0.3, 5)))


def _bokeh(rng, size_wh):
    import cv2

    width, height = size_wh
    canvas = np.ascontiguousarray(_studio(rng, size_wh) * 0.6, np.float32)
    for _ in range(rng.integers(10, 60)):
        light = np.zeros_like(canvas)
        centre, radius = (int(rng.uniform(0, width)), int(rng.uniform(0, height))), int(rng.uniform(3, width / 9))
        cv2.circle(
            light, centre, radius, tuple(map(float, palette_colour(rng) * rng.uniform(0.2, 0.7))), -1, cv2.LINE_AA
        )
        canvas += light
    return cv2.GaussianBlur(canvas, (0, 0), float(rng.uniform(1, 6)))


def _stripes(rng, size_wh):
    width, height = size_wh
    y, x = np.mgrid[:height, :width].astype(np.float32)
    angle, period = rng.uniform(0, math.pi), rng.uniform(6, width / 4)
    wave = np.sin(
        (x * math.cos(angle) + y * math.sin(angle)) * 2 * math.pi / period + noise(rng, size_wh, 32) * rng.uniform(0, 3)
    )
    if rng.random() < 0.4:  # checks
        wave = wave * np.sin((y * math.cos(angle) - x * math.sin(angle)) * 2 * math.pi / period)
    return _mix(rng, np.clip(wave * rng.uniform(0.5, 4) + 0.5, 0, 1)) + 8 * noise(rng, size_wh, 4)[..., None]


def _foliage(rng, size_wh):
    import cv2

    width, height = size_wh
    canvas = np.ascontiguousarray(_clouds(rng, size_wh), np.float32)
    base, spread = palette_colour(rng), rng.uniform(15, 60)
    for _ in range(rng.integers(150, 500)):
        centre = int(rng.uniform(0, width)), int(rng.uniform(0, height))
        axes = int(rng.uniform(2, width / 14)), int(rng.uniform(1, width / 30))
        colour = tuple(map(float, np.clip(base + rng.normal(0, spread, 3) * 0.4 + rng.normal(0, spread), 0, 255)))
        cv2.ellipse(canvas, centre, axes, float(rng.uniform(0, 180)), 0, 360, colour, -1, cv2.LINE_AA)
    return cv2.GaussianBlur(canvas, (0, 0), float(rng.uniform(0.5, 4)))
