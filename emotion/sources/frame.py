"""Frame: one picture of whatever source."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Frame:
    """index from 0; time_s from the video's start, None for a picture; name the picture's, None in a video."""

    index: int
    time_s: float | None
    bgr: np.ndarray  # (H, W, 3) uint8
    name: str | None = None
