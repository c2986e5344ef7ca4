"""Pictures in which there is no face, to measure a face finder on or to teach one: drawn ones, and photographs with the
faces painted out.

    draw("badges", np.random.default_rng(0), (320, 240))       one of KINDS, uint8 BGR (240, 320, 3)
    ground(rng, (320, 240))                                     cloth to draw on
    painted_out(picture, [(70, 60, 160, 170)], rng)            the same photograph without those faces
    adorned(picture, [(70, 60, 160, 170)], rng)                badges, tags and buttons around the faces

Nothing here is taken from any picture; the same generator state gives the same pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from converters.synthesis import datasets
from converters.synthesis.backgrounds import background, noise, palette_colour

SizeWh = tuple[int, int]
Box = Sequence[float]  # xyxy_px
LETTERS = "ABCDEFGHIKLMNOPRSTUVWZ0123456789"
FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_COMPLEX, cv2.FONT_HERSHEY_TRIPLEX)


def _colour(rng: np.random.Generator) -> tuple[float, ...]:
    return tuple(float(value) for value in palette_colour(rng))


def _metal(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Gold, brass or silver: its light and its dark, BGR."""
    light = np.array([(90, 200, 240), (120, 190, 215), (225, 225, 225)][rng.integers(3)], float)
    return light * rng.uniform(0.8, 1.05), light * rng.uniform(0.15, 0.4)


def ground(rng: np.random.Generator, size_wh: SizeWh) -> np.ndarray:
    """Cloth, mostly dark and at times with folds, a seam or a lapel; or any background."""
    if rng.random() < 0.3:
        return background(rng, size_wh)
    colour = palette_colour(rng) * rng.choice((0.25, 0.5, 1.0))
    folds = 1 + rng.uniform(0.05, 0.4) * noise(rng, size_wh, int(rng.integers(2, 12)))[..., None]
    canvas = np.clip(np.ones((size_wh[1], size_wh[0], 3)) * colour * folds, 0, 255).astype(np.uint8)
    for _ in range(rng.integers(0, 4)):
        ends = [(int(rng.uniform(0, size_wh[0])), int(rng.uniform(0, size_wh[1]))) for _ in range(3)]
        shade = tuple(float(value) for value in colour * rng.uniform(0.4, 1.6))
        if rng.random() < 0.5:
            cv2.fillPoly(canvas, [np.array(ends)], shade, cv2.LINE_AA)
        else:
            cv2.line(canvas, ends[0], ends[1], shade, int(rng.integers(1, 5)), cv2.LINE_AA)
    return canvas


def _word(rng: np.random.Generator, most: int = 9) -> str:
    return "".join(rng.choice(list(LETTERS), rng.integers(2, most)))


def _write(canvas, text, origin, height, colour, rng) -> None:
    """Text whose capitals are `height` pixels high, its lower left corner at `origin`."""
    thick = max(1, round(height / rng.uniform(5, 10)))
    font = FONTS[rng.integers(len(FONTS))]
    cv2.putText(canvas, text, origin, font, height / 22, colour, thick, cv2.LINE_AA)


def _star(centre, radius, points, inner, turn) -> np.ndarray:
    angles = turn + np.arange(2 * points) * np.pi / points
    radii = np.where(np.arange(2 * points) % 2, radius * inner, radius)
    return (np.stack([np.cos(angles), np.sin(angles)], 1) * radii[:, None] + centre).astype(np.int32)


