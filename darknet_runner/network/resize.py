"""A network's input, made from pictures exactly as Darknet makes it.

Darknet's bilinear resize aligns the corners: target pixel i reads the source at i * (in - 1) / (out - 1)
(src/image.c, resize_image). OpenCV's half-pixel resize moves boxes by over 2% of the picture on strong
downscales, and `cv2.remap` rounds positions to 1/32 pixel when it mixes them, so it serves for neither. The arithmetic
is single precision as in Darknet, because what it rounds shows: see `resize`.
"""

from __future__ import annotations

import math
import threading
from functools import lru_cache

import numpy as np


@lru_cache(maxsize=256)
def taps(size_in: int, size_out: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each target pixel: the two source pixels and the second one's share, each (size_out,)."""
    step = np.float32(size_in - 1) / np.float32(max(size_out - 1, 1))
    at = np.arange(size_out, dtype=np.float32) * step
    low = np.minimum(at.astype(int), size_in - 1)
    return low, np.minimum(low + 1, size_in - 1), at - low.astype(np.float32)


def resize(picture: np.ndarray, size_wh: tuple[int, int]) -> np.ndarray:
    """(H, W, C) or (H, W), of any number type -> float32 (h, w, C) or (h, w) in the same range.

    Where rounding puts the last row a hair before the last source row (7% of heights, such as 850 to 384) it is
    black: Darknet leaves the second tap of the last row out, and the first has next to no share. Its networks see
    that row, and their boxes there depend on it.
    """
    image = picture if picture.ndim == 3 else picture[..., None]
    out = np.empty((image.shape[2], *size_wh[::-1]), np.float32)
    _resize(image, out)
    return np.ascontiguousarray(out.transpose(1, 2, 0)) if picture.ndim == 3 else out[0]


AT_A_TIME = 2**17  # pixels of a channel, which stay in the cache until they are mixed


def _resize(image: np.ndarray, out: np.ndarray, factor: float = 1) -> None:
    """`out` (C, h, w) float32 becomes `factor` x the channels of `image` (H, W, C).

    Gathering whole rows takes a tenth of the time of gathering pixels, so a channel is turned to be mixed across.
    """
    import cv2

    (high, wide, channels), (height, width), scale = image.shape, out.shape[1:], np.float32(factor)
    image = image if image.dtype == np.uint8 else image.astype(np.float32, copy=False)
    if (high, wide) == (height, width):
        np.multiply(image.transpose(2, 0, 1), scale, out=out)
        return
    left, right, share_x = taps(wide, width)
    tops, bottoms, shares_y = taps(high, height)
    for start in range(0, height, step := max(1, AT_A_TIME // max(wide, width))):
        part = slice(start, start + step)
        rows = np.concatenate([tops[part], bottoms[part]])
        planes = _kept("planes", (channels, len(rows), wide), image.dtype)
        cv2.split(_taken(image, rows, "rows"), list(planes))
        for plane, target in zip(planes, out):
            turned = cv2.transpose(plane, _kept("turned", plane.shape[::-1], plane.dtype))
            first, second = _taken(turned, left, "first"), _taken(turned, right, "second")
            mixed = _kept("mixed", first.shape, np.float32)
            cv2.subtract(second, first, mixed, dtype=cv2.CV_32F)
            mixed *= share_x[:, None]
            cv2.add(mixed, first, mixed, dtype=cv2.CV_32F)
            mixed[-1] = turned[-1]
            upper, lower = np.split(cv2.transpose(mixed, _kept("back", mixed.shape[::-1], np.float32)), 2)
            if start + step >= height:
                lower[-1] = 0
            lower -= upper
            lower *= shares_y[part, None]
            upper += lower
            np.multiply(upper, scale, out=target[part])


_room = threading.local()


def _kept(name: str, shape: tuple[int, ...], dtype) -> np.ndarray:
    """This thread's own, a few megabytes, holding whatever it did: fresh memory costs as much as the arithmetic."""
    size, kept = math.prod(shape) * np.dtype(dtype).itemsize, vars(_room)
    if name not in kept or len(kept[name]) < size:
        kept[name] = np.empty(size, np.uint8)
    return kept[name][:size].view(dtype).reshape(shape)


def _taken(values: np.ndarray, index: np.ndarray, name: str) -> np.ndarray:
    return values.take(index, 0, _kept(name, (len(index), *values.shape[1:]), values.dtype), "clip")


def letter_size(source_wh: tuple[int, int], size_wh: tuple[int, int]) -> tuple[int, int]:
    """The size of a picture within a letter box (src/image.c, letterbox_image)."""
    (columns, rows), (width, height) = source_wh, size_wh
    if width / columns < height / rows:
        return width, max(rows * width // columns, 1)
    return max(columns * height // rows, 1), height


def letterbox(picture: np.ndarray, size_wh: tuple[int, int]) -> tuple[np.ndarray, tuple[float, float, int, int]]:
    """Resized to fit `size_wh` without distortion, grey (0.5) around it, and where it lies: (x, y, w, h).

    The size and the place are cut to whole pixels (src/image.c, letterbox_image), but boxes are put back
    by half the exact margin (src/yolo_layer.c, correct_yolo_boxes), which x and y are.
    """
    (width, height), (w, h) = size_wh, letter_size(picture.shape[1::-1], size_wh)
    x, y = (width - w) // 2, (height - h) // 2
    out = np.full((height, width, *picture.shape[2:]), 127.5, np.float32)
    out[y : y + h, x : x + w] = resize(picture, (w, h))
    return out, ((width - w) / 2, (height - h) / 2, w, h)


def blob(pictures, size_wh: tuple[int, int], channels: int = 3) -> np.ndarray:
    """BGR uint8 pictures (H, W, 3), stretched -> float32 (B, channels, h, w) in 0..1, RGB or grey."""
    out = np.empty((len(pictures), channels, *size_wh[::-1]), np.float32)
    for target, picture in zip(out, pictures):
        _place(picture, target)
    return out


def _place(picture: np.ndarray, out: np.ndarray) -> None:
    """`out` (C, h, w) becomes the picture in its size, RGB or grey, in 0..1."""
    _resize(grey(picture)[..., None] if len(out) == 1 else picture, out[::-1], 1 / 255)


def letterbox_blob(pictures, size_wh: tuple[int, int], channels: int = 3) -> tuple[np.ndarray, list]:
    """As `blob`, each picture in a letter box, and where in it each lies, as `letterbox` says."""
    width, height = size_wh
    out, placed = np.empty((len(pictures), channels, height, width), np.float32), []
    for index, picture in enumerate(pictures):
        w, h = letter_size(picture.shape[1::-1], size_wh)
        x, y = (width - w) // 2, (height - h) // 2
        for margin in (out[index, :, :y], out[index, :, y + h :], out[index, :, :, :x], out[index, :, :, x + w :]):
            margin[...] = np.float32(127.5) * np.float32(1 / 255)
        _place(picture, out[index, :, y : y + h, x : x + w])
        placed.append(((width - w) / 2, (height - h) / 2, w, h))
    return out, placed


def grey(picture: np.ndarray) -> np.ndarray:
    import cv2

    return cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
