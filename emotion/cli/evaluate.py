"""`emo evaluate`."""

from __future__ import annotations

import click

from . import options
from .groups import Command
from .measuring import measuring


@click.command(cls=Command)
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@click.option(
    "--data",
    type=click.Path(),
    help=f"A labelled set: {options.SET}; default: the run's, or the one under ./data that fits.",
)
@click.option(
    "--table",
    type=click.Choice(["text", "csv", "markdown", "latex"]),
    is_flag=False,
    flag_value="text",
    help="Print only the table of models, in this format.",
)
@click.option("--tta", type=options.Tta(), help="Average N views or ten crops of each face.", metavar="N|tencrop")
@click.option("--top", type=options.Whole(min=1), help="k of top-k; default: as the .data file says.")
@measuring
def evaluate(models, table, **settings):
    """Measure models on a labelled set: classifiers, detectors, and two-stage systems end to end.

    MODEL is a name, a model or run folder, a .cfg or .weights, or a system as for emo compare (two-stage:yunet.onnx).
    Each MODEL gets a row. Writes report.json, classes.csv, confusion.csv and .png, calibration.png and
    predictions.csv to --out, by default evaluate-out/<MODEL>.

    \b
    emo evaluate emo-s --data data/fer2013-classifier --split test
    emo evaluate runs/resnet18-001 runs/emonet-001 --table markdown
    emo evaluate emo-s --data data/fer2013-classifier --split test --tta tencrop
    emo evaluate two-stage:yunet.onnx --data data/affectnet-detector
    emo evaluate runs/a-001 --fail-under macro-f1=0.6 \\
        --baseline best/report.json --tolerance 0.01 --junit gate.xml
    """
    from ..comparison import evaluation_text
    from ..comparison.evaluate import evaluate as measure

    result = measure(models, **settings)
    return result, evaluation_text.text(result, table) if table else "\n".join(
        [evaluation_text.text(result), *result["files"]]
    )
