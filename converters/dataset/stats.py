"""Figures of a Darknet set: counts per split and class, sizes of pictures and faces, and plots of them.

`measure` reads the lists, the label files and the pictures' headers; `summary` makes the figures,
`text` the table for people, `plot` the pictures.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..darknet_format.dataset import DarknetSet
from ..errors import DataError, naming
from ..images import probe
from ..output_folder import finish, in_place, part as part_of

FILES = ("classes.png", "pictures.png", "faces.png", "stats.json")
_QUANTILES = {"min": 0, "median": 0.5, "max": 1}


@dataclass(frozen=True)
class Measured:
    """A split in numbers. Pictures that cannot be read count in `unusable` alone."""

    listed: int  # lines of the list, repeats and all
    sizes: np.ndarray  # (N, 2) width, height of each different picture
    faces: np.ndarray  # (F, 5) class id, cxcywh_rel
    owner: np.ndarray  # (F,) the picture of each face
    unusable: int

    @property
    def sides_px(self) -> np.ndarray:
        """(F,) the root of each face's area, in pixels of its picture."""
        wh = self.faces[:, 3:] * self.sizes[self.owner]
        return np.sqrt(wh.prod(1))


def measure(one: DarknetSet, progress: Callable[[Iterable], Iterable] = iter) -> dict[str, Measured]:
    """Every split, measured. Repeated lines count once, but in `listed`."""
    out = {}
    for split, listed in one.images.items():
        sizes: list = []
        faces: list = []
        owner: list[int] = []
        unusable = 0
        for image in progress(list(dict.fromkeys(listed))):
            info = probe(image)
            try:
                rows = one.faces(image)
            except DataError:
                rows = None
            if rows is None or min(info.size_wh) <= 0:
                unusable += 1
                continue
            owner += [len(sizes)] * len(rows)
            sizes.append(info.size_wh)
            faces.append(rows)
        out[split] = Measured(
            len(listed),
            np.array(sizes, float).reshape(-1, 2),
            np.concatenate([np.zeros((0, 5)), *faces]),
            np.array(owner, int),
            unusable,
        )
    return out


def summary(one: DarknetSet, measured: dict[str, Measured]) -> dict:
    """The figures, ready for JSON."""
    out = {}
    for split, part in measured.items():
        per_picture = np.bincount(part.owner, minlength=len(part.sizes))
        counts = np.bincount(part.faces[:, 0].astype(int), minlength=len(one.names))
        out[split] = {
            "listed": part.listed,
            "pictures": len(part.sizes),
            "unusable": part.unusable,
            "without_faces": int((per_picture == 0).sum()),
            "faces": len(part.faces),
            "by_class": dict(zip(one.names, counts.tolist())),
            "faces_per_picture": _spread(per_picture),
            "width_px": _spread(part.sizes[:, 0]),
            "height_px": _spread(part.sizes[:, 1]),
            "face_px": _spread(part.sides_px),
            "face_share": _spread(np.sqrt(part.faces[:, 3:].prod(1))),
        }
    return {"data": str(one.data.path), "kind": "classifier" if one.data.is_classifier else "detector", "splits": out}


def _spread(values: np.ndarray) -> dict | None:
    return {name: round(float(np.quantile(values, at)), 4) for name, at in _QUANTILES.items()} if len(values) else None


def text(report: dict) -> str:
    """A table by split and class, then a line about sizes for each split."""
    splits = report["splits"]
    names = list(next(iter(splits.values()))["by_class"])
    rows = [["", *splits], ["pictures", *(part["pictures"] for part in splits.values())]]
    for key in ("unusable", "without_faces"):
        if any(part[key] for part in splits.values()):
            rows.append([key.replace("_", " "), *(part[key] for part in splits.values())])
    if any(part["listed"] != part["pictures"] + part["unusable"] for part in splits.values()):
        rows.append(["lines in the list", *(part["listed"] for part in splits.values())])
    rows.append(["faces", *(part["faces"] for part in splits.values())])
    for name in names:
        cells = [
            f"{part['by_class'][name]} {part['by_class'][name] / max(1, part['faces']):5.1%}"
            for part in splits.values()
        ]
        rows.append(["  " + name, *cells])
    widths = [max(len(str(row[column])) for row in rows) for column in range(len(rows[0]))]
    lines = [f"{report['data']} ({report['kind']})"]
    lines += [
        "  ".join(
            str(cell).ljust(width) if i == 0 else str(cell).rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths))
        )
        for row in rows
    ]
    for split, part in splits.items():
        if part["pictures"]:
            sizes = " x ".join("{min:.0f}..{max:.0f}".format(**part[key]) for key in ("width_px", "height_px"))
            line = f"{split}: pictures {sizes} px"
            if part["faces"] and report["kind"] == "detector":
                line += "; faces {min:.0f}..{max:.0f} px, median {median:.0f}".format(**part["face_px"])
                line += "; {min:.0f}..{max:.0f} a picture".format(**part["faces_per_picture"])
            lines.append(line)
    return "\n".join(lines)


