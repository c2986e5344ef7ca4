"""Crops: rows and columns in their places, enlarged, level, and the same from a reduced picture."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from converters.face_crops import Look, eye_angle, from_pixels, of_file, to_crop


def gradient(width, height):
    """Each pixel tells its own place: blue is x, green is y."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x, y, np.zeros_like(x)], axis=-1).astype(np.uint8)


@given(st.integers(0, 150), st.integers(0, 80), st.integers(1, 49), st.integers(1, 19))
@settings(deadline=None)
def test_a_crop_of_the_boxs_own_size_is_the_box(x, y, w, h):
    picture = gradient(200, 100)
    crop = from_pixels(picture, np.array([x, y, x + w, y + h], float), Look((w, h), grey=False))
    np.testing.assert_array_equal(crop, picture[y : y + h, x : x + w])


def test_rows_and_columns_are_not_swapped():
    crop = from_pixels(
        gradient(200, 100), np.array([150, 10, 190, 30.0]), Look((20, 10), grey=False)
    )  # off the diagonal, 2:1
    assert crop.shape == (10, 20, 3)
    assert (
        crop[..., 0].min() >= 150 and crop[..., 0].max() < 190 and crop[..., 1].min() >= 10 and crop[..., 1].max() < 30
    )
    assert (np.diff(crop[..., 0].astype(int), axis=1) > 0).all() and (
        np.diff(crop[..., 1].astype(int), axis=0) > 0
    ).all()


def test_enlarge_is_about_the_centre_and_clipped():
    picture = gradient(200, 100)
    crop = from_pixels(picture, np.array([50, 40, 70, 60.0]), Look((40, 40), grey=False, enlarge=2))
    np.testing.assert_array_equal(crop, picture[30:70, 40:80])
    crop = from_pixels(picture, np.array([0, 0, 20, 20.0]), Look((30, 30), grey=False, enlarge=2))
    np.testing.assert_array_equal(crop, picture[:30, :30])


def test_align_makes_the_eyes_level():
    picture = np.zeros((200, 200), np.uint8)
    eyes = np.array([[80, 90], [120, 110]])
    for eye in eyes:
        cv2.circle(picture, eye.tolist(), 5, 255, -1)
    points = np.array([*eyes, [100, 120], [90, 140], [110, 140]], float)
    crop = from_pixels(picture, np.array([50, 50, 150, 150.0]), Look((100, 100), grey=True, align=True), points)
    _, _, _, centres = cv2.connectedComponentsWithStats((crop > 100).astype(np.uint8))
    assert len(centres) == 3 and abs(centres[1][1] - centres[2][1]) < 0.7
    assert abs(abs(centres[1][0] - centres[2][0]) - np.hypot(40, 20)) < 1
    unaligned = from_pixels(picture, np.array([50, 50, 150, 150.0]), Look((100, 100), grey=True), points)
    np.testing.assert_array_equal(unaligned, picture[50:150, 50:150])


def test_68_landmarks_have_their_eyes_at_36_to_47():
    points = np.zeros((68, 2))
    points[36:42], points[42:48] = (10, 10), (20, 20)
    assert eye_angle(points) == pytest.approx(45)
    assert eye_angle(np.zeros((7, 2))) == 0


@pytest.mark.parametrize("grey", [True, False])
def test_a_reduced_picture_gives_the_same_crop(tmp_path, noise, grey):
    picture = noise(5, (637, 471))
    path = str(tmp_path / "a.jpg")
    cv2.imwrite(path, picture, [cv2.IMWRITE_JPEG_QUALITY, 98])
    box, look = np.array([[101, 57, 501, 437.0]]), Look((48, 48), grey)
    (crop,) = of_file(path, (637, 471), box, look)  # eight times the crop: decoded at an eighth
    whole = from_pixels(cv2.imread(path), box[0], look)
    assert crop.shape == whole.shape and np.abs(crop.astype(int) - whole).mean() < 3


@pytest.mark.parametrize("suffix", ["jpg", "png", "bmp", "webp", "tif"])
@pytest.mark.parametrize("side", [617, 1001, 1534])
def test_a_white_box_in_a_black_picture_gives_a_white_crop(tmp_path, side, suffix):
    """Sides that no factor of the reduced decode divides: nothing of what is around comes in, wherever the box is."""
    rng, path = np.random.default_rng(side), str(tmp_path / f"a.{suffix}")
    for _ in range(12 if suffix == "jpg" else 3):
        width, height = rng.integers(100, side - 120, 2)
        x, y = rng.integers(3, side - width - 5), rng.integers(3, side - height - 5)
        picture = np.zeros((side, side - 3, 3), np.uint8)
        picture[y : y + height, x : x + width] = 255
        cv2.imwrite(path, picture, [cv2.IMWRITE_JPEG_QUALITY, 95] if suffix == "jpg" else [])
        for size in (48, 24):
            (crop,) = of_file(
                path, (side - 3, side), np.array([[x, y, x + width, y + height]], float), Look((size, size), False)
            )
            assert crop.min() >= 250, (x, y, width, height, size)


def test_a_reduced_picture_is_not_shifted(tmp_path):
    """An edge in the middle of the box is in the middle of the crop, to a twentieth of its pixel, as from a full
    decode.
    """
    picture = np.full((617, 617), 40, np.uint8)
    picture[:, 307:] = 200
    path = str(tmp_path / "a.jpg")
    cv2.imwrite(path, picture, [cv2.IMWRITE_JPEG_QUALITY, 98])
    for half in (101, 150, 203, 300):
        box = np.array([[307 - half, 20, 307 + half, 20 + 2 * half]], float)
        (crop,) = of_file(path, (617, 617), box, Look((24, 24), True))
        edge = 24 - (crop.mean(0) - 40).sum() / 160
        assert abs(edge - 12) < 0.05, (half, edge)


@pytest.mark.parametrize("align", [False, True])
def test_landmarks_go_where_their_pixels_go(tmp_path, align):
    picture = np.zeros((400, 500), np.uint8)
    points = np.array([[180.0, 150], [300, 190], [230, 220], [190, 260], [280, 290]])
    for point in points:
        cv2.circle(picture, point.astype(int).tolist(), 5, 255, -1)
    path = str(tmp_path / "a.jpg")
    cv2.imwrite(path, picture)
    box, look = np.array([[100, 80, 380, 360.0]]), Look((140, 140), True, align=align)
    (crop,) = of_file(path, (500, 400), box, look, [points])
    _, _, _, centres = cv2.connectedComponentsWithStats((crop > 100).astype(np.uint8))
    where = to_crop(points + 0.5, box[0], (500, 400), look, points)
    for point in where:
        assert np.abs(centres[1:] + 0.5 - point).max(1).min() < 0.6


@pytest.mark.parametrize("suffix", ["png", "bmp", "webp", "tif"])
def test_a_picture_that_no_decoder_makes_smaller_is_cut_from_all_its_pixels(tmp_path, noise, suffix):
    path = str(tmp_path / f"a.{suffix}")
    cv2.imwrite(path, noise(3, (637, 471)), [cv2.IMWRITE_WEBP_QUALITY, 101] if suffix == "webp" else [])
    box, look = np.array([[101, 57, 637, 471.0]]), Look((48, 48), False)
    np.testing.assert_array_equal(of_file(path, (637, 471), box, look)[0], from_pixels(cv2.imread(path), box[0], look))
