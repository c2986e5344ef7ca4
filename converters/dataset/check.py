"""Every check of a Darknet set: a set comes in, findings come out, in the order of the lists.

Pictures and labels are looked at one by one (`_examine`, in chunks, in parallel), then together: repeats,
pictures and people on both sides of a split, label files and pictures that no list knows.

    emo dataset check data/affectnet-detector --strict
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from .. import boxes
from ..darknet_format.dataset import DarknetSet
from ..darknet_format.files import class_of_path
from ..darknet_format.labels import EMPTY, MISSING, examine_label, label_path
from ..errors import DataError, MediaError
from ..findings import Finding, box_problem, finding, label_trap, path_problem, picture_problems
from ..image_formats import PICTURE_SUFFIXES
from ..images import ImageInfo, probe
from ..output_folder import REPORT
from ..parallel import chunked_map
from ..settings_files import read_json
from ..table.records import SPLITS
from . import near_duplicates

_CHUNK = 256
_SLACK_PX = 0.5  # label files round to six digits


@dataclass(frozen=True)
class Limits:
    """What counts as too small or too large."""

    min_side: int = 16  # pixels, of a picture's shorter side
    min_face: float = 8.0  # pixels, of a face's shorter side
    max_bytes: int | None = None


@dataclass(frozen=True)
class _Examined:
    """One picture by itself: problems as (code, message), of its label as (code, line, message)."""

    problems: list[tuple[str, str]]
    label_problems: list[tuple[str, int, str]]
    rows: tuple[tuple[float, ...], ...] | None  # class id and box, as far as they can be read
    look: near_duplicates.Look | None


def check(
    one: DarknetSet,
    limits: Limits = Limits(),
    *,
    decode: bool = True,
    jobs: int = 1,
    progress: Callable[[Iterable], Iterable] = iter,
) -> list[Finding]:
    """All findings. Without `decode` only headers and labels are read, and nothing is said about lookalikes."""
    listed = list(dict.fromkeys(image for split in one.images for image in one.images[split]))
    chunks = [listed[start : start + _CHUNK] for start in range(0, len(listed), _CHUNK)]
    jobs = min(jobs, max(1, len(chunks) // 4))  # a process costs more than a thousand pictures
    look = partial(_examine_all, classes=one.data.classes, labels=one.data.labels, limits=limits, decode=decode)
    found = (item for chunk in progress(chunked_map(look, chunks, jobs)) for item in chunk)
    examined = dict(zip(listed, found, strict=True))  # to its end, where the workers are put away
    lookalikes = _lookalikes(one, listed, examined) if decode else []
    said = {item.file for item in lookalikes if item.code == "leak"}
    people = [item for item in _groups_on_both_sides(one) if item.file not in said]
    return [*_by_line(one, examined), *people, *lookalikes, *_same_names(one, listed), *_unlisted(one, listed)]


def _examine_all(images: list[str], **settings) -> list[_Examined]:
    return [_examine(image, **settings) for image in images]


def _examine(image: str, classes: int, labels: tuple[str, ...] | None, limits: Limits, decode: bool) -> _Examined:
    info = probe(image)
    problems = picture_problems(info, min_side=limits.min_side, max_bytes=limits.max_bytes)
    unsafe, trap = path_problem(image), label_trap(image) if labels is None else None
    if unsafe:
        problems.append(("unsafe-path", unsafe))
    if trap:
        problems.append(("label-trap", trap))
    look = None
    if decode and info.problem is None:
        try:
            look = near_duplicates.look(image)
        except MediaError as error:
            problems.append(("undecodable", error.what))
    if labels is not None:
        try:
            return _Examined(problems, [], ((class_of_path(image, labels),),), look)
        except DataError as error:
            code = "two-labels-match" if any(label in image for label in labels) else "no-label-match"
            return _Examined([*problems, (code, error.what)], [], None, look)
    rows, faults = read_faces(label_path(image), classes, info, limits.min_face)
    return _Examined(problems, faults, rows, look)


def read_faces(path: Path, classes: int, info: ImageInfo, min_face: float = 0.0):
    """A label file read with leniency: its usable rows (class, cx, cy, w, h) or None when it cannot be read at
    all, and (code, line, message) for every fault.
    """
    try:
        label = examine_label(path, classes)
    except DataError as error:
        if "missing" in error.what:
            return None, [("missing-label", 0, f"{MISSING}; {EMPTY}")]
        return None, [("bad-number", 0, error.what)]
    faults = [(fault.code, fault.line, fault.message) for fault in label.faults]
    whole = min(info.size_wh) > 0
    size = info.size_wh if whole else (1, 1)
    for row, line in zip(label.rows.tolist(), label.lines):
        xyxy_px = boxes.cxcywh_rel_to_xyxy(row[1:], size)
        problem = box_problem(xyxy_px, size, slack_px=_SLACK_PX if whole else 1e-5)
        if problem:
            faults.append((problem[0], line, problem[1]))
        side = float(np.min(xyxy_px[2:] - xyxy_px[:2]))
        if whole and side < min_face:
            faults.append(("too-small", line, f"a face of {side:.3g} pixels"))
    return tuple(map(tuple, label.rows.tolist())), faults


def _by_line(one: DarknetSet, examined: dict[str, _Examined]) -> list[Finding]:
    """What each list and each of its lines has by itself, and lines that name a picture again."""
    out, repeats_meant = [], _is_balanced(one)
    for subset, images in one.images.items():
        if not images:
            out.append(finding("empty-list", "has no line", file=one.data.list_of(subset), subset=subset))
        first: dict[str, int] = {}
        for image, line in zip(images, one.lines[subset]):
            if image in first:
                if not (repeats_meant and subset == "train"):
                    out.append(
                        finding(
                            "duplicate-row", f"is in line {first[image]} already", file=image, line=line, subset=subset
                        )
                    )
                continue
            first[image] = line
            item = examined[image]
            out += [finding(code, message, file=image, line=line, subset=subset) for code, message in item.problems]
            label = label_path(image)
            out += [
                finding(code, message, file=label, line=row, subset=subset)
                for code, row, message in item.label_problems
            ]
    return out


def _is_balanced(one: DarknetSet) -> bool:
    """Whether `emo dataset balance` wrote the lists, so that repeats in train are meant."""
    try:
        return "balanced" in read_json(one.data.path.parent / REPORT)
    except DataError:
        return False


def _sides(one: DarknetSet) -> dict[str, list[str]]:
    """Each picture's splits, in the order train, valid, test."""
    sides: dict[str, list[str]] = {}
    for subset in SPLITS:
        for image in dict.fromkeys(one.images.get(subset, ())):
            sides.setdefault(image, []).append(subset)
    return sides


