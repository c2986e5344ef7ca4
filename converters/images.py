"""Pictures: size and truncation from the header and the end of the file; pixels; hashes.

`probe` decodes no pixel: it opens the file, reads its first 4 kB and its last few bytes, and parses
JPEG, PNG and BMP itself; other formats go through Pillow's lazy opening. `decode` gives the pixels,
`content_hash` and `perceptual_hash` what duplicates and near-duplicates are found with.

EXIF: `size_wh` and `decode` are of the pixels *as stored*, the EXIF orientation ignored. That is what
boxes drawn by a program without EXIF mean, and what a Darknet built without OpenCV reads; one built
with OpenCV turns the picture. `orientation` tells, and `decode(..., upright=True)` turns. (A TIFF or
HEIF is turned by everything that reads it, so its size is that of the turned picture.)

A picture of more pixels than `max_pixels()` is refused by its header, since a few megabytes of PNG can hold gigabytes.

    python -m converters.images picture.jpg
"""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .errors import MediaError, MissingExtra
from .file_handles import READ, read_at
from .image_formats import opened_by_pillow, sniff

SAFE_FORMATS = {"JPEG": ".jpg", "PNG": ".png"}  # what every Darknet reads, and how it must be called

MAX_PIXELS = 120_000_000  # a phone's 12000x9000 passes; 400 million took 6 GB on their way through a detector
_MAX_PIXELS = "EMO_MAX_PIXELS"  # in the environment, so that worker processes have it too

_HEAD = 4096  # a page: no dearer than a few hundred bytes, and holds most headers whole
_TAIL = 65536
_IEND = b"IEND\xaeB`\x82"
# Markers that start a frame and so hold its size: SOF0..SOF15 without DHT (C4), JPG (C8) and DAC (CC). ITU T.81, table
# B.1.
_SOF = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


class ImageInfo(NamedTuple):
    """What a picture's header says. A tuple, since a dataset makes hundreds of thousands of them.

    path         as given
    size_wh      (width, height) of the stored pixels; (0, 0) when unknown
    format       JPEG, PNG, BMP, ... by content; '' when unknown
    orientation  EXIF orientation 1..8; 1 is upright or unsaid
    bytes        the file's length
    problem      None, or a finding's code: missing-image, zero-bytes, truncated, undecodable, too-many-pixels
    detail       the problem in words
    """

    path: str | Path
    size_wh: tuple[int, int] = (0, 0)
    format: str = ""
    orientation: int = 1
    bytes: int = 0
    problem: str | None = None
    detail: str = ""

    @property
    def upright_wh(self) -> tuple[int, int]:
        """(width, height) after turning as EXIF says."""
        return self.size_wh[::-1] if self.orientation >= 5 else self.size_wh


class _Broken(Exception):
    """The header cannot be parsed; the message says why."""


def max_pixels() -> int:
    """Most pixels of a picture that is decoded: EMO_MAX_PIXELS, else MAX_PIXELS."""
    said = os.environ.get(_MAX_PIXELS, "")
    return int(said) if said.isdigit() else MAX_PIXELS


@contextmanager
def pixel_limit(pixels: int) -> Iterator[None]:
    """`max_pixels()` is `pixels` in the block, in this process and in those that it starts."""
    before = os.environ.get(_MAX_PIXELS)
    os.environ[_MAX_PIXELS] = str(pixels)
    try:
        yield
    finally:
        os.environ.pop(_MAX_PIXELS)
        if before is not None:
            os.environ[_MAX_PIXELS] = before


