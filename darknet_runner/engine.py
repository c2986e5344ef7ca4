"""The interface that both engines keep.

`builtin` trains and evaluates with PyTorch; `compiled` drives a Darknet binary. Both take the same
`TrainJob`, write the same run folder, and give the same `TrainResult`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from .builtin.recipe import Recipe
from .network.preprocessing import Preprocessing
from .reporting import Reporter
from .run.folder import RunDir


@dataclass(frozen=True)
class TrainJob:
    """What to train. The cfg is rendered already: it holds size, batch, max_batches, steps, anchors."""

    cfg: Path  # run cfg, in the run folder
    data: Path  # .data file
    run: RunDir
    pretrained: Path | None = None  # .weights, whole or a prefix
    clear: bool = False  # start counting `seen` at 0
    resume: bool = False  # go on from the run's last weights
    map_every: int | None = None  # batches between validations; None: one epoch, at least 100
    evaluate: bool = True  # validate (mAP or top-k) while training
    device: str = "auto"  # auto, cpu, cuda, cuda:N
    gpus: tuple[int, ...] = ()
    threads: int | None = None
    workers: int | None = None
    seed: int = 0
    reporter: Reporter = Reporter()
    # What Darknet has not, off by default; the built-in engine only.
    recipe: Recipe = Recipe()
    preprocessing: Preprocessing = Preprocessing()
    prior: float = (
        0.5  # objectness that a new detector begins with; 0.5 is Darknet's, 0.02 spares it the fall from there
    )
    amp: bool = False  # bfloat16 where it is safe
    cache_bytes: int = 2 << 30  # decoded pictures kept in memory
    watch: Callable[[int, dict[str, float]], bool] | None = (
        None  # told of each validation: (iteration, what was found); True gives the run up
    )


@dataclass(frozen=True)
class TrainResult:
    """How it ended: `verdict` is finished, interrupted or failed."""

    run: RunDir
    verdict: str
    iterations: int
    loss: float | None
    metric: float | None  # best mAP@0.5 (detector) or top-1 accuracy (classifier), 0..1
    reasons: tuple[str, ...] = ()


def exploded(loss: float, first: float | None) -> bool:
    """Whether a loss is a runaway, which never comes back: a thousand times the run's first one, and at least 1,000.

    first  None: there was none yet; a large detector may begin with 1,000
    """
    return loss >= 1000 * max(1000.0 if first is None else first, 1.0)


class Engine(Protocol):
    """One of `builtin.engine.BuiltinEngine` and `compiled.engine.CompiledEngine`."""

    name: str

    def cannot(self, job: TrainJob) -> list[str]:
        """Why this engine cannot do the job; empty when it can."""

    def check(self, job: TrainJob) -> None:
        """An EmoError when `train` would refuse the job."""

    def train(self, job: TrainJob) -> TrainResult: ...

    def evaluate(self, cfg: Path, data: Path, weights: Path, split: str = "valid", **options) -> dict:
        """mAP and AP per class (detector) or top-k (classifier), with the settings that made them."""

    def predict(
        self, cfg: Path, names: Sequence[str], weights: Path, images: Sequence[Path], *, conf: float = 0.25, **options
    ) -> list[dict]:
        """A dict a picture: `objects` of a detector or `scores` of a classifier; best first."""
