"""An existing Darknet set, detector or classifier: its `.data` file -> a Table, so that sets can be merged.

Classes are taken by name. A set that emo wrote says how many classes it was made for, and is not read for
another number: six classes cannot be taken apart again, and seven never saw the eighth. One class, Face, can be
made of any.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from ..boxes import cxcywh_rel_to_xyxy
from ..darknet_format.dataset import load
from ..emotions import EMOTIONS, canonical
from ..errors import DataError
from ..images import probe
from ..output_folder import REPORT
from ..settings_files import read_json
from ..table.records import SPLITS, Notes, Table
from ..table.splits import joined


def read(root: Path, notes: Notes, *, classes: int = 7) -> Table:
    """All pictures of all lists; a missing or bad label file becomes a finding. DataError for an unknown class."""
    data = load(root)
    same_classes(data.data.path.parent, classes)
    ids: list[int | None] = []
    unknown = None
    for name in data.names:
        try:
            ids.append(EMOTIONS.index(canonical(name)))
        except DataError as error:
            ids.append(None)  # which is an error when a label uses it
            unknown = unknown or DataError(
                f"class '{name}' is not an emotion that emo knows", where=data.data.path, mend=error.mend
            )
    image, names, split, group, line, count, xyxy, emotion = [], [], [], [], [], [], [], []
    for to, paths in data.images.items():
        common = os.path.commonpath([os.path.dirname(path) for path in paths]) if paths else ""
        own, seen = f"{os.path.abspath(data.data.path.parent)}/{to}/", set()
        for number, path in zip(data.lines[to], paths):
            if path in seen:  # repeated to balance the classes
                continue
            seen.add(path)
            where = to, data.data.path, number
            try:
                faces = data.faces(path)
            except DataError as error:
                notes.drop("missing-label" if "missing" in error.what else "bad-number", *where, str(error))
                continue
            if data.data.is_classifier:
                corners = np.full((1, 4), np.nan)
            else:
                info = probe(path)
                if info.problem:
                    notes.drop(info.problem, *where, f"{path}: {info.detail}")
                    continue
                corners = cxcywh_rel_to_xyxy(faces[:, 1:], info.size_wh)
            image.append(path)
            stem = os.path.splitext(path.removeprefix(own) if path.startswith(own) else os.path.relpath(path, common))[
                0
            ]
            head, _, tail = stem.partition("/")
            names.append(tail if tail and head in (data.data.labels or ()) else stem)
            split.append(SPLITS.index(to))
            group.append(data.groups(path) or [names[-1]])
            line.append(number)
            count.append(len(faces))
            xyxy.append(corners)
            emotion += [ids[int(value)] for value in faces[:, 0]]
    if unknown and None in emotion:
        raise unknown
    return Table(
        image=image,
        name=names,
        split=np.array(split, np.int8),
        group=joined(group),
        source=np.zeros(len(image), np.int16),
        line=np.array(line, np.int32),
        first=np.concatenate([[0], np.cumsum(count, dtype=np.int64)]),
        xyxy=np.concatenate([np.zeros((0, 4)), *xyxy]),
        emotion=np.array(emotion, np.int8),
        sources=(str(data.data.path),),
    )


def same_classes(folder: Path, classes: int) -> int | None:
    """The number of classes of the emo output in `folder`, None when it is none; DataError when it cannot become
    `classes`.
    """
    try:
        made_for = len(read_json(Path(folder) / REPORT, {"classes": (dict, list)}, ("classes",))["classes"])
    except DataError:
        return None
    if classes not in (1, made_for):
        raise DataError(
            f"was made with {made_for} classes, not {classes}",
            where=folder,
            mend=f"--classes {made_for}, or convert the dataset itself again",
        )
    return made_for
