#!/usr/bin/env python3
"""Make the pictures and the video that ship in cfg/media, from a public-domain portrait and drawn faces.

The portrait is Commodore Grace M. Hopper's official one (US Navy, 1984), which comes with matplotlib's
sample data; the drawn faces come from `converters.synthesis.datasets`.

    python scripts/make_media.py cfg/media

Since it puts every face where it is, it knows them: `labels.csv` names each (media, frame, x1, y1, x2, y2, emotion),
and `emo compare` without arguments judges by it. A frame in which a face is half way between two emotions is not in it.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import cv2
import numpy as np
from matplotlib import cbook

from converters.synthesis import datasets
from converters.synthesis.face import paint_face
from converters.synthesis.person import EXPRESSIONS, Expression, Light, Pose, blend, random_person

FPS, SIZE_WH = 15, (480, 360)
PORTRAIT_FACE = np.array([172.0, 120.0, 362.0, 336.0])  # xyxy_px, cap to chin and cheek to cheek, measured by hand
PORTRAIT_EMOTION = "Neutral"
HOLD = 0.25  # share of the way to the next expression up to which a face still shows the one before

Faces = list[tuple[np.ndarray, str]]  # xyxy_px (4,), emotion


def portrait() -> np.ndarray:
    """The portrait, BGR (600, 512, 3)."""
    return cv2.imread(str(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)))


def group(picture: np.ndarray) -> tuple[np.ndarray, Faces]:
    """One picture of many faces: the portrait, small mirrored and grey copies of it, and drawn people."""
    cast = ("Happy", "Sad", "Surprise", "Fear", "Disgust", "Anger", "Neutral")
    people, boxes, emotions = datasets.draw_scene((900, 560), cast, np.random.default_rng(11), face_share=(0.2, 0.3))
    large, small = (cv2.resize(picture, size, interpolation=cv2.INTER_AREA) for size in ((320, 375), (160, 185)))
    grey = cv2.cvtColor(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    scale = np.array([*picture.shape[1::-1]] * 2)
    first, second = PORTRAIT_FACE / scale * (320, 375, 320, 375), PORTRAIT_FACE / scale * (160, 185, 160, 185)
    mirrored = np.array([160 - second[2], second[1], 160 - second[0], second[3]])
    faces = [(box, PORTRAIT_EMOTION) for box in (first, mirrored + (0, 375, 0, 375), second + (160, 375, 160, 375))]
    faces += [(box + (320, 0, 320, 0), emotion) for box, emotion in zip(boxes, emotions)]
    return np.hstack([np.vstack([large, np.hstack([small[:, ::-1], grey])]), people]), faces


def zoom(picture: np.ndarray, seconds: float):
    """A camera moving over the portrait, towards the face: frames and their faces."""
    height, width = picture.shape[:2]
    count = round(seconds * FPS)
    for index in range(count):
        share = 0.5 - 0.5 * np.cos(np.pi * index / (count - 1))
        wide = (1 - share) * width + share * 0.62 * width
        centre = np.array([0.5 * width, 0.34 * height])
        scale = SIZE_WH[0] / wide
        move = np.array(
            [[scale, 0, SIZE_WH[0] / 2 - scale * centre[0]], [0, scale, SIZE_WH[1] / 2 - scale * centre[1]]]
        )
        box = PORTRAIT_FACE * scale + np.tile(move[:, 2], 2)
        frame = cv2.warpAffine(picture, move, SIZE_WH, flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)
        yield frame, [(np.clip(box, 0, [*SIZE_WH] * 2), PORTRAIT_EMOTION)]


def people(seconds: float):
    """Two drawn people whose faces move and change from one emotion to the next: frames and their faces, None while
    one changes.
    """
    rng = np.random.default_rng(5)
    background = cv2.GaussianBlur(datasets.draw_background(SIZE_WH, rng), (0, 0), 2)
    cast = [(random_person(rng), ("Neutral", "Happy", "Surprise")), (random_person(rng), ("Neutral", "Anger", "Sad"))]
    count = round(seconds * FPS)
    for index in range(count):
        frame, at, faces = background.copy(), index / (count - 1), []
        leg, share = min(int(at * 2), 1), at * 2 - min(int(at * 2), 1)
        share = float(np.clip(share * 2 - 0.5, 0, 1))  # hold, change, hold
        for place, (person, emotions) in enumerate(cast):
            stops = [EXPRESSIONS[name][0] if name != "Neutral" else Expression() for name in emotions]
            swing = np.sin(2 * np.pi * (at + place / 2))
            centre = np.array([SIZE_WH[0] * (0.28 + 0.44 * place) + 14 * swing, SIZE_WH[1] * 0.42 + 6 * swing])
            box, _ = paint_face(
                frame,
                person,
                blend(stops[leg], stops[leg + 1], share),
                centre,
                150 + 8 * swing,
                Pose(4 * swing, 8 * swing, 0),
                Light(),
            )
            faces.append((np.clip(box, 0, [*SIZE_WH] * 2), emotions[leg + (share > 0.5)]))
        yield frame, faces if share <= HOLD or share >= 1 - HOLD else None


def labels() -> list[tuple[str, int, Faces]]:
    """(medium, frame, faces) of every frame that is labelled."""
    picture = portrait()
    out: list[tuple[str, int, Faces]] = [
        ("portrait.jpg", 0, [(PORTRAIT_FACE, PORTRAIT_EMOTION)]),
        ("group.jpg", 0, group(picture)[1]),
    ]
    frames = [faces for _, faces in [*zoom(picture, 2.5), *people(3.5)]]
    return out + [("clip.mp4", index, faces) for index, faces in enumerate(frames) if faces is not None]


def make(folder: Path) -> list[Path]:
    """Write portrait.jpg, group.jpg, clip.mp4 and labels.csv into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    picture = portrait()
    files = [folder / "portrait.jpg", folder / "group.jpg", folder / "clip.mp4"]
    cv2.imwrite(str(files[0]), picture, [cv2.IMWRITE_JPEG_QUALITY, 90])
    cv2.imwrite(str(files[1]), group(picture)[0], [cv2.IMWRITE_JPEG_QUALITY, 88])
    writer = cv2.VideoWriter(str(files[2]), cv2.VideoWriter.fourcc(*"mp4v"), FPS, SIZE_WH)
    for frame, _ in [*zoom(picture, 2.5), *people(3.5)]:
        writer.write(frame)
    writer.release()
    return [*files, write_labels(folder / "labels.csv")]


def write_labels(path: Path) -> Path:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["media", "frame", "x1", "y1", "x2", "y2", "emotion"])
        for name, frame, faces in labels():
            writer.writerows([name, frame, *(f"{value:.1f}" for value in box), emotion] for box, emotion in faces)
    return path


if __name__ == "__main__":
    for made in make(Path(sys.argv[1] if len(sys.argv) > 1 else "cfg/media")):
        print(f"{made.stat().st_size:9,} {made}")
