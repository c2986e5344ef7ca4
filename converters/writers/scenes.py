"""Composed scenes in the detector form: JPEG pictures, labels beside them (see `converters.synthesis.scenes`).

A chunk holds some scenes and the faces dealt to them; each scene is drawn from a generator seeded with
the seed and the scene's number.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from .. import boxes
from ..emotions import EMOTIONS
from ..errors import MediaError, UsageError
from ..file_handles import CREATE
from ..images import decode
from ..synthesis.backgrounds import listed
from ..synthesis.scenes import compose, plan, roomy
from ..table.records import SPLITS, Notes, Table
from . import form
from .classifier import usable
from .detector import Written, quoted
from .form import Job


@dataclass(frozen=True)
class Scenes:
    """Scene `number + i` takes the next counts[i] faces of `faces`, all of split splits[i]."""

    number: int
    splits: list[int]
    counts: list[int]
    faces: Table


def write_chunk(
    scenes: Scenes, ids: np.ndarray, work: Path, size_wh: tuple[int, int], seed: int, photos: list[str], crowd: bool
) -> Written:
    """Draw the chunk's scenes; a face that cannot be decoded is left out, as is a scene without any."""
    import cv2

    cv2.setNumThreads(1)
    out, start = Written(), 0
    for split in set(scenes.splits):
        os.makedirs(work / SPLITS[split] / "scenes", exist_ok=True)
    for i, (split, count) in enumerate(zip(scenes.splits, scenes.counts)):
        rng = np.random.default_rng([seed, scenes.number + i, 1])
        dealt, crops = [], []
        for face in range(start, start + count):
            crop = _crop(scenes.faces, face, out)
            if crop is not None:
                dealt.append(face)
                crops.append(crop)
        start += count
        if not crops:
            continue
        picture, xyxy, placed = compose(crops, rng, size_wh, photos, crowd)
        stem = f"{SPLITS[split]}/scenes/scene{scenes.number + i:07d}"
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(70, 96))]
        done, data = cv2.imencode(".jpg", picture, quality)
        if not done:
            raise MediaError("a scene cannot be written as JPEG", where=stem)
        with open(work / f"{stem}.jpg", "wb") as file:
            file.write(data.data)
        label = ""
        for box, relative, which in zip(xyxy.tolist(), boxes.xyxy_to_cxcywh_rel(xyxy, size_wh).tolist(), placed):
            face = dealt[which]
            emotion = int(scenes.faces.emotion[scenes.faces.first[face]])
            label += "%d %.6f %.6f %.6f %.6f\n" % (ids[emotion], *relative)
            out.faces[split, emotion] += 1
            out.manifest.append(
                "%s.jpg,%s,%s,%.8g,%.8g,%.8g,%.8g,%d,%d,%s,%s,%d\n"
                % (
                    stem,
                    SPLITS[split],
                    EMOTIONS[emotion],
                    *box,
                    *size_wh,
                    quoted(scenes.faces.group[face]),
                    quoted(scenes.faces.image[face]),
                    scenes.faces.line[face],
                )
            )
        handle = os.open(work / f"{stem}.txt", CREATE, 0o666)
        os.write(handle, label.encode())
        os.close(handle)
        out.entries[split].append(f"{stem}.jpg")
    return out


def _crop(table: Table, face: int, out: Written) -> np.ndarray | None:
    pixels = table.picture(face)
    if pixels is not None:
        return pixels
    try:
        return decode(table.image[face])
    except MediaError as error:
        where = SPLITS[table.split[face]], table.sources[table.source[face]], table.line[face]
        out.notes.drop("undecodable", *where, str(error))
        return None


SIZE = (416, 416)  # (width, height) of a scene, unless the settings say


def stage(whole: Table, job: Job, notes: Notes) -> tuple[Callable[[Scenes], Written], list[Scenes], int]:
    """How faces that fill their picture become scenes: the function, its chunks, and from how many chunks another
    process pays.
    """
    settings = job.settings
    size_wh = settings.size or SIZE
    if settings.crowd and settings.crowd > (most := roomy(size_wh)):
        raise UsageError(
            f"a scene of {size_wh[0]}x{size_wh[1]} pixels has no room for a crowd of {settings.crowd}",
            mend=f"{f'--crowd {most} at most, or ' if most else ''}a larger --size",
        )
    photos = listed(settings.backgrounds) if settings.backgrounds else []
    _, good = usable(whole, notes, settings.verify)  # before they are dealt, so that a bad one is told once
    whole = whole.take(np.flatnonzero(good))
    hands = plan(whole.split, settings.scenes, settings.seed, settings.crowd)
    many, pays = form.SCENES
    chunks = []
    for start in range(0, len(hands), many):
        some = hands[start : start + many]
        faces = whole.take(np.concatenate([hand for _, hand in some]))
        chunks.append(Scenes(start, [split for split, _ in some], [len(hand) for _, hand in some], faces))
    draw = partial(
        write_chunk,
        ids=job.ids,
        work=job.work,
        size_wh=size_wh,
        seed=settings.seed,
        photos=photos,
        crowd=settings.crowd is not None,
    )
    return draw, chunks, pays
