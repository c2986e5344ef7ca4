"""Which rows of a Table are used: a picture once, one emotion a face, one split a picture, the wanted classes.

What is left out is told in `notes`; nothing is opened.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np

from .. import boxes
from ..emotions import EMOTIONS, class_ids
from .records import SPLITS, Notes, Table
from .splits import assign


def one_row_each(table: Table, notes: Notes) -> Table:
    """Rows of one picture made one: repeated faces once, faces with two emotions out, a picture in one split only."""
    if len(set(table.image)) == len(table):
        return table
    rows: dict[str, list[int]] = {}
    for index, image in enumerate(table.image):
        if table.pixels is None or table.pixels[index] is None:
            rows.setdefault(image, []).append(index)
    gone, extra, touched = np.zeros(len(table.emotion), bool), {}, set()
    for image, same in rows.items():
        if len(same) < 2:
            continue
        touched.update(same)
        # A picture that is in several splits stays in the last: what is tested on must not be trained on.
        last = max(table.split[same])
        for index in same:
            if table.split[index] != last:
                notes.drop("leak", *_where(table, index), f"{image}: is in {SPLITS[last]} too")
                gone[table.first[index] : table.first[index + 1]] = True
        kept = [index for index in same if table.split[index] == last]
        extra[kept[0]] = kept[1:]
        owner = [index for index in kept for _ in range(table.first[index], table.first[index + 1])]
        faces = np.array([face for index in kept for face in range(table.first[index], table.first[index + 1])], int)
        _once(table, faces, owner, gone, notes)
    return _joined(table, gone, extra, touched)


def _where(table: Table, index: int) -> tuple[str, str, int]:
    return SPLITS[table.split[index]], table.sources[table.source[index]], table.line[index]


def _once(table: Table, faces: np.ndarray, owner: list[int], gone: np.ndarray, notes: Notes) -> None:
    """Mark as gone the faces (K,) of one picture that repeat another, and both where they name different emotions."""
    xyxy = table.xyxy[faces]
    whole = np.isnan(xyxy[:, 0])
    same = (boxes.iou(np.nan_to_num(xyxy), np.nan_to_num(xyxy)) > 0.5) | whole[:, None] | whole[None, :]
    same |= (xyxy[:, None] == xyxy[None]).all(axis=2)
    for later in np.flatnonzero(np.tril(same, -1).any(axis=1)).tolist():
        twins = [earlier for earlier in np.flatnonzero(same[later, :later]).tolist() if not gone[faces[earlier]]]
        if not twins:
            continue
        face, twin = faces[later], faces[twins[0]]
        gone[face] = True
        image = table.image[owner[later]]
        if table.emotion[twin] == table.emotion[face]:
            notes.drop("duplicate-row", *_where(table, owner[later]), f"{image}: is listed again with the same face")
            continue
        gone[twin] = True
        notes.spoil(image)
        pair = f"{EMOTIONS[table.emotion[twin]]} and {EMOTIONS[table.emotion[face]]}"
        for which in (twins[0], later):
            notes.drop(
                "conflicting-labels",
                *_where(table, owner[which]),
                f"{image}: one face is called {pair}; both rows are left out",
            )


def _joined(table, gone, extra, touched) -> Table:
    """Move the faces of a picture's later rows to its first; rows left without faces go."""
    order, count, keep = [], [], []
    for index in range(len(table)):
        if index in touched and index not in extra:
            continue
        mine = [
            face
            for row in (index, *extra.get(index, ()))
            for face in range(table.first[row], table.first[row + 1])
            if not gone[face]
        ]
        if mine or index not in touched or not any(table.counts[row] for row in (index, *extra[index])):
            keep.append(index)
            order += mine
            count.append(len(mine))
    images = replace(
        table,
        first=np.zeros(len(table) + 1, np.int64),
        xyxy=table.xyxy[:0],
        emotion=table.emotion[:0],
        landmarks=None,
        votes=None,
    ).take(np.array(keep, np.int64))
    return replace(
        images,
        first=np.concatenate([[0], np.cumsum(count, dtype=np.int64)]),
        xyxy=table.xyxy[order],
        emotion=table.emotion[order],
        landmarks=None if table.landmarks is None else [table.landmarks[face] for face in order],
        votes=None if table.votes is None else table.votes[order],
    )


