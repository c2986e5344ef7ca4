"""COCO JSON whose categories are emotions -> a Table.

A root with `annotations/*.json`, `<split>/_annotations.coco.json` (Roboflow) or one JSON file comes in. The split is in
the file's or folder's name (train, val, test); pictures are looked for in the usual folders, CVAT's `images/default`
among them. Boxes are taken from polygons and masks where there are none, and are scaled or turned where the JSON
speaks of a picture of another size, or turned as EXIF says. A picture with a crowd region, or with an annotation that
cannot be used, has faces that no label tells of: it is left out wherever a detector would learn from it.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import numpy as np

from .. import boxes
from ..emotions import EMOTIONS, canonical
from ..errors import DataError
from ..images import probe
from ..table.records import SPLITS, Notes, Table, concat
from ..text_files import read_json, slashes
from .coco_masks import box_of
from .yolo import same_classes

ROBOFLOW = "_annotations.coco.json"


def read(root: Path, notes: Notes, *, classes: int = 7) -> Table:
    """All pictures with their boxes; ones without annotations are negatives.

    DataError for a bad file, a class that is not an emotion, or a file none of whose annotations can be used.
    """
    root = Path(root)
    files = (
        [root]
        if root.is_file()
        else sorted(
            {*root.glob("annotations/*.json"), *root.glob("*.json"), *root.glob(f"*/{ROBOFLOW}")}
            - {root / "report.json"}
        )
    )
    if not files:
        raise DataError(
            "has no annotations/*.json" if root.is_dir() else "no such file or folder",
            where=root,
            mend="give the JSON file itself",
        )
    base = root.parent if root.is_file() else root
    base = base.parent if base.name == "annotations" else base
    same_classes(base, classes)
    return concat([_read_file(path, path.parent if path.name == ROBOFLOW else base, notes) for path in files])


def split_of(path: Path) -> str:
    """train unless the file's name, or Roboflow's folder, says val or test."""
    name = (path.parent.name if path.name == ROBOFLOW else path.stem).lower()
    return "valid" if "val" in name else "test" if "test" in name else "train"


def _read_file(path: Path, base: Path, notes: Notes) -> Table:
    names, sizes, annotations, categories = _parts(path)
    split, used = split_of(path), set(map(_category, annotations))
    emotions = {key: _emotion(name, path) for key, name in categories.items() if key in used}
    folder = _image_folder(base, split, list(names.values())[:50])
    for key, name in list(names.items()):
        if os.path.isabs(name) or os.path.normpath(name).startswith("..") or "\0" in name:
            notes.drop("path-escapes", split, path, 0, f"'{name[:120]}' leaves the image folder")
            del names[key]
    image = {key: _found(folder, name) for key, name in names.items()}
    faces: dict[object, list] = {key: [] for key in names}
    for number, entry in enumerate(annotations, start=1):
        _add(entry, number, faces, image, emotions, (split, path), notes)
    if annotations and not any(faces.values()):
        reasons = Counter(finding.code for finding in notes.findings if finding.file == str(path)) or notes.left_out
        raise DataError(
            f"none of its {len(annotations)} annotations can be used",
            where=path,
            mend=", ".join(
                f"{rows} x {reason}"
                for reason, rows in Counter(
                    {reason if isinstance(reason, str) else reason[1]: rows for reason, rows in reasons.items()}
                ).most_common(3)
            ),
        )
    for key, found in faces.items():
        if found and sizes.get(key):
            faces[key] = _fitted(found, sizes[key], image[key], (split, path), notes)
    rows = [face for found in faces.values() for face in found]
    stems = [
        os.path.splitext(name)[0].removeprefix(f"{split}/") for name in names.values()
    ]  # which emo's own files have
    n = len(stems)
    return Table(
        image=list(image.values()),
        name=stems,
        split=np.full(n, SPLITS.index(split), np.int8),
        group=stems,
        source=np.zeros(n, np.int16),
        line=np.zeros(n, np.int32),
        first=np.concatenate([[0], np.cumsum([len(found) for found in faces.values()], dtype=np.int64)]),
        xyxy=np.array([box for box, _ in rows], float).reshape(-1, 4),
        emotion=np.array([e for _, e in rows], np.int8),
        sources=(str(path),),
    )


def _parts(path: Path) -> tuple[dict, dict, list, dict]:
    """By id: file names, sizes (None where not said) and categories; and the annotations.

    DataError for what is not a COCO file.
    """
    content = read_json(path, most=1 << 31)
    try:
        images, annotations = content["images"], list(content["annotations"])
        categories = {_key(entry["id"]): entry["name"] for entry in content["categories"]}
        names = {_key(entry["id"]): _name(entry["file_name"]) for entry in images}
        sizes = {_key(entry["id"]): _size(entry) for entry in images}
    except (KeyError, TypeError, AttributeError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else error
        raise DataError(
            f"is not a COCO file: {what}", where=path, mend="expected images, annotations and categories"
        ) from None
    if len(names) < len(images):
        twice = Counter(_key(entry["id"]) for entry in images).most_common(1)[0][0]
        raise DataError(f"two images have the id {twice}", where=path, mend="an annotation could mean either")
    return names, sizes, annotations, categories


def _key(value):
    """An id, whichever of 3, 3.0 and "3" a tool writes; TypeError for what is none."""
    if isinstance(value, str):
        return int(value) if value.isascii() and value.isdigit() and len(value) < 19 else value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if value is None or isinstance(value, (int, float)):
        return value
    raise TypeError(f"an id is {str(value)[:40]}")


def _category(entry):
    try:
        return _key(entry["category_id"])
    except (KeyError, TypeError):
        return None


def _size(entry: dict) -> tuple[float, float] | None:
    try:
        size = float(entry["width"]), float(entry["height"])
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    return size if all(1 <= side < 1e6 for side in size) else None


def _emotion(name, path: Path) -> int:
    try:
        return EMOTIONS.index(canonical(str(name)))
    except DataError as error:
        raise DataError(
            f"category '{str(name)[:60]}' is not an emotion that emo knows", where=path, mend=error.mend
        ) from None


def _add(entry, number: int, faces: dict, image: dict, emotions: dict, where: tuple[str, Path], notes: Notes) -> None:
    """One annotation to its picture's faces; what cannot be used is told, and its picture marked."""
    said = f"annotation {entry.get('id', number) if isinstance(entry, dict) else number}"
    key = None
    try:
        key = _key(entry["image_id"])
        category, box = _key(entry["category_id"]), box_of(entry)
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError):
        notes.drop(
            "bad-number",
            *where,
            0,
            f"{said}: its bbox is not four numbers and it has no mask, or it lacks an image or category",
        )
        notes.spoil(image.get(key, ""))
        return
    if key not in faces:
        notes.drop("missing-image", *where, 0, f"{said}: no image has id {str(key)[:40]}")
    elif entry.get("iscrowd") in (1, True, "1"):
        notes.count("crowd region", where[0], 1)
        notes.spoil(image[key])
    elif category not in emotions:
        notes.drop("class-range", *where, 0, f"{said}: no category has id {str(category)[:40]}")
        notes.spoil(image[key])
    else:
        faces[key].append((box, emotions[category]))


