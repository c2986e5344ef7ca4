#!/usr/bin/env python3
"""A classifier's finished run -> a model folder with its card: temperature, metrics with intervals, hash, weaknesses.

    python scripts/ship_model.py cfg/models/emo-s --name emo-s --also release/data/fer7/emo.data --set ...
    python scripts/ship_model.py release/runs/emo-s-001 --name emo-s --out cfg/models \
        --set "fer2013=release/data/fer/emo.data" --set "fer+=release/data/plus/emo.data:test" --set "lfw crops=release/data/lfw-1.00:valid"

Instead of a run, a model's folder: what its card says of the training stays. The classes' biases are chosen on the run's own
valid split and on that of --also (class_bias.py). The temperature of the softmax is fitted on the run's own valid split, so that scores can be read as shares; accuracy is
not changed by it. Below what score an emotion is uncertain is found there too (uncertain_below.py). The first --set is measured on valid and test, others on the split that stands behind the colon. What
is measured on a test or validation list of another set chose nothing.
"""  # noqa: E501

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
import tomllib
from pathlib import Path

import numpy as np
from class_bias import LEAST, answers, chosen, into_weights  # these two lie beside this file
from uncertain_below import calibrated

from darknet_runner.network import cfg_file, weights_file
from darknet_runner.run.folder import RunDir, sha256
from emotion.comparison.evaluate import evaluate
from emotion.comparison.settings import Settings

CROP_SCALE = 1.0  # a face's crop over its box: the middle of what the training's zoom spans


def blend(cfg, target: Path, other: Path) -> None:
    """The mean of two runs' weights, in place of `target`: between their strengths (arXiv:2203.05482)."""
    one, two = (weights_file.read(cfg, path) for path in (target, other))
    pairs = zip(one.layers, two.layers, strict=True)
    layers = [{name: (first[name] + second[name]) / 2 for name in first} for first, second in pairs]
    weights_file.write(cfg, target, layers, one.seen + two.seen)


def fitted_temperature(logits: np.ndarray, truth: np.ndarray) -> float:
    """(N, K), (N,) -> the softmax temperature with the least cross entropy (Guo et al., arXiv:1706.04599), to two
    digits behind the point.
    """

    def loss(temperature):
        scaled = logits / temperature
        scaled -= scaled.max(1, keepdims=True)
        return float((np.log(np.exp(scaled).sum(1)) - scaled[np.arange(len(truth)), truth]).mean())

    return round(float(min(np.arange(0.3, 3.0, 0.01), key=loss)), 2)


def measured(folder: Path, data: Path, split: str, tta: str | None = None) -> dict:
    """The figures of a card for one split."""
    with tempfile.TemporaryDirectory() as out:
        report = evaluate(
            [str(folder)], data, out=Path(out) / "e", tta=tta, settings=Settings(split=split, backend="onnx")
        )
    model = report["models"][0]
    figures = report["significance"]["figures"]
    found = {
        "faces": model["faces"],
        "top1": round(model["accuracy"], 4),
        "macro_f1": round(model["macro_f1"], 4),
        "calibration_error": round(model["calibration"]["ece"], 4),
    }
    for key, name in (("accuracy", "top1_interval"), ("macro_f1", "macro_f1_interval")):
        value = figures[key]["systems"][0]
        found[name] = [round(value["low"], 4), round(value["high"], 4)]
    recalls = {name: round(row["recall"], 4) for name, row in model["classes"].items() if row["support"]}
    return found | {"recall": recalls}


def toml(value) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f'"{key}" = {toml(item)}' for key, item in value.items()) + " }"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(toml, value)) + "]"
    return (
        repr(value)
        if isinstance(value, (int, float)) and not isinstance(value, bool)
        else str(value).lower()
        if isinstance(value, bool)
        else '"' + str(value).replace('"', "'") + '"'
    )


