"""A picture that came over the network: its bytes come in, BGR pixels go out, by the one reader of pictures."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from converters.errors import MediaError

from ..sources.pictures import read_picture


def decode(body: bytes) -> np.ndarray:
    """(H, W, 3) uint8 BGR, turned upright; MediaError when it is not a picture, damaged, or of too many pixels."""
    with tempfile.NamedTemporaryFile(prefix="emo-serve-") as file:
        file.write(body)
        file.flush()
        try:
            return read_picture(Path(file.name))
        except MediaError as error:
            raise MediaError(error.what, where="the picture") from None
