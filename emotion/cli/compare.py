"""`emo compare`."""

from __future__ import annotations

import click

from . import options
from .groups import Command
from .measuring import measuring


@click.command(cls=Command)
@click.argument("words", nargs=-1, required=True, metavar="SYSTEM vs SYSTEM [vs SYSTEM]... [MEDIA]...")
@click.option(
    "--data",
    type=click.Path(),
    help=f"A labelled set: {options.SET}.",
)
@click.option(
    "--memory/--no-memory",
    default=True,
    show_default=True,
    help="Measure each system's peak memory, in a process of its own.",
)
@click.option(
    "--clip/--no-clip",
    default=True,
    show_default=True,
    help="Videos: also write side-by-side.webm, which browsers play.",
)
@measuring
def compare(words, **settings):
    """Compare two or more systems on the same pictures, labelled or not.

    Without --data and MEDIA it uses the labelled media that come with emo. MEDIA are labelled by a labels.csv
    beside them (media,frame,x1,y1,x2,y2,emotion). On a classifier's set it compares classifiers. Writes compare.json
    and report.html to --out, by default compare-out/<SYSTEM>-vs-<SYSTEM>.

    \b
    A SYSTEM is
      yolo, yolo:MODEL       a name, model or run folder, .cfg or .weights
      two-stage              the best face finder at hand and emo's own classifier
      two-stage:FACE         yunet, ssd, face-nano, haar, or files of another
      two-stage:FACE+MODEL   and another classifier
      MODEL                  a classifier, on a classifier's set
      ...@416, ...@onnx      with another input size, or backend
      file:RESULTS           what another program found, as emo draw reads it

    \b
    emo compare two-stage vs yolo
    emo compare two-stage vs yolo video.mp4 photos/
    emo compare yolo:runs/v4-tiny-001 vs yolo \\
        --data data/affectnet-detector/emo.data
    emo compare two-stage:yunet.onnx vs two-stage:haar --data my.data --limit 200
    emo compare yolo vs yolo@320 vs yolo@onnx \\
        vs file:others.json+instances.json --data mine.data
    emo compare emo-s vs runs/resnet18-001 \\
        --data data/fer2013-classifier/emo.data --split test
    """
    from ..comparison import compare as comparison, report

    systems, media = list(words[:1]), list(words[1:])
    while len(media) > 1 and media[0] == "vs":
        systems.append(media[1])
        del media[:2]
    if len(systems) == 1 and media and media[0] != "vs":  # `emo compare A B`, without the word
        systems.append(media.pop(0))
    if len(systems) < 2 or media[:1] == ["vs"]:
        raise click.UsageError("name two systems, such as: emo compare two-stage vs yolo")
    result = comparison.run(
        systems,
        media=media,
        skipped=lambda error: click.echo(f"emo: {error}: left out", err=True),
        **settings,
    )
    return result, "\n".join([report.text(result), *result["files"]])
