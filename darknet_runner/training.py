"""A network, a set and settings -> a trained run folder: what `emo train` and `emotion.train` do.

    result = train("v4-tiny", "data/affectnet-detector", TrainSettings(iterations=4000), TerminalReporter())

`begun` and `resumed` stop one step before that, to look at the job, to change it or to see the command.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from converters.darknet_format.files import DataFile
from converters.errors import EmoError, RunError, UsageError

from .builtin import recipe as recipes
from .builtin.engine import need_torch
from .builtin.recipe import Recipe
from .choose_engine import choose_engine
from .compiled import binary as binaries, saved_weights
from .compiled.engine import CompiledEngine
from .compiled.training import BinarySettings
from .engine import Engine, TrainJob, TrainResult
from .network import cfg_diff, cfg_file, layers, templates, weights_file
from .network.importers import fit
from .network.preprocessing import Preprocessing
from .reporting import Reporter
from .run import create_run, preflight
from .run.folder import RunDir
from .train_settings import OtherModel, TrainSettings


@dataclass
class Training:
    """A job that may begin: its run folder is there, nothing of it was trained."""

    job: TrainJob
    data: DataFile
    settings: TrainSettings
    network: str | None  # a cfg's name or file; None: a run that goes on
    look: Callable[..., Any] = lambda items, **_: items  # around the files that are looked at before the start

    def command(self) -> list[str]:
        """The Darknet command line; what speaks against it is noted. RunError when there is no binary."""
        path = None if self.settings.engine == "builtin" else binaries.find(self.settings.darknet)
        if path is None:
            raise RunError("no Darknet binary was found, so there is no command", mend=binaries.where_to_get())
        engine = CompiledEngine(path, self._binary())
        for reason in engine.cannot(self.job):
            self.job.reporter.warn(f"emo would not run it: {reason}")
        return engine.argv(self.job)

    def choose(self) -> tuple[Engine, str]:
        """The engine and why it, when all that can be known beforehand is in order; else an EmoError with all of it."""
        engine, why = choose_engine(
            self.settings.engine,
            lambda compiled: compiled.judge(self.job),
            darknet=self.settings.darknet,
            settings=self._binary(),
        )
        self.preflight(engine)
        if self.settings.tensorboard:
            from .run.tensorboard import TensorBoardWriter

            TensorBoardWriter.need()
        if self.settings.mlflow:
            from .run import mlflow_log

            mlflow_log.need()
        if engine.name == "builtin":
            need_torch("training without a Darknet binary")
            self._refuse_options_of_binaries(why)
        return engine, why

    def check(self) -> str:
        """One line about what `run` would do; an EmoError when it would refuse."""
        engine, why = self.choose()
        with self._placed():
            engine.check(self.job)
        return f"would train {self.network or self.job.run.path} on {self.data.path} with {why}"

    def run(self) -> TrainResult:
        """Train. How it ended is the result's `verdict`."""
        (engine, why), run, reporter = self.choose(), self.job.run, self.job.reporter
        if self.network is None:
            create_run.write_resumed_metadata(run, engine.name)
        else:
            self.write_settings(engine)
        doing = "training" if self.network else "going on with"
        reporter.note(f"{doing} {run.path} on {self.data.path} with {why}")
        if self.job.amp and engine.name == "builtin" and not has_bfloat16(self.job.device):
            reporter.note("emo: --amp makes training slower here: nothing on this device computes in bfloat16")
        with self._placed():
            result = engine.train(self.job)
        if self.settings.tensorboard and engine.name == "builtin":
            from .run import tensorboard

            tensorboard.from_metrics(run)
        if self.settings.mlflow:
            from .run import mlflow_log

            try:
                mlflow_log.log_run(run.path, self.settings.mlflow)
            except EmoError as error:  # the run is whole all the same
                reporter.warn(f"emo: {error}; `emo runs mlflow {run.path}` logs it later")
        return result

    @contextmanager
    def _placed(self) -> Iterator[None]:
        """An error about the cfg of a run that has not begun, whose folder will be gone, is one about the user's."""
        try:
            yield
        except EmoError as error:
            if self.network and str(error.where) == str(self.job.cfg) and not self.job.run.metrics.exists():
                error.where, error.line = self.network, None
            raise

    def write_settings(self, engine: Engine) -> None:
        """Write args.toml and run.json, which say what begins."""
        given = self.settings.pretrained_path
        begun = given if given and Path(given).is_file() else self.job.pretrained and str(self.job.pretrained)
        told = {"cfg": self.network} | self.settings.as_dict() | {"recipe": self.job.recipe.name, "pretrained": begun}
        create_run.write_run_metadata(self.job.run, self.data.path, told, engine=engine.name)

    def preflight(self, engine: Engine) -> None:
        """DataError with every fault of cfg, lists, pictures and labels; warnings are noted."""
        compiled = isinstance(engine, CompiledEngine)
        cfg = cfg_file.load(self.job.cfg)
        found = preflight.check(
            cfg,
            self.data,
            pretrained=self.job.pretrained,
            clear=self.job.clear or not compiled,
            run=self.job.run,
            binary=compiled,
            gpu=engine.binary.gpu if isinstance(engine, CompiledEngine) else self.job.device != "cpu",
            progress=self.look,
        )
        if (
            self.network
        ):  # the run's cfg may be gone soon: faults are placed in the user's own, where the line is the same
            source, rendered = templates.load(self.network).text.splitlines(), cfg.text.splitlines()
            for index, item in enumerate(found):
                if str(self.job.cfg) in item.message:
                    found[index] = item = replace(item, message=item.message.replace(str(self.job.cfg), self.network))
                if item.file == str(self.job.cfg):
                    there = slice(max(0, item.line - 1), item.line)
                    line = item.line if source[there] == rendered[there] else 0
                    found[index] = replace(item, file=self.network, line=line)
        preflight.refuse(found, self.job.reporter.note)

    def _binary(self) -> BinarySettings:
        return replace(self.settings.binary, tensorboard=self.settings.tensorboard)

    def _refuse_options_of_binaries(self, why: str) -> None:
        """UsageError for what the built-in engine would pass over in silence."""
        binary = self.settings.binary
        asked = {"gpus": self.settings.gpus, "mjpeg-port": binary.mjpeg_port, "auto-recover": binary.auto_recover}
        if names := [f"--{key}" for key, value in asked.items() if value]:
            raise UsageError(
                f"{', '.join(names)}: only for a Darknet binary, and this training takes {why}",
                mend="--device cuda:N chooses a GPU, torchrun uses several",
            )


