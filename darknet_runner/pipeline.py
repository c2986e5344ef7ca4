"""The whole path of the field in one go: train a classifier, cut its backbone, train a detector on it, evaluate.

    plan = Plan("darknet-ref", "v3-tiny", classifier_data, detector_data)
    result = run(folder, plan, engine_for=lambda job: (engine, why))

The folder holds pipeline.json, classifier-001/, detector-001/, backbone.conv.N and evaluation.json. Every
step that is done is written down; a second `run` on the same folder goes on with the first that is not,
within a training from its last weights.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from converters import output_folder, settings_files
from converters.darknet_format.files import read_data
from converters.errors import RunError, UsageError

from .compiled import saved_weights
from .engine import Engine, TrainJob, TrainResult
from .network import cfg_diff, cfg_file, layers, templates, weights_file
from .reporting import Reporter
from .run import create_run, preflight
from .run.folder import RunDir, recorded, write_text

STEPS = ("classifier", "cut-off", "partial", "detector", "evaluation")


@dataclass(frozen=True)
class Plan:
    """What to do. Iterations, sizes, batch and subdivisions of None are the cfgs'."""

    classifier: str  # a cfg's name or file
    detector: str
    classifier_data: str  # .data files
    detector_data: str
    classifier_iterations: int | None = None
    detector_iterations: int | None = None
    classifier_size: int | None = None
    detector_size: int | None = None
    batch: int | None = None
    subdivisions: int | None = None
    anchors: str = "cfg"
    seed: int = 0
    job: dict = field(default_factory=dict)  # further fields of both TrainJobs: device, threads, workers ...
    engine: dict = field(default_factory=dict)  # what the caller chose the engines by; kept for going on


@dataclass(frozen=True)
class PipelineResult:
    """`verdict` is finished, interrupted or failed, and then `step` says where."""

    folder: Path
    verdict: str
    step: str
    layers: int | None = None  # how many were handed on
    scores: dict | None = None
    reasons: tuple[str, ...] = ()


NUMBER = (int, type(None))
JOB = {"device": str, "threads": NUMBER, "workers": NUMBER}
PLAN = {
    "classifier": str,
    "detector": str,
    "classifier_data": str,
    "detector_data": str,
    "anchors": str,
    "seed": int,
    "job": JOB,
    **dict.fromkeys(
        ("classifier_iterations", "detector_iterations", "classifier_size", "detector_size", "batch", "subdivisions"),
        NUMBER,
    ),
    "engine": {"engine": str, "darknet": (str, type(None)), "allow_broken_cpu": bool},
}

DONE: dict[str, dict[str, type]] = {
    "classifier": {"run": str},
    "cut-off": {"layers": int},
    "partial": {"file": str, "bytes": int},
    "detector": {"run": str},
    "evaluation": {},
}


class State:
    """pipeline.json: the plan, and what each done step gave."""

    def __init__(self, folder: Path):
        self.path = folder / "pipeline.json"
        self.content: dict[str, Any] = {"plan": None, "done": {}, "runs": {}}

    @classmethod
    def load(cls, folder: Path) -> State:
        state = cls(folder)
        if not state.path.is_file():
            raise RunError("is not a pipeline's folder: it has no pipeline.json", where=folder)
        state.content = settings_files.read_json(
            state.path,
            {"plan": PLAN, "done": DONE, "runs": {"classifier": str, "detector": str}},
            ("plan", "done", "runs"),
            RunError,
        )
        settings_files.checked(
            state.content["plan"],
            {},
            state.path,
            ("classifier", "detector", "classifier_data", "detector_data"),
            RunError,
            "plan.",
        )
        for step, keys in DONE.items():
            if step in state.content["done"]:
                settings_files.checked(
                    state.content["done"][step], {}, state.path, tuple(keys), RunError, f"done.{step}."
                )
        if unknown := sorted(state.content["plan"].get("job", {}).keys() - JOB.keys()):
            raise RunError(f"'plan.job.{unknown[0]}' is not a setting of a training", where=state.path)
        for kind, name in state.content["runs"].items():
            if kind not in STEPS or Path(name).name != name or name in ("", ".", ".."):
                raise RunError(f"'runs.{kind}' is {name!r}; wanted: the name of a folder in it", where=state.path)
        return state

    @property
    def plan(self) -> Plan:
        known = {item.name for item in fields(Plan)}
        return Plan(**{key: value for key, value in self.content["plan"].items() if key in known})

    def done(self, step: str) -> dict | None:
        return self.content["done"].get(step)

    def finish(self, step: str, **told: object) -> dict:
        self.content["done"][step] = told
        self.write()
        return told

    def write(self) -> None:
        write_text(self.path, json.dumps(recorded(self.content), indent=2) + "\n")


def plan_of(folder: Path) -> Plan:
    """The plan of an earlier pipeline's folder."""
    return State.load(Path(folder)).plan


def check(
    plan: Plan, binary: bool, progress: Callable = lambda items, **_: items, note: Callable = lambda text: None
) -> None:
    """Everything that would end the pipeline later: kinds, shared layers, both preflights. Raises at once."""
    one, two = _rendered(plan, "classifier"), _rendered(plan, "detector")
    if one.is_detector or not two.is_detector:
        raise UsageError(f"{plan.classifier} must be a classifier's cfg and {plan.detector} a detector's")
    if not cfg_diff.first_difference(one, two):
        raise UsageError(f"{plan.classifier} and {plan.detector} share no layers", mend="emo cfg diff shows why")
    found = []
    for cfg, data in ((one, plan.classifier_data), (two, plan.detector_data)):
        found += preflight.check(cfg, read_data(data), binary=binary, progress=progress)
    preflight.refuse(found, note)


