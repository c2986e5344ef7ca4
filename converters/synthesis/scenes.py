"""Scenes for a detector, composed of face crops: several people a picture, with exact boxes.

A crop that a face fills teaches a detector nothing. Here crops become heads with hair, neck and
shoulders, at varied place, scale, tilt, tint and contrast, blended into varied backgrounds with a
feathered elliptical mask. Crops of 48 pixels are good for faces up to about twice that.

`plan` deals the faces to scenes; `compose` draws one from its own random generator, so a scene depends on
the seed and its number alone, not on the process that draws it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .backgrounds import background, noise, palette_colour

FACES = (1, 2, 3, 4, 5, 6, 8, 10)  # faces a scene, and how often
FACES_P = (0.22, 0.18, 0.16, 0.14, 0.1, 0.08, 0.07, 0.05)
MEAN_FACES = sum(n * p for n, p in zip(FACES, FACES_P))
SMALLEST = 22  # pixels: the least side of a face
GRID = 0.2  # share of scenes that are a grid of portraits, each on its own ground
GREY = 0.3  # share of scenes without colour
APART, CLOSE = (0.3, 0.65), (0.5, 0.85)  # share of its cell's side that a face of a grid takes
OWN_GROUND = 0.35  # share of heads that keep the crop's own surroundings, blurred outwards


def plan(splits: np.ndarray, scenes: int | None, seed: int, crowd: int | None = None) -> list[tuple[int, np.ndarray]]:
    """(split, indices of the faces) of each scene; every face is used before any is used again.

    `splits` (N,) is each face's split; `scenes` in all, shared out as the faces are, default one for
    every three or four faces. A scene's faces are of one split. With a `crowd` each has from a third of so many
    faces to all of them.
    """
    out = []
    numbers, odds = (FACES, FACES_P) if crowd is None else (np.arange(-(-crowd // 3), crowd + 1), None)
    mean = MEAN_FACES if crowd is None else float(np.mean(numbers))
    total, done = scenes or max(1, round(len(splits) / mean)), 0
    for split in np.unique(splits).tolist():
        members, rng = np.flatnonzero(splits == split), np.random.default_rng([seed, split, 0])
        begin, end = (
            round(total * share / len(splits)) for share in (done, done + len(members))
        )  # so that they add up
        many, done = max(1, end - begin), done + len(members)
        counts = rng.choice(numbers, many, p=odds)
        rounds = -(-int(counts.sum()) // len(members))
        deck = np.concatenate([rng.permutation(members) for _ in range(rounds)])
        out += [(split, hand) for hand in np.split(deck[: counts.sum()], np.cumsum(counts)[:-1])]
    return out


def roomy(size_wh: tuple[int, int]) -> int:
    """The largest crowd of which each face surely has SMALLEST pixels in a scene of (width, height) pixels; 0: none."""
    return max(0, int(min(size_wh) * 0.9 * CLOSE[0] / SMALLEST) - 1) ** 2


def compose(
    faces: list[np.ndarray],
    rng: np.random.Generator,
    size_wh: tuple[int, int],
    photos: Sequence[str] = (),
    crowd: bool = False,
):
    """A scene of the crops `faces` (uint8 HxW or HxWx3): uint8 (H, W, 3), boxes xyxy_px (K, 4), and which faces they
    are.

    Faces for which there is no room are left out, so K may be less than len(faces); boxes hardly overlap. A `crowd`
    stands in rows and columns, close together.
    """
    import cv2

    width, height = size_wh
    if crowd or (len(faces) > 1 and rng.random() < GRID):
        canvas, places = _grid(rng, len(faces), size_wh, photos, CLOSE if crowd else APART)
        canvas = canvas.astype(np.float32)
    else:
        canvas = background(rng, size_wh, photos).astype(np.float32)
        places = [(which, place, (0, 0, width, height)) for which, place in _places(rng, len(faces), size_wh)]
        _distract(rng, canvas, [place for _, place, _ in places], faces)
    heads = [(place, _head(rng, faces[which]), rng.random() < OWN_GROUND, cell) for which, place, cell in places]
    for (x, y, side), head, own, (left, top, right, bottom) in sorted(
        heads, key=lambda item: item[0][2]
    ):  # the far first
        view, place = canvas[top:bottom, left:right], (x - left, y - top, side)
        if own:
            _surroundings(view, place, head)
        _body(rng, view, place, head, hair=not own)
    for (x, y, side), head, own, (left, top, right, bottom) in heads:
        _paste(rng, canvas[top:bottom, left:right], (x - left, y - top, side), head, own)
    if rng.random() < GREY:
        canvas = np.repeat(cv2.cvtColor(canvas, cv2.COLOR_BGR2GRAY)[..., None], 3, axis=2)
    if rng.random() < 0.25:
        canvas = cv2.GaussianBlur(canvas, (0, 0), float(rng.uniform(0.4, 1.1)))
    contrast, light = rng.uniform(0.75, 1.2), rng.uniform(-20, 20)
    grain = rng.normal(0, rng.uniform(0, 6), canvas.shape[:2]).astype(np.float32)
    canvas = (canvas - 127) * contrast + 127 + light + grain[..., None]
    boxes = np.array([(x, y, x + s, y + s) for _, (x, y, s), _ in places], float).reshape(-1, 4)
    return (
        np.clip(canvas, 0, 255).astype(np.uint8),
        np.clip(boxes, 0, [width, height] * 2),
        [which for which, _, _ in places],
    )


def _places(rng, count, size_wh):
    """(which face, (x, y, side)) without overlap of the heads; sizes log-uniform, a few cut by the edge."""
    width, height = size_wh
    largest = min(0.75, 1.05 / count**0.5) * min(size_wh)
    places = []
    for which in range(count):
        for _ in range(30):
            side = int(np.exp(rng.uniform(np.log(SMALLEST), np.log(max(SMALLEST + 1, largest)))))
            over = side * (0.15 if rng.random() < 0.1 else -0.02)
            x, y = (
                int(rng.uniform(-over, width - side + over)),
                int(rng.uniform(0.05 * side, max(0.05 * side + 1, height - side + over))),
            )
            if not any(_in_the_way(x, y, side, *other) for _, other in places):
                places.append((which, (x, y, side)))
                break
    return places


def _in_the_way(x, y, side, a, b, s) -> bool:
    """True where two people must not stand: heads that touch, or a head on the chest of one who is nearer."""
    margin = 0.2 * max(side, s)
    if x < a + s + margin and a < x + side + margin and y < b + s + margin and b < y + side + margin:
        return True
    (fx, fy, far), (nx, ny, near) = ((x, y, side), (a, b, s)) if side < s else ((a, b, s), (x, y, side))
    return fy + far > ny + near and fx + far > nx - 0.5 * near and fx < nx + 1.5 * near


def _grid(rng, count, size_wh, photos, shares):
    """Portraits in rows and columns, each cell with its own or the same background: places with their cells."""
    width, height = size_wh
    columns = int(np.ceil(count**0.5)) + int(rng.random() < 0.3)
    rows = -(-count // columns)
    cw, ch = width // columns, height // rows
    canvas, places = np.zeros((height, width, 3), np.uint8), []
    same = background(rng, (cw, ch), photos) if rng.random() < 0.5 else None
    share = rng.uniform(*shares)
    for cell in range(rows * columns):
        left, top = cell % columns * cw, cell // columns * ch
        canvas[top : top + ch, left : left + cw] = same if same is not None else background(rng, (cw, ch), photos)
        side = int(min(cw, ch) * share * rng.uniform(0.9, 1.1))
        if cell < count and side >= SMALLEST:
            x = left + (cw - side) // 2 + int(rng.uniform(-0.25, 0.25) * (cw - side))
            places.append(
                (cell, (x, top + int(rng.uniform(0.2, 0.5) * (ch - side)), side), (left, top, left + cw, top + ch))
            )
    return canvas, places


def _head(rng, face):
    """The crop tinted: its pixels as BGR float, skin and hair colour taken from it."""
    grey = face if face.ndim == 2 else face[..., 1]
    if rng.random() < 0.5:
        face, grey = face[:, ::-1], grey[:, ::-1]
    h, w = grey.shape
    skin_grey = float(np.median(grey[int(0.5 * h) : int(0.75 * h), int(0.3 * w) : int(0.7 * w)]))
    hair_grey = float(np.percentile(grey[: max(1, h // 8)], 25))
    if face.ndim == 3:
        return (
            np.ascontiguousarray(face, np.float32),
            face[int(0.6 * h), int(0.3 * w)].astype(np.float32),
            palette_colour(rng) * 0.5,
        )
    table = skin_tones(rng)
    hair = table[int(min(hair_grey, 150))] * rng.uniform(0.5, 1.0)
    return table[grey], table[int(skin_grey)], hair


def skin_tones(rng) -> np.ndarray:
    """(256, 3) float, the BGR colour of each grey level of a face.

    Strongest in the mid tones, paling to white, with the mean light kept; hue and strength vary from person to
    person, and the light from scene to scene.
    """
    blue = rng.uniform(0.58, 0.82)
    tone = np.array(
        [blue, 0.5 * (blue + 1) + rng.uniform(-0.05, 0.0), 1.0], np.float32
    )  # green lies between blue and red, or skin looks sick
    levels = np.arange(256, dtype=np.float32)[:, None]
    tint = 1 + (tone - 1) * rng.uniform(0.6, 1.0) * np.clip(1.25 - np.abs(levels / 255 - 0.45) * 1.3, 0, 1)
    light = np.array([rng.uniform(0.92, 1.06), 1.0, rng.uniform(0.96, 1.06)], np.float32)
    return np.clip(levels * tint * light / tint.mean(axis=1, keepdims=True), 0, 255)


def _window(canvas, x1, y1, x2, y2):
    """The part of the canvas under the box, and the box's origin in it; None when they do not meet."""
    h, w = canvas.shape[:2]
    a, b, c, d = max(0, int(x1)), max(0, int(y1)), min(w, int(x2)), min(h, int(y2))
    return (canvas[b:d, a:c], a, b) if c > a and d > b else None


