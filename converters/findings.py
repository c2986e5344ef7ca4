"""Findings: what is wrong with a dataset, one fault at a time, and the checks that need no other file.

A picture's header (`ImageInfo`), a box or a path comes in, findings {code, severity, subset, file, line,
message} come out. `converters.dataset.check` walks a whole Darknet set with them; the readers use the
same codes for the rows of a source dataset.
"""

from __future__ import annotations

import csv
import os
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from .errors import UsageError
from .image_formats import SUFFIXES
from .images import ImageInfo
from .output_folder import replacing

# code -> (severity, what it means). `error`: the picture or label cannot be trained on as it stands;
# `warning`: it can, but probably not as meant; `info`: dealt with, and told.
CODES: dict[str, tuple[str, str]] = {
    "missing-image": ("error", "the list names a picture that is not there"),
    "zero-bytes": ("error", "the picture's file is empty"),
    "truncated": ("error", "the picture's file ends before its end-of-file marker"),
    "undecodable": ("error", "the file is not a picture, or its pixels cannot be decoded"),
    "too-many-pixels": ("error", "the picture has more pixels than the limit"),
    "wrong-extension": ("warning", "the file's content is another format than its name says"),
    "exif-rotated": ("warning", "EXIF turns the picture; some Darknets turn it and some do not"),
    "size-differs": ("error", "the picture has another size than its boxes were drawn for"),
    "too-small": ("warning", "the picture or the face is smaller than the limit"),
    "over-size": ("warning", "the file is larger than the limit"),
    "box-outside": ("error", "the box lies wholly outside its picture"),
    "box-clipped": ("warning", "the box reached over the picture's edge and was clipped"),
    "box-empty": ("error", "the box has no extent"),
    "bad-number": ("error", "a value is not a finite number, or a line has the wrong number of them"),
    "label-trap": ("info", "some Darknets look for the label file in another place"),
    "path-escapes": ("error", "the path leaves the image folder"),
    "unsafe-path": ("error", "a Darknet binary cannot take the path"),
    "duplicate-row": ("warning", "the same picture is listed again"),
    "conflicting-labels": ("error", "the same picture carries different labels"),
    "same-name": ("info", "two folders hold a picture of the same name"),
    "duplicate-image": ("warning", "two files hold the same picture, byte for byte or pixel for pixel"),
    "near-duplicate": ("warning", "two pictures look the same"),
    "near-leak": ("warning", "pictures that look the same are on both sides of a split"),
    "leak": ("error", "the same picture or person is on both sides of a split"),
    "loose-label": ("warning", "the label is written in a way that emo reads and Darknet binaries misread"),
    "class-range": ("error", "the class id is not in the class map"),
    "missing-label": ("error", "a picture has no label file"),
    "label-without-image": ("warning", "a label file has no picture"),
    "empty-list": ("error", "the list names no picture, so nothing can be trained on or measured with it"),
    "unlisted-image": ("info", "a picture of the set is in none of its lists"),
    "no-label-match": ("error", "a classifier's path matches none of its labels"),
    "two-labels-match": ("error", "a classifier's path matches more than one label"),
    "unknown-class": ("error", "the class name or id is not one of the dataset's"),
    "several-faces": ("error", "the picture shows several faces, so its class would be ambiguous"),
    "no-face": ("error", "the picture has no face, so it has no class"),
    "no-effect": ("warning", "an option has no effect on this dataset"),
    "not-an-emotion": ("info", "the row is of a class that is not an emotion, and is left out"),
}
SEVERITIES = ("error", "warning", "info")

# What every Darknet flavour takes; anything else may reach a shell (see AlexeyAB's bad_label.list) or split a line.
_SAFE = re.compile(r"[A-Za-z0-9._/-]+")
MAX_PATH = 255  # AlexeyAB and pjreddie copy paths into char[256] (`replace_image_to_label`, `find_replace`)


@dataclass(frozen=True)
class Finding:
    """One fault. `subset` is train, valid, test or ''; `file` and `line` say where, line 0 = the whole file."""

    code: str
    severity: str
    subset: str
    file: str
    line: int
    message: str


def finding(
    code: str, message: str, *, file: str | Path = "", line: int = 0, subset: str = "", severity: str | None = None
) -> Finding:
    """A finding with the severity that `CODES` gives its code, unless the caller knows better."""
    return Finding(code, severity or CODES[code][0], subset or "", str(file), line or 0, message)


def picture_problems(info: ImageInfo, *, min_side: int = 0, max_bytes: int | None = None) -> list[tuple[str, str]]:
    """What a probed file's header says is wrong: (code, message) pairs, at most one of them fatal and first."""
    if info.problem in ("missing-image", "zero-bytes", "undecodable", "too-many-pixels"):
        return [(info.problem, info.detail)]
    out = [("truncated", info.detail)] if info.problem else []
    suffix = os.path.splitext(info.path)[1].lower()
    if suffix not in SUFFIXES.get(info.format, ()):
        out.append(("wrong-extension", f"holds {info.format}, but its name ends in '{suffix}'"))
    if info.orientation != 1:
        out.append(("exif-rotated", f"EXIF orientation {info.orientation}: shown turned by some programs only"))
    if min(info.size_wh) < min_side:
        out.append(("too-small", f"is {info.size_wh[0]}x{info.size_wh[1]}, smaller than {min_side} pixels"))
    if max_bytes is not None and info.bytes > max_bytes:
        out.append(("over-size", f"has {info.bytes} bytes, more than {max_bytes}"))
    return out


