"""The lists, pictures and labels of a `.data` file -> findings, kept by content so that a second look is instant.

What counts as the same content is the lists' bytes and every file's size, times and inode: a file that
changed has another.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

from converters import images
from converters.darknet_format import labels
from converters.darknet_format.files import DataFile, class_of_path, numbered_list, read_list
from converters.errors import DataError, EmoError
from converters.findings import Finding, finding

VERSION = 3  # of the rules below; a new one makes the kept answers void
PER_FILE = 3  # faults told of one label file


def cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "emo" / "preflight"


def check_lists(data: DataFile, split: str) -> list[Finding]:
    """A list file: missing, empty, CRLF, spaces, the same picture twice."""
    try:
        path = data.list_of(split)
        numbered = numbered_list(path)
        if not path.is_file():  # a folder, or several places of a data.yaml
            return []
        raw = path.read_bytes()
    except DataError as error:
        return [Finding("list", "error", split, str(error.where or data.path), error.line or 0, error.what)]
    found = []

    def add(code, severity, line, message):
        found.append(Finding(code, severity, split, str(path), line, message))

    lines = raw.decode("utf-8", "replace").splitlines()
    if b"\r" in raw:
        add(
            "list-crlf",
            "warning",
            raw[: raw.index(b"\r")].count(b"\n") + 1,
            "the lines end in CR LF, which Darknets take as a part of the name; emo does not",
        )
    spaced = next((number for number, line in enumerate(lines, start=1) if re.search(r"\s", line.rstrip("\r"))), None)
    if spaced:
        add("list-spaces", "warning", spaced, "has spaces, which Darknets drop or cut at; emo does not")
    first = {image: number for number, image in reversed(numbered)}
    again = [(number, image) for number, image in numbered if first[image] != number]
    if again:
        add(
            "duplicate-row",
            "warning",
            again[0][0],
            f"listed again: {len(again)} of the lines, the first {again[0][1].name}",
        )
    return found


def check_files(data: DataFile, split: str, progress: Callable = lambda items, **_: items) -> list[Finding]:
    """Every picture (there, not empty, decodes) and its label, or the classifier's label in its path."""
    listed = list(dict.fromkeys(read_list(data.list_of(split))))
    kept = cache_folder() / f"{_key(data, split, listed)}.json"
    try:
        return [Finding(**item) for item in json.loads(kept.read_text())]
    except (OSError, ValueError, TypeError, RecursionError):
        pass

    def look(path):
        return _picture(path, split) + (
            _classified(path, data, split)
            if data.is_classifier
            else check_label(labels.label_path(path), data.classes, split)
        )

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # decoding lets go of the interpreter's lock
        found = [
            item
            for part in progress(pool.map(look, listed), total=len(listed), desc=f"preflight {split}")
            for item in part
        ]
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        temporary = kept.with_suffix(f".{os.getpid()}")
        temporary.write_text(json.dumps([asdict(item) for item in found]))
        os.replace(temporary, kept)
    except OSError:
        pass  # no cache to be had: the next look takes as long
    return found


def _key(data, split, listed):
    digest = hashlib.sha256(json.dumps([VERSION, split, data.classes, data.names, data.labels]).encode())
    for path in listed:
        for file in (path,) if data.is_classifier else (path, labels.label_path(path)):
            try:
                status = os.stat(file)
                told = (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
            except OSError as error:
                told = (error.errno,)
            digest.update(repr((str(file), told)).encode())
    return digest.hexdigest()


def _picture(path, split) -> list[Finding]:
    info = images.probe(path)
    if info.problem:
        return [finding(info.problem, info.detail, file=path, subset=split)]
    if info.format not in images.SAFE_FORMATS and info.format != "BMP":
        return [
            finding(
                "wrong-extension",
                f"is {info.format}; Darknets read JPEG and PNG",
                file=path,
                subset=split,
                severity="error",
            )
        ]
    try:
        images.decode(path)
    except EmoError as error:
        return [finding("undecodable", error.what, file=path, subset=split)]
    if info.orientation != 1:
        return [
            finding(
                "exif-rotated",
                "EXIF turns it: Darknets with OpenCV see it turned, those without do not",
                file=path,
                subset=split,
            )
        ]
    return []


def _classified(path, data, split) -> list[Finding]:
    try:
        class_of_path(path, data.labels)
    except DataError as error:
        code = "no-label-match" if "no label" in error.what else "two-labels-match"
        return [finding(code, error.what, file=path, subset=split)]
    return []


def check_label(path: Path, classes: int, split: str = "") -> list[Finding]:
    """The faults of one label file, the first PER_FILE of them."""
    try:
        faults = labels.examine_label(path, classes).faults
    except DataError as error:
        code = "missing-label" if "missing" in error.what else "bad-number"
        return [
            finding(
                code,
                f"{error.what}; {error.mend}" if error.mend else error.what,
                file=path,
                subset=split,
            )
        ]
    return [
        finding(fault.code, fault.message, file=path, line=fault.line, subset=split, severity=fault.severity)
        for fault in faults[:PER_FILE]
    ]
