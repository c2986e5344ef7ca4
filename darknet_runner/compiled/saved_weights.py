"""What a binary saved, under the names that a run folder has, and only when its length is right.

These programs do not write atomically, and a full disk leaves files that look finished.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from converters.errors import WeightsError

from ..network import weights_file
from ..run.folder import STEM, RunDir
from .binary import Binary

ASIDE = "best.aside"  # in the weights folder, while a resumed start runs


def rename_saved_weights(run: RunDir, path: Path, binary: Binary, classifier: bool, expected: int) -> Path:
    """Rename a file that the binary has finished writing as the run folder names it; its new path.

    pjreddie's calls the last weights `model.backup`, a classifier's final ones `model.weights`, and writes
    one file an epoch; all but the newest would only fill the disk. Raises WeightsError when the length
    is not `expected`.
    """
    size = path.stat().st_size
    if size != expected:
        raise WeightsError(
            f"was saved with {size:,} bytes instead of {expected:,}", where=path, mend="is the disk full?"
        )
    target = path
    if path.suffix == ".backup":
        target = run.weights_file("last")
    elif binary.flavour == "pjreddie" and classifier:
        if path.name == f"{STEM}.weights":
            target = run.weights_file("final")
        elif re.fullmatch(rf"{STEM}_\d+\.weights", path.name):
            target = run.weights_file("last")
    if target != path:
        os.replace(path, target)
    return target


def newest(run: RunDir, expected: int) -> tuple[Path, int] | None:
    """The whole weights in the run folder that have seen most images, and how many; None when there are none."""
    found = []
    for path in [*run.weights.glob(f"{STEM}*.weights"), *run.weights.glob(f"{STEM}*.backup")]:
        if path.stat().st_size == expected:
            found.append((weights_file.header_bytes(path)[1], path.stat().st_mtime_ns, path))
    if not found:
        return None
    seen, _, path = max(found)
    return path, seen


def put_aside(run: RunDir) -> None:
    """Keep the best weights before a resumed start: the binary's own best begins at 0 again, and its first is
    written over ours.
    """
    if run.weights_file("best").exists():
        shutil.copy2(run.weights_file("best"), run.weights / ASIDE)


def put_back(run: RunDir, improved: bool) -> None:
    """Undo `put_aside`: the earlier best is best again unless the start found a better one."""
    if (run.weights / ASIDE).exists():
        if improved:
            (run.weights / ASIDE).unlink()
        else:
            os.replace(run.weights / ASIDE, run.weights_file("best"))


def recover(run: RunDir, expected: int) -> None:
    """Give the newest whole weights the name `last` when there are none of that name, as after a crash of emo
    itself.
    """
    found, last = newest(run, expected), run.weights_file("last")
    if found and not last.exists():
        os.link(found[0], last)
