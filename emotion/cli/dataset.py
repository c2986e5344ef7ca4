"""`emo dataset`: look at a set, check it, and change its lists; draw one."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from converters.errors import UsageError

from . import options
from .groups import Group
from .progress import Progress, around


@click.group(cls=Group)
def dataset():
    """Inspect, check and change a set, or draw one.

    \b
    emo dataset stats data/affectnet-detector
    emo dataset check data/affectnet-detector --strict
    emo dataset synth --as affectnet --count 500 --out affectnet
    """


@dataset.command()
@click.option(
    "--as",
    "form",
    type=click.Choice(["affectnet", "fer2013", "yolo"]),
    default="affectnet",
    show_default=True,
    help="AffectNet's folder, FER2013's csv, or a Darknet set of scenes.",
)
@click.option("--count", type=options.Whole(min=1), default=500, show_default=True, help="How many pictures.")
@click.option("--classes", type=click.Choice(["6", "7", "8"]), default="7", show_default=True, help="Which emotions.")
@click.option(
    "--others",
    type=options.Number(0, 1),
    default=0.0,
    show_default=True,
    help="affectnet: share of rows of the classes None, Uncertain and No-Face.",
)
@click.option("--out", "-o", type=click.Path(), required=True, help="The folder to write.")
@options.seed
@options.force
@options.as_json
@options.quiet
def synth(form, count, classes, others, out, seed, force, as_json, quiet):
    """Draw faces in a dataset's own format, to try everything without one.

    \b
    emo dataset synth --as affectnet --count 500 --out affectnet
    emo dataset synth --as yolo --count 1000 --out data/scenes
    """
    from converters.synthesis.datasets import write_set

    report = write_set(
        form, count, out, seed=seed, classes=int(classes), others=others, force=force, progress=around(quiet)
    )
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
        click.echo(
            f"{report['data']}: " + ", ".join(f"{number} {split}" for split, number in report["pictures"].items())
        )
        for line in lines:
            click.echo(line)


@dataset.command()
@click.argument("sources", nargs=-1, required=True, metavar="SET...")
@click.option("--out", "-o", type=click.Path(), required=True, help="The folder to write.")
@options.force
@options.as_json
@options.quiet
def merge(sources, out, force, as_json, quiet):
    """Join several sets: one .data, and lists of all their pictures, which stay where they are.

    A SET is a .data file or the folder that holds it. Sets whose class maps differ are refused.

    \b
    emo dataset merge data/affectnet-detector data/fer2013-detector \\
        --out data/both
    """
    from converters.darknet_format.dataset import load
    from converters.dataset import edit

    if len(sources) < 2:
        raise click.UsageError("merging takes at least two sets")
    report = edit.merge([load(source) for source in sources], out, force)
    twice = sum(report["listed_by_both"].values())
    _report(
        report, as_json, quiet, *([f"{twice} pictures were in more than one set, and are listed once"] if twice else [])
    )


@dataset.command()
@click.argument("source", metavar="[SET]", required=False)
@click.option("--strict", is_flag=True, help="Exit with code 1 when there is an error or a warning.")
@click.option("--csv", "csv_file", type=click.Path(dir_okay=False), help="Write all findings to this CSV file.")
@click.option(
    "--min-side",
    type=options.Whole(min=0),
    default=16,
    show_default=True,
    help="Smallest side of a picture, in pixels.",
)
@click.option(
    "--min-face", type=options.Number(min=0), default=8, show_default=True, help="Smallest side of a face, in pixels."
)
@click.option("--max-bytes", type=options.Whole(min=1), default=None, help="Largest file.")
@click.option(
    "--decode/--no-decode",
    default=True,
    show_default=True,
    help="Decode every picture, and compare them; else only headers are read.",
)
@options.jobs
@options.max_pixels
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

    from converters import findings as checks
    from converters.darknet_format.dataset import load
    from converters.dataset.check import Limits, check

    one = load(source)
    limits = Limits(min_side, min_face, max_bytes)
    findings = check(
        one, limits, decode=decode, jobs=jobs or os.cpu_count() or 1, progress=around(quiet, "chunks of 256 pictures")
    )
    if csv_file:
        checks.write_csv(findings, csv_file)
    pictures = {split: len(images) for split, images in one.images.items()}
    counts = checks.counts(findings)
    if as_json:
        click.echo(
            json.dumps(
                {
                    "data": str(one.data.path),
                    "pictures": pictures,
                    "counts": counts,
                    "findings": checks.as_dicts(findings),
                },
                indent=1,
            )
        )
    elif not quiet:
        click.echo(f"{one.data.path}: " + ", ".join(f"{number} {split}" for split, number in pictures.items()))
        click.echo(checks.table(findings) if findings else "nothing found")
    if strict and any(item.severity != "info" for item in findings):
        ctx.exit(1)


@dataset.command()
@click.argument("source", metavar="[SET]", required=False)
@click.option("--out", "-o", type=click.Path(), help="Folder for plots and stats.json; without it nothing is written.")
@options.as_json
@options.quiet
def stats(source, out, as_json, quiet):
    """Count a Darknet set: pictures and faces per split and class, sizes of pictures and boxes.

    SET is a .data file or the folder that holds it; default: the one under ./data.

    \b
    emo dataset stats data/affectnet-detector
    emo dataset stats data/affectnet-detector --out stats
    """
    from converters.darknet_format.dataset import load
    from converters.dataset import stats as dataset_stats

    one = load(source)
    measured = dataset_stats.measure(one, around(quiet))
    report = dataset_stats.summary(one, measured)
    if out:
        plots = dataset_stats.plot(one, measured, out, report)
        report |= {"plots": [str(path) for path in plots]}
    if as_json:
        click.echo(json.dumps(report, indent=2))
    elif not quiet:
        click.echo(dataset_stats.text(report))
        for path in report.get("plots", ()):
            click.echo(path)


@dataset.command()
@click.argument("source", metavar="[SET]", required=False)
@click.option(
    "--out",
    "-o",
    type=click.Path(dir_okay=False),
    default="contact-sheet.png",
    show_default=True,
    help="The PNG to write.",
)
@click.option("--count", type=options.Whole(1, 2000), default=48, show_default=True, help="How many pictures.")
@click.option("--columns", type=options.Whole(min=1), default=8, show_default=True, help="Pictures in a row.")
@click.option(
    "--tile",
    type=options.Whole(32, 1024),
    default=160,
    show_default=True,
    help="Side of a picture on the sheet, in pixels.",
)
@click.option("--split", help="Only this split: train, valid or test.")
@click.option("--class", "only", help="Only pictures with a face of this class.")
@click.option("--findings", type=click.Path(dir_okay=False), help="Show the pictures that this file of findings names.")
@click.option("--code", "codes", multiple=True, help="With --findings: only findings of this code; may be repeated.")
@options.seed
@options.force
@options.quiet
def view(source, out, count, columns, tile, split, only, findings, codes, seed, force, quiet):
    """Write a contact sheet: pictures of a Darknet set with their boxes and classes.

    \b
    emo dataset view data/affectnet-detector --class Fear
    emo dataset view data/affectnet-detector \\
        --findings findings.csv --code near-duplicate
    """
    from converters.darknet_format.dataset import load
    from converters.dataset import edit
    from converters.dataset.contact_sheet import contact_sheet, write_png

    if os.path.lexists(out) and not force:
        raise UsageError("exists already", where=out, mend="give --force to replace it, or another --out")
    images = None
    if findings:
        chosen = [item for item in edit.read_findings(findings) if not codes or item.code in codes]
        images = edit.pictures_of(load(source), chosen)
    elif codes:
        raise click.UsageError("--code needs --findings")
    sheet, shown = contact_sheet(
        load(source), count=count, columns=columns, tile=tile, split=split, only=only, seed=seed, images=images
    )
    write_png(sheet, out)
    if not quiet:
        click.echo(f"{out}: {len(shown)} pictures")


@dataset.command()
@click.argument("source", metavar="[SET]", required=False)
@click.option("--out", "-o", type=click.Path(), required=True, help="The folder to write.")
@click.option(
    "--valid", type=options.Number(0, 1), default=0.1, show_default=True, help="Share of the groups for valid."
)
@click.option("--test", type=options.Number(0, 1), default=0.0, show_default=True, help="Share of the groups for test.")
@click.option(
    "--by",
    type=click.Choice(["group", "picture"]),
    default="group",
    show_default=True,
    help="group: the manifest's person or source, else the file's name; picture: its content.",
)
@options.seed
@options.force
@options.as_json
@options.quiet
def split(source, out, valid, test, by, seed, force, as_json, quiet):
    """Divide all pictures of a set again into train, valid and test.

    Whole groups go to one side, chosen by a hash of the group's name: the same set gives the same split, and
    nobody changes side as it grows. Shares are kept on average. Composed scenes that share faces go together;
    where that leaves one large group, emo convert --valid sets people aside before scenes are composed.

    \b
    emo dataset split data/both --valid 0.1 --test 0.1 --out data/both-split
    """
    from converters.darknet_format.dataset import load
    from converters.dataset import edit

    report = edit.split(load(source), out, {"valid": valid, "test": test}, by=by, seed=seed, force=force)
    _report(report, as_json, quiet, f"{report['groups']} groups, the largest of {report['largest']} pictures")


@dataset.command()
@click.argument("source", metavar="[SET]", required=False)
@click.option(
    "--count",
    type=options.Whole(min=1),
    default=1000,
    show_default=True,
    help="How many collages, shared out among the splits.",
)
@click.option(
    "--size",
    type=options.Size(),
    default="416",
    show_default=True,
    metavar="N|WxH",
    help="A collage's size, in pixels.",
)
@click.option(
    "--backgrounds",
    type=click.Path(),
    help="Folder of photographs without people to lay them on; default: drawn backgrounds.",
)
@click.option("--out", "-o", type=click.Path(), required=True, help="The folder to write.")
@options.jobs
@options.max_pixels
@options.seed
@options.force
@options.as_json
@options.quiet
def collage(source, count, size, backgrounds, out, jobs, seed, force, as_json, quiet):
    """Put several pictures of a detector set on one background: faces of all sizes in one picture.

    A detector trained on pictures of one large face misses small ones and those beside others. Merge the
    collages with the set that they are made of.

    \b
    emo dataset collage data/affectnet-detector --count 1500 --out data/collages
    emo dataset merge data/affectnet-detector data/collages --out data/both
    """
    import os

    from converters.darknet_format.dataset import load
    from converters.dataset.collage import collage as run

    report = run(
        load(source),
        out,
        count,
        size_wh=size,
        backgrounds=backgrounds,
        seed=seed,
        jobs=jobs or os.cpu_count(),
        force=force,
        progress=around(quiet, "parts"),
    )
    lost = report["left_out"]
    _report(
        report,
        as_json,
        quiet,
        *(
            [f"{len(lost)} pictures were left out: {next(iter(lost.values()))}" + (", ..." if len(lost) > 1 else "")]
            if lost
            else []
        ),
    )


@dataset.command()
@click.argument("source", metavar="[SET]", required=False)
@click.option("--out", "-o", type=click.Path(), required=True, help="The folder to write.")
@click.option(
    "--cap",
    type=options.Number(min=1),
    default=4.0,
    show_default=True,
    help="Largest number of times that a picture is repeated.",
)
@click.option(
    "--power",
    type=options.Number(0, 1),
    default=1.0,
    show_default=True,
    help="1 makes the classes equal up to the cap, 0.5 goes half the way.",
)
@options.seed
@options.force
@options.as_json
@options.quiet
def balance(source, out, cap, power, seed, force, as_json, quiet):
    """Repeat pictures of rare classes in the train list; the other lists stay as they are.

    \b
    emo dataset balance data/affectnet-detector --cap 4 --out data/balanced
    """
    from converters.darknet_format.dataset import load
    from converters.dataset import edit

    report = edit.balance(load(source), out, cap=cap, power=power, seed=seed, force=force)
    lines = [
        f"  {name:<10} {before:>7} -> {report['faces_after'][name]}" for name, before in report["faces_before"].items()
    ]
    _report(report, as_json, quiet, "faces in train:", *lines)


@dataset.command()
@click.argument("source", metavar="[SET]", required=False)
@click.option("--by", "teachers", multiple=True, required=True, metavar="MODEL", help="A classifier; may be repeated.")
@click.option("--out", "-o", type=click.Path(), required=True, help="The folder to write.")
@click.option("--tta", type=options.Tta(), help="Average N views or ten crops of each picture.", metavar="N|tencrop")
@click.option(
    "--own",
    type=options.Number(0, 1),
    default=0.0,
    show_default=True,
    help="Share of the set's own votes (FER+'s) in the new ones, for pictures that have some.",
)
@options.backend
@options.device
@options.threads
@options.max_pixels
@options.seed
@options.force
@options.as_json
@options.quiet
def teach(source, teachers, out, tta, own, backend, device, threads, seed, force, as_json, quiet):
    """Let classifiers label a set's training pictures, so that a smaller one learns from their answers.

    SET is a classifier's. The mean of the models' answers becomes its votes, beside the labels. `vote_share`
    says how much of a training's target they are (knowledge distillation).

    \b
    emo dataset teach data/fer2013-classifier --by emo-m --by runs/vgg19-001 \\
        --tta tencrop --out data/taught
    emo train emo-s --data data/taught --set vote_share=0.6
    """
    from ..comparison.machine import cores
    from ..comparison.settings import Settings
    from ..comparison.teach import teach as run
    from ..systems.backends import set_threads

    set_threads(threads or cores())
    with Progress(quiet, "pictures") as progress:
        settings = Settings(seed=seed, backend=backend, device=device)
        report = run(source, teachers, out, tta=tta, own=own, settings=settings, force=force, progress=progress)
    told = [f"{one['model']} names {one['top1']:.1%} of train as labelled" for one in report["teachers"]]
    if own and not report["own"]:
        told.append("the set has no votes of its own, so --own changes nothing")
    _report(report, as_json, quiet, *told)


@dataset.command()
@click.argument("source", metavar="[SET]", required=False)
@click.option("--out", "-o", type=click.Path(), required=True, help="The folder to write.")
@click.option(
    "--findings",
    type=click.Path(dir_okay=False),
    help="Findings of emo dataset check, CSV or JSON; default: check now.",
)
@click.option(
    "--also", multiple=True, metavar="CODE", help="Also reject findings of this code, not only errors; may be repeated."
)
@click.option(
    "--keep", multiple=True, metavar="CODE", help="Keep pictures with findings of this code; may be repeated."
)
@click.option("--reject", type=click.Path(dir_okay=False), help="A text file of picture paths to leave out too.")
@options.jobs
@options.max_pixels
@options.force
@options.as_json
@options.quiet
def clean(source, out, findings, also, keep, reject, jobs, force, as_json, quiet):
    """Copy a set's lists without bad pictures: those with an error, and repeated lines.

    A picture in two lists is removed from the earlier one: train before valid before test.

    \b
    emo dataset clean data/affectnet-detector --also near-duplicate \\
        --out data/clean
    """
    import os

    from converters.darknet_format.dataset import load
    from converters.dataset import edit
    from converters.dataset.check import check as find
    from converters.text_files import read_lines

    one = load(source)
    if findings:
        found = edit.read_findings(findings)
    else:
        found = find(one, jobs=jobs or os.cpu_count() or 1, progress=around(quiet, "chunks of 256 pictures"))
    report = edit.clean(
        one, out, found, also=also, keep=keep, rejected=read_lines(Path(reject)) if reject else (), force=force
    )
    lines = [
        f"  {split}: {number} left out as {reason}"
        for split, gone in report["left_out"].items()
        for reason, number in gone.items()
    ]
    if strangers := report["not_in_the_set"]:
        lines.append(f"  {len(strangers)} paths in {reject} are none of the set's, such as {strangers[0]}")
    _report(report, as_json, quiet, *lines)
