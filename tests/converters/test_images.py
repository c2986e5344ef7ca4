"""images: the header parser against Pillow, truncation at every place, EXIF, hashes."""

from __future__ import annotations

import io
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from PIL import Image

from converters import images
from converters.errors import MediaError

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "datasets"


def picture(width=40, height=30, seed=0):
    """Smooth noise: compresses as a photograph does."""
    small = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


def encoded(form, pixels, **settings):
    data = io.BytesIO()
    Image.fromarray(pixels[..., ::-1]).save(data, form, **settings)
    return data.getvalue()


@pytest.mark.parametrize(
    "form, suffix",
    [
        ("JPEG", "jpg"),
        ("PNG", "png"),
        ("BMP", "bmp"),
        ("GIF", "gif"),
        ("WEBP", "webp"),
        ("TIFF", "tif"),
        ("PPM", "ppm"),
    ],
)
@given(width=st.integers(1, 300), height=st.integers(1, 300), mode=st.sampled_from(["RGB", "L", "1"]))
@settings(max_examples=15, deadline=None)
def test_the_header_says_what_pillow_says(tmp_path_factory, form, suffix, width, height, mode):
    path = tmp_path_factory.getbasetemp() / f"size.{suffix}"
    Image.new(mode if form != "JPEG" or mode != "1" else "L", (width, height), 1).save(path, form)
    info = images.probe(path)
    assert (info.size_wh, info.format, info.problem, info.orientation) == ((width, height), form, None, 1)
    assert info.bytes == path.stat().st_size


@pytest.mark.parametrize(
    "settings",
    [
        {"progressive": True},
        {"icc_profile": bytes(150_000)},
        {"comment": b"x" * 60_000},
        {"quality": 100, "subsampling": 0},
    ],
)
def test_jpeg_headers_of_every_length(tmp_path, settings):
    path = tmp_path / "a.jpg"
    path.write_bytes(encoded("JPEG", picture(123, 77), **settings))
    info = images.probe(path)
    assert (info.size_wh, info.problem) == ((123, 77), None)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "BMP"])
def test_a_file_cut_anywhere_is_found(tmp_path, form):
    whole = encoded(form, picture(12, 9))
    path = tmp_path / "cut"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        problem = images.probe(path).problem
        assert problem == "zero-bytes" if length == 0 else problem in ("truncated", "undecodable"), length
    path.write_bytes(whole)
    assert images.probe(path).problem is None


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
@pytest.mark.parametrize("extra", [1, 100, 70_000])
def test_what_follows_the_end_is_no_fault(tmp_path, form, extra):
    path = tmp_path / "padded"
    path.write_bytes(encoded(form, picture(300, 300)) + bytes(extra))
    assert images.probe(path).problem is None


