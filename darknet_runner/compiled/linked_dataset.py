"""A dataset laid out as every Darknet can read it: links with plain, short, relative names in the run folder.

    feed = link_dataset(run.path, read_data("emo.data"), ("train", "valid"))
    feed.data                        # feed.data, to be used with the run folder as working directory

Darknets cut paths at 256 bytes, replace `images` and `raw` anywhere in them, know few extensions, search
a classifier's class in the whole path, and AlexeyAB's hands a bad label's path to a shell. So none ever
sees a path of the user's: it sees `feed/train/0000001.jpg` (with its `.txt` beside it), or a
classifier's `feed/train/Happy/0000001.jpg`.
"""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from converters.darknet_format.files import DataFile, class_of_path, read_list, write_data
from converters.darknet_format.labels import canonical, examine_label, label_path, sibling
from converters.errors import DataError, RunError

FOLDER = "feed"
RESULTS = "results"  # where `detector valid` writes; it crashes when the folder is not there
_WORDS = ("feed", "train", "valid", "test", "jpg", "png", "txt")


@dataclass(frozen=True)
class LinkedDataset:
    """`data` is relative to `root`; `sources` maps a link (relative, as text) to the picture it stands for."""

    root: Path
    data: Path
    names: tuple[str, ...]  # the user's
    tokens: tuple[str, ...]  # what the binary is told, in the same order
    sources: dict[str, Path]

    def name_of(self, token: str) -> str:
        return self.names[self.tokens.index(token)] if token in self.tokens else token

    def told(self, line: str) -> str:
        """A line of the binary's with the user's own paths in the links' places."""
        return re.sub(rf"{FOLDER}/[\w/]+\.(?:jpg|png|txt)", lambda match: self._source(match[0]), line)

    def _source(self, link):
        for suffix in (".jpg", ".png"):
            found = self.sources.get(os.path.splitext(link)[0] + suffix)
            if found is not None:
                return str(label_path(found) if link.endswith(".txt") else found)
        return link


def tokens(names: tuple[str, ...]) -> tuple[str, ...]:
    """The names themselves when every one is plain and part of no other and of no path here; else class000, ..."""
    plain = all(re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", name) for name in names)
    others = [[*names[:index], *names[index + 1 :], *_WORDS] for index in range(len(names))]
    if plain and not any(name in other for name, rest in zip(names, others) for other in rest):
        return tuple(names)
    return tuple(f"class{index:03d}" for index in range(len(names)))


def link_dataset(root: Path, data: DataFile, splits: tuple[str, ...], **options: Any) -> LinkedDataset:
    """Make root/feed anew with the lists of `splits` (those that `data` has) and feed.data with `options` added."""
    lists = {split: read_list(data.list_of(split)) for split in splits}
    return link_lists(root, data.names, lists, classifier=data.labels, top=data.top, **options)


def link_lists(
    root: Path,
    names: tuple[str, ...],
    lists: dict[str, list[Path]],
    *,
    classifier: tuple[str, ...] | None = None,
    labels: bool = True,
    top: int = 1,
    **options: object,
) -> LinkedDataset:
    """As `link_dataset`, from lists of pictures. `classifier` holds the labels that the paths are searched for.

    With `labels=False` no label files are linked and a classifier's pictures need match no label: for predicting.
    """
    folder, named, sources = root / FOLDER, tokens(tuple(names)), {}
    shutil.rmtree(folder, ignore_errors=True)
    try:
        (root / RESULTS).mkdir(parents=True, exist_ok=True)
        folder.mkdir()
        for split, images in lists.items():
            lines = []
            for number, image in enumerate(images, start=1):
                under = f"{FOLDER}/{split}"
                if classifier is not None and labels:
                    under += f"/{named[class_of_path(image, classifier)]}"
                name = f"{under}/{number:07d}{_suffix(image)}"
                if number == 1 or classifier is not None:
                    (root / under).mkdir(parents=True, exist_ok=True)
                os.symlink(os.path.abspath(image), root / name)
                if classifier is None and labels:
                    _label(label_path(image), root / sibling(name), len(names))
                sources[name] = image
                lines.append(name)
            (folder / f"{split}.txt").write_text("".join(f"{line}\n" for line in lines))
        (folder / "names.txt").write_text("".join(f"{name}\n" for name in named))
        write_data(
            folder / "feed.data",
            classes=len(names),
            **{split: f"{FOLDER}/{split}.txt" for split in lists},
            names=f"{FOLDER}/names.txt",
            labels=f"{FOLDER}/names.txt" if classifier is not None else None,
            top=min(top, len(names)),
            results=RESULTS,
            **options,
        )
    except OSError as error:
        raise RunError(f"the dataset cannot be laid out: {error.strerror}", where=folder) from None
    return LinkedDataset(root, Path(FOLDER) / "feed.data", tuple(names), named, sources)


def _label(source: Path, link: Path, classes: int) -> None:
    """The label file linked, or written anew where a binary would misread what emo understands."""
    try:
        label = examine_label(source, classes)
    except DataError:  # which the binary will tell of, as of errors in it
        label = None
    if label is not None and label.faults and not any(fault.severity == "error" for fault in label.faults):
        link.write_text(canonical(label.rows))
    else:
        os.symlink(os.path.abspath(source), link)


def _suffix(image):
    suffix = image.suffix.lower()
    if suffix in (".jpg", ".jpeg"):
        return ".jpg"
    if suffix in (".png", ".bmp"):  # the decoders go by the content
        return ".png"
    raise DataError(
        f"Darknet cannot read a {suffix or 'file without extension'}",
        where=image,
        mend="convert the pictures to .jpg or .png",
    )
