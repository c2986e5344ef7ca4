"""Darknet's learning-rate policies (src/network.c, get_current_rate)."""

from __future__ import annotations

import math

from converters.errors import CfgError

from ..network.cfg_file import Section

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
        cycle, factor, lowest = net.integer("sgdr_cycle", total), net.integer("sgdr_mult", 2), net.number("learning_rate_min", 0.00001)
        start = 0
        while start + cycle < batch:
            start, cycle = start + cycle, cycle * factor
        return lowest + 0.5 * (base - lowest) * (1 + math.cos(math.pi * (batch - start) / cycle))
    raise CfgError(f"policy = {policy} is not known", where=net.path, line=net.lines.get("policy"), mend=f"known: {', '.join(POLICIES)}")
