"""`emo darknet valid` (map), `top-k` and `test` (predict): what finished weights are worth, on either engine."""

from __future__ import annotations

import json
from pathlib import Path

import click

from . import options
from .groups import Command
from .printing import aligned

model_argument = click.argument("model", required=False, metavar="[RUN]", type=click.Path())
cfg_option = click.option("--cfg", type=click.Path(), help="The network's cfg; default: the run's.")
weights_option = click.option(
    "--weights", type=click.Path(), help="Its weights; default: the run's best, final or last."
)
data_option = click.option(
    "--data",
    type=click.Path(),
    help=f"A labelled set: {options.SET}; default: the run's, or the one under ./data that fits.",
)
split_option = click.option("--split", default="valid", show_default=True, help="Which list of the .data.")


@click.command(cls=Command)
@model_argument
@cfg_option
@weights_option
@data_option
@split_option
@click.option(
    "--map-iou",
    type=options.Number(0, 1, min_open=True),
    default=0.5,
    show_default=True,
    help="IoU from which a box counts as a hit.",
)
@click.option(
    "--points",
    type=click.Choice(["0", "11", "101"]),
    default="0",
    show_default=True,
    help="Recall points of AP; 0: the area.",
)
@options.conf
@options.engine
@options.darknet
@options.device
@options.as_json
def valid(model, cfg, weights, data, split, map_iou, points, conf, engine, darknet, device, as_json):
    """Measure weights: mAP and AP per class of a detector, top-1 and top-k of a classifier.

    \b
    emo darknet valid runs/v4-tiny-001
    emo darknet map --cfg yolo.cfg --weights yolo.weights \\
        --data data/affectnet-detector/emo.data --engine compiled
    """
    found = located(model, cfg, weights, data)
    more = {"iou": map_iou, "conf": conf, "points": int(points)} if found.cfg.is_detector else {}
    _evaluate(found, engine, darknet, device, as_json, split, more)


@click.command(name="top-k", cls=Command)
@model_argument
@cfg_option
@weights_option
@data_option
@split_option
@options.engine
@options.darknet
@options.device
@options.as_json
def top_k(model, cfg, weights, data, split, engine, darknet, device, as_json):
    """Measure top-1 and top-k accuracy of a classifier; k is `top` in the .data file.

    \b
    emo darknet top-k runs/face-small-001
    """
    from converters.errors import UsageError

    found = located(model, cfg, weights, data)
    if found.cfg.is_detector:
        raise UsageError("is a detector", where=found.cfg.path, mend="emo darknet map")
    _evaluate(found, engine, darknet, device, as_json, split, {})


def _evaluate(found, engine, darknet, device, as_json, split, more):
    from darknet_runner.choose_engine import choose_engine
    from darknet_runner.run.folder import jsonable

    chosen, why = choose_engine(engine, lambda compiled: compiled.judge_cfg(found.cfg), darknet=darknet)
    click.echo(f"evaluating {found.weights} with {why}", err=True)
    if chosen.name == "builtin":
        more = more | {"device": device}
    scores = chosen.evaluate(found.cfg.path, found.data.path, found.weights, split, **more)
    click.echo(json.dumps(jsonable(scores), indent=2) if as_json else table(scores))


def table(scores: dict) -> str:
    """The scores of `evaluate` as lines, beside the settings that made them."""
    settings = scores["settings"]
    if "map" not in scores:
        parts = [f"{key.replace('top', 'top-')} {value:.2%}" for key, value in scores.items() if key.startswith("top")]
        return (
            f"{', '.join(parts)} on {settings['pictures']} pictures of {settings['split']}, input "
            f"{'x'.join(map(str, settings['size']))}"
        )
    share = lambda value: "-" if value is None else f"{value:.2%}"
    rows = [
        (
            name,
            *(share(scores["classes"].get(name, {}).get(key)) for key in ("precision", "recall", "f1")),
            share(ap),
            scores["truths"][name],
        )
        for name, ap in scores["ap"].items()
    ]
    rows.append(
        (
            "all",
            *(share(scores[key]) for key in ("precision", "recall", "f1")),
            share(scores["map"]),
            sum(scores["truths"].values()),
        )
    )
    lines = aligned(("class", "precision", "recall", "F1", f"AP@{settings['iou']:g}", "faces"), rows)
    lines.append(
        f"mAP@{settings['iou']:g} {scores['map']:.2%} over the classes with faces, {scores['map_darknet']:.2%} over "
        f"all; precision, recall and F1 at score {settings['conf']:g}"
    )
    size = "x".join(map(str, settings["size"]))
    lines.append(
        f"{settings['pictures']} pictures of {settings['split']}, input {size}, NMS {settings['nms']['iou']:g}, "
        f"floor {settings['score_floor']:g}, {settings['points']} points"
    )
    return "\n".join(lines)


