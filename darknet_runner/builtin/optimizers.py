"""The optimizer of a run: its recipe's kind, and what each group of weights is pulled back by.

Darknet decays weights, not biases and scales (src/convolutional_layer.c, update_convolutional_layer).
"""

from __future__ import annotations

import torch

from converters.errors import RunError

from ..network.cfg_file import Section
from .modules import Connected
from .network import Network
from .recipe import Recipe

DARKNET_DECAY, DARKNET_MOMENTUM = 0.0001, 0.9  # src/parser.c, parse_net_options


def make_optimizer(network: Network, net: Section, recipe: Recipe) -> torch.optim.Optimizer:
    """SGD as Darknet's (its buffer is m b + g + decay w, its step rate times that), Adam (L2 in the gradient) or
    AdamW.
    """
    decay = net.number("decay", DARKNET_DECAY) if recipe.decay is None else recipe.decay
    momentum = net.number("momentum", DARKNET_MOMENTUM) if recipe.momentum is None else recipe.momentum
    decayed, plain = network.parameter_groups()
    dense = (
        {id(module.weight) for module in network.stack if isinstance(module, Connected)}
        if recipe.dense_decay is not None
        else set()
    )
    groups = [
        {"params": [value for value in decayed if id(value) not in dense], "weight_decay": decay},
        {"params": [value for value in decayed if id(value) in dense], "weight_decay": recipe.dense_decay or 0.0},
        {"params": plain, "weight_decay": 0.0},
    ]
    groups = [group for group in network.freezing.by_rate(groups) if group["params"]]
    if not groups:
        raise RunError("nothing is left to learn: all layers with weights are frozen", where=network.cfg.path)
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=0.0, momentum=momentum)
    return {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[recipe.optimizer](groups, lr=0.0)
