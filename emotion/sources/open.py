"""Sources: a picture, a folder, a list file, a video, a camera or a stream -> frames, one at a time.

    source = open_source("video.mp4")
    for frame in source: frame.index, frame.time_s, frame.bgr

Pictures are turned upright as EXIF says, video as its rotation metadata says; boxes are in the pixels of
what is seen. A frame's time is the video's own timestamp, so a variable frame rate is kept.
"""

from __future__ import annotations

import os
from pathlib import Path

from converters.darknet_format.files import read_list
from converters.errors import MediaError
from converters.image_formats import PICTURE_SUFFIXES, format_of, is_animated, pictures_in

from .animation import Animation
from .live import Live, is_live
from .pictures import Pictures, counted
from .video import Video

Source = Pictures | Video | Animation | Live
LISTS = {".txt", ".list", ".lst"}
PLAYED: dict[str, type[Video | Animation]] = {
    "GIF": Video,
    "PNG": Video,
    "WEBP": Animation,
    "AVIF": Animation,
}  # formats of pictures that may move
JPEGS = {".mjpeg", ".mjpg"}  # one picture after the other: only the name tells


def open_source(path: str | Path, limit: int | None = None) -> Source:
    """The source that `path` is, by its kind: a folder (searched through), a list file, a picture, a video; or a camera
    (camera, camera:1, 1) or the URL of a stream.

    Pictures are known by their content, whatever they are called; a folder's other files are counted (`passed_over`).
    An animated GIF, PNG, WebP or AVIF is a video; in a folder or list it is a picture, its first frame.

    MediaError when there is no such path, or when it cannot be opened or has nothing.
    """
    if not isinstance(path, (str, Path)):
        raise MediaError(
            f"{path!r:.60} ({type(path).__name__}) is not the name of a source",
            mend="a path, camera, or a stream's URL; pictures in memory go to emotion.load(...)(picture)",
        )
    if is_live(str(path)):
        return Live(str(path), limit)
    path = Path(path)
    if path.is_dir():
        found = pictures_in(path)
        if not found.paths:
            raise MediaError(
                f"has no pictures{', only ' + counted(found.others) if found.others else ''}",
                where=path,
                mend="they are known by their content, whatever they are called",
            )
        files = sorted(Path(os.path.relpath(file, path)) for file in found.paths)
        return Pictures(path, [(str(name), path / name) for name in files], "folder", limit, found.others)
    if not path.exists():
        raise MediaError("no such file or folder", where=path)
    if not path.is_file():
        raise MediaError("is neither a file nor a folder", where=path)
    if path.stat().st_size == 0:
        raise MediaError("is empty: zero bytes", where=path)
    suffix, form = path.suffix.lower(), format_of(path)
    if suffix in LISTS and not form:
        files = read_list(path)
        digits = len(str(len(files)))
        return Pictures(
            path, [(f"{index:0{digits}d}-{file.name}", file) for index, file in enumerate(files)], "list", limit
        )
    if form in PLAYED and suffix not in JPEGS and is_animated(path):
        return PLAYED[form](path, limit)
    if (form or suffix in PICTURE_SUFFIXES) and suffix not in JPEGS:
        return Pictures(path, [(path.name, path)], "picture", limit)
    return Video(path, limit)
