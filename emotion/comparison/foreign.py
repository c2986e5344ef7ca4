"""Results of other programs as a system: `file:RESULTS[+COCO]`, beside those that emo runs itself.

    file:found/detections.jsonl      what emo detect wrote; detections.csv and coco.json too
    file:results.json+instances.json a list of COCO results, with the COCO file that their ids are of
    file:detect-out                  a folder that emo detect wrote, of one source or of several

`sources.results` says which forms are known and how pictures and frames are found.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from converters.emotions import EMOTIONS
from converters.errors import DataError

from ..sources import results
from ..sources.frame import Frame
from ..systems.detections import Detections
from ..systems.open import SystemSettings, open_subject
from ..systems.stage_timer import StageTimer


def open_contestant(spec: str, *, conf: float = 0.25, **settings: Any) -> Any:
    """`open_subject`, or a FileSystem."""
    if spec.startswith("file:"):
        return FileSystem(spec[5:], conf)
    return open_subject(spec, SystemSettings(conf=conf, **settings))


class FileSystem:
    """Detections read from a file; `of_frame` gives those of a frame that are at least `conf` sure."""

    name = "file"

    def __init__(self, spec: str, conf: float = 0.25):
        path, _, coco = spec.partition("+")
        self.results = results.read(path, coco or None, EMOTIONS)
        self.names, self.check = self.results.names, self.results.check
        self.conf, self.clock, self.met = conf, StageTimer(), 0
        self.settings = {"system": "file", "file": path, "coco": coco or None, "conf": conf}

    def of_frame(self, frame: Frame) -> Detections:
        with self.clock("look up"):
            found = self.results.of(frame)
            self.met += self.results.has(frame)
            found = found.take(found.face >= self.conf)
            named = np.ptp(found.scores, axis=1, keepdims=True) > 0  # a face whose emotion is not told has all alike
            return replace(found, scores=np.where(named, found.scores, 0).astype(np.float32))

    def check_met(self, frame: str | None) -> None:
        """DataError when it was asked for pictures or frames, and knew none of them."""
        if not self.met:
            raise DataError(
                f"has none of what is compared, such as {frame}; it names {self.results.example}",
                where=self.results.path,
                mend="compare on what it was made on; pictures are found by their file's name",
            )