def train(
    network: str | Path,
    data: str | Path | None = None,
    settings: TrainSettings = TrainSettings(),
    reporter: Reporter = Reporter(),
) -> TrainResult:
    """Train `network`, a shipped cfg's name or a .cfg file, on a set (None: the one under ./data that fits).

    EmoError when the training cannot begin; no run folder is left then.
    """
    with begun(network, data, settings, reporter) as training:
        return training.run()


@contextmanager
def begun(
    network: str | Path,
    data: str | Path | None,
    settings: TrainSettings,
    reporter: Reporter = Reporter(),
    *,
    keep: bool = True,
    first: int = 1,
    look: Callable[..., Any] = lambda items, **_: items,
) -> Iterator[Training]:
    """A training of a new run folder; the folder is gone again after an error before the first batch, and at the end
    when it is not to be kept. The folder's number is the first that is free, from `first` on.
    """
    network = str(network)
    loaded = create_run.data_of(data, network, reporter.note)
    recipe = settings.recipe_for(loaded.is_classifier)
    if "patience" in settings.changes and recipe.patience and (not settings.evaluate or loaded.valid is None):
        why = f"{loaded.path} has no valid list" if loaded.valid is None else "--no-map leaves them out"
        raise UsageError(f"--patience counts validations, and there will be none: {why}")
    if _processes() > 1:
        settings = replace(settings, engine="builtin")
    _note_classes(network, loaded, reporter)
    with nullcontext(settings.runs) if keep else tempfile.TemporaryDirectory(prefix="emo-") as runs:
        run = create_run.create_run(
            network,
            loaded,
            runs=runs,
            name=settings.name,
            first=first,
            recipe=recipe,
            anchors=settings.anchors,
            seed=settings.seed,
            iterations=settings.iterations,
            subdivisions=settings.subdivisions,
            net=dict(settings.net),
            head=dict(settings.yolo),
        )
        if recipe.dropout and not create_run.dropouts(cfg_file.load(run.cfg)):
            reporter.note(f"emo: dropout = {recipe.dropout} changes nothing: {network} has no [dropout]")
        try:
            pretrained = None if settings.pretrained is None else _weights_for(run, settings.pretrained, reporter)
            job = _job(run, loaded, settings, recipe, reporter, pretrained)
            yield Training(job, loaded, settings, network, look)
        except BaseException:
            if not run.metrics.exists():  # it had not begun: nothing to resume, nothing to look at
                shutil.rmtree(run.path, ignore_errors=True)
            raise


