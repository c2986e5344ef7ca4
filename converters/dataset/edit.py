"""New sets out of old ones: merge, split, balance, clean. Only lists are written; no picture is copied or changed.

Each takes sets as `dataset.load` gives them, writes a new set into the folder `out`, and gives its
report: `data` (the new .data file), `pictures` per split, and what was done.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np

from ..darknet_format import dataset as darknet_dataset
from ..darknet_format.dataset import DarknetSet
from ..darknet_format.labels import label_path
from ..errors import DataError, UsageError, nearest
from ..findings import CODES, Finding
from ..images import content_hash
from ..table import splits
from ..table.records import SPLITS
from ..text_files import read_json, table_rows


def merge(sets: Sequence[DarknetSet], out: str | Path, force: bool = False) -> dict:
    """Several sets as one; a picture listed by two of them is listed once.

    DataError when their class maps or labels differ, when a detector meets a classifier, or when a picture
    would stand on two sides.
    """
    first = sets[0]
    for other in sets[1:]:
        if other.data.is_classifier != first.data.is_classifier:
            kinds = ["detector", "classifier"]
            raise DataError(
                (
                    f"is a {kinds[other.data.is_classifier]} set, but {first.data.path} is a "
                    f"{kinds[first.data.is_classifier]} set"
                ),
                where=other.data.path,
                mend="convert both with the same --task",
            )
        if other.names != first.names:
            raise DataError(
                (
                    f"its classes are {', '.join(other.names)}, but those of {first.data.path} are "
                    f"{', '.join(first.names)}"
                ),
                where=other.data.path,
                mend="convert both with the same --classes",
            )
        if other.data.labels != first.data.labels:
            raise DataError(
                f"its labels differ from those of {first.data.path}",
                where=other.data.path,
                mend="convert both into folders without a class name in their paths",
            )
    images = {split: [image for one in sets for image in one.images.get(split, ())] for split in SPLITS}
    repeated: Counter[str] = Counter()
    if len(sets) > 1:
        # Within one set a repeat is meant (see `balance`); between two it is not.
        images = {split: [] for split in SPLITS}
        side: dict = {}
        for number, one in enumerate(sets):
            for split, listed in one.images.items():
                for image in listed:
                    owner, where = side.setdefault(image, (number, split))
                    if where != split:
                        raise DataError(
                            f"{image} is in {where} and in {split}",
                            where=one.data.path,
                            mend="emo dataset split puts each on one side",
                        )
                    if owner == number:
                        images[split].append(image)
                    else:
                        repeated[split] += 1
    images = {split: listed for split, listed in images.items() if listed or any(split in one.images for one in sets)}
    rows = [row for one in sets for row in one.rows]
    unique = list({tuple(row.items()): row for row in rows}.values())
    done = {"merged": [str(one.data.path) for one in sets], "listed_by_both": dict(repeated)}
    return _write(out, images, first, unique, done, sets, force)


def split(
    one: DarknetSet, out: str | Path, shares: dict[str, float], *, by: str = "group", seed: int = 0, force: bool = False
) -> dict:
    """All pictures of the set dealt out anew, group by group, by a hash of the group's name.

    by="group": the manifest's group, else the file's name; scenes that share a face go together, and so do those that
    share another with one of them. by="picture": the file's content, so that equal pictures go to one side wherever
    they lie.
    """
    listed = list(dict.fromkeys(image for images in one.images.values() for image in images))
    if by == "group":
        keys = splits.joined([one.groups(image) or [Path(image).stem] for image in listed])
    else:
        keys = [content_hash(image).hex() for image in listed]
    sides = splits.assign(keys, shares, seed)
    images: dict[str, list[str]] = {name: [] for name in SPLITS if name == "train" or shares.get(name)}
    for image, side in zip(listed, sides):
        images[side].append(image)
    done = {
        "split": str(one.data.path),
        "shares": shares,
        "by": by,
        "groups": len(set(keys)),
        "largest": max(Counter(keys).values(), default=0),
        "seed": seed,
    }
    return _write(out, images, one, one.rows, done, [one], force)


def balance(
    one: DarknetSet, out: str | Path, *, cap: float = 4.0, power: float = 1.0, seed: int = 0, force: bool = False
) -> dict:
    """Pictures of rare classes repeated in the train list, at most `cap` times; the other lists stay as they are."""
    train = list(dict.fromkeys(one.images.get("train", ())))
    if not train:
        raise DataError("has no pictures in its train list", where=one.data.path)
    ids = [one.faces(image)[:, 0].astype(int).tolist() for image in train]
    longer = splits.repeated(train, splits.repeats(ids, one.data.classes, cap, power), seed)
    by_image = dict(zip(train, ids))

    def faces(images):
        counts = np.bincount(
            np.concatenate([by_image[image] for image in images]).astype(int), minlength=one.data.classes
        )
        return dict(zip(one.names, counts.tolist()))

    done = {
        "balanced": str(one.data.path),
        "cap": cap,
        "power": power,
        "faces_before": faces(train),
        "faces_after": faces(longer),
    }
    return _write(out, one.images | {"train": longer}, one, one.rows, done, [one], force)


def clean(
    one: DarknetSet,
    out: str | Path,
    findings: Iterable[Finding],
    *,
    also: Sequence[str] = (),
    keep: Sequence[str] = (),
    rejected: Iterable[str] = (),
    force: bool = False,
) -> dict:
    """The lists without what is rejected: pictures with findings of severity error or a code in `also`, but
    not one in `keep`; repeated lines; and the paths in `rejected`. A finding names its picture or its label file, and
    so may `rejected`; those that the set has not are in the report.
    """
    for code in (*also, *keep):
        if code not in CODES:
            raise UsageError(f"'{code}' is not a finding", mend=nearest(code, CODES))
    rejected = set(map(os.path.abspath, rejected))
    reasons: dict[tuple[str, str], str] = {("", path): "rejected" for path in rejected}
    lines: dict[tuple[str, int], str] = {}
    for found in findings:
        if (found.severity != "error" and found.code not in ("duplicate-row", *also)) or found.code in keep:
            continue
        if found.code == "duplicate-row" and found.line and not found.file.endswith(".txt"):
            lines[found.subset, found.line] = found.code
        else:
            reasons.setdefault((found.subset, found.file), found.code)
    images: dict[str, list[str]] = {}
    gone: dict[str, dict[str, int]] = {}
    for name, listed in one.images.items():
        counts: Counter[str] = Counter()
        images[name] = []
        for image, line in zip(listed, one.lines[name]):
            files = (image, str(label_path(image)))
            reason = next(
                (reasons[key] for file in files for key in ((name, file), ("", file)) if key in reasons),
                lines.get((name, line)),
            )
            if reason:
                counts[reason] += 1
            else:
                images[name].append(image)
        gone[name] = dict(counts.most_common())
    strangers = rejected - {
        file for listed in one.images.values() for image in listed for file in (image, str(label_path(image)))
    }
    done = {"cleaned": str(one.data.path), "left_out": gone, "not_in_the_set": sorted(strangers)}
    return _write(out, images, one, one.rows, done, [one], force)


def read_findings(path: str | Path) -> list[Finding]:
    """Findings as `emo dataset check --json` or `--csv` wrote them; DataError when the file is neither."""
    path = Path(path)
    try:
        if path.suffix.lower() == ".csv":
            rows = [row for _, row in table_rows(path, [field.name for field in fields(Finding)])]
        else:
            rows = read_json(path, names=True)
            rows = rows["findings"] if isinstance(rows, dict) else rows
        texts = [item.name for item in fields(Finding) if item.name != "line"]
        return [Finding(line=int(row["line"]), **{name: str(row[name]) for name in texts}) for row in rows]
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(
            f"has no findings: {error}", where=path, mend="emo dataset check --csv FILE writes them"
        ) from None


def pictures_of(one: DarknetSet, findings: Iterable[Finding]) -> list[str]:
    """The pictures of the set that findings name, themselves or by their label file, in the findings' order."""
    by_file = {
        file: image for listed in one.images.values() for image in listed for file in (image, str(label_path(image)))
    }
    return list(dict.fromkeys(by_file[item.file] for item in findings if item.file in by_file))


def _write(out, images, like, rows, done, sets, force):
    if not any(images.values()):
        raise DataError("no picture would be left", where=like.data.path)
    report = done | {"classes": list(like.names), "pictures": {split: len(listed) for split, listed in images.items()}}
    data = darknet_dataset.write(out, images, like.data, rows, report, [one.data.path.parent for one in sets], force)
    return {"data": str(data)} | report
