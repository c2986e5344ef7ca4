"""Picture files -> frames, turned upright as EXIF says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from converters import images
from converters.errors import MediaError

from ..systems.backends import quiet_opencv
from .containers import facts
from .frame import Frame


class Pictures:
    """Picture files, in the order given. `skip(error)`, when set, is told of those that cannot be read.

    `passed_over` counts, by their kind, the files of a folder that are not pictures.
    """

    kind, fps, live, exact = "pictures", None, False, True

    def __init__(
        self,
        path: Path,
        files: list[tuple[str, Path]],
        kind: str,
        limit: int | None = None,
        passed_over: Counter[str] | None = None,
    ):
        self.path, self.kind, self.files, self.passed_over = path, kind, files[:limit], passed_over or Counter()
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
    if info.format == "GIF" and facts(path).cut:
        raise MediaError("the GIF ends before its end-of-file marker", where=path)
    quiet_opencv()
    return images.decode(path, upright=upright)


def counted(others: Counter[str]) -> str:
    """`3 .mp4, 1 README`: the most frequent kinds first."""
    return ", ".join(f"{count} {kind}" for kind, count in sorted(others.items(), key=lambda item: (-item[1], item[0])))
