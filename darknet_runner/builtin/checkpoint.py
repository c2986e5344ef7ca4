"""What a run saves so that going on is exact: weights that any Darknet reads, and beside them all the rest of one
moment.

`state.pt` holds the network itself, the optimizer, averages and progress of one moment, and is renamed into place
before the weights: a kill between the two leaves a state that is newer than the weights and whole, from which the best
weights are written again when it is their moment. Weights that are newer than the state were made by another engine
since; then they are gone on with.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

import torch

from converters.errors import RunError

from ..network import weights_file

if TYPE_CHECKING:
    from .train import Trainer


MEND = "delete it to go on from the last weights, with a fresh optimizer"


@dataclass
class Progress:
    """Where a run stands; saved with it, so that resuming is exact."""

    iteration: int = 0
    average: float | None = None  # Darknet's: 0.9 old + 0.1 new
    first_loss: float | None = None
    best: float | None = None
    stale: int = 0  # validations since the best
    history: list = field(default_factory=list)  # (iteration, what is monitored)
    rate_factor: float = 1.0  # of the schedule's rate; falls on plateaus
    plateau: int = 0  # validations since the best or the last fall of the rate
    epoch_loss: list = field(
        default_factory=lambda: [0.0, 0, 0]
    )  # since the last validation: loss, pictures right, pictures


def save(trainer: Trainer, *tags) -> None:
    """Write the weights under each tag, and with `last` the state before them."""
    if trainer.rank:
        return
    if "last" in tags:
        state = {
            "progress": asdict(trainer.progress),
            "optimizer": trainer.optimizer.state_dict(),
            "raw": trainer.network.state_dict(),
            "batch": trainer.batch,
        }
        if trainer.ema:
            state["ema"] = trainer.ema
        temporary = trainer.state_file.with_suffix(".part")
        try:
            torch.save(state, temporary)
            temporary.replace(trainer.state_file)
        except (OSError, RuntimeError) as error:  # torch's writer says RuntimeError of a full disk
            temporary.unlink(missing_ok=True)
            raise RunError(
                f"cannot be written: {getattr(error, 'strerror', None) or str(error).splitlines()[0]}",
                where=trainer.state_file,
                mend="is the disk full?",
            ) from None
    with (
        trainer.averaged()
    ):  # the arrays are the network's own memory: they must be written before it has the raw weights back
        arrays = trainer.network.arrays()
        for tag in tags:
            weights_file.write(trainer.cfg, trainer.job.run.weights_file(tag), arrays, trainer.seen)


def resume(trainer: Trainer) -> None:
    """Go on from the run's last moment; RunError for a state that cannot be read or is of another network."""
    found = weights_file.read(trainer.cfg, trainer.job.run.weights_file("last"))
    iteration = found.seen // trainer.batch
    state = _state(trainer)
    if state is None or state["progress"]["iteration"] * state.get("batch", trainer.batch) < found.seen:
        trainer.network.load(found)
        if state is not None:
            trainer.progress = Progress(
                **state["progress"] | {"iteration": iteration}
            )  # the best so far stays the best
            trainer.job.reporter.warn(
                f"the weights are newer ({iteration}) than {trainer.state_file.name}: the optimizer starts again"
            )
        trainer.progress.iteration = iteration
    else:
        _take(trainer, state)


def mend(trainer: Trainer) -> None:
    """Before a resumed run goes on: what a kill left of its files becomes that of the state's moment."""
    if trainer.rank:
        return
    progress, run = trainer.progress, trainer.job.run
    now = progress.history[-1:] == [(progress.iteration, progress.best)] and progress.stale == 0
    best = run.weights_file("best")
    if now and not (best.is_file() and weights_file.header_bytes(best)[1] == trainer.seen):
        save(trainer, "best")
    run.trim_metrics(progress.iteration)


def _take(trainer: Trainer, state: dict) -> None:
    """The state's network, optimizer and progress; RunError when they are not of this run's cfg and recipe."""
    try:
        own, other = (part["param_groups"] for part in (trainer.optimizer.state_dict(), state["optimizer"]))
        if [group.keys() for group in own] != [group.keys() for group in other]:
            raise ValueError("another optimizer")
        trainer.network.load_state_dict(state["raw"])
        trainer.optimizer.load_state_dict(state["optimizer"])
        ema = state.get("ema", {})
        if ema and {key: value.shape for key, value in ema.items()} != {
            key: value.shape for key, value in state["raw"].items()
        }:
            raise ValueError("an average of another network")
    except (RuntimeError, ValueError, KeyError, TypeError, AttributeError):
        raise RunError(
            "is of another network or optimizer than this run's cfg and recipe", where=trainer.state_file, mend=MEND
        ) from None
    trainer.progress, trainer.ema = Progress(**state["progress"]), ema


def _state(trainer) -> dict | None:
    path = trainer.state_file
    if not path.is_file():
        return None  # another engine's run
    try:
        state = torch.load(path, map_location=trainer.device, weights_only=True)
        told = Progress(**state["progress"])
        known = {"optimizer", "raw"} <= state.keys() and all(
            isinstance(value, int) for value in (told.iteration, told.stale, state.get("batch", 1))
        )
    except (KeyError, AttributeError):
        known = False
    except Exception as error:  # torch's unpickler raises what it likes
        raise RunError(f"cannot be read, it is damaged ({type(error).__name__})", where=path, mend=MEND) from None
    if not known:
        raise RunError("is not the state of a run that this version of emo can go on from", where=path, mend=MEND)
    return state