def _render_options(plan, kind):
    return {
        "size": getattr(plan, f"{kind}_size"),
        "iterations": getattr(plan, f"{kind}_iterations"),
        "batch": plan.batch,
        "subdivisions": plan.subdivisions,
    }


def _rendered(plan, kind):
    classes = read_data(getattr(plan, f"{kind}_data")).classes
    return templates.render(getattr(plan, kind), classes, **_render_options(plan, kind))


def run(
    folder: Path,
    plan: Plan | None,
    engine_for: Callable[[TrainJob], tuple[Engine, str]],
    reporter: Reporter = Reporter(),
) -> PipelineResult:
    """Do the steps that are not done yet. `plan` is None when `folder` is an earlier pipeline's.

    engine_for gives the engine of a training and why it was taken. DataError when somebody else works in `folder`.
    """
    with output_folder.locked(Path(folder), mend="wait for it"):
        return _run(Path(folder), plan, engine_for, reporter)


def _run(folder, plan, engine_for, reporter) -> PipelineResult:
    if plan is None:
        state = State.load(folder)
        plan = state.plan
    else:
        folder.mkdir(parents=True, exist_ok=True)
        state = State(folder)
        state.content["plan"] = asdict(plan)
        state.write()

    trained = _training(state, plan, "classifier", engine_for, reporter, None)
    if isinstance(trained, TrainResult):
        return PipelineResult(folder, trained.verdict, "classifier", reasons=trained.reasons)
    classifier = RunDir(folder / trained["run"])
    if (cut := state.done("cut-off")) is None:
        count = cfg_diff.first_difference(cfg_file.load(classifier.cfg), _rendered(plan, "detector"))
        cut = state.finish("cut-off", layers=count)
    reporter.note(f"cut-off: the first {cut['layers']} layers are the same")
    if (part := state.done("partial")) is None:
        backbone = folder / f"backbone.conv.{cut['layers']}"
        weights_file.partial(cfg_file.load(classifier.cfg), classifier.newest_weights(), backbone, cut["layers"])
        part = state.finish("partial", file=backbone.name, bytes=backbone.stat().st_size)
    reporter.note(f"partial: {part['file']}, {part['bytes']:,} bytes")
    trained = _training(state, plan, "detector", engine_for, reporter, folder / part["file"])
    if isinstance(trained, TrainResult):
        return PipelineResult(folder, trained.verdict, "detector", cut["layers"], reasons=trained.reasons)
    if (scores := state.done("evaluation")) is None:
        detector = RunDir(folder / trained["run"])
        engine, why = engine_for(_job(plan, "detector", detector, None, False, reporter))
        reporter.note(f"evaluation of {detector.newest_weights().name} with {why}")
        scores = engine.evaluate(detector.cfg, Path(plan.detector_data), detector.newest_weights())
        write_text(folder / "evaluation.json", json.dumps(scores, indent=2) + "\n")
        state.finish("evaluation", **scores)
    return PipelineResult(folder, "finished", "evaluation", cut["layers"], scores)


def _training(state, plan, kind, engine_for, reporter, pretrained) -> dict | TrainResult:
    """What the step left when it is or was finished; the TrainResult when it was not."""
    if (done := state.done(kind)) is not None:
        reporter.note(f"{kind}: done, {done['run']}")
        return done
    folder, name = state.path.parent, state.content["runs"].get(kind)
    run, resume = RunDir(folder / name) if name else None, False
    if run is not None and run.cfg.is_file():
        saved_weights.recover(run, weights_file.weights_bytes(layers.trace(cfg_file.load(run.cfg))))
        resume = run.weights_file("last").is_file()
    if run is None or not resume:  # nothing was saved: from the start, in a folder of its own
        data = read_data(getattr(plan, f"{kind}_data"))
        anchors = plan.anchors if kind == "detector" else "cfg"
        run = create_run.create_run(
            getattr(plan, kind),
            data,
            runs=folder,
            name=kind,
            anchors=anchors,
            seed=plan.seed,
            **_render_options(plan, kind),
        )
        state.content["runs"][kind] = run.path.name
        state.write()
    job = _job(plan, kind, run, None if resume else pretrained, resume, reporter)
    engine, why = engine_for(job)
    if resume:
        create_run.write_resumed_metadata(run, engine.name)
    else:
        create_run.write_run_metadata(
            run,
            job.data,
            {"cfg": getattr(plan, kind), "pretrained": pretrained and str(pretrained)},
            engine=engine.name,
        )
    reporter.note(f"{kind}: {'going on with' if resume else 'training'} {run.path} with {why}")
    result = engine.train(job)
    if result.verdict != "finished":
        return result
    return state.finish(kind, run=run.path.name, iterations=result.iterations, loss=result.loss, metric=result.metric)


def _job(plan, kind, run, pretrained, resume, reporter) -> TrainJob:
    return TrainJob(
        cfg=run.cfg,
        data=Path(getattr(plan, f"{kind}_data")),
        run=run,
        pretrained=pretrained,
        resume=resume,
        seed=plan.seed,
        reporter=reporter,
        **plan.job,
    )
