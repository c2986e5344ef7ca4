"""Whether what an HDF5 file holds lies in that file.

elsewhere(file["images"], file) -> None, or the name of the file that its numbers lie in
"""

from __future__ import annotations

from typing import Any


def elsewhere(data: Any, file: Any) -> str | None:
    """The other file that a dataset's numbers would be read from; None when they lie in `file`, an open h5py.File.

    HDF5 can point to other files in three ways: external links, raw external storage (any bytes, such as a password
    file's, read as pixels) and virtual datasets. A file from somebody else must not make emo read others.
    """
    if data.file.filename != file.filename:
        return str(data.file.filename)
    if data.external:
        return str(data.external[0][0])
    others = [one.file_name for one in data.virtual_sources()] if data.is_virtual else []
    return next((str(name) for name in others if name not in (".", file.filename)), None)
