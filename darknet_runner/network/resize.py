"""A network's input, made from pictures exactly as Darknet makes it.

Darknet's bilinear resize aligns the corners: target pixel i reads the source at i * (in - 1) / (out - 1)
(src/image.c, resize_image). OpenCV's half-pixel resize moves boxes by over 2% of the picture on strong
downscales, and `cv2.remap` rounds positions to 1/32 pixel when it mixes them, so it only gathers the four taps of each
target pixel, as often as a size comes again by the same maps. The arithmetic is single precision as in Darknet,
because what it rounds shows: see `resize`.
"""

from __future__ import annotations

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
    (width, height), image = size_wh, picture if picture.ndim == 3 else picture[..., None]
    if image.shape[1::-1] == (width, height):
        return picture.astype(np.float32)
    large = width * height > SMALL and max(image.shape[:2]) < 2**15 and image.dtype in (np.uint8, np.float32)
    out = (_resize_by_maps if large else _resize_by_index)(
        np.ascontiguousarray(image) if large else image, width, height
    )
    return out if picture.ndim == 3 else out[..., 0]


SMALL = 128 * 128  # target pixels up to which making the maps takes longer than it saves


def _resize_by_index(image, width, height):
    left, right, share_x = taps(image.shape[1], width)
    top, bottom, share_y = taps(image.shape[0], height)

    def across(rows):
        out = rows.take(left, 1).astype(np.float32)
        step = rows.take(right, 1).astype(np.float32)
        step -= out
        step *= share_x[:, None]
        out += step
        out[:, -1] = rows[:, -1]
        return out

    out, step = across(image[top]), across(image[bottom])
    step[-1] = 0
    step -= out
    step *= share_y[:, None, None]
    out += step
    return out


def _resize_by_maps(image, width, height):
    """The same to the last bit, a third of the time: OpenCV gathers and reckons, converting on the way.

    Fresh memory costs as much as the arithmetic, so a thread keeps what lies between.
    """
    import cv2

    channels = image.shape[2]
    maps, share_x, share_y = _maps(image.shape[1::-1], (width, height), channels)
    first, second = _kept(image.dtype, (2, height, width * channels))
    step, out = _kept(np.float32, (height, width * channels)), np.empty((height, width * channels), np.float32)

    def across(left, right, out):
        for at, tap in ((left, first), (right, second)):
            cv2.remap(image, at, None, cv2.INTER_NEAREST, tap.reshape(height, width, channels))
        cv2.subtract(second, first, out, dtype=cv2.CV_32F)
        cv2.multiply(out, share_x, out)
        cv2.add(out, first, out, dtype=cv2.CV_32F)

    across(*maps[:2], out)
    across(*maps[2:], step)
    step[-1] = 0
    cv2.subtract(step, out, step)
    cv2.multiply(step, share_y, step)
    cv2.add(out, step, out)
    return out.reshape(height, width, channels)


_room = threading.local()


def _kept(dtype, shape) -> np.ndarray:
    """Memory of this thread's, what it held last time still in it; a few megabytes at most."""
    kept = vars(_room).setdefault("kept", {})
    name = np.dtype(dtype).name, len(shape)
    if name not in kept or kept[name].shape != shape:
        kept[name] = np.empty(shape, dtype)
    return kept[name]


@lru_cache(maxsize=4)
def _maps(source_wh, size_wh, channels):
    """Where the four taps of each target pixel lie, (h, w, 2) int16 each, and the shares of right and bottom, (h, w
    * channels).
    """
    (width, height), (left, right, share_x), (top, bottom, share_y) = (
        size_wh,
        taps(source_wh[0], size_wh[0]),
        taps(source_wh[1], size_wh[1]),
    )
    left, right, share_x = (
        np.append(values[:-1], last).astype(values.dtype)
        for values, last in ((left, source_wh[0] - 1), (right, source_wh[0] - 1), (share_x, 0))
    )
    maps = [np.stack(np.meshgrid(x, y), -1).astype(np.int16) for y in (top, bottom) for x in (left, right)]
    return maps, np.tile(np.repeat(share_x, channels), (height, 1)), np.repeat(share_y[:, None], width * channels, 1)


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
    return pack([resize(grey(picture) if channels == 1 else picture, size_wh) for picture in pictures])


def pack(planes) -> np.ndarray:
    """float32 (h, w, 3) BGR or (h, w) pictures in 0..255 -> (B, C, h, w) in 0..1, RGB or grey."""
    first = planes[0]
    channels = first.shape[2] if first.ndim == 3 else 1
    out = np.empty((len(planes), channels, *first.shape[:2]), np.float32)
    for index, plane in enumerate(planes):
        _place(plane, out[index])
    return out


def _place(plane: np.ndarray, out: np.ndarray) -> None:
    view = plane[..., ::-1].transpose(2, 0, 1) if plane.ndim == 3 else plane[None]
    np.multiply(view, np.float32(1 / 255), out=out)


def letterbox_blob(pictures, size_wh: tuple[int, int], channels: int = 3) -> tuple[np.ndarray, list]:
    """As `blob`, each picture in a letter box, and where in it each lies, as `letterbox` says."""
    width, height = size_wh
    out, placed = np.empty((len(pictures), channels, height, width), np.float32), []
    for index, picture in enumerate(pictures):
        w, h = letter_size(picture.shape[1::-1], size_wh)
        x, y = (width - w) // 2, (height - h) // 2
        for margin in (out[index, :, :y], out[index, :, y + h :], out[index, :, :, :x], out[index, :, :, x + w :]):
            margin[...] = np.float32(127.5) * np.float32(1 / 255)
        _place(resize(grey(picture) if channels == 1 else picture, (w, h)), out[index, :, y : y + h, x : x + w])
        placed.append(((width - w) / 2, (height - h) / 2, w, h))
    return out, placed


def grey(picture: np.ndarray) -> np.ndarray:
    import cv2

    return cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
