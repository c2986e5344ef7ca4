"""Face finders that others publish: fetched once, checked, kept in a cache.

    pull("yunet")             -> the file's path, from the cache or its publisher
    at_hand("yunet")          -> the same, or None; asks no network
    best()                    -> the best finder at hand: yunet when it was pulled, else face-nano, which ships

A file lies in the cache under its publisher's name and is used only with the sha256 that stands here. What a broken
download left, `<name>.part`, is gone on with.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from converters.errors import MediaError, UsageError, nearest


@dataclass(frozen=True)
class FaceModel:
    """A published file: where it is, what it must hash to, how large it is and under which terms."""

    url: str
    sha256: str
    bytes: int
    terms: str

    @property
    def file(self) -> str:
        return self.url.rpartition("/")[2]


PUBLISHED = {
    "yunet": FaceModel(
        "https://github.com/opencv/opencv_zoo/raw/main/models/face_detection_yunet/face_detection_yunet_2026may.onnx",
        "ebafce4e3c118d6554634be5c27ab333b4c047a9a8c3faf1d7cf93101c22f0f0",
        229_738,
        "MIT",
    ),
    "ssd": FaceModel(
        "https://raw.githubusercontent.com/opencv/opencv_3rdparty/dnn_samples_face_detector_20180220_uint8/opencv_face_detector_uint8.pb",
        "5c71d752ef2cbf2f457ac82fdd580fcb2522fd04c5efdaed18eb6d9e2843fbed",
        2_727_750,
        "Apache-2.0",
    ),
}
SHIPPED = "face-nano"  # emo's own finder
TIMEOUT_S = 20  # for an answer, and between two pieces of it


def cache() -> Path:
    """EMO_CACHE, or the system's folder for such things."""
    import pooch

    return Path(os.environ.get("EMO_CACHE") or pooch.os_cache("emo"))


def published(name: str) -> FaceModel:
    if name not in PUBLISHED:
        raise UsageError(f"no face model '{name}' to fetch", mend=nearest(name, PUBLISHED))
    return PUBLISHED[name]


def at_hand(name: str) -> Path | None:
    """The file in the cache; None when it is not there, or not the one that was published."""
    path = cache() / published(name).file
    return path if path.is_file() and sha256(path) == PUBLISHED[name].sha256 else None


def best() -> str:
    return "yunet" if at_hand("yunet") else SHIPPED


def pull(name: str, base: str | None = None, progress: Callable[[int, int], None] | None = None) -> Path:
    """Fetch `name` into the cache unless it lies there whole; its path.

    base      the URL of a folder that holds the file, instead of the publisher's
    progress  called with (bytes so far, bytes of all)
    MediaError when it cannot be fetched, or is not what was published: then nothing of it is kept.
    """
    import pooch

    model = published(name)
    url = f"{base.rstrip('/')}/{model.file}" if base else model.url
    if at_hand(name):
        return cache() / model.file
    try:
        pooch.get_logger().setLevel("ERROR")  # what it says on stderr, emo says itself
        return Path(
            pooch.retrieve(
                url, f"sha256:{model.sha256}", fname=model.file, path=cache(), downloader=_Download(model, progress)
            )
        )
    except OSError as error:  # requests' errors are such
        raise MediaError(f"cannot be fetched: {_reason(error)}", where=url, mend=_by_hand(model)) from None
    except ValueError:  # pooch's word for another hash
        raise MediaError(
            "is not the file that was published: its sha256 differs", where=url, mend=_by_hand(model)
        ) from None


def _by_hand(model: FaceModel) -> str:
    return f"by hand: put {model.url} at {cache() / model.file}"


def _reason(error: OSError) -> str:
    response = getattr(error, "response", None)
    if response is not None:
        return f"the server says {response.status_code} {response.reason}"
    if error.strerror:
        return error.strerror
    return {
        "ConnectTimeout": "no answer",
        "ReadTimeout": "the download stopped early",
        "ChunkedEncodingError": "the download stopped early",
        "ConnectionError": "no connection",
    }.get(type(error).__name__, str(error))


class _Download:
    """A downloader for pooch that goes on with `<file>.part` where the server can."""

    def __init__(self, model: FaceModel, progress):
        self.model, self.progress, self.part = model, progress, cache() / f"{model.file}.part"

    def __call__(self, url: str, output_file: str, pooch, check_only: bool = False) -> None:
        import requests

        have = self.part.stat().st_size if self.part.exists() else 0
        if not 0 < have < self.model.bytes:
            have = 0
        asked = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
        with requests.get(url, headers=asked, stream=True, timeout=TIMEOUT_S) as answer:
            answer.raise_for_status()
            have = have if answer.status_code == 206 else 0  # 200: the server knows no ranges and sends all
            with open(self.part, "ab" if have else "wb") as file:
                for piece in answer.iter_content(1 << 16):
                    have += len(piece)
                    if have > self.model.bytes:  # not what was published; a page without end must not fill the disk
                        break
                    file.write(piece)
                    if self.progress:
                        self.progress(have, self.model.bytes)
        os.replace(self.part, output_file)


def sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
