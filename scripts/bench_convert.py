#!/usr/bin/env python3
"""Speed and memory of `emo convert`, beside the loop that people write and the least that must be done.

    python scripts/bench_convert.py                     2,000 pictures, each form
    python scripts/bench_convert.py --rows 420000       and a list of AffectNet's length

Makes an AffectNet-like set (pictures of 300 to 600 pixels, 68 landmarks a row) in a temporary folder, or in
--dir. Every figure is of a fresh process, best of --repeat, from after the imports to the finished output (CPU
seconds: the whole process, without its children); the last line is all of `emo convert`, with Python's start.

loop    imread every picture, look its row up by name in a DataFrame, imwrite a copy, write the label
floor   read every picture's header, create its label file; nothing else
--rows  the list names that many pictures, hard links to the same files; the loop is measured on --sample
        of them and scaled up, since it would take hours
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

FORMS = ("detector", "classifier", "crops")
_START = time.process_time()


def make_set(root: Path, count: int) -> None:
    """`count` JPEGs and training.csv, as AffectNet lays them out."""
    import cv2

    rng = np.random.default_rng(0)
    with open(_fresh(root) / "training.csv", "w", newline="") as file:
        writer = _writer(file)
        for number in range(count):
            name = f"{number % 20 + 1}/{rng.bytes(28).hex()}.jpg"
            side = int(rng.integers(300, 600))
            small = rng.integers(0, 256, (side // 12, side // 12, 3), np.uint8)
            picture = cv2.resize(small, (side, side), interpolation=cv2.INTER_CUBIC)
            picture = cv2.add(picture, rng.integers(0, 24, picture.shape, np.uint8))
            path = root / "Manually_Annotated_Images" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), picture, [cv2.IMWRITE_JPEG_QUALITY, 90])
            writer.writerow(_row(name, side, rng))


def make_list(small: Path, root: Path, rows: int) -> None:
    """A set of `rows` names, all hard links to the pictures of the set `small`."""
    rng, pictures = np.random.default_rng(1), sorted((small / "Manually_Annotated_Images").rglob("*.jpg"))
    some = [_row("", 300, rng)[1:] for _ in range(997)]
    with open(_fresh(root) / "training.csv", "w", newline="") as file:
        writer = _writer(file)
        for number in range(rows):
            name = f"{number // 400 + 1}/{rng.bytes(28).hex()}.jpg"
            path = root / "Manually_Annotated_Images" / name
            if number % 400 == 0:
                path.parent.mkdir(parents=True)
            os.link(pictures[number % len(pictures)], path)
            writer.writerow((name, *some[number % len(some)]))


def _fresh(root: Path) -> Path:
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    return root


def _writer(file):
    from converters.readers.affectnet import COLUMNS

    writer = csv.writer(file)
    writer.writerow(COLUMNS)
    return writer


def _row(name, side, rng):
    x, y = rng.integers(5, side // 4, 2)
    size = int(side * rng.uniform(0.5, 0.7))
    points = ";".join(map("{:.2f}".format, rng.uniform(0, side, 136).tolist()))
    return name, x, y, size, size, points, rng.choice(11, p=(0.18, 0.32, 0.06, 0.04, 0.02, 0.01, 0.06, 0.01, 0.08, 0.02, 0.2)), 0.1, 0.2


def case_emo(source: Path, out: Path, task: str, jobs: int):
    from converters.convert import Settings, convert

    if jobs > 1:  # the processes are started before the clock, as the imports are
        import joblib

        joblib.Parallel(n_jobs=jobs)(joblib.delayed(time.sleep)(0.3) for _ in range(jobs))
    start = time.perf_counter()
    report = convert([("affectnet", str(source))], out, Settings(task=task), jobs=jobs)
    return time.perf_counter() - start, sum(part["pictures"] for part in report["splits"].values())


def case_loop(source: Path, out: Path, sample: int):
    import cv2
    import pandas

    files = sorted((source / "Manually_Annotated_Images").rglob("*.jpg"))
    start = time.perf_counter()
    table = pandas.read_csv(source / "training.csv")
    load = time.perf_counter() - start
    some = files[:: max(1, len(files) // sample)][:sample] if sample else files
    _fresh(out)
    start, done = time.perf_counter(), 0
    for path in some:
        picture = cv2.imread(str(path))
        row = table[table["subDirectory_filePath"] == f"{path.parent.name}/{path.name}"].iloc[0]
        if row["expression"] > 6:
            continue
        height, width = picture.shape[:2]
        x, y, w, h = row["face_x"], row["face_y"], row["face_width"], row["face_height"]
        cv2.imwrite(str(out / path.name), picture)
        (out / path.with_suffix(".txt").name).write_text(f"{row['expression']} {(x + w / 2) / width} {(y + h / 2) / height} {w / width} {h / height}\n")
        done += 1
    share = len(files) / len(some)
    return load + (time.perf_counter() - start) * share, round(done * share)


def case_floor(source: Path, out: Path):
    from converters.images import probe

    with open(source / "training.csv", newline="") as file:
        kept = [row["subDirectory_filePath"] for row in csv.DictReader(file) if int(row["expression"]) < 7]
    pairs = [(f"{source}/Manually_Annotated_Images/{name}", f"{out}/{name[:-4]}.txt") for name in kept]
    _fresh(out)
    for folder in {os.path.dirname(label) for _, label in pairs}:
        os.makedirs(folder, exist_ok=True)
    start = time.perf_counter()
    for picture, label in pairs:
        width, height = probe(picture).size_wh
        with open(label, "w") as file:
            file.write(f"0 {0.5:.6f} {0.5:.6f} {150 / width:.6f} {150 / height:.6f}\n")
    return time.perf_counter() - start, len(pairs)


def measured(arguments: list[str], repeat: int) -> dict:
    """The best of `repeat` runs of one case in processes of their own: seconds, pictures, peak MB."""
    runs = []
    for _ in range(repeat):
        done = subprocess.run([sys.executable, __file__, *arguments], capture_output=True, text=True)
        if done.returncode:
            sys.exit(done.stderr)
        runs.append(json.loads(done.stdout))
    return min(runs, key=lambda run: run["seconds"]) | {"peak_mb": max(run["peak_mb"] for run in runs)}


def one_case(args) -> None:
    import resource

    # A new folder each time, deleted at the end of all: ext4 is slow to create files just after it deleted many.
    source, out = Path(args.dir) / args.set, Path(tempfile.mkdtemp(dir=args.dir)) / "out"
    if args.case == "loop":
        seconds, pictures = case_loop(source, out, args.sample)
    elif args.case == "floor":
        seconds, pictures = case_floor(source, out)
    else:
        seconds, pictures = case_emo(source, out, args.case, args.jobs)
    cpu = time.process_time() - _START
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss + resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * (args.jobs > 1)) / 1024
    print(json.dumps({"seconds": seconds, "pictures": pictures, "peak_mb": round(peak), "cpu": cpu}))


def report(name: str, result: dict, loop: dict, floor: dict) -> None:
    rate, per = result["pictures"] / result["seconds"], result["seconds"] / result["pictures"]
    to_loop, to_floor = loop["seconds"] / loop["pictures"] / per, per / (floor["seconds"] / floor["pictures"])
    print(f"{name:<24}{result['seconds']:>10.2f} s{result['cpu']:>9.2f} s CPU{rate:>12,.0f} pictures/s{to_loop:>9.1f} x loop{to_floor:>8.2f} x floor{result['peak_mb']:>8} MB", flush=True)


def bench(args, name: str, forms, sample: int) -> None:
    base = ["--dir", args.dir, "--set", name, "--sample", str(sample)]
    floor = measured([*base, "--case", "floor"], args.repeat)
    loop = measured([*base, "--case", "loop"], 1)
    print(f"\n{name}: {floor['pictures']:,} pictures to convert")
    report("loop" + (f" (of {sample})" if sample else ""), loop, loop, floor)
    report("floor", floor, loop, floor)
    for form in forms:
        for jobs in (1, 2) if form == "crops" else (1,):
            report(f"{form}, {jobs} process{'es' * (jobs > 1)}", measured([*base, "--case", form, "--jobs", str(jobs)], args.repeat), loop, floor)
    start = time.perf_counter()
    command = f"from emotion.cli import main; main(['convert', 'affectnet', '{args.dir}/{name}', '--out', '{args.dir}/{name}-command', '--quiet'])"
    subprocess.run([sys.executable, "-c", command], check=True)
    print(f"{'emo convert, detector':<24}{time.perf_counter() - start:>10.2f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--rows", type=int, default=0, help="also a list of that many rows, such as 420000")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--sample", type=int, default=200, help="pictures of the long list that the loop does")
    parser.add_argument("--dir", help="where to work; default: a temporary folder")
    for hidden in ("--case", "--set"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    parser.add_argument("--jobs", type=int, default=1, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.case:
        one_case(args)
        return
    with tempfile.TemporaryDirectory(dir=args.dir) as folder:
        args.dir = folder
        make_set(Path(folder) / "small", args.images)
        bench(args, "small", FORMS, 0)
        if args.rows:
            make_list(Path(folder) / "small", Path(folder) / "long", args.rows)
            bench(args, "long", FORMS[:2], args.sample)


if __name__ == "__main__":
    main()
