"""Sets that the converters' tests build."""

from __future__ import annotations

import zlib

import cv2
import numpy as np
import pytest

from converters.darknetset import load

NAMES = ("Neutral", "Happy", "Sad", "Surprise", "Fear", "Disgust", "Anger")


@pytest.fixture
def noise():
    """seed -> (48, 64, 3) uint8: smooth noise, of which no two look alike."""

    def make(seed, size_wh=(64, 48)):
        small = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
        return cv2.resize(small, size_wh, interpolation=cv2.INTER_CUBIC)

    return make


@pytest.fixture
def darknet_set(tmp_path, noise):
    """A detector set: (name, {split: {picture: label text or None}}, groups=...) -> its folder. Pictures are noise."""

    def make(name, splits, names=NAMES, groups=None):
        root = tmp_path / name
        options, rows = {}, []
        for split, pictures in splits.items():
            for number, (picture, label) in enumerate(pictures.items()):
                path = root / split / picture
                path.parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(path), noise(hash_of(name, split, number)))
                if label is not None:
                    path.with_suffix(".txt").write_text(label)
                group = (groups or {}).get(picture, f"{split}-{picture}")
                rows.append(f"{split}/{picture},{split},{group}\n")
            (root / f"{split}.txt").write_text("".join(f"{root}/{split}/{picture}\n" for picture in pictures))
            options[split] = f"{split}.txt"
        (root / "emo.names").write_text("".join(f"{name}\n" for name in names))
        (root / "emo.data").write_text("".join(f"{k} = {v}\n" for k, v in ({"classes": len(names)} | options | {"names": "emo.names"}).items()))
        if groups is not None:
            (root / "manifest.csv").write_text("image,split,group\n" + "".join(rows))
        return root

    return make


def hash_of(*parts) -> int:
    return zlib.crc32("/".join(map(str, parts)).encode())


@pytest.fixture
def loaded(darknet_set):
    """As `darknet_set`, and loaded."""
    return lambda *args, **settings: load(darknet_set(*args, **settings))
