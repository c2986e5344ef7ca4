"""Changes to a whole batch: right values where they can be worked out, the same batch for the same seed."""

import math

import numpy as np
import pytest
import torch

from darknet_runner.builtin.batch_augment import BatchAugment, middle, standardised
from darknet_runner.builtin.recipe import Recipe

EYE = torch.eye(8)


def pictures(count=8, side=12, channels=1):
    return torch.from_numpy(np.random.default_rng(1).integers(0, 256, (count, channels, side, side), np.uint8))


def changed(recipe, x=None, seed=3, size=None):
    x = pictures() if x is None else x
    return BatchAugment(recipe, (size or x.shape[3],) * 2)(x, EYE[: len(x)], seed)


def test_without_settings_nothing_changes():
    x = pictures(channels=3)
    out, targets = changed(Recipe(augment="recipe"), x)
    assert torch.equal(out, x / 255) and torch.equal(targets, EYE)


def test_half_are_flipped():
    x = pictures(400)
    out, _ = BatchAugment(Recipe(flip=True), (12, 12))(x, torch.zeros(400, 8), 0)
    same, mirrored = (out == x / 255).all((1, 2, 3)), (out == (x / 255).flip(3)).all((1, 2, 3))
    assert (same | mirrored).all() and 150 < int(mirrored.sum()) < 250


def test_a_cut_takes_whole_pixels_from_everywhere():
    """44 of 48: each output is one of the 25 windows, to the last float but rounding, and all 25 occur."""
    x = pictures(300, 48)
    out, _ = BatchAugment(Recipe(size=44, crop_from=48), (44, 44))(x, torch.zeros(300, 8), 5)
    places = set()
    for picture, found in zip(x[:, 0].float() / 255, out[:, 0]):
        fits = [
            (top, left)
            for top in range(5)
            for left in range(5)
            if torch.allclose(picture[top : top + 44, left : left + 44], found, atol=1e-5)
        ]
        assert len(fits) == 1
        places.add(fits[0])
    assert len(places) == 25


def test_a_turn_by_a_known_angle():
    """All are turned by something within the limit: a dot at radius r stays at radius r."""
    x = torch.zeros(64, 1, 49, 49, dtype=torch.uint8)
    x[:, :, 24, 40:43] = 255
    x[:, :, 23, 40:43] = x[:, :, 25, 40:43] = 255
    out, _ = BatchAugment(Recipe(rotate=25), (49, 49))(x, torch.zeros(64, 8), 2)
    rows, columns = torch.meshgrid(torch.arange(49.0), torch.arange(49.0), indexing="ij")
    weight = out[:, 0] / out[:, 0].sum((1, 2), keepdim=True)
    y, x_ = ((weight * grid).sum((1, 2)) - 24 for grid in (rows, columns))
    angle = torch.rad2deg(torch.atan2(y, x_))
    assert torch.allclose(torch.hypot(x_, y), torch.tensor(17.0), atol=0.3)
    assert angle.abs().max() <= 25.5 and angle.max() > 15 and angle.min() < -15


@pytest.mark.parametrize("zoom, wanted", [((2, 2), 20), ((0.5, 0.5), 5)])
def test_zoom_is_the_size_of_the_face(zoom, wanted):
    x = torch.zeros(1, 1, 40, 40, dtype=torch.uint8)
    x[:, :, 15:25, 15:25] = 255
    out, _ = BatchAugment(Recipe(zoom=zoom), (40, 40))(x, torch.zeros(1, 8), 2)
    assert float(out.sum()) ** 0.5 == pytest.approx(wanted, rel=0.06)


def test_shift_is_a_share_of_the_side():
    x = torch.zeros(200, 1, 50, 50, dtype=torch.uint8)
    x[:, :, 25, 25] = 255
    out, _ = BatchAugment(Recipe(shift=0.1), (50, 50))(x, torch.zeros(200, 8), 2)
    columns = (out[:, 0].sum(1) * torch.arange(50)).sum(1) / out[:, 0].sum((1, 2))
    assert (columns - 25).abs().max() <= 5.01 and columns.max() > 29 and columns.min() < 21


def test_colours():
    x = pictures(200)
    bright, _ = changed(Recipe(brightness=(0.5, 0.5)), x[:8])
    assert torch.allclose(bright, x[:8] / 255 * 0.5)
    flat, _ = changed(Recipe(contrast=(0.25, 0.25)), x[:8])
    mean = (x[:8] / 255).mean((1, 2, 3), keepdim=True)
    assert torch.allclose(flat, (x[:8] / 255 - mean) * 0.25 + mean, atol=1e-6)
    wild, _ = changed(Recipe(brightness=(3, 3)), x[:8])
    assert wild.max() == 1


def test_standardised_pictures_have_mean_0_and_deviation_1_and_noise_is_behind_it():
    x = pictures(8, 40)
    out, _ = changed(Recipe(standardise=True), x)
    assert out.mean((1, 2, 3)).abs().max() < 1e-5 and (out.std((1, 2, 3), correction=0) - 1).abs().max() < 1e-4
    noisy, _ = changed(Recipe(standardise=True, noise=0.1), x)
    assert (noisy - out).std() == pytest.approx(0.1, rel=0.1)
    assert torch.equal(standardised(torch.ones(1, 1, 4, 4)), torch.zeros(1, 1, 4, 4)), (
        "a flat picture is not a division by zero"
    )


def test_erasing_takes_a_rectangle_of_some():
    x = torch.full((400, 1, 40, 40), 255, dtype=torch.uint8)
    out, _ = BatchAugment(Recipe(erase=0.25), (40, 40))(x, torch.zeros(400, 8), 2)
    gone = (out != 1).float().mean((1, 2, 3))
    assert 60 < int((gone > 0).sum()) < 140 and gone.max() <= 0.27
    one = (out[gone > 0.05][0, 0] != 1).nonzero()
    low, high = one.min(0).values, one.max(0).values
    assert len(one) == math.prod((high - low + 1).tolist())


@pytest.mark.parametrize("recipe", [Recipe(mixup=0.4), Recipe(cutmix=1.0)])
def test_mixed_pictures_have_mixed_targets(recipe):
    """Each picture is one grey, so that the share of another can be read off it."""
    x = (torch.arange(8, dtype=torch.uint8) * 30)[:, None, None, None].expand(8, 1, 20, 20).clone()
    for seed in range(6):
        out, targets = BatchAugment(recipe, (20, 20))(x, EYE, seed)
        assert torch.allclose(targets.sum(1), torch.ones(8))
        assert torch.allclose(out.mean((1, 2, 3)), targets @ (torch.arange(8) * 30 / 255.0), atol=1e-5)


def test_the_seed_makes_the_batch():
    recipe = Recipe(rotate=10, zoom=(0.8, 1.2), flip=True, brightness=(0.7, 1.3), erase=0.5, noise=0.02, mixup=0.2)
    one, two, other = (changed(recipe, seed=seed)[0] for seed in (4, 4, 5))
    assert torch.equal(one, two) and not torch.equal(one, other)


def test_the_middle():
    x = torch.arange(36.0).view(1, 1, 6, 6)
    assert torch.equal(middle(x, (4, 2)), x[:, :, 2:4, 1:5])
