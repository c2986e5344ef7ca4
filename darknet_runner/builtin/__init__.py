"""The built-in engine: trains, evaluates and runs Darknet networks with PyTorch; needs no binary.

torch is imported when it is used; without it `MissingExtra` names the extra to install.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from converters.darknetfiles import read_data
from converters.errors import MissingExtra

from ..engine import TrainJob, TrainResult


def need_torch(why: str) -> None:
    """MissingExtra when PyTorch is not installed."""
    if find_spec("torch") is None:
        raise MissingExtra("PyTorch", "train", why)


class BuiltinEngine:
    """Keeps `darknet_runner.engine.Engine`."""

    name = "builtin"

    def cannot(self, job: TrainJob) -> list[str]:
        reasons = []
        if find_spec("torch") is None:
            reasons.append("PyTorch is not installed (pip install 'emo[train]')")
        return reasons

    def train(self, job: TrainJob) -> TrainResult:
        need_torch("training")
        from .train import train

        return train(job)

    def evaluate(self, cfg: Path, data: Path, weights: Path, split: str = "valid", device: str = "auto", **options) -> dict:
        """mAP and AP a class (detector) or top-k (classifier) of a weights file on a split, with settings."""
        need_torch("evaluating")
        import torch

        from .. import cfgfile
        from .. import weights as weightsfile
        from .evaluate import evaluate_classifier, evaluate_detector
        from .network import Network
        from .train import pick_device

        parsed = cfgfile.load(cfg)
        target = pick_device(device)
        network = Network(parsed)
        network.load(weightsfile.read(parsed, weights))
        network.to(target, memory_format=torch.channels_last).eval()
        run = evaluate_detector if parsed.is_detector else evaluate_classifier
        return run(network, read_data(data), split, device=target, **options)
