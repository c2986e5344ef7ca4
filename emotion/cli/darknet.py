"""`emo darknet`: the group; its commands live in darknet_train, darknet_run, darknet_tools and darknet_pipeline."""

from __future__ import annotations

import click

from .groups import Lazy

COMMANDS = {
    "train": ("emotion.cli.darknet_train", "train", "Train a detector or a classifier."),
    "valid": ("emotion.cli.darknet_run", "valid", "How good weights are: mAP of a detector, top-k of a classifier."),
    "map": ("emotion.cli.darknet_run", "valid", "The same as valid."),
    "top-k": ("emotion.cli.darknet_run", "top_k", "Top-1 and top-k accuracy of a classifier."),
    "test": ("emotion.cli.darknet_run", "test", "Boxes or classes of single pictures."),
    "predict": ("emotion.cli.darknet_run", "test", "The same as test."),
    "pipeline": (
        "emotion.cli.darknet_pipeline",
        "pipeline",
        "Classifier, cut-off, partial, detector, evaluation in one go.",
    ),
    "partial": ("emotion.cli.darknet_tools", "partial", "The first layers of weights, to begin another network with."),
    "anchors": ("emotion.cli.darknet_tools", "anchors", "Anchors that fit your boxes."),
    "log": ("emotion.cli.darknet_tools", "log", "Any Darknet's training log as CSV and chart."),
    "info": ("emotion.cli.darknet_tools", "info", "What a Darknet binary is and can do."),
}


@click.group(cls=Lazy, table=COMMANDS)
def darknet():
    """Train and evaluate Darknet networks, with a Darknet binary or without.

    \b
    emo darknet train --cfg v4-tiny
    emo darknet valid runs/v4-tiny-001
    emo darknet info
    """
