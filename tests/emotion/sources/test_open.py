import struct
import weakref
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, features

from converters.errors import DataError, EmoError, MediaError
from emotion import run_detection as detect
from emotion.sources.frame import Frame
from emotion.sources.open import open_source
from emotion.sources.pictures import counted
from emotion.systems.backends import quiet_opencv
from emotion.systems.detections import Detections

CASES = Path(__file__).resolve().parents[4] / "shared/cases"
CONTAINERS = (b"moov", b"trak", b"mdia", b"minf", b"stbl")


def rebuild(data, change):
    """An MP4's boxes (ISO 14496-12) with `change(kind, body)` applied to those that hold no others."""
    out, at = b"", 0
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        body = data[at + 8 : at + size]
        body = rebuild(body, change) if kind in CONTAINERS else change(kind, body)
        out += struct.pack(">I4s", 8 + len(body), kind) + body
        at += size
    return out


def greys(count, width=64, height=48):
    return [np.full((height, width, 3), 10 * index % 250, np.uint8) for index in range(count)]


def test_a_picture(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), greys(2)[1])
    source = open_source(tmp_path / "a.png")
    (frame,) = source
    assert (source.kind, source.count, frame.index, frame.time_s, frame.name) == ("picture", 1, 0, None, "a.png")
    assert frame.bgr.shape == (48, 64, 3) and (frame.bgr == 10).all()


def test_grey_and_transparent_pictures_come_as_bgr(tmp_path):
    cv2.imwrite(str(tmp_path / "grey.png"), np.full((5, 6), 9, np.uint8))
    cv2.imwrite(str(tmp_path / "alpha.png"), np.full((5, 6, 4), 9, np.uint8))
    assert [frame.bgr.shape for frame in open_source(tmp_path)] == [(5, 6, 3)] * 2


def test_exif_turns_a_picture(tmp_path):
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned a quarter clockwise
    picture = np.zeros((20, 30, 3), np.uint8)
    picture[:, :10] = 255
    Image.fromarray(picture).save(tmp_path / "a.jpg", exif=exif, quality=95)
    (frame,) = open_source(tmp_path / "a.jpg")
    assert frame.bgr.shape == (30, 20, 3) and frame.bgr[:8].mean() > 240 and frame.bgr[12:].mean() < 10


