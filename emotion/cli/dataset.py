"""`emo dataset`: look at a set, check it, and change its lists; draw one."""

from __future__ import annotations

import json
import sys

import click

from emotion.cli import options


@click.group()
def dataset():
    """Look at a set, check it, change its lists; draw one.

    \b
    emo dataset stats data/affectnet-detector
    emo dataset check data/affectnet-detector --strict
    emo dataset synth --as affectnet --count 500 --out affectnet
    """


def _progress(quiet: bool, unit: str = "pictures"):
    """A bar on a terminal's stderr; otherwise the iterable as it is."""
    if quiet or not sys.stderr.isatty():
        return lambda items, **_: items
    from tqdm import tqdm

    return lambda items, **settings: tqdm(items, unit=f" {unit}", **settings)


@dataset.command()
@click.option("--as", "form", type=click.Choice(["affectnet", "fer2013", "yolo"]), default="affectnet", show_default=True,
              help="AffectNet's folder, FER2013's csv, or a Darknet set of scenes.")  # fmt: skip
@click.option("--count", type=click.IntRange(min=1), default=500, show_default=True, help="How many pictures.")
@click.option("--classes", type=click.Choice(["6", "7", "8"]), default="7", show_default=True, help="Which emotions.")
@click.option("--others", type=click.FloatRange(0, 1), default=0.0, show_default=True,
              help="affectnet: share of rows of the classes None, Uncertain and No-Face.")  # fmt: skip
@click.option("--out", "-o", type=click.Path(), required=True, help="The folder to write.")
@options.seed
@options.force
@options.as_json
@options.quiet
def synth(form, count, classes, others, out, seed, force, as_json, quiet):
    """Draw faces in a dataset's own format, to try everything without one.

    \b
    emo dataset synth --as affectnet --count 500 --out affectnet
    emo dataset synth --as yolo --count 1000 --out data/drawn
    """
    from converters.synth import write_set

    report = write_set(form, count, out, seed=seed, classes=int(classes), others=others, force=force, progress=_progress(quiet))
    if as_json:
        click.echo(json.dumps(report, indent=2))
    elif not quiet:
        rows = ", ".join(f"{number} {name}" for name, number in report["rows"].items())
        click.echo(f"{out}: {rows}")


def _report(report: dict, as_json: bool, quiet: bool, *lines: str) -> None:
    """A new set's report: as JSON, or one line about its splits and then `lines`."""
    if as_json:
        click.echo(json.dumps(report, indent=2))
    elif not quiet:
        click.echo(f"{report['data']}: " + ", ".join(f"{number} {split}" for split, number in report["pictures"].items()))
        for line in lines:
            click.echo(line)


@dataset.command()
@click.argument("sources", nargs=-1, required=True, metavar="SET...")
@click.option("--out", "-o", type=click.Path(), required=True, help="The folder to write.")
@options.force
@options.as_json
@options.quiet
def merge(sources, out, force, as_json, quiet):
    """Several sets as one: one .data, and lists over all their pictures, which stay where they are.

    A SET is a .data file or the folder that holds it. Sets whose class maps differ are refused.

    \b
    emo dataset merge data/affectnet-detector data/fer2013-detector --out data/both
    """
    from converters import setedit
    from converters.darknetset import load

    if len(sources) < 2:
        raise click.UsageError("merging takes at least two sets")
    report = setedit.merge([load(source) for source in sources], out, force)
    twice = sum(report["listed_by_both"].values())
    _report(report, as_json, quiet, *([f"{twice} pictures were in more than one set, and are listed once"] if twice else []))
