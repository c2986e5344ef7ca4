"""Crops of faces -> probabilities of each emotion, with a Darknet classifier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from .backends import Backend, OpenCVBackend
from .models import Model

BATCH = 64  # crops in one forward pass; bounds the memory a crowd takes


class Classifier:
    """A Darknet classifier: crops -> class probabilities, each crop prepared as the model's card says.

    crop_scale  side of the crop it has learned to expect, over the longer side of a face's box
    """

    def __init__(self, model: Model, backend: Backend | None = None):
        self.model, self.names = model, model.names
        self.backend = backend or OpenCVBackend(model)
        self.preprocessing = model.preprocessing
        self.crop_scale = float(self.preprocessing.crop_scale)

    def classify(self, crops: Sequence[np.ndarray], cut: bool = True) -> np.ndarray:
        """BGR uint8 crops, each of its own size -> (N, C) probabilities. Stretched, as Darknet resizes.

        cut=False: crops are what is left after the card's `crop_from`, such as one of ten cuts.
        """
        cfg, out = self.model.cfg, [np.zeros((0, len(self.names)), np.float32)]
        wanted = self.preprocessing if cut else replace(self.preprocessing, crop_from=None)
        for start in range(0, len(crops), BATCH):
            out += self.backend.forward(
                wanted.blob(crops[start : start + BATCH], cfg.size_wh, cfg.net.integer("channels", 3))
            )
        return np.concatenate(out)
