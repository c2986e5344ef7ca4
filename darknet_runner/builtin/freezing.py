"""Which layers learn, how fast and from when: the cfg's options on single layers, and `freeze_until`.

    network = Network(cfg, freeze_until="connected")     # all before the first [connected] stay as they are
    network.freezing.govern(optimizer)                   # once; it then heeds `network.iteration` at every step

What AlexeyAB's Darknet does on a GPU (src/network_kernels.cu: backward_network_gpu, update_network_gpu; src/parser.c);
its CPU code knows less of it, and trains wrongly anyway. Batches count from 1 here.

    stopbackward=1      the gradient ends at this layer, which therefore only decays; the layers before it are frozen:
                        neither weights nor batch-norm statistics move. The last such layer counts
    stopbackward=N      the gradient ends at this layer for the first N batches; statistics go on
    onlyforward=1       no gradient for this layer nor through it, no loss of a head
    dont_update=N       no update in the first N batches, burnin_update=N: before batch N * burn_in
    train_only_bn=1     no update of this layer and those before it; batch-norm statistics go on
    learning_rate=S     the rate times S; with 0 only batch-norm statistics go on
    clip=C              convolutional weights are kept within +-C

Two slips of Darknet's are not repeated: there, gradients of a layer that is not updated pile up until it is, and the
statistics of a frozen [connected] or [batchnorm] go on. Dropout goes on in frozen layers, as there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn

from converters.errors import CfgError, nearest

from ..network.cfg_file import Cfg


@dataclass(frozen=True)
class Rule:
    """One layer. `first_update` is the number of the first batch that changes it, inf if none does."""

    frozen: bool = False
    stops: float = 0  # the gradient ends here for so many batches; inf: for ever
    only_forward: bool = False
    rate: float = 1.0
    first_update: float = 1
    clip: float = 0.0


def layer_named(cfg: Cfg, name: str | int) -> int:
    """The index of a layer: a number, negative ones from the end, or a section type, whose first layer is meant."""
    count, text = len(cfg.layers), str(name).strip().strip("[]")
    try:
        index = int(text)
    except ValueError:
        kinds = [layer.type for layer in cfg.layers]
        if text not in kinds:
            raise CfgError(
                f"has no layer '{name}'",
                where=cfg.path,
                mend=f"a number from 0 to {count - 1}, or {nearest(text, set(kinds))}",
            ) from None
        return kinds.index(text)
    if not -count <= index < count:
        raise CfgError(
            f"has no layer {index}", where=cfg.path, mend=f"a number from 0 to {count - 1}, or from -{count} to -1"
        )
    return index % count


def rules(cfg: Cfg, freeze_until: str | int | None = None) -> tuple[Rule, ...]:
    """The rule of every layer; `freeze_until` as of `layer_named`: the layers before it are frozen."""
    layers = cfg.layers
    first = 0 if freeze_until is None else layer_named(cfg, freeze_until)
    stops = [layer.integer("stopbackward", 0) for layer in layers]
    last = max((index for index, stop in enumerate(stops) if stop == 1), default=0)
    only_statistics = max(
        (index for index, layer in enumerate(layers) if layer.integer("train_only_bn", 0)), default=-1
    )
    burn_in, found = cfg.net.integer("burn_in", 0), []
    for index, layer in enumerate(layers):
        begin = max(layer.integer("dont_update", 0) + 1, layer.integer("burnin_update", 0) * burn_in)
        found.append(
            Rule(
                frozen=index < max(first, last),
                stops=math.inf if stops[index] == 1 or index < first else stops[index],
                only_forward=bool(layer.integer("onlyforward", 0)) or index < last,
                rate=layer.number("learning_rate", 1.0),
                first_update=math.inf if index <= only_statistics else begin,
                clip=layer.number("clip", 0.0) if layer.type == "convolutional" else 0.0,
            )
        )
    return tuple(found)


class Freezing:
    """The rules of a network's layers, applied to its modules. `network` has `stack`, and `iteration`: the batches
    done.
    """

    def __init__(self, network: nn.Module, cfg: Cfg, freeze_until: str | int | None = None):
        self.network, self.rules = network, rules(cfg, freeze_until)
        for rule, module in zip(self.rules, network.stack):
            if rule.frozen:
                module.requires_grad_(False)

    @property
    def frozen(self) -> int:
        """How many layers are frozen: the first so many."""
        return sum(rule.frozen for rule in self.rules)

    def moving_statistics(self) -> list[torch.Tensor]:
        """The rolling means and variances of the layers that are not frozen."""
        return [
            buffer
            for rule, module in zip(self.rules, self.network.stack)
            if not rule.frozen
            for buffer in module.buffers()
        ]

    def settle(self) -> None:
        """Frozen layers normalise with the statistics that they have, also while training."""
        for rule, module in zip(self.rules, self.network.stack):
            if rule.frozen and hasattr(module, "norm"):
                module.eval()

    def without_gradient(self) -> set[int]:
        """The layers to compute without a gradient in the next batch."""
        end = max((index for index, rule in enumerate(self.rules) if rule.stops > self.network.iteration), default=-1)
        return {index for index, rule in enumerate(self.rules) if index <= end or rule.only_forward}

    def by_rate(self, groups: list[dict]) -> list[dict]:
        """An optimizer's groups, each cut by the layers' `learning_rate`, which is the new group's `scale`."""
        scales = {
            id(value): rule.rate
            for rule, module in zip(self.rules, self.network.stack)
            for value in module.parameters()
        }
        found = []
        for group in groups:
            for scale in sorted({scales[id(value)] for value in group["params"]}, reverse=True):
                found.append(
                    group
                    | {"params": [value for value in group["params"] if scales[id(value)] == scale], "scale": scale}
                )
        return found

    def govern(self, optimizer: torch.optim.Optimizer) -> None:
        """From now on each of its steps leaves out what is not to be updated yet, and keeps weights within their
        clip.
        """
        optimizer.register_step_pre_hook(lambda *_: self._choose(self.network.iteration + 1))
        optimizer.register_step_post_hook(lambda *_: self._clip())

    def _choose(self, batch: int) -> None:
        for rule, module in zip(self.rules, self.network.stack):
            for value in () if rule.frozen else module.parameters():
                if batch < rule.first_update:
                    value.grad = None
                elif value.grad is None:  # no gradient came here: momentum and decay go on all the same
                    value.grad = torch.zeros_like(value)

    @torch.no_grad()
    def _clip(self) -> None:
        for rule, module in zip(self.rules, self.network.stack):
            if rule.clip > 0 and not rule.frozen:
                module.weight.clamp_(-rule.clip, rule.clip)
