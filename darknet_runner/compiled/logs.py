"""Lines that a Darknet prints -> rows, for every flavour; a whole log file -> rows, CSV.

    parser = LogParser()
    for line in lines:
        for row in parser.feed(line): ...        # a row comes when the next iteration begins
    rows = parser.close()

What is on a line decides, not the flavour: the grammars (emo's own is one) do not overlap. A validation belongs to the
iteration after which it is printed (detectors), or before whose line it is printed (classifiers).
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from converters.errors import DataError

from .binary import plain

NUMBER = r"[-+]?(?:nan|inf|\d+\.?\d*(?:e[-+]?\d+)?)"
LONGEST = 1 << 16  # bytes of a line that are looked at; no line of any flavour is longer


@dataclass
class Row:
    """One iteration. Scores are 0..1; None is what was not printed. `topk` is the accuracy in the first `k`."""

    iteration: int
    loss: float
    avg_loss: float
    rate: float | None = None
    seconds: float | None = None
    images: int | None = None
    hours_left: float | None = None
    iou: float | None = None  # of the training batch's boxes, before the update
    map: float | None = None
    precision: float | None = None
    recall: float | None = None
    f1: float | None = None
    valid_iou: float | None = None
    top1: float | None = None
    topk: float | None = None
    k: int | None = None
    ap: dict[str, float] = field(default_factory=dict)

    def as_dict(self, names: Iterable[str] = ()) -> dict:
        """The row for a CSV: the fixed columns, then ap_<name> for every class of `names`."""
        out = {key: getattr(self, key) for key in COLUMNS} | {f"ap_{name}": self.ap.get(name) for name in names}
        return {key: float(f"{value:.6g}") if isinstance(value, float) else value for key, value in out.items()}


COLUMNS = tuple(key for key in Row.__dataclass_fields__ if key != "ap")

# ` 159: 4.266244, 4.181039 avg loss, 0.002000 rate, 0.017959 seconds, 1272 images, 0.121236 hours left` (A, P)
# `230, 52.571: 2.058694, 2.183276 avg, 0.000000 rate, ...` (their classifiers: the epoch after the iteration)
_ROW = re.compile(
    rf"(?:^|\s)(\d+)(?:, {NUMBER})?: "
    rf"({NUMBER}), "
    rf"({NUMBER}) avg(?: "
    r"loss)?, "
    rf"({NUMBER}) rate, "
    rf"({NUMBER}) "
    r"seconds, (-?\d+) images"
    rf"(?:, ({NUMBER}) hours left)?",
    re.I,
)
# `4: loss=73.796, avg loss=77.340, last=none, ..., rate=0.00000320, load 8=..., train=39.2 milliseconds, 32 images,
# ...` (H)
_ROW_H = re.compile(rf"^\s*(\d+): loss=({NUMBER}), avg loss=({NUMBER})(.*)", re.I)
_H_FIELDS = {
    "rate": re.compile(rf"rate=({NUMBER})", re.I),
    "seconds": re.compile(rf"train=({NUMBER}) (\w+)", re.I),
    "images": re.compile(r"(\d+) images"),
    "left": re.compile(rf"time remaining=({NUMBER}) (\w+)", re.I),
}
_UNITS = {
    "nanoseconds": 1e-9,
    "microseconds": 1e-6,
    "milliseconds": 1e-3,
    "seconds": 1,
    "minutes": 60,
    "hours": 3600,
    "days": 86400,
}
# `6/100: loss 6.7628, average 10.3951, mAP 1.7% (best 1.7%), rate 0.000010, 22.9 pictures/s, ...` (emo's built-in
# engine)
_ROW_EMO = re.compile(
    (
        r"^\s*(\d+)/(\d+): loss "
        rf"({NUMBER}), "
        r"average "
        rf"({NUMBER})(?:, "
        r"(mAP|top-1) "
        rf"({NUMBER})% \(best "
        rf"{NUMBER}%\))?, rate "
        rf"({NUMBER})"
    ),
    re.I,
)
_REGION = re.compile(rf"Region \d+ Avg \(?IOU: ({NUMBER})\)?,.*?count: (\d+)", re.I)
_AP = re.compile(rf"class_id = \d+, name = (.*?), ap = ({NUMBER})\s*%(?:\s*\(TP = (\d+), FP = (\d+)\))?")
_AP_H = re.compile(r"^\s*(\d+) (.+?)\s+([\d.]+|nan)\s+(\d+)\s+(\d+)\s+\d+\s+\d+\s+[\d.]+\s+[\d.]+\s*$")
_PRECISION = re.compile(
    rf"conf_thresh\s*=\s*{NUMBER}, precision\s*=\s*({NUMBER}), recall\s*=\s*({NUMBER}), F1[- ]score\s*=\s*({NUMBER})",
    re.I,
)
_COUNTS = re.compile(rf"TP\s*=\s*(\d+), FP\s*=\s*(\d+), FN\s*=\s*(\d+), average IoU\s*=\s*({NUMBER})\s*%", re.I)
_MAP = re.compile(rf"mean average precision \(mAP(?:@[\d.]+)?\)\s*=\s*({NUMBER})\s*(%)?", re.I)
_TOPK = re.compile(rf"(\d+): top 1: ({NUMBER}), top (\d+): ({NUMBER})", re.I)
_TOTAL = re.compile(r"^\s*(\d+)/(\d+): loss=")
SAVED = re.compile(r"Saving weights to (\S.*?)\s*$")


def _share(text, percent):
    value = float(text)
    return value / 100 if percent else value


def _finite(value):
    return value if value is not None and math.isfinite(value) else None


class LogParser:
    """Keeps what the lines so far have said; `last` is the row being built, `total` the last iteration if told."""

    def __init__(self):
        self.last: Row | None = None
        self.total: int | None = None
        self.validation = Validation()
        self._overlaps: list[tuple[float, int]] = []
        self._table = False  # within hank-ai's table of classes
        self._shown: tuple = (None, None)  # the score on the last line of emo's own
        self._top: Validation | None = None  # a classifier's validation, waiting for its row

    def feed(self, line: str) -> list[Row]:
        """Rows that this line completes."""
        line = plain(line[:LONGEST])
        if match := _ROW.search(line):
            loss, avg, rate, seconds = (float(text) for text in match.group(2, 3, 4, 5))
            left = _finite(float(match[7])) if match[7] else None
            return self._begin(
                Row(int(match[1]), loss, avg, rate, seconds, int(match[6]), left if left is None or left >= 0 else None)
            )
        if match := _ROW_H.match(line):
            return self._begin(self._hank(match))
        if match := _ROW_EMO.match(line):
            self.total = int(match[2])
            again, self._shown = (
                match.group(5, 6) == self._shown,
                match.group(5, 6),
            )  # it repeats the last validation's score
            scores = (
                {{"mAP": "map", "top-1": "top1"}[match[5]]: _share(match[6], True)} if match[5] and not again else {}
            )
            return self._begin(Row(int(match[1]), float(match[3]), float(match[4]), float(match[7]), **scores))
        if match := _REGION.search(line):
            if math.isfinite(float(match[1])):
                self._overlaps.append((float(match[1]), int(match[2])))
        elif match := _TOTAL.match(line):
            self.total = int(match[2])
        else:
            self._validation(line)
        return []

    def close(self) -> list[Row]:
        """The row that was being built."""
        rows, self.last = [self.last] if self.last else [], None
        return rows

    def _begin(self, row):
        done = self.close()
        count = sum(number for _, number in self._overlaps)
        if count:
            row.iou = sum(value * number for value, number in self._overlaps) / count
        self._overlaps = []
        if self._top:
            row.top1, row.topk, row.k, self._top = self._top.top1, self._top.topk, self._top.k, None
        self.last = row
        return done

    @staticmethod
    def _hank(match):
        found = {key: pattern.search(match[4]) for key, pattern in _H_FIELDS.items()}

        def seconds(key):
            hit = found[key]
            return float(hit[1]) * _UNITS[hit[2]] if hit and hit[2] in _UNITS else None

        left = seconds("left")
        return Row(
            int(match[1]),
            float(match[2]),
            float(match[3]),
            float(found["rate"][1]) if found["rate"] else None,
            seconds("seconds"),
            int(found["images"][1]) if found["images"] else None,
            None if left is None else left / 3600,
        )

    def _validation(self, line):
        v = self.validation
        if "calculation mAP" in line or line.startswith("Calculating mAP") or "TOP calculation" in line:
            self.validation, self._table = Validation(), False
        elif match := _AP.search(line):
            v.ap[match[1]] = _share(match[2], True)
            if match[3]:
                v.hits[match[1]] = int(match[3]), int(match[4])
        elif re.match(r"\s*Id Name\s+AP\s", line):
            self._table = True
        elif self._table and (match := _AP_H.match(line)):
            v.ap[match[2]] = _share(match[3], True)
            v.hits[match[2]] = int(match[4]), int(match[5])
        elif match := _PRECISION.search(line):
            self._table = False
            v.precision, v.recall, v.f1 = (_finite(float(text)) for text in match.groups())
        elif match := _COUNTS.search(line):
            v.tp, v.fp, v.fn, v.avg_iou = int(match[1]), int(match[2]), int(match[3]), _share(match[4], True)
        elif match := _MAP.search(line):
            v.map = _share(match[1], match[2])
            self._attach()
        elif match := _TOPK.search(line):
            v.images, v.top1, v.k, v.topk = int(match[1]) + 1, float(match[2]), int(match[3]), float(match[4])
        elif re.search(r"accuracy top\d+ = ", line):
            self._top = v

    def _attach(self):
        v, row = self.validation, self.last
        if row is not None:
            row.map, row.precision, row.recall, row.f1, row.valid_iou, row.ap = (
                v.map,
                v.precision,
                v.recall,
                v.f1,
                v.avg_iou,
                v.ap,
            )


@dataclass
class Validation:
    """What `map`, `valid` or a validation within the training printed; shares are 0..1."""

    map: float | None = None
    precision: float | None = None
    recall: float | None = None
    f1: float | None = None
    avg_iou: float | None = None
    tp: int | None = None
    fp: int | None = None
    fn: int | None = None
    ap: dict[str, float] = field(default_factory=dict)
    hits: dict[str, tuple[int, int]] = field(default_factory=dict)  # TP, FP a class
    top1: float | None = None
    topk: float | None = None
    k: int | None = None
    images: int | None = None


class LineSplitter:
    """Chunks of bytes -> lines, ended by a newline or a return; what is over LONGEST of a line is dropped."""

    def __init__(self):
        self._pending, self._cut = b"", False

    def feed(self, chunk: bytes) -> list[str]:
        lines = []
        *ended, rest = re.split(rb"[\r\n]", chunk)
        for part in ended:
            if not self._cut:
                lines.append(_text(self._pending + part))
            self._pending, self._cut = b"", False
        if not self._cut:
            self._pending += rest
            if len(self._pending) > LONGEST:
                lines.append(_text(self._pending))
                self._pending, self._cut = b"", True
        return lines

    def close(self) -> list[str]:
        """The last line, when nothing ended it."""
        return [_text(self._pending)] if self._pending else []


def _text(line):
    return line[:LONGEST].decode("utf-8", "replace")


def read(path: str | Path) -> list[Row]:
    """The rows of a log file; DataError when it is missing or has none.

    A run that was resumed into the same log counts back; the later line of an iteration wins.
    """
    path, parser, splitter, rows = Path(path), LogParser(), LineSplitter(), []
    try:
        with open(path, "rb") as file:
            while chunk := file.read(1 << 20):
                for line in splitter.feed(chunk):
                    rows += parser.feed(line)
    except FileNotFoundError:
        raise DataError("no such log", where=path) from None
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", where=path) from None
    for line in splitter.close():
        rows += parser.feed(line)
    rows += parser.close()
    if not rows:
        raise DataError(
            "has no line of a Darknet training",
            where=path,
            mend="give what `darknet detector train` printed (stdout and stderr)",
        )
    return merged(rows)


def merged(rows: Iterable[Row]) -> list[Row]:
    """Rows in order of their iterations, what a later start did again replacing what the earlier one did."""
    kept: list[Row] = []
    for row in rows:
        while kept and kept[-1].iteration >= row.iteration:
            kept.pop()
        kept.append(row)
    return kept


def class_names(rows: Iterable[Row]) -> list[str]:
    """The classes for which any row has an AP, in the order in which they came."""
    return list(dict.fromkeys(name for row in rows for name in row.ap))


def to_csv(rows: list[Row], names: Iterable[str] | None = None) -> str:
    """The rows as CSV text; a column for the AP of each class."""
    names = class_names(rows) if names is None else list(names)
    text = io.StringIO()
    writer = csv.DictWriter(text, [*COLUMNS, *(f"ap_{name}" for name in names)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(row.as_dict(names) for row in rows)
    return text.getvalue()
