"""`emo darknet pipeline`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from . import options
from .groups import Command
from .progress import around


@click.command(cls=Command)
@click.option("--classifier", help="Cfg of the classifier: darknet-ref, darknet-tiny, csdarknet53, ... or a file.")
@click.option("--detector", help="Cfg of the detector: v3-tiny, v4, ... or a file.")
@click.option(
    "--data",
    multiple=True,
    type=click.Path(),
    help=f"The classifier's set and the detector's, each by its own --data: {options.SET}; default: those under "
    "./data.",
)
@click.option(
    "--classifier-iterations", type=options.Whole(min=1), help="Batches of the classifier; default: its cfg's."
)
@click.option("--detector-iterations", type=options.Whole(min=1), help="Batches of the detector; default: its cfg's.")
@click.option("--classifier-size", type=options.Whole(min=8), help="Input of the classifier, in pixels.")
@click.option("--detector-size", type=options.Whole(min=32), help="Input of the detector, in pixels.")
@click.option("--batch", type=options.Whole(min=1), help="Pictures per batch, for both.")
@click.option("--subdivisions", type=options.Whole(min=1), help="Parts that a batch is cut into, for both.")
@click.option(
    "--anchors",
    type=click.Choice(["cfg", "data"]),
    default="cfg",
    show_default=True,
    help="The detector's: its cfg's, or k-means over the labels.",
)
@click.option("--resume", type=click.Path(), metavar="FOLDER", help="Go on with a pipeline's folder.")
@click.option(
    "--runs", type=click.Path(), default="runs", show_default=True, help="Where the pipeline's folder is made."
)
@click.option("--name", default="pipeline", show_default=True, help="Its name.")
@click.option("--threads", type=options.Whole(min=1), help="CPU threads for the arithmetic.")
@click.option("--workers", type=options.Whole(min=0), help="Built-in: processes that load and augment pictures.")
@options.engine
@options.darknet
@click.option(
    "--allow-broken-cpu",
    is_flag=True,
    help="Train with a CPU build of AlexeyAB's or hank-ai's, though its gradients are wrong.",
)
@options.device
@options.seed
@options.as_json
@options.quiet
def pipeline(
    classifier,
    detector,
    data,
    resume,
    runs,
    name,
    threads,
    workers,
    engine,
    darknet,
    allow_broken_cpu,
    device,
    seed,
    as_json,
    quiet,
    **sizes,
):
    """Pretrain a classifier, cut its backbone where the two networks differ, train a detector on it, evaluate.

    \b
    emo darknet pipeline --classifier darknet-ref --detector v3-tiny \\
        --data data/classifier/emo.data --data data/detector/emo.data
    emo darknet pipeline --resume runs/pipeline-001

    Every step is kept; after Ctrl-C or an error, --resume continues from the last one.
    """
    from darknet_runner import pipeline as work
    from darknet_runner.choose_engine import choose_engine
    from darknet_runner.compiled import binary as binaries
    from darknet_runner.compiled.training import BinarySettings
    from darknet_runner.reporting import TerminalReporter
    from darknet_runner.run import folder as run_folder

    if bool(resume) == bool(classifier and detector):
        raise click.UsageError("give --classifier and --detector to begin, or --resume FOLDER to go on")

    chosen = {
        "engine": engine,
        "darknet": darknet and str(binaries.find(darknet)),
        "allow_broken_cpu": allow_broken_cpu,
    }
    reporter = TerminalReporter(quiet)
    plan, folder = None, Path(resume) if resume else None
    if resume:
        chosen |= _as_begun(work.plan_of(folder).engine, folder)

    def engine_for(job):
        settings = BinarySettings(allow_broken_cpu=chosen["allow_broken_cpu"])
        return choose_engine(
            chosen["engine"], lambda compiled: compiled.judge(job), darknet=chosen["darknet"], settings=settings
        )

    if not resume:
        found = _both(data)
        told = {"device": device, "threads": threads, "workers": workers}
        plan = work.Plan(classifier, detector, *found, seed=seed, job=told, engine=chosen, **sizes)
        work.check(plan, binary=engine == "compiled", progress=around(quiet), note=reporter.note)
        folder = run_folder.create(runs, name).path
        (folder / "weights").rmdir()  # the folders of the two trainings have theirs
    try:
        result = work.run(folder, plan, engine_for, reporter)
    except KeyboardInterrupt:  # between the trainings, or before one had begun
        click.echo(f"continue with: emo darknet pipeline --resume {folder}", err=True)
        raise
    _report(result, as_json)


def _as_begun(engine: dict, folder: Path) -> dict:
    """How the engines of a pipeline that goes on are chosen: as when it began, but for what is told now.

    UsageError for an option that would change the steps, RunError for a binary that only pipeline.json names.
    """
    from converters.errors import RunError
    from darknet_runner.compiled import binary as binaries

    context = click.get_current_context()
    told = {str(option.name) for option in context.command.params if options.typed(context, option)}
    if fixed := sorted(told - {"engine", "darknet", "allow_broken_cpu", "resume", "as_json", "quiet"}):
        names = ", ".join(f"--{key.replace('_', '-')}" for key in fixed)
        raise click.UsageError(f"{names}: a resumed pipeline keeps its own")
    if engine.get("engine") not in ("auto", "builtin", "compiled"):
        raise RunError(
            f"'plan.engine.engine' is {engine.get('engine')!r}; wanted: auto, builtin or compiled",
            where=folder / "pipeline.json",
        )
    kept = {key: engine[key] for key in ("engine", "allow_broken_cpu") if key in engine and key not in told}
    if engine.get("darknet") and not told & {"engine", "darknet"}:
        kept["darknet"] = binaries.find_again(str(Path(engine["darknet"]).absolute()), folder)
    return kept


def _both(paths) -> tuple[str, str]:
    """The classifier's and the detector's .data among `paths`, or among those under ./data."""
    from converters.darknet_format.open_set import open_set
    from converters.errors import DataError

    listed = [Path(path) for path in paths] or sorted(Path("data").glob("**/*.data"))
    kinds: dict[bool, list[str]] = {True: [], False: []}
    for path in listed:
        loaded = open_set(path)
        kinds[loaded.is_classifier].append(str(loaded.path.absolute()))
    if len(kinds[True]) != 1 or len(kinds[False]) != 1:
        told = f"{len(kinds[True])} classifier's and {len(kinds[False])} detector's sets"
        raise DataError(
            f"{told} {'were given' if paths else 'are under ./data'}; it takes one of each",
            mend="--data twice; emo convert --task classifier, --task detector",
        )
    return kinds[True][0], kinds[False][0]


def _report(result, as_json):
    from .darknet_run import table

    if as_json:
        click.echo(
            json.dumps(
                {
                    "folder": str(result.folder),
                    "verdict": result.verdict,
                    "step": result.step,
                    "layers": result.layers,
                    "scores": result.scores,
                    "reasons": list(result.reasons),
                }
            )
        )
    elif result.verdict == "finished":
        click.echo(f"{table(result.scores)}\n{result.folder}: finished")
    else:
        click.echo(f"{result.verdict} in the {result.step} step: {'; '.join(result.reasons)}")
    if result.verdict != "finished":
        click.echo(f"continue with: emo darknet pipeline --resume {result.folder}", err=True)
        sys.exit(130 if result.verdict == "interrupted" else 1)
