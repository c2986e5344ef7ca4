"""COCO JSON whose categories are emotions -> a Table.

A root with `annotations/*.json`, `<split>/_annotations.coco.json` (Roboflow) or one JSON file comes in. The split is in
the file's or folder's name (train, val, test); pictures are looked for in the usual folders, CVAT's `images/default`
among them. Boxes are taken from polygons and masks where there are none, and are scaled or turned where the JSON
speaks of a picture of another size, or turned as EXIF says; where the size does not tell which, as of a square picture,
the file's other turned pictures do. A picture with a crowd region, or with an annotation that cannot be used, has faces
that no label tells of: it is left out wherever a detector would learn from it.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import numpy as np

from .. import boxes
from ..emotions import EMOTIONS, canonical
from ..errors import DataError
from ..images import ImageInfo, probe
from ..table.records import SPLITS, Notes, Table, concat
from ..text_files import read_json, slashes
from .coco_masks import box_of, mask_size
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
    placed = [
        _add(entry, number, faces, image, sizes, emotions, (split, path), notes)
        for number, entry in enumerate(annotations, start=1)
    ]
    if not all(placed):  # a face that may be in any picture, so that none of them is known to have no face
        for key, found in faces.items():
            if not found:
                notes.spoil(image[key])
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
    if any(faces.values()) and all(max(box) <= 1 for found in faces.values() for box, _ in found):
        raise DataError(
            "its boxes lie in 0..1, as shares of the picture do",
            where=path,
            mend="COCO has pixels: x, y, width, height",
        )
    drawn = {key: _drawn_on(found, sizes[key], probe(image[key])) for key, found in faces.items() if found}
    seen = {on for on, info in drawn.values() if info.orientation != 1}
    for key, (on, info) in drawn.items():
        on = on if on != "either" else "upright" if "upright" in seen and "stored" not in seen else "stored"
        faces[key] = _fitted(faces[key], on, sizes[key], info, (split, path), notes)
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
        images, annotations, kinds = content["images"], list(content["annotations"]), content["categories"]
        names = {_key(entry["id"]): _name(entry["file_name"]) for entry in images}
        sizes = {_key(entry["id"]): _size(entry) for entry in images}
        categories: dict = {}
        used = set(map(_category, annotations))
        for entry in kinds:  # of which those that nothing uses may be anything
            key, name = _category({"category_id": entry.get("id")}), entry.get("name")
            if key in used and categories.setdefault(key, name) != name:
                raise DataError(
                    f"two categories have the id {key}: {str(categories[key])[:60]} and {str(name)[:60]}",
                    where=path,
                    mend="an annotation could mean either",
                )
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
    """Width and height as the entry says, 0 for one that it does not say; None when it says neither."""
    try:
        width, height = (float(entry.get(side) or 0) for side in ("width", "height"))
    except (AttributeError, TypeError, ValueError, OverflowError):
        return None
    said = tuple(side if 1 <= side < 1e6 else 0.0 for side in (width, height))
    return (said[0], said[1]) if any(said) else None


def _emotion(name, path: Path) -> int:
    try:
        return EMOTIONS.index(canonical(str(name)))
    except DataError as error:
        raise DataError(
            f"category '{str(name)[:60]}' is not an emotion that emo knows", where=path, mend=error.mend
        ) from None


def _add(
    entry, number: int, faces: dict, image: dict, sizes: dict, emotions: dict, where: tuple[str, Path], notes: Notes
) -> bool:
    """Add an annotation to its picture's faces, or report what is wrong with it and mark the picture. False when the
    picture is not known.
    """
    said = f"annotation {str(entry.get('id', number))[:40] if isinstance(entry, dict) else number}"
    key = None
    try:
        key = _key(entry["image_id"])
        category, box, mask = _key(entry["category_id"]), box_of(entry), mask_size(entry)
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError):
        notes.drop(
            "bad-number",
            *where,
            0,
            f"{said}: its bbox is not four numbers and it has no mask, or it lacks an image or category",
        )
        notes.spoil(image.get(key, ""))
        return key is not None and key == key
    if key not in faces:
        notes.drop("missing-image", *where, 0, f"{said}: no image has id {str(key)[:40]}")
    elif _is_crowd(entry.get("iscrowd")):
        notes.count("crowd region", where[0], 1)
        notes.spoil(image[key])
    elif category not in emotions:
        notes.drop("class-range", *where, 0, f"{said}: no category has id {str(category)[:40]}")
        notes.spoil(image[key])
    elif mask and (sizes[key] or mask) != mask:
        notes.drop(
            "size-differs",
            *where,
            0,
            f"{said}: its mask is of {mask[0]}x{mask[1]}, its picture of {sizes[key][0]:g}x{sizes[key][1]:g}",
        )
        notes.spoil(image[key])
    else:
        sizes[key] = sizes[key] or mask
        faces[key].append((box, emotions[category]))
    return key is not None and key == key


def _is_crowd(said) -> bool:
    return bool(said) and str(said).strip().lower() not in ("0", "0.0", "false", "no", "")


def _drawn_on(faces: list, size_wh: tuple[float, float] | None, info: ImageInfo) -> tuple[str, ImageInfo]:
    """On which pixels the picture's boxes were drawn, by the size that the JSON says, else by where they reach: the
    `stored` ones, the `upright` ones, `either`, or `neither`.
    """
    if not min(info.size_wh):
        return "stored", info
    if size_wh is None:
        ends = np.array([box[2:] for box, _ in faces]).max(axis=0)
        fits = [bool((ends <= np.array(real) + 2).all()) for real in (info.size_wh, info.upright_wh)]
        fits = fits if any(fits) else [True, True]  # they reach over the edge anyway
    elif not min(size_wh):  # one side alone tells no scale
        fits = [all(said in (0, side) for said, side in zip(size_wh, real)) for real in (info.size_wh, info.upright_wh)]
    else:
        fits = [_scales(size_wh, real) for real in (info.size_wh, info.upright_wh)]
    stored, upright = fits[0], fits[1] and info.orientation != 1
    return ("either" if stored and upright else "stored" if stored else "upright" if upright else "neither"), info


def _scales(size_wh: tuple[float, float], real_wh: tuple[int, int]) -> bool:
    """Whether one is a larger copy of the other; sides of a smaller copy are rounded."""
    scale = (np.array(real_wh) / size_wh).mean()
    return bool(np.abs(np.array(size_wh) * scale - real_wh).max() <= max(2.0, 2 * scale))


def _fitted(
    faces: list, on: str, size_wh: tuple[float, float] | None, info: ImageInfo, where: tuple[str, Path], notes: Notes
) -> list:
    """The faces with boxes in the picture's stored pixels, when they were drawn `on` others, of `size_wh`."""
    image = str(info.path)
    is_wh, said_wh = (
        f"{image}: is {info.size_wh[0]}x{info.size_wh[1]}",
        "x".join(f"{side:g}" if side else "?" for side in size_wh) if size_wh else "",
    )
    if on == "neither":
        notes.drop("size-differs", *where, 0, f"{is_wh}, but the boxes are for {said_wh}")
        notes.spoil(image)
        return []
    real = info.upright_wh if on == "upright" else info.size_wh
    scale = np.array(real) / size_wh if size_wh and min(size_wh) else np.ones(2)
    if on == "stored" and (scale == 1).all():
        return faces
    xyxy = np.array([box for box, _ in faces]) * np.tile(scale, 2)
    if on == "upright":
        xyxy, how = boxes.stored(xyxy, info.orientation, info.size_wh), "turned as EXIF says"
    else:
        how = f"scaled by {scale[0]:.4g}"
    told = f"{is_wh}, not {said_wh}" if said_wh and size_wh != info.size_wh else f"{is_wh} before EXIF turns it"
    notes.note("size-differs", "info", *where, 0, f"{told}; its boxes are {how}")
    return [(tuple(box), emotion) for box, (_, emotion) in zip(xyxy.tolist(), faces)]


def _name(value) -> str:
    """A file's name as the file system has it: JSON can spell half a character, which no file name holds."""
    return str(value).encode("utf-8", "surrogatepass").decode("utf-8", "surrogateescape")


def _found(folder: Path, name: str) -> str:
    path = os.path.abspath(folder / name)
    return path if "\\" not in name or os.path.lexists(path) else os.path.abspath(folder / slashes(name))


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
