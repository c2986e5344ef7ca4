"""`emo cfg`: the group; its commands live in cfg_show, cfg_make and cfg_numbers."""

from __future__ import annotations

import click

from .groups import Lazy

COMMANDS = {
    "list": ("emotion.cli.cfg_show", "list_", "List the networks that come with emo, with their cost."),
    "show": (
        "emotion.cli.cfg_show",
        "show",
        "Show a network layer by layer: shapes, parameters and BFLOPs, as a Darknet binary prints them.",
    ),
    "render": (
        "emotion.cli.cfg_make",
        "render",
        "A network for your classes: sets classes, filters, size, anchors and schedule, keeps the rest.",
    ),
    "conv": ("emotion.cli.cfg_make", "conv", "Write a plain convolutional classifier from a description."),
    "import": (
        "emotion.cli.cfg_make",
        "import_",
        "Turn weights of other frameworks into a .weights file, to use or to start a training from.",
    ),
    "plot": (
        "emotion.cli.cfg_show",
        "plot",
        "Draw a network: layers by resolution, coloured by type, with their connections.",
    ),
    "diff": (
        "emotion.cli.cfg_show",
        "diff",
        "What differs between two networks, and up to which layer B can begin with A's weights.",
    ),
    "anchors": (
        "emotion.cli.cfg_numbers",
        "anchors",
        "Anchors that fit your boxes: k-means on IoU; prints the line to paste into every [yolo].",
    ),
    "schedule": ("emotion.cli.cfg_numbers", "schedule", "Turn epochs into max_batches and steps, and back."),
}


@click.group(cls=Lazy, table=COMMANDS)
def cfg():
    """Networks: list and show them, make one for your classes, compare two.

    \b
    emo cfg list
    emo cfg show v4-tiny
    emo cfg render v4-tiny --classes 7 --size 320 --out my.cfg
    emo cfg conv --conv 32x3,64x3,128x3 --dense 64,64 --out my.cfg
    """
