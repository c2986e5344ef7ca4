"""Crops of faces -> probabilities of each emotion, with a Darknet classifier."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from converters.errors import DataError
from darknet_runner.network import resize

from .backends import Backend, OpenCVBackend
from .models import Model

BATCH = 64  # crops in one forward pass; bounds the memory a crowd takes


class Classifier:
    """A Darknet classifier: crops -> class probabilities.

    crop_scale  side of the crop it has learned to expect, over the longer side of a face's box; the card's
                `[preprocessing] crop_scale`, else 1
    """

    def __init__(self, model: Model, backend: Backend | None = None):
        self.model, self.names = model, model.names
        self.backend = backend or OpenCVBackend(model)
        self.crop_scale = crop_scale(model)

    def classify(self, crops: Sequence[np.ndarray]) -> np.ndarray:
        """BGR uint8 crops, each of its own size -> (N, C) probabilities. Stretched, as Darknet resizes."""
        cfg, out = self.model.cfg, [np.zeros((0, len(self.names)), np.float32)]
        for start in range(0, len(crops), BATCH):
            blob = resize.blob(crops[start : start + BATCH], cfg.size_wh, cfg.net.integer("channels", 3))
            out += self.backend.forward(blob)
        return np.concatenate(out)


def crop_scale(model: Model) -> float:
    """The card's `[preprocessing] crop_scale`, else 1; DataError when it is no positive number."""
    table = model.card.get("preprocessing")
    value = table.get("crop_scale", 1.0) if isinstance(table, dict) else 1.0
    if not isinstance(value, (int, float)) or not value > 0:
        raise DataError(f"crop_scale = {value} is no positive number", where=model.cfg.path.parent / "model.toml")
    return float(value)
