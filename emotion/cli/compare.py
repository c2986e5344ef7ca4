"""`emo compare`."""

from __future__ import annotations

import json

import click

from . import options
from .gate import apply_gate, gate_options
from .groups import Command
from .progress import Progress


@click.command(cls=Command)
@click.argument("words", nargs=-1, required=True, metavar="SYSTEM vs SYSTEM [vs SYSTEM]... [MEDIA]...")
@click.option(
    "--data",
    type=click.Path(),
    help="A labelled set: a .data file, the folder that holds it, or any form that emo evaluate takes.",
)
@click.option(
    "--split",
    type=click.Choice(["train", "valid", "test"]),
    default="valid",
    show_default=True,
    help="Which of its lists.",
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
    help="Of a video, write side-by-side.webm too, which browsers play.",
)
@click.option("--face-model", help="Face finder of a two-stage that names none: as for emo detect.")
@options.out
@options.conf
@options.iou
@options.limit
@options.max_pixels
@options.backend
@options.device
@click.option(
    "--bootstrap",
    type=options.Whole(min=0),
    default=1000,
    show_default=True,
    help="Resamples of a labelled set, for 95% intervals; 0 for none.",
)
@options.seed
@click.option("--threads", type=options.Whole(min=1), help="Threads for OpenCV and the backend; default: all cores.")
@gate_options
@options.force
@options.as_json
@options.quiet
def compare(
    words,
    data,
    split,
    memory,
    clip,
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
    """Compare two or more systems on the same pictures, labelled or not.

    Without --data and MEDIA the media that ship are used, whose faces are labelled. MEDIA are labelled by a labels.csv
    beside them (media,frame,x1,y1,x2,y2,emotion). On a classifier's set classifiers are compared. Writes compare.json
    and report.html to --out, by default compare-out/<SYSTEM>-vs-<SYSTEM>.

    \b
    A SYSTEM is
      yolo, yolo:MODEL       one network; a name, model or run folder, .cfg or .weights
      two-stage              the best face finder at hand and the classifier that ships
      two-stage:FACE         yunet, ssd, haar, or the files of another face finder
      two-stage:FACE+MODEL   and another classifier
      MODEL                  a classifier, on a classifier's set
      ...@416, ...@onnx      with another input size, or backend
      file:RESULTS           what another program found: COCO's .json, emo detect's .jsonl or .csv

    \b
    emo compare two-stage vs yolo
    emo compare two-stage vs yolo video.mp4 photos/
    emo compare yolo:runs/v4-tiny-001 vs yolo --data data/affectnet-detector/emo.data
    emo compare two-stage:yunet.onnx vs two-stage:haar --data mine.data --limit 200
    emo compare yolo vs yolo@320 vs yolo@onnx vs file:others.json+instances.json --data mine.data
    emo compare emo-fer vs runs/resnet18-001 --data data/fer2013-classifier/emo.data --split test
    """
    from ..comparison import compare as comparison, report
    from ..comparison.machine import cores
    from ..systems.backends import set_threads

    systems, media = list(words[:1]), list(words[1:])
    while len(media) > 1 and media[0] == "vs":
        systems.append(media[1])
        del media[:2]
    if len(systems) == 1 and media and media[0] != "vs":  # `emo compare A B`, without the word
        systems.append(media.pop(0))
    if len(systems) < 2 or media[:1] == ["vs"]:
        raise click.UsageError("name two systems, such as: emo compare two-stage vs yolo")
    set_threads(threads or cores())  # the same number for every backend
    with Progress(quiet) as advance:
        result = comparison.run(
            systems,
            data=data,
            split=split,
            media=media,
            memory=memory,
            clip=clip,
            out=out,
            conf=conf,
            iou=iou,
            face_model=face_model,
            limit=limit,
            backend=backend,
            device=device,
            force=force,
            replicates=bootstrap,
            seed=seed,
            progress=advance,
            skipped=lambda error: click.echo(f"emo: {error}: left out", err=True),
        )
    if as_json:
        click.echo(json.dumps(result, indent=2))
    elif not quiet:
        click.echo("\n".join([report.text(result), *result["files"]]))
    apply_gate(result, "emo compare", fail_under, baseline, tolerance, junit, summary)