def _blend(view, mask, colour):
    view += mask[..., None] * (colour - view)


def _shape(view_shape, draw, soft):
    """A soft mask (h, w) in 0..1 of what `draw` fills."""
    import cv2

    mask = np.zeros(view_shape[:2], np.uint8)
    draw(mask)
    if soft > 0.3:
        mask = cv2.GaussianBlur(mask, (0, 0), float(soft))
    return mask.astype(np.float32) / 255


def _surroundings(canvas, place, head):
    """The crop carried on beyond its edges, ever more blurred, so that its hair and ground go on behind it."""
    import cv2

    x, y, side = place
    out = int(0.5 * side)
    small = cv2.resize(head[0], (40, 40), interpolation=cv2.INTER_AREA)
    wide = cv2.copyMakeBorder(small, 28, 28, 28, 28, cv2.BORDER_REFLECT if side % 2 else cv2.BORDER_REPLICATE)
    wide = cv2.resize(
        cv2.GaussianBlur(wide, (0, 0), 7), (side + 2 * out, side + 2 * out), interpolation=cv2.INTER_CUBIC
    )
    v = np.abs(np.linspace(-1, 1, side + 2 * out, dtype=np.float32))
    mask = np.clip((1 - np.maximum(v[:, None] ** 4 + v[None, :] ** 4, 0) ** 0.25) / 0.35, 0, 1)
    found = _window(canvas, x - out, y - out, x - out + wide.shape[1], y - out + wide.shape[0])
    if found is not None:
        view, left, top = found
        a, b = left - x + out, top - y + out
        part = slice(b, b + view.shape[0]), slice(a, a + view.shape[1])
        _blend(view, mask[part], wide[part])


