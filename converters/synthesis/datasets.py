"""Drawn faces and scenes, so that everything can be tried without a dataset.

`draw_face` gives one crop, `draw_scene` a picture with several faces and their boxes, `write_set` a whole
set in AffectNet's or FER2013's own format or as a Darknet set. The same seed gives the same bytes.

    emo dataset synth --as affectnet --count 500 --out affectnet
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from .. import boxes, emotions as labels, output_folder
from ..darknet_format.dataset import write_lists
from ..darknet_format.labels import sibling
from ..errors import UsageError, nearest
from .person import Person, random_expression, random_light, random_person, random_pose


def draw_background(size_wh: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """A room or street out of focus: uint8 BGR (H, W, 3)."""
    import cv2

    width, height = size_wh
    low = (
        rng.uniform(40, 215) + rng.normal(0, 22, (1, 1, 3)) + rng.normal(0, 15, (3, 4, 1)) + rng.normal(0, 6, (3, 4, 3))
    )  # a wall and its light
    picture = cv2.resize(np.clip(low, 0, 255).astype(np.float32), (64, 64), interpolation=cv2.INTER_CUBIC)
    for _ in range(int(rng.integers(2, 9))):  # furniture, windows, lamps
        colour = tuple(map(float, np.clip(rng.uniform(20, 235) + rng.normal(0, 25, 3), 0, 255)))
        x, y = rng.uniform(-5, 69, 2)
        w, h = rng.uniform(3, 32, 2)
        if rng.random() < 0.65:
            cv2.rectangle(picture, (int(x - w / 2), int(y - h / 2)), (int(x + w / 2), int(y + h / 2)), colour, -1)
        else:
            cv2.ellipse(
                picture,
                (int(x), int(y)),
                (int(w / 2) + 1, int(h / 2) + 1),
                float(rng.uniform(0, 180)),
                0,
                360,
                colour,
                -1,
            )
    picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.6, 2.5))
    picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_CUBIC)
    grain = cv2.resize(rng.normal(0, 7, (height // 3 + 1, width // 3 + 1)).astype(np.float32), (width, height))
    return np.clip(picture + grain[..., None], 0, 255).astype(np.uint8)


def draw_face(expression: str, size: int, rng: np.random.Generator, person: Person | None = None) -> np.ndarray:
    """One face that fills its picture, as in FER2013: uint8 BGR (size, size, 3).

    UsageError when `expression` is none of the eight that can be drawn.
    """
    from .face import paint_face

    picture = draw_background((size, size), rng)
    height = size * rng.uniform(0.78, 0.92)
    centre = np.array([size / 2, size * 0.5]) + rng.normal(0, 0.02 * size, 2)
    pose, light = random_pose(rng), random_light(rng)
    paint_face(picture, person or random_person(rng), random_expression(expression, rng), centre, height, pose, light)
    return _camera(picture, rng, soft=size / 200)


def draw_scene(
    size_wh: tuple[int, int],
    faces: int | Sequence[str],
    rng: np.random.Generator,
    *,
    names: Sequence[str] = labels.EMOTIONS[:7],
    people: Sequence[Person] | None = None,
    face_share: tuple[float, float] = (0.16, 0.5),
    background: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """A picture with faces that do not overlap: uint8 BGR (H, W, 3), xyxy_px (N, 4), N emotions.

    `faces` is how many, each of one of `names`, or the emotions themselves; N is smaller when they do
    not all find a place. `face_share` is the range of a face's height in shares of the shorter side;
    many faces are small ones. `background` (uint8 BGR, of that size) replaces the drawn one.
    """
    picture, painted = _scene(size_wh, faces, rng, names, people, face_share, background)
    xyxy_px = boxes.clip(np.array([box for box, _, _ in painted]).reshape(-1, 4), size_wh)
    return picture, xyxy_px, [emotion for _, _, emotion in painted]


def _scene(size_wh, faces, rng, names, people=None, face_share=(0.16, 0.5), background=None):
    """As `draw_scene`, but the faces as (xyxy_px, landmarks, emotion), not clipped."""
    from .face import paint_face

    width, height = size_wh
    wanted = [names[int(i)] for i in rng.integers(len(names), size=faces)] if isinstance(faces, int) else list(faces)
    picture = draw_background(size_wh, rng) if background is None else background.copy()
    low, high = (share * min(size_wh) for share in face_share)
    high = max(low, min(high, 0.72 * (width * height / max(1, len(wanted))) ** 0.5))
    sides = np.sort(np.exp(rng.uniform(np.log(low), np.log(high), len(wanted))))[::-1]  # the large ones first
    wanted = [wanted[int(i)] for i in rng.permutation(len(wanted))]
    placed: list[tuple[float, float, float, str]] = []
    for side, emotion in zip(sides, wanted):
        for _ in range(60):
            x = rng.uniform(0.55 * side, max(0.56 * side, width - 0.55 * side))
            y = rng.uniform(0.62 * side, max(0.63 * side, height - 0.62 * side))
            if all(abs(x - a) > 0.52 * (side + s) or abs(y - b) > 0.7 * (side + s) for a, b, s, _ in placed):
                placed.append((x, y, side, emotion))
                break
    light = random_light(rng)  # one light for the whole scene
    painted = []
    # From top to bottom: a body hangs below its face and must not hide one that is lower down.
    for index, (x, y, side, emotion) in enumerate(sorted(placed, key=lambda item: item[1])):
        person = people[index % len(people)] if people else random_person(rng)
        box, points = paint_face(
            picture, person, random_expression(emotion, rng), (x, y), side, random_pose(rng), light
        )
        painted.append((box, points, emotion))
    return _camera(picture, rng), painted


def _camera(picture, rng, soft=1.0):
    """A camera's softness and noise."""
    import cv2

    if rng.random() < 0.5:
        picture = cv2.GaussianBlur(picture, (0, 0), max(0.1, min(1.0, soft) * rng.uniform(0.3, 0.8)))
    noise = np.empty(picture.shape, np.float32)
    cv2.setRNGSeed(int(rng.integers(1 << 30)))
    cv2.randn(noise, 0.5, float(rng.uniform(1, 5)))
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def write_set(
    form: str,
    count: int,
    out: str | Path,
    *,
    seed: int = 0,
    classes: int = 7,
    others: float = 0.0,
    force: bool = False,
    progress: Callable[[Iterable], Iterable] = iter,
) -> dict:
    """Draw a set of `count` pictures into the folder `out`; gives what was written, as in its report.json.

    affectnet  Manually_Annotated_Images/<n>/<hash>.jpg, training.csv and validation.csv (every fifth picture);
               one face a picture, 68 landmarks, valence and arousal -2 (unsaid). Of the share `others` of the
               rows, None, Uncertain and No-Face take turns.
    fer2013    fer2013.csv: 48x48 grey pixels, Usage 80% Training, 10% PublicTest, 10% PrivateTest
    yolo       a Darknet set of scenes with one to four faces, 416x416, ready to train: emo.data

    The classes take turns, so that counts are equal. UsageError for an unknown form or an `out` in use.
    """
    if form not in WRITERS:
        raise UsageError(f"no form '{form}'", mend=nearest(form, WRITERS))
    names, out = labels.class_names(classes), Path(out)
    if form == "fer2013" and classes == 8:
        raise UsageError("FER2013 has no Contempt", mend="take --classes 7 or 6, or another form")
    output_folder.check(out, force, [])
    with output_folder.building(out) as work:
        rows = WRITERS[form](work, out.resolve(), count, seed, names, others, progress)
        report = {"drawn": form, "pictures": count, "seed": seed, "classes": list(names), "rows": rows}
        (work / output_folder.REPORT).write_text(json.dumps(report, indent=2) + "\n")
    return report


