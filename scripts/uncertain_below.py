#!/usr/bin/env python3
"""The score below which a model's emotion is more likely wrong than right, found on validation lists, into its card.

    python scripts/uncertain_below.py cfg/models/emo-s --set "fer2013 valid=data/fer"
    python scripts/uncertain_below.py cfg/models/emo-v4-nano \
        --set "lfw-affectnet valid=data/lfw" --set "FER2013 scenes valid=data/scenes"

How often a face with a given score is named correctly is taken to grow with the score (isotonic regression, fitted by
pooling neighbours that go the wrong way); the threshold is where it comes to a half. Sets are pooled, face by face; of
a detector the faces that it finds count. `emo detect` marks what lies below, see --uncertain.
"""

from __future__ import annotations

import argparse
import csv
import re
import tempfile
from pathlib import Path

import numpy as np

from emotion.comparison.evaluate import evaluate
from emotion.comparison.settings import Settings


def threshold(scores: np.ndarray, right: np.ndarray) -> float:
    """(N,) scores of the named classes, (N,) whether they are right -> the score from which at least half are, to two
    digits behind the point; 1 when that is nowhere so, 0 when it is so everywhere.
    """
    order = np.argsort(scores, kind="stable")
    blocks: list[list[float]] = []  # lowest score, how many, how many right
    for score, good in zip(scores[order].tolist(), right[order].tolist()):
        blocks.append([score, 1, float(good)])
        while len(blocks) > 1 and blocks[-2][2] * blocks[-1][1] >= blocks[-1][2] * blocks[-2][1]:
            _, count, sure = blocks.pop()
            blocks[-1][1] += count
            blocks[-1][2] += sure
    at = next((index for index, (_, count, sure) in enumerate(blocks) if 2 * sure >= count), None)
    return 1.0 if at is None else round(blocks[at][0], 2) if at else 0.0


def named(model: Path, data: Path, split: str = "valid") -> tuple[np.ndarray, np.ndarray]:
    """(N,) the score of the class that each labelled face was given, (N,) whether it is the label; missed faces are
    left out.
    """
    with tempfile.TemporaryDirectory() as folder:
        evaluate([str(model)], str(data), out=Path(folder) / "e", settings=Settings(split=split))
        with open(Path(folder) / "e" / "predictions.csv", newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if row[row["labelled"]] and row["named"] in row]
    return np.array([float(row[row["named"]]) for row in rows]), np.array([row["right"] == "1" for row in rows])


def calibrated(model: Path, sets: dict[str, Path]) -> dict:
    """What a card's [calibration] says of it: the threshold, on what it was found, and what lies below and above."""
    pairs = [named(model, path) for path in sets.values()]
    scores, right = (np.concatenate(parts) for parts in zip(*pairs))
    least = threshold(scores, right)
    told: dict[str, object] = {"uncertain_below": least, "uncertain_found_on": ", ".join(sets)}
    for side, there in (("below", scores < least), ("above", scores >= least)):
        told[f"right_{side}"] = round(float(right[there].mean()), 4) if there.any() else 0.0
    return told | {"share_below": round(float((scores < least).mean()), 4)}


def into_card(path: Path, told: dict) -> None:
    """Put `told` into the [calibration] of a card, in place of what it says of the same, all else as it is."""
    text = path.read_text(encoding="utf-8")
    for key in told:
        text = re.sub(rf"^{key} = .*\n", "", text, flags=re.MULTILINE)
    values = {key: f'"{value}"' if isinstance(value, str) else value for key, value in told.items()}
    lines = "".join(f"{key} = {value}\n" for key, value in values.items())
    if "\n[calibration]\n" in text:
        begin = text.index("\n[calibration]\n") + 1
        end = text.find("\n\n[", begin)
        end = len(text) if end < 0 else end + 1
        text = text[:end] + lines + text[end:]
    else:
        at = text.find("\n[metrics")
        at = len(text) if at < 0 else at
        text = text[:at] + f"\n[calibration]\n{lines}" + text[at:]
    path.write_text(text, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="folder of a model, with its model.toml")
    parser.add_argument("--set", dest="sets", action="append", required=True, metavar="TITLE=DATA")
    parser.add_argument("--dry-run", action="store_true", help="print what would stand in the card")
    args = parser.parse_args()
    told = calibrated(args.model, {title: Path(path) for title, _, path in (one.partition("=") for one in args.sets)})
    for key, value in told.items():
        print(f"{key} = {value}")
    if not args.dry_run:
        into_card(args.model / "model.toml", told)


if __name__ == "__main__":
    main()
