"""Sets that the converters' tests build."""

from __future__ import annotations

import zlib

import cv2
import numpy as np
import pytest

from converters.darknet_format.dataset import load

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
        (root / "emo.data").write_text(
            "".join(f"{k} = {v}\n" for k, v in ({"classes": len(names)} | options | {"names": "emo.names"}).items())
        )
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


@pytest.fixture
def affectnet(tmp_path):
    """An AffectNet folder: (name, {list: rows}, {picture: (w, h) or bytes or None}) -> its root.

    A row is (path, x, y, w, h, expression) or a raw line; a picture is a JPEG of noise, raw bytes, or not there.
    """

    def make(name, lists, pictures=None, header=True):
        root = tmp_path / name
        folder = root / "Manually_Annotated_Images"
        folder.mkdir(parents=True, exist_ok=True)
        named = {row[0]: (120, 100) for rows in lists.values() for row in rows if not isinstance(row, str)}
        for picture, what in (named | (pictures or {})).items():
            path = folder / picture
            if what is None or ".." in picture or picture.startswith("/"):
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(what, bytes):
                path.write_bytes(what)
            else:
                rng = np.random.default_rng(hash_of(picture))
                pixels = cv2.resize(rng.integers(0, 256, (6, 8, 3), np.uint8), what, interpolation=cv2.INTER_CUBIC)
                path.write_bytes(cv2.imencode(".png" if picture.endswith("png") else ".jpg", pixels)[1].tobytes())
        for file, rows in lists.items():
            lines = [
                "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal"
            ] * header
            lines += [
                row if isinstance(row, str) else "{},{},{},{},{},40;40;80;41;60;60;45;80;75;80,{},-2,-2".format(*row)
                for row in rows
            ]
            (root / file).write_text("".join(line + "\n" for line in lines))
        return root

    return make


@pytest.fixture
def shared():
    """The folder `shared` beside the repository; the test is skipped where there is none."""
    from pathlib import Path

    path = Path(__file__).resolve().parents[3] / "shared"
    if not path.is_dir():
        pytest.skip("needs the datasets in ../shared")
    return path


@pytest.fixture
def fer2013_csv(tmp_path):
    """count -> a fer2013.csv of that many different pictures, classes and usages in turn."""

    def make(count, name="fer2013.csv", header="emotion,pixels,Usage", rows=()):
        lines = [header]
        for i in range(count):
            pixels = np.random.default_rng(i).integers(0, 256, 48 * 48)
            lines.append(
                f"{i % 7},{' '.join(map(str, pixels))},{('Training', 'Training', 'PublicTest', 'PrivateTest')[i % 4]}"
            )
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join([*lines, *rows]) + "\n")
        return path

    return make