def test_a_folder_is_searched_in_order_without_hidden_files(tmp_path):
    for name in ("b.jpg", "a.png", "sub/c.JPG", ".hidden/d.png", ".e.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / name), greys(1)[0])
    (tmp_path / "notes.md").write_text("no picture")
    source = open_source(tmp_path)
    assert [frame.name for frame in source] == ["a.png", "b.jpg", "sub/c.JPG"] and source.count == 3
    assert [frame.name for frame in open_source(tmp_path, limit=2)] == ["a.png", "b.jpg"]


def test_a_list_file(tmp_path):
    (tmp_path / "x").mkdir()
    for name in ("a.png", "x/a.png"):
        cv2.imwrite(str(tmp_path / name), greys(1)[0])
    (tmp_path / "list.txt").write_text("a.png\nx/a.png\n")
    assert [frame.name for frame in open_source(tmp_path / "list.txt")] == ["0-a.png", "1-a.png"]
    (tmp_path / "empty.txt").write_text("\n")
    with pytest.raises(DataError, match="empty"):
        open_source(tmp_path / "empty.txt")


def test_a_video_and_its_times(tmp_path, video_factory):
    source = open_source(video_factory(tmp_path / "a.mp4", greys(12), fps=8))
    frames = list(source)
    assert (source.kind, source.count, source.fps) == ("video", 12, 8.0)
    assert [frame.index for frame in frames] == list(range(12))
    assert np.allclose([frame.time_s for frame in frames], np.arange(12) / 8, atol=1e-3)
    assert np.allclose(np.diff([frame.bgr.mean() for frame in frames]), 10, atol=4)  # each is the next one drawn
    assert (
        len(list(open_source(tmp_path / "a.mp4", limit=5))) == 5 and open_source(tmp_path / "a.mp4", limit=5).count == 5
    )


@pytest.mark.skipif(cv2.getNumberOfCPUs() < 2, reason="one core, one thread")
@pytest.mark.parametrize(("size", "alone"), [((640, 480), True), ((640, 482), False)])
def test_a_small_video_is_decoded_by_one_thread(tmp_path, video_factory, size, alone):
    video_factory(tmp_path / "v.mp4", greys(2, *size))
    source = open_source(tmp_path / "v.mp4")
    assert (source.capture.get(cv2.CAP_PROP_N_THREADS) == 1) == alone and len(list(source)) == 2


def test_a_variable_frame_rate_keeps_its_times(tmp_path, video_factory):
    """The time-to-sample box rewritten: six frames a tenth of a second apart, then six half a second."""
    data = video_factory(tmp_path / "a.mp4", greys(12), fps=10).read_bytes()
    spans = []

    def change(kind, body):
        if kind == b"edts":  # its list gives the old length: out of use
            return b"\0" * len(body)
        if kind == b"stts":
            (delta,) = struct.unpack_from(">I", body, 12)
            spans.append(delta)
            return body[:4] + struct.pack(">IIIII", 2, 6, delta, 6, delta * 5)
        return body

    (tmp_path / "b.mp4").write_bytes(rebuild(data, change))
    assert len(spans) == 1
    times = [frame.time_s for frame in open_source(tmp_path / "b.mp4")]
    assert np.allclose(times, [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 1.1, 1.6, 2.1, 2.6, 3.1], atol=2e-3)


def test_rotation_metadata_turns_a_video(tmp_path, video_factory):
    """The track header's matrix set to a quarter turn clockwise, as a phone writes it."""
    frame = np.zeros((48, 64, 3), np.uint8)
    frame[:, :20] = 255
    data = video_factory(tmp_path / "a.mp4", [frame] * 3).read_bytes()

    def change(kind, body):
        if kind == b"tkhd":
            one = 1 << 16
            return body[:40] + struct.pack(">9i", 0, one, 0, -one, 0, 0, 48 * one, 0, 1 << 30) + body[76:]
        return body

    (tmp_path / "b.mp4").write_bytes(rebuild(data, change))
    turned = next(iter(open_source(tmp_path / "b.mp4"))).bgr
    assert turned.shape == (64, 48, 3) and turned[:16].mean() > 200 and turned[30:].mean() < 50


@pytest.mark.parametrize(
    ("name", "content", "error", "words"),
    [
        ("a.mp4", b"", MediaError, "zero bytes"),
        ("a.mp4", b"not a video at all", MediaError, "cannot be opened"),
        ("a.jpg", b"", MediaError, "zero bytes"),
        ("a.jpg", b"not a picture", MediaError, "not a picture"),
        ("a.mp4", None, MediaError, "no such file"),
        ("a%03d.png", None, MediaError, "no such file"),
    ],
)
def test_what_cannot_be_opened(tmp_path, capfd, name, content, error, words):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(error, match=words) as raised:
        list(open_source(tmp_path / name))
    assert str(raised.value).startswith(str(tmp_path / name)) and "\n" not in str(raised.value)
    assert capfd.readouterr() == ("", "")  # neither OpenCV nor FFmpeg adds lines of its own


def test_a_cut_picture_is_refused(tmp_path):
    cv2.imwrite(str(tmp_path / "a.jpg"), np.random.default_rng(0).integers(0, 256, (90, 90, 3), np.uint8))
    data = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(data[: len(data) // 2])
    with pytest.raises(MediaError, match="ends before"):
        list(open_source(tmp_path / "a.jpg"))


def test_an_empty_folder(tmp_path):
    with pytest.raises(MediaError, match="no pictures"):
        open_source(tmp_path)


def test_unreadable_pictures_are_skipped_when_someone_listens(tmp_path):
    cv2.imwrite(str(tmp_path / "b.png"), greys(1)[0])
    (tmp_path / "a.png").write_bytes(b"junk")
    source, told = open_source(tmp_path), []
    source.skip = told.append
    assert [(frame.index, frame.name) for frame in source] == [(1, "b.png")] and len(told) == 1
    with pytest.raises(MediaError):
        list(open_source(tmp_path))


def test_an_animated_gif_is_a_video_with_its_own_times(tmp_path):
    from PIL import Image

    red, half = Image.new("RGBA", (64, 48), "red"), Image.new("RGBA", (64, 48))
    half.paste((0, 255, 0, 255), (0, 0, 20, 20))
    red.save(tmp_path / "a.gif", save_all=True, append_images=[half, red], duration=[100, 500, 200], disposal=1)
    red.save(tmp_path / "still.gif")
    source = open_source(tmp_path / "a.gif")
    frames = list(source)
    assert source.kind == "video" and [frame.time_s for frame in frames] == [0, 0.1, 0.6]
    assert frames[1].bgr[10, 10].tolist() == [0, 255, 0] and frames[1].bgr[40, 40].tolist() == [
        0,
        0,
        255,
    ]  # drawn over the one before
    assert open_source(tmp_path / "still.gif").kind == "picture"
    assert [frame.name for frame in open_source(tmp_path)] == ["a.gif", "still.gif"]
    (tmp_path / "junk.gif").write_bytes(b"GIF89a junk")
    with pytest.raises(MediaError, match="is a GIF that cannot be read"):
        list(open_source(tmp_path / "junk.gif"))


def test_kinds_are_told_by_content_whatever_the_name(tmp_path, video_factory):
    """A photograph under a video's name and others, EXIF heeded; a video under none."""
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6
    turned = np.zeros((20, 30, 3), np.uint8)
    turned[:, :10] = 255
    for name in ("a.jfif", "b.mpo", "c.mp4", "d", "e.heic", "f.JPE"):
        Image.fromarray(turned).save(tmp_path / name, "JPEG", exif=exif, quality=95)
        source = open_source(tmp_path / name)
        (frame,) = source
        assert (source.kind, frame.time_s, frame.bgr.shape) == ("picture", None, (30, 20, 3)), name
        assert frame.bgr[:8].mean() > 240 and frame.bgr[12:].mean() < 10, name
    video_factory(tmp_path / "v.mp4", greys(3))
    (tmp_path / "v.mp4").rename(tmp_path / "v")
    assert open_source(tmp_path / "v").kind == "video" and len(list(open_source(tmp_path / "v"))) == 3


@pytest.mark.parametrize("name", ["a.txt", "a.list", "a.lst", "a.ico"])
def test_a_picture_called_like_a_list_is_a_picture(name, tmp_path):
    content = cv2.imencode(".png", np.full((8, 8, 3), 90, np.uint8))[1].tobytes()
    (tmp_path / name).write_bytes(content)
    source = open_source(tmp_path / name)
    assert source.kind == "picture" and next(iter(source)).bgr.mean() == 90


def test_a_folder_takes_pictures_by_content_and_counts_the_rest(tmp_path, video_factory):
    cv2.imwrite(str(tmp_path / "a.png"), greys(1)[0])
    (tmp_path / "b.jfif").write_bytes(cv2.imencode(".jpg", greys(1)[0])[1])
    (tmp_path / "noname").write_bytes(cv2.imencode(".webp", greys(1)[0])[1])
    video_factory(tmp_path / "v.mp4", greys(3))
    for name in ("notes.txt", "more.txt", "README", "sub/x.txt", ".hidden"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("no picture")
    source = open_source(tmp_path)
    assert [frame.name for frame in source] == ["a.png", "b.jfif", "noname"]
    assert (
        source.passed_over == {".txt": 3, ".mp4": 1, "README": 1}
        and counted(source.passed_over) == "3 .txt, 1 .mp4, 1 README"
    )
    with pytest.raises(MediaError, match=r"has no pictures, only 1 \.txt"):
        open_source(tmp_path / "sub")


def test_heic_is_read_where_its_extra_is_there_and_else_said(tmp_path):
    """The folder of ../shared/cases that was passed over in silence: every file is a frame or is named."""
    folder = CASES / "photo-suffixes" / "folder"
    if not folder.is_dir():
        pytest.skip("../shared/cases is not here")
    source, told = open_source(folder), []
    source.skip = told.append
    read = [frame.name for frame in source]
    assert source.count == 4 and set(read) >= {"base.jpg", "mpo.mpo", "p.jfif"}
    if "p.heic" not in read:
        assert len(told) == 1 and "p.heic" in str(told[0]) and "heic" in str(told[0]) and "pip install" in str(told[0])
    assert open_source(CASES / "photo-suffixes" / "exif6.jfif").kind == "picture"


def test_a_limit_is_no_promise_of_the_container(tmp_path):
    """A format without a count of frames has not broken off below --limit."""
    quiet_opencv()
    writer = cv2.VideoWriter(str(tmp_path / "a.ts"), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"mp2v"), 25, (64, 48))
    for frame in greys(20):
        writer.write(frame)
    writer.release()
    assert len(list(open_source(tmp_path / "a.ts", limit=40))) == 20


@pytest.mark.parametrize("name", ["a.png", "a.mp4", "a.gif"])
def test_a_picture_or_video_of_too_many_pixels_is_refused_by_its_header(name, tmp_path, video_factory, monkeypatch):
    """No pixel is decoded: a few megabytes may hold gigabytes."""
    from PIL import Image

    large = np.zeros((300, 400, 3), np.uint8)
    if name == "a.mp4":
        video_factory(tmp_path / name, [large])
    else:
        Image.fromarray(large).save(
            tmp_path / name,
            save_all=name == "a.gif",
            **({"append_images": [Image.fromarray(large + 9)]} if name == "a.gif" else {}),
        )
    monkeypatch.setenv("EMO_MAX_PIXELS", "119999")
    with pytest.raises(MediaError, match="400x300: more than 119999 pixels.*--max-pixels"):
        list(open_source(tmp_path / name))
    monkeypatch.setenv("EMO_MAX_PIXELS", "120000")
    assert next(iter(open_source(tmp_path / name))).bgr.shape == (300, 400, 3)


def test_a_bomb_is_refused():
    bomb = CASES / "fuzz" / "bomb-20000px.png"
    if not bomb.is_file():
        pytest.skip("../shared/cases is not here")
    with pytest.raises(MediaError, match="20000x20000: more than"):
        list(open_source(bomb))


def test_a_truncated_gif():
    gif = CASES / "fuzz" / "truncated.gif"
    if not gif.is_file():
        pytest.skip("../shared/cases is not here")
    with pytest.raises(MediaError) as fault:
        list(open_source(gif))
    assert "\n" not in str(fault.value)


def cut_video(path, keep=0.5):
    """An AVI whose header promises more than there is."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    for index in range(60):
        writer.write(np.random.default_rng(index).integers(0, 256, (48, 64, 3), np.uint8))
    writer.release()
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    return path


def test_a_video_that_breaks_off_gives_its_frames_and_then_the_error(tmp_path):
    got = []
    with pytest.raises(MediaError, match=r"breaks off after \d+ frames .*cut: it is shorter"):
        for frame in open_source(cut_video(tmp_path / "a.avi")):
            got.append(frame.index)
    assert 20 < len(got) < 40
    assert len(list(open_source(tmp_path / "a.avi", limit=10))) == 10  # whoever asks for less is not told


class Nothing:
    """A detector that finds nothing and counts the frames that are alive when it is called."""

    name, names, settings = "nothing", ("a",), {}

    def __init__(self):
        self.alive, self.most = weakref.WeakSet(), 0

    def detect(self, frames):
        self.most = max(self.most, len(self.alive))
        return [Detections.empty(1) for _ in frames]


class Tracked(np.ndarray):
    __hash__ = object.__hash__


@pytest.mark.parametrize("count", [30, 300])
def test_memory_does_not_grow_with_the_length(count):
    """No more frames are alive than are decoded ahead, in work, and being handed on, however long the source is."""
    detector = Nothing()

    def source():
        for index in range(count):
            bgr = np.zeros((4, 4, 3), np.uint8).view(Tracked)
            detector.alive.add(bgr)
            yield Frame(index, None, bgr)
            del bgr

    seen = 0
    for _, found in detect.stream(source(), detector):
        seen += 1
        assert len(found) == 0
    assert seen == count and detector.most <= 6


def test_a_failing_source_gives_what_came_before(tmp_path):
    def source():
        yield from (Frame(index, None, np.zeros((2, 2, 3), np.uint8)) for index in range(5))
        raise MediaError("broke")

    got = []
    with pytest.raises(EmoError, match="broke"):
        for frame, _ in detect.stream(source(), Nothing()):
            got.append(frame.index)
    assert got == [0, 1, 2, 3, 4]


def moving(path, durations, **how):
    """An animation whose frame k is of the colour (40 k, 30, 200 - 40 k), RGB, written by Pillow."""
    pictures = [Image.fromarray(np.full((40, 60, 3), (40 * k, 30, 200 - 40 * k), np.uint8)) for k in range(5)]
    pictures[0].save(path, save_all=True, append_images=pictures[1 : len(durations)], duration=durations, **how)


@pytest.mark.parametrize("form", ["webp", "avif"])
def test_an_animated_webp_or_avif_is_a_video_with_its_own_times(form, tmp_path):
    if form == "avif" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    path = tmp_path / f"a.{form}"
    moving(path, [40, 100, 40, 40, 200])
    source = open_source(path)
    assert (source.kind, source.count, source.fps, source.exact) == ("video", 5, 25.0, True)
    frames = list(source)
    assert [frame.time_s for frame in frames] == [0, 0.04, 0.14, 0.18, 0.22]
    for k, frame in enumerate(frames):
        assert frame.bgr.shape == (40, 60, 3)
        np.testing.assert_allclose(frame.bgr[20, 30], (200 - 40 * k, 30, 40 * k), atol=6)
    assert [frame.index for frame in open_source(path, limit=2)] == [0, 1] and open_source(path, limit=2).count == 2
    assert open_source(tmp_path).kind == "folder" and len(list(open_source(tmp_path))) == 1
    moving(path, [40])
    assert open_source(path).kind == "picture"


def test_an_animation_that_is_cut_is_one_line(tmp_path):
    path = tmp_path / "a.webp"
    moving(path, [40] * 5, lossless=True)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    with pytest.raises(MediaError, match="a.webp: (the WEBP is shorter than|is a WEBP that cannot be read)"):
        list(open_source(path))


def test_an_animation_that_is_damaged_gives_what_comes_before(tmp_path):
    if not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    path, rng = tmp_path / "a.avif", np.random.default_rng(0)
    noise = [Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8)) for _ in range(5)]
    noise[0].save(path, save_all=True, append_images=noise[1:], duration=40)
    data = bytearray(path.read_bytes())
    data[len(data) * 4 // 5 :] = b"\xff" * (len(data) - len(data) * 4 // 5)
    path.write_bytes(data)
    seen = []
    with pytest.raises(MediaError, match=r"a.avif: the animation breaks off after \d of 5 frames"):
        for frame in open_source(path):
            seen.append(frame.index)
    assert 0 < len(seen) < 5 and seen == list(range(len(seen)))
