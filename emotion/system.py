"""A system as a program uses it: pictures or a video in, a `Result` each out. `emotion.load` opens one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from converters.errors import MediaError

from .result import Result
from .systems.detections import Detections, Detector

if TYPE_CHECKING:
    from PIL.Image import Image


class System:
    """Finds faces and names their emotion.

    names     the emotions, in the order of the columns of `Result.scores`
    detector  what does the work, for `emotion.run_detection` and the like
    settings  what made the figures: model, thresholds, input size, backend

    >>> import emotion
    >>> system = emotion.load("yolo")
    >>> system.names
    ('Neutral', 'Happy', 'Sad', 'Surprise', 'Fear', 'Disgust', 'Anger')
    >>> [len(result) for result in system(["group.jpg", "group.jpg"])]
    [9, 9]
    >>> results = list(system.stream("video.mp4", track=True, limit=3))
    >>> [int(number) for number in results[-1].track_ids]
    [1]
    """

    def __init__(self, open_detector: Callable[[float], Detector], conf: float):
        """`open_detector(conf)` opens the detector; a tracker wants another one, which gives weaker faces too."""
        self._open, self.conf = open_detector, conf
        self.detector = open_detector(conf)
        self._weak: Detector | None = None

    @property
    def names(self) -> tuple[str, ...]:
        return self.detector.names

    @property
    def settings(self) -> dict:
        return self.detector.settings

    def with_least(self, conf: float) -> Detector:
        """The detector again, giving faces from `conf` on, as a tracker wants them; opened once."""
        if self._weak is None:
            self._weak = self._open(conf)
        return self._weak

    @overload
    def __call__(self, pictures: str | Path | np.ndarray | Image) -> Result: ...

    @overload
    def __call__(self, pictures: Iterable[str | Path | np.ndarray | Image]) -> list[Result]: ...

    def __call__(self, pictures: Any) -> Any:
        """One picture -> its Result; several -> a list of them.

        A picture is a path, a PIL picture, or an array: (H, W, 3) uint8 in OpenCV's order BGR, (H, W, 4) BGRA, or (H,
        W) grey. MediaError for what is none of these or cannot be read. A folder or a video goes to `stream`.
        """
        one = isinstance(pictures, (str, Path, np.ndarray)) or hasattr(pictures, "convert")
        if not one and (isinstance(pictures, (bytes, Mapping)) or not isinstance(pictures, Iterable)):
            as_bgr(pictures)  # which says what it is
        wanted = [pictures] if one else list(pictures)
        results = [self._look(index, picture) for index, picture in enumerate(wanted)]
        return results[0] if one else results

    def _look(self, index: int, picture: Any) -> Result:
        bgr = as_bgr(picture)
        (found,) = self.detector.detect([bgr])
        return Result(bgr, self.names, found, index, name=str(picture) if isinstance(picture, (str, Path)) else None)

    def stream(
        self, source: str | Path, *, track: bool = False, smooth: float = 0.5, limit: int | None = None
    ) -> Iterator[Result]:
        """A Result a frame or picture, in order; frames are read as they are wanted, however long the source is.

        source  a picture, a folder, a list file, a video, a camera (camera, camera:1) or a stream (rtsp://...,
                http://...)
        track   number the faces of a video, follow them and smooth their scores over `smooth` seconds
        limit   only the first so many frames or pictures
        MediaError for a source that cannot be read to its end, after what came before.
        """
        from .run_detection import stream
        from .sources.open import open_source
        from .systems.tracking import Tracker

        opened = open_source(source, limit)
        if track and opened.kind != "video":
            raise MediaError(
                "pictures are not a video in which faces could be tracked", where=source, mend="leave track=True out"
            )
        tracker = Tracker(self.conf, smooth) if track else None
        detector = self.with_least(tracker.low) if tracker else self.detector
        with closing(stream(opened, detector, opened.live)) as frames:
            for frame, found in frames:
                assert found is not None  # None is for frames that `every` passes over
                seen: Detections = tracker.update(found, frame.time_s or 0.0, frame.bgr) if tracker else found
                yield Result(frame.bgr, self.names, seen, frame.index, frame.time_s, frame.name)

    def __repr__(self) -> str:
        return f"<System {self.detector.name}: {', '.join(self.names)}>"


def as_bgr(picture: Any) -> np.ndarray:
    """A path, PIL picture or array -> (H, W, 3) uint8 BGR, upright.

    MediaError when it is none of them or cannot be read.
    """
    if isinstance(picture, (str, Path)):
        from .sources.pictures import read_picture

        path = Path(picture)
        if path.is_dir():
            raise MediaError(
                "is a folder, not a picture", where=path, mend="system.stream(folder) takes folders and videos"
            )
        try:
            return read_picture(path)
        except MediaError as error:
            if path.is_file() and not error.mend:
                error = MediaError(error.what, where=path, mend="system.stream(path) takes videos and folders")
            raise error from None
    if hasattr(picture, "convert"):  # PIL's, which need not be installed for that
        from converters.images import pixels_of

        return pixels_of(picture)
    if not isinstance(picture, np.ndarray):
        raise MediaError(
            f"{picture!r:.60} ({type(picture).__name__}) is not a picture",
            mend="a path, a PIL picture, or an array (H, W, 3) of uint8 in the order BGR",
        )
    shape = picture.shape
    if (
        picture.dtype != np.uint8
        or not picture.size
        or not (picture.ndim == 2 or (picture.ndim == 3 and shape[2] in (1, 3, 4)))
    ):
        raise MediaError(
            f"an array {shape} of {picture.dtype} is not a picture",
            mend=(
                "(H, W, 3) of uint8 in the order BGR, (H, W, 4), or (H, W) for grey; 0..1 times 255, then "
                "astype(numpy.uint8)"
            ),
        )
    if picture.ndim == 2 or shape[2] == 1:
        return np.repeat(picture.reshape(*shape[:2], 1), 3, axis=2)
    return np.ascontiguousarray(picture[:, :, :3])
