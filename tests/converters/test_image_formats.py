"""What a file is, by content: whatever Pillow can write is known, what is not a picture is none, and nothing
vanishes from a folder.
"""

import os

import numpy as np
import pytest
from PIL import Image

from converters import images
from converters.errors import MediaError
from converters.image_formats import SUFFIXES, format_of, is_animated, pictures_in

LESS_USUAL = ("ICO", "DDS", "PCX", "SGI", "QOI")


@pytest.mark.parametrize(
    "name", ["JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM", "JPEG2000", "AVIF", "MPO", *LESS_USUAL]
)
def test_every_format_is_known_without_its_name(tmp_path, name):
    path = tmp_path / "picture.dat"
    try:
        Image.new("RGB", (20, 10), (9, 99, 199)).save(path, name, **({"sizes": [(20, 10)]} if name == "ICO" else {}))
    except (KeyError, OSError) as error:
        pytest.skip(f"this Pillow writes no {name}: {error}")
    known = "JPEG" if name == "MPO" else name
    assert format_of(path) == known and known in SUFFIXES
    info = images.probe(path)
    assert (info.size_wh, info.format, info.problem) == ((20, 10), known, None)
    assert images.decode(path).shape == (10, 20, 3)
    assert pictures_in(tmp_path).paths == [str(path)]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"BM",
        b"BMW is a car, and this is a text",
        b"P1 was the first car",
        b"P3 1 apples and pears",
        b"\n\nA text",
        b"RIFF\0\0\0\0WAVEfmt ",
        b"\0\0\0\x18ftypmp42\0\0\0\0isom",
        b"\xff\xd8",
    ],
)
def test_what_is_no_picture(tmp_path, data):
    (tmp_path / "file").write_bytes(data)
    assert format_of(tmp_path / "file") == ""


def test_heic_is_a_picture_that_says_what_it_needs(tmp_path):
    path = tmp_path / "phone.jpg"
    path.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100))
    assert format_of(path) == "HEIF"
    info = images.probe(path)
    assert info.format == "HEIF" and info.problem == "undecodable"
    with pytest.raises(MediaError):
        images.decode(path)
    try:
        import pi_heif  # noqa: F401
    except ImportError:
        try:
            import pillow_heif  # noqa: F401
        except ImportError:
            assert "pi-heif" in info.detail and "[heic]" in info.detail


def test_a_folder_counts_what_it_passes_over(tmp_path):
    (tmp_path / "sub").mkdir()
    for name in ("b.jfif", "a.jpg", "sub/c", ".hidden.jpg"):
        Image.new("L", (8, 8)).save(tmp_path / name, "JPEG")
    for name in ("broken.png", "notes.txt", "sub/more.txt", "README"):
        (tmp_path / name).write_text("x")
    found = pictures_in(tmp_path)
    assert [os.path.relpath(path, tmp_path) for path in found.paths] == ["a.jpg", "b.jfif", "broken.png", "sub/c"]
    assert found.others == {".txt": 2, "README": 1}


def test_gifs(tmp_path):
    frames = [Image.fromarray(np.full((30, 40), shade, np.uint8)) for shade in (0, 90, 200)]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / "still.gif")
    assert is_animated(tmp_path / "moving.gif") and not is_animated(tmp_path / "still.gif")
    whole = (tmp_path / "moving.gif").read_bytes()
    for length in range(0, len(whole), 7):
        (tmp_path / "cut.gif").write_bytes(whole[:length])
        is_animated(tmp_path / "cut.gif")
        images.probe(tmp_path / "cut.gif")
        try:
            images.decode(tmp_path / "cut.gif")
        except MediaError:
            pass


GREY = np.linspace(0, 255, 600).astype(np.uint8).reshape(20, 30)


@pytest.mark.parametrize(
    ("pixels", "grey"),
    [
        (GREY.astype(np.uint16) * 257, GREY),
        (GREY.astype(np.uint16), GREY >> 8),  # nearly black, and not what it would be with 8 bits
        (GREY.astype(np.float32) / 255, GREY),
        (GREY.astype(np.float32), GREY),
        (GREY.astype(np.float32) * 257, GREY),
        (GREY.astype(np.int32) * 257, GREY),
        (GREY.astype(np.int32), GREY),
    ],
    ids=["16 bits", "dark", "0..1", "0..255", "0..65535", "int", "int of 8 bits"],
)
def test_grey_of_more_than_8_bits_is_scaled_not_clipped(pixels, grey, tmp_path):
    for suffix in (".tif", ".png", ".pgm") if pixels.dtype == np.uint16 else (".tif",):
        path = tmp_path / f"a{suffix}"
        Image.fromarray(pixels).save(path)
        assert images.probe(path).problem is None
        assert np.array_equal(images.decode(path, grey=True), grey)
        assert np.array_equal(images.decode(path, upright=True), np.dstack([grey] * 3))


def test_pillows_warnings_of_a_cut_picture_are_none_of_emos(tmp_path, recwarn):
    path = tmp_path / "a.tif"
    Image.fromarray(np.dstack([GREY] * 3)).save(path, compression="tiff_lzw")
    data = path.read_bytes()
    for length in range(8, len(data), 97):
        path.write_bytes(data[:length])
        images.probe(path)
    assert not [warning for warning in recwarn if "PIL" in warning.filename]


@pytest.mark.parametrize("value", [np.nan, -1, 70000])
def test_floats_that_are_no_grey_are_said(value, tmp_path):
    pixels = GREY.astype(np.float32)
    pixels[3, 4] = value
    Image.fromarray(pixels).save(tmp_path / "a.tif")
    with pytest.raises(MediaError, match="8 bits a channel"):
        images.decode(tmp_path / "a.tif")


@pytest.mark.parametrize("name", ["PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF"])
def test_too_many_pixels_are_refused_by_the_header(tmp_path, monkeypatch, name):
    monkeypatch.setenv("EMO_MAX_PIXELS", "199")
    path = tmp_path / "picture"
    Image.new("RGB", (20, 10)).save(path, name)
    info = images.probe(path)
    assert info.problem == "too-many-pixels" and info.size_wh == (20, 10)
    with pytest.raises(MediaError, match="20x10: more than 199 pixels"):
        images.decode(path)
    with images.pixel_limit(200):
        assert images.probe(path).problem is None and images.decode(path).shape == (10, 20, 3)
    assert images.max_pixels() == 199


def test_the_limit_has_a_default(monkeypatch):
    monkeypatch.delenv("EMO_MAX_PIXELS", raising=False)
    assert images.max_pixels() == 120_000_000
