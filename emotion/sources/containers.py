"""What a video's container states as a fact: how many frames its table lists, and that the file ends before the
container does.

    facts(Path("video.mp4")) == Facts(frames=90, cut=False)

OpenCV's count of frames is the table's in an MP4 and an estimate elsewhere, the duration times a rate, which a variable
rate, a late start or a longer sound make as wrong as one likes. Here only headers are read:
MP4 and its kin (ISO 14496-12), Matroska and WebM (RFC 8794), AVI (RIFF) and its index, GIF, animated PNG. FLV (Adobe's
specification, annex E) and MPEG-TS (ISO 13818-1) have no header for the whole, but one for each tag or packet: that the
last is not whole is a fact too; one that is cut between two of them is a shorter one, and whole. Of other containers
nothing is known.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

_KEY, _SAME_AGAIN = 0x10, 19  # AVIIF_KEYFRAME; bytes of a picture of MPEG-4 that says nothing new, in FFmpeg
MOST_TABLE = 64 << 20  # bytes of a table that is read; one of an hour's video is a megabyte


@dataclass(frozen=True)
class Facts:
    """frames: how many are shown by the file's own table, None without one. cut: the file is shorter than it says.
    least: how many a table lists at any rate, where it does not list all or not only those that are shown.
    """

    frames: int | None = None
    cut: bool = False
    least: int | None = None


def facts(path: Path) -> Facts:
    """By the file's content; nothing is known of one that cannot be read, or whose headers make no sense."""
    try:
        with open(path, "rb") as file:
            head, length = file.read(16), os.fstat(file.fileno()).st_size
            if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"):
                return _mp4(file, length)
            if head[:4] == b"\x1aE\xdf\xa3":
                return Facts(cut=_matroska_is_cut(file, length))
            if head[:4] == b"RIFF":
                return Facts(cut=_riff_is_cut(file, length), least=_indexed(file))
            if head[:4] == b"GIF8":
                return _gif(file)
            if head[:8] == b"\x89PNG\r\n\x1a\n":
                return _png(file, length)
            if head[:3] == b"FLV":
                return Facts(cut=_flv_is_cut(file, length))
            return Facts(cut=_ts_is_cut(file, length))
    except (OSError, struct.error, IndexError, ValueError):
        pass
    return Facts()


# --- MP4 ---------------------------------------------------------------------------------------------------


