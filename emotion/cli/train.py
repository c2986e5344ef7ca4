"""`emo train`: a network by its name, a recipe, a set; or a search for the settings."""

from __future__ import annotations

from pathlib import Path

import click

from . import options
from .groups import Command
from .train_search import begin, train_or_search
from .training_options import training_options


@click.command(cls=Command)
@click.argument("network", required=False)
@click.option(
    "--continue",
    "further",
    type=click.Path(),
    metavar="RUN",
    help="A new run from RUN's last weights, with its recipe, at a tenth of its last rate.",
)
@click.option(
    "--grid",
    multiple=True,
    metavar="KEY=V,V",
    help="Train with each of these values of a setting; several make a grid.",
)
@click.option(
    "--search",
    type=click.Choice(["grid", "tpe"]),
    help="How to search: every combination of a grid, or Optuna's TPE over the values and ranges of --grid "
    "(lr=0.001..0.1).",
)
@click.option(
    "--trials",
    type=options.Whole(min=1),
    help="Total number of trainings in a search; default: the whole grid, 20 of tpe.",
)
@click.option(
    "--storage",
    metavar="URL",
    help="Where the search is kept, so that several machines share it; default: a file in its folder. "
    "A password in it is not written down: --resume needs it again.",
)
@training_options
def train(network, further, grid, search, trials, storage, **settings):
    """Train NETWORK, a classifier or a detector: a name from `emo cfg list` or a .cfg file.

    \b
    emo train emonet --data data/fer2013-classifier/emo.data
    emo train vgg19 --recipe tencrop --epochs 100
    emo train resnet18 --recipe best --set mixup=0.4 --set rotate=20 \\
        --monitor macro-f1
    emo train vgg-face --recipe transfer --pretrained vgg-face.weights \\
        --freeze-until connected
    emo train --resume runs/emonet-001
    emo train --continue runs/emonet-001 --epochs 20
    emo train emonet --grid lr=0.01,0.001 --grid optimizer=sgd,adam
    emo train emonet --search tpe --trials 20 \\
        --grid lr=0.0001..0.1 --grid dropout=0.2,0.4

    A recipe (emo recipes list) sets optimizer, rates, changes to the pictures, when to stop. Classifiers take
    `best` unless --recipe names another, detectors `darknet`, the cfg's own. Writes a run folder, as emo darknet train
    does. A search trains many times, gives up trainings that do badly, judges on the valid split only, and writes
    trials.csv, trials.png and best.toml, a recipe.
    """
    if trials and not (search or grid):
        raise click.UsageError("--trials belongs to --search or --grid")
    if not (search or grid):
        if further:
            if network or settings["resume"]:
                raise click.UsageError("--continue takes its network from RUN: give neither NETWORK nor --resume")
            network = str(_as_further(further, settings))
        train_or_search(network, storage=storage, **settings)
        return
    if not network or settings["resume"] or further:
        raise click.UsageError("a search begins with a NETWORK; go on with emo train --resume its folder")
    if settings["dry_run"] or settings["print_command"] or settings["engine"] == "compiled":
        raise click.UsageError("a search trains with the built-in engine, and takes no --dry-run")
    data, as_json = settings.pop("data"), settings.pop("as_json")
    del settings["resume"]
    begin(network, data, as_json, settings, grid, search or "grid", trials, storage)


def _as_further(path: str, settings: dict) -> Path:
    """Put into `settings` what makes a new run out of RUN's end; its cfg.

    UsageError for what RUN decides, RunError when it has no end.
    """
    from converters.errors import RunError
    from darknet_runner.builtin import recipe as recipes
    from darknet_runner.run import create_run, folder, metrics_plot

    if settings["pretrained"] or settings["recipe"]:
        raise click.UsageError("--continue takes weights and recipe from RUN: give neither --pretrained nor --recipe")
    run, _ = create_run.reopen(path)
    rates = [row["rate"] for row in metrics_plot.read_metrics(run.metrics) if row.get("rate")]
    if not rates:
        raise RunError("has no rate in metrics.csv to go on from", where=run.path)
    recipe = recipes.load(str(run.recipe)) if run.recipe.is_file() else recipes.Recipe()
    changes = {"schedule": "constant", "warmup_epochs": 0, "learning_rate": float(rates[-1]) / 10}
    if settings["learning_rate"] is not None:
        changes["learning_rate"] = settings["learning_rate"]
    target = Path(run.path) / "continue.toml"
    folder.write_text(target, recipe.override(changes).toml())
    settings |= {
        "recipe": str(target),
        "pretrained": str(run.weights_file("last")),
        "clear": True,
        "name": settings["name"] or run.path.name,
    }
    settings["data"] = settings["data"] or str(run.data_file())
    return run.cfg
