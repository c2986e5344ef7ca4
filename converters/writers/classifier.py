"""The classifier form: `<split>/<label>/<name>`, each picture linked, or written when the dataset holds pixels.

Darknet takes as class whichever label occurs anywhere in the path, so the labels are chosen not to
occur in the output's own path, and names that hold one are spelled anew (`converters.darknet_format.safe_names`).
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import numpy as np

from ..emotions import EMOTIONS
from ..images import probe
from ..table.records import SPLITS, Notes, Table
from ..table.selection import one_face_only
from . import form
from .detector import Written, place, quoted, sound
from .form import Job, Stage
from .pixels import write_png


def labels_for(names: tuple[str, ...], prefix: str) -> tuple[str, ...]:
    """The class names, each written so that it occurs once in `prefix/<split>/<label>/...` and in no other label."""
    for pattern in ("{}", "emo-{}", *(f"emo{number}-{{}}" for number in range(1, 1000))):
        labels = tuple(pattern.format(name) for name in names)
        if not any(label in prefix for label in labels):
            return labels
    raise AssertionError("a path of 255 characters cannot hold a thousand labels")


def usable(table: Table, notes: Notes, verify: bool = False) -> tuple[list, np.ndarray]:
    """The pictures' headers (None where the dataset holds the pixels), and (N,) bool: which can be used."""
    infos = [
        None if table.pixels and table.pixels[i] is not None else probe(path) for i, path in enumerate(table.image)
    ]
    linked = [i for i, info in enumerate(infos) if info is not None]
    good = np.ones(len(table), bool)
    if linked:
        part = table if len(linked) == len(table) else table.take(np.array(linked))
        good[linked] = sound(part, [infos[i] for i in linked], notes, verify)
    return infos, good


def write_chunk(
    table: Table, names: list[str], labels: dict[int, str], ids: np.ndarray, work: Path, link: str, verify: bool = False
) -> Written:
    """Place the chunk's pictures (one face each); `labels` maps an index of EMOTIONS to its label, `ids` (8,) to
    its class.
    """
    out = Written()
    votes = None if table.votes is None else shares(table.votes[table.first[:-1]], ids)
    infos, good = usable(table, out.notes, verify)
    emotion = table.emotion[table.first[:-1]].tolist()
    split, line = table.split.tolist(), table.line.tolist()
    root, made = f"{work}/", set()
    for i in np.flatnonzero(good).tolist():
        subset, info = SPLITS[split[i]], infos[i]
        stem = f"{subset}/{labels[emotion[i]]}/{names[i]}"
        folder = stem.rpartition("/")[0]
        if folder not in made:
            os.makedirs(root + folder, exist_ok=True)
            made.add(folder)
        if info is None and (pixels := table.picture(i)) is not None:
            path, (height, width) = stem + ".png", pixels.shape[:2]
            write_png(root + path, pixels)
        else:
            path, (width, height) = stem + place(table.image[i], root + stem, info, link), info.size_wh
        out.entries[split[i]].append(path)
        out.manifest.append(
            f"{path},{subset},{EMOTIONS[emotion[i]]},,,,,{width},{height},{quoted(table.group[i])},{quoted(table.image[i])},{line[i]}\n"
        )
        out.faces[split[i], emotion[i]] += 1
        if votes is not None and votes[i].any():
            out.votes.append(f"{path},{','.join(f'{share:.6g}' for share in votes[i].tolist())}\n")
    return out


def shares(votes: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Votes (N, 8) over EMOTIONS -> shares (N, K) of the classes `ids`; those for an emotion that is not a class
    go, and rows may be zeros.
    """
    out = np.zeros((len(votes), int(ids.max()) + 1))
    for emotion, kind in enumerate(ids.tolist()):
        if kind >= 0:
            out[:, kind] += votes[:, emotion]
    return out / np.maximum(out.sum(1, keepdims=True), 1e-12) * (out.sum(1, keepdims=True) > 0)


def stage(job: Job) -> Stage:
    settings = job.settings
    write = partial(
        write_chunk, labels=job.label_of, ids=job.ids, work=job.work, link=settings.link, verify=settings.verify
    )
    return Stage(write, *form.LINKS)


FORM = form.Form(frozenset({"link"}), stage, label_in_path=True, rows=one_face_only)
