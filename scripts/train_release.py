#!/usr/bin/env python3
"""Train the models that ship, one stage after another; what is done is not done again, what was cut off goes on.

    nice -n 19 python scripts/train_release.py --fer fer2013 --lfw lfw-affectnet            # into ./release
    python scripts/train_release.py --fer fer2013 --only emo-s
    python scripts/train_release.py --fer fer2013 --lfw lfw-affectnet --only yolo
    python scripts/train_release.py --fer fer2013 --lfw lfw-affectnet --only yolo --start cfg/models/emo-v4-nano --out new
    tail -f release/log.txt                                                                 # where it stands

--fer is a folder with Kaggle's fer2013.csv and FER+'s fer2013new.csv, --lfw one in AffectNet's form (LFW with boxes and
emotions). Settings stand in scripts/release/: recipes of the classifiers; of the detector a file a stage, with what it starts
from, its sets and options of `emo darknet train`. One thread, seed 0. Each stage is commands of `emo`; the log has them, so
that any of them can be run by hand. On one CPU core with bfloat16 emo-s takes one to two hours, the detector six; without,
several times as long. With --start the detector's last stage alone is trained, from the weights of a model: 80 minutes.
"""  # noqa: E501

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tomllib
from pathlib import Path

from darknet_runner.training import has_bfloat16
from emotion.systems.models import find

RECIPES = Path(__file__).resolve().parent / "release"
# Trainings after the first, each from the weights of the one before.
LATER = {"emo-s": ("emo-s-taught",), "emo-m": ("emo-m-more", "emo-m-again", "emo-m-tuned")}
BLENDED = ("emo-m",)  # the last is a few epochs with a smaller share of votes; the mean of it and the one before ships
TAUGHT = {"emo-s-taught": "emo-m"}  # the model that ships whose answers take the place of most of the votes
# name: network, the set it learns from
CLASSIFIERS = {"emo-s": ("emo-s", "fer"), "emo-m": ("emo-m", "fer"), "emo-m-8": ("emo-m", "fer8-lfw")}
STARTS = {"emo-m-8": "emo-m"}  # from the weights of the model that ships
# Whose classes get biases chosen by both labellings (class_bias.py), and how often FER2013's counts beside FER+'s.
BIASED = {"emo-s": 1, "emo-m": 2}
# The detector: a short training of v4-nano-face on crops gives its first layers; then stages, each from the one before.
CROPS_FIRST = "nano-face"
STAGES = ("yolo-256", "yolo-320", "yolo-drawn", "yolo-collages", "yolo")
DETECTOR = "emo-v4-nano"  # what ships of the last stage
FINDER = "face-nano"  # learns from the same sets, with one class
SIZES = {DETECTOR: 320, FINDER: 288}  # at which they are to run
ABOUT = {
    DETECTOR: "lfw-affectnet's training list (4,547 pictures), 2,450 collages of it, 4,798 scenes and 6,000 crowds "
    "composed of FER2013's Training faces, drawn scenes; pictures without faces, drawn or with the faces painted out",
    FINDER: "the first layers of emo-v4-nano; lfw-affectnet's training list (4,547 pictures), 2,450 collages of it, "
    "drawn scenes; pictures without faces, drawn or with the faces painted out",
}


def emo(*args: object, log: Path) -> None:
    """Run an `emo` command, its words into the log; SystemExit when it fails."""
    words = [str(word) for word in args]
    with open(log, "a") as out:
        out.write("$ emo " + " ".join(words) + "\n")
        out.flush()
        done = subprocess.run([sys.executable, "-m", "emotion.cli", *words], stdout=out, stderr=subprocess.STDOUT)
    if done.returncode:
        sys.exit(f"emo {' '.join(words)}: exit code {done.returncode}; see {log}")


