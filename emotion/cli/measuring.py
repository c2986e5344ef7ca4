"""What `emo evaluate` and `emo compare` share: a measurement's options, how its result is printed, the gate."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path

import click

from . import options
from .progress import Progress

SHARED = (
    click.option(
        "--split",
        type=click.Choice(["train", "valid", "test"]),
        default="valid",
        show_default=True,
        help="Which of the set's lists.",
    ),
    click.option("--face-model", help="Face finder of a two-stage system that names none: as for emo detect."),
    options.out,
    options.detection,
    options.limit,
    options.max_pixels,
    click.option(
        "--bootstrap",
        type=options.Whole(min=0),
        default=1000,
        show_default=True,
        help="Resamples of a labelled set, for 95% intervals; 0 for none.",
    ),
    options.seed,
    options.threads,
    click.option(
        "--fail-under",
        multiple=True,
        metavar="FIGURE=VALUE",
        help="Exit 1 when a figure is worse: mAP=0.60, yolo:accuracy=0.85, missed=0.02.",
    ),
    click.option(
        "--baseline",
        type=click.Path(dir_okay=False),
        help="An earlier report.json or compare.json that the figures are compared with: none may be worse.",
    ),
    click.option(
        "--tolerance",
        type=options.Number(0, 1),
        default=0.0,
        show_default=True,
        help="How much worse than --baseline a share may be.",
    ),
    click.option("--junit", type=click.Path(dir_okay=False), help="Write the checks as JUnit XML."),
    click.option("--summary", type=click.Path(dir_okay=False), help="Write the checks as Markdown."),
    options.force,
    options.as_json,
    options.quiet,
)


def measuring(measure: Callable[..., tuple[dict, str]]) -> Callable[..., None]:
    """A command that measures: `measure` gets `settings`, `progress`, `out`, `force` and its own options, and gives the
    result and what to say of it. The gate's exit code is the command's.
    """

    @functools.wraps(measure)
    def command(
        split, limit, conf, iou, square, face_model, backend, device, bootstrap, seed, threads, as_json, quiet, **own
    ) -> None:
        from ..comparison import gate
        from ..comparison.machine import cores
        from ..comparison.settings import Settings
        from ..systems.backends import set_threads

        asked, baseline = own.pop("fail_under"), own.pop("baseline")
        checks = {name: own.pop(name) for name in ("tolerance", "junit", "summary")}
        if (checks["junit"] or checks["summary"]) and not (asked or baseline):
            raise click.UsageError("--junit and --summary need a check: give --fail-under or --baseline")
        wanted = [gate.bound(text) for text in asked]  # before a measurement that may take hours
        old = gate.read_report(baseline) if baseline else None
        for told in (checks["junit"], checks["summary"]):
            if told:
                gate.writable(told)
        settings = Settings(
            split=split,
            limit=limit,
            conf=conf,
            iou=iou,
            square=square,
            face_model=face_model,
            backend=backend,
            device=device,
            replicates=bootstrap,
            seed=seed,
        )
        set_threads(threads or cores())  # the same number for every backend
        with Progress(quiet) as advance:
            result, text = measure(settings=settings, progress=advance, **own)
        if as_json:
            click.echo(json.dumps(result, indent=2))
        elif not quiet or own.get("table"):
            click.echo(text)
        apply_gate(result, f"emo {measure.__name__}", wanted, old, **checks)

    for option in reversed(SHARED):
        command = option(command)
    return command


def apply_gate(result: dict, name: str, wanted, old, tolerance, junit, summary) -> None:
    """Tell the checks that failed on stderr, write the summaries, and exit with 1 when one failed."""
    from converters.output_folder import replacing

    from ..comparison import gate

    checks = [*gate.bounds(result, wanted), *(gate.against(result, old, tolerance) if old else [])]
    for path, text in ((junit, gate.junit(checks, name)), (summary, gate.summary(checks))):
        if path:
            with replacing(Path(path)) as unfinished:
                unfinished.write_text(text, encoding="utf-8", errors="backslashreplace")
    for other in gate.unlike(result, old) if old else ():
        click.echo(f"emo: {old.path} was made {other}: its figures say little of these", err=True)
    failed = [check for check in checks if not check.passed]
    for check in failed:
        click.echo(f"emo: {gate.sentence(check)}", err=True)
    if failed:
        raise SystemExit(1)
