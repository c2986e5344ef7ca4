"""The forms that `emo convert --task` makes, a module each: what a new one needs is a module with a `Form`, and a
line here.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from ..errors import UsageError, nearest

if TYPE_CHECKING:
    from .form import Form

# Task -> module and name of its Form; a plain table, so that `--help` imports nothing.
TASKS = {
    "detector": ("detector", "FORM"),
    "coco": ("coco", "FORM"),
    "classifier": ("classifier", "FORM"),
    "crops": ("crops", "CROPS"),
    "csv": ("crops", "CSV"),
    "hdf5": ("arrays", "FORM"),
    "npz": ("arrays", "FORM"),
    "pickle": ("arrays", "FORM"),
}


def form_of(task: str) -> Form:
    """The Form of a task; UsageError for one there is not."""
    if task not in TASKS:
        raise UsageError(f"no task '{task}'", mend=nearest(task, TASKS))
    module, name = TASKS[task]
    return getattr(importlib.import_module(f".{module}", __name__), name)