def _body(rng, canvas, place, head, hair=True):
    """Shoulders down to the picture's edge, neck, and the hair behind the face, drawn under it."""
    import cv2

    x, y, side = place
    _, skin, hair_colour = head
    found = _window(canvas, x - 1.3 * side, y - 0.6 * side, x + 2.3 * side, canvas.shape[0])
    if found is None:
        return
    view, left, top = found
    cx, cy = x + side / 2 - left, y + side / 2 - top
    at = lambda dx, dy: (int(cx + dx * side), int(cy + dy * side))
    size = lambda w, h: (max(1, int(w * side)), max(1, int(h * side)))
    soft = max(0.5, side * 0.02)
    wide, drop = rng.uniform(0.8, 1.2), rng.uniform(0.8, 1.0)
    shade = 1 + 0.2 * noise(rng, (view.shape[1], view.shape[0]), 6)[..., None]
    ellipse = lambda centre, axes: lambda m: cv2.ellipse(m, centre, axes, 0, 0, 360, 255, -1)
    if hair and rng.random() < 0.4:  # long
        axes = size(rng.uniform(0.56, 0.72), rng.uniform(0.75, 1.2))
        _blend(view, _shape(view.shape, ellipse(at(0, 0.25), axes), soft), hair_colour * shade)
    if rng.random() < 0.92:  # else a head without a body: a mask, a statue, a close crop
        cloth = skin if rng.random() < 0.12 else palette_colour(rng)
        waist = wide * rng.uniform(0.75, 1.0)

        def shoulders(mask):
            across = np.linspace(-1, 1, 25)
            slope = [at(wide * u, drop + 0.35 * abs(u) ** 3 - 0.25 * (1 - abs(u)) ** 2) for u in across]
            cv2.fillPoly(
                mask,
                [
                    np.array(
                        [*slope, at(waist, 4), at(waist * 0.8, 7.5), at(-waist * 0.8, 7.5), at(-waist, 4)], np.int32
                    )
                ],
                255,
            )

        _blend(view, _shape(view.shape, shoulders, soft), cloth * shade)
        neck = np.array(
            [at(-0.24, 0.2), at(0.24, 0.2), at(0.27, 0.7), at(0.1, 0.9), at(-0.1, 0.9), at(-0.27, 0.7)], np.int32
        )
        _blend(
            view, _shape(view.shape, lambda m: cv2.fillPoly(m, [neck], 255), soft), skin * rng.uniform(0.6, 0.9) * shade
        )
    if hair:
        if rng.random() < 0.85:
            axes = size(rng.uniform(0.5, 0.6), rng.uniform(0.54, 0.66))
            _blend(view, _shape(view.shape, ellipse(at(0, -0.12), axes), soft * 1.5), hair_colour * shade)
        _blend(view, _shape(view.shape, ellipse(at(0, 0.04), size(0.45, 0.56)), soft * 1.5), skin * 0.92 * shade)