def _boxes(file: BinaryIO, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """(kind, start of the body, end) of the boxes from `start` to `end`; a box may claim to end beyond."""
    while start + 8 <= end:
        file.seek(start)
        size, kind = struct.unpack(">I4s", file.read(8))
        body = start + 8
        if size == 1:
            (size,) = struct.unpack(">Q", file.read(8))
            body += 8
        elif size == 0:  # to the end
            size = end - start
        if size < body - start:
            return
        yield kind, body, start + size
        start += size


def _find(file, start, end, *kinds: bytes) -> tuple[int, int] | None:
    """The body of the first box of that path; None when there is none, or it is not whole."""
    for kind, body, until in _boxes(file, start, end):
        if kind == kinds[0]:
            if until > end:
                return None
            return _find(file, body, until, *kinds[1:]) if kinds[1:] else (body, until)
    return None


def _table(file, place) -> bytes:
    start, end = place
    file.seek(start)
    return file.read(min(end - start, MOST_TABLE))


_BOXES = {*b"ftyp moov mdat moof mfra free skip wide udta meta uuid styp sidx ssix emsg prft pnot pdin".split()}


def _mp4(file, length) -> Facts:
    cut, in_parts, counts = False, False, []
    for kind, body, end in _boxes(file, 0, length):
        if kind not in _BOXES and end > length:  # none: what some cameras append
            break
        cut |= end > length
        in_parts |= kind == b"moof"
        if kind == b"moov" and end <= length:
            movie = _table(file, _find(file, body, end, b"mvhd") or (0, 0))
            tracks = [
                _frames_of_track(file, start, until, _timescale(movie))
                for inner, start, until in _boxes(file, body, end)
                if inner == b"trak" and until <= end
            ]
            counts = [count for count in tracks if count is not None]
    least = min(counts, default=0) or None  # a fragmented one has an empty table, or one of its beginning
    if in_parts or least != max(counts, default=0):  # of several tracks one is shown
        return Facts(None, cut, least)
    return Facts(least, cut)


def _timescale(header: bytes) -> int:
    """Units a second of an mvhd or mdhd."""
    return struct.unpack_from(">I", header, 20 if header[:1] == b"\1" else 12)[0]


def _frames_of_track(file, start, end, movie_scale) -> int | None:
    """How many samples of a video's track its edit list shows; None for a track of sound."""
    handler, media = _find(file, start, end, b"mdia", b"hdlr"), _find(file, start, end, b"mdia", b"mdhd")
    sizes, times, shifts, keys = (
        _find(file, start, end, b"mdia", b"minf", b"stbl", kind) for kind in (b"stsz", b"stts", b"ctts", b"stss")
    )
    if not handler or not media or not sizes or _table(file, handler)[8:12] != b"vide":
        return None
    (count,) = struct.unpack_from(">I", _table(file, (sizes[0], sizes[0] + 12)), 8)
    if keys and (first := _first_key(_table(file, keys))) <= count:
        count -= first - 1  # nothing before it can be decoded
    edits = _find(file, start, end, b"edts", b"elst")
    if not edits or not times:
        return count
    scale = _timescale(_table(file, media))
    shown, pieces = 0, _pieces(_runs(_table(file, times)), _runs(_table(file, shifts)) if shifts else None)
    for duration, begin in _edits(_table(file, edits)):
        if begin >= 0:  # -1 is a pause
            last = begin + duration * scale / movie_scale if duration and movie_scale else float("inf")
            shown += _samples_within(pieces, begin, last)
    return min(shown, count)


def _first_key(table: bytes) -> int:
    """The number, from 1 on, of the first sample of an stss."""
    entries, first = struct.unpack_from(">II", table.ljust(12, b"\0"), 4)
    return max(first, 1) if entries else 1


def _edits(table: bytes) -> list[tuple[int, int]]:
    """(duration in the movie's units, begin in the media's) of an elst."""
    form = ">Qq4x" if table[:1] == b"\1" else ">Ii4x"
    (count,) = struct.unpack_from(">I", table, 4)
    return list(struct.iter_unpack(form, table[8 : 8 + struct.calcsize(form) * count]))


def _runs(table: bytes) -> np.ndarray:
    """(how many samples, units) of an stts or ctts, (N, 2); units are signed, as FFmpeg reads both."""
    (count,) = struct.unpack_from(">I", table, 4)
    runs = np.frombuffer(table, np.dtype([("count", ">u4"), ("units", ">i4")]), min(count, (len(table) - 8) // 8), 8)
    return np.stack([runs["count"].astype(float), runs["units"].astype(float)], 1)


def _pieces(spans: np.ndarray, shifts: np.ndarray | None) -> np.ndarray:
    """Stretches of samples that are equally long and equally shifted: (how many, first is shown at, units each lasts).

    A sample is shown at its time in the order of decoding and its shift (ctts), which pictures that are decoded before
    they are shown (B-frames) make necessary.
    """
    if not len(spans):
        return np.zeros((0, 3))
    ends = np.cumsum(spans[:, 0])
    edges = ends if shifts is None else np.union1d(ends, np.minimum(np.cumsum(shifts[:, 0]), ends[-1]))
    firsts = np.concatenate([[0.0], edges[:-1]])
    run = np.searchsorted(ends, firsts, "right").clip(max=len(ends) - 1)
    at = np.concatenate([[0.0], np.cumsum(spans.prod(1))])[run]
    at += (firsts - np.concatenate([[0.0], ends])[run]) * spans[run, 1]
    if shifts is not None:
        shift = np.searchsorted(np.cumsum(shifts[:, 0]), firsts, "right")
        at += np.append(shifts[:, 1], 0.0)[shift]
    return np.stack([edges - firsts, at, spans[run, 1]], 1)


def _samples_within(pieces: np.ndarray, begin: float, end: float) -> int:
    """Samples whose time lies from `begin` to before `end`: what FFmpeg shows."""
    count, at, span = pieces.T
    still = span <= 0
    step = np.where(still, 1, span)
    first, last = (np.clip(np.ceil((edge - at) / step), 0, count) for edge in (begin, end))
    return int(np.where(still, count * ((begin <= at) & (at < end)), np.maximum(last - first, 0)).sum())


# --- others ------------------------------------------------------------------------------------------------


def _vint(data: bytes, at: int) -> tuple[int | None, int]:
    """An EBML length and the place after it; None for the unknown length, which live recordings have."""
    width = 9 - data[at].bit_length()
    value = int.from_bytes(data[at : at + width], "big") & ((1 << 7 * width) - 1)
    return None if value == (1 << 7 * width) - 1 else value, at + width


def _matroska_is_cut(file, length) -> bool:
    file.seek(0)
    data = file.read(4096)
    header, at = _vint(data, 4)
    at += header or 0
    if data[at : at + 4] != b"\x18\x53\x80\x67":  # Segment, which holds everything
        return False
    size, at = _vint(data, at + 4)
    return size is not None and at + size > length


def _riff_is_cut(file, length) -> bool:
    """An AVI is one RIFF after another (OpenDML); a length of 0 or of all ones was never filled in."""
    at = 0
    while at + 8 <= length:
        file.seek(at)
        kind, size = struct.unpack("<4sI", file.read(8))
        if kind != b"RIFF" or size in (0, 0xFFFFFFFF):
            return False
        at += 8 + size + size % 2
    return at > length + 8  # the last byte of padding may be missing; some count the header in, too


def _indexed(file) -> int | None:
    """How many pictures of the first video the index of an AVI lists (idx1), from the first key on; of those that are
    too short to hold one, which stand for `the same again`, none.
    """
    file.seek(4)
    at, end = 12, 8 + struct.unpack("<I", file.read(4))[0]
    while at + 8 <= end:
        file.seek(at)
        head = file.read(8)
        if len(head) < 8:
            return None
        kind, size = struct.unpack("<4sI", head)
        if kind == b"idx1":
            table = _table(file, (at + 8, at + 8 + size))
            entries = np.frombuffer(
                table, [("kind", "S4"), ("flags", "<u4"), ("at", "<u4"), ("size", "<u4")], size // 16
            )
            break
        at += 8 + size + size % 2
    else:
        return None
    streams = [kind for kind in np.unique(entries["kind"]).tolist() if kind[2:] in (b"dc", b"db")]
    pictures = entries[entries["kind"] == streams[0]] if streams else entries[:0]
    keys = np.flatnonzero(pictures["flags"] & _KEY)
    return int((pictures["size"][keys[0] :] > _SAME_AGAIN).sum()) or None if len(keys) else None


def _flv_is_cut(file, length) -> bool:
    """Tag by tag, each a type, its length and itself, and then both lengths again; only if the last does not fit."""
    file.seek(length - 4)
    (last,) = struct.unpack(">I", file.read(4))
    file.seek(max(0, length - 4 - last))
    if last >= 11 and int.from_bytes(file.read(4)[1:], "big") == last - 11:
        return False
    file.seek(5)
    at = struct.unpack(">I", file.read(4))[0] + 4
    while at + 15 <= length:
        file.seek(at)
        kind, *size = file.read(4)
        if kind & ~0x20 not in (8, 9, 18):  # no sound, picture or script: something else follows
            return False
        at += 11 + int.from_bytes(bytes(size), "big") + 4
    return at not in (length, length + 4)  # the last tag may lack its length at the end


def _ts_is_cut(file, length) -> bool:
    """Packets of one size, all of which begin with 0x47, some after four bytes of time."""
    for size, lead in ((188, 0), (192, 4), (204, 0)):
        places = [lead + size * number for number in range(5)]
        if length > places[-1] and all(_byte(file, place) == 0x47 for place in places):
            whole, rest = divmod(length, size)
            return rest > lead and _byte(file, whole * size + lead) == 0x47
    return False


def _byte(file, at: int) -> int:
    file.seek(at)
    return file.read(1)[0]


# A frame's graphic control extension (GIF89a, 23).
_CONTROL = re.compile(rb"\x21\xf9\x04[\s\S]{4}\x00(?=[\x21\x2c])")  # by chance once in 2^39 bytes


def _gif(file) -> Facts:
    """Block by block (GIF89a, appendix A) to the trailer; one that ends before it is cut, as is one with more frames
    than that leads to: damage has hidden the others.
    """
    file.seek(10)
    (packed,) = file.read(3)[:1]
    file.seek(13 + (3 << (packed & 7) + 1 if packed & 0x80 else 0))
    frames = controls = 0
    while (kind := file.read(1)) not in (b"", b"\x3b"):
        if kind == b"\x2c":
            packed = file.read(9)[8]
            file.seek((3 << (packed & 7) + 1 if packed & 0x80 else 0) + 1, os.SEEK_CUR)
        elif kind == b"\x21":
            controls += file.read(1) == b"\xf9"
        else:
            return Facts(cut=True)  # nothing shows what comes after
        while (size := file.read(1)) not in (b"", b"\0"):
            file.seek(size[0], os.SEEK_CUR)
        if size:
            frames += kind == b"\x2c"
    file.seek(0)
    if not kind or len(_CONTROL.findall(file.read(MOST_TABLE))) > controls:
        return Facts(cut=True)
    return Facts(frames)


def _png(file, length) -> Facts:
    """Chunk by chunk (PNG, third edition) to the last; an animation's says how many frames it has."""
    frames, at = None, 8
    while at + 12 <= length:
        file.seek(at)
        size, kind = struct.unpack(">I4s", file.read(8))
        if kind == b"acTL":
            (frames,) = struct.unpack(">I", file.read(4))
        at += 12 + size
        if kind == b"IEND":
            return Facts(frames or None, at > length)
    return Facts(frames or None, cut=True)
