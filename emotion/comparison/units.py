"""What is drawn again for an interval: pictures, or the people and sources that a manifest names in them.

units = units_of(data, "valid"); units.draw(rng, 50)      # (K, 50): how often each of K cells counts

A unit is what is drawn, a cell what always counts alike. Mostly they are one: a picture, or a person with all pictures.
Where a picture shows several people who come again elsewhere, as in collages, people and pictures are drawn alike, and
a face counts as often as its person times its picture (Owen, The pigeonhole bootstrap, 2007): to join whoever meets
somewhere would leave one unit.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from converters import boxes
from converters.darknet_format.dataset import as_listed
from converters.darknet_format.files import DataFile, read_list
from converters.darknet_format.labels import label_path, read_label
from converters.text_files import number, table_rows

BOX = ("x1", "y1", "x2", "y2", "width", "height")


@dataclass(frozen=True)
class Units:
    """kind      what is drawn: `group` (as a manifest names them), `picture`, `medium`, or `crossed`: group and picture
    pictures  (P,) the cell of each picture, where a face that nobody labelled counts
    members   (K, F) the unit of each cell in each of the F families that are drawn; -1 for none
    faces     (N,) the cell of each labelled face, picture by picture; None: its picture's
    """

    kind: str
    pictures: np.ndarray
    members: np.ndarray
    faces: np.ndarray | None = None

    @classmethod
    def nested(cls, kind: str, unit: np.ndarray) -> Units:
        """unit (P,): the unit, 0..U-1, that each picture belongs to as a whole."""
        return cls(kind, unit, np.arange(int(unit.max(initial=-1)) + 1)[:, None])

    @property
    def cells(self) -> int:
        return len(self.members)

    @property
    def count(self) -> int:
        """How many units there are; of crossed ones, groups."""
        return int(self.members[:, 0].max(initial=-1)) + 1

    def of_faces(self, picture: np.ndarray) -> np.ndarray:
        """The cell of each labelled face: picture (N,), in order."""
        return self.pictures[picture] if self.faces is None else self.faces

    def draw(self, rng: np.random.Generator, replicates: int) -> np.ndarray:
        """(K, replicates) int32: how often each cell counts when as many units are drawn as there are."""
        copies = np.ones((self.cells, replicates), np.int32)
        for family in self.members.T:
            total = int(family.max(initial=-1)) + 1
            drawn = rng.multinomial(total, np.full(total, 1 / total), size=replicates).T.astype(np.int32)
            copies *= np.where(family[:, None] >= 0, drawn[family], 1)
        return copies


def units_of(data: DataFile, split: str, limit: int | None = None) -> Units:
    """Which pictures, and faces, of a split are not independent.

    manifest.csv beside the .data names the group (a person, a source) of each face. Without it each picture is its own.
    Where its rows do not say which face is whose, pictures that share a group, directly or through others, are one.
    """
    paths = [os.path.abspath(path) for path in read_list(data.list_of(split))[:limit]]
    manifest = Path(data.path).parent / "manifest.csv"
    rows: dict[str, list[dict[str, str]]] = {}
    if manifest.is_file():
        for _, row in table_rows(manifest, ("image", "group"), mend="delete it, or convert again"):
            if row["image"]:
                rows.setdefault(os.path.abspath(manifest.parent / row["image"]), []).append(row)
    rows = as_listed(rows, paths)
    groups = {path: list(dict.fromkeys(row["group"] for row in rows.get(path, ()) if row["group"])) for path in paths}
    if not data.is_classifier and any(len(named) > 1 for named in groups.values()):
        if (found := crossed(paths, rows, data)) is not None:
            return found
    return Units.nested("group" if any(groups.values()) else "picture", joined(paths, groups))


def joined(paths: list[str], groups: dict[str, list[str]]) -> np.ndarray:
    """(P,) the unit of each picture, those that share a group being one."""
    root: dict = {}  # name of a group or picture -> one it is joined to; itself for the one that stands for all

    def top(name):
        root.setdefault(name, name)
        while root[name] != name:
            root[name] = name = root[root[name]]
        return name

    for path in paths:
        for group in groups[path]:
            root[top(("group", group))] = top(path)
    place = {path: index for index, path in enumerate(paths)}
    return np.unique([place[top(path)] for path in paths], return_inverse=True)[1]


def crossed(paths: list[str], rows: dict[str, list[dict]], data: DataFile) -> Units | None:
    """Groups crossed with pictures; None unless each row of the manifest is the label in its place."""
    names: dict = {}
    members, pictures = [(-1, place) for place in range(len(paths))], np.arange(len(paths))
    for place, path in enumerate(paths):
        labels = read_label(label_path(path), data.classes)
        mine = [row for row in rows.get(path, ()) if row.get("x1")]
        if len(mine) != len(labels):
            return None
        for index, (row, label) in enumerate(zip(mine, labels)):
            try:
                *box, width, height = (number(row[key]) for key in BOX)
            except (KeyError, ValueError):
                return None
            if boxes.iou([box], boxes.cxcywh_rel_to_xyxy(label[None, 1:], (width, height)))[0, 0] < 0.5:
                return None
            members.append((names.setdefault(row["group"] or (path, index), len(names)), place))
    return Units("crossed", pictures, np.array(members), np.arange(len(paths), len(members)))
