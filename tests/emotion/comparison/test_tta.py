"""Views of pictures: where crops lie, what the seed decides, and that probabilities are averaged."""

import numpy as np
import pytest

from emotion.comparison import tta


def numbered(count=3, height=6, width=12, channels=1):
    return (
        np.arange(count * height * width * channels, dtype=np.uint32)
        .reshape(count, height, width, channels)
        .astype(np.uint8)
    )


def test_ten_crops_lie_in_the_corners_and_the_middle_and_are_mirrored():
    pictures = numbered()
    crops = tta.ten_crops(pictures, share=0.5)
    assert crops.shape == (3, 10, 3, 6, 1)
    assert np.array_equal(crops[1, 0], pictures[1, :3, :6]) and np.array_equal(crops[1, 3], pictures[1, 3:, 6:])
    assert np.array_equal(crops[2, 1], pictures[2, :3, 6:]) and np.array_equal(crops[2, 2], pictures[2, 3:, :6])
    assert np.array_equal(crops[0, 4], pictures[0, 1:4, 3:9])
    assert np.array_equal(crops[:, 5:], crops[:, :5, :, ::-1])
    assert tta.ten_crops(np.zeros((1, 48, 48, 3), np.uint8)).shape == (1, 10, 44, 44, 3)
    assert tta.ten_crops(np.zeros((1, 1, 1, 3), np.uint8)).shape == (1, 10, 1, 1, 3)


def test_random_views_begin_with_the_picture_and_depend_on_seed_and_number_only():
    pictures = np.random.default_rng(0).integers(0, 256, (4, 20, 16, 3), np.uint8)
    views = tta.random_views(pictures, 5, seed=1)
    assert views.shape == (4, 5, 20, 16, 3) and np.array_equal(views[:, 0], pictures)
    assert all(not np.array_equal(views[:, i], views[:, j]) for i in range(5) for j in range(i))
    assert np.array_equal(tta.random_views(pictures[2:], 5, seed=1, first=2), views[2:])
    assert not np.array_equal(tta.random_views(pictures, 5, seed=2), views)
    assert tta.random_views(pictures[..., :1], 3).shape == (4, 3, 20, 16, 1)


def test_probabilities_are_averaged_over_the_views_of_a_picture():
    def classify(pictures):
        bright = np.array([picture.mean() for picture in pictures]) / 255
        return np.stack([bright, 1 - bright], 1)

    views = np.zeros((2, 2, 4, 4, 3), np.uint8)
    views[0, 1] = views[1] = 255
    assert tta.averaged(classify, views).tolist() == [[0.5, 0.5], [1, 0]]


class Bright:
    model, names, backend, crop_scale = None, ("dark", "bright"), None, 1.0

    def classify(self, crops):
        bright = np.array([np.mean(crop) / 255 for crop in crops])
        return np.stack([1 - bright, bright], 1)


@pytest.mark.parametrize("how", ["tencrop", 4])
def test_pictures_of_any_sizes_keep_their_order_and_their_numbers(how):
    rng = np.random.default_rng(0)
    sizes = [(8, 8), (8, 8), (9, 7), (8, 8), (20, 30)]
    pictures = [rng.integers(0, 256, (*size, 3), np.uint8) for size in sizes]
    whole = tta.AugmentedClassifier(Bright(), how, seed=3).classify(pictures)
    one_by_one = tta.AugmentedClassifier(Bright(), how, seed=3)
    assert np.allclose(whole, np.concatenate([one_by_one.classify([picture]) for picture in pictures]))
    assert whole.shape == (5, 2) and tta.AugmentedClassifier(Bright(), how).classify([]).shape == (0, 2)
    assert np.allclose(whole[:, 1], [picture.mean() / 255 for picture in pictures], atol=0.1)