@contextmanager
def resumed(
    path: str | Path,
    data: str | Path | None,
    settings_of: Callable[[RunDir, dict[str, Any]], TrainSettings],
    reporter: Reporter = Reporter(),
    *,
    look: Callable[..., Any] = lambda items, **_: items,
) -> Iterator[Training]:
    """A training that goes on in the run folder `path`, which is locked meanwhile.

    settings_of  of the run and its run.json; the cfg and the recipe stay the run's own, whatever these settings say
    """
    run = RunDir(Path(path))
    if not run.path.is_dir():
        raise RunError("no such run folder", where=path)
    with run.locked():  # from here on: looking for what was saved last moves files
        if run.cfg.is_file():
            saved_weights.recover(run, weights_file.weights_bytes(layers.trace(cfg_file.load(run.cfg))))
        run, info = create_run.reopen(path)
        settings = settings_of(run, info)
        if _processes() > 1:
            settings = replace(settings, engine="builtin")
        loaded = create_run.data_of(data or run.data_file())
        recipe = recipes.load(str(run.recipe)) if run.recipe.is_file() else Recipe()
        yield Training(_job(run, loaded, settings, recipe, reporter, resume=True), loaded, settings, None, look)


def follow() -> bool:
    """Under torchrun, in every process but the first: train along with it, and say so."""
    if _processes() == 1 or os.environ["RANK"] == "0":
        return False
    from .builtin.train import train as follow_first

    follow_first(None)
    return True


def _processes() -> int:
    return int(os.environ.get("WORLD_SIZE", "1"))


def _job(
    run: RunDir,
    data: DataFile,
    settings: TrainSettings,
    recipe: Recipe,
    reporter: Reporter,
    pretrained: Path | None = None,
    resume: bool = False,
) -> TrainJob:
    same = ("map_every", "evaluate", "clear", "device", "gpus", "threads", "workers", "seed", "prior")
    amp = settings.amp
    return TrainJob(
        cfg=run.cfg,
        data=data.path,
        run=run,
        recipe=recipe,
        preprocessing=Preprocessing.beside(run.cfg),
        pretrained=pretrained,
        resume=resume,
        amp=recipe.augment == "recipe" and has_bfloat16(settings.device) if amp is None else amp,
        cache_bytes=settings.cache_mb << 20,
        reporter=reporter,
        **{key: getattr(settings, key) for key in same},
    )


def has_bfloat16(device: str) -> bool:
    """Whether arithmetic in bfloat16 is fast there: a GPU since Ampere, a CPU with AVX512-BF16 or AMX."""
    from importlib.util import find_spec

    if find_spec("torch") is None:
        return False
    import torch

    if device.startswith("cuda") or (device == "auto" and torch.cuda.is_available()):
        return torch.cuda.is_bf16_supported()
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def _weights_for(run: RunDir, given: str | Path | OtherModel, reporter: Reporter) -> Path:
    """The .weights to begin with, in the run's folder when they are another file's or network's."""
    cfg, out = cfg_file.load(run.cfg), run.path / "pretrained.weights"
    if isinstance(given, OtherModel):
        if cfg_diff.first_difference(given.cfg, cfg) is None:
            return given.weights
        count = weights_file.partial(given.cfg, given.weights, out, for_cfg=cfg)
        reporter.note(f"emo: {given.given}: layers 0 to {count - 1} are the same and are taken")
        return out
    if not fit.reads(given):
        return Path(given)
    found = fit.import_weights(given, cfg, out)
    taken = "all layers" if found.whole else f"layers 0 to {found.layers - 1}"
    reporter.note(f"emo: {given}: {found.form}, {taken}; {'; '.join(found.notes)}")
    return out


def _note_classes(network: str, data: DataFile, reporter: Reporter) -> None:
    """A note when the user's own cfg is made for another number of classes than the data has; one that ships is a
    template.
    """
    if not Path(network).is_file():
        return
    source = templates.load(network)
    if source.is_detector != data.is_classifier and (made_for := templates.classes_of(source)) != data.classes:
        reporter.note(
            f"emo: {network} is made for {made_for} classes, {data.path} has {data.classes}: "
            f"the run's cfg is for {data.classes}"
        )
