#!/usr/bin/env python3
"""Make the pictures and the video that ship in cfg/media, from a public-domain portrait and drawn faces.

The portrait is Commodore Grace M. Hopper's official one (US Navy, 1984), which comes with matplotlib's
sample data; the drawn faces come from `converters.synthesis.datasets`.

    python scripts/make_media.py cfg/media
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
from matplotlib import cbook

from converters.synthesis import datasets
from converters.synthesis.face import paint_face
from converters.synthesis.person import EXPRESSIONS, Expression, Light, Pose, blend, random_person

FPS, SIZE_WH = 15, (480, 360)


def portrait() -> np.ndarray:
    """The portrait, BGR (600, 512, 3)."""
    return cv2.imread(str(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)))


def group(picture: np.ndarray) -> np.ndarray:
    """One picture of many faces: the portrait, small mirrored and grey copies of it, and drawn people."""
    cast = ("Happy", "Sad", "Surprise", "Fear", "Disgust", "Anger", "Neutral")
    people, _, _ = datasets.draw_scene((900, 560), cast, np.random.default_rng(11), face_share=(0.2, 0.3))
    large, small = (cv2.resize(picture, size, interpolation=cv2.INTER_AREA) for size in ((320, 375), (160, 185)))
    grey = cv2.cvtColor(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    return np.hstack([np.vstack([large, np.hstack([small[:, ::-1], grey])]), people])


def zoom(picture: np.ndarray, seconds: float):
    """A camera moving over the portrait, towards the face."""
    height, width = picture.shape[:2]
    count = round(seconds * FPS)
    for index in range(count):
        share = 0.5 - 0.5 * np.cos(np.pi * index / (count - 1))
        wide = (1 - share) * width + share * 0.62 * width
        centre = np.array([0.5 * width, 0.34 * height])
        scale = SIZE_WH[0] / wide
        move = np.array([[scale, 0, SIZE_WH[0] / 2 - scale * centre[0]], [0, scale, SIZE_WH[1] / 2 - scale * centre[1]]])
        yield cv2.warpAffine(picture, move, SIZE_WH, flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)


def people(seconds: float):
    """Two drawn people whose faces move and change from one emotion to the next."""
    rng = np.random.default_rng(5)
    background = cv2.GaussianBlur(datasets.draw_background(SIZE_WH, rng), (0, 0), 2)
    cast = [(random_person(rng), ("Neutral", "Happy", "Surprise")), (random_person(rng), ("Neutral", "Anger", "Sad"))]
    count = round(seconds * FPS)
    for index in range(count):
        frame, at = background.copy(), index / (count - 1)
        for place, (person, emotions) in enumerate(cast):
            stops = [EXPRESSIONS[name][0] if name != "Neutral" else Expression() for name in emotions]
            leg, share = min(int(at * 2), 1), at * 2 - min(int(at * 2), 1)
            share = float(np.clip(share * 2 - 0.5, 0, 1))  # hold, change, hold
            swing = np.sin(2 * np.pi * (at + place / 2))
            centre = np.array([SIZE_WH[0] * (0.28 + 0.44 * place) + 14 * swing, SIZE_WH[1] * 0.42 + 6 * swing])
            paint_face(frame, person, blend(stops[leg], stops[leg + 1], share), centre, 150 + 8 * swing, Pose(4 * swing, 8 * swing, 0), Light())
        yield frame


def make(folder: Path) -> list[Path]:
    """Write portrait.jpg, group.jpg and clip.mp4 into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    picture = portrait()
    files = [folder / "portrait.jpg", folder / "group.jpg", folder / "clip.mp4"]
    cv2.imwrite(str(files[0]), picture, [cv2.IMWRITE_JPEG_QUALITY, 90])
    cv2.imwrite(str(files[1]), group(picture), [cv2.IMWRITE_JPEG_QUALITY, 88])
    writer = cv2.VideoWriter(str(files[2]), cv2.VideoWriter.fourcc(*"mp4v"), FPS, SIZE_WH)
    for frame in [*zoom(picture, 2.5), *people(3.5)]:
        writer.write(frame)
    writer.release()
    return files


if __name__ == "__main__":
    for made in make(Path(sys.argv[1] if len(sys.argv) > 1 else "cfg/media")):
        print(f"{made.stat().st_size:9,} {made}")
