"""What all face finders do with their boxes, and how large each draws them."""

from __future__ import annotations

import numpy as np

from converters import boxes

# What makes a finder's box as large as a face's box in LFW's labels: median ratio of the longer sides over
# 250 pictures of lfw-affectnet's validation.csv (150 for dlib).
BOX_SCALE = {"haar": 1.05, "ssd": 0.95, "yunet": 1.0, "dlib": 1.17, "yolo": 1.0}


def tidy(xyxy, scores, frame, *landmarks) -> tuple:
    """Clipped to the frame, boxes without extent dropped, best first; `landmarks` (N, K, 2) or None go with them."""
    xyxy = boxes.clip(np.reshape(xyxy, (-1, 4)), frame.shape[1::-1]).astype(np.float32)
    scores = np.asarray(scores, np.float32)
    order = np.argsort(-scores, kind="stable")
    order = order[boxes.area(xyxy[order]) > 0]
    return xyxy[order], scores[order], *(None if points is None else points[order] for points in landmarks)