def script(name: str, *args: object, log: Path) -> None:
    """Run a script that lies beside this one, its words into the log; SystemExit when it fails."""
    with open(log, "a") as out:
        command = [sys.executable, Path(__file__).with_name(name), *args]
        if subprocess.run([str(word) for word in command], stdout=out, stderr=subprocess.STDOUT).returncode:
            sys.exit(f"{name} failed; see {log}")


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
        # Its validation list becomes a test split: PublicTest alone chooses.
        crops = ("--task", "crops", "--grey", "--size", 48, "--enlarge", 1.1, "--usage", "validation=test")
        sets["lfw8"] = ("affectnet", args.lfw, *crops, "--classes", 8)
    for name, words in sets.items():
        if not (args.work / "data" / name / "emo.data").is_file():
            emo("convert", *words, "--out", args.work / "data" / name, log=args.log)
    both = args.work / "data" / "fer8-lfw"
    if args.lfw and not both.is_dir():
        emo("dataset", "merge", both.with_name("fer8"), both.with_name("lfw8"), "--out", both, log=args.log)


def ship(name: str, args: argparse.Namespace) -> None:
    """The finished run as a model folder under --out, with its card; nothing when it is newer than them."""
    runs = [args.work / "runs" / f"{part}-001" for part in (name, *LATER.get(name, ()))]
    data, card, run = args.work / "data", args.out / name / "model.toml", runs[-2 if name in BLENDED else -1]
    newest = max((one / "weights" / "model_best.weights").stat().st_mtime for one in runs)
    if card.is_file() and card.stat().st_mtime > newest:
        return
    if CLASSIFIERS[name][1] == "fer":
        sets = [f"fer2013={data / 'fer' / 'emo.data'}", f"fer+ test={data / 'fer7' / 'emo.data'}:test"]
        if args.lfw:
            sets += [
                f"lfw-affectnet validation crops {side}={data / f'lfw-{side}' / 'emo.data'}:valid" for side in CROPS
            ]
    else:
        sets = [f"fer+ of eight={data / 'fer8' / 'emo.data'}"]
        sets.append(f"lfw-affectnet validation crops 1.1={data / 'lfw8' / 'emo.data'}:test")
    words = [run, "--name", name, "--out", args.out]
    for item in sets:
        words += ["--set", item]
    if name in BIASED:
        words += ["--also", data / "fer7" / "emo.data", "--weight", BIASED[name]]
    if "lfw" in CLASSIFIERS[name][1]:
        words += ["--least", 0.2]  # more would cost the others much: FER+ has 22 faces of contempt to choose by
        words += ["--lfw-seen", "--about", "FER2013's Training usage with FER+'s votes; lfw-affectnet's training list"]
    if name in BLENDED:
        words += ["--blend", runs[-1]]
    if LATER.get(name, ("",))[-1] in TAUGHT:
        words += ["--about", "FER2013, usage Training; with emo-m's answers and FER+'s votes in the targets"]
    if run != runs[0]:
        words += ["--first", runs[0]]
    script("ship_model.py", *words, log=args.log)


def ship_detector(name: str, run: Path, args: argparse.Namespace) -> None:
    """A detector's run as a model folder under --out, with its card; nothing when that is newer."""
    card = args.out / name / "model.toml"
    if card.is_file() and card.stat().st_mtime > (run / "weights" / "model_final.weights").stat().st_mtime:
        return
    data, one = args.work / "data", "one-" if name == FINDER else ""
    words = [run, "--name", name, "--out", args.out, "--size", SIZES[name], "--about", ABOUT[name]]
    words += ["--set", f"lfw-affectnet validation={data / f'{one}faces'}:valid"]
    words += ["--set", f"lfw-affectnet validation, collages={data / f'{one}collages'}:valid"]
    if name == DETECTOR:
        words += ["--set", f"FER2013 scenes, PublicTest faces={data / 'scenes'}:valid"]
        words += ["--set", f"FER2013 scenes, PrivateTest faces={data / 'scenes'}:test"]
    script("ship_detector.py", "ship", *words, "--lfw", data / "faces", "--finder", args.finder, log=args.log)


