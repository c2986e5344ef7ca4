"""`data.yaml`, as Roboflow exports it and other YOLOs read it: the same set as a `.data` file says, in other words.

read("data.yaml") -> (("Neutral", "Happy"), {"train": "/set/train/images", "valid": "/set/valid/images"})

Where a split has several folders or lists, they stand in lines of their own.
"""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import DataError
from ..text_files import read_yaml, slashes

SUFFIXES = (".yaml", ".yml")
KEYS = {"train": ("train",), "valid": ("val", "valid"), "test": ("test",)}
_MEND = "expected train, val and names"


def read(path: str | Path) -> tuple[tuple[str, ...], dict[str, str]]:
    """The class names, and for each split the folder of pictures or list file that it names, or several in lines, as
    they are found.

    DataError for what is no such file.
    """
    path = Path(path)
    content = read_yaml(path)
    if not isinstance(content, dict) or "names" not in content:
        raise DataError("is not a data.yaml: it has no names", where=path, mend=_MEND)
    names = _names(content["names"], path)
    said = content.get("nc")
    said = said.strip() if isinstance(said, str) else said
    if "nc" in content and said not in (len(names), str(len(names))):
        said = said if isinstance(said, (str, int, float)) else "no number"  # aliases can make a list endless
        raise DataError(f"nc is {str(said)[:20]}, but it has {len(names)} names", where=path)
    root = content.get("path")
    roots = [path.parent / root, path.parent] if isinstance(root, str) and root else [path.parent]
    splits = {}
    for split, keys in KEYS.items():
        said = next((content[key] for key in keys if content.get(key)), None)
        if said is None:
            continue
        some = said if isinstance(said, list) else [said]
        if not all(isinstance(value, str) and value and "\n" not in value for value in some):
            raise DataError(f"{split} is not a folder or file, or several", where=path, mend=_MEND)
        splits[split] = "\n".join(_found(slashes(value), roots) for value in some)
    if not splits:
        raise DataError("names neither train nor val", where=path, mend=_MEND)
    return names, splits


def is_set(path: str | Path) -> bool:
    """Whether a YAML file describes a set: other tools leave settings of their own beside it."""
    try:
        content = read_yaml(path)
    except DataError:
        return False
    return (
        isinstance(content, dict)
        and "names" in content
        and any(key in content for keys in KEYS.values() for key in keys)
    )


def write(path: Path, root: str, names: tuple[str, ...], splits: list[str]) -> None:
    """Write a data.yaml over the lists `<root>/<split>.txt`."""
    import yaml

    content: dict = {"path": root} | {KEYS[split][0]: f"{split}.txt" for split in splits}
    content.setdefault("val", content.get("train", "train.txt"))  # which others insist on
    content |= {"nc": len(names), "names": dict(enumerate(names))}
    path.write_text(
        yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8", errors="surrogateescape"
    )


def _names(said, path: Path) -> tuple[str, ...]:
    if isinstance(said, dict):
        if sorted(map(str, said)) != sorted(map(str, range(len(said)))):
            raise DataError(f"the names are not numbered from 0 to {len(said) - 1}", where=path)
        said = [name for _, name in sorted(said.items(), key=lambda item: int(item[0]))]
    if not isinstance(said, list) or not said or not all(isinstance(name, (str, int, float)) for name in said):
        raise DataError("names is not a list of names", where=path, mend=_MEND)
    return tuple(str(name).strip() for name in said)


def _found(value: str, roots: list[Path]) -> str:
    """The first place that is there; Roboflow writes `../train/images` for what lies beside the file."""
    inner = value
    while inner.startswith(("../", "./")):
        inner = inner.partition("/")[2]
    for root in roots:
        for name in (value, inner):
            if os.path.exists(root / name):
                return os.path.normpath(root / name)
    return os.path.normpath(roots[0] / value)
