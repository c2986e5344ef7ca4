"""What a classifier wants done to a face before it looks, as its card (`model.toml`, `[preprocessing]`) says.

wanted = Preprocessing.beside("runs/emonet-001/model.cfg")
blob = wanted.blob(bgr_pictures, (48, 48), channels=1)       # (B, 1, 48, 48) float32
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from converters import settings_files
from converters.errors import DataError


@dataclass(frozen=True)
class Preprocessing:
    """crop_from     pictures are resized to this side first, then the network's input is cut from the middle
    standardise   each picture less its mean, over its deviation
    crop_scale    side of the square crop, over the longer side of a face's box
    """

    crop_from: int | None = None
    standardise: bool = False
    crop_scale: float = 1.0

    @classmethod
    def of_card(cls, card: dict, where: Path | None = None) -> Preprocessing:
        """Of a card's table; DataError for values that are none."""
        table = card.get("preprocessing", {})
        if not isinstance(table, dict):
            raise DataError("[preprocessing] is not a table", where=where)
        found = cls(table.get("crop_from"), table.get("standardise", False), table.get("crop_scale", 1.0))
        number = lambda value: (
            isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value) and value > 0
        )
        if not number(found.crop_scale):
            raise DataError(f"crop_scale = {found.crop_scale} is not a positive number", where=where)
        if found.crop_from is not None and not (number(found.crop_from) and isinstance(found.crop_from, int)):
            raise DataError(f"crop_from = {found.crop_from} is not a number of pixels", where=where)
        if not isinstance(found.standardise, bool):
            raise DataError(f"standardise = {found.standardise} is neither true nor false", where=where)
        return found

    @classmethod
    def beside(cls, cfg: str | Path) -> Preprocessing:
        """Of the card in the cfg's folder; the plain one where there is no card."""
        path = Path(cfg).parent / "model.toml"
        return cls.of_card(settings_files.read_toml(path), path) if path.is_file() else cls()

    def before_cut(self, size_wh: tuple[int, int]) -> tuple[int, int]:
        """The size that a picture is resized to; the network's own where nothing is cut."""
        if self.crop_from is None:
            return size_wh
        return max(self.crop_from, size_wh[0]), max(self.crop_from, size_wh[1])

    def finished(self, planes: np.ndarray, size_wh: tuple[int, int]) -> np.ndarray:
        """(B, C, H, W) float32 in 0..1 of the size `before_cut` -> what the network takes (B, C, h, w)."""
        width, height = size_wh
        left, top = (planes.shape[3] - width) // 2, (planes.shape[2] - height) // 2
        planes = planes[:, :, top : top + height, left : left + width]
        if self.standardise and len(planes):
            mean = planes.mean((1, 2, 3), keepdims=True, dtype=np.float64)
            planes = (
                (planes - mean) / np.maximum(planes.std((1, 2, 3), keepdims=True, dtype=np.float64), 1e-6)
            ).astype(np.float32)
        return np.ascontiguousarray(planes)

    def blob(self, pictures: Sequence[np.ndarray], size_wh: tuple[int, int], channels: int) -> np.ndarray:
        """BGR uint8 pictures, each of its own size -> (B, C, h, w) float32. Stretched, as Darknet resizes."""
        from .resize import blob

        return self.finished(blob(pictures, self.before_cut(size_wh), channels), size_wh)

    def told(self) -> dict:
        """The card's table: what differs from the plain one."""
        plain = Preprocessing()
        return {key: value for key, value in vars(self).items() if value != getattr(plain, key)}