def chosen(table: Table, classes: int, notes: Notes, whole: bool) -> Table:
    """Faces of the wanted classes; with `whole` a picture with any other face goes, since a detector learns from
    every pixel.
    """
    wanted = ids_of(classes)[table.emotion] >= 0
    if wanted.all():
        return table
    owner = np.repeat(np.arange(len(table)), table.counts)
    for (split, emotion), rows in Counter(
        zip(table.split[owner[~wanted]].tolist(), table.emotion[~wanted].tolist())
    ).items():
        notes.count(f"{EMOTIONS[emotion]} is none of the {classes} classes", SPLITS[split], rows)
    if whole:
        bad = np.zeros(len(table), bool)
        bad[owner[~wanted]] = True
        wanted = ~bad[owner]
    return table.with_faces(wanted)


def unspoiled(table: Table, notes: Notes, whole: bool) -> Table:
    """Without the pictures that show a face whose label is lost; unless `whole` only those that have no other face."""
    spoiled = (
        np.array([image in notes.spoiled for image in table.image], bool)
        if notes.spoiled
        else np.zeros(len(table), bool)
    )
    gone = spoiled if whole else spoiled & (table.counts == 0)
    for index in np.flatnonzero(gone).tolist():
        notes.count("picture with a face without a usable label", SPLITS[table.split[index]], 1)
    return table.take(np.flatnonzero(~gone)) if gone.any() else table


def ids_of(classes: int) -> np.ndarray:
    """(8,) the class id of each of EMOTIONS, -1 for one that the set leaves out."""
    known = class_ids(classes)
    return np.array([known.get(name, -1) for name in EMOTIONS])


def one_face_only(table: Table, notes: Notes) -> Table:
    """Only pictures of exactly one face, which is all that a whole picture's class can mean."""
    for i in np.flatnonzero(table.counts != 1).tolist():
        what = "has no face" if table.counts[i] == 0 else f"has {table.counts[i]} faces; --task crops takes each"
        code = "no-face" if table.counts[i] == 0 else "several-faces"
        notes.drop(
            code, SPLITS[table.split[i]], table.sources[table.source[i]], table.line[i], f"{table.image[i]}: {what}"
        )
    return table.take(np.flatnonzero(table.counts == 1))


def boxed_and_whole(table: Table) -> tuple[Table, Table]:
    """Pictures with boxes (or without faces), and pictures that are one face."""
    owner = np.repeat(np.arange(len(table)), table.counts)
    whole = np.zeros(len(table), bool)
    whole[owner[np.isnan(table.xyxy[:, 0])]] = True
    if not whole.any():
        return table, table.take(np.zeros(0, np.int64))
    return table.take(np.flatnonzero(~whole)), table.take(np.flatnonzero(whole))


def first_of_each(table: Table, dataset: np.ndarray, limit: int, notes: Notes) -> Table:
    """The first `limit` pictures of each split of each dataset, of which `dataset` (N,) is the number."""
    seen: Counter = Counter()
    keep = []
    for index, key in enumerate(zip(dataset.tolist(), table.split.tolist())):
        seen[key] += 1
        if seen[key] <= limit:
            keep.append(index)
        else:
            notes.count(f"picture beyond the first {limit} of its split and source (--limit)", SPLITS[key[1]], 1)
    return table.take(np.array(keep, np.int64))


def set_aside(table: Table, share: float, seed: int) -> Table:
    """`share` of the training groups moved to valid, by a hash of the group."""
    train = np.flatnonzero(table.split == SPLITS.index("train"))
    sides = assign([table.group[i] for i in train.tolist()], {"valid": share}, seed)
    split = table.split.copy()
    split[train[[side == "valid" for side in sides]]] = SPLITS.index("valid")
    return replace(table, split=split)
