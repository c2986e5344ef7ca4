"""Learning rates: Darknet's policies (src/network.c, get_current_rate), and a recipe's schedules in epochs."""

from __future__ import annotations

import math
from dataclasses import dataclass

from converters.errors import CfgError

from ..network.cfg_file import Section
from .recipe import Recipe

POLICIES = ("constant", "step", "steps", "exp", "poly", "sig", "sgdr")


def rate(net: Section, batch: int) -> float:
    """The rate of batch number `batch`; a run's first is 1, as in Darknet. CfgError for a policy that is not known."""
    base, burn_in = net.number("learning_rate", 0.001), net.integer("burn_in", 0)
    power, policy = net.number("power", 4.0), net.text("policy", "constant")
    if batch < burn_in:
        return base * (batch / burn_in) ** power
    total = net.integer("max_batches", 0)
    if policy == "constant":
        return base
    if policy == "steps":
        steps, scales = net.integers("steps"), net.numbers("scales")
        return base * math.prod(scale for step, scale in zip(steps, scales) if step <= batch)
    if policy == "step":
        return base * net.number("scale", 1.0) ** (batch // net.integer("step", 1))
    if policy == "exp":
        return base * net.number("gamma", 1.0) ** batch
    if policy == "poly":
        return base * max(0.0, 1 - batch / total) ** power
    if policy == "sig":
        return base / (1 + math.exp(net.number("gamma", 1.0) * (batch - net.integer("step", 1))))
    if policy == "sgdr":
        cycle, factor, lowest = (
            net.integer("sgdr_cycle", total),
            net.integer("sgdr_mult", 2),
            net.number("learning_rate_min", 0.00001),
        )
        start = 0
        while start + cycle < batch:
            start, cycle = start + cycle, cycle * factor
        return lowest + 0.5 * (base - lowest) * (1 + math.cos(math.pi * (batch - start) / cycle))
    raise CfgError(
        f"policy = {policy} is not known",
        where=net.path,
        line=net.lines.get("policy"),
        mend=f"known: {', '.join(POLICIES)}",
    )


@dataclass(frozen=True)
class Schedule:
    """The rate of every batch of a run: the cfg's policy, or a recipe's schedule in epochs."""

    net: Section
    recipe: Recipe
    epoch: float  # batches in one pass over the training pictures
    total: int  # batches of the run

    def __call__(self, batch: int) -> float:
        """The rate of batch number `batch`, the first being 1, before any fall on a plateau."""
        recipe = self.recipe
        if recipe.schedule == "cfg":
            return rate(self.net, batch)
        base, done = recipe.learning_rate or 0.0, batch - 1
        warm = recipe.warmup_epochs * self.epoch
        if (
            recipe.schedule == "one-cycle"
        ):  # arXiv:1708.07120: up over the first 30%, from a 25th; down to a 10,000th of that
            peak = 0.3 * self.total
            if done < peak:
                return base * (0.04 + 0.96 * 0.5 * (1 - math.cos(math.pi * done / peak)))
            return base * max(4e-6, 0.5 * (1 + math.cos(math.pi * (done - peak) / max(1, self.total - peak))))
        if done < warm:
            return base * batch / warm
        if recipe.schedule == "cosine":
            return base * max(1e-4, 0.5 * (1 + math.cos(math.pi * (done - warm) / max(1, self.total - warm))))
        if recipe.schedule == "steps":
            late = done / self.epoch - recipe.step_start
            return base * recipe.step_factor ** max(0, math.floor(late / recipe.step_epochs) + 1 if late >= 0 else 0)
        return base
