"""`emo compare`."""

from __future__ import annotations

import json

import click

from . import options
from .detect import progress_bar
from .groups import Command


@click.command(cls=Command)
@click.argument("words", nargs=-1, required=True, metavar="SYSTEM [vs] SYSTEM [MEDIA]...")
@click.option("--data", type=click.Path(dir_okay=False), help="A labelled set: the .data file that emo convert wrote.")
@click.option("--split", type=click.Choice(["train", "valid", "test"]), default="valid", show_default=True, help="Which of its lists.")
@click.option("--face-model", help="Face finder of a two-stage that names none: as for emo detect.")
@options.out
@options.conf
@options.iou
@options.limit
@options.max_pixels
@options.backend
@options.device
@click.option("--bootstrap", type=options.Whole(min=0), default=1000, show_default=True, help="Resamples of a labelled set, for 95% intervals; 0 for none.")
@options.seed
@click.option("--threads", type=options.Whole(min=1), help="Threads for OpenCV and the backend; default: all cores.")
@options.force
@options.as_json
@options.quiet
def compare(words, data, split, face_model, out, conf, iou, limit, backend, device, bootstrap, seed, threads, force, as_json, quiet):
    """Compare two systems on the same pictures, labelled or not.

    Without --data and MEDIA the media that ship are used. Writes compare.json and report.html to --out,
    by default compare-out/<SYSTEM>-vs-<SYSTEM>.

    \b
    A SYSTEM is
      yolo, yolo:MODEL       one network; a name, model or run folder, .cfg or .weights
      two-stage              the best face finder at hand and the classifier that ships
      two-stage:FACE         yunet, ssd, haar, or the files of another face finder
      two-stage:FACE+MODEL   and another classifier

    \b
    emo compare two-stage vs yolo
    emo compare two-stage vs yolo video.mp4 photos/
    emo compare yolo:runs/v4-tiny-001 vs yolo --data data/affectnet-detector/emo.data
    emo compare two-stage:yunet.onnx vs two-stage:haar --data mine.data --limit 200
    """
    from ..comparison import compare as comparison, report
    from ..systems.backends import set_threads

    words = list(words)
    if len(words) > 1 and words[1] == "vs":
        del words[1]
    if len(words) < 2:
        raise click.UsageError("name two systems, such as: emo compare two-stage vs yolo")
    set_threads(threads)
    with progress_bar(quiet) as advance:
        result = comparison.run(
            (words[0], words[1]), data=data, split=split, media=words[2:], out=out, conf=conf, iou=iou, face_model=face_model,
            limit=limit, backend=backend, device=device, force=force, replicates=bootstrap, seed=seed, progress=advance, skipped=lambda error: click.echo(f"emo: {error}: left out", err=True),
        )  # fmt: skip
    if as_json:
        click.echo(json.dumps(result, indent=2))
    elif not quiet:
        click.echo("\n".join([report.text(result), *result["files"]]))
