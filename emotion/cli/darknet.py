"""`emo darknet`: train and evaluate Darknet networks."""

from __future__ import annotations

import json
import sys

import click

from emotion.cli import options


@click.group()
def darknet():
    """Train and evaluate Darknet networks, with a Darknet binary or without.

    \b
    emo darknet train --cfg v4-tiny
    emo darknet valid runs/v4-tiny-001
    """


@darknet.command()
@click.option("--cfg", "template", help="A cfg that ships (v4-tiny, v4-nano, v3-tiny, face-small, ...) or a .cfg file.")
@click.option("--data", type=click.Path(), help="A .data file; default: the only one under ./data.")
@click.option("--iterations", type=click.IntRange(min=1), help="Batches to train; default: the cfg's max_batches.")
@click.option("--size", type=click.IntRange(min=8), help="Width and height of the network's input, in pixels.")
@click.option("--batch", type=click.IntRange(min=1), help="Pictures a batch.")
@click.option("--subdivisions", type=click.IntRange(min=1), help="Parts that a batch is cut into, to save memory.")
@click.option("--learning-rate", type=click.FloatRange(min=0, min_open=True), help="Rate after the burn-in.")
@click.option("--anchors", type=click.Choice(["cfg", "data"]), default="cfg", show_default=True, help="The cfg's anchors, or k-means over the labels.")
@click.option("--net", multiple=True, metavar="KEY=VALUE", help="Set another [net] option; may be repeated.")
@click.option("--pretrained", type=click.Path(), help="Weights to begin with: of this cfg, or of its first layers.")
@click.option("--resume", type=click.Path(), metavar="RUN", help="Go on with a run folder.")
@click.option("--map-every", type=click.IntRange(min=1), help="Batches between validations; default: an epoch, at least 100.")
@click.option("--no-map", is_flag=True, help="Do not validate while training.")
@click.option("--runs", type=click.Path(), default="runs", show_default=True, help="Where run folders are made.")
@click.option("--name", help="Name of the run folder; default: the cfg's.")
@click.option("--optimizer", type=click.Choice(["sgd", "adamw"]), default="sgd", show_default=True)
@click.option("--ema", type=click.FloatRange(0, 1, max_open=True), default=0.0, help="Decay of averaged weights, e.g. 0.999; 0: off.")
@click.option("--clip", type=click.FloatRange(min=0), default=0.0, help="Largest norm of the gradient; 0: off.")
@click.option("--amp", is_flag=True, help="Mixed precision (bfloat16) on a GPU.")
@click.option("--patience", type=click.IntRange(min=0), default=0, help="Stop after so many validations without a better one; 0: never.")
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads for the arithmetic.")
@click.option("--workers", type=click.IntRange(min=0), help="Processes that load and augment pictures.")
@click.option("--cache", "cache_mb", type=click.IntRange(min=0), default=2048, show_default=True, help="Megabytes of decoded pictures to keep.")
@options.device
@options.seed
@options.as_json
@options.quiet
def train(template, data, resume, as_json, **settings):
    """Train a detector or a classifier: what it is, the cfg and the .data say.

    \b
    emo darknet train --cfg v4-tiny
    emo darknet train --cfg v4-nano --size 320 --iterations 4000 --anchors data
    emo darknet train --cfg face-small --data data/fer2013-classifier/emo.data
    emo darknet train --resume runs/v4-tiny-001

    Writes runs/NAME-001/ with model.cfg, emo.names, run.json, metrics.csv, chart.png, train.log and weights/.
    Ctrl-C saves and stops; --resume goes on.
    """
    from darknet_runner import prepare
    from darknet_runner.builtin import BuiltinEngine, need_torch

    need_torch("emo darknet train without a Darknet binary")
    if bool(template) == bool(resume):
        raise click.UsageError("give --cfg NAME to train anew, or --resume RUN to go on")
    if resume:
        run, info = prepare.reopen(resume)
        data = data or info["data"]
        settings |= {key: value for key, value in info["settings"].items() if key not in ("device", "threads", "workers", "quiet")}
    else:
        loaded = prepare.data_of(data)
        data = loaded.path
        run = prepare.prepare(template, loaded, **_rendering(settings))
    job = _job(run, data, bool(resume), settings)
    if not resume:
        prepare.record(run, data, {"cfg": template, **settings})
    if not settings["quiet"]:
        click.echo(f"{'going on with' if resume else 'training'} {run.path} on {data} with the built-in engine", err=True)
    result = BuiltinEngine().train(job)
    _report(result, as_json)


def _rendering(settings):
    """The train options that shape the cfg, as `prepare.prepare` takes them."""
    net = {}
    for pair in settings["net"]:
        key, equals, value = pair.partition("=")
        if not equals:
            raise click.UsageError(f"--net {pair}: expected KEY=VALUE")
        net[key.strip()] = value.strip()
    keys = ("size", "batch", "subdivisions", "iterations", "learning_rate", "anchors", "seed", "runs", "name")
    return {key: settings[key] for key in keys} | {"net": net}


def _job(run, data, resume, settings):
    from pathlib import Path

    from darknet_runner.engine import TrainJob

    same = ("map_every", "device", "threads", "workers", "seed", "quiet", "optimizer", "ema", "clip", "amp", "patience")
    pretrained = settings["pretrained"]
    return TrainJob(
        cfg=run.cfg, data=Path(data), run=run, resume=resume, pretrained=Path(pretrained) if pretrained and not resume else None,
        evaluate=not settings["no_map"], cache_bytes=settings["cache_mb"] << 20, **{key: settings[key] for key in same},
    )  # fmt: skip


def _report(result, as_json):
    """Print how a run ended, and exit accordingly."""
    names = {"map": "mAP@0.5", "top1": "top-1 accuracy"}
    info = result.run.read_json()
    if as_json:
        click.echo(json.dumps({"run": str(result.run.path), **{key: info.get(key) for key in ("verdict", "reasons", "iterations", "loss", "best")}}))
    else:
        click.echo(f"{result.verdict} after {result.iterations} iterations, average loss {result.loss:.4f}" if result.loss is not None else result.verdict)
        for key, value in (info.get("best") or {}).items():
            if value is not None:
                click.echo(f"best {names[key]} on the valid split: {value:.2%}")
        for reason in result.reasons:
            click.echo(reason, err=result.verdict == "failed")
        click.echo(f"weights: {result.run.weights}/")
    if result.verdict == "interrupted":
        click.echo(f"go on with: emo darknet train --resume {result.run.path}", err=True)
        sys.exit(130)
    if result.verdict == "failed":
        sys.exit(1)
