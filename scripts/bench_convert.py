#!/usr/bin/env python3
"""Speed and memory of `emo convert`, beside the loop that people write and the least that must be done.

    python scripts/bench_convert.py                     2,000 pictures, each form
    python scripts/bench_convert.py --rows 420000       and a list of AffectNet's length

Makes an AffectNet-like set (pictures of 300 to 600 pixels, 68 landmarks a row) in a temporary folder, or in
--dir. Every figure is of a fresh process, from after the imports to the finished output; the cases take turns, and
the fastest of --repeat rounds counts, since noise only adds. Wall time and CPU time (user and system, of the process;
where there are workers, with the busiest one's) each have their ratios.

loop    imread every picture, look its row up by name in a DataFrame, imwrite a copy, write the label (one round)
floor   read every picture's header, create its label file; nothing else: no list, no link, no manifest, no report
--rows  the list names that many pictures, hard links to the same files, one round. The loop would take hours there:
        it reads the whole list, does --sample of the pictures, and the time that those took is scaled up
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
# (set, case) -> at least so many times the loop, at most so many times the floor
GOALS = {
    ("small", "detector, 1 process"): (15, 1.3),
    ("small", "classifier, 1 process"): (100, None),
    ("small", "crops, 2 processes"): (2.5, None),
    ("long", "detector, 1 process"): (25, None),
}
MOST_MB = 1500  # for the long list


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
    return (
        name,
        x,
        y,
        size,
        size,
        points,
        rng.choice(11, p=(0.18, 0.32, 0.06, 0.04, 0.02, 0.01, 0.06, 0.01, 0.08, 0.02, 0.2)),
        0.1,
        0.2,
    )


class Clock:
    """Seconds since it was made: wall, and CPU of this process plus that of the busiest of its joblib workers."""

    def __init__(self):
        self.wall, self.cpu, self.workers = time.perf_counter(), time.process_time(), _workers()

    def read(self) -> dict:
        wall, cpu = time.perf_counter() - self.wall, time.process_time() - self.cpu
        busiest = max((used - self.workers.get(pid, (0, 0))[0] for pid, (used, _) in _workers().items()), default=0)
        return {"wall": wall, "cpu": cpu + busiest}


def _workers() -> dict[int, tuple[float, float]]:
    """Process id -> CPU seconds (to 10 ms) and peak MB of each joblib worker."""
    if "joblib" not in sys.modules:
        return {}
    from joblib.externals.loky import reusable_executor

    out = {}
    for pid in reusable_executor._executor._processes if reusable_executor._executor else ():
        ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        out[pid] = sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK"), _peak_mb(pid)
    return out


def _peak_mb(pid) -> float:
    """Not getrusage's, which a child inherits from the process that started it."""
    return int(Path(f"/proc/{pid}/status").read_text().partition("VmHWM:")[2].split()[0]) / 1024


def case_emo(source: Path, out: Path, task: str, jobs: int) -> dict:
    from converters.convert import Settings, convert
    from converters.readers import affectnet  # noqa: F401  imported where it is used, and before the clock like the rest

    if jobs > 1:  # the processes are started, with what they import, before the clock, as the imports are
        import joblib

        joblib.Parallel(n_jobs=jobs)(joblib.delayed(_ready)(0.3) for _ in range(jobs))
    clock = Clock()
    report = convert([("affectnet", str(source))], out, Settings(task=task), jobs=jobs)
    return clock.read() | {"pictures": sum(part["pictures"] for part in report["splits"].values())}


def _ready(seconds: float) -> None:
    import cv2  # noqa: F401

    import converters.convert  # noqa: F401

    time.sleep(seconds)


