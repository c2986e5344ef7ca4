"""The built-in engine: trains, evaluates and runs Darknet networks with PyTorch; needs no binary.

torch is imported when it is used; without it `MissingExtra` names the extra to install.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from converters.darknet_format.files import read_data
from converters.errors import MissingExtra, install

from ..engine import TrainJob, TrainResult
from ..network.preprocessing import Preprocessing


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
            reasons.append(f"PyTorch is not installed ({install('train')})")
        return reasons

    def check(self, job: TrainJob) -> None:
        """Everything that `train` looks at before its first batch; an EmoError when it would refuse the job."""
        need_torch("training")
        from .train import Trainer

        Trainer(job)

    def train(self, job: TrainJob) -> TrainResult:
        need_torch("training")
        from .train import train

        with job.run.locked():
            return train(job)

    def evaluate(
        self, cfg: Path, data: Path, weights: Path, split: str = "valid", device: str = "auto", **options
    ) -> dict:
        """mAP and AP a class (detector) or top-k (classifier) of a weights file on a split, with settings."""
        from .evaluate import evaluate_classifier, evaluate_detector

        network, target = self._network(cfg, weights, device)
        if not network.cfg.is_detector:
            options["preprocessing"] = Preprocessing.beside(cfg)
        run = evaluate_detector if network.cfg.is_detector else evaluate_classifier
        return run(network, read_data(data), split, device=target, **options)

    def predict(
        self,
        cfg: Path,
        names: Sequence[str],
        weights: Path,
        images: Sequence[Path],
        *,
        conf: float = 0.25,
        device: str = "auto",
        letter_box: bool | None = None,
        **_,
    ) -> list[dict]:
        """A dict a picture: `objects` (name, class_id, score, xyxy_px) of a detector or `scores` of a classifier;
        best first.
        """
        from .predict import predict

        network, target = self._network(cfg, weights, device)
        return predict(
            network,
            names,
            images,
            conf=conf,
            device=target,
            letter_box=letter_box,
            preprocessing=Preprocessing.beside(cfg),
        )

    @staticmethod
    def _network(cfg, weights, device):
        need_torch("the built-in engine")
        import torch

        from ..network import cfg_file, weights_file as weightsfile
        from .device import pick_device
        from .network import Network

        parsed = cfg_file.load(cfg)
        target = pick_device(device)
        network = Network(parsed)
        network.load(weightsfile.read(parsed, weights))
        return network.to(target, memory_format=torch.channels_last).eval(), target
