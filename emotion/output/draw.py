"""Annotated pictures: a box and a label a face, coloured by emotion."""

from __future__ import annotations

import numpy as np

from converters.terminal_text import drawable

from ..systems.detections import Detections

# BGR, told apart on light and dark pictures; a class beyond the list starts over.
COLOURS = {
    "Neutral": (200, 200, 200),
    "Happy": (80, 220, 250),
    "Sad": (240, 150, 60),
    "Surprise": (60, 160, 255),
    "Fear": (220, 90, 190),
    "Disgust": (80, 190, 90),
    "Anger": (70, 70, 235),
    "Contempt": (180, 190, 60),
}
UNCERTAIN = (150, 150, 150)


def colour_of(name: str, index: int = 0) -> tuple[int, int, int]:
    return COLOURS.get(name) or list(COLOURS.values())[index % len(COLOURS)]


def draw(frame: np.ndarray, found: Detections, names, bars: bool = False) -> np.ndarray:
    """A copy of the BGR frame with each face's box, the number of its track, its class and the score in per cent.

    With `bars` the scores of all classes stand beside the box. An uncertain face is grey, with its two best classes.
    """
    out = frame.copy()
    for index in reversed(range(len(found))):  # the best is drawn last, on top
        class_id = int(found.class_ids[index])
        number = "" if found.track_ids is None else f"#{found.track_ids[index]} "
        text, colour = f"{names[class_id]} {found.scores[index, class_id]:.0%}", colour_of(names[class_id], class_id)
        if found.uncertain is not None and found.uncertain[index]:
            second = max(
                (other for other in range(len(names)) if other != class_id),
                key=lambda other: found.scores[index, other],
                default=class_id,
            )
            text, colour = f"{text} or {names[second]} {found.scores[index, second]:.0%}", UNCERTAIN
        label(out, found.xyxy_px[index], number + text, colour)
        if bars:
            score_bars(out, found.xyxy_px[index], found.scores[index], names)
    return out


def score_bars(picture: np.ndarray, xyxy_px, scores, names) -> None:
    """Draw a bar a class, its length the score, on a dark ground beside the box: right of it, else left, else in the
    lower half of it, where its label is not.
    """
    import cv2

    height, width = picture.shape[:2]
    shown = [drawable(name) for name in names]
    x1, y1, x2, y2 = (round(float(value)) for value in xyxy_px)
    for share in (1, 2):
        row = int(np.clip((y2 - y1) / (share * max(1, len(names))), 9, 22))
        scale, thick = row / 34, max(1, round(row / 22))
        wide = max(cv2.getTextSize(name, cv2.FONT_HERSHEY_SIMPLEX, scale, thick)[0][0] for name in shown) + 8
        bar = 3 * row
        left, top = x2 + 3, y1
        if left + wide + bar > width:
            left = x1 - 3 - wide - bar
        if left >= 0:
            break
        left, top = max(0, min(x1, width - wide - bar)), y2 - row * len(names)
    top = int(np.clip(top, 0, max(0, height - row * len(names))))
    ground = picture[top : top + row * len(names), left : left + wide + bar]
    ground[:] = (ground * 0.35).astype(np.uint8)
    for number, (name, score) in enumerate(zip(names, scores)):
        y = top + number * row
        length = round(float(np.clip(score, 0, 1)) * (bar - 4))
        cv2.putText(
            picture,
            shown[number],
            (left + 4, y + round(0.72 * row)),
            cv2.FONT_HERSHEY_SIMPLEX,
            scale,
            (255, 255, 255),
            thick,
            cv2.LINE_AA,
        )
        if length > 0:
            cv2.rectangle(
                picture, (left + wide, y + 2), (left + wide + length, y + row - 3), colour_of(name, number), -1
            )


def label(picture: np.ndarray, xyxy_px, text: str, colour) -> None:
    """Draw one box with its label into `picture`; the label is kept inside the picture."""
    import cv2

    height, width = picture.shape[:2]
    x1, y1, x2, y2 = (round(float(value)) for value in xyxy_px)
    line = max(1, round(min(height, width) / 300))
    cv2.rectangle(picture, (x1, y1), (min(x2, width) - 1, min(y2, height) - 1), colour, line)
    if not (text := drawable(text)):
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
