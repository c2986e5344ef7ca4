#!/usr/bin/env python3
"""Does one stage or two serve better? Measure it with the models that ship, and write docs/one-or-two-stages.md.

    python scripts/one_or_two_stages.py --lfw lfw-affectnet --fer fer2013.csv --video woman.mp4 --yunet yunet.onnx

Takes a set in AffectNet's form, FER2013's csv, a video of one talking face. Everything stands in --work (default:
stages), sets that are there are not made again; the page and its two pictures go to --docs. All systems compute on one
thread, and time by the number of faces is the processor's, so that neither the cores nor what else runs decides. About
10 minutes on a quiet machine.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from stages_page import CELL, CONF, COUNTS, GRID, REPEATS, Measured, page, plots

from converters.darknet_format.files import read_data, write_data
from emotion.comparison import compare
from emotion.comparison.memory import peak_megabytes
from emotion.comparison.settings import Settings
from emotion.comparison.tally import labelled_frames
from emotion.systems.backends import set_threads
from emotion.systems.open import SystemSettings, open_subject


def emo(*args: object) -> None:
    done = subprocess.run([sys.executable, "-m", "emotion.cli", *map(str, args)])
    if done.returncode:
        sys.exit(f"emo {' '.join(map(str, args))} failed")


def sets(args: argparse.Namespace) -> dict[str, Path]:
    """What is measured on, made where it is not there: name -> .data file."""
    work = args.work
    lfw, alone, collages, scenes = (work / name for name in ("lfw", "lfw-valid", "collages", "scenes"))
    if not lfw.is_dir():
        emo("convert", "affectnet", args.lfw, "--task", "detector", "--out", lfw)
    if not alone.is_dir():  # its validation list alone, so that collages hold nobody whom a model was trained on
        alone.mkdir()
        data = read_data(lfw / "emo.data")
        with open(lfw / "manifest.csv", newline="") as file, open(alone / "manifest.csv", "w", newline="") as out:
            writer = csv.writer(out)
            writer.writerow(["image", "group"])
            writer.writerows(
                [(lfw / row["image"]).absolute(), row["group"]]
                for row in csv.DictReader(file)
                if row["split"] == "valid"
            )
        write_data(
            alone / "emo.data",
            classes=data.classes,
            valid=data.list_of("valid").absolute(),
            names=(lfw / "emo.names").absolute(),
        )
    if not collages.is_dir():
        emo("dataset", "collage", alone, "--count", args.pictures, "--out", collages)
    if not scenes.is_dir():
        emo(
            "convert",
            "fer2013",
            args.fer,
            "--task",
            "detector",
            "--scenes",
            args.pictures,
            "--usage",
            "Training=none,PublicTest=none,PrivateTest=valid",
            "--out",
            scenes,
        )
    return {
        "lfw-affectnet, validation list": lfw / "emo.data",
        "collages of it, faces from 16 px": collages / "emo.data",
        "scenes of FER2013's PrivateTest faces": scenes / "emo.data",
    }


def crowd(pieces: list[np.ndarray], faces: int, rng: np.random.Generator) -> np.ndarray:
    """A frame of GRID x GRID cells of CELL pixels, `faces` of them with a face, on a plain ground with a little
    noise.
    """
    import cv2

    side = GRID * CELL
    frame = np.clip(rng.normal(118, 6, (side, side, 3)), 0, 255).astype(np.uint8)
    for cell, piece in zip(rng.permutation(GRID * GRID)[:faces], rng.permutation(len(pieces))):
        y, x = divmod(int(cell), GRID)
        frame[y * CELL + 4 : y * CELL + CELL - 4, x * CELL + 4 : x * CELL + CELL - 4] = cv2.resize(
            pieces[int(piece)], (CELL - 8, CELL - 8), interpolation=cv2.INTER_AREA
        )
    return frame


def speed(systems: list[str], data: Path) -> dict[str, dict]:
    """Milliseconds of the processor a frame by the faces in it: system -> {faces: {"ms", "low", "high", "found"}},
    quartiles.
    """
    pieces = []
    for frame, truth in labelled_frames(read_data(data), "valid", 200):
        x1, y1, x2, y2 = truth.xyxy_px[0]
        half = 0.8 * max(x2 - x1, y2 - y1)
        left, top = (int(max(0, centre - half)) for centre in ((x1 + x2) / 2, (y1 + y2) / 2))
        pieces.append(frame.bgr[top : top + int(2 * half), left : left + int(2 * half)])
    opened = {spec: open_subject(spec, SystemSettings(conf=CONF)) for spec in systems}
    times = {spec: {count: [] for count in COUNTS} for spec in systems}
    found = {spec: {count: [] for count in COUNTS} for spec in systems}
    for turn in range(REPEATS):
        for count in COUNTS:
            frame = crowd(pieces, count, np.random.default_rng((count, turn)))
            order = systems[turn % len(systems) :] + systems[: turn % len(systems)]
            for spec in order:
                if turn == 0:
                    opened[spec].detect([frame])
                for _ in range(3):
                    start = time.process_time()
                    (faces,) = opened[spec].detect([frame])
                    times[spec][count].append(1000 * (time.process_time() - start))
                found[spec][count].append(len(faces))
    return {
        spec: {
            count: dict(zip(("low", "ms", "high"), np.percentile(times[spec][count], (25, 50, 75)).tolist()))
            | {"found": float(np.mean(found[spec][count]))}
            for count in COUNTS
        }
        for spec in systems
    }


def measure(args: argparse.Namespace, systems: list[str]) -> None:
    """Everything, into --work/measured.json."""
    data = sets(args)
    speeds = speed(systems, next(iter(data.values())))
    results = {
        title: compare.run(
            systems, data=path, out=args.work / "compare" / str(index), force=True, settings=Settings(conf=CONF)
        )
        for index, (title, path) in enumerate(data.items())
    }
    video = (
        compare.run(
            systems, media=[args.video], out=args.work / "compare" / "video", force=True, settings=Settings(conf=CONF)
        )
        if args.video
        else None
    )
    first = [frame.bgr for frame, _ in labelled_frames(read_data(next(iter(data.values()))), "valid", 8)]
    memory = {spec: peak_megabytes(spec, first, {"conf": CONF}) for spec in systems}
    (args.work / "measured.json").write_text(
        json.dumps({"speed": speeds, "memory": memory, "results": results, "video": video}, indent=1)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lfw", type=Path, required=True, help="a set in AffectNet's form; ours is LFW")
    parser.add_argument("--fer", type=Path, required=True, help="fer2013.csv")
    parser.add_argument("--video", type=Path, help="a video of one face")
    parser.add_argument("--yunet", help="YuNet's .onnx, for a second face finder; `yunet` when it was pulled")
    parser.add_argument("--pictures", type=int, default=250, help="collages and scenes each (default: 250)")
    parser.add_argument("--work", type=Path, default=Path("stages"))
    parser.add_argument("--page", action="store_true", help="write the page again from what was measured")
    parser.add_argument("--docs", type=Path, default=Path(__file__).resolve().parents[1] / "docs")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    set_threads(1)
    systems = ["two-stage:face-nano", *([f"two-stage:{args.yunet}"] if args.yunet else []), "yolo"]
    names = {
        spec: {"two-stage:face-nano": "two stages (face-nano)", "yolo": "one stage"}.get(spec, "two stages (YuNet)")
        for spec in systems
    }
    if not args.page:
        measure(args, systems)
    told = json.loads((args.work / "measured.json").read_text())
    speeds = {spec: {int(count): row for count, row in rows.items()} for spec, rows in told["speed"].items()}
    measured = Measured(systems, names, told["results"], speeds, told["memory"], told["video"])
    (args.docs / "pictures").mkdir(parents=True, exist_ok=True)
    plots(args.docs / "pictures", measured)
    command = (
        "python scripts/one_or_two_stages.py --lfw lfw-affectnet --fer fer2013.csv"
        + (" --video woman.mp4" if measured.video else "")
        + (" --yunet yunet.onnx" if args.yunet else "")
    )
    (args.docs / "one-or-two-stages.md").write_text(page(measured, command), encoding="utf-8")
    print(args.docs / "one-or-two-stages.md")


if __name__ == "__main__":
    main()
