"""A part of a source: from when to when, each Nth frame, so many a second, so many in all.

    for frame in Window(open_source("video.mp4"), start_s=60, end_s=90, max_fps=5): ...

Frames keep the index and the time that they have in the source.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

from converters.errors import UsageError

from .frame import Frame


class Window:
    """An opened source of which some frames are left out; everything else is the source's own."""

    def __init__(
        self,
        source,
        start_s: float = 0.0,
        end_s: float | None = None,
        stride: int = 1,
        max_fps: float | None = None,
        limit: int | None = None,
    ):
        if source.kind != "video" and (start_s or end_s is not None or max_fps):
            raise UsageError(
                "pictures have no time",
                where=source.path,
                mend="--start, --end and --max-fps are for videos, cameras and streams",
            )
        if end_s is not None and end_s <= start_s:
            raise UsageError(
                f"nothing lies between {start_s:g} s and {end_s:g} s",
                where=source.path,
                mend="--end is later than --start",
            )
        self.source, self.start_s, self.end_s, self.stride, self.max_fps, self.limit = (
            source,
            start_s,
            end_s,
            stride,
            max_fps,
            limit,
        )

    def __getattr__(self, name):
        return getattr(self.source, name)

    @property
    def fps(self) -> float | None:
        """Of the frames that are given, on average."""
        rate = self.source.fps
        return rate and min(rate / self.stride, self.max_fps or rate)

    @property
    def exact(self) -> bool:
        """Whether `count` is no estimate."""
        return self.source.exact and not self.start_s and self.end_s is None and not self.max_fps

    @property
    def count(self) -> int | None:
        """How many frames to expect; None when nobody knows."""
        count, lasts_s = self.source.count, getattr(self.source, "lasts_s", None)
        if count is None or self.exact or not lasts_s:
            return _least(count and -(-count // self.stride), self.limit)
        seconds = max(0.0, min(lasts_s, self.end_s or lasts_s) - self.start_s)
        rate = min(count / lasts_s / self.stride, self.max_fps or float("inf"))
        return _least(max(1, round(seconds * rate)), self.limit)

    def __iter__(self) -> Iterator[Frame]:
        given, position, slot = 0, -1, -1
        with closing(iter(self.source)) as frames:
            for frame in frames:
                if self.end_s is not None and frame.time_s >= self.end_s:
                    return
                if self.start_s and frame.time_s < self.start_s:
                    continue
                position += 1
                if position % self.stride:
                    continue
                if self.max_fps:  # one frame in each interval of 1 / max_fps
                    if (now := int(frame.time_s * self.max_fps + 1e-6)) <= slot:
                        continue
                    slot = now
                yield frame
                given += 1
                if given == self.limit:
                    return


def _least(*values: int | None) -> int | None:
    return min((value for value in values if value is not None), default=None)
