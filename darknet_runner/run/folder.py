"""A run's folder: runs/<name>-001/ with run.json, args.toml, train.log, metrics.csv, chart.png, weights/.

Both engines write the same. A run folder is also a model folder: it holds `model.cfg` and `emo.names`,
and `weights/` has `model_best.weights`, `model_last.weights`, `model_<iteration>.weights`, `model_final.weights`.
"""

from __future__ import annotations

import csv
import datetime
import hashlib
import json
import math
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from converters import output_folder, settings_files
from converters.errors import EmoError, RunError, naming
from converters.terminal_text import redacted

STEM = "model"
# What run.json holds, where it holds it. A run's `data` is written absolute.
FIELDS: settings_files.Fields = {
    "engine": str,
    "verdict": str,
    "data": str,
    "cfg": str,
    "settings": dict,
    "argv": list,
    "hashes": {"data": dict},
    "versions": dict,
    "reasons": list,
    "iterations": int,
    "loss": (float, type(None)),
    "best": dict,
    "started": str,
    "weights": dict,
    "binary": {"path": str, "flavour": str},
    "started_from": (dict, type(None)),
    "notes": list,
}


@dataclass(frozen=True)
class RunDir:
    """Paths of one run; nothing is read before it is asked for."""

    path: Path

    @property
    def cfg(self) -> Path:
        return self.path / f"{STEM}.cfg"

    @property
    def names(self) -> Path:
        return self.path / "emo.names"

    @property
    def recipe(self) -> Path:
        return self.path / "recipe.toml"

    @property
    def card(self) -> Path:
        return self.path / "model.toml"

    @property
    def weights(self) -> Path:
        return self.path / "weights"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.csv"

    @property
    def log(self) -> Path:
        return self.path / "train.log"

    @property
    def chart(self) -> Path:
        return self.path / "chart.png"

    def weights_file(self, tag: str | int) -> Path:
        """The weights called `tag`: best, last, final or an iteration."""
        return self.weights / f"{STEM}_{tag}.weights"

    def locked(self):
        """A context in which nobody else trains in this folder; DataError when somebody does."""
        return output_folder.locked(self.path, mend="wait for it")

    def newest_weights(self) -> Path:
        """best, else final, else last; RunError when the run saved none."""
        for tag in ("best", "final", "last"):
            if self.weights_file(tag).is_file():
                return self.weights_file(tag)
        raise RunError("the run has saved no weights yet", where=self.path)

    def weights_hashes(self) -> dict[str, str]:
        """The sha256 of every file of weights, by its name."""
        return {path.name: sha256(path) for path in sorted(self.weights.glob("*.weights"))}

    def read_json(self) -> dict:
        """run.json, its keys' types checked; RunError when it is not there or does not hold them."""
        if not (self.path / "run.json").is_file():
            raise RunError("is not a run folder: it has no run.json", where=self.path)
        return settings_files.read_json(self.path / "run.json", FIELDS, error=RunError)

    def data_file(self) -> Path | None:
        """The .data file that run.json names: absolute, or relative to the run folder (in older ones to the current
        folder); None without one.
        """
        told = self.read_json().get("data")
        return (
            None
            if told is None
            else next((path for path in (self.path / told, Path(told)) if path.exists()), Path(told))
        )

    def write_json(self, **fields) -> None:
        """Merge `fields` into run.json, renamed into place; passwords of addresses are left out (`recorded`)."""
        target = self.path / "run.json"
        known = self.read_json() if target.exists() else {}
        write_text(target, json.dumps(recorded(known | fields), indent=2) + "\n")

    def end(self, verdict: str, reason: str, **fields) -> None:
        """Write to run.json that the run ended, and why; what a full disk lets be written, at least the verdict."""
        try:
            self.write_json(verdict=verdict, reasons=[reason], **fields)
        except (OSError, EmoError):
            with suppress(OSError), open(self.path / "run.json", "r+b") as file:
                text, old = file.read(), b'"verdict": "running"'
                if old in text and len(verdict) <= len("running"):  # over its own bytes: takes no room
                    file.seek(text.index(old))
                    file.write(f'"verdict": "{verdict}"'.encode().ljust(len(old)))

    def append_metrics(self, row: dict) -> None:
        """Append a row to metrics.csv; the first row sets the columns, later rows leave unknown ones out."""
        new = not self.metrics.exists()
        if not new:
            with open(self.metrics, newline="") as file:
                columns = next(csv.reader(file))
        else:
            columns = list(row)
        with naming(self.metrics), open(self.metrics, "a", newline="") as file:
            writer = csv.DictWriter(file, columns, extrasaction="ignore")
            if new:
                writer.writeheader()
            writer.writerow(row)

    def trim_metrics(self, iteration: int) -> None:
        """Drop the rows of metrics.csv past `iteration`, and lines that were torn: the run goes on from there."""
        if not self.metrics.exists():
            return
        with open(self.metrics, newline="", errors="replace") as file:
            text = file.read()
        head, *lines = text.splitlines() or [""]
        if "\n" not in text:
            self.metrics.unlink()  # not even its header is whole
            return
        lines = lines if text.endswith("\n") else [*lines[:-1], ""]  # a torn number looks like a whole one
        columns = len(next(csv.reader([head])))  # a class's name may contain a comma
        rows = ((line, next(csv.reader([line]), [])) for line in lines)
        whole = [line for line, row in rows if len(row) == columns and row[0].isdigit() and int(row[0]) <= iteration]
        if len(whole) < len(lines):
            write_text(self.metrics, "".join(line + "\n" for line in (head, *whole)))


def now() -> str:
    """The time in UTC, as run.json has it: the runs of several machines can be sorted by it."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def recorded(value):
    """`value` as a record on disk may hold it: text, numbers, lists and dicts; in its texts no password of an address,
    and null for nan and inf.
    """
    if isinstance(value, dict):
        return {key: recorded(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [recorded(item) for item in value]
    if value is None or isinstance(value, (bool, int, float)):
        return jsonable(value)
    text = str(value)
    return text if text.startswith("/") and "://" not in text else redacted(text)  # a path may look like an address


def jsonable(value):
    """`value` with null for nan and inf, which JSON has not and other programs' readers refuse."""
    if isinstance(value, dict):
        return {key: jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [jsonable(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def sha256(path: str | Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_text(path: Path, text: str) -> None:
    """Write to a temporary name, then rename; an OSError names the file."""
    temporary = path.with_name(path.name + ".part")
    with naming(path):
        try:
            temporary.write_text(text)
            os.replace(temporary, path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise


def create(root: str | Path, name: str, first: int = 1) -> RunDir:
    """A new runs/<name>-NNN with its weights folder; the number is the first that is free, from `first` on."""
    root = Path(root)
    for number in range(first, 10000):
        path = root / f"{name}-{number:03d}"
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise RunError(f"the run folder cannot be made: {error.strerror}", where=path) from None
        run = RunDir(path)
        run.weights.mkdir()
        return run
    raise RunError("has 9,999 runs of this name", where=root / name, mend="delete some")


def latest(root: str | Path, name: str | None = None) -> RunDir | None:
    """The run folder last written to (of `name`, if given), or None."""
    found = [path.parent for path in Path(root).glob(f"{name or '*'}-*/run.json")]
    return RunDir(max(found, key=lambda path: (path / "run.json").stat().st_mtime)) if found else None
