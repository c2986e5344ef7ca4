"""The detector form: each picture linked, a label file `class cx cy w h` beside it.

One chunk of a Table comes in; pictures and labels appear under `work`, and what was written, counted
and found goes out. No pixel is decoded: the size comes from the header, truncation from the end of
the file. Only a format that not every Darknet reads (all but JPEG and PNG) is decoded, to a lossless PNG.
"""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path

import numpy as np

from .. import boxes
from ..darknet_format.labels import DIGITS, LINE
from ..emotions import EMOTIONS
from ..errors import MediaError
from ..file_handles import CREATE
from ..findings import box_problem, picture_problems
from ..images import SAFE_FORMATS, decode, probe
from ..table.records import SPLITS, Notes, Table
from . import form
from .form import Job, Stage
from .pixels import write_png

_SPECIAL = re.compile('[,"\n\r]').search
MANIFEST = "image,split,emotion,x1,y1,x2,y2,width,height,group,source,line\n"
CORNERS = {"i": "%s,%d,%d,%d,%d", "f": "%s,%.8g,%.8g,%.8g,%.8g"}


@dataclass
class Written:
    """What became of a chunk: list entries, manifest rows, faces per split and class, and notes."""

    entries: list[list[str]] = field(default_factory=lambda: [[] for _ in SPLITS])  # relative paths a split
    manifest: list[str] = field(default_factory=list)
    landmark_rows: list[str] = field(default_factory=list)  # of landmarks.csv
    votes: list[str] = field(default_factory=list)  # a classifier's rows of votes.csv
    faces: np.ndarray = field(default_factory=lambda: np.zeros((len(SPLITS), len(EMOTIONS)), np.int64))
    notes: Notes = field(default_factory=Notes)


def write_chunk(
    table: Table, names: list[str], ids: np.ndarray, work: Path, link: str, verify: bool = False, enlarge: float = 1.0
) -> Written:
    """Link and label the chunk's pictures; `ids` (8,) is the class id of each of EMOTIONS, `enlarge` a factor about
    each box.
    """
    out, infos = Written(), [probe(path) for path in table.image]
    good = sound(table, infos, out.notes, verify)
    sizes = np.array([info.size_wh for info in infos], float).reshape(-1, 2)
    owner = np.repeat(np.arange(len(table)), table.counts)  # (F,) the picture of each face
    size = sizes[owner]
    whole = np.isnan(table.xyxy[:, 0])
    xyxy = np.where(whole[:, None], np.concatenate([np.zeros_like(size), size], axis=1), table.xyxy)
    clipped = boxes.clip(xyxy, size)
    written = boxes.enlarge(xyxy, enlarge, size) if enlarge != 1 else clipped
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = boxes.xyxy_to_cxcywh_rel(written, size)
    with np.errstate(invalid="ignore"):
        extent = np.round(relative[:, 2:], DIGITS) > 0  # as it will be read again
    fits = good[owner] & (clipped[:, 2:] > clipped[:, :2]).all(axis=1) & extent.all(axis=1)
    for row in np.flatnonzero(good[owner] & (clipped != xyxy).any(axis=1) | good[owner] & ~fits).tolist():
        index = owner[row]
        code, message = box_problem(xyxy[row], infos[index].size_wh) or ("box-empty", "the box has no extent")
        code = code if fits[row] or code != "box-clipped" else "box-empty"
        where = (
            SPLITS[table.split[index]],
            table.sources[table.source[index]],
            table.line[index],
            f"{table.image[index]}: {message}",
        )
        if fits[row]:
            out.notes.note(code, "warning", *where)
        else:
            out.notes.drop(code, *where)
    lost = ~fits
    lines = _lines(ids, table.emotion, relative, np.flatnonzero(fits))
    for row, code, message in _repeats(owner, lines):
        fits[row], lost[row] = False, code != "duplicate-row"
        index = owner[row]
        out.notes.drop(
            code,
            SPLITS[table.split[index]],
            table.sources[table.source[index]],
            table.line[index],
            f"{table.image[index]}: {message}",
        )
    # A picture with a face without a usable label goes, since a detector would learn that there is none; one that never
    # had
    # any is a negative and stays.
    spoiled = good & (np.bincount(owner[lost], minlength=len(table)) > 0)
    for index in np.flatnonzero(spoiled & (np.bincount(owner[fits], minlength=len(table)) > 0)).tolist():
        out.notes.count("picture with a face without a usable label", SPLITS[table.split[index]], 1)
    good &= ~spoiled
    fits &= good[owner]
    kept = np.bincount(owner[fits], minlength=len(table))
    np.add.at(out.faces, (table.split[owner[fits]], table.emotion[fits]), 1)

    # Whatever can be is done to columns: what is left a picture is a link, a label file and a line of text.
    rows, split, line, ends = (
        np.flatnonzero(fits),
        table.split.tolist(),
        table.line.tolist(),
        [0, *np.cumsum(kept).tolist()],
    )
    labels = [lines[row] for row in rows.tolist()]
    corners = written[rows]
    if (corners == np.floor(corners)).all():  # nearly always; the text is the same, and quicker made
        corners = corners.astype(np.int64)
    texts = list(
        map(
            CORNERS[corners.dtype.kind].__mod__,
            zip(map(EMOTIONS.__getitem__, table.emotion[rows].tolist()), *corners.T.tolist()),
        )
    )
    group, image = quoted_all(table.group), quoted_all(table.image)
    usable = np.flatnonzero(good).tolist()
    stems = [f"{SPLITS[part]}/{name}" for part, name in zip(split, names)]
    for folder in {stems[i][: stems[i].rfind("/")] for i in usable}:
        os.makedirs(f"{work}/{folder}", exist_ok=True)
    for i in usable:
        stem = f"{work}/{stems[i]}"
        stems[i] += place(infos[i].path, stem, infos[i], link)
        handle = os.open(stem + ".txt", CREATE, 0o666)
        os.write(handle, "".join(labels[ends[i] : ends[i + 1]]).encode())
        os.close(handle)
    for i in usable:
        out.entries[split[i]].append(stems[i])
        width, height = infos[i].size_wh
        for box in texts[ends[i] : ends[i + 1]] or [",,,,"]:  # no face: a negative
            out.manifest.append(
                f"{stems[i]},{SPLITS[split[i]]},{box},{width},{height},{group[i]},{image[i]},{line[i]}\n"
            )
    return out


