"""Train again the two models that ship, with emo's own commands, from datasets that you have.

    python scripts/train_models.py --fer2013 fer2013.csv --affectnet affectnet --work train-models
    python scripts/train_models.py ... --only classifier

Steps, each skipped when its result is in --work already:
  1. FER2013 as a classifier's set; v4-nano-face on its Training usage                -> emo-fer
  2. the first 27 layers of a short such training                                     -> the detector's beginning
  3. the AffectNet-form set as a detector's, FER2013's faces composed to scenes, both merged
  4. v4-nano on that, at 256 px, and then for a shorter time at 320 px
  5. drawn scenes merged in, and v4-nano trained on at 246 to 416 px
  6. collages of the AffectNet-form set merged in, and trained on                      -> emo-v4-nano
  7. both evaluated, and put with their cards into --out (default: the package's cfg/models)

The best weights are chosen on the valid splits (PublicTest; the validation list); test splits are only
measured at the end. On one CPU core the detector takes about four and a half hours, the classifier half an hour.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import click

from darknet_runner.network import cfg_file, weights_file

MODERN = ["--optimizer", "adamw", "--net", "policy=sgdr", "--net", "power=1"]
CLASSIFIER = ["--cfg", "v4-nano-face", "--batch", "64", "--subdivisions", "1", "--learning-rate", "0.002", *MODERN]
LONG = [
    "--iterations",
    "10000",
    "--ema",
    "0.999",
    "--net",
    "label_smooth_eps=0.05",
    "--net",
    "decay=0.05",
    "--map-every",
    "1000",
]
SHORT = ["--iterations", "4000", "--ema", "0.998", "--net", "decay=0.03", "--map-every", "450"]
DETECTOR = [
    "--cfg",
    "v4-nano",
    "--size",
    "256",
    "--batch",
    "32",
    "--subdivisions",
    "2",
    "--iterations",
    "2900",
    "--anchors",
    "data",
    "--learning-rate",
    "0.001",
    "--ema",
    "0.999",
    "--prior",
    "0.02",
    "--net",
    "decay=0.02",
    "--net",
    "burn_in=200",
    "--map-every",
    "600",
    *MODERN,
]
FINER = [
    "--cfg",
    "v4-nano",
    "--size",
    "320",
    "--batch",
    "32",
    "--subdivisions",
    "2",
    "--iterations",
    "900",
    "--anchors",
    "data",
    "--learning-rate",
    "0.0006",
    "--ema",
    "0.998",
    "--net",
    "decay=0.02",
    "--net",
    "burn_in=30",
    "--map-every",
    "300",
    *MODERN,
]
LONGER = [
    "--size",
    "320",
    "--batch",
    "32",
    "--subdivisions",
    "2",
    "--iterations",
    "1900",
    "--anchors",
    "cfg",
    "--learning-rate",
    "0.0008",
    "--ema",
    "0.999",
    "--net",
    "decay=0.03",
    "--net",
    "burn_in=60",
    "--yolo",
    "random=1.3",
    "--map-every",
    "475",
    *MODERN,
]
WIDER = [
    *LONGER,
    "--iterations",
    "3000",
    "--map-every",
    "750",
    "--yolo",
    "anchors=17,17, 23,23, 35,35, 51,51, 79,79, 138,138",
]  # LONGER's by 320/384: collages hold smaller faces
SCENES, DRAWN, COLLAGES = 6000, 1600, 2700
DETECTOR_SIZE = (
    384  # larger than it is trained: 416 finds more small faces and loses faces that fill the picture, 320 the reverse
)
# FER2013's crops are tighter than a face finder's boxes; best of 0.7 to 1.1 on 391 faces of lfw-affectnet's training
# list
CROP_SCALE = 0.9


@click.command()
@click.option("--fer2013", type=click.Path(exists=True), required=True, help="fer2013.csv, or its folder.")
@click.option(
    "--affectnet",
    type=click.Path(exists=True),
    required=True,
    help="A set in AffectNet's form; ours is LFW with students' labels.",
)
@click.option("--work", type=click.Path(), default="train-models", show_default=True)
@click.option("--out", type=click.Path(), help="Where the model folders go.")
@click.option("--only", type=click.Choice(["classifier", "detector"]))
@click.option("--threads", default=1, show_default=True)
def main(fer2013, affectnet, work, out, only, threads):
    """Train and package emo-fer and emo-v4-nano."""
    work = Path(work)
    work.mkdir(parents=True, exist_ok=True)
    out = Path(out) if out else Path(str(files("cfg"))) / "models"
    emo = Emo(work, threads)
    crops = emo.made("crops", "convert", "fer2013", str(Path(fer2013).absolute()), "--task", "classifier")
    if only != "detector":
        run = emo.trained("emo-fer", crops, *CLASSIFIER, *LONG)
        measured = {
            "fer2013 PublicTest": emo.valid(run, crops, "valid"),
            "fer2013 PrivateTest": emo.valid(run, crops, "test"),
        }
        package(
            run,
            out / "emo-fer",
            64,
            {
                "task": "classifier",
                "data": "FER2013, usage Training (28,558 faces of 35,710 recovered)",
                "split": "trained on Training, best top-1 on PublicTest, measured on both others",
                "licence": "weights MIT; FER2013 is for research",
            },
            {name: {"top1": found["top1"], "faces": found["settings"]["pictures"]} for name, found in measured.items()},
            {"input": "grey / 255, stretched to the size with corners aligned", "crop_scale": CROP_SCALE},
        )
    if only != "classifier":
        short = emo.trained("nano-face", crops, *CLASSIFIER, *SHORT)
        beginning = work / "nano-face.conv"
        if not beginning.exists():
            emo(
                "darknet",
                "partial",
                str(short / "model.cfg"),
                str(short / "weights/model_best.weights"),
                str(beginning),
                "--for",
                "v4-nano",
            )
        faces = emo.made("faces", "convert", "affectnet", str(Path(affectnet).absolute()), "--task", "detector")
        scenes = emo.made(
            "scenes", "convert", "fer2013", str(Path(fer2013).absolute()), "--task", "detector", "--scenes", str(SCENES)
        )
        both = emo.made("both", "dataset", "merge", str(faces), str(scenes))
        coarse = emo.trained("emo-v4-nano-256", both, *DETECTOR, "--pretrained", str(beginning))
        finer = emo.trained("emo-v4-nano-320", both, *FINER, "--pretrained", str(coarse / "weights/model_best.weights"))
        drawn = emo.made("drawn", "dataset", "synth", "--as", "yolo", "--count", str(DRAWN), "--seed", "11")
        everything = emo.made("all", "dataset", "merge", str(faces), str(scenes), str(drawn))
        longer = emo.trained(
            "emo-v4-nano-drawn",
            everything,
            "--cfg",
            str(finer / "model.cfg"),
            *LONGER,
            "--pretrained",
            str(finer / "weights/model_best.weights"),
        )
        collages = emo.made("collages", "dataset", "collage", str(faces), "--count", str(COLLAGES), "--seed", "5")
        wide = emo.made("wide", "dataset", "merge", str(faces), str(scenes), str(drawn), str(collages))
        run = emo.trained(
            "emo-v4-nano",
            wide,
            "--cfg",
            str(longer / "model.cfg"),
            *WIDER,
            "--pretrained",
            str(longer / "weights/model_best.weights"),
        )
        folder = package(
            run,
            out / "emo-v4-nano",
            DETECTOR_SIZE,
            {
                "task": "detector",
                "data": (
                    "lfw-affectnet (4,547 pictures), 2,450 collages of them, 4,798 scenes composed of FER2013's "
                    "Training faces, 1,280 drawn scenes"
                ),
                "split": (
                    "best mAP@0.5 on lfw-affectnet's validation list with 250 collages of it, 602 scenes of "
                    "PublicTest faces and 320 drawn ones"
                ),
                "licence": "weights MIT; LFW and FER2013 are for research",
            },
            {},
            {"input": "RGB / 255, in a grey letter box of the size"},
        )
        measured = {
            "lfw-affectnet validation": emo.valid(folder, faces, "valid"),
            "lfw-affectnet validation, collages": emo.valid(folder, collages, "valid"),
            "FER2013 scenes, PublicTest faces": emo.valid(folder, scenes, "valid"),
            "FER2013 scenes, PrivateTest faces": emo.valid(folder, scenes, "test"),
        }
        metrics = {
            name: {"map50": found["map"], "pictures": found["settings"]["pictures"]} for name, found in measured.items()
        }
        with open(folder / "model.toml", "a") as card:
            card.write(tables(metrics))


class Emo:
    """Runs emo's commands in a folder, as a user would."""

    def __init__(self, work: Path, threads: int):
        self.work, self.threads = work, threads

    def __call__(self, *arguments: str) -> str:
        click.echo("$ emo " + " ".join(arguments), err=True)
        command = [sys.executable, "-c", "from emotion.cli import main; main()", *arguments]
        done = subprocess.run(
            command, stdout=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": str(self.threads)}
        )
        if done.returncode:
            raise click.ClickException(f"emo {arguments[0]} failed with exit code {done.returncode}")
        return done.stdout

    def made(self, name: str, *arguments: str) -> Path:
        """The .data file of a set that a command makes."""
        data = self.work / name / "emo.data"
        if not data.exists():
            self(*arguments, "--out", str(data.parent))
        return data

    def trained(self, name: str, data: Path, *arguments: str) -> Path:
        """The finished run folder of that name; one that was interrupted goes on."""
        run = self.work / "runs" / f"{name}-001"
        state = json.loads((run / "run.json").read_text())["verdict"] if (run / "run.json").exists() else None
        if state is None:
            self(
                "darknet",
                "train",
                "--engine",
                "builtin",
                "--data",
                str(data),
                "--runs",
                str(run.parent),
                "--name",
                name,
                "--threads",
                str(self.threads),
                "--workers",
                "1",
                *arguments,
            )
        elif state != "finished":
            self("darknet", "train", "--resume", str(run))
        return run

    def valid(self, model: Path, data: Path, split: str) -> dict:
        return json.loads(
            self("darknet", "valid", str(model), "--data", str(data), "--split", split, "--engine", "builtin", "--json")
        )