def classifier(name: str, args: argparse.Namespace) -> None:
    """Train one classifier, and on where it is to be; go on with what was cut off, nothing when it is finished."""
    network, data = CLASSIFIERS[name]
    start = ("--pretrained", find(STARTS[name], "classifier").folder, "--clear") if name in STARTS else ()
    train(name, network, args.work / "data" / data / "emo.data", args, *start)
    before = name
    for later in LATER.get(name, ()):
        start = args.work / "runs" / f"{before}-001" / "weights" / "model_best.weights"
        learned = args.work / "data" / data
        if later in TAUGHT:
            learned = learned.with_name(f"{data}-taught")
            if not learned.is_dir():
                by = ("--by", find(TAUGHT[later], "classifier").folder, "--own", 0.2)
                emo("dataset", "teach", learned.with_name(data), *by, "--out", learned, log=args.log)
        train(later, network, learned / "emo.data", args, "--pretrained", start, "--clear")
        before = later


def finished(run: Path) -> bool:
    final = run / "weights" / "model_final.weights"
    return final.is_file() and json.loads((run / "run.json").read_text())["verdict"] == "finished"


def train(name: str, network: str, data: Path, args: argparse.Namespace, *more: object) -> None:
    """One training by scripts/release/NAME.toml into runs/NAME-001; nothing when it is finished."""
    run = args.work / "runs" / f"{name}-001"
    if finished(run):
        return
    common = ("--threads", args.threads)
    if (run / "weights" / "model_last.weights").is_file():
        emo("train", "--resume", run, *common, log=args.log)
        return
    words = ("--recipe", RECIPES / f"{name}.toml", "--data", data, "--runs", args.work / "runs", "--name", name)
    emo("train", network, *words, *more, *common, log=args.log)


def detector(args: argparse.Namespace) -> Path:
    """Train the detector stage by stage, its run; nothing that is finished, on with what was cut off."""
    if args.start:
        return stage(STAGES[-1], args, args.start / "model.weights", args.start / "model.cfg")
    first = stage(CROPS_FIRST, args)
    start = args.work / "data" / "nano-face.conv"
    if not start.is_file():
        best = first / "weights" / "model_best.weights"
        emo("darknet", "partial", first / "model.cfg", best, start, "--for", "v4-nano", log=args.log)
    cfg = first / "model.cfg"  # of the first stage its own settings name another
    for name in STAGES:
        run = stage(name, args, start, cfg)
        start, cfg = run / "weights" / "model_best.weights", run / "model.cfg"
    return run


def finder(args: argparse.Namespace) -> Path:
    """Train the face finder from the first layers of the detector that ships, on its sets with one class; its run."""
    data, model = args.work / "data", find(DETECTOR, "detector")
    for name in ("faces", "drawn", "collages", "negatives"):
        if not (data / f"one-{name}" / "emo.data").is_file():
            one = ("--classes", 1, "--task", "detector", "--out", data / f"one-{name}")
            emo("convert", "yolo", data / name, *one, log=args.log)
    start = data / f"{FINDER}.conv"
    if not start.is_file():
        emo("darknet", "partial", model.cfg.path, model.weights, start, "--for", FINDER, log=args.log)
    return stage(FINDER, args, start)


