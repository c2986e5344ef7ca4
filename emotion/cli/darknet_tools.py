"""`emo darknet info`, `partial`, `anchors` and `log`."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import click

from . import options
from .groups import Command


@click.command(cls=Command)
@options.darknet
@click.option("--cfg", "network", help="Also list what it cannot do in this cfg (a file or a name).")
@options.as_json
def info(darknet, network, as_json):
    """Describe a Darknet binary: flavour, version, build, commands, known faults.

    \b
    emo darknet info
    emo darknet info --darknet ~/darknet/darknet --cfg v4-tiny
    """
    from converters.errors import RunError
    from darknet_runner.compiled import binary as binaries
    from darknet_runner.compiled.engine import CompiledEngine
    from darknet_runner.network import templates

    path = binaries.find(darknet)
    if path is None:
        raise RunError("no Darknet binary was found", mend=binaries.where_to_get())
    found = binaries.probe(path)
    cfg = templates.load(network) if network else None
    lacks = binaries.lacks(found, cfg) if cfg else []
    cannot = {}
    if cfg:
        engine = CompiledEngine(found)
        trains = engine.cannot_run(cfg, training=True) + ([found.broken_training] if found.broken_training else [])
        cannot = {"cannot_train": trains, "cannot_evaluate": engine.cannot_run(cfg)}
    if as_json:
        click.echo(json.dumps(found.as_dict() | {"lacks": [vars(lack) for lack in lacks], **cannot}, indent=2))
        return
    yes = {True: "yes", False: "no", None: "unknown"}
    click.echo(f"{found.title} at {found.path}")
    click.echo(f"version   {found.version or 'not reported by the binary'}")
    click.echo(
        "build     "
        + ", ".join(
            f"{name} {yes[getattr(found, name.lower())]}"
            for name in ("GPU", "cuDNN", "half", "OpenCV", "AVX", "OpenMP")
        )
    )
    click.echo(f"commands  {', '.join(found.commands)}")
    if found.trouble:
        click.echo(f"trouble   {found.trouble}")
    if found.broken_training:
        click.echo(f"training  broken: {found.broken_training}")
    effects = {
        "network": "would be another network",
        "training": "cannot be trained",
        "recipe": "is passed over in training",
    }
    for lack in lacks:
        click.echo(f"line {lack.line:<4} {lack.what}: {effects[lack.spoils]}")
    if network and not lacks:
        click.echo(f"{network}   all of it is known")
    for job, reasons in cannot.items():
        told = [reason for reason in reasons if reason != found.broken_training] or ["see training"] if reasons else []
        click.echo(
            f"{job.removeprefix('cannot_') + 's':<10}{network}: {'no: ' + '; '.join(told) if reasons else 'yes'}"
        )


@click.command(cls=Command)
@click.argument("cfg", metavar="FILE|NAME")
@click.argument("weights", type=click.Path())
@click.argument("out", type=click.Path())
@click.argument("layers", type=options.Whole(min=1), required=False)
@click.option(
    "--for", "for_cfg", help="Keep the layers that this cfg (a file or a name) shares, instead of giving LAYERS."
)
@options.engine
@options.darknet
@options.force
def partial(cfg, weights, out, layers, for_cfg, engine, darknet, force):
    """Write the first LAYERS layers of weights, with the count of pictures seen set to 0.

    A network that comes with emo can be given by name, its number of classes is read from the weights; so can a
    model, such as emo-m-8, for both.

    \b
    emo darknet partial yolov4.cfg yolov4.weights yolov4.conv.137 137
    emo darknet partial darknet-ref darknet-ref.weights darknet-ref.conv \\
        --for v3-tiny
    emo darknet partial emo-v4-nano emo-v4-nano face.conv --for v4-nano-face
    """
    from converters.errors import UsageError
    from darknet_runner.choose_engine import choose_engine
    from darknet_runner.network import cfg_diff, cfg_file, templates, weights_file as weightsfile

    from ..systems.models import shipped

    if (layers is None) == (for_cfg is None):
        raise click.UsageError("give either LAYERS or --for CFG")
    target = Path(out)
    if target.exists() and not force:
        raise UsageError("exists already", where=target, mend="--force replaces it")
    models = shipped()
    if weights in models and not Path(weights).exists():
        weights = str(models[weights] / "model.weights")
    if cfg in models and cfg not in templates.names() and not Path(cfg).exists():
        cfg = str(models[cfg] / "model.cfg")
    source = templates.of_weights(cfg, weights)
    other = templates.load(for_cfg) if for_cfg else None
    if engine == "compiled":
        chosen, _ = choose_engine(engine, lambda compiled: compiled.judge_cfg(source), darknet=darknet, torch=False)
        if other is not None:
            layers = cfg_diff.first_difference(source, other)
        if not layers:
            raise UsageError(f"shares no layers with {for_cfg}, or all of them", where=cfg)
        with tempfile.TemporaryDirectory(prefix="emo-") as folder:
            cfg_file.save(source, found := Path(folder) / "model.cfg")
            chosen.partial(found, Path(weights), target, layers)
    else:  # no binary does it better: the bytes are the same, and ours checks what it reads
        layers = weightsfile.partial(source, weights, target, layers, other)
    click.echo(f"{target}: layers 0 to {layers - 1}, {target.stat().st_size:,} bytes")


@click.command(cls=Command)
@click.option(
    "--data", type=click.Path(), help="A detector's .data file or its folder; default: the only one under ./data."
)
@options.anchors_wanted
@options.engine
@options.darknet
@options.seed
@options.as_json
def anchors(data, num, size, engine, darknet, seed, as_json):
    """Anchors that fit the boxes of the train list: k-means on IoU; prints the line for every [yolo].

    \b
    emo darknet anchors --data data/affectnet-detector/emo.data --num 6 --size 320
    """
    import numpy as np

    from darknet_runner.choose_engine import choose_engine
    from darknet_runner.network import anchors as ours
    from darknet_runner.run import create_run

    loaded = create_run.data_of(data)
    sizes = ours.label_sizes(loaded, (size, size))
    if engine == "compiled":  # the built-in one gives the same for the same boxes and seed; binaries draw their seed
        chosen, _ = choose_engine(engine, lambda compiled: ([], []), darknet=darknet, torch=False)
        found = ours.Anchors(np.array(chosen.anchors(loaded.path, num, (size, size))), 0.0, len(sizes))
        found = ours.Anchors(found.sizes_px, ours.mean_iou(sizes, found.sizes_px), len(sizes))
    else:
        found = ours.cluster(sizes, num, seed)
    if as_json:
        click.echo(json.dumps({"anchors": found.sizes_px.tolist(), "mean_iou": found.mean_iou, "boxes": found.boxes}))
    else:
        click.echo(found.line)
        click.echo(f"mean IoU {found.mean_iou:.2%} over {found.boxes} boxes", err=True)


@click.command(cls=Command)
@click.argument("file", type=click.Path())
@click.option(
    "--out", "-o", type=click.Path(), help="The folder for metrics.csv and chart.png; default: FILE without its ending."
)
@options.force
@options.as_json
def log(file, out, force, as_json):
    """Turn any Darknet's training log (pjreddie's, AlexeyAB's, hank-ai's, emo's) into metrics.csv and chart.png.

    \b
    darknet detector train ... 2>&1 | tee train.log
    emo darknet log train.log --out report
    """
    from converters.errors import naming
    from converters.output_folder import finish, in_place, part
    from darknet_runner.compiled import logs
    from darknet_runner.run import metrics_plot

    rows = logs.read(file)
    names = logs.class_names(rows)
    folder = Path(out) if out else Path(file).with_suffix("")
    target = folder / "metrics.csv"
    with in_place(folder, force, ("metrics.csv", "chart.png"), [Path(file)]):
        with naming(target):
            part(target).write_text(logs.to_csv(rows, names))
        metrics_plot.draw([row.as_dict(names) for row in rows], part(folder / "chart.png"), Path(file).name)
        finish(folder, target, folder / "chart.png")

    def score(row):
        return next((value for value in (row.map, row.topk, row.top1) if value is not None), None)

    best = max((row for row in rows if score(row) is not None), key=score, default=None)
    summary = {
        "iterations": rows[-1].iteration,
        "rows": len(rows),
        "loss": rows[-1].loss,
        "avg_loss": rows[-1].avg_loss,
        "best": best
        and {"iteration": best.iteration, "map": best.map, "top1": best.top1, "topk": best.topk, "k": best.k},
        "csv": str(target),
        "chart": str(folder / "chart.png"),
    }
    if as_json:
        click.echo(json.dumps(summary))
        return
    click.echo(f"{len(rows)} iterations up to {rows[-1].iteration}, average loss {rows[-1].avg_loss:.4g}")
    if best:
        what = "mAP" if best.map is not None else f"top-{best.k or 1}"
        click.echo(f"best {what} {score(best):.2%} at iteration {best.iteration}")
    click.echo(f"{target}, {folder / 'chart.png'}")
