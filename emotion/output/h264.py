"""Annotated video as H.264 with the source's sound, by PyAV (the extra `video`): what browsers play. A sink as in
`sinks`.

Frames keep their own times. Sound that an MP4 may hold is copied as it is, what else there is becomes AAC; of a part of
a video the part's sound. PyAV's wheels hold FFmpeg with GPL parts, x264 above all; emo asks for them only where they
are installed.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from converters.errors import MediaError
from converters.output_folder import part

from ..sources.frame import Frame
from ..sources.video import ONE_THREAD
from ..systems.backends import name_for_opencv
from ..systems.detections import Detections

TICK = Fraction(1, 90_000)  # of the frames' times
COPIED = {"aac", "mp3", "ac3", "eac3", "opus", "flac", "alac"}
LONGEST_S = 10.0  # that the last frame is shown for at most
# Under two thirds of the CPU time of veryfast alone, for a twentieth more bytes and 0.2 dB (596x336,
# docs/measurements.md).
X264 = {"preset": "veryfast", "crf": "23", "x264-params": "subme=1:me=dia"}


def available() -> bool:
    return find_spec("av") is not None


class H264:
    """`annotated.mp4`; `sound` is the video that it is taken from, None for none."""

    draws = True

    def __init__(self, path: Path, fps: float, sound: Path | None = None):
        self.path, self.fps, self.sound = path, fps, sound
        self.output: Any = None
        self.stream: Any = None
        self.size, self.begin_s, self.last = (0, 0), 0.0, -1
        self.packets: Iterator[tuple[float, object]] = iter(())
        self.next: tuple[float, object] | None = None

    def write(self, frame: Frame, found: Detections, drawn: np.ndarray) -> None:
        import av
        import cv2

        if self.output is None:
            self._open(drawn.shape[1::-1], float(frame.time_s or 0.0))
        if drawn.shape[1::-1] != self.size:
            drawn = cv2.resize(drawn, self.size, interpolation=cv2.INTER_AREA)
        width, height = self.size
        if width % 2 or height % 2:  # 4:2:0 needs even sides
            drawn = cv2.copyMakeBorder(drawn, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
        picture = av.VideoFrame.from_ndarray(cv2.cvtColor(drawn, cv2.COLOR_BGR2YUV_I420), format="yuv420p")
        picture.time_base = TICK
        picture.pts = self.last = max(round((float(frame.time_s or 0.0) - self.begin_s) / TICK), self.last + 1)
        self._sound_until(float(picture.pts * TICK))
        self._mux(self.stream.encode(picture))

    def _open(self, size_wh: tuple[int, int], begin_s: float) -> None:
        import av

        self.size, self.begin_s = size_wh, begin_s
        try:
            self.output = av.open(
                name_for_opencv(part(self.path)), "w", format="mp4", options={"movflags": "+faststart"}
            )
            rate = Fraction(self.fps).limit_denominator(1001)
            self.stream = self.output.add_stream("libx264", rate=rate, options=dict(X264))
            self.stream.codec_context.thread_count = 1 if size_wh[0] * size_wh[1] <= ONE_THREAD else 0
            self.stream.width, self.stream.height, self.stream.pix_fmt = (
                size_wh[0] + size_wh[0] % 2,
                size_wh[1] + size_wh[1] % 2,
                "yuv420p",
            )
            self.stream.codec_context.time_base = TICK
            self.packets = _sound(self.output, self.sound, begin_s) if self.sound else iter(())
            self.next = next(self.packets, None)
        except (av.FFmpegError, ValueError) as error:
            raise MediaError(
                f"a video of {size_wh[0]}x{size_wh[1]} at {self.fps:g} frames/s cannot be written: {error}",
                where=self.path,
                mend="--no-annotate writes the detections alone",
            ) from None

    def _sound_until(self, time_s: float) -> None:
        """Sound and pictures go in side by side, so that little waits in memory and a player need not seek."""
        while self.next and self.next[0] <= time_s:
            self._mux([self.next[1]])
            self.next = next(self.packets, None)

    def _mux(self, packets) -> None:
        import av

        try:
            for packet in packets:
                self.output.mux(packet)
        except (av.FFmpegError, OSError) as error:
            raise MediaError(
                f"cannot be written: {error.strerror or error}",
                where=self.path,
                mend="is the disk full? --no-annotate writes the detections alone",
            ) from None

    def close(self) -> None:
        import av

        if self.output is None:
            return
        output, self.output = self.output, None
        try:
            for packet in self.stream.encode():
                output.mux(packet)
            end_s = float(self.last * TICK) + min(1 / self.fps, LONGEST_S)
            while self.next and self.next[0] < end_s:
                output.mux(self.next[1])
                self.next = next(self.packets, None)
            output.close()
        except (av.FFmpegError, OSError) as error:
            raise MediaError(
                f"cannot be written to its end: {getattr(error, 'strerror', None) or error}",
                where=self.path,
                mend="is the disk full? --no-annotate writes the detections alone",
            ) from None
        finally:
            self.packets, self.next = iter(()), None


def _sound(output, path: Path, begin_s: float) -> Iterator[tuple[float, object]]:
    """(time in the output, packet) of the first sound track of `path` from `begin_s` on; nothing when it has none
    that can be read.
    """
    import av

    try:
        source = av.open(name_for_opencv(path))
    except (av.FFmpegError, MediaError, ValueError, OSError):
        return iter(())
    if not source.streams.audio or not source.streams.video:
        source.close()
        return iter(())
    track = source.streams.audio[0]
    origin_s = begin_s + float((source.streams.video[0].start_time or 0) * source.streams.video[0].time_base)
    copied = track.codec_context.name in COPIED
    target = (
        output.add_stream_from_template(track)
        if copied
        else output.add_stream("aac", rate=track.codec_context.sample_rate)
    )
    return _copied(source, track, target, origin_s) if copied else _encoded(source, track, target, origin_s)


def _copied(source, track, target, origin_s: float) -> Iterator[tuple[float, object]]:
    shift = round(origin_s / track.time_base)
    with source:
        for packet in source.demux(track):
            if packet.dts is None or packet.pts is None or packet.pts < shift:
                continue
            packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, target
            yield float(packet.pts * track.time_base), packet


def _encoded(source, track, target, origin_s: float) -> Iterator[tuple[float, object]]:
    import av

    with source:
        try:
            for frame in source.decode(track):
                if frame.pts is None or float(frame.pts * frame.time_base) < origin_s:
                    continue
                frame.pts -= round(origin_s / frame.time_base)
                for packet in target.encode(frame):
                    yield float((packet.pts or 0) * packet.time_base), packet
        except av.FFmpegError:
            pass  # damaged sound ends where it breaks off
        for packet in target.encode(None):
            yield float((packet.pts or 0) * packet.time_base), packet
