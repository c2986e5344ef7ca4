"""What a binary can do with finished weights: evaluate, predict, cut, and anchors. All in a folder of its own, thrown
away.

Results have the form of the built-in engine's, so that both can stand side by side.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from converters import boxes as boxlib
from converters.darknet_format.files import read_data, read_list
from converters.darknet_format.labels import label_path, read_label
from converters.errors import MediaError, RunError, UsageError

from ..network import cfg_file, layers, weights_file
from ..scoring.average_precision import mean_ap, rates
from ..scoring.nms import NMS_IOU, detections_as_dicts
from . import command_line
from .binary import Binary, plain
from .linked_dataset import RESULTS, LinkedDataset, link_dataset, link_lists
from .logs import LogParser, Validation
from .process import run

FLOOR = 0.005  # of pjreddie's `detector valid` and the others' `detector map`
TRAINING_ONLY = ("mosaic", "cutmix", "mixup", "letter_box_train")
MIN_LIST = 4  # pjreddie's `valid` reads four paths, however many there are


@contextlib.contextmanager
def bench(cfg_path: Path, weights_path: Path) -> Iterator[tuple[Path, cfg_file.Cfg]]:
    """A folder with model.cfg set to inference, and model.weights; the weights' length is checked first.

    These programs take any file for weights, and predict from noise.
    """
    cfg = cfg_file.load(cfg_path)
    weights_file.read(cfg, weights_path)
    changes = {"batch": 1, "subdivisions": 1} | {key: None for key in TRAINING_ONLY if key in cfg.net.options}
    with tempfile.TemporaryDirectory(prefix="emo-") as name:
        folder = Path(name)
        cfg_file.save(cfg.edit({0: changes}), folder / "model.cfg")
        os.symlink(os.path.abspath(weights_path), folder / "model.weights")
        yield folder, cfg


def failed(what: str, binary: Binary, returncode: int, lines: Sequence[str]) -> RunError:
    said = [plain(line).strip() for line in lines if plain(line).strip()]
    return RunError(
        f"{what} failed (exit code {returncode}): {said[-1][:200] if said else 'it printed nothing'}", where=binary.path
    )


def evaluate_detector(
    binary: Binary,
    cfg_path: Path,
    data_path: Path,
    weights_path: Path,
    split: str = "valid",
    *,
    iou: float = 0.5,
    conf: float = 0.25,
    points: int = 0,
    threads: int | None = None,
) -> dict:
    """mAP of `split`: the binary's own `map` where it has one, else its detections (`valid`) and Darknet's AP."""
    data = read_data(data_path)
    images = read_list(data.list_of(split))
    truths = [read_label(label_path(path), data.classes) for path in images]
    settings = {
        "split": split,
        "pictures": len(images),
        "iou": iou,
        "conf": conf,
        "points": points,
        "binary": binary.summary(),
        "map": "mean over the classes that have truths; map_darknet over all classes",
    }
    counts = np.bincount(np.concatenate([label[:, 0] for label in truths]).astype(int), minlength=data.classes)
    with bench(cfg_path, weights_path) as (folder, cfg):
        settings |= {"size": list(cfg.size_wh), "nms": {"iou": NMS_IOU, "per_class": True}}
        feed = link_lists(folder, data.names, {"valid": images})
        if "map" in binary.commands:
            argv = command_line.map_(
                binary, feed.data, Path("model.cfg"), Path("model.weights"), conf=conf, iou=iou, points=points
            )
            found = _validated(binary, argv, folder, threads)
            if found.map is None or len(found.ap) != data.classes:
                raise RunError("`map` printed no complete result", where=binary.path)
            ap = {name: found.ap[token] for name, token in zip(feed.names, feed.tokens)}
            known = [ap[name] for name, count in zip(data.names, counts) if count]
            scores = {
                "map": float(np.mean(known)) if known else float("nan"),
                "map_darknet": found.map,
                "ap": {name: value if count else None for (name, value), count in zip(ap.items(), counts)},
                "tp": found.tp,
                "fp": found.fp,
                "precision": found.precision or 0.0,
                "recall": found.recall or 0.0,
                "f1": found.f1 or 0.0,
                "mean_iou": found.avg_iou,
                "classes": {
                    name: rates(*found.hits[token], int(count))
                    for name, token, count in zip(feed.names, feed.tokens, counts)
                    if token in found.hits
                },
            }
            settings |= {
                "score_floor": FLOOR,
                "letter_box": bool(cfg.net.integer("letter_box", 0)),
                "by": "the binary's map",
            }
        else:
            detected = _detections(binary, folder, feed, images, threads)
            sizes = [_size(path) for path in images]
            told = [boxlib.cxcywh_rel_to_xyxy(label[:, 1:], size) for label, size in zip(truths, sizes)]
            result = mean_ap(
                detected, [(xyxy, label[:, 0]) for xyxy, label in zip(told, truths)], data.classes, iou, conf, points
            )
            scores = {
                "map": result.mean,
                "map_darknet": result.mean_darknet,
                "ap": {name: None if np.isnan(value) else float(value) for name, value in zip(data.names, result.ap)},
                "tp": result.tp,
                "fp": result.fp,
                "precision": result.precision,
                "recall": result.recall,
                "f1": result.f1,
                "mean_iou": result.mean_iou,
                "classes": dict(zip(data.names, result.by_class())),
            }
            settings |= {"score_floor": FLOOR, "letter_box": True, "by": "emo, from the binary's valid"}
    return scores | {"truths": dict(zip(data.names, counts.tolist())), "settings": settings}


def evaluate_classifier(
    binary: Binary,
    cfg_path: Path,
    data_path: Path,
    weights_path: Path,
    split: str = "valid",
    *,
    top: int | None = None,
    threads: int | None = None,
) -> dict:
    """top-1 and top-k accuracy of `split`, as the binary's `classifier valid` counts them."""
    data = read_data(data_path)
    images, k = read_list(data.list_of(split)), min(top or data.top, data.classes)
    with bench(cfg_path, weights_path) as (folder, cfg):
        feed = link_lists(folder, data.names, {"valid": images}, classifier=data.labels, top=k)
        found = _validated(
            binary, command_line.top_k(binary, feed.data, Path("model.cfg"), Path("model.weights")), folder, threads
        )
    if found.images != len(images):
        raise RunError(f"`classifier valid` looked at {found.images or 0} of {len(images)} pictures", where=binary.path)
    return {
        "top1": found.top1,
        f"top{k}": found.topk,
        "settings": {"split": split, "pictures": len(images), "size": list(cfg.size_wh), "binary": binary.summary()},
    }


