"""Boxes and classes from a network, and how good they are on a split: `detector map` and `classifier valid`.

Settings are those of AlexeyAB's src/detector.c, validate_detector_map: score floor 0.005, NMS per class at
0.45 (IoU, or with nms_kind=greedynms the DIoU form), pictures stretched to the network's size (or
letter-boxed where the cfg says so).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch

from converters import boxes as boxlib
from converters.darknet_format.files import DataFile, class_of_path, read_list
from converters.darknet_format.labels import label_path, read_label
from converters.errors import DataError

from ..network.preprocessing import Preprocessing
from ..network.resize import letter_size, letterbox, resize
from ..scoring.average_precision import mean_ap
from ..scoring.nms import NMS_IOU, darknet_order, diou_beta, nms
from .data import read_picture
from .heads import head_of
from .network import Network

SCORE_FLOOR = 0.005


def fitted(picture: np.ndarray, size_wh, letter_box: bool = False) -> torch.Tensor:
    """uint8 (H, W, C) -> (1, C, h, w) float in 0..1, as Darknet resizes it; letter_box keeps the aspect and fills
    with 0.5.
    """
    plane = letterbox(picture, size_wh)[0] if letter_box else resize(picture, size_wh)
    return torch.from_numpy(np.ascontiguousarray(plane.transpose(2, 0, 1)))[None] / 255


def found_boxes(network: Network, raw: list[torch.Tensor], floor: float, most: int | None = None):
    """Raw heads of a batch -> per picture xyxy relative (N, 4), scores (N, C), before NMS."""
    size_wh = network.cfg.size_wh
    parts = []
    for layer, tensor in zip(network.heads, raw):
        boxes, objectness, probability = head_of(layer.section).decode(tensor.float(), size_wh)
        parts.append([part.flatten(1, 3) for part in (boxes, objectness, probability)])
    boxes, objectness, probability = (torch.cat([part[index] for part in parts], 1) for index in range(3))
    out = []
    for box, sure, kind in zip(boxes, objectness, probability):
        keep = (sure > floor) & box.isfinite().all(-1)  # a young network's exp may overflow
        box, score, sure = box[keep], kind[keep] * sure[keep, None], sure[keep]
        if most is not None and len(box) > most:
            top = sure.topk(most).indices
            box, score = box[top], score[top]
        score = torch.where(score > floor, score, 0)
        xyxy = torch.cat([box[:, :2] - box[:, 2:] / 2, box[:, :2] + box[:, 2:] / 2], 1)
        out.append((xyxy.cpu().numpy().astype(float), score.cpu().numpy().astype(float)))
    return out


def _batches(paths, network, device, batch, letter_box):
    channels, size = network.cfg.net.integer("channels", 3), network.cfg.size_wh
    for start in range(0, len(paths), batch):
        pictures = [read_picture(path, channels) for path in paths[start : start + batch]]
        tensor = torch.cat([fitted(picture, size, letter_box) for picture in pictures])
        yield pictures, tensor.to(device, memory_format=torch.channels_last)


@torch.no_grad()
def evaluate_detector(
    network: Network,
    data: DataFile,
    split: str = "valid",
    *,
    device="cpu",
    batch: int = 8,
    iou: float = 0.5,
    conf: float = 0.25,
    points: int = 0,
    floor: float = SCORE_FLOOR,
    most: int | None = None,
    letter_box: bool | None = None,
    limit: int | None = None,
    progress: Callable[[Iterable], Iterable] = lambda x: x,
) -> dict:
    """mAP over the pictures of a split, with what made it: a plain dict, ready for JSON.

    most: keep only the best boxes of a picture before NMS (validation while training); Darknet keeps all.
    """
    paths = read_list(data.list_of(split))[:limit]
    truths = [read_label(label_path(path), data.classes) for path in paths]
    if letter_box is None:
        letter_box = bool(network.cfg.net.integer("letter_box", 0))
    kind = network.heads[-1].section.text("nms_kind", "default")
    beta = diou_beta(network.heads[-1].section)
    network.eval()
    predictions = []
    for pictures, tensor in progress(_batches(paths, network, device, batch, letter_box)):
        for picture, (xyxy, scores) in zip(pictures, found_boxes(network, network(tensor), floor, most)):
            if letter_box:
                xyxy = unboxed(xyxy, picture.shape[1::-1], network.cfg.size_wh)
            order = darknet_order(scores)
            predictions.append((xyxy[order], nms(xyxy[order], scores[order], NMS_IOU, beta)))
    result = mean_ap(
        predictions,
        [(boxlib.cxcywh_rel_to_xyxy(label[:, 1:], (1, 1)), label[:, 0]) for label in truths],
        data.classes,
        iou,
        conf,
        points,
    )
    return {
        "map": result.mean,
        "map_darknet": result.mean_darknet,
        "ap": {name: None if np.isnan(value) else float(value) for name, value in zip(data.names, result.ap)},
        "truths": dict(zip(data.names, result.truths.tolist())),
        "tp": result.tp,
        "fp": result.fp,
        "precision": result.precision,
        "recall": result.recall,
        "f1": result.f1,
        "mean_iou": result.mean_iou,
        "classes": dict(zip(data.names, result.by_class())),
        "settings": {
            "split": split,
            "pictures": len(paths),
            "iou": iou,
            "conf": conf,
            "points": points,
            "score_floor": floor,
            "nms": {"iou": NMS_IOU, "kind": kind, "per_class": True},
            "size": list(network.cfg.size_wh),
            "letter_box": letter_box,
            "most_boxes": most,
            "map": "mean over the classes that have truths; map_darknet over all classes",
        },
    }


def unboxed(xyxy, source_wh, size_wh):
    """(N, 4) relative to the letter box -> relative to the picture; src/network.c, correct_yolo_boxes."""
    inner = np.array(letter_size(source_wh, size_wh), float)
    size = np.array(size_wh, float)
    offset = (size - inner) / 2 / size
    return (xyxy - np.tile(offset, 2)) / np.tile(inner / size, 2)


def cropped(picture: np.ndarray, size_wh) -> np.ndarray:
    """The shorter side to the network's size, then the middle: what `classifier valid` sees (src/classifier.c)."""
    height, width = picture.shape[:2]
    scale = max(size_wh[0] / width, size_wh[1] / height)
    inner = (max(size_wh[0], round(width * scale)), max(size_wh[1], round(height * scale)))
    tensor = fitted(picture, inner)[0]
    left, top = (inner[0] - size_wh[0]) // 2, (inner[1] - size_wh[1]) // 2
    return tensor[:, top : top + size_wh[1], left : left + size_wh[0]]


