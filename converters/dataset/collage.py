"""Collages of a detector set's pictures: several on one ground, small and large, with the boxes that they carry.

Pictures of datasets such as AffectNet and LFW show one face, in the middle, always about as large. A detector that
saw nothing else misses faces that are small or stand beside others. Here pictures are cut more or less closely
around their faces, scaled, at times mirrored, made grey or (grey ones) tinted, and laid without overlap on
backgrounds. Faces of more than one picture meet in a collage, pictures of two splits never do.

Each collage is drawn from a generator of its own (seed, number), so the bytes do not depend on `jobs`.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from .. import boxes, output_folder
from ..darknet_format import dataset as darknet_dataset
from ..darknet_format.dataset import DarknetSet
from ..darknet_format.labels import label_path, read_label, sibling
from ..errors import DataError, EmoError, MediaError, UsageError
from ..images import decode, probe
from ..parallel import chunked_map
from ..synthesis.backgrounds import background, listed
from ..synthesis.scenes import plan, skin_tones

SMALLEST, LARGEST = 16, 1.5  # the least side of a face in pixels; no picture is enlarged by more
TINTED, GREYED, MIRRORED, SOFT = (
    0.5,
    0.2,
    0.5,
    0.5,
)  # shares: of grey pictures, of others, of all, with an edge that fades
TRIES, CHUNK = 20, 50
COLUMNS = ("image", "split", "emotion", "x1", "y1", "x2", "y2", "width", "height", "group", "source")


def collage(
    one: DarknetSet,
    out: str | Path,
    count: int,
    *,
    size_wh: tuple[int, int] = (416, 416),
    backgrounds: str | None = None,
    seed: int = 0,
    jobs: int = 1,
    force: bool = False,
    progress: Callable = lambda parts, total: parts,
) -> dict:
    """Write `count` collages of the set `one` as a new set in the folder `out`; the report.

    Each split has its share of them. Every picture is used before any is used again; one that is not whole, or whose
    label file is not there or not right, is left out and told in the report. UsageError for a classifier's set or an
    `out` in use.
    """
    if one.data.is_classifier:
        raise UsageError(
            "holds a classifier's pictures, which have no boxes",
            where=one.data.path,
            mend="emo convert ... --task detector",
        )
    out = Path(out)
    output_folder.check(out, force, [one.data.path.parent])
    pictures = [(split, image) for split, images in enumerate(one.images.values()) for image in dict.fromkeys(images)]
    if not pictures:
        raise DataError("has no picture", where=one.data.path)
    splits = list(one.images)
    hands = list(enumerate(plan(np.array([split for split, _ in pictures]), count, seed)))
    chunks = [
        [
            (number, splits[split], [(image, one.groups(image)) for image in (pictures[i][1] for i in hand)])
            for number, (split, hand) in hands[start : start + CHUNK]
        ]
        for start in range(0, len(hands), CHUNK)
    ]
    photos = listed(backgrounds) if backgrounds else []
    with output_folder.building(out) as work:
        draw = partial(
            _write, classes=one.data.classes, names=one.names, work=work, size_wh=size_wh, seed=seed, photos=photos
        )
        images: dict[str, list[str]] = {split: [] for split in splits}
        left_out: dict[str, str] = {}
        with open(work / darknet_dataset.MANIFEST, "w", newline="", encoding="utf-8", errors="surrogateescape") as file:
            manifest = csv.writer(file, lineterminator="\n")
            manifest.writerow(COLUMNS)
            for part in progress(chunked_map(draw, chunks, jobs), total=len(chunks)):
                for name, split, rows in part["pictures"]:
                    images[split].append(f"{os.path.abspath(out)}/{name}")
                    manifest.writerows(rows)
                left_out |= part["left_out"]
        if not any(images.values()):
            why = next(iter(left_out.values()), "none has a face for which there is room")
            raise DataError(f"none of its pictures can be used: {why}", where=one.data.path)
        darknet_dataset.write_lists(work, os.path.abspath(out), images, one.names)
        report = {
            "collages_of": str(one.data.path),
            "seed": seed,
            "size_wh": list(size_wh),
            "classes": list(one.names),
            "pictures": {split: len(entries) for split, entries in images.items()},
            "left_out": left_out,
        }
        (work / output_folder.REPORT).write_text(
            json.dumps(report, indent=2) + "\n", encoding="utf-8", errors="backslashreplace"
        )
    return {"data": str(out / "emo.data")} | report


def _write(chunk, classes, names, work, size_wh, seed, photos) -> dict:
    """Draw a chunk's collages under `work`: (name, split, manifest rows) each, and why pictures were left out."""
    import cv2

    cv2.setNumThreads(1)
    pictures: list[tuple] = []
    left_out: dict[str, str] = {}
    for number, split, hand in chunk:
        rng, pieces = np.random.default_rng([seed, number, 2]), []
        for image, groups in hand:
            try:
                picture, xyxy, ids = _read(image, classes)
            except EmoError as error:
                left_out[image] = str(error)
                continue
            if len(ids):
                pieces.append((picture, xyxy, (image, groups, ids)))
        canvas, laid = lay([piece[:2] for piece in pieces], rng, size_wh, photos)
        if not laid:
            continue
        name = f"{split}/collage{number:07d}.jpg"
        (work / split).mkdir(exist_ok=True)
        done, data = cv2.imencode(".jpg", canvas, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(70, 96))])
        if not done:
            raise MediaError("a collage cannot be written as JPEG", where=name)
        (work / name).write_bytes(data)
        lines, rows = [], []
        for which, xyxy in laid:
            image, groups, ids = pieces[which][2]
            for label, box, relative in zip(
                ids.tolist(), xyxy.tolist(), boxes.xyxy_to_cxcywh_rel(xyxy, size_wh).tolist()
            ):
                lines.append("%d %.6f %.6f %.6f %.6f\n" % (label, *relative))
                rows.append(
                    [
                        name,
                        split,
                        names[label],
                        *(f"{value:.8g}" for value in box),
                        *size_wh,
                        groups[0] if groups else image,
                        image,
                    ]
                )
        sibling(work / name).write_text("".join(lines))
        pictures.append((name, split, rows))
    return {"pictures": pictures, "left_out": left_out}


