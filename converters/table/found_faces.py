"""Faces of pictures that come without boxes, or boxes without landmarks, as a face finder sees them.

The finder is the caller's (`emotion.systems.face_finders`): BGR pixels (H, W, 3) -> boxes xyxy_px (N, 4), scores (N,)
and landmarks (N, K, 2) or None.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from .. import boxes
from ..errors import MediaError
from ..images import decode
from .records import SPLITS, Notes, Table

Find = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray | None]]
SAME = 0.4  # IoU from which on a found face is the one that the dataset's box means


def with_found(table: Table, find: Find, notes: Notes, landmarks: bool) -> Table:
    """The table with a box for each face that fills its picture: of the largest face that `find` gives, with its
    landmarks.

    A picture in which none is found is left out and counted, one with several is noted. With `landmarks` a face that
    has a box gets those that it lacks.
    """
    xyxy, keep = table.xyxy.copy(), np.ones(len(table), bool)
    points = list(table.landmarks) if table.landmarks else [None] * len(xyxy)
    for i in range(len(table)):
        faces = [
            face
            for face in range(table.first[i], table.first[i + 1])
            if np.isnan(xyxy[face, 0]) or (landmarks and points[face] is None)
        ]
        if not faces:
            continue
        where = SPLITS[table.split[i]], table.sources[table.source[i]], table.line[i]
        try:
            pixels = table.picture(i)
            pixels = decode(table.image[i]) if pixels is None else pixels
        except MediaError as error:
            keep[i] = False
            notes.drop("undecodable", *where, str(error))
            continue
        found, _, marks = find(np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else pixels)
        for face in faces:
            if np.isnan(xyxy[face, 0]):
                if not len(found):
                    keep[i] = False
                    notes.count("picture in which no face was found", where[0], 1)
                    break
                if len(found) > 1:
                    said = f"{len(found)} faces were found; the largest is taken for the labelled one"
                    notes.note("several-faces", "warning", *where, said)
                best = int(boxes.area(found).argmax())
                xyxy[face] = found[best]
            elif not len(found) or (overlap := boxes.iou(xyxy[face], found)[0]).max() < SAME:
                continue
            else:
                best = int(overlap.argmax())
            points[face] = None if marks is None else np.asarray(marks[best], float)
    table = replace(table, xyxy=xyxy, landmarks=points if any(point is not None for point in points) else None)
    return table if keep.all() else table.take(np.flatnonzero(keep))
