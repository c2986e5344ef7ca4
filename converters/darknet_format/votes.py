"""A classifier's votes: beside each label a distribution over the classes, from FER+'s taggers or from models.

They stand in a CSV that the `.data` file names under `votes`: path, then a column a class.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..errors import DataError
from .files import DataFile, read_list, resolve

VOTES = "votes.csv"  # beside a classifier's lists


def read_votes(data: DataFile, paths: Sequence[str | Path]) -> np.ndarray | None:
    """(N, K) shares of the votes that the `.data` file's `votes` CSV (path, then a column a class) holds; None without
    one.

    Pictures that it does not name have zeros, as those of validation may have. DataError, with line, for a row that
    is not a distribution, and where no training picture is named.
    """
    if "votes" not in data.options:
        return None
    path, found = resolve(data.options["votes"], data.path.parent), {}
    try:
        with open(path, newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
            reader = csv.reader(file)
            head = next(reader, [])
            if tuple(head[1:]) != tuple(data.names):
                raise DataError(
                    f"its columns are not path, {', '.join(data.names)}",
                    where=path,
                    line=1,
                    mend="run emo convert again",
                )
            for row in reader:
                try:
                    shares = np.array(row[1:], np.float32)
                except ValueError:
                    shares = np.zeros(0, np.float32)
                if len(shares) != data.classes or not np.isfinite(shares).all() or (shares < 0).any():
                    raise DataError(
                        f"is not a distribution over {data.classes} classes", where=path, line=reader.line_num
                    )
                found[os.path.abspath(resolve(row[0], path.parent))] = shares / max(float(shares.sum()), 1e-12)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"the votes cannot be read: {error}", where=path) from None
    none = np.zeros(data.classes, np.float32)
    votes = np.stack([found.get(os.path.abspath(item), none) for item in paths])
    if not votes.any() and not any(os.path.abspath(item) in found for item in read_list(data.list_of("train"))):
        raise DataError("names none of the pictures", where=path, mend="run emo convert again")
    return votes


def write_votes(file: str | Path, names: Sequence[str], paths: Sequence[str], votes: np.ndarray) -> None:
    """(N, K) shares of the K classes `names` for the N pictures `paths`, as they are to be written."""
    with open(file, "w", newline="", encoding="utf-8", errors="surrogateescape") as out:
        rows = csv.writer(out, lineterminator="\n")
        rows.writerow(["path", *names])
        rows.writerows([path, *(f"{share:.6g}" for share in shares)] for path, shares in zip(paths, votes.tolist()))
