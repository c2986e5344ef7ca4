"""An animated WebP or AVIF -> frames. OpenCV's FFmpeg plays neither; Pillow does, with the file's own times."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from converters import images
from converters.errors import MediaError
from converters.image_formats import opened_by_pillow

from .frame import Frame

LONGEST_MS = 10_000  # of a frame; what claims more says nothing of the rate


class Animation:
    """Its pictures, decoded as they are asked for, each shown from the end of the one before."""

    kind, live, exact = "video", False, True

    def __init__(self, path: Path, limit: int | None = None):
        info = images.probe(path)
        if info.problem:
            raise MediaError(info.detail, where=path)
        self.path, self.limit = path, limit
        self._picture = opened_by_pillow(path)
        self._frames: int = self._picture.n_frames
        self._first = self._shown(0)
        shown_ms = self._picture.info.get("duration", 0)
        self.fps: float = 1000 / shown_ms if 1 <= shown_ms <= LONGEST_MS else 25.0  # the first frame's

    @property
    def count(self) -> int:
        """How many frames to expect, at most `limit`."""
        return min(self._frames, self.limit or self._frames)

    def _shown(self, index: int):
        """(H, W, 3) uint8 BGR; MediaError where the file breaks off."""
        try:
            self._picture.seek(index)
            self._picture.load()
        except MemoryError:
            raise
        except Exception:  # Pillow's plugins raise what they like
            raise MediaError(
                f"the animation breaks off after {index} of {self._frames} frames",
                where=self.path,
                mend="the file is damaged; what was read is kept as partial",
            ) from None
        return images.pixels_of(self._picture, upright=False, path=self.path)

    def __iter__(self) -> Iterator[Frame]:
        time_ms = 0.0
        with self._picture:
            for index in range(self.count):
                bgr = self._shown(index) if index else self._first
                yield Frame(index, round(time_ms / 1000, 6), bgr)
                time_ms += max(0, self._picture.info.get("duration", 0)) or 1000 / self.fps
