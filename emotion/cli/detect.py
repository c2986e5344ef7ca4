"""`emo detect`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from . import options
from .groups import Command


@click.command(cls=Command)
@click.argument("sources", metavar="SOURCE...", nargs=-1, required=True, type=click.Path())
@click.option("--system", type=click.Choice(["yolo", "two-stage"]), default="yolo", show_default=True, help="One network, or a face finder and a classifier.")
@click.option("--model", help="Name, model folder, run folder, .cfg or .weights; default: the one that ships.")
@click.option("--weights", type=click.Path(dir_okay=False), help="Weights that do not lie beside the cfg.")
@click.option("--names", type=click.Path(dir_okay=False), help="Class names that do not lie beside the cfg.")
@click.option("--face-model", help="Two-stage: yunet, ssd (emo models pull), haar, an SSD's .pb or .caffemodel, a YuNet .onnx, a Darknet detector, or a folder with one; default: the first of these at hand.")
@options.out
@options.conf
@options.iou
@options.limit
@options.max_pixels
@options.backend
@options.device
@click.option("--track", is_flag=True, help="Videos, cameras, streams: number each face and follow it; its scores are smoothed over time.")
@click.option("--smooth", type=options.Number(min=0), default=0.5, show_default=True, help="With --track: time constant of the smoothing in seconds; 0 for none.")
@click.option("--annotate/--no-annotate", default=True, show_default=True, help="Write the annotated picture or video.")
@click.option("--strict", is_flag=True, help="An unreadable picture in a folder ends the run.")
@click.option("--threads", type=options.Whole(min=1), help="Threads for OpenCV and the backend; default: all cores.")
@options.force
@options.as_json
@options.quiet
@click.pass_context
def detect(ctx, sources, system, model, weights, names, face_model, out, conf, iou, limit, backend, device, track, smooth, annotate, strict, threads, force, as_json, quiet):
    """Find faces and their emotions in pictures, folders, list files, videos, a camera or a stream.

    Writes detections.jsonl, detections.csv and the annotated picture(s) or video to --out, by default
    detect-out/<name of the source> (a second run: -2); with --track also tracks.csv. Several sources get a
    folder each, in --out if it is given. Until the end the files' names hold `.part`; an interrupted run
    leaves them so. A camera (camera, camera:1) or a stream (rtsp://..., http://...) goes on
    until Ctrl-C or --limit, which end it well.

    \b
    emo detect video.mp4
    emo detect photos/ --system two-stage --face-model yunet.onnx --conf 0.5
    emo detect video.mp4 --model runs/v4-tiny-001 --out mine
    emo detect video.mp4 --track
    emo detect *.mp4 photos/ --out found
    emo detect camera --limit 500
    """
    from .. import run_detection as detection
    from ..sources.pictures import counted
    from ..systems import open
    from ..systems.backends import set_threads
    from ..systems.tracking import Tracker

    for option in ctx.command.params:
        if option.name == "smooth" and options.typed(ctx, option) and not track:
            raise click.UsageError("--smooth has no effect without --track")
    set_threads(threads)
    least = Tracker(conf, smooth).low if track else conf
    detector = open.open_system(system, model=model, weights=weights, names=names, face_model=face_model, conf=least, iou=iou, backend=backend, device=device)
    if not quiet:
        if not model:
            hint_at_newest_run(detector)
        if system == "two-stage" and not face_model:
            name_finder(detector)
    summaries = []
    for source, where in zip(sources, folders(sources, out, force)):
        tracker = Tracker(conf, smooth) if track else None
        with progress_bar(quiet) as advance:
            summary = detection.run(
                source, detector, where, limit=limit, force=force, annotate=annotate, tracker=tracker, progress=advance,
                skipped=None if strict else lambda error: click.echo(f"emo: {error}: left out", err=True),
            )  # fmt: skip
        summaries.append(summary)
        if summary.passed_over and not quiet:
            click.echo(f"emo: passed over what is not a picture: {counted(summary.passed_over)}", err=True)
        if not as_json and not quiet:
            click.echo((f"{source}: " if len(sources) > 1 else "") + table(summary))
    if as_json:
        told = [summary.as_dict() for summary in summaries]
        click.echo(json.dumps(told if len(told) > 1 else told[0], indent=2))


def folders(sources, out, force) -> list[Path | None]:
    """Where each source's files go; None: where a single one's go by default. Of several each has its own, whatever their names."""
    from converters.output_folder import free

    from ..run_detection import default_out

    if len(sources) == 1:
        return [out and Path(out)]
    found: list[Path | None] = []
    for default in (default_out(Path(source)) for source in sources):
        found.append(free(Path(out) / default.name if out else default, force or bool(out), found))
    return found


def hint_at_newest_run(detector) -> None:
    """One line on stderr when ./runs holds a model of the user's own that is not in use."""
    from ..systems import models

    task = "detector" if detector.name == "yolo" else "classifier"
    run = models.newest_run(task)
    if run:
        click.echo(f"emo: using the {task} that ships; yours: --model {run}", err=True)


def name_finder(detector) -> None:
    """One line on stderr: which face finder was taken, nobody having named one."""
    finder = detector.settings["face"]["finder"]
    click.echo(f"emo: faces found by {finder}" + ("; 'emo models pull yunet' fetches a better finder" if finder == "haar" else ""), err=True)


class progress_bar:
    """A bar on stderr, when that is a terminal: `with progress_bar(quiet) as advance: advance(done, total)`."""

    def __init__(self, quiet: bool, unit: str = "frame"):
        self.quiet, self.unit, self.bar = quiet or not sys.stderr.isatty(), unit, None

    def __enter__(self):
        return None if self.quiet else self.advance

    def advance(self, done, total):
        from tqdm import tqdm

        if self.bar is None:
            self.bar = tqdm(total=total, unit=self.unit, unit_scale=self.unit == "B", file=sys.stderr, dynamic_ncols=True)
        self.bar.update(done - self.bar.n)

    def __exit__(self, *error):
        if self.bar is not None:
            self.bar.close()


def table(summary) -> str:
    """The summary as lines for a terminal."""
    emotions = ", ".join(f"{name} {count}" for name, count in summary.emotions.items() if count)
    stages = ", ".join(f"{stage} {spent:g}" for stage, spent in summary.stages.items())
    lines = [
        f"{summary.faces} {'face' if summary.faces == 1 else 'faces'} in {summary.frames} {'frame' if summary.frames == 1 else 'frames'} ({summary.frames_without_face} without one)" + (f": {emotions}" if emotions else ""),
        *([f"{summary.tracks} {'track' if summary.tracks == 1 else 'tracks'}"] if summary.tracks is not None else []),
        *([f"{summary.missed} frames came while another was at work"] if summary.missed else []),
        f"{summary.frames_per_s:g} frames/s; ms a frame: {stages}",
        *summary.files,
    ]  # fmt: skip
    return "\n".join(lines)