@click.command(cls=Command)
@click.argument("images", nargs=-1, required=True, type=click.Path())
@click.option("--run", "model", type=click.Path(), help="A run or model folder.")
@cfg_option
@weights_option
@click.option("--names", type=click.Path(dir_okay=False), help="The class names, one line each; default: the run's.")
@options.conf
@options.engine
@options.darknet
@options.device
@options.as_json
def test(images, model, cfg, weights, names, conf, engine, darknet, device, as_json):
    """Find boxes (with a detector) or classes (with a classifier) in single pictures.

    \b
    emo darknet test photo.jpg --run runs/v4-tiny-001
    emo darknet predict face.png --run runs/face-small-001 \\
        --engine compiled --json
    """
    from converters.errors import MediaError, UsageError
    from converters.text_files import read_lines
    from darknet_runner.choose_engine import choose_engine

    found = located(model, cfg, weights, None, need_data=False)
    listed = names or (found.names if found.names.is_file() else None)
    if listed is None:
        raise UsageError("no class names", where=found.cfg.path, mend="give --names FILE")
    missing = [path for path in images if not Path(path).is_file()]
    if missing:
        raise MediaError("no such picture", where=missing[0])
    chosen, why = choose_engine(engine, lambda compiled: compiled.judge_cfg(found.cfg), darknet=darknet)
    click.echo(f"predicting with {why}", err=True)
    results = chosen.predict(
        found.cfg.path,
        read_lines(Path(listed)),
        found.weights,
        [Path(path) for path in images],
        conf=conf,
        device=device,
    )
    if as_json:
        click.echo(json.dumps(results, indent=2))
        return
    for result in results:
        click.echo(f"{result['image']}:")
        for item in result.get("objects", []):
            click.echo(
                f"  {item['score']:7.2%} {item['name']:<10} {' '.join(f'{value:.0f}' for value in item['xyxy_px'])}"
            )
        for name, score in list(result.get("scores", {}).items())[:3]:
            click.echo(f"  {score:7.2%} {name}")
        if not result.get("objects", True):
            click.echo("  nothing")


def located(model, cfg, weights, data, need_data=True):
    """The cfg (parsed), weights, names and data that the arguments mean; an error for what is not named, or not
    there.
    """
    from types import SimpleNamespace

    from converters.errors import RunError, UsageError, WeightsError
    from darknet_runner.network import cfg_file
    from darknet_runner.run import create_run
    from darknet_runner.run.folder import RunDir

    folder = Path(model) if model else None
    if folder is None and not (cfg and weights):
        raise UsageError("no network is named", mend="give a run folder, or --cfg and --weights")
    if folder is not None and not folder.is_dir():
        raise RunError("no such run folder", where=folder)
    run = RunDir(folder or Path(cfg).parent)
    parsed = cfg_file.load(cfg or run.cfg)
    path = (
        Path(weights)
        if weights
        else folder / "model.weights"
        if (folder / "model.weights").is_file()
        else run.newest_weights()
    )
    if not path.is_file():
        raise WeightsError("no such weights", where=path)
    if need_data and data is None and folder is not None and (folder / "run.json").is_file():
        data = run.data_file()
    return SimpleNamespace(
        cfg=parsed, weights=path, names=run.names, data=create_run.data_of(data) if need_data else None
    )
