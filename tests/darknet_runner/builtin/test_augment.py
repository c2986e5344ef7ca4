"""Labels follow the pixels: drawn squares are found again where the labels say."""

import numpy as np
from hypothesis import given, settings, strategies as st

from darknet_runner.builtin.augment import VISIBLE, Options, classifier_sample, detection_sample, distort, warp_labels

COLOURS = np.array([(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)], np.uint8)


def drawn(index, width, height):
    """A grey picture with one pure square, its colour its class."""
    rng = np.random.default_rng(index)
    picture = np.full((height, width, 3), 128, np.uint8)
    # Under 0.16 of the area: with more of it the mean, which fills the margins, would pass for the square's colour.
    side = int(rng.integers(min(width, height) // 4, min(width, height) * 2 // 5))
    x, y = int(rng.integers(0, width - side)), int(rng.integers(0, height - side))
    kind = index % 4
    picture[y : y + side, x : x + side] = COLOURS[kind]
    return picture, np.array([[kind, (x + side / 2) / width, (y + side / 2) / height, side / width, side / height]])


def seen(picture, kind):
    """Bounds x1, y1, x2, y2 of the pixels of a class's colour, or None."""
    mask = np.abs(picture.astype(int) - COLOURS[kind]).max(2) < 100
    ys, xs = np.nonzero(mask)
    return None if not len(xs) else np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])


@settings(max_examples=150, deadline=None)
@given(
    st.integers(0, 10**6),
    st.integers(80, 200),
    st.integers(80, 200),
    st.booleans(),
    st.sampled_from([1.0, 1.5, 0.7]),
    st.booleans(),
)
def test_labels_are_where_the_pixels_are(seed, width, height, mosaic, resize, letter_box):
    options = Options(jitter=0.3, resize=resize, mosaic=mosaic, letter_box=letter_box and not mosaic)
    out = np.zeros((120, 160, 3), np.uint8)
    rng = np.random.default_rng(seed)
    calls = iter(range(4))  # every tile has its own class, so that a colour is found once
    labels = detection_sample(
        lambda i: drawn(next(calls) + 4 * (seed % 9), width, height), 0, 4, (160, 120), 3, rng, options, out
    )
    assert len(set(labels[:, 0])) == len(labels)
    for kind, *box in labels:
        x, y, w, h = np.array(box) * [160, 120, 160, 120]
        expected = np.array([x - w / 2, y - h / 2, x + w / 2, y + h / 2])
        if w >= 4 and h >= 4:  # thinner ones may blend with what is beside them
            assert np.abs(seen(out, int(kind)) - expected).max() <= 2.0


def test_a_face_of_which_little_is_left_is_no_label():
    label = np.array([[0, 0.5, 0.5, 0.2, 0.2]])
    identity = np.array([[1.0, 0, 0], [0, 1.0, 0]])
    for left, kept in ((VISIBLE + 0.05, 1), (VISIBLE - 0.05, 0)):
        shift = identity + [[0, 0, -40 - 20 * (1 - left)], [0, 0, 0]]  # the box spans 40..60 of 100
        assert len(warp_labels(label, shift, (100, 100), (100, 100))) == kept


def test_flip_turns_pixels_and_labels():
    picture, label = drawn(3, 100, 100)
    flips = 0
    for seed in range(20):
        out = np.zeros_like(picture)
        got = detection_sample(
            lambda i: (picture, label), 0, 1, (100, 100), 3, np.random.default_rng(seed), Options(), out
        )
        if not np.allclose(got, label):
            flips += 1
            assert np.allclose(got[0, 1], 1 - label[0, 1])
            assert np.abs(out[:, ::-1].astype(int) - picture).max() <= 1
        else:
            assert np.array_equal(out, picture)
    assert 3 < flips < 17


def test_no_flip_when_the_cfg_says_so():
    picture, label = drawn(2, 100, 100)
    for seed in range(10):
        out = np.zeros_like(picture)
        assert np.allclose(
            detection_sample(
                lambda i: (picture, label), 0, 1, (100, 100), 3, np.random.default_rng(seed), Options(flip=False), out
            ),
            label,
        )


def test_mixup_shows_two_pictures_and_keeps_both_labels():
    options = Options(mixup=True, flip=False)
    counts = set()
    for seed in range(20):
        out = np.zeros((100, 100, 3), np.uint8)
        counts.add(
            len(
                detection_sample(
                    lambda i: drawn(i, 100, 100), 0, 4, (100, 100), 3, np.random.default_rng(seed), options, out
                )
            )
        )
    assert counts == {1, 2}


def test_colours_stay_within_the_factors():
    grey = np.full((8, 8, 1), 100, np.uint8)
    values = {int(distort(grey, np.random.default_rng(seed), Options(exposure=1.5))[0, 0, 0]) for seed in range(50)}
    assert min(values) >= 66 and max(values) <= 150 and len(values) > 20
    pure = np.zeros((8, 8, 3), np.uint8) + np.array([200, 100, 50], np.uint8)
    assert np.array_equal(distort(pure, np.random.default_rng(0), Options()), pure)


def test_cutmix_shares_are_the_areas():
    """Picture 0 is black, picture 1 white: the share of class 1 is the share of white."""
    options = Options(cutmix=True, flip=False, min_crop=32, max_crop=32)

    def load(index):
        return np.full((32, 32, 3), 255 * index, np.uint8), index

    mixed = 0
    for seed in range(40):
        out = np.zeros((32, 32, 3), np.uint8)
        target = classifier_sample(load, 0, 2, (32, 32), 2, np.random.default_rng(seed), options, out)
        assert abs(target.sum() - 1) < 1e-6
        assert abs(target[1] - (out > 127).mean()) < 1e-6
        mixed += 0 < target[1] < 1
    assert mixed > 3


def test_classifier_crop_without_randomness_is_the_picture():
    options = Options(flip=False, min_crop=48, max_crop=48)
    picture = np.random.default_rng(0).integers(0, 256, (48, 48, 1), np.uint8)
    out = np.zeros_like(picture)
    target = classifier_sample(lambda i: (picture, 3), 0, 1, (48, 48), 7, np.random.default_rng(1), options, out)
    assert np.array_equal(out, picture)
    assert target.tolist() == [0, 0, 0, 1, 0, 0, 0]
