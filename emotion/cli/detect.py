"""`emo detect`."""

from __future__ import annotations

import json
import sys

import click

from . import options
from .groups import Command
from .progress import Progress

# Options that --show, which writes nothing and goes with the time, has no use for.
NOT_SHOWN = ("out", "outputs", "no_annotate", "resume", "strict", "jobs", "cluster", "force", "as_json", "detect_every")


@click.command(cls=Command)
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@options.system
@options.out
@options.outputs("media,jsonl,csv,summary")
@click.option("--no-annotate", is_flag=True, help="The same outputs without media.")
@click.option(
    "--start", "start_s", type=options.Time(), default="0", help="Videos: start at this time, in seconds or h:mm:ss."
)
@click.option("--end", "end_s", type=options.Time(), help="Videos: stop at this time.")
@click.option(
    "--stride", type=options.Whole(min=1), default=1, show_default=True, help="Take every Nth frame or picture."
)
@click.option("--max-fps", type=options.Number(min=0.001), help="Videos: take at most this many frames a second.")
@options.limit
@options.max_pixels
@click.option("--raw", is_flag=True, help="Videos: do not follow faces; treat each frame separately.")
@click.option(
    "--smooth",
    "smooth_s",
    type=options.Number(min=0),
    default=0.5,
    show_default=True,
    help="Videos: time constant of the scores' smoothing in seconds; 0 for none.",
)
@click.option(
    "--detect-every",
    type=options.Whole(min=1),
    default=1,
    show_default=True,
    help="Videos: detect in every Nth frame; estimate where the faces are between them.",
)
@click.option(
    "--uncertain",
    type=options.Number(0, 1),
    help=(
        "Score below which an emotion is uncertain and shown with the next one; default: what the model's card "
        "says, else 0.5."
    ),
)
@click.option("--bars", is_flag=True, help="Draw the scores of all classes beside each face.")
@click.option(
    "--show",
    is_flag=True,
    help="Write nothing; show one camera, stream or video in the browser (extra serve) or a window.",
)
@click.option("--resume", is_flag=True, help="Skip sources that are done; continue a folder or list where it stopped.")
@click.option(
    "--strict", is_flag=True, help="Stop at an unreadable picture of a folder, or at an unreadable source of several."
)
@click.option(
    "--jobs",
    "-j",
    type=options.Whole(min=1),
    default=1,
    show_default=True,
    help="Processes for several sources, or a folder's pictures.",
)
@click.option("--cluster", metavar="ADDRESS", help="A Dask scheduler instead of processes.")
@options.force
@options.as_json
@options.quiet
@click.pass_context
def detect(
    ctx, sources, out, outputs, no_annotate, show, resume, strict, jobs, cluster, force, as_json, quiet, **settings
):
    """Find faces and their emotions in pictures, folders, list files, videos, cameras and streams.

    SOURCE may be a pattern ('photos/*.jpg') or - for a list on stdin. Writes to --out, by default detect-out/<name of
    the source> (-2 for a second run), or a folder for each of several sources: detections.jsonl, detections.csv, the
    annotated picture(s) or video; for a video, whose faces are followed, also tracks.csv, summary.json, summary.html
    and timeline.png. Until the run ends, file names end in `.part`; after an interrupted run they still do. A camera
    (camera, camera:1) or a stream (rtsp://..., http://...) runs until Ctrl-C or --limit; both end it cleanly.

    \b
    emo detect video.mp4
    emo detect photos/ --system two-stage --face-model yunet --conf 0.5
    emo detect video.mp4 --model runs/v4-tiny-001 --out mine
    emo detect talk.mp4 --start 1:30 --end 2:00 --detect-every 3
    emo detect *.mp4 --jobs 4 --outputs csv,summary
    emo detect camera --limit 500
    emo detect camera --show
    """
    from converters.errors import EmoError, UsageError

    from .. import detect_many
    from ..sources.pictures import counted

    if settings["system"] != "two-stage":
        for option in ctx.command.params:
            if option.name == "face_model" and options.typed(ctx, option):
                raise click.UsageError("--face-model has no effect without --system two-stage")
    if settings["raw"]:
        for option in ctx.command.params:
            if option.name in ("smooth_s", "detect_every") and options.typed(ctx, option):
                raise click.UsageError(f"--{options.long_name(option)} has no effect with --raw")
    names = detect_many.expand(sources, sys.stdin)
    chosen = detect_many.Settings(**settings)
    if show:
        from .show import show as show_live

        if len(names) > 1:
            raise click.UsageError("--show takes one source")
        for option in ctx.command.params:
            if option.name in NOT_SHOWN and options.typed(ctx, option):
                raise click.UsageError(f"--{options.long_name(option)} has no effect with --show")
        show_live(names[0], chosen)
        return
    todo = detect_many.orders(
        names,
        out,
        settings=chosen,
        outputs=tuple(name for name in outputs if not (no_annotate and name == "media")),
        force=force,
        strict=strict,
        resume=resume,
    )
    if not quiet:
        remarks(chosen)
    failed, told = 0, []
    with Progress(quiet) as advance:
        work = detect_many.carry_out(
            todo, jobs, cluster, progress=advance, skipped=lambda error: click.echo(f"emo: {error}: left out", err=True)
        )
        for order, summary in work:
            if isinstance(summary, EmoError):
                if len(todo) == 1 or strict or isinstance(summary, UsageError):
                    raise summary
                failed += 1
                click.echo(f"emo: {summary}: left out", err=True)
                continue
            if summary is None:
                click.echo(f"emo: {order.out}: done before", err=True)
                continue
            if summary.passed_over and not quiet:
                click.echo(f"emo: passed over what is not a picture: {counted(summary.passed_over)}", err=True)
            told.append(summary)
            if not as_json and not quiet:
                click.echo((f"{summary.source}: " if len(todo) > 1 else "") + table(summary))
    if as_json:
        click.echo(
            json.dumps(
                [summary.as_dict() for summary in told] if len(todo) > 1 else told[0].as_dict() if told else None,
                indent=2,
            )
        )
    if failed:
        raise SystemExit(1)