def chief_settings(run: Path) -> dict:
    """What differs between the trainings of one model."""
    recipe = tomllib.loads(RunDir(run).recipe.read_text())
    return {key: recipe[key] for key in ("epochs", "learning_rate", "vote_share") if key in recipe}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--name", required=True)
    parser.add_argument("--out", type=Path, default=Path("cfg/models"))
    parser.add_argument("--set", dest="sets", action="append", required=True, metavar="TITLE=DATA[:SPLIT]")
    parser.add_argument(
        "--blend", type=Path, metavar="RUN", help="mean of the weights with those of a run that went on from it"
    )
    parser.add_argument("--first", type=Path, metavar="RUN", help="an earlier run, from whose weights this one started")
    parser.add_argument(
        "--also",
        type=Path,
        metavar="DATA",
        help="a set whose valid split counts too when the classes' biases are chosen (class_bias.py)",
    )
    parser.add_argument("--weight", type=int, default=1, help="how often the run's own valid split counts beside it")
    parser.add_argument("--least", type=float, default=LEAST, help="the recall that the worst class should have there")
    parser.add_argument("--lfw-seen", action="store_true", help="LFW's training list was learned from")
    parser.add_argument(
        "--about", default="FER2013, usage Training; with FER+'s votes in the targets", help="the data, in words"
    )
    args = parser.parse_args()
    run = RunDir(args.run)
    own = Path(args.sets[0].partition("=")[2])
    with tempfile.TemporaryDirectory() as kept:  # `run` may be the model that is to be replaced
        old = tomllib.loads(run.card.read_text()) if run.card.is_file() else {}
        trained = run.recipe.is_file()
        shutil.copy(run.cfg, kept)
        shutil.copy(run.names, kept)
        shutil.copy(run.weights_file("best") if trained else run.path / "model.weights", f"{kept}/model.weights")
        folder = args.out / args.name
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(kept, folder)
    cfg = cfg_file.load(folder / "model.cfg")
    last = max(index for index, section in enumerate(cfg.sections) if section.type == "softmax")
    cfg = cfg.edit({last: {"temperature": 1}})
    cfg_file.save(cfg, folder / "model.cfg")
    if args.blend:
        blend(cfg, folder / "model.weights", RunDir(args.blend).weights_file("best"))
    biases = chosen([answers(folder, path) for path in (*[own] * args.weight, args.also) if path], args.least)
    into_weights(folder, biases)
    temperature = fitted_temperature(*answers(folder, own))
    cfg_file.save(cfg.edit({last: {"temperature": temperature}}), folder / "model.cfg")
    if trained:
        recipe = tomllib.loads(run.recipe.read_text())
        first, tuned = (chief_settings(path) if path else {} for path in (args.first, args.blend))
        about = {
            "first_training": first,
            "training": {key: value for key, value in recipe.items() if key not in ("name", "about", "source")},
            "tuning": {"blend": "the mean of the weights before and after these epochs"} | tuned if args.blend else {},
        }
    else:
        about = {key: old.get(key, {}) for key in ("first_training", "training", "tuning")}
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=Path(__file__).parent
    ).stdout.strip()
    card = {
        "name": args.name,
        "task": "classifier",
        "data": args.about,
        "split": "trained on Training, best top-1 on PublicTest, PrivateTest measured for this card only",
        "trained_on": ["fer2013 train", *(["lfw-affectnet train"] if args.lfw_seen else [])],
        "chosen_on": ["fer2013 valid"],
        "licence": "weights MIT; FER2013 is for research; FER+ labels MIT",
        "sha256": sha256(folder / "model.weights"),
        "command": f"scripts/train_release.py --only {args.name}",
        "commit": commit,
        "iterations": cfg.net.integer("max_batches") if trained else old["iterations"],
    }
    names = (folder / "emo.names").read_text().split()
    before = {} if trained else old.get("biases", {})
    tables = {
        **{key: about[key] for key in ("first_training", "training") if about[key]},
        "preprocessing": {"input": "grey / 255, stretched to the size with corners aligned"}
        | old.get("preprocessing", {})
        | {"crop_scale": CROP_SCALE},
        **({"tuning": about["tuning"]} if about["tuning"] else {}),
        "biases": {
            "what": "added to the classes' logits after training; in the weights",
            "chosen_on": "PublicTest, by FER2013's labels and by FER+'s" if args.also else "PublicTest",
            **{name: round(before.get(name, 0.0) + float(value), 2) for name, value in zip(names, biases)},
        },
        "calibration": {"temperature": temperature, "fitted_on": "fer2013 PublicTest"},
    }

    def write():
        lines = [f"{key} = {toml(value)}\n" for key, value in card.items()]
        for title, table in tables.items():
            lines += [f"\n[{title}]\n", *(f"{key} = {toml(value)}\n" for key, value in table.items())]
        (folder / "model.toml").write_text("".join(lines))

    write()
    tables["calibration"] |= calibrated(folder, {f"{args.sets[0].partition('=')[0]} PublicTest": own})
    weak = {}
    for index, told in enumerate(args.sets):
        title, _, place = told.partition("=")
        path, _, split = place.rpartition(":") if ":" in place else (place, "", "")
        for part in [split] if split else ["valid", "test"]:
            name = title if split else f"{title} { {'valid': 'PublicTest', 'test': 'PrivateTest'}[part] }"
            tables[f'metrics."{name}"'] = measured(folder, Path(path), part)
            print(name, tables[f'metrics."{name}"'], flush=True)
            if index == 0 and part == "test":
                tables[f'metrics."{name}, ten crops"'] = measured(folder, Path(path), part, "tencrop")
                weak = tables[f'metrics."{name}"']["recall"]
    card["weaknesses"] = (
        "least recall on PrivateTest: "
        + ", ".join(f"{name} {share:.0%}" for name, share in sorted(weak.items(), key=lambda item: item[1])[:3])
        + "; frontal faces only; sees one grey face at a time"
    )
    write()


if __name__ == "__main__":
    main()
