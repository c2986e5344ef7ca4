"""`emo darknet train`."""

from __future__ import annotations

import click

from .groups import Command
from .train_search import train_or_search
from .training_options import training_options


@click.command(cls=Command)
@click.option(
    "--cfg", "template", help="A name from `emo cfg list` (v4-tiny, v3-tiny, face-small, ...) or a .cfg file."
)
@training_options
def train(template, **settings):
    """Train a detector or a classifier; the cfg and the .data say which.

    \b
    emo darknet train --cfg v4-tiny
    emo darknet train --cfg v4-nano --size 320 --iterations 4000 --anchors data
    emo darknet train --cfg face-small --data data/fer2013-classifier/emo.data
    emo darknet train --resume runs/v4-tiny-001
    emo darknet train --cfg v4-tiny --pretrained csdarknet53.conv.105 \\
        --engine compiled --gpus 0,1 --print-command
    torchrun --nproc-per-node 2 -m emotion.cli darknet train --cfg v4-tiny

    Writes runs/NAME-001/ with model.cfg, emo.names, run.json, metrics.csv, chart.png, train.log and weights/.
    Before it starts, cfg, lists, pictures and labels are checked; all faults are reported together. Ctrl-C saves
    (or, with a Darknet binary, keeps what was saved last) and stops; --resume goes on.
    """
    train_or_search(template, **settings | {"recipe": settings["recipe"] or "darknet"})
