"""Weights and pictures that are the same on every machine: the recipe behind fixtures/forward.json."""

import os
import shutil
import subprocess

import numpy as np
import pytest

from darknet_runner.network.layers import trace

RANGES = {"biases": (-0.3, 0.3), "scales": (0.7, 1.3), "mean": (-0.2, 0.2), "variance": (0.5, 1.5)}


def seeded_arrays(cfg, seed):
    """Per-layer {block: float32 array}, uniform, from numpy's frozen generator, in the order of the file.

    Weights lie within +-sqrt(3 / fan-in), which keeps activations near 1 through a hundred layers; a
    shortcut's within 0..1.
    """
    rng = np.random.RandomState(seed)
    layers = []
    for layer in trace(cfg):
        blocks = {}
        for name, shape in layer.blocks:
            low, high = RANGES.get(name, (0, 1))
            if name == "weights" and layer.type != "shortcut":
                high = np.sqrt(3 / np.prod(shape[1:]))
                low = -high
            blocks[name] = rng.uniform(low, high, shape).astype(np.float32)
        layers.append(blocks)
    return layers


def seeded_input(cfg, seed):
    """(channels, height, width) float32 in 0..1."""
    width, height = cfg.size_wh
    return (
        np.random.RandomState(seed + 1).uniform(0, 1, (cfg.net.integer("channels"), height, width)).astype(np.float32)
    )


@pytest.fixture(scope="session", name="seeded_arrays")
def _seeded_arrays():
    return seeded_arrays


@pytest.fixture(scope="session", name="seeded_input")
def _seeded_input():
    return seeded_input


@pytest.fixture(scope="session")
def debian():
    """Debian's `darknet` binary (pjreddie's of 2018), by the usage that only it prints on stderr."""
    binary = shutil.which("darknet")
    usage = binary and subprocess.run([binary], capture_output=True, text=True, timeout=20)
    if not binary or usage.stdout or "<function>" not in usage.stderr:
        pytest.skip("Debian's darknet is not installed")
    return binary


@pytest.fixture(scope="session")
def alexey():
    """The binary that EMO_DARKNET names, when it is AlexeyAB's."""
    from darknet_runner.compiled import binary

    path = os.environ.get("EMO_DARKNET")
    if not path or binary.probe(path).flavour != "alexeyab":
        pytest.skip("EMO_DARKNET names no AlexeyAB/darknet")
    return path
