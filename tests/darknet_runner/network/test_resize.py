from concurrent.futures import ThreadPoolExecutor
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from darknet_runner.network import resize


def darknet_resize(picture, width, height):
    """src/image.c, resize_image, pixel by pixel in single precision: first the columns, then the rows."""
    one = np.float32
    rows, columns, _ = picture.shape
    step_x, step_y = one(columns - 1) / one(width - 1), one(rows - 1) / one(height - 1)
    part = np.zeros((rows, width, picture.shape[2]), one)
    for x in range(width):
        at = one(x) * step_x
        low = int(at)
        if x == width - 1 or columns == 1:
            part[:, x] = picture[:, columns - 1]
        else:
            part[:, x] = (1 - (at - one(low))) * picture[:, low] + (at - one(low)) * picture[:, low + 1]
    out = np.zeros((height, width, picture.shape[2]), one)
    for y in range(height):
        at = one(y) * step_y
        low = int(at)
        out[y] = (1 - (at - one(low))) * part[low]
        if y < height - 1 and rows > 1:
            out[y] += (at - one(low)) * part[low + 1]
    return out


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 70), st.integers(1, 70), st.integers(2, 40), st.integers(2, 40), st.integers(0, 9))
def test_resize_is_darknets(rows, columns, height, width, seed):
    picture = np.random.default_rng(seed).integers(0, 256, (rows, columns, 3), np.uint8)
    assert np.allclose(
        resize.resize(picture, (width, height)), darknet_resize(picture.astype(np.float32), width, height), atol=2e-3
    )


def darknet_resize_by_index(picture, width, height):
    """The same, by whole arrays, in the order in which emo reckons: to the last bit."""
    left, right, share_x = resize.taps(picture.shape[1], width)
    top, bottom, share_y = resize.taps(picture.shape[0], height)
    source = picture.astype(np.float32)
    across = source[:, left] + (source[:, right] - source[:, left]) * share_x[:, None]
    across[:, -1] = source[:, -1]
    lower = across[bottom]
    lower[-1] = 0
    return across[top] + (lower - across[top]) * share_y[:, None, None]


@settings(deadline=None, max_examples=40)
@given(
    st.integers(1, 300),
    st.integers(1, 300),
    st.integers(1, 60),
    st.integers(1, 60),
    st.sampled_from([1, 2, 3, 4]),
    st.sampled_from([np.uint8, np.float32, np.uint16, np.float64]),
    st.sampled_from([1, 2000, 2**17]),
)
def test_resize_is_darknets_to_the_last_bit(rows, columns, height, width, channels, kind, at_a_time):
    picture = np.random.default_rng(rows).integers(0, 256, (rows, columns, channels)).astype(kind)
    with mock.patch.object(resize, "AT_A_TIME", at_a_time):
        out = resize.resize(picture, (width, height))
    expected = picture if (rows, columns) == (height, width) else darknet_resize_by_index(picture, width, height)
    assert out.dtype == np.float32 and np.array_equal(out, expected)


@pytest.mark.parametrize("make", [lambda p: p[:, ::-1], lambda p: p[::2, ::3], lambda p: p[..., 0]])
def test_views_are_resized_alike(make):
    picture = make(np.random.default_rng(0).integers(0, 256, (350, 500, 3), np.uint8))
    expected = darknet_resize_by_index(picture.reshape(*picture.shape[:2], -1), 200, 150)
    assert np.array_equal(resize.resize(picture, (200, 150)), expected.reshape(150, 200, *picture.shape[2:]))


def test_a_picture_wider_than_opencvs_maps_can_say():
    picture = np.random.default_rng(0).integers(0, 256, (3, 40_000), np.uint8)
    assert np.array_equal(resize.resize(picture, (300, 300))[0, [0, -1]], picture[0, [0, -1]])


def test_grey_is_resized_as_a_plane():
    plane = np.random.default_rng(0).integers(0, 256, (31, 17), np.uint8)
    assert np.array_equal(resize.resize(plane, (9, 9)), resize.resize(plane[..., None], (9, 9))[..., 0])


