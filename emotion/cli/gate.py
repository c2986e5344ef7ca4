"""The gate that `emo evaluate` and `emo compare` share: bounds, a baseline, a summary for CI."""

from __future__ import annotations

from pathlib import Path

import click

from . import options


def gate_options(command):
    """--fail-under, --baseline, --tolerance, --junit, --summary."""
    for option in reversed(
        (
            click.option(
                "--fail-under",
                multiple=True,
                metavar="FIGURE=VALUE",
                help="Exit 1 when a figure is worse: mAP=0.60, yolo:accuracy=0.85, missed=0.02.",
            ),
            click.option(
                "--baseline",
                type=click.Path(dir_okay=False),
                help="An earlier report.json or compare.json that must not be fallen short of.",
            ),
            click.option(
                "--tolerance",
                type=options.Number(0, 1),
                default=0.0,
                show_default=True,
                help="By how much a share may be worse than --baseline.",
            ),
            click.option("--junit", type=click.Path(dir_okay=False), help="Write the checks as JUnit XML."),
            click.option("--summary", type=click.Path(dir_okay=False), help="Write the checks as Markdown."),
        )
    ):
        command = option(command)
    return command


def apply_gate(result: dict, name: str, fail_under, baseline, tolerance, junit, summary) -> None:
    """Tell the checks that failed on stderr, write the summaries, and exit with 1 when one failed."""
    from converters.output_folder import replacing

    from ..comparison import gate

    if (junit or summary) and not (fail_under or baseline):
        raise click.UsageError("--junit and --summary tell of checks: give --fail-under or --baseline")
    checks = [*gate.bounds(result, fail_under), *(gate.against(result, baseline, tolerance) if baseline else [])]
    for path, text in ((junit, gate.junit(checks, name)), (summary, gate.summary(checks))):
        if path:
            with replacing(Path(path)) as unfinished:
                unfinished.write_text(text, encoding="utf-8", errors="backslashreplace")
    failed = [check for check in checks if not check.passed]
    for check in failed:
        click.echo(f"emo: {gate.sentence(check)}", err=True)
    if failed:
        raise SystemExit(1)
