"""What a system says of one picture or frame: the picture, its faces, and the forms in which people want them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from converters.errors import MediaError, MissingExtra

from .systems.detections import Detections

if TYPE_CHECKING:
    import pandas
    import supervision


@dataclass(frozen=True)
class Face:
    """One face. Scores are in 0..1."""

    xyxy_px: tuple[float, float, float, float]  # left, top, right, bottom, in pixels of the picture
    emotion: str
    score: float  # how likely that emotion is, given that it is a face
    face_score: float  # how sure the system is that it is a face
    scores: dict[str, float]  # of every emotion
    track_id: int | None = None


@dataclass(frozen=True)
class Result:
    """The faces of one picture or frame, best first; N faces, C emotions.

    picture     (H, W, 3) uint8, BGR, as OpenCV has it
    names       the C emotions, in the order of the columns of `scores`
    detections  what the detector gave, see `emotion.systems.detections.Detections`
    index       of the frame in its source, from 0
    time_s      of the frame in its video, in seconds; None for a picture
    name        of the picture's file within its source; None for a frame or an array

    >>> import emotion
    >>> result = emotion.load("yolo")("group.jpg")
    >>> len(result), result.boxes_xyxy_px.shape, result.scores.shape
    (9, (9, 4), (9, 7))
    >>> result.emotions[0] in result.names
    True
    >>> result.plot().shape == result.picture.shape
    True
    """

    picture: np.ndarray
    names: tuple[str, ...]
    detections: Detections
    index: int = 0
    time_s: float | None = None
    name: str | None = None

    def __len__(self) -> int:
        return len(self.detections)

    def __iter__(self) -> Iterator[Face]:
        for index in range(len(self)):
            scores = dict(zip(self.names, map(float, self.scores[index])))
            x1, y1, x2, y2 = map(float, self.boxes_xyxy_px[index])
            track = None if self.track_ids is None else int(self.track_ids[index])
            emotion = self.emotions[index]
            yield Face((x1, y1, x2, y2), emotion, scores[emotion], float(self.face_scores[index]), scores, track)

    @property
    def boxes_xyxy_px(self) -> np.ndarray:
        """(N, 4) float32: left, top, right, bottom of each face, in pixels of the picture."""
        return self.detections.xyxy_px

    @property
    def emotions(self) -> list[str]:
        """The name of each face's likeliest emotion."""
        return [self.names[class_id] for class_id in self.detections.class_ids]

    @property
    def scores(self) -> np.ndarray:
        """(N, C) float32 in 0..1: how likely each emotion is, given that it is a face; columns as in `names`."""
        return self.detections.scores

    @property
    def face_scores(self) -> np.ndarray:
        """(N,) float32 in 0..1: how sure the system is that it is a face."""
        return self.detections.face

    @property
    def track_ids(self) -> np.ndarray | None:
        """(N,) int64: the number that a face keeps through a video; None when nothing was tracked."""
        return self.detections.track_ids

    def plot(self) -> np.ndarray:
        """(H, W, 3) uint8, BGR: a copy of the picture with boxes and emotions drawn in."""
        from .output.draw import draw

        return draw(self.picture, self.detections, self.names)

    def save(self, path: str | Path) -> None:
        """Write what `plot` gives; the ending decides the format. MediaError when it cannot be written."""
        from PIL import Image

        try:
            Image.fromarray(self.plot()[:, :, ::-1]).save(path)
        except (OSError, ValueError) as error:
            raise MediaError(f"cannot be written: {error}", where=path) from None

    def _repr_jpeg_(self) -> bytes:
        """A notebook shows the annotated picture."""
        import io

        from PIL import Image

        out = io.BytesIO()
        Image.fromarray(self.plot()[:, :, ::-1]).save(out, "JPEG", quality=85)
        return out.getvalue()

    def __repr__(self) -> str:
        height, width = self.picture.shape[:2]
        said = ", ".join(self.emotions) or "no face"
        return f"<Result {Path(self.name).name if self.name else f'frame {self.index}'}, {width}x{height}: {said}>"

    def as_dict(self) -> dict:
        """The record that `emo detect` writes into detections.jsonl, with each face's emotion by name."""
        from .output.sinks import faces_of

        height, width = self.picture.shape[:2]
        faces = [face | {"emotion": name} for face, name in zip(faces_of(self.detections), self.emotions)]
        return {
            "index": self.index,
            "time_s": self.time_s,
            "picture": self.name,
            "size_wh": [width, height],
            "faces": faces,
        }

    def to_frame(self) -> pandas.DataFrame:
        """A pandas table, one row a face: where from, box in pixels, emotion, scores. MissingExtra without pandas."""
        if find_spec("pandas") is None:
            raise MissingExtra("pandas", "pandas", "to_frame()")
        import pandas

        table = pandas.DataFrame(self.boxes_xyxy_px, columns=["x1_px", "y1_px", "x2_px", "y2_px"])
        table.insert(0, "name", self.name)
        table.insert(0, "time_s", self.time_s)
        table.insert(0, "index", self.index)
        table["track_id"] = [None] * len(self) if self.track_ids is None else self.track_ids
        table["emotion"], table["face_score"] = self.emotions, self.face_scores
        for column, name in enumerate(self.names):
            table[name] = self.scores[:, column]
        return table

    def to_supervision(self) -> supervision.Detections:
        """supervision's Detections: confidence is the face's score times its emotion's.

        MissingExtra without the package.
        """
        if find_spec("supervision") is None:
            raise MissingExtra("supervision", "supervision", "to_supervision()")
        import supervision

        ids = self.detections.class_ids
        return supervision.Detections(
            xyxy=self.boxes_xyxy_px.astype(float),
            confidence=self.detections.class_scores[np.arange(len(self)), ids],
            class_id=ids.astype(int),
            tracker_id=self.track_ids,
            data={"class_name": np.array(self.emotions, dtype=str)},
        )
