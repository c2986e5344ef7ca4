"""What a container states as a fact, on videos written here and on those of ../shared/cases whose count is an
estimate.
"""

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, strategies as st

from converters.errors import MediaError
from emotion.comparison import compare
from emotion.sources import containers
from emotion.sources.containers import Facts, facts
from emotion.sources.open import open_source
from emotion.systems.backends import quiet_opencv

CASES = Path(__file__).resolve().parents[4] / "shared/cases"
COUNT = 40
WRITTEN = (
    ("webm", "VP80"),
    ("mkv", "mp4v"),
    ("ts", "mp2v"),
    ("avi", "MJPG"),
    ("mov", "mp4v"),
    ("mp4", "mp4v"),
    ("flv", "FLV1"),
)


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Suffix -> a whole video of COUNT frames; those that this OpenCV cannot write are left out."""
    quiet_opencv()
    folder, out = tmp_path_factory.mktemp("videos"), {}
    for suffix, codec in WRITTEN:
        path = folder / f"a.{suffix}"
        writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*codec), 10, (64, 48))
        if writer.isOpened():
            for index in range(COUNT):
                writer.write(np.random.default_rng(index).integers(0, 256, (48, 64, 3), np.uint8))
            out[suffix] = path
        writer.release()
    return out


@pytest.mark.parametrize("suffix", [suffix for suffix, _ in WRITTEN])
def test_a_whole_video_and_one_that_is_cut(suffix, videos, tmp_path):
    if suffix not in videos:
        pytest.skip(f"this OpenCV writes no .{suffix}")
    data = videos[suffix].read_bytes()
    frames, least = (COUNT, None) if suffix in ("mov", "mp4") else (None, COUNT if suffix == "avi" else None)
    assert facts(videos[suffix]) == Facts(frames, False, least)
    assert len(list(open_source(videos[suffix]))) == COUNT
    for keep in (0.5, 0.97):
        path = tmp_path / f"cut.{suffix}"
        path.write_bytes(data[: int(len(data) * keep) // 188 * 188 + 80])
        assert facts(path).cut
        if suffix not in ("mov", "mp4"):  # whose table stands at the end here: they cannot be opened
            with pytest.raises(MediaError, match=r"breaks off after \d+ frames .*cut"):
                list(open_source(path))


@pytest.mark.parametrize("lead, rest", [(0, 0), (4, 0), (0, 16)], ids=["ts", "m2ts", "with parity"])
def test_a_stream_of_packets_is_cut_in_a_packet_only(lead, rest, videos, tmp_path):
    """Between two it is a shorter one, as recorders leave it; and what follows the last packet is none."""
    if "ts" not in videos:
        pytest.skip("this OpenCV writes no .ts")
    data, size = videos["ts"].read_bytes(), lead + 188 + rest
    packets = [bytes(lead) + data[at : at + 188] + bytes(rest) for at in range(0, len(data), 188)]
    path, whole = tmp_path / "a.ts", b"".join(packets)
    for content, cut in (
        (whole, False),
        (whole[: 40 * size], False),
        (whole[: 40 * size + lead + 1], True),
        (whole[:-1], True),
        (whole + bytes(100), False),
        (whole[: 3 * size + 50], False),
    ):
        path.write_bytes(content)
        assert facts(path) == Facts(None, cut), len(content)


def test_an_flv_is_cut_in_a_tag_only(videos, tmp_path):
    if "flv" not in videos:
        pytest.skip("this OpenCV writes no .flv")
    data, path, ends = videos["flv"].read_bytes(), tmp_path / "a.flv", [13]
    while ends[-1] < len(data):
        ends.append(ends[-1] + 15 + int.from_bytes(data[ends[-1] + 1 : ends[-1] + 4], "big"))
    assert ends[-1] == len(data) and len(ends) > COUNT
    for length, cut in ((ends[20], False), (ends[20] + 1, True), (ends[20] - 1, True), (ends[20] + 40, True)):
        path.write_bytes(data[:length])
        assert facts(path) == Facts(None, cut), length
    path.write_bytes(data + bytes(1000))  # room that a recorder took and did not use
    assert facts(path) == Facts()


def test_a_trailer_is_no_box_or_tag_that_is_cut(videos, tmp_path):
    """Some cameras append what belongs to no container; some recorders leave the last length of an FLV out, or count
    an AVI's header in.
    """
    changes = {
        "mp4": lambda data: data + b"a trailer of words" * 9,
        "mov": lambda data: data + bytes(777),
        "flv": lambda data: data[:-4],
        "avi": lambda data: data[:4] + struct.pack("<I", len(data)) + data[8:],
    }
    tried = 0
    for suffix in changes.keys() & videos.keys():
        path = tmp_path / f"a.{suffix}"
        path.write_bytes(changes[suffix](videos[suffix].read_bytes()))
        assert not facts(path).cut and len(list(open_source(path))) == COUNT, suffix
        tried += 1
    if "flv" in videos:
        path.write_bytes(videos["flv"].read_bytes() + b"hello, a trailer of words" * 9)
        assert facts(path) == Facts()
    assert tried


def test_an_index_tells_of_pictures_that_are_damaged(videos, tmp_path):
    """An AVI has one at its end; pictures before the first key, and those that say `the same again`, do not count."""
    if "avi" not in videos:
        pytest.skip("this OpenCV writes no .avi")
    data = bytearray(videos["avi"].read_bytes())
    third = len(data) // 3
    (tmp_path / "a.avi").write_bytes(data[:third] + bytes(third) + data[2 * third :])
    frames = []
    with pytest.raises(MediaError, match=rf"breaks off after \d+ of {COUNT} frames .*damaged"):
        frames.extend(open_source(tmp_path / "a.avi"))
    assert 5 < len(frames) < 0.8 * COUNT
    at = data.rindex(b"idx1") + 8
    for entry, flags, size in ((0, 0, 1000), (1, 0, 1000), (5, 0, 0), (6, 16, 19)):
        data[at + 16 * entry + 4 : at + 16 * entry + 8] = struct.pack("<I", flags)
        data[at + 16 * entry + 12 : at + 16 * entry + 16] = struct.pack("<I", size)
    (tmp_path / "a.avi").write_bytes(data)
    assert facts(tmp_path / "a.avi") == Facts(None, False, COUNT - 4)


def test_a_table_at_the_front_of_an_mp4_that_is_cut(tmp_path):
    """The shipped clip, its boxes in the order for streaming; cut, it opens and breaks off."""
    clip = next(path for path in compare.shipped_media() if path.suffix == ".mp4")
    data = clip.read_bytes()
    parts, at = {}, 0
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        parts[kind] = data[at : at + size]
        at += size
    moved = len(parts[b"moov"])
    stco = parts[b"moov"].index(b"stco") + 8
    (count,) = struct.unpack_from(">I", parts[b"moov"], stco)
    shift = moved if data.index(b"moov") > data.index(b"mdat") else 0
    chunks = [value + shift for value in struct.unpack_from(f">{count}I", parts[b"moov"], stco + 4)]
    moov = parts[b"moov"][: stco + 4] + struct.pack(f">{count}I", *chunks) + parts[b"moov"][stco + 4 + 4 * count :]
    whole = parts.pop(b"ftyp") + moov + b"".join(part for kind, part in parts.items() if kind != b"moov")
    path = tmp_path / "a.mp4"
    path.write_bytes(whole)
    expected = len(list(open_source(clip)))
    assert facts(path) == Facts(expected, False) and len(list(open_source(path))) == expected
    path.write_bytes(whole[: len(whole) // 2])
    frames = []
    with pytest.raises(MediaError, match="cut: it is shorter"):
        frames.extend(frame.index for frame in open_source(path))
    assert 0 < len(frames) < expected


def test_bytes_that_are_damaged_in_the_middle_of_an_mp4(videos, tmp_path):
    """All bytes are there, so that only the table tells that frames are missing."""
    if "mp4" not in videos:
        pytest.skip("this OpenCV writes no .mp4")
    data = bytearray(videos["mp4"].read_bytes())
    start = data.index(b"mdat") + 4
    (size,) = struct.unpack_from(">I", data, start - 8)
    end = start - 8 + size
    data[start + (end - start) // 2 : end] = bytes(end - start - (end - start) // 2)
    (tmp_path / "a.mp4").write_bytes(data)
    assert facts(tmp_path / "a.mp4") == Facts(COUNT, False)
    try:
        count = len(list(open_source(tmp_path / "a.mp4")))
    except MediaError as fault:
        assert f" of {COUNT} frames" in str(fault) and "damaged" in str(fault)
    else:
        assert count >= 0.95 * COUNT - 1  # the decoder made up for what was missing


@pytest.mark.parametrize("name", ["audiolong.mkv", "cutcopyts.mkv", "vfr.mkv", "vfr.webm"])
def test_counts_that_are_estimates_damage_nothing(name):
    path = CASES / "video-count-estimate" / name
    if not path.is_file():
        pytest.skip("../shared/cases is not here")
    source = open_source(path)
    frames = list(source)
    assert source.facts == Facts() and len(frames) in (10, 20, 53)
    times = [frame.time_s for frame in frames]
    assert times == sorted(times) and times[0] >= 0


def test_times_of_a_damaged_video_never_lie_before_its_start():
    path = CASES / "fuzz" / "negative-times.mp4"
    if not path.is_file():
        pytest.skip("../shared/cases is not here")
    times = [frame.time_s for frame in open_source(path)]
    assert len(times) == 11 and times[0] == 0 and np.allclose(np.diff(times), 0.04, atol=1e-3)


@pytest.mark.parametrize("seed", [0, 1, 27, 38, 51, 53])
def test_a_gif_that_is_garbled_in_the_middle(seed, tmp_path):
    """Where the blocks happen to fit again after the damage (one in ten) nothing tells of it; from 27 on a byte of the
    pictures was taken for the trailer, and frames were lost without a word.
    """
    from PIL import Image

    rng = np.random.default_rng(seed)
    pictures = [Image.fromarray(rng.integers(0, 256, (48, 48), np.uint8)) for _ in range(5)]
    pictures[0].save(tmp_path / "a.gif", save_all=True, append_images=pictures[1:], duration=100)
    data = bytearray((tmp_path / "a.gif").read_bytes())
    data[len(data) // 2 : len(data) // 2 + 600] = b"\x07" * 600
    (tmp_path / "a.gif").write_bytes(data)
    with pytest.raises(MediaError, match="breaks off after"):
        list(open_source(tmp_path / "a.gif"))


def box(kind, *body):
    body = b"".join(body)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def mp4(*args, **options):
    """The headers of an MP4 with one track."""
    return movie(track(*args, **options))


def movie(*tracks):
    return box(b"ftyp", b"isom") + box(b"moov", box(b"mvhd", struct.pack(">IIIII", 0, 0, 0, 1000, 0)), *tracks)


def track(count, edits=None, runs=None, kind=b"vide", scale=1000, shifts=(), key=None):
    """`count` samples; edits: (duration in milliseconds, begin in the media); shifts: (how many samples, how much later
    than their decoding they are shown); key: the first sample that needs no other.
    """
    stbl = box(
        b"stbl",
        box(b"stsz", struct.pack(">III", 0, 0, count)),
        box(
            b"stts",
            struct.pack(">II", 0, len(runs or [1])),
            *(struct.pack(">II", *run) for run in runs or [(count, 100)]),
        ),
        box(b"ctts", struct.pack(">II", 0, len(shifts)), *(struct.pack(">Ii", *shift) for shift in shifts))
        if shifts
        else b"",
        box(b"stss", struct.pack(">III", 0, 1, key)) if key else b"",
    )
    mdia = box(
        b"mdia",
        box(b"mdhd", struct.pack(">IIIII", 0, 0, 0, scale, 0)),
        box(b"hdlr", bytes(8), kind, bytes(12)),
        box(b"minf", stbl),
    )
    edts = (
        box(
            b"edts",
            box(b"elst", struct.pack(">II", 0, len(edits)), *(struct.pack(">Iihh", *edit, 1, 0) for edit in edits)),
        )
        if edits
        else b""
    )
    return box(b"trak", edts, mdia)


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (movie(track(50), track(30)), Facts(None, False, 30)),  # which is shown is the decoder's choice
        (movie(track(50), track(50), track(9, kind=b"soun")), Facts(50)),
        (mp4(20) + box(b"moof", bytes(8)) + box(b"mdat"), Facts(None, False, 20)),  # goes on in parts
        (mp4(0) + box(b"moof", bytes(8)) + box(b"mdat"), Facts()),
        (mp4(50) + b"free", Facts(50)),
    ],
)
def test_a_table_that_lists_not_all_is_no_count(data, found, tmp_path):
    (tmp_path / "a.mp4").write_bytes(data)
    assert facts(tmp_path / "a.mp4") == found


@pytest.mark.parametrize(
    ("data", "frames"),
    [
        (mp4(50), 50),
        (mp4(50, kind=b"soun"), None),
        (mp4(0), None),  # fragmented: the frames are told elsewhere
        (mp4(50, [(5000, 0)]), 50),
        (mp4(50, [(2000, 0)]), 20),
        (mp4(50, [(2000, 1000)]), 20),
        (mp4(50, [(1000, -1), (4000, 1000)]), 40),  # begins a second late, with the eleventh
        (mp4(50, [(0, 2000)]), 30),  # to the end
        (mp4(50, [(1000, 0), (1000, 4000)]), 20),
        (mp4(50, [(3000, 0)], [(20, 100), (30, 50)]), 40),
        (mp4(50, [(3000, 0)], [(20, 50), (30, 100)]), 40),
        (mp4(50, [(3000, 0)], scale=500), 15),
        # What FFmpeg shows: from `begin` to before the end, by the time of showing, which the pictures' order shifts.
        (mp4(50, [(2000, 150)]), 20),
        (mp4(50, [(5000, 200)], shifts=[(50, 200)]), 50),
        (mp4(50, [(5000, 0)], shifts=[(50, 200)]), 48),
        (mp4(50, [(5000, 200)], shifts=[(1, 200), (1, 400)] * 25), 49),
        (mp4(6, [(600, 200)], shifts=[(1, 200), (1, 500), (1, 200), (1, 0), (2, 100)]), 6),
        (mp4(50, [(2000, 100)], [(20, 50), (30, 100)], shifts=[(10, 0), (40, 100)]), 28),  # 8 of 10, 10 of 10, 10 of 30
        (mp4(50, [(5000, 0)], shifts=[(50, -200)]), 48),
        (mp4(50, [(5000, 0)], [(2**32 - 1, 2**31 - 1)], shifts=[(2**32 - 1, 5)]), 1),
        (mp4(50, [(5000, 0)], [(50, 0)]), 50),
        (mp4(50, key=1), 50),
        (mp4(50, key=4), 47),  # cut out of a longer one: what comes before the first key cannot be decoded
        (mp4(50, key=2**32 - 1), 50),
    ],
)
def test_the_frames_that_an_edit_list_shows(data, frames, tmp_path):
    (tmp_path / "a.mp4").write_bytes(data)
    assert facts(tmp_path / "a.mp4") == Facts(frames, False)
    (tmp_path / "a.mp4").write_bytes(data + struct.pack(">I4s", 100, b"mdat"))
    assert facts(tmp_path / "a.mp4") == Facts(frames, True)


@pytest.mark.parametrize("options", [{"bf": "0"}, {"bf": "3"}, {"bf": "3", "x264-params": "open-gop=1:bframes=4"}])
def test_pictures_that_are_decoded_before_they_are_shown(options, tmp_path):
    """B-frames, as nearly every H.264 has them: their edit list begins where the first is shown."""
    av = pytest.importorskip("av", reason="the extra video is not installed")
    with av.open(str(tmp_path / "a.mp4"), "w") as output:
        stream = output.add_stream("libx264", rate=30, options=options)
        stream.width, stream.height = 64, 48
        for index in range(COUNT):
            grey = np.random.default_rng(index).integers(0, 256, (48, 64, 3), np.uint8)
            output.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="bgr24")))
        output.mux(stream.encode())
    source = open_source(tmp_path / "a.mp4")
    assert source.exact and source.count == COUNT == len(list(source))


@pytest.mark.parametrize("suffix", [suffix for suffix, _ in WRITTEN])
def test_a_count_is_exact_or_called_an_estimate(suffix, videos):
    if suffix not in videos:
        pytest.skip(f"this OpenCV writes no .{suffix}")
    source = open_source(videos[suffix])
    assert source.exact == (suffix in ("mov", "mp4"))
    assert source.count == COUNT if source.exact else COUNT - 2 <= source.count <= COUNT + 2


def test_an_estimate_gets_better_as_frames_come(tmp_path):
    """Twice as many a second as the container's rate says; where it is a quarter, `vfr.mkv` of 53 frames says 118."""
    path = CASES / "video-count-estimate" / "vfr.mkv"
    if not path.is_file():
        pytest.skip("../shared/cases is not here")
    source, told = open_source(path), []
    for _ in source:
        told.append(source.count)
    assert len(told) == 53 and told[0] > 100 and abs(told[-1] - 53) <= 3