def stage(name: str, args: argparse.Namespace, start: Path | None = None, cfg: Path | None = None) -> Path:
    """The finished run of scripts/release/NAME.toml, begun with the weights `start`, of `cfg` where it names none."""
    settings = tomllib.loads((RECIPES / f"{name}.toml").read_text())
    run = args.work / "runs" / f"{name}-001"
    if finished(run):
        return run
    if (run / "weights" / "model_last.weights").is_file():
        emo("darknet", "train", "--resume", run, log=args.log)
        return run
    sets = [args.work / "data" / made for made in settings.pop("sets")]
    data = sets[0]
    if len(sets) > 1:
        data = args.work / "data" / f"{name}-sets"
        if not data.is_dir():
            emo("dataset", "merge", *sets, "--out", data, log=args.log)
    words = ["--cfg", settings.pop("cfg", cfg), "--data", data / "emo.data"]
    if not has_bfloat16("auto"):
        settings.pop("amp", None)  # ten times slower there
    for key, value in settings.items():
        option = "--" + key.replace("_", "-")
        for one in value if isinstance(value, list) else [value]:
            words += [option] if one is True else [option, one]
    if start:
        words += ["--pretrained", start, "--clear"]
    words += ["--runs", args.work / "runs", "--name", name, "--threads", args.threads, "--workers", 1]
    emo("darknet", "train", "--engine", "builtin", *words, log=args.log)
    return run


def set_commands(fer: Path, lfw: Path, data: Path, finder: str) -> dict[str, tuple]:
    """Name of each of the detector's sets -> what makes it: words of `emo`, or a script beside this one."""
    csv = fer / "fer2013.csv"
    return {
        "crops": ("convert", "fer2013", csv, "--task", "classifier"),
        "faces": ("convert", "affectnet", lfw, "--task", "detector"),
        "scenes": ("convert", "fer2013", csv, "--task", "detector", "--scenes", 6000),
        "crowds": (
            *("convert", "fer2013", csv, "--task", "detector", "--crowd", 25, "--scenes", 6000, "--seed", 3),
            *("--usage", "PublicTest=none,PrivateTest=none"),
        ),
        "drawn": ("dataset", "synth", "--as", "yolo", "--count", 1600, "--seed", 11),
        "collages": ("dataset", "collage", data / "faces", "--count", 2700, "--seed", 5),
        "negatives": ("false_faces.py", "teach", "--lfw", data / "faces", "--finder", finder, "--count", 1800),
    }


def detector_sets(args: argparse.Namespace, unused: tuple[str, ...]) -> None:
    """LFW, scenes and crowds of FER2013's faces, drawn scenes, collages of LFW, pictures without faces."""
    data = args.work / "data"
    for name, words in set_commands(args.fer, args.lfw, data, args.finder).items():
        if name not in unused and not (data / name / "emo.data").is_file():
            made = script if str(words[0]).endswith(".py") else emo
            made(*words, "--out", data / name, log=args.log)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fer", type=Path, required=True, help="folder with fer2013.csv and fer2013new.csv")
    parser.add_argument(
        "--lfw",
        type=Path,
        help="LFW laid out as AffectNet: the detector learns from it, cards measure on it",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("cfg/models"), help="where model folders go (default: cfg/models)"
    )
    parser.add_argument("--work", type=Path, default=Path("release"), help="where sets and runs go (default: release)")
    parser.add_argument(
        "--only", choices=[*CLASSIFIERS, "yolo", FINDER], action="append", help="only this model; may be repeated"
    )
    parser.add_argument("--start", type=Path, help="model folder from which the detector's last stage begins")
    parser.add_argument("--finder", default="yunet", help="finds faces without a label (default: yunet)")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    args.work = args.work.absolute()
    args.work.mkdir(parents=True, exist_ok=True)
    args.log = args.work / "log.txt"
    needing = ("emo-m-8", "yolo", FINDER)  # they learn from LFW
    models = args.only or [name for name in (*CLASSIFIERS, "yolo", FINDER) if args.lfw or name not in needing]
    if not args.lfw and (lacking := [name for name in models if name in needing]):
        parser.error(f"{lacking[0]} needs --lfw: a folder in AffectNet's form, with boxes and emotions")
    for name in models:
        if name in ("yolo", FINDER):
            detector_sets(args, ("crops", "scenes", "crowds") if name == FINDER else ("crops",) if args.start else ())
            run = detector(args) if name == "yolo" else finder(args)
            ship_detector(DETECTOR if name == "yolo" else name, run, args)
        else:
            convert(args)
            classifier(name, args)
            ship(name, args)


if __name__ == "__main__":
    main()
