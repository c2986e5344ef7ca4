#!/usr/bin/env python3
"""Train the models that ship, one stage after another; what is done is not done again, what was cut off goes on.

    nice -n 19 python scripts/train_release.py --fer fer2013 --lfw lfw-affectnet            # into ./release
    python scripts/train_release.py --fer fer2013 --only emo-s
    tail -f release/log.txt                                                                 # where it stands

--fer is a folder with Kaggle's fer2013.csv and FER+'s fer2013new.csv. Settings are the recipes in scripts/release/. One thread,
seed 0. Each stage is commands of `emo`; they are printed, so that any of them can be run by hand.
"""  # noqa: E501

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

RECIPES = Path(__file__).resolve().parent / "release"
# Trainings after the first, each from the weights of the one before. The last is a few epochs with a smaller share of
# votes; what ships is the mean of it and of the one before.
LATER = {"emo-s": ("emo-s-tuned",), "emo-m": ("emo-m-more", "emo-m-tuned")}
# name: network, the set it learns from
CLASSIFIERS = {"emo-s": ("emo-s", "fer"), "emo-m": ("emo-m", "fer"), "emo-m-8": ("emo-m", "fer8")}


def emo(*args: object, log: Path) -> None:
    """Run an `emo` command, its words into the log; SystemExit when it fails."""
    words = [str(word) for word in args]
    with open(log, "a") as out:
        out.write("$ emo " + " ".join(words) + "\n")
        out.flush()
        done = subprocess.run([sys.executable, "-m", "emotion.cli", *words], stdout=out, stderr=subprocess.STDOUT)
    if done.returncode:
        sys.exit(f"emo {' '.join(words)}: exit code {done.returncode}; see {log}")


CROPS = ("0.9", "1.0", "1.25")  # sides of LFW's crops over their boxes, which a card tells beside each other


def convert(args: argparse.Namespace) -> None:
    """FER2013 with its own labels and FER+'s votes; FER+'s own seven and eight classes; LFW's faces, cut three ways."""
    sets = {
        "fer": ("ferplus", args.fer, "--labels", "fer2013", "--task", "classifier"),
        "fer7": ("ferplus", args.fer, "--labels", "votes", "--task", "classifier"),
        "fer8": ("ferplus", args.fer, "--labels", "votes", "--classes", 8, "--task", "classifier"),
    }
    if args.lfw:
        sets |= {
            f"lfw-{side}": ("affectnet", args.lfw, "--task", "crops", "--grey", "--size", 96, "--enlarge", side)
            for side in CROPS
        }
    for name, words in sets.items():
        if not (args.work / "data" / name / "emo.data").is_file():
            emo("convert", *words, "--out", args.work / "data" / name, log=args.log)


def ship(name: str, args: argparse.Namespace) -> None:
    """The finished run as a model folder under --out, with its card; nothing when it is newer than them."""
    runs = [args.work / "runs" / f"{part}-001" for part in (name, *LATER.get(name, ()))]
    data, card, run = args.work / "data", args.out / name / "model.toml", runs[-2] if len(runs) > 1 else runs[0]
    newest = max((one / "weights" / "model_best.weights").stat().st_mtime for one in runs)
    if card.is_file() and card.stat().st_mtime > newest:
        return
    own = CLASSIFIERS[name][1]
    sets = [f"fer2013={data / own / 'emo.data'}"] if own == "fer" else [f"fer+ of eight={data / own / 'emo.data'}"]
    if own == "fer":
        sets.append(f"fer+ test={data / 'fer7' / 'emo.data'}:test")
        sets += [
            f"lfw-affectnet validation crops {side}={data / f'lfw-{side}' / 'emo.data'}:valid"
            for side in CROPS
            if args.lfw
        ]
    words = [str(Path(__file__).with_name("ship_model.py")), str(run), "--name", name, "--out", str(args.out)]
    for item in sets:
        words += ["--set", item]
    if len(runs) > 1:
        words += ["--blend", str(runs[-1])]
    with open(args.log, "a") as out:
        if subprocess.run([sys.executable, *words], stdout=out, stderr=subprocess.STDOUT).returncode:
            sys.exit(f"ship_model.py {name} failed; see {args.log}")


def classifier(name: str, args: argparse.Namespace) -> None:
    """Train one classifier, and on where it is to be; go on with what was cut off, nothing when it is finished."""
    network, data = CLASSIFIERS[name]
    train(name, network, args.work / "data" / data / "emo.data", args)
    before = name
    for later in LATER.get(name, ()):
        start = args.work / "runs" / f"{before}-001" / "weights" / "model_best.weights"
        train(later, network, args.work / "data" / data / "emo.data", args, "--pretrained", start, "--clear")
        before = later


def train(name: str, network: str, data: Path, args: argparse.Namespace, *more: object) -> None:
    """One training by scripts/release/NAME.toml into runs/NAME-001; nothing when it is finished."""
    run = args.work / "runs" / f"{name}-001"
    final = run / "weights" / "model_final.weights"
    if final.is_file() and json.loads((run / "run.json").read_text())["verdict"] == "finished":
        return
    common = ("--threads", args.threads)
    if (run / "weights" / "model_last.weights").is_file():
        emo("train", "--resume", run, *common, log=args.log)
        return
    words = ("--recipe", RECIPES / f"{name}.toml", "--data", data, "--runs", args.work / "runs", "--name", name)
    emo("train", network, *words, *more, *common, log=args.log)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fer", type=Path, required=True, help="folder with fer2013.csv and fer2013new.csv")
    parser.add_argument(
        "--lfw", type=Path, help="LFW laid out as AffectNet: its validation list is measured for the cards"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("cfg/models"), help="where model folders go (default: cfg/models)"
    )
    parser.add_argument("--work", type=Path, default=Path("release"), help="where sets and runs go (default: release)")
    parser.add_argument("--only", choices=[*CLASSIFIERS], action="append", help="only this model; may be repeated")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    args.work = args.work.absolute()
    args.work.mkdir(parents=True, exist_ok=True)
    args.log = args.work / "log.txt"
    convert(args)
    for name in args.only or CLASSIFIERS:
        classifier(name, args)
        ship(name, args)


if __name__ == "__main__":
    main()