def test_a_picture_of_the_right_size_is_unchanged():
    picture = np.random.default_rng(0).integers(0, 256, (8, 6, 3), np.uint8)
    out = resize.resize(picture, (6, 8))
    assert out.dtype == np.float32 and np.array_equal(out, picture)


def test_the_last_row_is_black_where_darknets_is():
    picture = np.full((850, 50, 3), 200, np.uint8)
    assert resize.resize(picture, (384, 384))[-1].max() < 1 and resize.resize(picture, (384, 384))[-2].min() > 199
    assert resize.resize(picture[:849], (384, 384))[-1].min() == 200


def test_corners_are_kept():
    picture = np.random.default_rng(1).integers(0, 256, (40, 30, 3), np.uint8)
    out = resize.resize(picture, (7, 5))
    assert np.allclose(out[[0, 0, -1, -1], [0, -1, 0, -1]], picture[[0, 0, -1, -1], [0, -1, 0, -1]])


@pytest.mark.parametrize(
    ("shape", "place"),
    [
        ((100, 50), (16, 0, 32, 64)),
        ((50, 100), (0, 16, 64, 32)),
        ((64, 64), (0, 0, 64, 64)),
        ((30, 41), (0, 9, 64, 46)),
    ],  # 30 * 64 // 41 = 46
)
def test_letterbox_keeps_proportions_and_fills_with_grey(shape, place):
    x, y, w, h = place
    out, placed = resize.letterbox(np.full((*shape, 3), 255, np.uint8), (64, 64))
    assert placed == place
    inside = np.zeros((64, 64), bool)
    inside[y : y + h, x : x + w] = True
    assert (out[inside] == 255).all() and (out[~inside] == 127.5).all()


def test_letterbox_places_by_whole_pixels_but_reports_half_ones():
    _, placed = resize.letterbox(np.zeros((10, 21, 3), np.uint8), (64, 64))  # 10 * 64 // 21 = 30 rows, 17 above
    assert placed == (0, 17, 64, 30)
    _, placed = resize.letterbox(np.zeros((10, 22, 3), np.uint8), (64, 64))  # 29 rows: 17.5
    assert placed == (0, 17.5, 64, 29)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_blob_of_letter_boxes_is_what_each_alone_gives(channels):
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (*shape, 3), np.uint8) for shape in ((100, 200), (200, 90), (150, 160))]
    blob, placed = resize.letterbox_blob(pictures, (160, 128), channels)
    for index, picture in enumerate(pictures):
        plane, place = resize.letterbox(resize.grey(picture)[..., None] if channels == 1 else picture, (160, 128))
        rgb = (plane * np.float32(1 / 255))[..., ::-1].transpose(2, 0, 1)
        assert (blob[index] == rgb).all() and placed[index] == place


def test_threads_resize_side_by_side():
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (200 + index, 210, 3), np.uint8) for index in range(8)]
    alone = [resize.resize(picture, (160, 160)) for picture in pictures]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda picture: resize.resize(picture, (160, 160)), pictures * 5))
    assert all((one == alone[index % 8]).all() for index, one in enumerate(together))


def test_blob_is_rgb_in_0_to_1():
    picture = np.zeros((4, 4, 3), np.uint8)
    picture[..., 0] = 255  # blue
    blob = resize.blob([picture, picture // 5], (4, 4))
    assert blob.shape == (2, 3, 4, 4) and blob.dtype == np.float32
    assert np.allclose(blob[0, :, 0, 0], (0, 0, 1)) and np.allclose(blob[1, :, 0, 0], (0, 0, 0.2))


def test_grey_blob_has_one_plane():
    picture = np.full((4, 4, 3), (0, 255, 0), np.uint8)
    blob = resize.blob([picture], (2, 2), channels=1)
    assert blob.shape == (1, 1, 2, 2) and np.allclose(blob, 150 / 255, atol=1 / 255)  # 0.587 of 255