def _fitted(faces: list, size_wh: tuple[float, float], image: str, where: tuple[str, Path], notes: Notes) -> list:
    """The faces with boxes in the picture's stored pixels, when the JSON speaks of a picture of `size_wh`."""
    info = probe(image)
    if not min(info.size_wh) or size_wh == info.size_wh:
        return faces
    xyxy = np.array([box for box, _ in faces])
    for turned, real in ((False, info.size_wh), (True, info.upright_wh)):
        if turned and info.orientation == 1:
            continue
        scale = np.array(real) / size_wh
        if np.abs(np.array(size_wh) * scale.mean() - real).max() > max(
            2.0, 2 * scale.mean()
        ):  # sides of a smaller copy are rounded
            continue
        xyxy = xyxy * np.tile(scale, 2)
        xyxy = boxes.stored(xyxy, info.orientation, info.size_wh) if turned else xyxy
        how = "turned as EXIF says" if turned else f"scaled by {scale[0]:.4g}"
        notes.note(
            "size-differs",
            "info",
            *where,
            0,
            f"{image}: is {info.size_wh[0]}x{info.size_wh[1]}, not {size_wh[0]:g}x{size_wh[1]:g}; its boxes are {how}",
        )
        return [(tuple(box), emotion) for box, (_, emotion) in zip(xyxy.tolist(), faces)]
    notes.drop(
        "size-differs",
        *where,
        0,
        f"{image}: is {info.size_wh[0]}x{info.size_wh[1]}, but the boxes are for {size_wh[0]:g}x{size_wh[1]:g}",
    )
    notes.spoil(image)
    return []


def _name(value) -> str:
    """A file's name as the file system has it: JSON can spell half a character, which no file name holds."""
    return str(value).encode("utf-8", "surrogatepass").decode("utf-8", "surrogateescape")


def _found(folder: Path, name: str) -> str:
    path = str((folder / name).absolute())
    return path if "\\" not in name or os.path.lexists(path) else str((folder / slashes(name)).absolute())


def _image_folder(base: Path, split: str, some: list[str]) -> Path:
    names = (
        "",
        "images",
        "default",
        *(f"{part}{year}" for part in (split, "val" if split == "valid" else split) for year in ("", "2017", "2014")),
    )
    folders = [base / outer / name for outer in ("", "images") for name in names]
    spelled = [name for said in some for name in {said, slashes(said)} if "\0" not in name]
    return next((folder for folder in folders if any(os.path.isfile(folder / file) for file in spelled)), base)
