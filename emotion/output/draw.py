"""Annotated pictures: a box and a label a face, coloured by emotion."""

from __future__ import annotations

import numpy as np

from ..systems.detections import Detections

# BGR, told apart on light and dark pictures; a class beyond the list starts over.
COLOURS = {
    "Neutral": (200, 200, 200), "Happy": (80, 220, 250), "Sad": (240, 150, 60), "Surprise": (60, 160, 255),
    "Fear": (220, 90, 190), "Disgust": (80, 190, 90), "Anger": (70, 70, 235), "Contempt": (180, 190, 60),
}  # fmt: skip
UNCERTAIN = (150, 150, 150)


def colour_of(name: str, index: int = 0) -> tuple[int, int, int]:
    return COLOURS.get(name) or list(COLOURS.values())[index % len(COLOURS)]


def draw(frame: np.ndarray, found: Detections, names) -> np.ndarray:
    """A copy of the BGR frame with each face's box, the number of its track, its class and the score in per cent.

    An uncertain face is grey, with its two best classes.
    """
    out = frame.copy()
    for index in reversed(range(len(found))):  # the best is drawn last, on top
        class_id = int(found.class_ids[index])
        number = "" if found.track_ids is None else f"#{found.track_ids[index]} "
        text, colour = f"{names[class_id]} {found.scores[index, class_id]:.0%}", colour_of(names[class_id], class_id)
        if found.uncertain is not None and found.uncertain[index]:
            second = max((other for other in range(len(names)) if other != class_id), key=lambda other: found.scores[index, other], default=class_id)
            text, colour = f"{text} or {names[second]} {found.scores[index, second]:.0%}", UNCERTAIN
        label(out, found.xyxy_px[index], number + text, colour)
    return out


def label(picture: np.ndarray, xyxy_px, text: str, colour) -> None:
    """Draw one box with its label into `picture`; the label is kept inside the picture."""
    import cv2

    height, width = picture.shape[:2]
    x1, y1, x2, y2 = (round(float(value)) for value in xyxy_px)
    line = max(1, round(min(height, width) / 300))
    cv2.rectangle(picture, (x1, y1), (min(x2, width) - 1, min(y2, height) - 1), colour, line)
    if not text:
        return
    # As wide as the box, within what can be read and what the picture has room for.
    (unit, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 1.0, 1)
    scale = float(np.clip((x2 - x1) / unit, 0.36, max(0.5, min(height, width) / 700)))
    thick = max(1, round(scale * 1.6))
    (wide, high), base = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, thick)
    pad = max(1, base // 3)
    left = int(np.clip(x1, 0, max(0, width - wide - 2 * pad)))
    top = y1 - high - 2 * pad - base // 2
    top = top if top >= 0 else min(y1 + line, max(0, height - high - 2 * pad - base // 2))
    cv2.rectangle(picture, (left, top), (left + wide + 2 * pad, top + high + 2 * pad + base // 2), colour, -1)
    dark = sum(colour) < 330
    ink = (255, 255, 255) if dark else (0, 0, 0)
    cv2.putText(picture, text, (left + pad, top + high + pad), cv2.FONT_HERSHEY_SIMPLEX, scale, ink, thick, cv2.LINE_AA)
