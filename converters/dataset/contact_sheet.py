"""A contact sheet: many pictures of a Darknet set on one, with their boxes and classes.

Which pictures are shown is drawn by a hash of their names, so the same seed shows the same ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..boxes import cxcywh_rel_to_xyxy
from ..darknet_format.dataset import DarknetSet
from ..errors import DataError, MediaError, UsageError, nearest
from ..images import decode
from ..output_folder import replacing
from ..table import splits
from ..terminal_text import drawable

# One BGR colour a class, told apart on light and dark, and by people who see no red and green (Okabe & Ito 2008).
COLOURS = (
    (255, 255, 255),
    (66, 228, 240),
    (233, 180, 86),
    (0, 159, 230),
    (167, 121, 204),
    (115, 158, 0),
    (0, 94, 213),
    (178, 114, 0),
)


def contact_sheet(
    one: DarknetSet,
    *,
    count: int = 48,
    columns: int = 8,
    tile: int = 160,
    split: str | None = None,
    only: str | None = None,
    seed: int = 0,
    images: Sequence[str] | None = None,
) -> tuple[np.ndarray, list[str]]:
    """Up to `count` pictures, as (sheet uint8 BGR, the paths shown, row by row).

    `split` and `only` (a class) narrow the choice; `images` replaces it. A picture or label that cannot be
    read is shown as a dark tile that says so. UsageError for a split or class there is not; DataError when
    nothing is left.
    """
    import cv2

    if split is not None and split not in one.images:
        raise UsageError(f"the set has no split '{split}'", mend=nearest(split, one.images))
    if only is not None and only not in one.names:
        raise UsageError(f"the set has no class '{only}'", mend=nearest(only, one.names))
    if images is None:
        pool = dict.fromkeys(image for name, listed in one.images.items() if split in (None, name) for image in listed)
        ranked = sorted(pool, key=lambda image: splits.unit(Path(image).name, seed))
        if only is None:
            images = ranked[:count]
        else:
            images, wanted = [], one.names.index(only)
            for image in ranked:
                if len(images) == count:
                    break
                if wanted in _faces(one, image)[0][:, 0]:
                    images.append(image)
    images = list(images)[:count]
    if not images:
        raise DataError("no picture to show", where=one.data.path)
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    sheet = np.full((rows * (tile + 4) + 4, columns * (tile + 4) + 4, 3), 32, np.uint8)
    for index, image in enumerate(images):
        y, x = (4 + (tile + 4) * k for k in divmod(index, columns))
        sheet[y : y + tile, x : x + tile] = _tile(cv2, one, image, tile)
    return sheet, images


def _faces(one, image):
    try:
        return one.faces(image), None
    except DataError as error:
        return np.zeros((0, 5)), error.what


def _tile(cv2, one, image, tile):
    out = np.full((tile, tile, 3), 16, np.uint8)
    rows, fault = _faces(one, image)
    try:
        picture = decode(image)
    except MediaError as error:
        fault, rows = error.what, rows[:0]
    else:
        height, width = picture.shape[:2]
        scale = tile / max(width, height)
        size = max(1, round(width * scale)), max(1, round(height * scale))
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST)
        left, top = (tile - size[0]) // 2, (tile - size[1]) // 2
        out[top : top + size[1], left : left + size[0]] = picture
    for class_id, *box in rows:
        colour = COLOURS[int(class_id) % len(COLOURS)]
        x1, y1, x2, y2 = np.round(cxcywh_rel_to_xyxy(box, size) + (left, top, left, top)).astype(int).tolist()
        if not one.data.is_classifier:
            cv2.rectangle(out, (x1, y1), (x2 - 1, y2 - 1), colour, 1)
        _write(cv2, out, one.names[int(class_id)], x1, y1 - 3 if y1 > 12 else y2 + 10, colour)
    if fault:
        for number, start in enumerate(range(0, min(len(fault), 66), 22)):
            _write(cv2, out, fault[start : start + 22], 4, 20 + 14 * number, (80, 80, 255))
    return out


def _write(cv2, picture, text, x, y, colour):
    scale, text = 0.36, drawable(text)
    (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    x, y = int(np.clip(x, 0, max(0, picture.shape[1] - width - 1))), int(np.clip(y, height + 1, picture.shape[0] - 3))
    picture[max(0, y - height - 2) : y + 3, x : x + width + 2] //= 3
    cv2.putText(picture, text, (x + 1, y), cv2.FONT_HERSHEY_SIMPLEX, scale, colour, 1, cv2.LINE_AA)


def write_png(picture: np.ndarray, path: str | Path) -> None:
    """Write under a temporary name, then rename. DataError when it cannot be written."""
    import cv2

    with replacing(Path(path)) as temporary:
        temporary.write_bytes(cv2.imencode(".png", picture)[1].tobytes())
