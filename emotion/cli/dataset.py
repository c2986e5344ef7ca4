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


@dataset.command()
@click.argument("source", metavar="SET", required=False)
@click.option("--strict", is_flag=True, help="Exit with 1 when there is an error or a warning.")
@click.option("--csv", "csv_file", type=click.Path(dir_okay=False), help="Write all findings to this CSV file.")
@click.option("--min-side", type=click.IntRange(min=0), default=16, show_default=True, help="Smallest side of a picture, in pixels.")
@click.option("--min-face", type=click.FloatRange(min=0), default=8, show_default=True, help="Smallest side of a face, in pixels.")
@click.option("--max-bytes", type=click.IntRange(min=1), default=None, help="Largest file.")
@click.option("--decode/--no-decode", default=True, show_default=True, help="Decode every picture, and compare them; else only headers are read.")
@options.jobs
@options.as_json
@options.quiet
@click.pass_context
def check(ctx, source, strict, csv_file, min_side, min_face, max_bytes, decode, jobs, as_json, quiet):
    """Find what is wrong with a Darknet set.

    SET is a .data file or the folder that holds it; default: the one under ./data. Each finding has a code, a
    severity, the subset, the file and line, and a message.

    \b
    emo dataset check data/affectnet-detector
    emo dataset check data/affectnet-detector --strict --csv findings.csv
    """
    import os

    from converters import checks
    from converters.darknetset import load
    from converters.dataset_check import Limits, check

    one = load(source)
    limits = Limits(min_side, min_face, max_bytes)
    findings = check(one, limits, decode=decode, jobs=jobs or os.cpu_count() or 1, progress=_progress(quiet, "chunks of 256 pictures"))
    if csv_file:
        checks.write_csv(findings, csv_file)
    pictures = {split: len(images) for split, images in one.images.items()}
    counts = checks.counts(findings)
    if as_json:
        click.echo(json.dumps({"data": str(one.data.path), "pictures": pictures, "counts": counts, "findings": checks.as_dicts(findings)}, indent=1))
    elif not quiet:
        click.echo(f"{one.data.path}: " + ", ".join(f"{number} {split}" for split, number in pictures.items()))
        click.echo(checks.table(findings) if findings else "nothing found")
    if strict and any(item.severity != "info" for item in findings):
        ctx.exit(1)