def test_a_gif_and_one_that_is_cut(tmp_path):
    from PIL import Image

    pictures = [Image.new("RGB", (8, 8), (50 * index, 0, 0)) for index in range(5)]
    pictures[0].save(tmp_path / "a.gif", save_all=True, append_images=pictures[1:], duration=100)
    data = (tmp_path / "a.gif").read_bytes()
    assert facts(tmp_path / "a.gif") == Facts(5, False)
    (tmp_path / "a.gif").write_bytes(data + b"\0\0")
    assert facts(tmp_path / "a.gif") == Facts(5, False)
    (tmp_path / "a.gif").write_bytes(data[:-12])
    assert facts(tmp_path / "a.gif") == Facts(None, True)


def test_a_png_that_moves_is_a_video_and_so_are_jpegs_in_a_row(tmp_path):
    from PIL import Image

    pictures = [Image.new("RGB", (64, 48), (50 * index, 0, 0)) for index in range(5)]
    pictures[0].save(tmp_path / "a.png", save_all=True, append_images=pictures[1:], duration=100)
    source = open_source(tmp_path / "a.png")
    assert (source.kind, source.count, source.exact) == ("video", 5, True)
    assert [round(frame.bgr[..., 2].mean(), -1) for frame in source] == [0, 50, 100, 150, 200]
    data = (tmp_path / "a.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(data[: len(data) * 3 // 4])
    assert facts(tmp_path / "cut.png") == Facts(5, True)
    with pytest.raises(MediaError, match="cut"):
        list(open_source(tmp_path / "cut.png"))
    pictures[0].save(tmp_path / "still.png")
    assert open_source(tmp_path / "still.png").kind == "picture" and facts(tmp_path / "still.png") == Facts()
    for index, picture in enumerate(pictures):
        picture.save(tmp_path / f"{index}.jpg")
    (tmp_path / "a.mjpeg").write_bytes(b"".join((tmp_path / f"{index}.jpg").read_bytes() for index in range(5)))
    source = open_source(tmp_path / "a.mjpeg")
    assert source.kind == "video" and source.count is None and len(list(source)) == 5


SEEDS = [
    b"\x89PNG\r\n\x1a\n\0\0\0\x08acTL\0\0\0\x05\0\0\0\0abcd\0\0\0\0IEND",
    mp4(50, [(2000, 0)]),
    b"\x1aE\xdf\xa3\x84abcd\x18S\x80g\x01\0\0\0\0\0\0\x10",
    b"RIFF\x10\0\0\0AVI LIST",
    b"GIF89a\1\0\1\0\x80\0\0abcdef,\0\0\0\0\1\0\1\0\0\2\1a\0;",
]


@given(
    st.sampled_from(SEEDS),
    st.lists(st.tuples(st.integers(0, 300), st.integers(0, 255)), max_size=8),
    st.integers(0, 300),
)
def test_any_bytes_give_an_answer(tmp_path_factory, seed, changes, keep):
    data = bytearray(seed[: keep or None])
    for at, value in changes:
        if data:
            data[at % len(data)] = value
    path = tmp_path_factory.mktemp("any") / "a"
    path.write_bytes(data)
    found = containers.facts(path)
    assert found.frames is None or 0 < found.frames <= 2**32
