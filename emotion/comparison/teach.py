"""Soft labels from models: what larger classifiers say of a set's training pictures teaches a smaller one.

Hinton et al., arXiv:1503.02531. The answers become the set's votes, beside its labels; a recipe's `vote_share` says how
much of the target they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from converters import output_folder
from converters.darknet_format import dataset
from converters.darknet_format.votes import read_votes
from converters.errors import UsageError

from .classification import figures
from .evaluate import augmented
from .judge import judge
from .settings import USUAL, Settings


def teach(
    source: str | Path | None,
    teachers: Sequence[str],
    out: str | Path,
    *,
    tta: str | int | None = None,
    own: float = 0.0,
    settings: Settings = USUAL,
    force: bool = False,
    progress: Callable[[int, int | None], None] | None = None,
) -> dict:
    """Write lists over a classifier set's pictures to the folder `out`, the mean of the teachers' answers as votes.

    tta  `tencrop`, or how many random views each teacher averages
    own  the share that the set's own votes keep, of pictures that have some
    Returns the report: pictures by split, and of each teacher its accuracy on the training pictures. UsageError for a
    detector, DataError for pictures that cannot be used.
    """
    if not teachers:
        raise UsageError("no teacher is named", mend="emo dataset teach SET --by MODEL")
    whole = dataset.load(source)
    data, paths = whole.data, whole.images.get("train", [])
    if not data.is_classifier:
        raise UsageError(f"{data.path} is a detector's set, whose faces take no votes", mend="a classifier's set")
    output_folder.check(Path(out), force, [data.path.parent])  # before what may take an hour
    theirs = read_votes(data, paths) if own else None
    opened = [settings.open_weak(spec) for spec in teachers]
    for spec, teacher in zip(teachers, opened):
        if hasattr(teacher, "detect"):
            raise UsageError(f"'{spec}' finds faces, and is no classifier", mend="emo models list")
    answers, told = [], []
    for number, (spec, teacher) in enumerate(zip(teachers, opened)):
        step = progress and partial(_told, progress, number * len(paths), len(teachers) * len(paths))
        judged = judge(augmented(teacher, tta, settings.seed), data, "train", progress=step)
        said = judged.said.probabilities  # of a teacher that knows more classes they do not add up to 1
        answers.append(said / np.maximum(said.sum(1, keepdims=True), 1e-12))
        told.append({"model": spec, "top1": figures(judged.said, 1)["accuracy"]})
    votes = np.mean(answers, axis=0)
    if theirs is not None:
        share = own * theirs.any(1, keepdims=True)
        votes = (1 - share) * votes + share * theirs
    report = {
        "data": str(Path(out) / "emo.data"),
        "pictures": {split: len(images) for split, images in whole.images.items()},
        "teachers": told,
        "tta": tta,
        "own": own if theirs is not None else 0.0,
    }
    dataset.write(out, whole.images, data, whole.rows, report, [data.path.parent], force, votes)
    return report


def _told(progress: Callable[[int, int | None], None], before: int, total: int, done: int) -> None:
    progress(before + done, total)
