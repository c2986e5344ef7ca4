"""The interface that both engines keep.

`builtin` trains and evaluates with PyTorch; `compiled` drives a Darknet binary. Both take the same
`TrainJob`, write the same run folder, and give the same `TrainResult`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from converters.errors import RunError

from .rundir import RunDir

if TYPE_CHECKING:
    from .compiled.engine import CompiledEngine
    from .compiled.training import Settings


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
    quiet: bool = False
    # What Darknet has not, off by default; the built-in engine only.
    freeze_until: str | None = None  # a layer, by number or type: those before it do not learn (`builtin.freezing.layer_named`)
    optimizer: str = "sgd"  # sgd (Darknet's), adamw
    ema: float = 0.0  # decay of the averaged weights, which are then what is validated and saved; 0: none
    clip: float = 0.0  # largest norm of the gradient; 0: none
    prior: float = 0.5  # objectness that a new detector begins with; 0.5 is Darknet's, 0.02 spares it the fall from there
    amp: bool = False  # bfloat16 where it is safe, on CUDA
    patience: int = 0  # stop after this many validations without a better metric; 0: never
    cache_bytes: int = 2 << 30  # decoded pictures kept in memory


@dataclass(frozen=True)
class TrainResult:
    """How it ended: `verdict` is finished, interrupted or failed."""

    run: RunDir
    verdict: str
    iterations: int
    loss: float | None
    metric: float | None  # best mAP@0.5 (detector) or top-1 accuracy (classifier), 0..1
    reasons: tuple[str, ...] = ()


class Engine(Protocol):
    """One of `builtin.BuiltinEngine` and `compiled.CompiledEngine`."""

    name: str

    def cannot(self, job: TrainJob) -> list[str]:
        """Why this engine cannot do the job; empty when it can."""

    def train(self, job: TrainJob) -> TrainResult: ...

    def evaluate(self, cfg: Path, data: Path, weights: Path, split: str = "valid", **options) -> dict:
        """mAP and AP per class (detector) or top-k (classifier), with the settings that made them."""

    def predict(self, cfg: Path, names: Sequence[str], weights: Path, images: Sequence[Path], *, conf: float = 0.25, **options) -> list[dict]:
        """A dict a picture: `objects` of a detector or `scores` of a classifier; best first."""


def choose(wanted: str, ask: Callable[[CompiledEngine], tuple[list[str], list[str]]], *, darknet: str | Path | None = None,
           settings: Settings | None = None, torch: bool = True) -> tuple[Engine, str]:  # fmt: skip
    """The engine for a job, and one line that says which and why.

    wanted   auto, builtin or compiled
    ask      why a compiled engine cannot do the job, and why it would rather not: `engine.judge(job)` and the like
    darknet  the binary; default: see `compiled.binary.find`
    torch    whether the built-in engine needs PyTorch for this job

    `auto` takes a binary that can do the whole job, else the built-in engine, else a binary that would
    rather not. RunError when none can.
    """
    from .builtin import BuiltinEngine
    from .compiled import binary as binaries
    from .compiled.engine import CompiledEngine

    if wanted == "builtin":
        return BuiltinEngine(), "the built-in engine, as asked"
    path = binaries.find(darknet)
    if path is None:
        if wanted == "compiled":
            raise RunError("no Darknet binary was found", mend=binaries.where_to_get())
        return BuiltinEngine(), "the built-in engine: no Darknet binary was found"
    try:
        engine = CompiledEngine(path, *([settings] if settings else []))
        cannot, rather_not = ask(engine)
    except RunError:
        if wanted == "compiled" or darknet:
            raise
        return BuiltinEngine(), f"the built-in engine: {path} is no Darknet that emo knows"
    if wanted == "compiled":
        if cannot:
            raise RunError("; ".join(cannot), where=path, mend="--engine builtin" if torch else None)
        return engine, f"{engine.binary.summary()}, as asked"
    if not cannot and not rather_not:
        return engine, f"{engine.binary.summary()}: it can do the whole job"
    why = "; ".join(cannot or rather_not)
    if torch and find_spec("torch") is None:
        if cannot:
            raise RunError(why, where=path, mend="or install the built-in engine: pip install 'emo[train]'")
        return engine, f"{engine.binary.summary()}: PyTorch, for the built-in engine, is not installed"
    return BuiltinEngine(), f"the built-in engine: {why}"