@torch.no_grad()
def evaluate_classifier(
    network: Network,
    data: DataFile,
    split: str = "valid",
    *,
    device="cpu",
    batch: int = 64,
    limit: int | None = None,
    preprocessing: Preprocessing = Preprocessing(),
    progress: Callable[[Iterable], Iterable] = lambda x: x,
    **_,
) -> dict:
    """Loss, top-1 and top-k accuracy, accuracy per class and the confusion matrix (rows: truth) of a split."""
    paths = read_list(data.list_of(split))[:limit]
    truth = np.array([class_of_path(path, data.labels) for path in paths])
    channels, size = network.cfg.net.integer("channels", 3), network.cfg.size_wh
    network.eval()
    logits = []
    for start in progress(range(0, len(paths), batch)):
        planes = [
            cropped(read_picture(path, channels), preprocessing.before_cut(size))
            for path in paths[start : start + batch]
        ]
        tensor = torch.from_numpy(preprocessing.finished(torch.stack(planes).numpy(), size)).to(
            device, memory_format=torch.channels_last
        )
        logits.append(network(tensor)[0].float().cpu().numpy())
    found = np.concatenate(logits)
    if found.shape[1] != data.classes:
        raise DataError(f"has {data.classes} classes, the network {found.shape[1]}", where=data.path)
    crop = "shorter side, then middle" if preprocessing == Preprocessing() else preprocessing.told()
    settings = {"split": split, "pictures": len(paths), "size": list(size), "crop": crop}
    return classifier_figures(found, truth, data.names, data.top) | {"settings": settings}


def classifier_figures(logits: np.ndarray, truth: np.ndarray, names: Sequence[str], top: int) -> dict:
    """Logits (N, K) against classes (N,): loss (mean cross entropy), top-1, top-k, macro-F1, recall a class, confusion
    (rows: truth).

    Macro-F1 is the mean over the classes that occur, in truth or in answers, as scikit-learn's.
    """
    logits = logits.astype(np.float64)
    ranks = np.argsort(-logits, axis=1, kind="stable")
    confusion = np.zeros((len(names), len(names)), int)
    np.add.at(confusion, (truth, ranks[:, 0]), 1)
    top, hits = min(top, len(names)), confusion.diagonal()
    both = confusion.sum(0) + confusion.sum(1)
    highest = logits.max(1, keepdims=True)
    loss = np.log(np.exp(logits - highest).sum(1)) + highest[:, 0] - logits[np.arange(len(truth)), truth]
    return {
        "loss": float(loss.mean()),
        "top1": float((ranks[:, 0] == truth).mean()),
        f"top{top}": float((ranks[:, :top] == truth[:, None]).any(1).mean()),
        "macro_f1": float((2 * hits[both > 0] / both[both > 0]).mean()),
        "recall": dict(zip(names, (hits / np.maximum(confusion.sum(1), 1)).tolist())),
        "confusion": confusion.tolist(),
    }
