"""Annotated video by PyAV: H.264 that keeps times and sound, also of a part, at odd sizes, and says when it cannot."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

av = pytest.importorskip("av", reason="the extra video is not installed")

from converters.output_folder import part
from emotion.output.h264 import H264
from emotion.sources.frame import Frame
from emotion.systems.detections import Detections

RATE = 44_100
NOBODY = Detections.empty(7)


def make(path, sound, seconds=3):
    """A video of 20 grey frames a second; its sound is silent but for the second from 1 to 2."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream("mjpeg" if path.suffix == ".avi" else "libx264", rate=20)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p" if path.suffix == ".avi" else "yuv420p"
        track = sound and output.add_stream(sound, rate=RATE)
        for index in range(20 * seconds):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), index * 4, np.uint8), format="bgr24")
            frame.pts, frame.time_base = index, Fraction(1, 20)
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
        if track:
            wave = (20_000 * np.sin(np.arange(RATE * seconds) / 20)).astype(np.int16)
            wave[:RATE] = wave[2 * RATE :] = 0
            for start in range(0, len(wave) - 1023, 1024):
                frame = av.AudioFrame.from_ndarray(wave[None, start : start + 1024], format="s16", layout="mono")
                frame.sample_rate, frame.pts, frame.time_base = RATE, start, Fraction(1, RATE)
                output.mux(track.encode(frame))
            output.mux(track.encode())
    return path


def write(folder, times, size_wh=(64, 48), sound=None, fps=20.0) -> Path:
    sink = H264(folder / "annotated.mp4", fps, sound)
    for index, time_s in enumerate(times):
        picture = np.full((size_wh[1], size_wh[0], 3), 40 + index % 2 * 150, np.uint8)
        sink.write(Frame(index, time_s, picture), NOBODY, picture)
    sink.close()
    return part(folder / "annotated.mp4")


def times_of(path):
    with av.open(str(path)) as file:
        return [float(frame.pts * frame.time_base) for frame in file.decode(video=0)]


@pytest.mark.parametrize("times", [[0, 0.04, 0.08, 0.5, 0.51, 2.0], [7.0, 7.1, 7.15], [0.0], [0, 0.1, 0.1, 0.1, 0.2]])
def test_frames_keep_their_times(tmp_path, times):
    """Also of a part, which begins at 0; frames of one time follow each other at once."""
    found = times_of(write(tmp_path, times))
    assert found == pytest.approx([time_s - times[0] for time_s in times], abs=1e-3) and len(set(found)) == len(times)


@pytest.mark.parametrize("size_wh", [(64, 48), (63, 47), (33, 48)])
def test_sides_become_even_and_the_picture_is_there(tmp_path, size_wh):
    with av.open(str(write(tmp_path, [0, 0.1, 0.2], size_wh))) as file:
        assert file.streams.video[0].codec_context.name == "h264" and file.streams.video[0].pix_fmt == "yuv420p"
        frames = [frame.to_ndarray(format="bgr24") for frame in file.decode(video=0)]
    assert frames[0].shape == (size_wh[1] + size_wh[1] % 2, size_wh[0] + size_wh[0] % 2, 3) and [
        int(frame.mean() > 100) for frame in frames
    ] == [0, 1, 0]


@pytest.mark.parametrize(
    "name, sound, kept",
    [("a.mp4", "aac", "aac"), ("b.avi", "pcm_s16le", "aac"), ("c.mkv", "flac", "flac"), ("d.mp4", None, None)],
)
@pytest.mark.parametrize("begin", [0.0, 0.5])
def test_the_sound_is_kept_and_in_step(tmp_path, name, sound, kept, begin):
    source = make(tmp_path / name, sound)
    with av.open(str(write(tmp_path, np.arange(begin, 2.5, 0.05).tolist(), sound=source))) as file:
        assert [stream.codec_context.name for stream in file.streams.audio] == ([kept] if kept else [])
        if not kept:
            return
        loud = [
            (float(frame.pts * frame.time_base), np.abs(frame.to_ndarray().astype(float)).max())
            for frame in file.decode(audio=0)
        ]
    peak = max(level for _, level in loud)
    heard = [time_s for time_s, level in loud if level > peak / 2]
    assert heard[0] == pytest.approx(1 - begin, abs=0.08) and heard[-1] == pytest.approx(2 - begin, abs=0.08)
    assert loud[-1][0] < 2.6 - begin


def test_what_cannot_be_written_is_one_error(tmp_path):
    from converters.errors import MediaError

    with pytest.raises(MediaError, match="cannot be written"):
        write(tmp_path / "nosuch", [0.0])