def _paste(rng, canvas, place, head, whole=False):
    """The face itself, tilted a little, through a feathered superellipse; nearly all of the crop when `whole`."""
    import cv2

    x, y, side = place
    pixels = cv2.resize(
        head[0], (side, side), interpolation=cv2.INTER_AREA if side < head[0].shape[0] else cv2.INTER_CUBIC
    )
    if side > 90 and rng.random() < 0.7:  # enlarged crops are soft; part of them get their edges back
        pixels = pixels + rng.uniform(0.3, 1.0) * (pixels - cv2.GaussianBlur(pixels, (0, 0), side / 60))
    if rng.random() < 0.5:
        turn = cv2.getRotationMatrix2D((side / 2, side / 2), float(rng.uniform(-14, 14)), 1)
        pixels = cv2.warpAffine(pixels, turn, (side, side), borderMode=cv2.BORDER_REFLECT)
    pixels = np.clip((pixels - pixels.mean()) * rng.uniform(0.8, 1.15) + pixels.mean(), 0, 255)
    v, u = np.mgrid[:side, :side].astype(np.float32)
    u, v = np.abs((u + 0.5) / side * 2 - 1), np.abs((v + 0.5) / side * 2 - 1)
    power, feather = (rng.uniform(4, 8), 0.3) if whole else (rng.uniform(2.2, 3.5), rng.uniform(0.12, 0.35))
    mask = np.clip((1 - (u**power + v**power) ** (1 / power)) / feather, 0, 1)
    mask = mask * mask * (3 - 2 * mask)
    found = _window(canvas, x, y, x + side, y + side)
    if found is not None:
        view, left, top = found
        a, b = left - x, top - y
        part = slice(b, b + view.shape[0]), slice(a, a + view.shape[1])
        _blend(view, mask[part], pixels[part])


def _distract(rng, canvas, places, faces):
    """What is near to a face and is none: heads from behind, patches of faces in disorder, bare skin."""
    import cv2

    height, width = canvas.shape[:2]
    for _ in range(rng.poisson(1.0)):
        side = int(np.exp(rng.uniform(np.log(SMALLEST), np.log(max(SMALLEST + 1, 0.3 * min(width, height))))))
        x, y = int(rng.uniform(0, width - side)), int(rng.uniform(0, height - side))
        if any(x + 1.3 * side > a and a + 1.3 * s > x and y + 1.3 * side > b and b + 1.3 * s > y for a, b, s in places):
            continue
        head = _head(rng, faces[rng.integers(len(faces))])
        kind = rng.random()
        if kind < 0.4:  # from behind
            _body(rng, canvas, (x, y, side), (None, head[2], head[2]))
        elif kind < 0.75:
            tile = (
                cv2.resize(head[0], (48, 48)).reshape(4, 12, 4, 12, 3).transpose(0, 2, 1, 3, 4).reshape(16, 12, 12, 3)
            )
            tile = tile[rng.permutation(16)].reshape(4, 4, 12, 12, 3).transpose(0, 2, 1, 3, 4).reshape(48, 48, 3)
            _paste(rng, canvas, (x, y, side), (tile, *head[1:]))
        else:
            found = _window(canvas, x, y, x + side, y + side)
            if found is not None:
                view = found[0]
                oval = np.zeros(view.shape[:2], np.uint8)
                cv2.ellipse(
                    oval, (side // 2, side // 2), (side // 2, side // 4), float(rng.uniform(0, 180)), 0, 360, 255, -1
                )
                _blend(view, cv2.GaussianBlur(oval, (0, 0), side * 0.05).astype(np.float32) / 255, head[1])
