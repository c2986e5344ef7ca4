"""`emo draw`."""

from __future__ import annotations

import json

import click

from . import options
from .detect import table
from .groups import Command
from .progress import Progress


@click.command(cls=Command)
@click.argument("results", type=click.Path())
@click.argument("source", type=click.Path())
@options.out
@options.outputs("media")
@click.option("--track", is_flag=True, help="Of a video: follow the faces and smooth their scores, as emo detect does.")
@click.option(
    "--smooth",
    type=options.Number(min=0),
    default=0.5,
    show_default=True,
    help="With --track: time constant of the smoothing in seconds; 0 for none.",
)
@click.option(
    "--conf", type=options.Number(0, 1), default=0.0, show_default=True, help="Score below which a face is dropped."
)
@options.limit
@options.max_pixels
@options.force
@options.as_json
@options.quiet
def draw(results, source, out, outputs, track, smooth, conf, limit, force, as_json, quiet):
    """Draw what emo or another tool found: RESULTS (JSON, JSONL or CSV) onto SOURCE, the picture, folder or video.

    Frames are matched by index, pictures by name; a list of COCO results also needs the COCO file that its ids refer
    to (RESULTS.json+INSTANCES.json). With --outputs it also turns other tools' results into emo's
    files, including a summary; with --track it follows the faces first.

    \b
    emo draw detect-out/talk/detections.jsonl talk.mp4
    emo draw fer.csv talk.mp4 --track --outputs media,csv,summary
    """
    from ..drawn_results import run

    with Progress(quiet) as advance:
        summary = run(
            results,
            source,
            out,
            outputs=outputs,
            track=track,
            smooth_s=smooth,
            conf=conf,
            limit=limit,
            force=force,
            progress=advance,
            note=None if quiet else lambda text: click.echo(f"emo: {text}", err=True),
        )
    if as_json:
        click.echo(json.dumps(summary.as_dict(), indent=2))
    elif not quiet:
        click.echo(table(summary))