def plot(one: DarknetSet, measured: dict[str, Measured], folder: str | Path, report: dict | None = None) -> list[Path]:
    """classes.png, pictures.png, for a detector faces.png, and stats.json of a `report` in `folder`; gives the plots'
    paths.

    An earlier one's are replaced. UsageError when files of these names are not emo's, DataError when it cannot be
    written.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    folder = Path(folder)
    draw = {"classes.png": _plot_classes, "pictures.png": _plot_pictures}
    if not one.data.is_classifier:
        draw["faces.png"] = _plot_faces
    plots = [folder / name for name in draw]
    with in_place(folder, True, FILES):
        for path, function in zip(plots, draw.values()):
            figure = function(pyplot, one, measured)
            with naming(path):
                figure.savefig(
                    part_of(path), dpi=110, metadata={"Software": None}
                )  # no version: the same bytes everywhere
            pyplot.close(figure)
        if report is not None:
            with naming(folder / FILES[-1]):
                part_of(folder / FILES[-1]).write_text(json.dumps(report, indent=2) + "\n")
        finish(folder, *plots, *([folder / FILES[-1]] if report is not None else []), instead_of=FILES)
    return plots


def _plot_classes(pyplot, one, measured):
    figure, axes = pyplot.subplots(figsize=(8, 4), layout="constrained")
    x, width = np.arange(len(one.names)), 0.8 / len(measured)
    for number, (split, part) in enumerate(measured.items()):
        counts = np.bincount(part.faces[:, 0].astype(int), minlength=len(one.names))
        bars = axes.bar(
            x + (number - (len(measured) - 1) / 2) * width, counts, width, label=f"{split} ({counts.sum()})"
        )
        axes.bar_label(bars, fontsize=7)
    axes.set_xticks(x, one.names)
    axes.set(ylabel="faces", title="Faces per class")
    axes.legend()
    return figure


def _plot_pictures(pyplot, one, measured):
    figure, axes = pyplot.subplots(figsize=(5.5, 5), layout="constrained")
    for split, part in measured.items():
        sizes, counts = np.unique(part.sizes, axis=0, return_counts=True)
        axes.scatter(
            *sizes.T,
            s=12 + 120 * counts / max(1, counts.max(initial=0)),
            alpha=0.5,
            label=f"{split} ({len(part.sizes)})",
        )
    axes.set(
        xlabel="width, px",
        ylabel="height, px",
        title="Sizes of pictures (area of the dot: how many)",
        xlim=(0, None),
        ylim=(0, None),
    )
    axes.legend()
    return figure


def _plot_faces(pyplot, one, measured):
    figure, (sizes, shares, places) = pyplot.subplots(1, 3, figsize=(14, 4.2), layout="constrained")
    everything = [part for part in measured.values() if len(part.faces)]
    top = max((part.sides_px.max() for part in everything), default=1)
    for split, part in measured.items():
        style = {"histtype": "step", "linewidth": 1.6, "density": True, "label": f"{split} ({len(part.faces)})"}
        if len(part.faces):
            sizes.hist(part.sides_px, np.linspace(0, top, 41), **style)
            shares.hist(np.sqrt(part.faces[:, 3:].prod(1)), np.linspace(0, 1, 41), **style)
    sizes.set(xlabel="root of the face's area, px", ylabel="density", title="Sizes of faces")
    shares.set(xlabel="root of the face's share of its picture", title="Sizes relative to the picture")
    if everything:  # matplotlib warns of an empty one
        sizes.legend()
    centres = np.concatenate([np.zeros((0, 2)), *(part.faces[:, 1:3] for part in everything)])
    counts, _, _ = np.histogram2d(centres[:, 1], centres[:, 0], bins=40, range=[[0, 1], [0, 1]])
    image = places.imshow(counts, extent=(0, 1, 1, 0), cmap="viridis")
    figure.colorbar(image, ax=places, label="faces")
    places.set(title="Where faces are (centres)", xlabel="x", ylabel="y")
    return figure
