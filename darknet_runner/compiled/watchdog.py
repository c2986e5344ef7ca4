"""The watchdog: lines, rows and the passing of time come in, a `Trouble` goes out when the run must end.

These programs go on training with NaN, with pictures missing and with a full disk, and then exit with 0.
"""

from __future__ import annotations

import math
import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from ..engine import exploded
from .logs import Row

SILENCE_S = 1800.0  # a first epoch's loading, or an mAP over a large set, says nothing for minutes
BAD_ROWS = 3  # rows of NaN in a row: one may be an unlucky batch, the average restarts after it
BAD_LISTS = ("bad.list", "bad_label.list")  # AlexeyAB's and hank-ai's write them where they stand


@dataclass(frozen=True)
class Trouble:
    """Why the run must end, and how to mend it."""

    code: str
    what: str
    mend: str = ""

    def __str__(self) -> str:
        return self.what + (f" ({self.mend})" if self.mend else "")


_LINES = [
    (
        re.compile(
            (
                r"out of memory|cudaErrorMemoryAllocation|CUDNN_STATUS_ALLOC_FAILED|std::bad_alloc|[MC]alloc "
                r"error|Realloc error"
            ),
            re.I,
        ),
        "out-of-memory",
        "out of memory",
        "double subdivisions, or give --auto-recover",
    ),
    (
        re.compile(
            r"no CUDA-capable device|GPU is "
            r"lost|unspecified launch "
            r"failure|device "
            r".*unavailable|driver "
            r"shutting down|illegal "
            r"memory access|"
            r"uncorrectable ECC|CUDA_ERROR_(?:NO_DEVICE|DEINITIALIZED|LAUNCH_FAILED)|driver version is insufficient",
            re.I,
        ),
        "lost-gpu",
        "the GPU is gone",
        "see nvidia-smi; then --resume",
    ),
    (re.compile(r"No space left on device", re.I), "disk-full", "the disk is full", "free some space; then --resume"),
    (
        re.compile(r"Too many or too few labels"),
        "labels",
        "a path matches no or several labels",
        "run emo convert --task classifier",
    ),
    (re.compile(r"Wrong annotation|Wrong label"), "bad-label", "a label that Darknet rejects", "run emo dataset check"),
    (
        re.compile(r"Cannot load image|Couldn't open file|Can't open label file"),
        "bad-file",
        "a file that cannot be read",
        "did the data change while it trained?",
    ),
]


class Watchdog:
    """State of one run. `folder` is where the binary stands, `weights_bytes` the length of a saved file of weights."""

    def __init__(
        self, folder: Path, weights_bytes: int | None = None, silence_s: float = SILENCE_S, min_free: int | None = None
    ):
        self.folder, self.weights_bytes, self.silence_s = folder, weights_bytes, silence_s
        self.min_free = 2 * (weights_bytes or 0) + (8 << 20) if min_free is None else min_free
        self._heard = time.monotonic()
        self._bad_rows = 0
        self._lists = {name: self._size(name) for name in BAD_LISTS}
        self._looked = 0.0
        self._grown: Trouble | None = None  # a list that had grown at the last look
        self._first: float | None = None  # loss of the first row
        self.all_saved = False  # the final weights are there; what a loader then says of a file is no trouble:
        self.late: list[str] = []  # it is still at work while the program exits, and its libraries are gone

    def _size(self, name):
        path = self.folder / name
        return path.stat().st_size if path.exists() else 0

    def line(self, line: str) -> Trouble | None:
        """Look at a line that the binary printed."""
        self._heard = time.monotonic()
        for pattern, code, what, mend in _LINES:
            if pattern.search(line):
                if code == "bad-file" and self.all_saved:
                    self.late.append(line.strip())
                    return None
                return Trouble(code, f"{what}: {line.strip()[:200]}", mend)
        return None

    def row(self, row: Row) -> Trouble | None:
        """Look at a finished row."""
        if math.isfinite(row.loss) and math.isfinite(row.avg_loss):
            self._bad_rows = 0
            if not exploded(max(abs(row.loss), abs(row.avg_loss)), self._first):
                self._first = self._first or abs(row.loss)
                return None
            return Trouble(
                "exploded",
                f"the loss exploded to {row.loss:g} at iteration {row.iteration}",
                "lower learning_rate, or raise burn_in",
            )
        self._bad_rows += 1
        if self._bad_rows < BAD_ROWS:
            return None
        return Trouble(
            "nan",
            f"the loss is {row.loss} since iteration {row.iteration - BAD_ROWS + 1}",
            "lower learning_rate, check the labels; a CPU build of AlexeyAB's ends so by itself",
        )

    def tick(self) -> Trouble | None:
        """Look at the clock, the bad lists and the disk; cheap enough to be called after every line."""
        now = time.monotonic()
        if now - self._looked < 1:
            return None
        self._looked = now
        grown = None if self.all_saved else self.lists()  # believed the second time: the lines before it may be unread
        trouble, self._grown = grown if self._grown else None, grown
        trouble = trouble or self._disk()
        if not trouble and now - self._heard > self.silence_s:
            return Trouble(
                "silent", f"no line for {self.silence_s:g} s", "it hangs, or --silence is too short for this machine"
            )
        return trouble

    def lists(self) -> Trouble | None:
        """Whether a list of bad files has grown, but for the files of `late` lines; ask when all lines are read."""
        for name, size in self._lists.items():
            if self._size(name) > size:
                told = (self.folder / name).read_bytes()[size:].decode("utf-8", "replace").split("\n")
                if bad := [one for one in map(str.strip, told) if one and not any(one in late for late in self.late)]:
                    return Trouble(
                        "bad-list",
                        f"{name} grew: {bad[-1][:200]}",
                        "the picture or its label is damaged",
                    )
        return None

    def _disk(self):
        free = shutil.disk_usage(self.folder).free
        if free < self.min_free:
            return Trouble(
                "disk-full",
                f"only {free / 1e6:.0f} MB are free in {self.folder}; the next weights need {self.min_free / 1e6:.0f}",
                "free some space; then --resume",
            )
        return None
