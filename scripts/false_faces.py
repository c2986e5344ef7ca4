#!/usr/bin/env python3
"""How many faces a model sees where there are none: drawn pictures without people, and photographs with the faces painted
out. With `teach`, such pictures as a Darknet set of empty labels, to train on.

    python scripts/false_faces.py measure yolo --lfw lfw/emo.data            # 500 drawn pictures, and LFW's valid list
    python scripts/false_faces.py measure yolo emo-v4-nano@320 runs/yolo-001 --count 200 --json
    python scripts/false_faces.py measure two-stage --lfw lfw/emo.data --show false-faces
    python scripts/false_faces.py teach --lfw lfw/emo.data --count 1200 --out negatives

--lfw is a detector's set (`emo convert affectnet --task detector`). Its labels name one face a picture; faces without a
label are found by YuNet (`emo models pull yunet`, or --finder FILE) at a low score and painted out too. `measure` takes
the valid list and seed 0, `teach` the train list and seed 1: no picture is in both, though both are drawn by one hand.
"""  # noqa: E501

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import cv2
import faceless  # beside this file
import numpy as np

from converters import boxes
from converters.darknet_format.dataset import write_lists
from converters.darknet_format.files import read_data, read_list
from converters.darknet_format.labels import label_path, read_label, sibling
from converters.synthesis.scenes import skin_tones
from darknet_runner.scoring.nms import overlap
from emotion.systems.face_finders import open_finder
from emotion.systems.open import SystemSettings, open_subject

SIZES_WH = ((384, 384), (512, 384), (384, 512), (640, 360), (250, 250))
LOW = 0.3  # score at which YuNet's finds are painted out: rather too much than a face left


@click.group(help=__doc__.split("\n\n")[0])
def main():
    cv2.setNumThreads(1)


def drawn(count: int, seed: int) -> Iterator[tuple[str, np.ndarray]]:
    """(kind, picture) of `count` pictures without faces, every kind as often."""
    kinds = list(faceless.KINDS)
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        kind = kinds[number % len(kinds)]
        yield kind, faceless.draw(kind, rng, SIZES_WH[rng.integers(len(SIZES_WH))])


