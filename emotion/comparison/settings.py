"""How systems are measured: what `emo evaluate` and `emo compare` have in common.

Settings(conf=0.5, limit=200).open("two-stage:yunet")
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from converters.errors import UsageError

from .foreign import open_contestant
from .tally import SCORE_FLOORS

FEWEST_REPLICATES = 100


@dataclass(frozen=True)
class Settings:
    """split  which of a labelled set's lists
    limit  only its first N pictures, or N frames of each medium
    conf   score below which a face is dropped
    iou    overlap above which NMS drops the weaker box
    face_model  the face finder of a two-stage system that names none
    square  the whole letter box goes through a YOLO, as Darknet does it, with its grey bars
    backend, device  what computes the networks, see `systems.open`
    replicates, seed  resamples of a labelled set, for 95% intervals; 0 for none
    """

    split: str = "valid"
    limit: int | None = None
    conf: float = 0.25
    iou: float = 0.45
    square: bool = False
    face_model: str | None = None
    backend: str = "auto"
    device: str = "auto"
    replicates: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        if 0 < self.replicates < FEWEST_REPLICATES:
            raise UsageError(
                f"--bootstrap {self.replicates} is too few for 95% intervals",
                mend=f"{FEWEST_REPLICATES} or more, 0 for none",
            )

    @property
    def opening(self) -> dict[str, Any]:
        """What a system is opened with, but for `conf`."""
        return {name: getattr(self, name) for name in ("face_model", "iou", "square", "backend", "device")}

    def open(self, spec: str) -> Any:
        """The system as a user would run it (see `systems.open.open_subject` and `foreign`)."""
        return open_contestant(spec, conf=self.conf, **self.opening)

    def open_weak(self, spec: str) -> Any:
        """The same, a detector down to the score that AP needs."""
        kind = spec.partition(":")[0].partition("@")[0]
        return open_contestant(spec, conf=SCORE_FLOORS.get(kind, SCORE_FLOORS["yolo"]), **self.opening)


USUAL = Settings()