def probe(path: str | Path) -> ImageInfo:
    """Read the header and the end of the file; never raises: `problem` says what is wrong."""
    try:
        handle = os.open(path, READ)
    except (FileNotFoundError, NotADirectoryError):
        return ImageInfo(path, problem="missing-image", detail="is not there")
    except (OSError, ValueError) as error:
        return ImageInfo(path, problem="undecodable", detail=f"cannot be opened: {error}")
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            return ImageInfo(path, problem="undecodable", detail="is not a regular file")
        length = status.st_size
        if not length:
            return ImageInfo(path, problem="zero-bytes", detail="is empty")
        head = os.read(handle, _HEAD)
        parse, name = _jpeg, "JPEG"
        if head[:3] == b"\xff\xd8\xff":
            pass
        elif head[:8] == b"\x89PNG\r\n\x1a\n":
            parse, name = _png, "PNG"
        elif head[:2] == b"BM":
            parse, name = _bmp, "BMP"
        else:
            return _by_pillow(path, length, head)
        size, orientation, complete = parse(handle, head, length)
    except (_Broken, struct.error, IndexError) as error:
        detail = str(error) if isinstance(error, _Broken) else "the header is cut or damaged"
        return ImageInfo(path, (0, 0), name, 1, length, "undecodable", f"{name}: {detail}")
    except OSError as error:
        return ImageInfo(path, problem="undecodable", detail=f"cannot be read: {error}")
    finally:
        os.close(handle)
    if not (size[0] > 0 and size[1] > 0):
        return ImageInfo(path, (0, 0), name, 1, length, "undecodable", f"{name}: its size is {size[0]}x{size[1]}")
    if size[0] * size[1] > max_pixels():
        return ImageInfo(path, size, name, orientation, length, "too-many-pixels", _too_many(size))
    if not complete:
        return ImageInfo(
            path, size, name, orientation, length, "truncated", f"the {name} ends before its end-of-file marker"
        )
    return ImageInfo(path, size, name, orientation, length)


