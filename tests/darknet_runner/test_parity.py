"""The built-in network's forward pass against AlexeyAB's Darknet, layer by layer (fixtures/forward.json)."""

import json
from pathlib import Path

import numpy as np
import pytest

from darknet_runner import cfgfile, templates, weights

torch = pytest.importorskip("torch")
FIXTURES = Path(__file__).parent / "fixtures"
CASES = json.loads((FIXTURES / "forward.json").read_text())["cases"]


@pytest.mark.parametrize("name", CASES)
def test_forward_agrees_with_a_binary_in_every_layer(name, tmp_path, seeded_arrays, seeded_input):
    from darknet_runner.builtin.network import Network

    case = CASES[name]
    cfg = cfgfile.load(FIXTURES / "kinds.cfg") if name == "kinds" else templates.load(name)
    if case["size"]:
        cfg = cfg.edit({0: {"width": case["size"], "height": case["size"]}})
    path = tmp_path / "seeded.weights"
    weights.write(cfg, path, seeded_arrays(cfg, case["seed"]), seen=0)
    network = Network(cfg).eval()
    network.load(weights.read(cfg, path))
    outputs = network.outputs(torch.from_numpy(seeded_input(cfg, case["seed"]))[None])
    assert len(outputs) == len(case["layers"])
    wrong = []
    for layer, output, (kind, mean, deviation, *values) in zip(network.layers, outputs, case["layers"]):
        flat = output[0].numpy().ravel()
        assert (kind, flat.size) == (layer.type, np.prod(layer.out))
        if kind == "cost":  # Darknet leaves its output empty when there is no truth
            continue
        where = np.random.RandomState(layer.index).randint(0, flat.size, len(values))
        found = np.array([flat.mean(dtype=float), flat.std(dtype=float), *flat[where]])
        expected = np.array([mean, deviation, *values])
        # 1e-4 for outputs of the order of 1, relative to the layer's spread where that is larger or much smaller
        error, allowed = np.abs(found - expected).max(), min(1e-4 * max(1, deviation), 2e-4 * deviation + 1e-6)
        if not error <= allowed:
            wrong.append(f"layer {layer.index} [{kind}] {layer.section.options}: off by {error:.2g}, allowed {allowed:.2g}")
    assert not wrong, "\n".join(wrong[:20])
