"""Pictures written from pixels: always PNG, lossless, the same bytes for the same pixels."""

from __future__ import annotations

import numpy as np

from ..errors import MediaError


def write_png(path: str, pixels: np.ndarray) -> None:
    """Write uint8 (H, W) grey or (H, W, 3) BGR pixels; MediaError when the disk refuses."""
    import cv2

    done, data = cv2.imencode(".png", pixels)  # a compression level would also change the strategy, for a slower one
    if not done:
        raise MediaError(f"an array of shape {pixels.shape} cannot be written as PNG", where=path)
    with open(path, "wb") as file:
        file.write(data.data)
