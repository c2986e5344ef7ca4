"""cfg -> torch: one module a section, run in order; the weights are read and written as Darknet's.

    network = Network(cfgfile.load("model.cfg"))
    network.load(weights.read(cfg, "model.weights"))
    heads = network(x)                  # x: (B, C, H, W) float in 0..1, RGB
    every_layer = network.outputs(x)    # as Darknet's own l.output, for parity

`forward` gives what the loss needs: a detector's [yolo]/[region] inputs, not yet activated, or a
classifier's inputs to its softmax (logits).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from converters.errors import CfgError

from ..network.cfg_file import Cfg
from ..network.layers import trace
from ..network.weights_file import Weights
from .freezing import Freezing
from .modules import BUILDERS, Shortcut, Weighted

HEADS = ("yolo", "region")


class Network(nn.Module):
    """A Darknet network. CfgError names a section that no module is built for.

    `freeze_until`, and the cfg's own options, say what does not learn: see `freezing`. While training, `iteration`
    is the number of batches done.
    """

    def __init__(self, cfg: Cfg, freeze_until: str | int | None = None):
        super().__init__()
        self.cfg, self.layers = cfg, trace(cfg)
        for layer in self.layers:
            if layer.type not in BUILDERS:
                raise CfgError(
                    f"section [{layer.type}] cannot be run by the built-in engine",
                    where=cfg.path,
                    line=layer.section.line,
                )
        self.stack = nn.ModuleList(BUILDERS[layer.type](layer) for layer in self.layers)
        self.kept = {source for layer in self.layers for source in layer.sources}
        self.heads = tuple(layer for layer in self.layers if layer.type in HEADS)
        self.end = next((layer.index for layer in self.layers if layer.type in ("softmax", "cost")), len(self.layers))
        self.iteration, self.freezing = 0, Freezing(self, cfg, freeze_until)

    def train(self, mode: bool = True) -> Network:
        super().train(mode)
        self.freezing.settle()
        return self

    def forward(self, x) -> list[torch.Tensor]:
        """The raw input of every head, or [logits (B, C)] of a classifier; while training each takes a gradient."""
        outs: dict[int, torch.Tensor] = {}
        raw: list[torch.Tensor] = []
        learns = self.training and torch.is_grad_enabled()
        still = self.freezing.without_gradient() if learns else set()
        for layer, module in zip(self.layers, self.stack):
            if layer.type in HEADS:
                raw.append(x.detach() if layer.index in still else x)
            elif not self.heads and layer.index >= self.end:
                break
            elif layer.index in still:
                with torch.no_grad():
                    x = module(x, outs)
            else:
                x = module(x, outs)
            if layer.index in self.kept:
                # An activation in place would change a kept output; modules make new tensors, so this is a view at
                # most.
                outs[layer.index] = x
        raw = raw or [x.flatten(1)]
        return [one if one.requires_grad else one.detach().requires_grad_() for one in raw] if learns else raw

    @torch.no_grad()
    def probabilities(self, x) -> torch.Tensor:
        """(B, C) of a classifier, with its [softmax]'s temperature and groups."""
        logits = self(x)[0].float()
        last = self.end < len(self.layers) and self.layers[self.end].type == "softmax"
        return self.stack[self.end](logits, []) if last else torch.softmax(logits, 1)

    @torch.no_grad()
    def outputs(self, x) -> list[torch.Tensor]:
        """Every layer's output (B, C, H, W), heads activated, as Darknet has them in `l.output`."""
        outs: list[torch.Tensor] = []
        for module in self.stack:
            x = module(x, outs)
            outs.append(x.clone())
        return outs

    def load(self, weights: Weights) -> None:
        """Copy what `weights` holds: all layers, or the first ones of a prefix."""
        with torch.no_grad():
            for module, arrays in zip(self.stack, weights.layers):
                for name, tensor in self._arrays(module).items():
                    if name in arrays:
                        tensor.copy_(torch.from_numpy(np.array(arrays[name])))

    def arrays(self) -> list[dict[str, np.ndarray]]:
        """Per layer {block name: float32 array}, as `weights.write` takes them."""
        return [
            {name: tensor.detach().float().cpu().numpy() for name, tensor in self._arrays(module).items()}
            for module in self.stack
        ]

    @staticmethod
    def _arrays(module):
        return module.arrays() if hasattr(module, "arrays") else {}

    def parameter_groups(self) -> tuple[list, list]:
        """What learns, as (decayed, not decayed): Darknet applies weight decay to weights, not to biases and scales."""
        weights = [
            module.weight
            for module in self.stack
            if isinstance(module, (Weighted, Shortcut)) and module.weight is not None
        ]
        known = {id(parameter) for parameter in weights}
        plain = [parameter for parameter in self.parameters() if id(parameter) not in known]
        return [value for value in weights if value.requires_grad], [value for value in plain if value.requires_grad]