def button(canvas: np.ndarray, rng: np.random.Generator, centre: tuple[int, int], radius: int) -> None:
    """A button: a metal or plastic disc with a rim and holes, a star, spokes, rings or relief on it."""
    light, dark = _metal(rng) if rng.random() < 0.7 else (palette_colour(rng), palette_colour(rng) * 0.4)
    tone = lambda share: tuple(float(value) for value in dark + (light - dark) * share)
    cv2.circle(canvas, centre, radius, tone(rng.uniform(0.2, 0.9)), -1, cv2.LINE_AA)
    cv2.circle(canvas, centre, radius, tone(rng.uniform(0, 1)), max(1, radius // 6), cv2.LINE_AA)
    shift = (rng.uniform(-0.3, 0.3, 2) * radius).astype(int)
    glow = (centre[0] + int(shift[0]), centre[1] + int(shift[1]))
    cv2.circle(canvas, glow, max(1, int(radius * rng.uniform(0.3, 0.6))), tone(rng.uniform(0.6, 1)), -1, cv2.LINE_AA)
    kind = rng.integers(5)
    if kind == 0:
        gap = radius * rng.uniform(0.2, 0.35)
        for turn in np.arange(rng.choice((2, 4))) * np.pi / 2 + rng.uniform(0, np.pi):
            hole = (int(centre[0] + gap * np.cos(turn)), int(centre[1] + gap * np.sin(turn)))
            cv2.circle(canvas, hole, max(1, radius // 7), tone(0), -1, cv2.LINE_AA)
    elif kind == 1:
        star = _star(centre, radius * 0.7, int(rng.integers(4, 9)), rng.uniform(0.3, 0.6), rng.uniform(0, 6))
        cv2.fillPoly(canvas, [star], tone(0.1), cv2.LINE_AA)
    elif kind == 2:
        for _ in range(rng.integers(1, 4)):
            cv2.circle(canvas, centre, max(1, int(radius * rng.uniform(0.2, 0.8))), tone(rng.random()), 1, cv2.LINE_AA)
    else:
        for _ in range(rng.integers(4, 14)):  # relief: an anchor, an eagle, a coat of arms, too small to be made out
            ends = (np.array(centre) + rng.normal(0, 0.35, (3, 2)) * radius).astype(np.int32)
            shade = tone(rng.random())
            if rng.random() < 0.5:
                cv2.line(canvas, tuple(map(int, ends[0])), tuple(map(int, ends[1])), shade, max(1, radius // 8))
            else:
                cv2.fillPoly(canvas, [ends], shade, cv2.LINE_AA)


def emblem(canvas: np.ndarray, rng: np.random.Generator, centre: tuple[int, int], radius: int) -> None:
    """A badge: a shield, oval or star with stripes, wings, wreath or letters, alike on both sides as badges are."""
    x, y = centre
    light, dark = _metal(rng)
    metal, edge = tuple(map(float, light)), tuple(map(float, dark))
    one, two = _colour(rng), _colour(rng)
    if rng.random() < 0.6:  # wings or leaves
        for _ in range(rng.integers(3, 9)):
            dx, dy = rng.uniform(0.5, 1.6) * radius, rng.uniform(-0.9, 0.9) * radius
            axes = (max(1, int(radius * rng.uniform(0.15, 0.5))), max(1, int(radius * rng.uniform(0.08, 0.2))))
            turn, colour = float(rng.uniform(-70, 70)), metal if rng.random() < 0.7 else edge
            for side in (-1, 1):
                place = (int(x + side * dx), int(y + dy))
                cv2.ellipse(canvas, place, axes, side * turn, 0, 360, colour, -1, cv2.LINE_AA)
    kind = rng.integers(4)
    if kind == 0:
        half = np.array([(0, -1), (0.75, -0.9), (0.75, 0.2), (0.4, 0.75), (0, 1)]) * radius
        points = np.concatenate([half, half[::-1] * (-1, 1)]) + centre
    elif kind == 1:
        points = _star(centre, radius, int(rng.integers(5, 13)), rng.uniform(0.5, 0.85), -np.pi / 2)
    else:
        wide = rng.uniform(0.6, 1.2)
        angles = np.linspace(0, 2 * np.pi, 40)
        points = np.stack([np.cos(angles) * wide, np.sin(angles)], 1) * radius + centre
    points = points.astype(np.int32)
    mask = np.zeros(canvas.shape[:2], np.uint8)
    cv2.fillPoly(mask, [points], 255)
    inside = np.empty_like(canvas)
    inside[:] = one
    for step in range(int(rng.integers(0, 6))):  # stripes, bands, or a smaller shape
        if rng.random() < 0.5:
            left = int(x + (step - 2.5) * radius / 2.5)
            cv2.rectangle(inside, (left, y - radius), (left + max(1, radius // 5), y + radius), two, -1)
        else:
            top = int(y + rng.uniform(-0.9, 0.7) * radius)
            cv2.rectangle(inside, (x - radius, top), (x + radius, top + max(1, radius // 4)), two, -1)
    if rng.random() < 0.5:
        star = _star(centre, radius * rng.uniform(0.3, 0.6), 5, 0.45, -np.pi / 2)
        cv2.fillPoly(inside, [star], metal, cv2.LINE_AA)
    if rng.random() < 0.3:
        _write(inside, _word(rng, 4), (x - radius // 2, y + radius // 4), max(3, radius // 2), edge, rng)
    canvas[mask > 0] = inside[mask > 0]
    cv2.polylines(canvas, [points], True, metal if rng.random() < 0.5 else edge, max(1, radius // 8), cv2.LINE_AA)


def embroidery(canvas: np.ndarray, rng: np.random.Generator, centre: tuple[int, int], radius: int) -> None:
    """A badge as on caps and sleeves: many small bright stitches on dark cloth, alike left and right."""
    x, y = centre
    light, _ = _metal(rng)
    threads = [tuple(map(float, light)), (235.0, 235.0, 240.0), _colour(rng)]
    ground = tuple(float(value) for value in palette_colour(rng) * 0.2)
    axes = (int(radius * rng.uniform(0.9, 1.5)), int(radius * rng.uniform(0.8, 1.1)))
    cv2.ellipse(canvas, centre, axes, 0, 0, 360, ground, -1, cv2.LINE_AA)
    for _ in range(rng.integers(12, 45)):
        where, along = rng.normal(0, 0.45, 2) * radius, rng.normal(0, 0.18, 2) * radius
        colour, thick = (
            threads[rng.integers(3) if rng.random() < 0.3 else 0],
            max(1, int(radius * rng.uniform(0, 0.14))),
        )
        for side in (-1, 1):
            ends = [(int(x + side * at[0]), int(y + at[1])) for at in (where - along, where + along)]
            cv2.line(canvas, ends[0], ends[1], colour, thick, cv2.LINE_AA)
    if rng.random() < 0.6:
        emblem(canvas, rng, centre, max(2, int(radius * 0.4)))


def tag(canvas: np.ndarray, rng: np.random.Generator, centre: tuple[int, int], height: int) -> None:
    """A name tag: a plate with a word, at times with a small badge beside it, or a row of ribbons."""
    x, y = centre
    word = _word(rng, 13)
    width = int(height * rng.uniform(2, 6))
    ground, ink = _colour(rng), _colour(rng)
    left, top, right, bottom = x - width // 2, y - height // 2, x + width // 2, y + height // 2
    cv2.rectangle(canvas, (left, top), (right, bottom), ground, -1)
    if rng.random() < 0.5:
        cv2.rectangle(canvas, (left, top), (right, bottom), ink, 1)
    if rng.random() < 0.25:  # ribbons
        at = left
        while at < right:
            wide = max(1, int(height * rng.uniform(0.08, 0.4)))
            cv2.rectangle(canvas, (at, top), (min(right, at + wide), bottom), _colour(rng), -1)
            at += wide
        if rng.random() < 0.7:
            cv2.line(canvas, (left, y), (right, y), ground, 1)
        return
    with_badge = rng.random() < 0.5
    start = left + (height if with_badge else height // 4)
    if with_badge:
        emblem(canvas, rng, (left + height // 2, y), max(2, int(height * 0.36)))
    _write(canvas, word[: max(2, int((right - start) / (0.45 * height)))], (start, y + height // 5), max(3, height // 3), ink, rng)  # fmt: skip # noqa: E501


def _scattered(rng, canvas, draw: Callable, share: tuple[float, float], count: int) -> np.ndarray:
    """`draw` so often, at sizes of `share` of the shorter side."""
    height, width = canvas.shape[:2]
    for _ in range(count):
        size = int(min(height, width) * np.exp(rng.uniform(*np.log(share))))
        draw(canvas, rng, (int(rng.uniform(0, width)), int(rng.uniform(0, height))), max(3, size))
    return canvas


def _badges(rng, size_wh):
    return _scattered(rng, ground(rng, size_wh), emblem, (0.02, 0.3), int(rng.integers(1, 6)))


def _tags(rng, size_wh):
    return _scattered(rng, ground(rng, size_wh), tag, (0.04, 0.25), int(rng.integers(1, 5)))


def _buttons(rng, size_wh):
    canvas = ground(rng, size_wh)
    if rng.random() < 0.5:  # in a row, as on a coat
        radius, count = int(min(size_wh) * rng.uniform(0.02, 0.09)), int(rng.integers(3, 8))
        x, y, dx = rng.uniform(0.2, 0.8) * size_wh[0], rng.uniform(0, 0.2) * size_wh[1], rng.normal(0, 0.02)
        for index in range(count):
            button(canvas, rng, (int(x + dx * index * size_wh[0]), int(y + index * size_wh[1] / count)), max(3, radius))
        return canvas
    return _scattered(rng, canvas, button, (0.015, 0.35), int(rng.integers(1, 8)))


def _circles(rng, size_wh):
    def ring(canvas, rng, centre, radius):
        thick = -1 if rng.random() < 0.5 else max(1, int(radius * rng.uniform(0.05, 0.4)))
        axes = (radius, max(1, int(radius * rng.uniform(0.5, 1))))
        cv2.ellipse(canvas, centre, axes, float(rng.uniform(0, 180)), 0, 360, _colour(rng), thick, cv2.LINE_AA)

    return _scattered(rng, background(rng, size_wh), ring, (0.02, 0.4), int(rng.integers(2, 20)))


def _text(rng, size_wh):
    canvas = np.full((size_wh[1], size_wh[0], 3), _colour(rng), np.uint8)
    y = 0
    while y < size_wh[1]:
        height = int(np.exp(rng.uniform(np.log(5), np.log(size_wh[1] / 5))))
        y += int(height * 1.6)
        words = " ".join(_word(rng) for _ in range(1 + size_wh[0] // (4 * height)))
        _write(canvas, words, (int(rng.uniform(0, size_wh[0] / 8)), y), height, _colour(rng), rng)
    return canvas


def _gradients(rng, size_wh):
    corners = np.stack([[palette_colour(rng) for _ in range(2)] for _ in range(2)]).astype(np.float32)
    return np.clip(cv2.resize(corners, size_wh, interpolation=cv2.INTER_LINEAR), 0, 255).astype(np.uint8)


def _noise(rng, size_wh):
    shape = (size_wh[1], size_wh[0], 3)
    if rng.random() < 0.5:
        return np.clip(rng.normal(rng.uniform(60, 190), rng.uniform(10, 80), shape), 0, 255).astype(np.uint8)
    clouds = np.stack([noise(rng, size_wh, int(rng.integers(2, 30))) for _ in range(3)], -1)
    return np.clip(127 + clouds * rng.uniform(40, 128), 0, 255).astype(np.uint8)


def _textures(rng, size_wh):
    """Tiles: bricks, weave, checks, dots, scales, of one small piece again and again."""
    side = int(np.exp(rng.uniform(np.log(6), np.log(90))))
    tile = np.full((side, side, 3), _colour(rng), np.uint8)
    for _ in range(rng.integers(1, 6)):
        a, b = (tuple(map(int, rng.integers(0, side, 2))) for _ in range(2))
        kind, colour = rng.integers(3), _colour(rng)
        if kind == 0:
            cv2.rectangle(tile, a, b, colour, -1)
        elif kind == 1:
            cv2.line(tile, a, b, colour, max(1, side // 10), cv2.LINE_AA)
        else:
            cv2.circle(tile, a, max(1, int(side * rng.uniform(0.05, 0.4))), colour, -1, cv2.LINE_AA)
    rows = np.tile(tile, (size_wh[1] // side + 1, size_wh[0] // side + 2, 1))
    return np.ascontiguousarray(rows[: size_wh[1], : size_wh[0]])


def _rooms(rng, size_wh):
    """The drawn media's rooms and streets, and the backgrounds that scenes are composed on."""
    return datasets.draw_background(size_wh, rng) if rng.random() < 0.5 else background(rng, size_wh)


KINDS: dict[str, Callable] = {
    "badges": _badges,
    "tags": _tags,
    "buttons": _buttons,
    "circles": _circles,
    "text": _text,
    "gradients": _gradients,
    "noise": _noise,
    "textures": _textures,
    "rooms": _rooms,
}


def draw(kind: str, rng: np.random.Generator, size_wh: SizeWh) -> np.ndarray:
    """A picture of that kind without any face, as a camera would see it: uint8 BGR (H, W, 3)."""
    return shot(KINDS[kind](rng, size_wh), rng)


def shot(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The picture softened and with grain, each at times; uint8, of the same shape."""
    if rng.random() < 0.6:
        picture = cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(0.3, 1.6)))
    grain = rng.normal(0, rng.uniform(0, 6), picture.shape[:2])[..., None]
    return np.clip(picture + grain, 0, 255).astype(np.uint8)


def painted_out(picture: np.ndarray, boxes: Sequence[Box], rng: np.random.Generator, wide: float = 1.35) -> np.ndarray:
    """The picture without the faces in `boxes`, each `wide` times as large, filled from what is around them."""
    height, width = picture.shape[:2]
    mask = np.zeros((height, width), np.uint8)
    for x1, y1, x2, y2 in boxes:
        centre = (round((x1 + x2) / 2), round((y1 + y2) / 2 - 0.05 * (y2 - y1)))
        axes = (max(1, round((x2 - x1) / 2 * wide)), max(1, round((y2 - y1) / 2 * wide)))
        cv2.ellipse(mask, centre, axes, 0, 0, 360, 255, -1)
    scale = min(1.0, 64 / max(height, width))  # coarse: what is behind a face has no detail of it
    small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    hole = (cv2.resize(mask, small.shape[1::-1], interpolation=cv2.INTER_AREA) > 0).astype(np.uint8)
    filled = cv2.resize(cv2.inpaint(small, hole, 3, cv2.INPAINT_TELEA), (width, height), interpolation=cv2.INTER_CUBIC)
    share = cv2.GaussianBlur(mask, (0, 0), max(1.0, max(height, width) / 120)).astype(np.float32)[..., None] / 255
    share = np.maximum(share, (mask > 0)[..., None])
    grain = rng.normal(0, 3, (height, width, 1))
    return np.clip(picture * (1 - share) + (filled + grain) * share, 0, 255).astype(np.uint8)


def adorned(picture: np.ndarray, boxes: Sequence[Box], rng: np.random.Generator) -> np.ndarray:
    """A copy with badges, tags and buttons where no face is; sizes go by the largest face, as on people's clothes.

    At times one more badge lies above a face, where a cap has it.
    """
    out, (height, width) = picture.copy(), picture.shape[:2]
    side = max((y2 - y1 for _, y1, _, y2 in boxes), default=min(height, width) / 3)
    for _ in range(rng.integers(2, 7)):
        size = max(4, int(side * np.exp(rng.uniform(np.log(0.05), np.log(0.22)))))
        x, y = int(rng.uniform(0, width)), int(rng.uniform(0, height))
        far = size * 3.2
        if any(x1 - far < x < x2 + far and y1 - size * 1.7 < y < y2 + size * 1.7 for x1, y1, x2, y2 in boxes):
            continue
        (button, emblem, tag, embroidery)[rng.integers(4)](out, rng, (x, y), size)
    for x1, y1, x2, y2 in boxes:
        size = int(rng.uniform(0.06, 0.16) * (y2 - y1))
        y = int(y1 - size * 2.5)
        if y > size > 2 and rng.random() < 0.4:
            (emblem, embroidery)[rng.integers(2)](
                out, rng, (int((x1 + x2) / 2 + rng.normal(0, 0.05) * (x2 - x1)), y), size
            )
    return out
