"""`emo cfg anchors` and `schedule`: the numbers of a cfg that depend on your pictures."""

from __future__ import annotations

import json

import click

from . import options
from .groups import Command


@click.command(cls=Command)
@click.option(
    "--data",
    "data",
    type=click.Path(),
    required=True,
    help="A detector's .data file or its folder; the boxes of its train list are measured.",
)
@options.anchors_wanted
@click.option("--split", default="train", show_default=True, help="Which list.")
@options.seed
@options.as_json
def anchors(data, num, size, split, seed, as_json):
    """Anchors that fit your boxes: k-means on IoU; prints the line to paste into every [yolo].

    \b
    emo cfg anchors --data data/affectnet-detector/emo.data --num 6 --size 320
    """
    from converters.darknet_format.open_set import open_set
    from darknet_runner.network import anchors as library

    found = library.cluster(library.label_sizes(open_set(data, "detector"), (size, size), split), num, seed)
    if as_json:
        click.echo(
            json.dumps(
                {
                    "anchors": found.sizes_px.astype(int).tolist(),
                    "mean_iou": round(found.mean_iou, 4),
                    "boxes": found.boxes,
                    "size": size,
                }
            )
        )
    else:
        click.echo(found.line)
        click.echo(f"mean IoU {100 * found.mean_iou:.2f}% over {found.boxes:,} boxes")


@click.command(cls=Command)
@click.option("--images", type=options.Whole(min=1), help="How many pictures are trained on.")
@click.option("--data", "data", type=click.Path(), help=f"Count the pictures of this set's train list: {options.SET}.")
@click.option("--batch", type=options.Whole(min=1), default=64, show_default=True, help="Pictures per weight update.")
@click.option("--epochs", type=options.Number(min=0, min_open=True), help="Passes over all pictures.")
@click.option("--batches", type=options.Whole(min=1), help="max_batches, to turn into epochs.")
@click.option(
    "--round",
    "round_to",
    type=options.Whole(min=1),
    default=1,
    show_default=True,
    help="Round batches up to a multiple of this.",
)
@options.as_json
def schedule(images, data, batch, epochs, batches, round_to, as_json):
    """Turn epochs into max_batches and steps, and back.

    \b
    emo cfg schedule --images 283901 --batch 64 --epochs 90
    emo cfg schedule --images 283901 --batch 64 --batches 400000
    """
    from converters.darknet_format.files import read_list
    from converters.darknet_format.open_set import open_set
    from darknet_runner.network import schedule as library

    if (images is None) == (data is None):
        raise click.UsageError("give either --images or --data")
    if (epochs is None) == (batches is None):
        raise click.UsageError("give either --epochs or --batches")
    if data is not None:
        images = len(read_list(open_set(data).list_of("train")))
    plan = library.plan(images, batch, epochs=epochs, max_batches=batches, round_to=round_to)
    if as_json:
        click.echo(
            json.dumps(
                {
                    "images": images,
                    "batch": batch,
                    "epochs": round(plan.epochs, 3),
                    "max_batches": plan.max_batches,
                    "steps": list(plan.steps),
                    "burn_in": plan.burn_in,
                }
            )
        )
        return
    click.echo(
        f"{images:,} images, batch {batch}, {plan.max_batches:,} batches: {plan.epochs:.0f} epochs ({plan.epochs:.2f})"
    )
    for key, value in plan.net.items():
        click.echo(f"{key}={value}")
