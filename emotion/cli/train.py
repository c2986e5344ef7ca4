"""`emo train`: a network by its name, a recipe, a set."""

from __future__ import annotations

import click

from .darknet_train import run_training, training_options
from .groups import Command


@click.command(cls=Command)
@click.argument("network", required=False)
@training_options
def train(network, **settings):
    """Train NETWORK, a classifier or a detector: a cfg that ships (emo cfg list) or a .cfg file.

    \b
    emo train emonet --data data/fer2013-classifier/emo.data
    emo train vgg19 --recipe tencrop --epochs 100
    emo train resnet18 --recipe best --set mixup=0.4 --set rotate=20 --monitor macro-f1
    emo train vgg-face --recipe transfer --pretrained vgg-face.weights --freeze-until 31
    emo train --resume runs/emonet-001

    A recipe (emo recipes list) says how: optimizer, rates, changes to the pictures, when to stop. Classifiers take `best`
    unless --recipe names another, detectors `darknet`, the cfg's own. Writes a run folder, as emo darknet train does.
    """
    run_training(network, **settings)
