#!/usr/bin/env python3
"""A detector's run -> its figures at several input sizes, or a model folder with its card.

    python scripts/ship_detector.py measure yolo yolo:runs/yolo-001@288 yolo:runs/yolo-001@320 \\
        --set "lfw validation=data/faces:valid" --set "scenes=data/scenes:valid"
    python scripts/ship_detector.py ship runs/yolo-001 --size 320 --lfw data/faces --set "lfw validation=data/faces:valid"

Figures: mAP@0.5, AP of faces whatever their class, accuracy of the emotion of faces that were found, missed and extra
faces at the default confidence; 95% intervals from resamples of people, or pictures. `ship` also finds below which score
an emotion is uncertain (uncertain_below.py, on the --sets of validation faces) and counts false faces (false_faces.py).
"""  # noqa: E501

from __future__ import annotations

import shutil
import subprocess
import tomllib
from pathlib import Path

import click
import false_faces  # these three lie beside this file
from ship_model import toml
from uncertain_below import calibrated

from converters.darknet_format.open_set import open_set
from darknet_runner.network import cfg_file
from darknet_runner.run.folder import RunDir, sha256
from emotion.comparison.compare import labelled_scene, significance
from emotion.comparison.settings import Settings
from emotion.comparison.tally import Tally


def parts(told: str) -> tuple[str, Path, str]:
    """TITLE=DATA:SPLIT."""
    title, _, place = told.partition("=")
    path, _, split = place.rpartition(":")
    return title, Path(path), split


def measured(spec: str, data: Path, split: str, backend: str = "auto") -> dict:
    """The figures of a card for one split: values, intervals, counts."""
    settings = Settings(split=split, backend=backend)
    scene = labelled_scene(open_set(data), settings, data)
    detector = settings.open_weak(spec)
    tally = Tally(detector, scene.names, settings.conf)
    for frame, truth in scene.frames:
        tally.add(detector.detect([frame.bgr])[0], truth)
    told, figures = tally.result(), significance([tally], scene.units(), settings)["figures"]
    found: dict[str, object] = {"pictures": len(tally.extra), "faces": told["faces"]}
    names_emotions = len(scene.names) > 1  # else it only finds faces
    for ours, theirs in (("map50", "map"), ("face_ap", "face_ap"), ("accuracy", "accuracy"), ("macro_f1", "macro_f1")):
        if not names_emotions and ours != "face_ap":
            continue
        found[ours] = round(told[theirs] or 0.0, 4)
        if figures:  # none of fewer people than can be drawn again
            one = figures[theirs]["systems"][0]
            found[f"{ours}_interval"] = [round(one["low"], 4), round(one["high"], 4)]
    found |= {key: told[key] for key in ("missed", "extra")}
    if not names_emotions:
        return found
    found["calibration_error"] = round(told["calibration"]["ece"] or 0.0, 4)
    right = zip(told["truths"].items(), (row[index] for index, row in enumerate(told["confusion"])))
    return found | {"recall": {name: round(hits / many, 4) for (name, many), hits in right if many}}


@click.group(help=__doc__.split("\n\n")[0])
def main():
    pass


SETS = click.option("--set", "sets", multiple=True, required=True, metavar="TITLE=DATA:SPLIT")
BACKEND = click.option("--backend", default="auto", show_default=True)


@main.command()
@click.argument("specs", nargs=-1, required=True)
@SETS
@BACKEND
def measure(specs, sets, backend):
    """One line a model and set."""
    for title, data, split in map(parts, sets):
        for spec in specs:
            told = measured(spec, data, split, backend)
            shares = [key for key in ("map50", "face_ap", "accuracy", "macro_f1") if key in told]
            line = ", ".join(f"{key} {told[key]:.2%}" for key in shares)
            click.echo(f"{title}, {spec}: {line}, missed {told['missed']} of {told['faces']}, extra {told['extra']}")


@main.command()
@click.argument("run", type=click.Path(exists=True, path_type=Path))
@click.option("--name", default="emo-v4-nano", show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=Path("cfg/models"), show_default=True)
@click.option("--size", type=int, required=True, help="Input width and height at which it is to run.")
@click.option("--about", required=True, help="The data, in words.")
@click.option("--lfw", type=click.Path(exists=True, path_type=Path), help="Set whose faces are painted out.")
@click.option("--finder", default="yunet", show_default=True, help="What finds its faces that have no label.")
@SETS
@BACKEND
def ship(run, name, out, size, about, lfw, finder, sets, backend):
    """A model folder of the run's best weights, and its card."""
    run, folder = RunDir(run), out / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    cfg = cfg_file.load(run.cfg)
    own = {"width": size, "height": size, "batch": 1, "subdivisions": 1, "letter_box": 1}
    cfg_file.save(cfg.edit({0: own}), folder / "model.cfg")
    best = run.weights_file("best")
    shutil.copy(best if best.is_file() else run.weights_file("final"), folder / "model.weights")
    shutil.copy(run.names, folder / "emo.names")
    here = Path(__file__).parent
    emotions = len(run.names.read_text().split()) > 1
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=here)
    card = {
        "name": name,
        "task": "detector",
        "data": about,
        "split": "chosen on lfw-affectnet's validation list, collages of it and "
        + (
            "scenes of PublicTest faces; scenes of PrivateTest faces measured for this card only"
            if emotions
            else "drawn scenes"
        ),
        "trained_on": ["fer2013 train", "lfw-affectnet train"],
        "chosen_on": ["fer2013 valid", "lfw-affectnet valid"],
        "licence": "weights MIT; LFW and FER2013 are for research",
        "sha256": sha256(folder / "model.weights"),
        "command": f"scripts/train_release.py --only {'yolo' if emotions else name}",
        "commit": commit.stdout.strip(),
        "iterations": cfg.net.integer("max_batches"),
    }
    settings = run.read_json()["settings"]
    keys = ("size", "batch", "learning_rate", "optimizer", "ema")
    tables = {
        "training": {key: settings[key] for key in keys if settings.get(key) is not None},
        "preprocessing": {"input": "RGB / 255, in a grey letter box of the size"},
    }

    def write():
        lines = [f"{key} = {toml(value)}\n" for key, value in card.items()]
        for title, table in tables.items():
            lines += [f"\n[{title}]\n", *(f"{key} = {toml(value)}\n" for key, value in table.items())]
        (folder / "model.toml").write_text("".join(lines))
        tomllib.loads((folder / "model.toml").read_text())

    write()
    chosen = {title: data for title, data, split in map(parts, sets) if split == "valid" and "collages" not in title}
    if emotions:
        tables["calibration"] = calibrated(folder, chosen)
    for title, data, split in map(parts, sets):
        tables[f'metrics."{title}"'] = measured(str(folder), data, split, backend)
        click.echo(f"{title}: {tables[f'metrics.{toml(title)}']}")
    for title, told in false_faces.counted([str(folder)], 500, lfw, finder, backend=backend)[str(folder)].items():
        if title != "kinds":
            tables[f'metrics."no faces, {title.replace("_", " ")}"'] = told
    title, *_ = parts(sets[-1])
    if emotions:
        least = sorted(tables[f'metrics."{title}"']["recall"].items(), key=lambda item: item[1])[:3]
        shares = ", ".join(f"{emotion} {share:.0%}" for emotion, share in least)
        card["weaknesses"] = f"found and named rightly least often on {title}: {shares}"
    else:
        card["weaknesses"] = "names no emotion; takes badges and drawn objects for faces now and then"
    write()


if __name__ == "__main__":
    main()
