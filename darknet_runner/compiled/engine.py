"""The compiled engine: a Darknet binary behind the interface of `darknet_runner.engine`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from converters.errors import RunError

from ..engine import TrainJob, TrainResult
from ..network import cfg_file
from ..network.preprocessing import Preprocessing
from . import binary as binaries, inference
from .binary import Binary
from .training import BinarySettings, Training


class CompiledEngine:
    """Drives `binary`; `Settings` are what only this engine can be told."""

    name = "compiled"

    def __init__(self, binary: Binary | str | Path, settings: BinarySettings = BinarySettings()):
        self.binary = binary if isinstance(binary, Binary) else binaries.probe(binary)
        self.settings = settings

    def cannot(self, job: TrainJob) -> list[str]:
        """Why this binary cannot train the job; empty when it can."""
        cfg = cfg_file.load(job.cfg)
        reasons = self.cannot_run(cfg, training=True)
        if self.binary.broken_training and not self.settings.allow_broken_cpu:
            reasons.append(f"{self.binary.broken_training}; --allow-broken-cpu trains all the same")
        if (job.device.startswith("cuda") or job.gpus) and not self.binary.gpu:
            reasons.append(f"{self.binary.title} at {self.binary.path} was built without GPU")
        if job.device == "cpu" and self.binary.gpu:
            reasons.append(f"{self.binary.title} at {self.binary.path} trains on the GPU only")
        own = [f"--{key}" for key, off in (("prior", 0.5), ("amp", False)) if getattr(job, key) != off]
        rendered = (
            "name",
            "about",
            "source",
            "epochs",
            "batch",
            "learning_rate",
            "size",
            "momentum",
            "decay",
            "dropout",
        )  # the cfg holds them
        if unknown := [key for key in job.recipe.told() if key not in rendered]:
            own.append(f"{', '.join(unknown[:3])}{' and more' if len(unknown) > 3 else ''} of recipe {job.recipe.name}")
        if own:
            reasons.append(f"{', '.join(own)}: the built-in engine only")
        if self.settings.mjpeg_port is not None and not (self.binary.flavour == "alexeyab" and self.binary.opencv):
            reasons.append(
                f"{self.binary.title} serves no pictures here: --mjpeg-port takes AlexeyAB's, built with OpenCV"
            )
        if self.binary.flavour == "hank-ai" and job.pretrained and not job.resume:
            from ..network import layers, weights_file

            if Path(job.pretrained).is_file() and Path(job.pretrained).stat().st_size != weights_file.weights_bytes(
                layers.trace(cfg)
            ):
                reasons.append("hank-ai/darknet rejects weights that are a part of the network's")
        return reasons

    def judge(self, job: TrainJob) -> tuple[list[str], list[str]]:
        """Why this binary cannot train the job, and why the built-in engine would do it better."""
        rather_not = []
        if self.binary.flavour == "pjreddie" and job.evaluate:
            rather_not.append(f"{self.binary.title} at {self.binary.path} cannot validate while it trains")
        if not self.binary.gpu and _cuda_here():
            rather_not.append(f"{self.binary.path} was built without GPU, and there is one")
        return self.cannot(job), rather_not

    def judge_cfg(self, cfg: cfg_file.Cfg) -> tuple[list[str], list[str]]:
        """Why this binary cannot run a network, and why its results differ."""
        differs = []
        if self.binary.flavour == "pjreddie":
            differs.append(f"{self.binary.title} at {self.binary.path} letter-boxes or crops in its own way")
        if binaries.always_in_colour(self.binary, cfg):
            differs.append(f"{self.binary.title} at {self.binary.path} takes the red channel for grey")
        return self.cannot_run(cfg), differs

    def cannot_run(self, cfg: cfg_file.Cfg, training: bool = False) -> list[str]:
        """Why this binary cannot run (or train) the network; empty when it can."""
        reasons = [f"it does not start: {self.binary.trouble}"] if self.binary.trouble else []
        needed = (
            ("train" if training else "valid") if cfg.is_detector else ("train-classifier" if training else "top-k")
        )
        if needed not in self.binary.commands:
            reasons.append(f"{self.binary.title} has no classifiers")
        wanted = Preprocessing.beside(cfg.path) if cfg.path and not cfg.is_detector else Preprocessing()
        if wanted.standardise or wanted.crop_from:
            reasons.append(f"{self.binary.title} does not prepare pictures as the model's card asks")
        spoilers = ("network", "training") if training else ("network",)
        found = [lack for lack in binaries.lacks(self.binary, cfg) if lack.spoils in spoilers]
        if found:
            what = ", ".join(dict.fromkeys(lack.what for lack in found))
            reasons.append(
                f"{self.binary.title} cannot do {what} ({cfg.path.name if cfg.path else 'the cfg'} line "
                f"{found[0].line})"
            )
        return reasons

    def argv(self, job: TrainJob) -> list[str]:
        """The command line of a training, to be run in the run folder."""
        start = "feed/start.weights" if job.pretrained or job.resume else None
        return Training(self.binary, job, self.settings).argv(start)

    def check(self, job: TrainJob) -> None:
        """RunError when `train` would refuse the job."""
        if reasons := self.cannot(job):
            raise RunError("; ".join(reasons), where=self.binary.path)

    def train(self, job: TrainJob) -> TrainResult:
        """Train; RunError when the binary cannot do the job.

        An interrupted or failed run is a verdict, not an error.
        """
        self.check(job)
        with job.run.locked():
            return Training(
                self.binary,
                job,
                self.settings,
                lambda cfg, data, weights: self.evaluate(cfg, data, weights, threads=job.threads),
            ).run()

    def evaluate(self, cfg: Path, data: Path, weights: Path, split: str = "valid", **options) -> dict:
        """mAP and AP per class (detector) or top-k (classifier), with the settings that made them."""
        loaded = cfg_file.load(cfg)
        self._check(loaded)
        known = ("iou", "conf", "points", "threads") if loaded.is_detector else ("top", "threads")
        wanted = {key: value for key, value in options.items() if key in known and value is not None}
        function = inference.evaluate_detector if loaded.is_detector else inference.evaluate_classifier
        return function(self.binary, Path(cfg), Path(data), Path(weights), split, **wanted)

    def predict(
        self,
        cfg: Path,
        names: Sequence[str],
        weights: Path,
        images: Sequence[Path],
        *,
        conf: float = 0.25,
        threads: int | None = None,
        **_,
    ) -> list[dict]:
        """A dict a picture: `objects` of a detector or `scores` of a classifier."""
        self._check(cfg_file.load(cfg))
        return inference.predict(self.binary, Path(cfg), names, Path(weights), images, conf=conf, threads=threads)

    def partial(self, cfg: Path, weights: Path, out: Path, count: int) -> int:
        """Layers 0..count-1 of the weights to `out`; the file's length."""
        return inference.partial(self.binary, Path(cfg), Path(weights), Path(out), count)

    def anchors(self, data: Path, count: int, size_wh: tuple[int, int]) -> list[tuple[float, float]]:
        """k-means anchors of the train list, in pixels of the network's input, smallest first."""
        if "anchors" not in self.binary.commands:
            raise RunError(
                f"{self.binary.title} computes no anchors", where=self.binary.path, mend="--engine builtin does"
            )
        return inference.anchors(self.binary, Path(data), count, size_wh)

    def _check(self, cfg):
        if reasons := self.cannot_run(cfg):
            raise RunError("; ".join(reasons), where=self.binary.path, mend="--engine builtin can")


def _cuda_here() -> bool:
    """Whether PyTorch could train on a GPU; not asked of it, since that takes seconds."""
    import shutil
    import subprocess
    from importlib.util import find_spec

    if find_spec("torch") is None or not shutil.which("nvidia-smi"):
        return False
    return subprocess.run(["nvidia-smi", "-L"], capture_output=True).returncode == 0