_AFFECTNET_COLUMNS = (
    "subDirectory_filePath",
    "face_x",
    "face_y",
    "face_width",
    "face_height",
    "facial_landmarks",
    "expression",
    "valence",
    "arousal",
)


def _write_affectnet(work, out, count, seed, names, others, progress):
    rows = {"training": [], "validation": []}
    for index in progress(range(count)):
        rng = np.random.default_rng([seed, index])
        emotion = names[index // 5 % len(names)]  # every class in training and in validation
        size = tuple(int(side) for side in rng.integers(224, 420, 2))
        other = list(labels.AFFECTNET_NOT_EMOTIONS)[int(rng.integers(3))] if rng.random() < others else None
        picture, ((box, points, _),) = _scene(size, [emotion], rng, names, face_share=(0.4, 0.75))
        if other == 10:  # No-Face: AffectNet's box is then a detector's mistake
            picture = _camera(draw_background(size, rng), rng)
        name = f"{1 + index % 20}/{hashlib.blake2b(f'{seed}-{index}'.encode(), digest_size=28).hexdigest()}.jpg"
        _save(work / "Manually_Annotated_Images" / name, picture)
        x1, y1, x2, y2 = np.round(boxes.clip(box, size)).astype(int)
        said = ";".join(f"{value:.2f}" for value in points.ravel())
        expression = labels.EMOTIONS.index(emotion) if other is None else other
        rows["validation" if index % 5 == 4 else "training"].append(
            [name, x1, y1, x2 - x1, y2 - y1, said, expression, -2, -2]
        )
    for split, lines in rows.items():
        _write_csv(work / f"{split}.csv", _AFFECTNET_COLUMNS, lines)
    return {split: len(lines) for split, lines in rows.items()}


def _write_fer2013(work, out, count, seed, names, others, progress):
    import cv2

    ids = {name: index for index, name in labels.FER2013.items()}
    rows, counts = [], Counter()
    for index in progress(range(count)):
        emotion = names[index // 10 % len(names)]
        picture = draw_face(emotion, 96, np.random.default_rng([seed, index]))
        grey = cv2.resize(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), (48, 48), interpolation=cv2.INTER_AREA)
        usage = {8: "PublicTest", 9: "PrivateTest"}.get(index % 10, "Training")
        counts[usage] += 1
        rows.append([ids[emotion], " ".join(map(str, grey.ravel())), usage])
    _write_csv(work / "fer2013.csv", ("emotion", "pixels", "Usage"), rows)
    return dict(counts)


def _write_yolo(work, out, count, seed, names, others, progress):
    ids = {name: index for index, name in enumerate(names)}
    lists = {"train": [], "valid": []}
    turn = 0
    for index in progress(range(count)):
        rng = np.random.default_rng([seed, index])
        faces = 1 + int(rng.integers(4))
        emotions, turn = [names[(turn + k) % len(names)] for k in range(faces)], turn + faces
        picture, xyxy_px, said = draw_scene((416, 416), emotions, rng, names=names)
        split = "valid" if index % 5 == 4 else "train"
        name = f"{split}/{index:06d}.jpg"
        _save(work / name, picture)
        rel = boxes.xyxy_to_cxcywh_rel(xyxy_px, (416, 416))
        lines = [f"{ids[emotion]} " + " ".join(f"{value:.6f}" for value in row) for emotion, row in zip(said, rel)]
        sibling(work / name).write_text("".join(line + "\n" for line in lines))
        lists[split].append(str(out / name))
    write_lists(work, str(out), lists, tuple(names))
    return {split: len(lines) for split, lines in lists.items()}


WRITERS = {"affectnet": _write_affectnet, "fer2013": _write_fer2013, "yolo": _write_yolo}


def _save(path, picture):
    import cv2

    path.parent.mkdir(parents=True, exist_ok=True)
    _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 90])
    path.write_bytes(data.tobytes())


def _write_csv(path, columns, rows):
    with open(path, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