def _read(image, classes):
    """BGR pixels, boxes xyxy_px (N, 4) clipped to them, class ids (N,).

    EmoError for a picture or label that is not whole.
    """
    if (info := probe(image)).problem:
        raise MediaError(info.detail, where=image)
    picture, faces = decode(image), read_label(label_path(image), classes)
    xyxy = boxes.clip(boxes.cxcywh_rel_to_xyxy(faces[:, 1:], picture.shape[1::-1]), picture.shape[1::-1])
    if not (xyxy[:, 2:] - xyxy[:, :2] >= 1).all():
        raise DataError("holds a box of less than a pixel", where=label_path(image))
    return picture, xyxy, faces[:, 0].astype(int)


def lay(pieces, rng: np.random.Generator, size_wh: tuple[int, int], photos: Sequence[str] = ()):
    """A collage of `pieces`, (BGR uint8, boxes xyxy_px (N, 4) within it) each: uint8 (H, W, 3), and (which piece, its
    boxes there) of those laid.

    A piece for which there is no room is left out, so there may be fewer.
    """
    width, height = size_wh
    canvas, taken, laid = background(rng, size_wh, photos).astype(np.float32), np.zeros((height, width), bool), []
    for which, (picture, xyxy) in enumerate(pieces):
        cut, xyxy = _cut(rng, picture, xyxy)
        least = SMALLEST / max(1.0, (xyxy[:, 2:] - xyxy[:, :2]).max(axis=1).min())
        most = min(LARGEST, width / cut.shape[1], height / cut.shape[0])
        if least > most:
            continue
        for _ in range(TRIES):
            scale = np.exp(rng.uniform(np.log(least), np.log(most)))
            w, h = (max(1, min(limit, round(side * scale))) for side, limit in zip(cut.shape[1::-1], size_wh))
            x, y = int(rng.integers(0, width - w + 1)), int(rng.integers(0, height - h + 1))
            if not taken[y : y + h, x : x + w].any():
                taken[y : y + h, x : x + w] = True
                _paste(rng, canvas[y : y + h, x : x + w], cut)
                laid.append((which, xyxy * np.array([w / cut.shape[1], h / cut.shape[0]] * 2) + (x, y, x, y)))
                break
    return np.clip(canvas, 0, 255).astype(np.uint8), laid


def _cut(rng, picture, xyxy):
    """The picture cut somewhere between its faces and its edges, perhaps mirrored and in other colours; and its
    boxes.
    """
    h, w = picture.shape[:2]
    share = rng.uniform(0.15, 1, 4)
    low, high = xyxy[:, :2].min(axis=0), xyxy[:, 2:].max(axis=0)
    left, top = (low * (1 - share[:2])).astype(int).tolist()
    right, bottom = np.ceil(high + ((w, h) - high) * share[2:]).astype(int).tolist()
    cut, xyxy = picture[top:bottom, left:right], xyxy - (left, top, left, top)
    if (cut == cut[..., :1]).all():
        cut = skin_tones(rng)[cut[..., 0]] if rng.random() < TINTED else cut
    elif rng.random() < GREYED:
        cut = np.repeat((cut @ np.array([0.114, 0.587, 0.299]))[..., None], 3, axis=2)
    if rng.random() < MIRRORED:
        cut, xyxy = (
            cut[:, ::-1],
            np.stack([right - left - xyxy[:, 2], xyxy[:, 1], right - left - xyxy[:, 0], xyxy[:, 3]], axis=1),
        )
    return np.ascontiguousarray(cut, np.float32), xyxy


def _paste(rng, view, cut) -> None:
    """`cut` scaled into `view`, with a hard edge or one that fades over a twentieth of its sides."""
    import cv2

    h, w = view.shape[:2]
    cut = cv2.resize(cut, (w, h), interpolation=cv2.INTER_AREA if w < cut.shape[1] else cv2.INTER_LINEAR)
    if rng.random() < SOFT:
        across, down = (
            np.clip(np.minimum(ramp := np.arange(side) + 0.5, side - ramp) / (0.05 * side), 0, 1) for side in (w, h)
        )
        mask = (down[:, None] * across[None, :])[..., None].astype(np.float32)
        view += mask * (cut - view)
    else:
        view[:] = cut
