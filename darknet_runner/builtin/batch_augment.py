"""A recipe's changes to a whole batch of a classifier's pictures at once, with torch, on the device that trains.

    augment = BatchAugment(recipe, (48, 48))
    pictures, targets = augment(uint8 (B, C, H, W), targets (B, K), seed)     # float (B, C, h, w)

Geometry is one affine sampling a picture, so that rotation, zoom, shift, shear, flip and the random cut cost one pass.
The same seed gives the same batch.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F

from .recipe import Recipe


def standardised(pictures: torch.Tensor) -> torch.Tensor:
    """Each picture (B, C, H, W) less its mean, over its deviation (of all its numbers; at least 1e-6)."""
    mean = pictures.mean((1, 2, 3), keepdim=True)
    deviation = (pictures - mean).square().mean((1, 2, 3), keepdim=True).sqrt()
    return (pictures - mean) / deviation.clamp(min=1e-6)


def middle(pictures: torch.Tensor, size_wh: tuple[int, int]) -> torch.Tensor:
    """The middle of pictures (B, C, H, W), cut to width and height."""
    left, top = (pictures.shape[3] - size_wh[0]) // 2, (pictures.shape[2] - size_wh[1]) // 2
    return pictures[:, :, top : top + size_wh[1], left : left + size_wh[0]]


class BatchAugment:
    """See the module's text. Values outside a picture are its edge's; colours stay within 0..1."""

    def __init__(self, recipe: Recipe, size_wh: tuple[int, int]):
        self.recipe, self.size_wh = recipe, size_wh

    def __call__(self, pictures: torch.Tensor, targets: torch.Tensor, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        recipe, draw = self.recipe, np.random.default_rng((seed, 15485863))
        x = pictures.to(torch.float32) / 255
        x = self._placed(x, draw)
        count = len(x)

        def factor(low_high):
            return x.new_tensor(draw.uniform(*low_high, count)).view(-1, 1, 1, 1)

        if recipe.contrast != (1, 1):
            mean = x.mean((1, 2, 3), keepdim=True)
            x = (x - mean) * factor(recipe.contrast) + mean
        if recipe.brightness != (1, 1):
            x = x * factor(recipe.brightness)
        if recipe.contrast != (1, 1) or recipe.brightness != (1, 1):
            x = x.clamp(0, 1)
        if recipe.erase:
            x = self._erased(x, draw)
        if recipe.standardise:
            x = standardised(x)
        if recipe.noise:
            generator = torch.Generator(x.device).manual_seed(int(draw.integers(2**62)))
            x = x + torch.randn(x.shape, generator=generator, device=x.device) * recipe.noise
        return self._mixed(x, targets, draw)

    def _placed(self, x, draw):
        """Rotation, shear, zoom, shift, cut and flip: the affine map from the network's input to each picture."""
        recipe, count = self.recipe, len(x)
        height, width = x.shape[2:]
        share = np.array([self.size_wh[0] / width, self.size_wh[1] / height])
        flip = draw.random(count) < 0.5 if recipe.flip else np.zeros(count, bool)
        bends = recipe.rotate or recipe.shear or recipe.zoom != (1, 1) or recipe.shift
        room = (width - self.size_wh[0], height - self.size_wh[1])
        if not bends and room == (0, 0):
            turned = torch.from_numpy(flip).to(x.device)[:, None, None, None]
            return torch.where(turned, x.flip(3), x) if recipe.flip else x
        angle, shear = (np.deg2rad(draw.uniform(-limit, limit, count)) for limit in (recipe.rotate, recipe.shear))
        zoom = draw.uniform(*recipe.zoom, count)
        # Whole pixels, so that a cut alone changes no value.
        cut = (
            np.stack([draw.integers(0, side + 1, count) - side / 2 for side in room], 1) * 2 / np.array([width, height])
        )
        move = draw.uniform(-recipe.shift, recipe.shift, (count, 2)) * 2
        aspect = width / height
        theta = np.zeros((count, 2, 3))
        theta[:, 0, 0], theta[:, 0, 1] = np.cos(angle), (-np.sin(angle) + np.tan(shear)) / aspect
        theta[:, 1, 0], theta[:, 1, 1] = np.sin(angle) * aspect, np.cos(angle)
        theta[:, :, :2] *= share / zoom[:, None, None]
        theta[flip, :, 0] *= -1
        theta[:, :, 2] = cut + move
        grid = F.affine_grid(
            torch.from_numpy(theta).float().to(x.device), (count, x.shape[1], *self.size_wh[::-1]), align_corners=False
        )
        return F.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=False)

    def _erased(self, x, draw):
        """Random erasing (arXiv:1708.04896): a rectangle of 2% to 25% of the area, its sides up to 1 : 3, in one
        grey.
        """
        count, (height, width) = len(x), x.shape[2:]
        area, ratio = draw.uniform(0.02, 0.25, count), np.exp(draw.uniform(-math.log(3), math.log(3), count))
        half = np.stack([np.sqrt(area * ratio) * width, np.sqrt(area / ratio) * height], 1) / 2
        centre = draw.random((count, 2)) * [width, height]
        grey, chosen = draw.random(count), draw.random(count) < self.recipe.erase
        low, high = (x.new_tensor(centre + sign * half)[..., None, None] for sign in (-1, 1))
        column, row = torch.arange(width, device=x.device), torch.arange(height, device=x.device)[:, None]
        inside = (column >= low[:, 0]) & (column < high[:, 0]) & (row >= low[:, 1]) & (row < high[:, 1])
        inside = (inside & torch.from_numpy(chosen).to(x.device)[:, None, None])[:, None]
        return torch.where(inside, x.new_tensor(grey)[:, None, None, None], x)

    def _mixed(self, x, targets, draw):
        """Mixup (arXiv:1710.09412) or CutMix (arXiv:1905.04899) with the same batch in another order."""
        recipe = self.recipe
        if not recipe.mixup and not recipe.cutmix:
            return x, targets
        paste = recipe.cutmix and (not recipe.mixup or draw.random() < 0.5)
        share = float(draw.beta(*[recipe.cutmix if paste else recipe.mixup] * 2))
        other = torch.from_numpy(draw.permutation(len(x))).to(x.device)
        if paste:
            height, width = x.shape[2:]
            side = math.sqrt(1 - share)
            centre = draw.random(2)
            (x1, x2), (y1, y2) = (
                (round(max(0, at - side / 2) * edge), round(min(1, at + side / 2) * edge))
                for at, edge in zip(centre, (width, height))
            )
            x = x.clone()
            x[:, :, y1:y2, x1:x2] = x[other][:, :, y1:y2, x1:x2]
            share = 1 - (x2 - x1) * (y2 - y1) / (width * height)
        else:
            x = x * share + x[other] * (1 - share)
        return x, targets * share + targets[other] * (1 - share)
