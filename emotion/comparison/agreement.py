"""What two systems say of the same faces: matched boxes, the emotions each gave them, and McNemar's test where they
are labelled.
"""

from __future__ import annotations

import numpy as np

from converters.emotions import EMOTIONS

from ..systems.detections import Detections, Detector
from . import metrics
from .tally import MATCH_IOU, Tally


class Agreement:
    """Counts over frames for one pair of systems."""

    def __init__(self, a: Detector, b: Detector):
        self.a, self.b = a, b
        known = {*a.names, *b.names}
        self.names = tuple(
            sorted(known, key=lambda name: (EMOTIONS.index(name) if name in EMOTIONS else len(EMOTIONS), name))
        )
        self.matrix = np.zeros((len(self.names), len(self.names)), int)
        self.only_a = self.only_b = 0

    def add(self, found_a: Detections, found_b: Detections) -> int:
        """Count one frame; returns on how many faces the two differ."""
        pairs = metrics.match(found_a.xyxy_px, found_b.xyxy_px, MATCH_IOU)
        differ = 0
        for i, j in pairs:
            said = self.a.names[found_a.class_ids[i]], self.b.names[found_b.class_ids[j]]
            self.matrix[self.names.index(said[0]), self.names.index(said[1])] += 1
            differ += said[0] != said[1]
        only_a, only_b = len(found_a) - len(pairs), len(found_b) - len(pairs)
        self.only_a, self.only_b = self.only_a + only_a, self.only_b + only_b
        return differ + only_a + only_b

    def result(self) -> dict:
        matched = int(self.matrix.sum())
        return {
            "matched": matched,
            "same_emotion": int(np.trace(self.matrix)),
            "share": metrics.accuracy(self.matrix),
            "only": [self.only_a, self.only_b],
            "names": list(self.names),
            "matrix": self.matrix.tolist(),
        }


def mcnemar(first: Tally, second: Tally) -> dict:
    """Of the labelled faces that both found: who named them correctly, and the exact test's p."""
    a, b = first.right(), second.right()
    both = (a >= 0) & (b >= 0)
    table = {
        f"{'right' if x else 'wrong'}_{'right' if y else 'wrong'}": int(((a == x) & (b == y)).sum())
        for x in (1, 0)
        for y in (1, 0)
    }
    return {"faces": int(both.sum())} | table | {"p": metrics.mcnemar(table["right_wrong"], table["wrong_right"])}