def box_problem(xyxy_px, size_wh, slack_px: float = 0.0) -> tuple[str, str] | None:
    """(code, message) for one box that is not a number, without extent, outside or over the edge; None when fine.

    `slack_px` is how far over the edge rounding may put a box without a word.
    """
    x1, y1, x2, y2 = (float(value) for value in xyxy_px)
    width, height = size_wh
    said = f"box {x1:.6g},{y1:.6g},{x2:.6g},{y2:.6g} in a picture of {width}x{height}"
    if not np.isfinite([x1, y1, x2, y2]).all():
        return "bad-number", f"{said} is not a number"
    if x2 <= x1 or y2 <= y1:
        return "box-empty", f"{said} has no extent"
    if x2 <= 0 or y2 <= 0 or x1 >= width or y1 >= height:
        return "box-outside", f"{said} lies outside it"
    over = (max(0.0, -x1), max(0.0, -y1), max(0.0, x2 - width), max(0.0, y2 - height))
    if max(over) > slack_px:
        sides = [f"{side} by {value:.4g}" for side, value in zip(("left", "top", "right", "bottom"), over) if value > 0]
        return "box-clipped", f"{said} reaches over the edge: {', '.join(sides)} px"
    return None


def path_problem(path: str | Path) -> str | None:
    """Why a Darknet binary cannot take the path (characters, length); None when every flavour can."""
    text = str(path)
    bad = sorted({character for character in text if not _SAFE.fullmatch(character)})
    if bad:
        return "has characters that a Darknet binary cannot take: " + " ".join(map(repr, bad[:8]))
    if len(text.encode()) > MAX_PATH:
        return f"is {len(text.encode())} bytes long; Darknet takes {MAX_PATH}"
    return None


def label_trap(path: str | Path) -> str | None:
    """Why a Darknet would look for a detector's label somewhere else than beside the picture; None when all look there.

    pjreddie's replaces `images`, `raw` and the first `.jpg`, `.png` anywhere in the path (data.c,
    `fill_truth_detection`); AlexeyAB's some folders (utils.c, `replace_image_to_label`).
    """
    text = str(path)
    for word in ("images", "raw", "JPEGImages"):
        if word in text:
            return f"holds '{word}', which some Darknets replace to find the label file"
    stem = text.rpartition(".")[0]
    if any(ending in stem for ending in (".jpg", ".JPG", ".png", ".JPEG")):
        return "holds a second '.jpg' or '.png', which some Darknets replace to find the label file"
    return None


def counts(findings: Iterable[Finding]) -> dict[str, int]:
    """How many of each code, errors first, then by number."""
    found = Counter((SEVERITIES.index(item.severity), item.code) for item in findings)
    out: dict[str, int] = {}
    for (_, code), number in sorted(found.items(), key=lambda pair: (pair[0][0], -pair[1], pair[0][1])):
        out[code] = out.get(code, 0) + number
    return out


def as_dicts(findings: Iterable[Finding]) -> list[dict]:
    """For JSON."""
    return [asdict(item) for item in findings]


def write_csv(findings: Iterable[Finding], path: str | Path) -> None:
    """The findings as a CSV file with a header, written under a temporary name and renamed.

    UsageError for a file that is there and holds something else than earlier findings.
    """
    head = ",".join(field.name for field in fields(Finding))
    if os.path.isfile(path) and os.path.getsize(path):
        with open(path, "rb") as old:
            if old.read(len(head)) != head.encode():
                raise UsageError("exists and is not a file of findings", where=path, mend="give another name")
    with (
        replacing(Path(path)) as temporary,
        open(temporary, "w", newline="", encoding="utf-8", errors="surrogateescape") as file,
    ):
        writer = csv.DictWriter(file, head.split(","), lineterminator="\n")
        writer.writeheader()
        writer.writerows(map(asdict, findings))


def table(findings: Iterable[Finding], examples: int = 2) -> str:
    """Lines for people: every code with its number per subset, and the first `examples` of each."""
    findings = list(findings)
    by_code: dict[str, list[Finding]] = {}
    for item in findings:
        by_code.setdefault(item.code, []).append(item)
    lines = []
    for code, number in counts(findings).items():
        items = by_code[code]
        worst = min((item.severity for item in items), key=SEVERITIES.index)
        subsets = ", ".join(f"{count} {name}" for name, count in Counter(item.subset for item in items).items() if name)
        lines.append(f"{worst:<8}{number:>7}  {code:<20} {CODES[code][1]}" + (f"  [{subsets}]" if subsets else ""))
        for item in items[:examples]:
            place = f"{item.file}:{item.line}" if item.line else item.file
            lines.append(f"{'':17}{place}: {item.message}")
    return "\n".join(lines)