def package(run: Path, folder: Path, size: int, card: dict, metrics: dict, preprocessing: dict) -> Path:
    """A model folder of a run's best weights, with the input size to run it at, and its card."""
    folder.mkdir(parents=True, exist_ok=True)
    cfg = cfg_file.load(run / "model.cfg")
    wide = (
        {"letter_box": 1} if cfg.is_detector else {}
    )  # so that faces keep their shape in pictures that are not squares
    cfg_file.save(
        cfg.edit({0: {"width": size, "height": size, "batch": 1, "subdivisions": 1} | wide}), folder / "model.cfg"
    )
    shutil.copyfile(run / "weights/model_best.weights", folder / "model.weights")
    shutil.copyfile(run / "emo.names", folder / "emo.names")
    if not cfg.is_detector:
        folded(folder)
    info = json.loads((run / "run.json").read_text())
    settings = {key: value for key, value in info["settings"].items() if value not in (None, "", [], (), False)}
    head = {
        "name": folder.name,
        **card,
        "sha256": hashlib.sha256((folder / "model.weights").read_bytes()).hexdigest(),
        "iterations": info.get("iterations"),
        "recipe": "scripts/train_models.py",
    }
    keys = ("size", "batch", "learning_rate", "optimizer", "ema", *(["prior"] if cfg.is_detector else []))
    training = {key: settings[key] for key in keys if key in settings}
    text = "".join(f"{key} = {json.dumps(value)}\n" for key, value in head.items())
    text += "\n[training]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in training.items())
    if preprocessing:
        text += "\n[preprocessing]\n" + "".join(
            f"{key} = {json.dumps(value)}\n" for key, value in preprocessing.items()
        )
    (folder / "model.toml").write_text(text + tables(metrics))
    return folder


def folded(folder: Path) -> None:
    """Make a colour classifier that was trained on grey pictures a grey one: exactly the same function.

    Its three input channels were always equal, so their weights in the first layer can be added up.
    """
    cfg = cfg_file.load(folder / "model.cfg")
    found = weights_file.read(cfg, folder / "model.weights")
    layers = [dict(blocks) for blocks in found.layers]
    layers[0]["weights"] = layers[0]["weights"].sum(1, keepdims=True)
    grey = cfg.edit({0: {"channels": 1, "saturation": None, "hue": None}})
    weights_file.write(grey, folder / "model.weights", layers, found.seen)
    cfg_file.save(grey, folder / "model.cfg")


def tables(metrics: dict) -> str:
    """`[metrics."name"]` tables."""
    out = ""
    for name, found in metrics.items():
        out += f'\n[metrics."{name}"]\n' + "".join(
            f"{key} = {round(value, 4) if isinstance(value, float) else value}\n" for key, value in found.items()
        )
    return out


if __name__ == "__main__":
    main()