def _lines(ids: np.ndarray, emotion: np.ndarray, relative: np.ndarray, rows: np.ndarray) -> dict[int, str]:
    """The label line of each face of `rows`, by its row."""
    return dict(zip(rows.tolist(), map(LINE.__mod__, zip(ids[emotion[rows]].tolist(), *relative[rows].T.tolist()))))


def _repeats(owner: np.ndarray, lines: dict[int, str]) -> list[tuple[int, str, str]]:
    """(row, code, message) of faces that a label file would hold twice: all but the first, or all when their
    classes differ.
    """
    out: list[tuple[int, str, str]] = []
    seen: dict = {}
    for row, line in lines.items() if len(lines) > len(np.unique(owner)) else ():
        seen.setdefault((owner[row], line.partition(" ")[2]), []).append(row)
    for rows in seen.values():
        if len(rows) > 1 and len({lines[row] for row in rows}) > 1:
            out += [
                (row, "conflicting-labels", "the same box has different emotions; both are left out") for row in rows
            ]
        else:
            out += [(row, "duplicate-row", "the same box is there twice") for row in rows[1:]]
    return out


def sound(table: Table, infos: list, notes: Notes, verify: bool = False) -> np.ndarray:
    """(N,) bool: which pictures can be used, by their headers (`verify`: and pixels); findings for the others, and
    warnings.
    """
    good = np.ones(len(infos), bool)
    for i, info in enumerate(infos):
        if verify and info.problem is None:
            try:
                decode(info.path)
            except MediaError as error:
                good[i] = False
                notes.drop(
                    "undecodable", SPLITS[table.split[i]], table.sources[table.source[i]], table.line[i], str(error)
                )
                continue
        if info.problem is None and info.format == "JPEG" and info.orientation == 1 and info.path[-4:] == ".jpg":
            continue  # nearly all: nothing to say
        where = SPLITS[table.split[i]], table.sources[table.source[i]], table.line[i]
        for code, message in picture_problems(info):
            if code == info.problem:
                good[i] = False
                notes.drop(code, *where, f"{info.path}: {message}")
            else:
                notes.note(code, "warning", *where, f"{info.path}: {message}")
    return good


def place(image: str | Path, stem: str, info, link: str) -> str:
    """Link the picture as `stem` plus the extension of its content, which is returned."""
    suffix = SAFE_FORMATS.get(info.format)
    if not suffix:
        write_png(stem + ".png", decode(image))
        return ".png"
    try:
        if link == "hard":
            _link(image, stem + suffix)
        elif link == "symlink":
            os.symlink(image, stem + suffix)
        else:
            shutil.copyfile(image, stem + suffix)
    except FileExistsError:  # a chunk run again
        pass
    except OSError:
        if link != "hard":
            raise
        place(image, stem, info, "symlink")  # another file system, or a file that is not ours
    return suffix


def _link(image: str | Path, to: str) -> None:
    """With a folder's handle, absolute path or not, a link in the source is followed, as it is not without."""
    if os.link in os.supports_dir_fd:
        os.link(image, to, src_dir_fd=_root())
    else:
        os.link(os.path.realpath(image), to)


@cache
def _root() -> int:
    return os.open("/", os.O_RDONLY)


def quoted(text: str) -> str:
    """A CSV field."""
    return '"' + text.replace('"', '""') + '"' if _SPECIAL(text) else text


def quoted_all(texts: list[str]) -> list[str]:
    """CSV fields; the list itself when none needs quotes, which one look at all of them tells."""
    joined = "\0".join(texts)
    return list(map(quoted, texts)) if any(mark in joined for mark in ',"\n\r') else texts


def stage(job: Job) -> Stage:
    link, verify = job.settings.link, job.settings.verify
    return Stage(
        partial(write_chunk, ids=job.ids, work=job.work, link=link, verify=verify, enlarge=job.settings.enlarge),
        *form.LINKS,
    )


USES = frozenset({"no_face", "scenes", "crowd", "backgrounds", "size", "link", "enlarge", "find"})
FORM = form.Form(USES, stage, boxed=True)