def _groups_on_both_sides(one: DarknetSet) -> list[Finding]:
    """A file or a group (person, source) in two lists. Said of the earlier list's pictures: train loses first."""
    members: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    out = []
    for image, subsets in _sides(one).items():
        if len(subsets) > 1:
            out.append(
                finding("leak", f"the same file is also in {' and '.join(subsets[1:])}", file=image, subset=subsets[0])
            )
        for group in one.groups(image):
            for subset in subsets:
                members[group][subset].append(image)
    said = {item.file for item in out}
    for group, by_subset in members.items():
        present = [subset for subset in SPLITS if subset in by_subset]
        for number, subset in enumerate(present[:-1]):
            later = present[number + 1]
            for image in by_subset[subset]:
                if image not in said:  # once, however many of a scene's people are there
                    said.add(image)
                    out.append(
                        finding(
                            "leak", f"'{group}' is also in {later}: {by_subset[later][0]}", file=image, subset=subset
                        )
                    )
    return out


def _lookalikes(one: DarknetSet, listed: list[str], examined: dict[str, _Examined]) -> list[Finding]:
    """The same pixels in two files, the same pixels with different labels, and pictures that look the same."""
    sides, out = _sides(one), []
    looks = [examined[image].look for image in listed]
    order = {split: index for index, split in enumerate(SPLITS)}
    for same in near_duplicates.same(looks):
        group = sorted((listed[i] for i in same), key=lambda image: order[sides[image][0]])
        first, last = group[0], group[-1]
        labels = {image: _classes(examined[image]) for image in group}
        if len(set(labels.values())) > 1:
            for image in group:
                other = next(o for o in group if labels[o] != labels[image])
                message = (
                    f"is {_named(one, labels[image])} here, but the same picture is {_named(one, labels[other])} as "
                    f"{other}"
                )
                out.append(finding("conflicting-labels", message, file=image, subset=sides[image][0]))
        for image in group:
            if sides[image][0] != sides[last][-1]:
                out.append(
                    finding(
                        "leak", f"the same picture is in {sides[last][-1]}: {last}", file=image, subset=sides[image][0]
                    )
                )
            elif image != first and sides[image][0] == sides[first][0]:
                out.append(
                    finding("duplicate-image", f"is the same picture as {first}", file=image, subset=sides[image][0])
                )
        seen_last = [image for image in group if sides[image][0] == sides[last][0]]
        if sides[first][0] != sides[last][0]:
            for image in seen_last[1:]:
                out.append(
                    finding(
                        "duplicate-image", f"is the same picture as {seen_last[0]}", file=image, subset=sides[image][0]
                    )
                )
    for i, j, share in near_duplicates.alike(looks):
        a, b = sorted((listed[i], listed[j]), key=lambda image: order[sides[image][0]])
        if sides[a][0] != sides[b][0]:
            out.append(
                finding(
                    "near-leak",
                    f"looks like {b} in {sides[b][0]} (correlation {share:.3f})",
                    file=a,
                    subset=sides[a][0],
                )
            )
        else:
            out.append(
                finding("near-duplicate", f"looks like {a} (correlation {share:.3f})", file=b, subset=sides[b][0])
            )
    return out