def case_loop(source: Path, out: Path, sample: int) -> dict:
    import cv2
    import pandas

    clock = Clock()
    table = pandas.read_csv(source / "training.csv")
    load = clock.read()
    files = [source / "Manually_Annotated_Images" / name for name in table["subDirectory_filePath"]]
    some = files[:: max(1, len(files) // sample)][:sample] if sample else files
    _fresh(out)
    clock, done = Clock(), 0
    for path in some:
        picture = cv2.imread(str(path))
        row = table[table["subDirectory_filePath"] == f"{path.parent.name}/{path.name}"].iloc[0]
        if row["expression"] > 6:
            continue
        height, width = picture.shape[:2]
        x, y, w, h = row["face_x"], row["face_y"], row["face_width"], row["face_height"]
        cv2.imwrite(str(out / path.name), picture)
        (out / path.with_suffix(".txt").name).write_text(
            f"{row['expression']} {(x + w / 2) / width} {(y + h / 2) / height} {w / width} {h / height}\n"
        )
        done += 1
    share, spent = len(files) / len(some), clock.read()
    return {kind: load[kind] + spent[kind] * share for kind in spent} | {"pictures": done * share}


def case_floor(source: Path, out: Path) -> dict:
    from converters.images import probe

    with open(source / "training.csv", newline="") as file:
        kept = [row["subDirectory_filePath"] for row in csv.DictReader(file) if int(row["expression"]) < 7]
    pairs = [(f"{source}/Manually_Annotated_Images/{name}", f"{out}/{name[:-4]}.txt") for name in kept]
    _fresh(out)
    for folder in {os.path.dirname(label) for _, label in pairs}:
        os.makedirs(folder, exist_ok=True)
    clock = Clock()
    for picture, label in pairs:
        width, height = probe(picture).size_wh
        with open(label, "w") as file:
            file.write(f"0 {0.5:.6f} {0.5:.6f} {150 / width:.6f} {150 / height:.6f}\n")
    return clock.read() | {"pictures": len(pairs)}


def one_case(args) -> None:
    # A new folder each time, deleted at the end of all: ext4 is slow to create files just after it deleted many.
    source, out = Path(args.dir) / args.set, Path(tempfile.mkdtemp(dir=args.dir)) / "out"
    if args.case == "loop":
        result = case_loop(source, out, args.sample)
    elif args.case == "floor":
        result = case_floor(source, out)
    else:
        result = case_emo(source, out, args.case, args.jobs)
    print(json.dumps(result | {"peak_mb": _peak_mb("self") + sum(peak for _, peak in _workers().values())}))


def measured(cases: dict[str, list[str]], rounds: int) -> dict[str, dict]:
    """Each case in `rounds` processes of its own, in turns: wall and CPU seconds, pictures, peak MB of the fastest."""
    runs = {name: [] for name in cases}
    quiet = os.environ | {
        "OPENBLAS_NUM_THREADS": "1"
    }  # its second thread spins for 30 ms after NumPy's import, into the floor's CPU time
    for _ in range(rounds):
        for name, arguments in cases.items():
            done = subprocess.run([sys.executable, __file__, *arguments], capture_output=True, text=True, env=quiet)
            if done.returncode:
                sys.exit(done.stderr)
            runs[name].append(json.loads(done.stdout))
    return {name: min(some, key=lambda run: run["wall"]) for name, some in runs.items()}


def times(result: dict, other: dict, kind: str) -> float:
    """How many times as long as `other` it takes a picture; kind: wall or cpu."""
    return result[kind] / result["pictures"] / (other[kind] / other["pictures"])


def bench(args, name: str, forms, sample: int, rounds: int) -> list[str]:
    """Print the table of the set `name`; its goals, judged by wall or CPU time, whichever says worse."""
    base = ["--dir", args.dir, "--set", name, "--sample", str(sample)]
    cases = {"floor": [*base, "--case", "floor"]}
    slow = {"loop": [*base, "--case", "loop"]}
    for form in forms:
        for jobs in (1, 2) if form == "crops" else (1,):
            (slow if form == "crops" else cases)[f"{form}, {jobs} process{'es' * (jobs > 1)}"] = [
                *base,
                "--case",
                form,
                "--jobs",
                str(jobs),
            ]
    results = measured(slow, 1) | measured(cases, rounds)
    loop, floor = results["loop"], results["floor"]
    print(
        f"\n{name}: {floor['pictures']:,.0f} pictures to convert; the fastest of {rounds} round(s), loop and crops one"
    )
    if sample:
        print(
            f"the loop is extrapolated: it read the whole list, did {sample} of its pictures, and their time is "
            "scaled up"
        )
    print(
        f"{'':<24}{'wall s':>10}{'CPU s':>10}{'pictures/CPU s':>16}{'x loop, wall':>14}{'x loop, CPU':>13}{'of floor, wall':>16}{'of floor, CPU':>15}{'peak MB':>9}"  # noqa: E501
    )
    verdicts = []
    for case, result in results.items():
        faster = {kind: 1 / times(result, loop, kind) for kind in ("wall", "cpu")}
        slower = {kind: times(result, floor, kind) for kind in ("wall", "cpu")}
        print(
            f"{case:<24}{result['wall']:>10.2f}{result['cpu']:>10.3f}{result['pictures'] / result['cpu']:>16,.0f}{faster['wall']:>14.1f}{faster['cpu']:>13.1f}"  # noqa: E501
            f"{slower['wall']:>16.2f}{slower['cpu']:>15.2f}{result['peak_mb']:>9.0f}",
            flush=True,
        )
        least, most = GOALS.get((name, case), (None, None))
        worse, slowest = min(faster.values()), max(slower.values())
        judged = [(f"{worse:.1f} times the loop, goal {least}", worse >= least)] if least else []
        judged += [(f"{slowest:.2f} of the floor, goal {most}", slowest <= most)] if most else []
        judged += (
            [(f"{result['peak_mb']:.0f} MB, goal {MOST_MB}", result["peak_mb"] < MOST_MB)]
            if least and name == "long"
            else []
        )
        verdicts += [f"{'met' if met else 'NOT MET':<9}{name}, {case}: {text}" for text, met in judged]
    return verdicts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--rows", type=int, default=0, help="also a list of that many rows, such as 420000")
    parser.add_argument("--repeat", type=int, default=15, help="rounds on the 2,000 pictures")
    parser.add_argument("--sample", type=int, default=200, help="pictures of the long list that the loop does")
    parser.add_argument("--dir", help="where to work; default: a temporary folder")
    for hidden in ("--case", "--set"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    parser.add_argument("--jobs", type=int, default=1, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.case:
        one_case(args)
        return
    if args.dir:
        Path(args.dir).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=args.dir) as folder:
        args.dir = folder
        make_set(Path(folder) / "small", args.images)
        verdicts = bench(args, "small", FORMS, 0, args.repeat)
        start = time.perf_counter()
        command = (
            f"from emotion.cli import main; main(['convert', 'affectnet', '{folder}/small', '--out', "
            f"'{folder}/command', '--quiet'])"
        )
        subprocess.run([sys.executable, "-c", command], check=True)
        print(f"{'all of `emo convert`':<24}{time.perf_counter() - start:>10.2f}   with the start of Python")
        if args.rows:
            make_list(Path(folder) / "small", Path(folder) / "long", args.rows)
            verdicts += bench(args, "long", FORMS[:2], args.sample, 1)
        print("\nBy wall or CPU time, whichever says worse:", *verdicts, sep="\n")


if __name__ == "__main__":
    main()