def _validated(binary, argv, folder, threads) -> Validation:
    returncode, lines = run(argv, cwd=folder, threads=threads)
    parser = LogParser()
    for line in lines:
        parser.feed(line)
    if returncode and parser.validation == Validation():
        raise failed(argv[2], binary, returncode, lines)
    return parser.validation


def _size(path) -> tuple[int, int]:
    """Width and height as the pictures are decoded, EXIF orientation applied."""
    from PIL import Image, ImageOps

    with Image.open(path) as picture:
        orientation = picture.getexif().get(0x0112, 1)
        return (
            picture.size[::-1]
            if orientation >= 5
            else ImageOps.exif_transpose(picture).size
            if orientation > 1
            else picture.size
        )


def _detections(
    binary: Binary, folder: Path, feed: LinkedDataset, images: Sequence[Path], threads
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Per picture xyxy_px (N, 4) and scores (N, C) after NMS, from the files of pjreddie's `detector valid`.

    It is the only way to that flavour's boxes; the others' `valid` stops its NMS at 0.6, and they have `test -out`.
    """
    listed = (folder / "feed" / "valid.txt").read_text().split()
    if len(listed) < MIN_LIST:
        (folder / "feed" / "valid.txt").write_text(
            "".join(f"{name}\n" for name in listed + [listed[-1]] * (MIN_LIST - len(listed)))
        )
    returncode, lines = run(
        command_line.valid(binary, feed.data, Path("model.cfg"), Path("model.weights")), cwd=folder, threads=threads
    )
    if not any("total detection time" in line.lower() for line in lines):
        raise failed("valid", binary, returncode, lines)
    classes = len(feed.names)
    rows: list[dict] = [{} for _ in images]
    for class_id, token in enumerate(feed.tokens):
        for line in (folder / RESULTS / f"comp4_det_test_{token}.txt").read_text().splitlines():
            number, score, *box = line.split()
            rows[int(number) - 1].setdefault(tuple(box), np.zeros(classes))[class_id] = float(score)
    out = []
    for path, found in zip(images, rows):
        xyxy = np.array([[float(value) for value in box] for box in found], float).reshape(-1, 4)
        size = np.array(_size(path), float)
        edge = xyxy[:, 2:] >= size  # they add 1 and then clip: what lies at the edge is not moved back
        xyxy -= 1
        xyxy[:, 2:][edge] = np.broadcast_to(size, edge.shape)[edge]
        out.append((xyxy, np.array(list(found.values()), float).reshape(-1, classes)))
    return out


def predict(
    binary: Binary,
    cfg_path: Path,
    names: Sequence[str],
    weights_path: Path,
    images: Sequence[Path],
    *,
    conf: float = 0.25,
    threads: int | None = None,
) -> list[dict]:
    """A dict a picture: `objects` (name, class_id, score, xyxy_px) of a detector, or `scores` of a classifier; best
    first.
    """
    missing = next((path for path in images if not Path(path).is_file()), None)
    if missing is not None:
        raise MediaError("no such picture", where=missing)
    images = [Path(path) for path in images]
    with bench(cfg_path, weights_path) as (folder, cfg):
        if cfg.is_detector:
            feed = link_lists(folder, tuple(names), {"valid": images}, labels=False)
            if binary.flavour != "pjreddie":
                return _tested(binary, folder, feed, images, names, conf, threads)
            detected = _detections(binary, folder, feed, images, threads)
            return [
                {"image": str(path), "objects": detections_as_dicts(xyxy, scores, names, conf)}
                for path, (xyxy, scores) in zip(images, detected)
            ]
        feed = link_lists(folder, tuple(names), {"valid": images}, classifier=tuple(names), labels=False)
        argv = command_line.predict(binary, feed.data, Path("model.cfg"), Path("model.weights"), len(names))
        returncode, lines = run(argv, cwd=folder, stdin=(folder / "feed" / "valid.txt").read_bytes(), threads=threads)
    found = _classes(lines, feed)
    if len(found) != len(images) or any(len(scores) != len(names) for scores in found):
        raise failed("predict", binary, returncode, lines)
    return [{"image": str(path), "scores": scores} for path, scores in zip(images, found)]


def _tested(binary, folder, feed, images, names, conf, threads) -> list[dict]:
    """`detector test -out`, which lists boxes after NMS at 0.45, not yet clipped to the picture."""
    argv = command_line.test(binary, feed.data, Path("model.cfg"), Path("model.weights"), conf, Path("found.json"))
    returncode, lines = run(argv, cwd=folder, stdin=(folder / "feed" / "valid.txt").read_bytes(), threads=threads)
    try:
        told = json.loads((folder / "found.json").read_text())
    except (OSError, ValueError):
        raise failed("test", binary, returncode, lines) from None
    if len(told) != len(images):
        raise failed("test", binary, returncode, lines)
    out = []
    for path, picture in zip(images, told):
        size, rows = _size(path), [item for item in picture["objects"] if item["confidence"] > conf]
        rel = [
            [item["relative_coordinates"][key] for key in ("center_x", "center_y", "width", "height")] for item in rows
        ]
        xyxy = boxlib.clip(boxlib.cxcywh_rel_to_xyxy(np.reshape(rel, (-1, 4)), size), size)
        scores = np.zeros((len(rows), len(names)))
        scores[np.arange(len(rows)), [item["class_id"] for item in rows]] = [item["confidence"] for item in rows]
        out.append({"image": str(path), "objects": detections_as_dicts(xyxy, scores, names, conf)})
    return out


def _classes(lines, feed) -> list[dict[str, float]]:
    """`fear: 0.572654` (AlexeyAB's) or `57.77%: fear` (pjreddie's) below a line that says `Predicted in`."""
    found: list[dict[str, float]] = []
    for line in lines:
        line = plain(line)
        if ": Predicted in" in line:
            found.append({})
        elif found and (match := re.match(r"\s*([\d.]+)%: (\S+)\s*$", line)):
            found[-1][feed.name_of(match[2])] = float(match[1]) / 100
        elif found and (match := re.match(r"\s*(\S+): ([\d.]+)\s*$", line)):
            found[-1][feed.name_of(match[1])] = float(match[2])
    return found


def partial(binary: Binary, cfg_path: Path, weights_path: Path, out: Path, count: int) -> int:
    """Layers 0..count-1 of the weights to `out`, by the binary's own `partial`; the file's length.

    UsageError for a count that the cfg does not have: these programs write a bare header, or everything.
    """
    with bench(cfg_path, weights_path) as (folder, cfg):
        traced = layers.trace(cfg)
        if not 0 < count <= len(traced):
            raise UsageError(f"the cfg has layers 1 to {len(traced)} to keep, not {count}", where=cfg_path)
        argv = command_line.partial(binary, Path("model.cfg"), Path("model.weights"), Path("part.weights"), count)
        returncode, lines = run(argv, cwd=folder)
        made, expected = folder / "part.weights", weights_file.weights_bytes(traced[:count])
        if not made.exists() or made.stat().st_size != expected:
            raise failed("partial", binary, returncode, lines)
        temporary = out.with_name(out.name + ".part")
        shutil.copyfile(made, temporary)
        os.replace(temporary, out)
    return expected


def anchors(binary: Binary, data_path: Path, count: int, size_wh: tuple[int, int]) -> list[tuple[float, float]]:
    """k-means anchors of the train list in pixels of the network's input, smallest first, by the binary."""
    with tempfile.TemporaryDirectory(prefix="emo-") as name:
        folder = Path(name)
        feed = link_dataset(folder, read_data(data_path), ("train",))
        returncode, lines = run(command_line.anchors(binary, feed.data, count, size_wh), cwd=folder)
        made = folder / "anchors.txt"
        values = [float(text) for text in re.findall(r"[\d.]+", made.read_text())] if made.exists() else []
    if len(values) != 2 * count:
        raise failed("calc_anchors", binary, returncode, lines)
    return list(zip(values[::2], values[1::2]))
