"""A job -> the engine that does it: a Darknet binary that can, else the built-in one, and why."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from converters.errors import RunError, install

from .builtin.engine import BuiltinEngine
from .compiled import binary as binaries
from .compiled.engine import CompiledEngine
from .compiled.training import BinarySettings
from .engine import Engine


def choose_engine(
    wanted: str,
    ask: Callable[[CompiledEngine], tuple[list[str], list[str]]],
    *,
    darknet: str | Path | None = None,
    settings: BinarySettings | None = None,
    torch: bool = True,
) -> tuple[Engine, str]:
    """The engine for a job, and one line that says which and why.

    wanted   auto, builtin or compiled
    ask      why a compiled engine cannot do the job, and why it would rather not: `engine.judge(job)` and the like
    darknet  the binary; default: see `compiled.binary.find`
    torch    whether the built-in engine needs PyTorch for this job

    `auto` takes a binary that can do the whole job, else the built-in engine, else a binary that would
    rather not. RunError when none can.
    """
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
        return BuiltinEngine(), f"the built-in engine: {path} is not a Darknet that emo knows"
    if wanted == "compiled":
        if cannot:
            raise RunError("; ".join(cannot), where=path, mend="--engine builtin" if torch else None)
        return engine, f"{engine.binary.summary()}, as asked"
    if not cannot and not rather_not:
        return engine, f"{engine.binary.summary()}: it can do the whole job"
    why = "; ".join(cannot or rather_not)
    if torch and find_spec("torch") is None:
        if cannot:
            raise RunError(why, where=path, mend=f"or install the built-in engine: {install('train')}")
        return engine, f"{engine.binary.summary()}: PyTorch, for the built-in engine, is not installed"
    return BuiltinEngine(), f"the built-in engine: {why}"
