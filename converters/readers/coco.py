"""COCO JSON whose categories are emotions -> a Table.

A root with `annotations/*.json` (or one JSON file) comes in. The split is in the file's name (train, val,
test); pictures are looked for in the usual folders. Crowd regions are left out.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

import numpy as np

from ..emotions import EMOTIONS, canonical
from ..errors import DataError
from ..table.records import SPLITS, Notes, Table, concat


def read(root: Path, notes: Notes, *, classes: int = 7) -> Table:
    """All pictures with their boxes; ones without annotations are negatives. DataError for a bad file or unknown class."""
    from .yolo import same_classes

    root = Path(root)
    files = [root] if root.is_file() else sorted({*root.glob("annotations/*.json"), *root.glob("*.json")} - {root / "report.json"})
    if not files:
        raise DataError("holds no annotations/*.json" if root.is_dir() else "no such file or folder", where=root, mend="give the JSON file itself")
    base = root.parent if root.is_file() else root
    if root.is_dir() or base.name == "annotations":
        base = base.parent if base.name == "annotations" else base
    same_classes(base, classes)
    return concat([_read_file(path, base, notes) for path in files])


def split_of(path: Path) -> str:
    """train unless the file's name says val or test."""
    name = path.stem.lower()
    return "valid" if "val" in name else "test" if "test" in name else "train"


def _read_file(path: Path, base: Path, notes: Notes) -> Table:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
        images, annotations = content["images"], list(content["annotations"])
        categories = {entry["id"]: entry["name"] for entry in content["categories"]}
        by_id = {entry["id"]: _name(entry["file_name"]) for entry in images}
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"cannot be read as JSON: {error}", where=path) from None
    except (KeyError, TypeError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else error
        raise DataError(f"is no COCO file: {what}", where=path, mend="expected images, annotations and categories") from None
    if len(by_id) < len(images):
        twice = Counter(entry["id"] for entry in images).most_common(1)[0][0]
        raise DataError(f"two images have the id {twice}", where=path, mend="an annotation could mean either")
    ids, split = {}, split_of(path)
    for key, name in categories.items():
        try:
            ids[key] = EMOTIONS.index(canonical(str(name)))
        except DataError as error:
            raise DataError(f"category '{name}' is no emotion that emo knows", where=path, mend=error.mend) from None
    folder = _image_folder(base, split, list(by_id.values())[:50])
    faces: dict[object, list] = {key: [] for key in by_id}
    for number, entry in enumerate(annotations, start=1):
        said = f"annotation {entry.get('id', number) if isinstance(entry, dict) else number}"
        try:
            x, y, w, h = (float(value) for value in entry["bbox"])
            key, category = entry["image_id"], entry["category_id"]
            known = key in faces, category in ids  # TypeError when one is a list
            if not np.isfinite([x, y, x + w, y + h]).all():
                raise ValueError
        except (KeyError, TypeError, ValueError, OverflowError):
            notes.drop("bad-number", split, path, 0, f"{said}: its bbox is not four numbers, or it lacks an image or category")
            continue
        if entry.get("iscrowd"):
            notes.count("crowd region", split, 1)
        elif not known[0]:
            notes.drop("missing-image", split, path, 0, f"{said}: no image has id {key}")
        elif not known[1]:
            notes.drop("class-range", split, path, 0, f"{said}: no category has id {category}")
        else:
            faces[key].append(((x, y, x + w, y + h), ids[category]))
    for key, name in list(by_id.items()):
        if os.path.isabs(name) or os.path.normpath(name).startswith(".."):
            notes.drop("path-escapes", split, path, 0, f"'{name[:120]}' leaves the image folder")
            del by_id[key], faces[key]
    rows = [face for key in by_id for face in faces[key]]
    stems = [os.path.splitext(name)[0].removeprefix(f"{split}/") for name in by_id.values()]  # which emo's own files have
    n = len(stems)
    return Table(
        image=[str((folder / name).absolute()) for name in by_id.values()], name=stems, split=np.full(n, SPLITS.index(split), np.int8),
        group=stems, source=np.zeros(n, np.int16), line=np.zeros(n, np.int32),
        first=np.concatenate([[0], np.cumsum([len(faces[key]) for key in by_id], dtype=np.int64)]),
        xyxy=np.array([box for box, _ in rows], float).reshape(-1, 4), emotion=np.array([e for _, e in rows], np.int8), sources=(str(path),),
    )  # fmt: skip


def _name(value) -> str:
    """A file's name as the file system has it: JSON can spell half a character, which no file name holds."""
    return str(value).encode("utf-8", "surrogatepass").decode("utf-8", "surrogateescape")


def _image_folder(base: Path, split: str, some: list[str]) -> Path:
    names = ("", "images", *(f"{part}{year}" for part in (split, "val" if split == "valid" else split) for year in ("", "2017", "2014")))
    folders = [base / outer / name for outer in ("", "images") for name in names]
    return next((folder for folder in folders if any(os.path.isfile(folder / file) for file in some)), base)