def _classes(item: _Examined):
    """What a picture's label says of its content: the classes in it, in order."""
    return None if item.rows is None else tuple(sorted(int(row[0]) for row in item.rows))


def _named(one, ids):
    return "without a label" if ids is None else " and ".join(one.names[i] for i in ids) or "without a face"


def _same_names(one: DarknetSet, listed: list[str]) -> list[Finding]:
    """Pictures of one name in two folders; Darknet's `valid` writes results by name alone. And a.jpg beside a.png."""
    folders: dict[str, list[str]] = {}
    for image in listed:
        folders.setdefault(os.path.splitext(os.path.basename(image))[0], []).append(image)
    sides, out = _sides(one), []
    for same in folders.values():
        for image in same[1:]:
            beside = os.path.dirname(image) == os.path.dirname(same[0])
            message = f"shares its label file with {same[0]}" if beside else f"has the name of {same[0]}"
            severity = "error" if beside and not one.data.is_classifier else None
            out.append(finding("same-name", message, file=image, subset=sides[image][0], severity=severity))
    return out


def _unlisted(one: DarknetSet, listed: list[str]) -> list[Finding]:
    """Pictures that no list names and label files without a picture, in the folders of listed pictures."""
    known, out = set(listed), []
    lists = {os.path.abspath(one.data.path.parent / value) for value in one.data.options.values()}
    for folder in sorted({os.path.dirname(image) for image in listed}):
        try:
            files = sorted(entry.name for entry in os.scandir(folder) if entry.is_file())
        except OSError:
            continue  # its pictures are missing already
        stems = {os.path.splitext(name)[0] for name in files if os.path.splitext(name)[1].lower() in PICTURE_SUFFIXES}
        for name in files:
            path, (stem, suffix) = os.path.join(folder, name), os.path.splitext(name)
            if suffix.lower() in PICTURE_SUFFIXES and path not in known:
                out.append(finding("unlisted-image", "is in none of the lists", file=path))
            elif suffix == ".txt" and stem not in stems and not one.data.is_classifier and path not in lists:
                listed_as = any(os.path.join(folder, stem + ext) in known for ext in PICTURE_SUFFIXES)
                if not listed_as:  # a missing picture is said already
                    out.append(finding("label-without-image", "no picture has this name", file=path))
    return out
