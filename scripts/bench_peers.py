#!/usr/bin/env python3
"""Other packages' facial emotions as results that `emo compare` judges beside emo's own.

    python -m venv peers && peers/bin/pip install tensorflow-cpu "opencv-python-headless<5" scikit-image     # not emo's
    environment peers/bin/pip install --no-deps fer facex
    peers/bin/python scripts/bench_peers.py fer --data data/lfw/emo.data --out fer.csv
    emo compare yolo vs two-stage vs file:fer.csv --data data/lfw/emo.data

Runs inside a peer's own environment, so it needs nothing of emo: the list of the .data file (--split) comes in, a CSV
of faces goes out (picture, x1, y1, x2, y2, face, emotion, score, and a column a class), and on stderr milliseconds a
picture (median and 95th percentile, one thread, the first three left out) and the peak of memory. With --whole, for a
classifier's set, each picture is taken for a face.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
    os.environ.setdefault(name, "1")

CLASSES = ("Neutral", "Happy", "Sad", "Surprise", "Fear", "Disgust", "Anger")
SAID = {
    "angry": "Anger",
    "anger": "Anger",
    "disgust": "Disgust",
    "fear": "Fear",
    "happy": "Happy",
    "neutral": "Neutral",
    "sad": "Sad",
    "sadness": "Sad",
    "surprise": "Surprise",
    "surprised": "Surprise",
}

Found = list[tuple[tuple[float, float, float, float], dict[str, float]]]  # xyxy in pixels, scores by the peer's names


class Fer:
    """fer (MIT): Haar and a mini-XCEPTION of 64 px, its quantised TFLite or, as `fer-keras`, its Keras file."""

    def __init__(self, tflite: bool = True):
        from fer.fer import FER

        self.faces = FER(use_tflite=tflite)
        self.crops = FER(use_tflite=tflite, offsets=(0, 0))  # a picture that is a face needs no margin

    def find(self, bgr) -> Found:
        return [
            ((x, y, x + w, y + h), face["emotions"])
            for face in self.faces.detect_emotions(bgr)
            for x, y, w, h in [map(float, face["box"])]
        ]

    def whole(self, bgr) -> dict[str, float]:
        height, width = bgr.shape[:2]
        return self.crops.detect_emotions(bgr, face_rectangles=[(0, 0, width, height)])[0]["emotions"]


class Facex:
    """facex: Haar and a small network in TFLite."""

    def __init__(self):
        import facex.core

        self.worker = facex.core.EmotionClassifier(
            str(Path(facex.core.__file__).parent / "assets" / "model_optimized.tflite")
        )

    def find(self, bgr) -> Found:
        return [
            ((x, y, x + w, y + h), face["emot"])
            for face in self.worker.predict(bgr)
            for x, y, w, h in [map(float, face["bbox"])]
        ]

    def whole(self, bgr) -> dict[str, float]:
        import cv2

        return self.worker.detect_emotion(cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY))


PEERS = {"fer": Fer, "fer-keras": lambda: Fer(tflite=False), "facex": Facex}


def pictures(data: Path, split: str) -> Iterator[Path]:
    """Those of a split's list, as Darknet's .data file names it."""
    options = dict(
        part
        for line in data.read_text().splitlines()
        if "=" in line
        for part in [[word.strip() for word in line.split("=", 1)]]
    )
    if split not in options:
        sys.exit(f"{data}: names no {split} list")
    listed = next((path for path in (data.parent / options[split], Path(options[split])) if path.is_file()), None)
    if listed is None:
        sys.exit(f"{data}: its {split} list {options[split]} is not there")
    for line in listed.read_text().splitlines():
        if line.strip():
            yield next((path for path in (listed.parent / line, Path(line)) if path.is_file()), Path(line))


def scores_of(said: dict) -> dict[str, float]:
    """By emo's names."""
    return {SAID[name.lower()]: float(value) for name, value in said.items() if name.lower() in SAID}


def peak_megabytes() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    return float("nan")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("peer", choices=PEERS)
    parser.add_argument("--data", type=Path, required=True, help="a .data file")
    parser.add_argument("--split", default="valid")
    parser.add_argument("--whole", action="store_true", help="each picture is a face, as in a classifier's set")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    import cv2

    cv2.setNumThreads(1)
    peer, times = PEERS[args.peer](), []
    with open(args.out, "w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["picture", "x1", "y1", "x2", "y2", "face", "emotion", "score", *CLASSES])
        for path in list(pictures(args.data, args.split))[: args.limit]:
            bgr = cv2.imread(str(path))
            if bgr is None:
                sys.exit(f"{path}: cannot be read")
            start = time.perf_counter()
            found = [((0, 0, bgr.shape[1], bgr.shape[0]), peer.whole(bgr))] if args.whole else peer.find(bgr)
            times.append(1000 * (time.perf_counter() - start))
            for box, said in found:
                scores = scores_of(said)
                best = max(scores, key=scores.get)
                out.writerow(
                    [
                        path.name,
                        *(f"{value:.1f}" for value in box),
                        1,
                        best,
                        f"{scores[best]:.6f}",
                        *(f"{scores.get(name, 0):.6f}" for name in CLASSES),
                    ]
                )
    times = sorted(times[3:]) or times
    print(
        (
            f"{args.peer}: {times[len(times) // 2]:.1f} ms a picture, 95% within "
            f"{times[int(0.95 * (len(times) - 1))]:.1f}; peak of memory {peak_megabytes():.0f} MB"
        ),
        file=sys.stderr,
    )


if __name__ == "__main__":
    main()