def test_a_thumbnails_end_is_not_the_pictures_end(tmp_path):
    """FF D9 inside an EXIF thumbnail must not hide that the picture itself is cut."""
    exif = Image.Exif()
    exif[0x010E] = "\xff\xd9" * 10
    whole = encoded("JPEG", picture(64, 64), exif=b"Exif\0\0" + exif.tobytes()[6:] + encoded("JPEG", picture(16, 16)))
    assert whole.count(b"\xff\xd9") >= 2
    path = tmp_path / "a.jpg"
    path.write_bytes(whole[: len(whole) * 3 // 4])
    assert images.probe(path).problem == "truncated"


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form, suffix", [("JPEG", "jpg"), ("PNG", "png"), ("WEBP", "webp")])
def test_exif_orientation(tmp_path, orientation, form, suffix):
    exif = Image.Exif()
    exif[0x0110] = "a camera's name"
    exif[0x0112] = orientation
    path = tmp_path / f"turned.{suffix}"
    path.write_bytes(encoded(form, picture(40, 30), exif=exif))
    info = images.probe(path)
    assert (info.orientation, info.size_wh) == (orientation, (40, 30))
    assert info.upright_wh == ((30, 40) if orientation >= 5 else (40, 30))
    if form == "JPEG":
        assert images.decode(path).shape == (30, 40, 3)
        assert images.decode(path, upright=True).shape[1::-1] == info.upright_wh


def test_a_tiff_is_turned_by_every_reader(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "a.tif"
    path.write_bytes(encoded("TIFF", picture(40, 30), exif=exif))
    info = images.probe(path)
    assert (info.size_wh, info.orientation) == ((30, 40), 1) and images.decode(path).shape == (40, 30, 3)


@pytest.mark.parametrize(
    "block", [b"", b"II", b"XX*\0\x08\0\0\0", b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\xff\xff"]
)
def test_damaged_exif_is_upright(block):
    assert images._exif_orientation(block) == 1


def test_no_file_makes_it_raise(tmp_path):
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "text.jpg").write_text("<html>not found</html>")
    (tmp_path / "marker.jpg").write_bytes(b"\xff\xd8\xff\xda" + bytes(100))
    (tmp_path / "flat.png").write_bytes(encoded("PNG", picture())[:16] + bytes(50))
    os.mkfifo(tmp_path / "pipe.jpg")
    found = {
        name: images.probe(tmp_path / name).problem
        for name in ("none.jpg", "empty.jpg", "text.jpg", "marker.jpg", "flat.png", "pipe.jpg", ".")
    }
    assert found == {
        "none.jpg": "missing-image",
        "empty.jpg": "zero-bytes",
        "text.jpg": "undecodable",
        "marker.jpg": "undecodable",
        "flat.png": "undecodable",
        "pipe.jpg": "undecodable",
        ".": "undecodable",
    }
    assert images.probe("nul\0byte").problem == "undecodable"


@given(
    st.binary(max_size=200),
    st.sampled_from([b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"BM", b"RIFF\0\0\0\0WEBP", b""]),
)
@settings(max_examples=150, deadline=None)
def test_noise_never_raises(tmp_path_factory, noise, start):
    path = tmp_path_factory.getbasetemp() / "noise"
    path.write_bytes(start + noise)
    info = images.probe(path)
    assert info.problem or min(info.size_wh) > 0


def test_decode(tmp_path):
    pixels = picture()
    path = tmp_path / "ä b.png"
    path.write_bytes(encoded("PNG", pixels))
    assert np.array_equal(images.decode(path), pixels)
    assert images.decode(path, grey=True).shape == (30, 40)
    odd = os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe.png")  # no UTF-8: cv2.imread would crash
    path.rename(odd)
    assert np.array_equal(images.decode(odd), pixels) and images.probe(odd).problem is None
    path = tmp_path / "a.gif"  # which OpenCV reads in some builds only
    path.write_bytes(encoded("GIF", pixels))
    assert images.decode(path).shape == (30, 40, 3)
    for content in (None, b"no picture"):
        if content:
            (tmp_path / "bad.jpg").write_bytes(content)
        with pytest.raises(MediaError) as error:
            images.decode(tmp_path / "bad.jpg")
        assert str(tmp_path / "bad.jpg") in str(error.value)


def test_hashes(tmp_path):
    pixels = picture(200, 160)
    for name, form in (("a.png", "PNG"), ("b.png", "PNG"), ("c.bmp", "BMP")):
        (tmp_path / name).write_bytes(encoded(form, pixels))
    (tmp_path / "d.png").write_bytes(encoded("PNG", 255 - pixels))
    content = [images.content_hash(tmp_path / name) for name in ("a.png", "b.png", "c.bmp", "d.png")]
    assert content[0] == content[1] and len(set(content)) == 3
    same = [images.pixel_hash(images.decode(tmp_path / name)) for name in ("a.png", "c.bmp", "d.png")]
    assert same[0] == same[1] != same[2]
    assert images.pixel_hash(np.zeros((2, 3), np.uint8)) != images.pixel_hash(np.zeros((3, 2), np.uint8))
    with pytest.raises(MediaError):
        images.content_hash(tmp_path / "none.png")


def test_the_perceptual_hash_keeps_through_scaling_light_and_recompression():
    def distance(a, b):
        return (images.perceptual_hash(a) ^ images.perceptual_hash(b)).bit_count()

    pixels = picture(200, 160)
    jpeg = cv2.imdecode(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 30])[1], cv2.IMREAD_COLOR)
    for changed in (
        cv2.resize(pixels, (100, 80), interpolation=cv2.INTER_AREA),
        jpeg,
        cv2.convertScaleAbs(pixels, alpha=0.8, beta=10),
    ):
        assert distance(pixels, changed) <= 6
    # Two pictures that have nothing to do with each other differ in about half of the 64 bits.
    others = [distance(pixels, picture(200, 160, seed)) for seed in range(1, 30)]
    assert 26 < np.mean(others) < 38 and min(others) > 10


@pytest.mark.skipif(not (SHARED / "lfw-affectnet").is_dir(), reason="needs ../shared/datasets")
def test_real_pictures_agree_with_pillow():
    paths = [path for name in ("lfw-affectnet", "affectnet-sample") for path in (SHARED / name).rglob("*.[jJ][pP][gG]")]
    assert len(paths) == 5013 + 10
    for path in paths[::5] + paths[-10:]:
        info = images.probe(path)
        with Image.open(path) as opened:
            assert (info.size_wh, info.format, info.problem) == (opened.size, opened.format, None), path