class Photographs:
    """A list of a detector's set: pictures and every face in them, with a label or without."""

    def __init__(self, data: Path, split: str, finder: str):
        one = read_data(data if data.is_file() else data / "emo.data")
        self.paths, self.classes, self.names = read_list(one.list_of(split)), one.classes, one.names
        self.finder = open_finder(finder, conf=LOW)

    def labelled(self, path: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """BGR picture, its labels (N, 5) as in the file, their boxes xyxy_px (N, 4)."""
        picture, label = cv2.imread(str(path)), read_label(label_path(path), self.classes)
        return picture, label, boxes.cxcywh_rel_to_xyxy(label[:, 1:], picture.shape[1::-1])

    def all_faces(self, path: str) -> tuple[np.ndarray, np.ndarray]:
        """BGR picture, and boxes xyxy_px (N, 4) of labels and of what the finder sees, so that a face may be twice."""
        picture, _, known = self.labelled(path)
        return picture, np.concatenate([known, np.reshape(self.finder.find(picture)[0], (-1, 4))])

    def without_faces(self, seed: int) -> Iterator[tuple[str, np.ndarray]]:
        """("painted out", picture) of every photograph."""
        for number, path in enumerate(self.paths):
            yield "painted out", faceless.painted_out(*self.all_faces(path), np.random.default_rng([seed, number]))


@main.command()
@click.argument("models", nargs=-1, required=True)
@click.option("--count", default=500, show_default=True, help="Drawn pictures.")
@click.option("--lfw", type=click.Path(exists=True, path_type=Path), help="Photographs whose faces are painted out.")
@click.option("--finder", default="yunet", show_default=True, help="What finds the faces that have no label.")
@click.option("--conf", default=0.25, show_default=True)
@click.option("--backend", default="auto", show_default=True)
@click.option("--show", type=click.Path(path_type=Path), help="Folder for the pictures with false faces, boxes drawn.")
@click.option("--json", "as_json", is_flag=True)
def measure(models, count, lfw, finder, conf, backend, show, as_json):
    """False faces of each model in 100 pictures without people, and in which kinds of pictures."""
    out = counted(models, count, lfw, finder, conf, backend, show)
    if as_json:
        click.echo(json.dumps(out, indent=2))
        return
    for name, told in out.items():
        line = "; ".join(
            f"{part.replace('_', ' ')}: {one['false_faces']} in {one['pictures']} pictures, {one['in_100']} in 100"
            for part, one in told.items()
            if part != "kinds"
        )
        click.echo(f"{name}: {line} ({', '.join(f'{kind} {many}' for kind, many in told['kinds'].items())})")


def counted(
    names: Sequence[str],
    count: int,
    lfw: Path | None = None,
    finder: str = "yunet",
    conf: float = 0.25,
    backend: str = "auto",
    show: Path | None = None,
) -> dict[str, dict]:
    """Of each model: its false faces in `drawn` and `painted_out` pictures, and in which `kinds`."""
    systems = {name: open_subject(name, SystemSettings(conf=conf, backend=backend)) for name in names}
    pictures, faces = Counter(), {name: Counter() for name in names}
    sources = [drawn(count, seed=0)]
    if lfw:
        sources.append(Photographs(lfw, "valid", finder).without_faces(seed=0))
    for number, (kind, picture) in enumerate(itertools.chain(*sources)):
        pictures[kind] += 1
        for name, system in systems.items():
            boxes_px = system.detect([picture])[0].xyxy_px
            faces[name][kind] += len(boxes_px)
            if show and len(boxes_px):
                show.mkdir(parents=True, exist_ok=True)
                shown = f"{name}-{number:04d}-{kind}.png".replace("/", "-").replace(":", "-").replace(" ", "-")
                cv2.imwrite(str(show / shown), framed(picture, boxes_px))
    return {name: summed(pictures, wrong) for name, wrong in faces.items()}


def framed(picture: np.ndarray, boxes_px: np.ndarray) -> np.ndarray:
    picture = picture.copy()
    for x1, y1, x2, y2 in boxes_px.round().astype(int).tolist():
        cv2.rectangle(picture, (x1, y1), (x2, y2), (0, 0, 255), 2)
    return picture


def summed(pictures: Counter, faces: Counter) -> dict:
    """Counts of each kind -> what a card says."""
    out: dict[str, dict] = {}
    for part, kinds in (("drawn", [*faceless.KINDS]), ("painted_out", ["painted out"])):
        if many := sum(pictures[kind] for kind in kinds):
            wrong = sum(faces[kind] for kind in kinds)
            out[part] = {"pictures": many, "false_faces": wrong, "in_100": round(100 * wrong / many, 2)}
    return out | {"kinds": {kind: many for kind, many in faces.items() if many}}


@main.command()
@click.option("--lfw", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--finder", default="yunet", show_default=True)
@click.option("--count", default=1200, show_default=True, help="Pictures: drawn, painted out, adorned, a third each.")
@click.option("--seed", default=1, show_default=True, help="Not 0, with which `measure` draws.")
@click.option("--out", type=click.Path(path_type=Path), required=True)
def teach(lfw, finder, count, seed, out):
    """A Darknet set to train on: pictures without faces, their labels empty, and faces beside badges and buttons."""
    photographs = Photographs(lfw, "train", finder)
    order = np.random.default_rng(seed).permutation(len(photographs.paths))
    folder, names = out / "train", []
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        path = photographs.paths[order[number % len(order)]]
        picture, lines = example(number % 3, path, photographs, rng)
        name = folder / f"negative{number:06d}.jpg"
        cv2.imwrite(str(name), picture, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(70, 96))])
        sibling(name).write_text(lines)
        names.append(str(name.absolute()))
    write_lists(out, str(out.absolute()), {"train": names}, photographs.names)
    click.echo(f"{count} pictures -> {out / 'emo.data'}")


def example(kind: int, path: str, photographs: Photographs, rng: np.random.Generator) -> tuple[np.ndarray, str]:
    """A picture and the text of its label file. 0: drawn; 1: faces painted out; 2: a face beside badges and buttons."""
    if kind == 0:
        many = ("badges", "tags", "buttons", "badges", "tags", "buttons", "circles", "text", "textures", "rooms")
        return faceless.draw(many[rng.integers(len(many))], rng, SIZES_WH[rng.integers(len(SIZES_WH))]), ""
    if kind == 1:
        picture = tinted(faceless.painted_out(*photographs.all_faces(path), rng, rng.uniform(1.2, 1.5)), rng)
        side = int(rng.uniform(0.4, 1.0) * min(picture.shape[:2]))
        x, y = (int(rng.integers(0, whole - side + 1)) for whole in picture.shape[1::-1])
        picture = picture[y : y + side, x : x + side]
        return faceless.adorned(picture, [], rng) if rng.random() < 0.4 else picture, ""
    picture, label, known = photographs.labelled(path)
    others = [box for box in photographs.all_faces(path)[1][len(known) :] if overlap(box[None], known).max() < 0.1]
    picture = faceless.painted_out(picture, others, rng, 1.2)
    height, width = picture.shape[:2]
    below = int(rng.uniform(0, 0.5) * height)  # more of the clothes than the photograph shows
    cloth = faceless.ground(rng, (width, below)) if below else picture[:0]
    picture = faceless.adorned(np.vstack([tinted(picture, rng), cloth]), known, rng)
    scaled = boxes.xyxy_to_cxcywh_rel(known, picture.shape[1::-1])
    return picture, "".join("%d %.6f %.6f %.6f %.6f\n" % (int(one[0]), *box) for one, box in zip(label, scaled))


def tinted(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Grey pictures in a colour of skin, at times, so that colour alone tells nothing."""
    if rng.random() < 0.5:
        return picture
    return np.clip(skin_tones(rng)[picture[..., 1]], 0, 255).astype(np.uint8)


if __name__ == "__main__":
    main()
