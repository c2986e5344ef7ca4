"""Test-time augmentation: several views of a picture are classified, and their probabilities averaged.

In: equal-sized uint8 pictures (N, H, W, C), and anything that gives probabilities for pictures. Out: (N, classes).
`tencrop` looks at four corners and the middle, each also mirrored (Krizhevsky et al. 2012); `random_views` at the
picture itself and at versions of it that are mirrored, turned, zoomed and moved a little. The views of a picture
depend on the seed and on its number in the set, so neither the batch size nor a --limit changes them.

    probabilities = averaged(classifier.classify, ten_crops(pictures))
    probabilities = averaged(classifier.classify, random_views(pictures, 8, seed=0, first=0))
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np

from ..systems.classifier import Classifier

CROP_SHARE = 44 / 48  # of a side: 44 of FER2013's 48 pixels
TURN, ZOOM, MOVE = 10.0, 0.08, 0.06  # degrees; share of the size; share of a side


def ten_crops(pictures: np.ndarray, share: float = CROP_SHARE) -> np.ndarray:
    """(N, H, W, C) -> (N, 10, h, w, C), h and w being `share` of the sides: corners, middle, and the same mirrored."""
    height, width = pictures.shape[1:3]
    h, w = max(1, round(share * height)), max(1, round(share * width))
    down, right = height - h, width - w
    places = ((0, 0), (0, right), (down, 0), (down, right), (down // 2, right // 2))
    crops = np.stack([pictures[:, y : y + h, x : x + w] for y, x in places], 1)
    return np.concatenate([crops, crops[:, :, :, ::-1]], 1)


def random_views(pictures: np.ndarray, views: int, seed: int = 0, first: int = 0) -> np.ndarray:
    """(N, H, W, C) -> (N, views, H, W, C): the pictures themselves, then changed ones; nearest pixels fill the edge.

    first  the number in the set of the first picture here
    """
    import cv2

    count, height, width = pictures.shape[:3]
    out = np.empty((count, views, *pictures.shape[1:]), np.uint8)
    for index, picture in enumerate(pictures):
        rng = np.random.default_rng((seed, first + index))
        out[index, 0] = picture
        for view in range(1, views):
            turn, zoom = rng.uniform(-TURN, TURN), 1 + rng.uniform(-ZOOM, ZOOM)
            move = rng.uniform(-MOVE, MOVE, 2) * (width, height)
            matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), turn, zoom)
            matrix[:, 2] += move
            changed = cv2.warpAffine(
                picture, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
            )
            changed = changed.reshape(picture.shape)  # cv2 drops the axis of a single channel
            out[index, view] = changed[:, ::-1] if rng.random() < 0.5 else changed
    return out


def averaged(classify: Callable[[Sequence[np.ndarray]], np.ndarray], views: np.ndarray) -> np.ndarray:
    """(N, V, h, w, C) views -> (N, classes): the mean of what `classify` says of each picture's views."""
    count, each = views.shape[:2]
    probabilities = np.asarray(classify(list(np.ascontiguousarray(views.reshape(-1, *views.shape[2:])))))
    return probabilities.reshape(count, each, -1).mean(1)


def by_shape(pictures: Iterable[np.ndarray], most: int = 256) -> Iterable[tuple[int, np.ndarray]]:
    """Pictures one after another -> (number of the first, (N, H, W, C)) for each run of equal size, `most` at a
    time.
    """
    first = 0
    held: list[np.ndarray] = []
    for picture in pictures:
        if held and (picture.shape != held[0].shape or len(held) == most):
            yield first, np.stack(held)
            first, held = first + len(held), []
        held.append(picture)
    if held:
        yield first, np.stack(held)


class AugmentedClassifier:
    """A classifier that looks at several views of each crop; stands wherever the plain one does.

    tta  `tencrop`, or how many random views
    """

    def __init__(self, classifier: Any, tta: str | int, seed: int = 0):
        self.classifier, self.tta, self.seed, self.seen = classifier, tta, seed, 0
        # Ten cuts are what a card's `crop_from` would leave: nothing more is cut from them.
        self.look = (
            partial(classifier.classify, cut=False)
            if tta == "tencrop" and isinstance(classifier, Classifier)
            else classifier.classify
        )
        self.model, self.names, self.backend, self.crop_scale = (
            classifier.model,
            classifier.names,
            classifier.backend,
            classifier.crop_scale,
        )

    def classify(self, crops: Sequence[np.ndarray]) -> np.ndarray:
        """BGR uint8 crops, each of its own size -> (N, C) probabilities. Crops are numbered through over all calls."""
        out = [np.zeros((0, len(self.names)), np.float32)]
        for first, pictures in by_shape(crops):
            views = (
                ten_crops(pictures)
                if self.tta == "tencrop"
                else random_views(pictures, int(self.tta), self.seed, self.seen + first)
            )
            out.append(averaged(self.look, views).astype(np.float32))
        self.seen += len(crops)
        return np.concatenate(out)
