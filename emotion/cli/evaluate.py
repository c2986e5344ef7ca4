"""`emo evaluate`."""

from __future__ import annotations

import json

import click

from . import options
from .gate import apply_gate, gate_options
from .groups import Command
from .progress import Progress


class Tta(click.ParamType):
    """`tencrop`, or a number of views."""

    name = "tta"

    def convert(self, value, param, ctx):
        if value == "tencrop" or isinstance(value, int):
            return value
        try:
            count = int(value)
        except ValueError:
            self.fail(f"'{value}' is neither tencrop nor a number of views", param, ctx)
        if not 2 <= count <= 1000:
            self.fail(f"{value}: views are 2 to 1000", param, ctx)
        return count


@click.command(cls=Command)
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@click.option(
    "--data",
    type=click.Path(),
    help="A .data file or the folder that holds it; default: the run's, or the one under ./data that fits.",
)
@click.option(
    "--split",
    type=click.Choice(["train", "valid", "test"]),
    default="valid",
    show_default=True,
    help="Which of its lists.",
)
@click.option(
    "--table",
    type=click.Choice(["text", "csv", "markdown", "latex"]),
    is_flag=False,
    flag_value="text",
    help="Print the table over the models, and nothing else; alone it is text.",
)
@click.option(
    "--tta", type=Tta(), help="Look at each face in N views, or in ten crops, and average.", metavar="N|tencrop"
)
@click.option("--top", type=options.Whole(min=1), help="k of top-k; default: as the .data file says.")
@click.option("--face-model", help="Face finder of a two-stage that names none: as for emo detect.")
@options.out
@options.conf
@options.iou
@options.limit
@options.backend
@options.device
@click.option(
    "--bootstrap",
    type=options.Whole(min=0),
    default=1000,
    show_default=True,
    help="Resamples, for 95% intervals; 0 for none.",
)
@options.seed
@click.option("--threads", type=options.Whole(min=1), help="Threads for OpenCV and the backend; default: all cores.")
@gate_options
@options.force
@options.as_json
@options.quiet
def evaluate(
    models,
    data,
    split,
    table,
    tta,
    top,
    face_model,
    out,
    conf,
    iou,
    limit,
    backend,
    device,
    bootstrap,
    seed,
    threads,
    fail_under,
    baseline,
    tolerance,
    junit,
    summary,
    force,
    as_json,
    quiet,
):
    """Measure models on a labelled set: classifiers, detectors, and two-stage systems end to end.

    MODEL is a name, a model or run folder, a .cfg or .weights, or a system as for emo compare (two-stage:yunet.onnx).
    Of several MODELs a row each. Writes report.json, classes.csv, confusion.csv and .png, calibration.png and
    predictions.csv to --out, by default evaluate-out/<MODEL>.

    \b
    emo evaluate emo-fer --data data/fer2013-classifier --split test
    emo evaluate runs/resnet18-001 runs/emonet-001 --table markdown
    emo evaluate emo-fer --data data/fer2013-classifier --split test --tta tencrop
    emo evaluate two-stage:yunet.onnx --data data/affectnet-detector
    emo evaluate runs/a-001 --fail-under macro-f1=0.6 --baseline best/report.json --tolerance 0.01 --junit gate.xml
    """
    from emotion.comparison import evaluation_text
    from emotion.comparison.evaluate import evaluate as measure
    from emotion.systems.backends import set_threads

    set_threads(threads)
    with Progress(quiet) as advance:
        result = measure(
            models,
            data,
            split,
            out=out,
            conf=conf,
            iou=iou,
            face_model=face_model,
            backend=backend,
            device=device,
            tta=tta,
            top=top,
            limit=limit,
            replicates=bootstrap,
            seed=seed,
            force=force,
            progress=advance,
        )
    if as_json:
        click.echo(json.dumps(result, indent=2))
    elif table:
        click.echo(evaluation_text.text(result, table))
    elif not quiet:
        click.echo("\n".join([evaluation_text.text(result), *result["files"]]))
    apply_gate(result, "emo evaluate", fail_under, baseline, tolerance, junit, summary)