def _jpeg(handle, head, length):
    """Walk the segments to the frame header (ITU T.81, B.1.1.4), then look for EOI at the end."""
    at, base, orientation = 2, 0, 1  # `at` in the file; `head` starts at `base`
    while True:
        if at - base + 20 > len(head) and base + len(head) < length:
            head, base = read_at(handle, _HEAD, at), at
        i = at - base
        if head[i] != 0xFF:
            raise _Broken(f"no marker at byte {at}")
        marker = head[i + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        if marker in _SOF:
            height, width = struct.unpack_from(">HH", head, i + 5)
            break
        if marker in (0xD9, 0xDA):
            raise _Broken("the frame header is missing")
        if marker == 0x01 or 0xD0 <= marker <= 0xD8:  # markers without a length
            at += 2
            continue
        (size,) = struct.unpack_from(">H", head, i + 2)
        if size < 2:
            raise _Broken(f"a segment of length {size} at byte {at}")
        if marker == 0xE1 and head[i + 4 : i + 10] == b"Exif\0\0":
            block = head[i + 10 : i + 2 + size]
            orientation = _exif_orientation(block if len(block) == size - 8 else read_at(handle, size - 8, at + 10))
        at += 2 + size
    # In entropy-coded data FF is stuffed, so FF D9 after the frame header is the end of the image.
    # Padding and trailers may follow it.
    if read_at(handle, 2, length - 2) == b"\xff\xd9":
        return (width, height), orientation, length - 2 > at
    start = max(at, length - _TAIL)
    complete = b"\xff\xd9" in read_at(handle, length - start, start)
    if not complete and start > at:
        complete = b"\xff\xd9" in read_at(handle, start + 1 - at, at)
    return (width, height), orientation, complete


def _png(handle, head, length):
    """IHDR comes first; eXIf, when there, before the pixels; IEND last (W3C PNG, 5.6)."""
    if head[12:16] != b"IHDR":
        raise _Broken("IHDR is missing")
    size, orientation, at = struct.unpack_from(">II", head, 16), 1, 8
    while at + 8 <= len(head):
        (chunk,) = struct.unpack_from(">I", head, at)
        kind = head[at + 4 : at + 8]
        if kind == b"IDAT":
            break
        if kind == b"eXIf":
            orientation = _exif_orientation(head[at + 8 : at + 8 + chunk])
        at += 12 + chunk
    if length < 45:
        return size, orientation, False
    complete = read_at(handle, 8, length - 8) == _IEND
    while not complete:  # something may follow the end: go from chunk to chunk
        chunk = read_at(handle, 8, at)
        if len(chunk) < 8:
            break
        complete = chunk[4:] == b"IEND" and length >= at + 12
        at += 12 + struct.unpack(">I", chunk[:4])[0]
    return size, orientation, complete


def _bmp(handle, head, length):
    """BITMAPFILEHEADER, then BITMAPCOREHEADER or BITMAPINFOHEADER; complete when all rows are there."""
    offset, kind = struct.unpack_from("<II", head, 10)
    if kind == 12:
        width, height, _, bits = struct.unpack_from("<HHHH", head, 18)
        compression = 0
    else:
        width, height, _, bits, compression = struct.unpack_from("<iiHHI", head, 18)
    if compression in (0, 3):  # BI_RGB, BI_BITFIELDS: the length follows from the size
        complete = length >= offset + (width * bits + 31) // 32 * 4 * abs(height)
    else:
        complete = length >= struct.unpack_from("<I", head, 2)[0]
    return (width, abs(height)), 1, complete


def _exif_orientation(block: bytes) -> int:
    """Tag 0x0112 of the first image directory of a TIFF block; 1 when it is absent or makes no sense."""
    order = {b"II": "<", b"MM": ">"}.get(block[:2], "")
    try:
        (at,) = struct.unpack_from(order + "I", block, 4)
        (entries,) = struct.unpack_from(order + "H", block, at)
        for entry in range(at + 2, at + 2 + 12 * entries, 12):
            tag, _, _, value = struct.unpack_from(order + "HHIH", block, entry)
            if tag == 0x0112:
                return value if 1 <= value <= 8 else 1
    except (TypeError, struct.error):
        pass
    return 1


def _too_many(size) -> str:
    return f"is {size[0]}x{size[1]}: more than {max_pixels()} pixels; --max-pixels (EMO_MAX_PIXELS) raises the limit"


def _by_pillow(path, length, head):
    name = sniff(head)
    try:
        with _pillow(path, name) as picture:
            size, name = picture.size, name or picture.format or ""
            orientation = 1 if name in _TURNED else picture.getexif().get(0x0112, 1)
    except MissingExtra as error:
        return ImageInfo(path, (0, 0), name, 1, length, "undecodable", str(error))
    except Exception:  # Pillow's plugins raise what they like: struct.error, SyntaxError, ValueError ...
        return ImageInfo(
            path,
            (0, 0),
            name,
            1,
            length,
            "undecodable",
            f"is a {name} that cannot be read" if name else "is not a picture that can be read",
        )
    orientation = orientation if orientation in range(1, 9) else 1
    if size[0] * size[1] > max_pixels():
        return ImageInfo(path, size, name, orientation, length, "too-many-pixels", _too_many(size))
    if name == "WEBP" and length < struct.unpack_from("<I", head, 4)[0] + 8:  # RIFF's own length
        return ImageInfo(path, size, name, orientation, length, "truncated", "the WEBP is shorter than its header says")
    return ImageInfo(path, size, name, orientation, length)


_TURNED = ("TIFF", "HEIF", "AVIF")  # which those who decode them turn themselves


def _pillow(path, name: str):
    """Pillow's lazily opened picture. MissingExtra for HEIF."""
    from PIL import features

    if name == "HEIF" or (name == "AVIF" and not features.check("avif")):
        try:
            try:
                import pi_heif as plugin
            except ImportError:
                import pillow_heif as plugin
        except ImportError:
            raise MissingExtra("pi-heif", "heic", f"a picture of the format {name}") from None
        plugin.register_heif_opener()
        if name == "AVIF" and hasattr(plugin, "register_avif_opener"):
            plugin.register_avif_opener()
    return opened_by_pillow(path)


def decode(path: str | Path, grey: bool = False, upright: bool = False, reduced: int = 1) -> np.ndarray:
    """The pixels: uint8 (H, W, 3) BGR, or (H, W) with `grey`. `upright` turns them as EXIF says.

    `reduced` (1, 2, 4 or 8) is by how much the sides of a JPEG may be divided, rounded up, which its decoder does
    before it makes the pixels: look at the shape. (Of other formats OpenCV scales whole pictures down afterwards,
    to sides rounded down, which saves nothing and moves every pixel.)

    MediaError when the file is missing, cannot be decoded or has too many pixels. A truncated JPEG decodes, with grey
    below the cut, as everywhere else: ask `probe` first.
    """
    import cv2

    info, colour = probe(path), "GRAYSCALE" if grey else "COLOR"
    reduced = reduced if info.format == "JPEG" else 1
    flags = getattr(cv2, f"IMREAD_{colour}" if reduced == 1 else f"IMREAD_REDUCED_{colour}_{reduced}")
    if (
        info.problem
        and info.problem not in ("missing-image", "truncated")
        and (info.problem == "too-many-pixels" or info.format == "HEIF")
    ):
        raise MediaError(info.detail, where=path)
    if info.format in _TURNED:  # OpenCV fails on some TIFFs that are turned
        return _decode_by_pillow(path, info.format, grey, upright)
    try:  # not cv2.imread, which crashes on a name that is not UTF-8
        with open(path, "rb") as file:
            data = np.frombuffer(file.read(), np.uint8)
        pixels = cv2.imdecode(data, flags | (0 if upright else cv2.IMREAD_IGNORE_ORIENTATION)) if len(data) else None
    except FileNotFoundError:
        raise MediaError("no such picture", where=path) from None
    except OSError as error:
        raise MediaError(f"cannot be read: {error.strerror}", where=path) from None
    except cv2.error:  # such as more than 2^30 pixels
        pixels = None
    if pixels is None:
        pixels = _decode_by_pillow(path, info.format, grey, upright)
    return pixels


def _decode_by_pillow(path, name, grey, upright):
    try:
        with _pillow(path, name) as picture:
            return pixels_of(picture, grey, upright, path)
    except FileNotFoundError:
        raise MediaError("no such picture", where=path) from None
    except MediaError:
        raise
    except Exception:  # as in _by_pillow
        raise MediaError("cannot be decoded as a picture", where=path) from None


def pixels_of(picture, grey: bool = False, upright: bool = True, path: str | Path | None = None) -> np.ndarray:
    """A picture of Pillow's as `decode` gives a file. MediaError, of `path`, for values that are none of a picture."""
    from PIL import Image, ImageOps

    picture = ImageOps.exif_transpose(picture) if upright else picture
    if picture.mode[0] in "IF":  # grey of more than 8 bits
        picture = Image.fromarray(_in_8_bits(np.asarray(picture), path))
    pixels = np.asarray(picture.convert("L" if grey else "RGB"))
    return pixels if grey else np.ascontiguousarray(pixels[..., ::-1])


def _in_8_bits(pixels: np.ndarray, path) -> np.ndarray:
    """Grey of 16 bits, or floats of 0..1, 0..255 or 0..65535, as uint8, by the least of these ranges that holds them;
    Pillow's own conversion clips. Sixteen bits keep their upper eight, as OpenCV has it.
    """
    wide, integer = pixels.dtype.itemsize > 2, np.issubdtype(pixels.dtype, np.integer)
    low, high = (float(pixels.min()), float(pixels.max())) if pixels.size else (0.0, 0.0)
    if not (low >= 0 and high <= 65535):  # nor NaN
        raise MediaError(
            f"holds values from {low:g} to {high:g}, which are no grey of 8 or 16 bits, nor of 0..1",
            where=path,
            mend="save it with 8 bits a channel",
        )
    if integer and (not wide or high > 255):
        return (pixels.astype(np.uint32) >> 8).astype(np.uint8)
    scale = 255 if not integer and high <= 1 else 1 if high <= 255 else 1 / 257
    return np.round(pixels.astype(np.float64) * scale).astype(np.uint8)


def content_hash(path: str | Path) -> bytes:
    """16 bytes of BLAKE2b over the file: equal for equal files. MediaError when it cannot be read."""
    import hashlib

    try:
        with open(path, "rb") as file:
            return hashlib.blake2b(file.read(), digest_size=16).digest()
    except OSError as error:
        raise MediaError(f"cannot be read: {error.strerror}", where=path) from None


def pixel_hash(pixels: np.ndarray) -> bytes:
    """16 bytes over shape and pixels: equal for the same picture in two lossless files."""
    import hashlib

    digest = hashlib.blake2b(repr(pixels.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.digest()


def perceptual_hash(pixels: np.ndarray) -> int:
    """64 bits of the picture's coarse look: the signs of its 8x8 lowest DCT coefficients about their median.

    Of a 32x32 grey thumbnail, the constant term left out of the median (pHash; Zauner 2010, 3.2.1).
    Scaling, recompression and small changes of light turn few bits.
    """
    import cv2

    if pixels.ndim == 3:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)
    small = cv2.resize(pixels, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32)
    low = cv2.dct(small)[:8, :8].ravel()
    return int(np.packbits(low > np.median(low[1:])).view(">u8")[0])


if __name__ == "__main__":
    import sys

    for argument in sys.argv[1:]:
        print(probe(argument))
