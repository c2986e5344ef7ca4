"""What a file is by its content, whatever it is called, and the pictures of a folder.

format_of("holiday.jfif") == "JPEG"; pictures_in("photos").paths
"""

from __future__ import annotations

import os
import re
import stat
import threading
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .file_handles import READ

# What a format's file may be called. Only .jpg and .png are safe for every Darknet.
SUFFIXES = {
    "JPEG": (".jpg", ".jpeg", ".jfif", ".jpe", ".mpo"),
    "PNG": (".png",),
    "BMP": (".bmp",),
    "GIF": (".gif",),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "JPEG2000": (".jp2", ".j2k"),
    "HEIF": (".heic", ".heif", ".hif"),
    "AVIF": (".avif",),
    "PSD": (".psd",),
    "ICO": (".ico",),
    "QOI": (".qoi",),
    "DDS": (".dds",),
    "PCX": (".pcx",),
    "SGI": (".sgi", ".rgb", ".bw"),
    "SUN": (".ras",),
    "TGA": (".tga",),  # which no mark begins
}
PICTURE_SUFFIXES = frozenset(suffix for suffixes in SUFFIXES.values() for suffix in suffixes)
_MARKS = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG2000"),
    (b"\xff\x4f\xff\x51", "JPEG2000"),
    (b"8BPS\0\1", "PSD"),
    (b"qoif", "QOI"),
    (b"DDS \x7c\0\0\0", "DDS"),
    (b"\x59\xa6\x6a\x95", "SUN"),
    (b"\x01\xda\0\1\0", "SGI"),
    (b"\x01\xda\1\1\0", "SGI"),
)
_HEIF = {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"}


@dataclass
class Pictures:
    """The pictures of a folder, sorted absolute paths, and how many other files of which suffix it has."""

    paths: list[str] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)  # suffix, or the name where there is none -> files


def format_of(path: str | Path) -> str:
    """JPEG, PNG, GIF, ... (SUFFIXES' keys) by the file's first bytes, whatever its name; '' for what is not a
    picture, or cannot be read.
    """
    try:
        handle = os.open(path, READ)
    except (OSError, ValueError):
        return ""
    try:
        return sniff(os.read(handle, 64)) if stat.S_ISREG(os.fstat(handle).st_mode) else ""
    except OSError:
        return ""
    finally:
        os.close(handle)


def sniff(head: bytes) -> str:
    """The format by a file's first 64 bytes; '' when they begin no picture."""
    for mark, name in _MARKS:
        if head.startswith(mark):
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if (
        head[:2] == b"BM" and head[15:18] == b"\0\0\0" and head[14] in (12, 40, 52, 56, 64, 108, 124)
    ):  # the length of its second header
        return "BMP"
    if re.match(rb"P[1-6]\s+(#|\d+\s+(#|\d+\s))", head):  # a text may begin with P3, but not go on with two numbers
        return "PPM"
    if re.match(rb"\n[\x00\x02-\x05]\x01[\x01\x02\x04\x08]", head):
        return "PCX"
    if re.match(
        rb"\x00\x00\x01\x00[^\x00]\x00..[\x00-\x10]\x00", head, re.DOTALL
    ):  # how many, and of the first its sides and colours
        return "ICO"
    if head[4:8] == b"ftyp":  # ISO base media, which is a picture's when a brand of its says so
        brands = {head[at : at + 4] for at in (8, *range(16, min(len(head), int.from_bytes(head[:4], "big")), 4))}
        return "AVIF" if brands & {b"avif", b"avis"} else "HEIF" if brands & _HEIF else ""
    return ""


def pictures_in(folder: str | Path) -> Pictures:
    """The pictures in a folder and the folders in it, hidden ones left out.

    A file that is called like a picture is one, so that a broken one is reported and not skipped; any other is one
    when its content is.
    """
    out = Pictures()
    for here, below, files in os.walk(os.path.abspath(folder)):
        below[:] = sorted(name for name in below if name[0] != "." and name != "__MACOSX")
        for name in sorted(files):
            if name[0] == ".":
                continue
            path, suffix = f"{here}/{name}", os.path.splitext(name)[1].lower()
            if suffix in PICTURE_SUFFIXES or format_of(path):
                out.paths.append(path)
            else:
                out.others[suffix or name] += 1
    return out


def is_animated(path: str | Path) -> bool:
    """Whether a picture file has a second frame; False also for what is no picture or is cut, as `probe` and `decode`
    will say.
    """
    try:
        with opened_by_pillow(path) as picture:
            return bool(getattr(picture, "is_animated", False))
    except Exception:  # Pillow's plugins raise what they like
        return False


_limit_off = threading.Lock()


_PILLOWS = re.compile(r"PIL\.")


def opened_by_pillow(path: str | Path) -> Any:
    """Pillow's lazily opened picture; its own limit of pixels, and the warning of it, is off: `max_pixels` is asked."""
    from PIL import Image

    if ("ignore", None, UserWarning, _PILLOWS, 0) not in warnings.filters:  # of corrupt EXIF: emo says it itself
        warnings.filterwarnings("ignore", category=UserWarning, module=_PILLOWS.pattern)
    with _limit_off:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(path)
        finally:
            Image.MAX_IMAGE_PIXELS = limit
