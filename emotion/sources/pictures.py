"""Picture files -> frames, turned upright as EXIF says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from converters import images
from converters.errors import MediaError

from ..systems.backends import quiet_opencv
from .frame import Frame

PICTURES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pnm", ".gif", ".jp2"}


class Pictures:
    """Picture files, in the order given. `skip(error)`, when set, is told of those that cannot be read."""

    kind, fps, live = "pictures", None, False

    def __init__(self, path: Path, files: list[tuple[str, Path]], kind: str, limit: int | None = None):
        self.path, self.kind, self.files = path, kind, files[:limit]
        self.skip: Callable[[MediaError], None] | None = None

    @property
    def count(self) -> int:
        return len(self.files)

    def __iter__(self) -> Iterator[Frame]:
        for index, (name, file) in enumerate(self.files):
            try:
                yield Frame(index, None, read_picture(file), name)
            except MediaError as error:
                if self.skip is None:
                    raise
                self.skip(error)


def read_picture(path: Path, upright: bool = True) -> np.ndarray:
    """(H, W, 3) uint8 BGR; MediaError when the file is missing, empty, cut or no picture."""
    info = images.probe(path)
    if info.problem:
        raise MediaError(info.detail, where=path)
    quiet_opencv()
    return images.decode(path, upright=upright)


def folder_pictures(folder: Path) -> list[Path]:
    """The pictures in a folder and its subfolders, sorted; hidden files and folders are left out."""
    found = (path for path in folder.rglob("*") if path.suffix.lower() in PICTURES and path.is_file())
    return sorted(path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts))
