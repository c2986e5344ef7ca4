"""Boxes and classes of single pictures, as `detector test` and `classifier predict` give them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from ..network.preprocessing import Preprocessing
from ..scoring.nms import NMS_IOU, detections_as_dicts, diou_beta, nms
from .data import read_picture
from .evaluate import SCORE_FLOOR, cropped, fitted, found_boxes, unboxed
from .network import Network


@torch.no_grad()
def predict(
    network: Network,
    names: Sequence[str],
    images: Sequence[Path],
    *,
    conf: float = 0.25,
    device="cpu",
    letter_box: bool | None = None,
    preprocessing: Preprocessing = Preprocessing(),
) -> list[dict]:
    """A dict a picture: `objects` (name, class_id, score, xyxy_px) of a detector or `scores` of a classifier; best
    first.

    letter_box: None as the cfg says. DataError for a picture that cannot be read.
    """
    cfg = network.cfg
    channels, size = cfg.net.integer("channels", 3), cfg.size_wh
    boxed = bool(cfg.net.integer("letter_box", 0)) if letter_box is None else letter_box
    out: list[dict] = []
    for path in images:
        picture = read_picture(path, channels)
        if not cfg.is_detector:
            plane = cropped(picture, preprocessing.before_cut(size))[None]
            scores = (
                network.probabilities(torch.from_numpy(preprocessing.finished(plane, size)).to(device))
                .flatten()
                .cpu()
                .tolist()
            )
            ranked = sorted(zip(names, scores), key=lambda pair: -pair[1])
            out.append({"image": str(path), "scores": {name: round(score, 6) for name, score in ranked}})
            continue
        tensor = fitted(picture, size, boxed).to(device, memory_format=torch.channels_last)
        [(xyxy, scores)] = found_boxes(network, network(tensor), SCORE_FLOOR)
        if boxed:
            xyxy = unboxed(xyxy, picture.shape[1::-1], size)
        head = network.heads[-1].section
        scores = nms(xyxy, scores, NMS_IOU, diou_beta(head))
        height, width = picture.shape[:2]
        xyxy = np.clip(xyxy * (width, height, width, height), 0, (width, height, width, height))
        out.append({"image": str(path), "objects": detections_as_dicts(xyxy, scores, names, conf)})
    return out