def remarks(settings) -> None:
    """On stderr: what was taken that nobody named."""
    if settings.model and (settings.face_model or settings.system == "yolo"):
        return
    detector = settings.detector(not settings.raw)
    if not settings.model:
        hint_at_newest_run(detector)
    if settings.system == "two-stage" and not settings.face_model:
        name_finder(detector)


def hint_at_newest_run(detector) -> None:
    """One line on stderr when ./runs holds a model of the user's own that is not in use."""
    from ..systems import models

    task = "detector" if detector.name == "yolo" else "classifier"
    run = models.newest_run(task)
    if run:
        click.echo(f"emo: using the {task} that ships; yours: --model {run}", err=True)


def name_finder(detector) -> None:
    """One line on stderr: which face finder was taken, nobody having named one."""
    from ..systems.face_models import best

    click.echo(f"emo: faces found by {best()}", err=True)


def table(summary) -> str:
    """The summary as lines for a terminal."""
    emotions = ", ".join(f"{name} {count}" for name, count in summary.emotions.items() if count)
    stages = ", ".join(f"{stage} {spent:g}" for stage, spent in summary.stages.items())
    lines = [
        (
            f"{summary.faces} {'face' if summary.faces == 1 else 'faces'} in {summary.frames} "
            f"{'frame' if summary.frames == 1 else 'frames'} ({summary.frames_without_face} without one)"
        )
        + (f": {emotions}" if emotions else ""),
        *([f"{summary.tracks} {'track' if summary.tracks == 1 else 'tracks'}"] if summary.tracks is not None else []),
        *([f"{summary.missed} frames came while another was at work"] if summary.missed else []),
        f"{summary.frames_per_s:g} frames/s; ms a frame: {stages}",
        *summary.files,
    ]
    return "\n".join(lines)
