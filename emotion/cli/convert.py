"""`emo convert`: a dataset as it is distributed -> Darknet files."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import click

from converters.readers import KINDS
from converters.writers import TASKS

from . import options
from .groups import Command
from .progress import going_through


class Kind(click.Choice):
    """A dataset's kind. Whoever gives a path instead reads how to write the command."""

    def convert(self, value, param, ctx):
        if value not in self.choices and Path(value).exists():
            self.fail(f"'{value}' is a path: give the dataset's kind before it, as emo convert folder {value}")
        return super().convert(value, param, ctx)


@click.command(cls=Command, context_settings={"show_default": True})
@click.argument("kind", type=Kind(list(KINDS)), metavar="KIND")
@click.argument("source", type=click.Path(), required=False)
@click.option("--task", type=click.Choice(list(TASKS)), default="detector", help="What to make, see above.")
@click.option(
    "--with",
    "more",
    multiple=True,
    metavar="KIND=SOURCE",
    help="Another dataset to put into the same output; may be repeated.",
)
@click.option(
    "--classes",
    type=click.Choice(["1", "6", "7", "8"]),
    default="7",
    help="6 merges Disgust into Anger, 8 adds Contempt; 1: all are Face, to train a face finder.",
)
@click.option(
    "--valid",
    type=options.Number(0, 0.9),
    default=0.0,
    help="Share of the people in the training split to move to validation.",
)
@click.option(
    "--no-face",
    type=click.Choice(["drop", "keep"]),
    default="drop",
    help="affectnet: No-Face rows: drop, or keep as pictures without faces.",
)
@click.option(
    "--usage",
    metavar="USAGE=SPLIT,...",
    help="Which split each part becomes, such as validation=PrivateTest or PublicTest=none; Training is train, "
    "PublicTest valid, PrivateTest test.",
)
@click.option(
    "--labels",
    type=click.Choice(["majority", "votes", "fer2013"]),
    default="majority",
    help=(
        "ferplus: the class with over half of the votes; also the most voted for; or FER2013's own label, the "
        "votes beside it."
    ),
)
@click.option(
    "--size",
    type=options.Size(),
    metavar="N|WxH",
    help="Size of a scene or crop; default: scenes 416, crops 96, others 48.",
)
@click.option(
    "--scenes",
    type=options.Whole(min=1),
    help="detector: scenes to compose of face crops; default: one for every three or four faces.",
)
@click.option(
    "--crowd",
    type=options.Whole(min=1),
    metavar="N",
    help="detector: up to N faces in each scene, in rows and columns; default: from one to ten, most of them anywhere.",
)
@click.option(
    "--backgrounds",
    type=click.Path(),
    help="detector: folder of photographs to compose scenes on; default: drawn ones. "
    "Take pictures without people: a face in one would have no label.",
)
@click.option(
    "--enlarge",
    type=options.Number(0.2, 5),
    default=1.0,
    help="Factor by which boxes are enlarged, up to the picture's edge.",
)
@click.option(
    "--find",
    metavar="FINDER",
    help="Find the face in pictures without boxes, and landmarks: yunet, ssd, face-nano, haar, dlib, "
    "a .dat of 68 landmarks, or another face model of emo detect.",
)
@click.option(
    "--align",
    is_flag=True,
    help="crops, csv, hdf5, npz, pickle: turn faces until the eyes are level, where the dataset "
    "or --find gives landmarks.",
)
@click.option(
    "--grey/--colour",
    default=None,
    help="crops, csv, hdf5, npz, pickle: the default is colour for crops, grey for the others; csv is always grey.",
)
@click.option(
    "--link",
    type=click.Choice(["hard", "symlink", "copy"]),
    default="hard",
    help="How pictures get into the output; hard links become symlinks across file systems.",
)
@click.option("--verify", is_flag=True, help="Decode every picture, not only its header.")
@click.option(
    "--cluster",
    metavar="tcp://HOST:PORT",
    help="Run on a Dask cluster that sees the same files (needs the extra cluster).",
)
@options.out
@options.jobs
@options.seed
@click.option(
    "--limit",
    type=options.Whole(min=1),
    default=None,
    help="Use only the first N pictures of each split of each source.",
)
@options.max_pixels
@options.force
@options.dry_run
@options.as_json
@options.quiet
@click.pass_context
def convert(
    ctx, kind, source, task, more, classes, out, jobs, cluster, limit, force, dry_run, as_json, quiet, **settings
):
    """Turn a dataset into Darknet files.

    KIND is the dataset, SOURCE its folder or list (default: a folder of its name here). Writes to
    data/KIND-TASK or --out: pictures and labels, lists, emo.names, emo.data, manifest.csv, report.json.
    Pictures are linked, never encoded again. Bad rows are left out, counted and reported.

    \b
    emo convert affectnet --task detector
    emo convert fer2013 fer2013.csv --task classifier
    emo convert fer2013 fer2013.csv --task detector --scenes 8000
    emo convert folder photos --task crops --find yunet --align
    emo convert yolo data/affectnet-detector --classes 1 --out data/faces
    emo convert affectnet --with fer2013=fer2013.csv --task csv --out data/both

    \b
    KIND                                  --task
    affectnet  lists and pictures         detector    a label file per picture;
    fer2013    csv, icml csv or folders               faces become scenes
    ferplus    both csv files             classifier  <split>/<class>/<picture>
    folder     <split>/<class>/<picture>  crops       a PNG per face, likewise
    rafdb      list_patition_label.txt    csv         FER2013's columns
    expw       label.lst                  hdf5        train.h5, val.h5, test.h5
    yolo       a Darknet set, data.yaml   npz         the same for NumPy
    coco       JSON, emotions: categories pickle      the same for Python
    hdf5       what these tasks wrote, or coco        detector's form, COCO JSON
    npz        others with arrays of
    pickle     images (or paths), labels
    """
    from converters.convert import Settings, convert as run, no_effect
    from converters.errors import UsageError

    sources = [(kind, source)]
    for pair in more:
        other, _, path = pair.partition("=")
        sources.append((other, path or None))
    for option in ctx.command.params:
        if options.typed(ctx, option) and (why := no_effect(option.name, task, [name for name, _ in sources])):
            raise UsageError(f"{'/'.join(option.opts + option.secondary_opts)} has no effect here", mend=why)
    out = out or f"data/{'+'.join(name for name, _ in sources)}-{task}"
    find = None
    if settings["find"]:
        from ..systems.face_finders import find_landmarks, open_finder

        finder = open_finder(settings["find"], conf=0.5)

        def find(frame):
            return find_landmarks(finder, frame)

    report = run(
        sources,
        out,
        Settings(task=task, classes=int(classes), **settings),
        jobs=jobs,
        cluster=cluster,
        force=force,
        limit=limit,
        dry_run=dry_run,
        progress=_progress(quiet),
        find=find,
    )
    if as_json:
        import json

        print(json.dumps(report, ensure_ascii=False))
    elif not quiet:
        print(
            summary(report, out) if not dry_run else summary(report, out).rpartition("\n")[0] + "\nnothing was written"
        )


def _progress(quiet):
    """Around the results of chunks, which stand for as many pictures as they wrote or left out."""

    def size(part):
        return sum(map(len, part.entries)) + sum(part.notes.left_out.values())

    return lambda parts, total: going_through(parts, quiet, total, "pictures", size)


def summary(report: dict, out: str) -> str:
    """The report as a table by split and class, then what was left out and why."""
    names = list(report["classes"].values())
    rows = [["", "pictures", "faces", *names]]
    for split, counts in report["splits"].items():
        rows.append([split, counts["pictures"], counts["faces"], *counts["by_class"].values()])
    width = [max(len(str(row[i])) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "  ".join(f"{value!s:>{w}}" if i else f"{value!s:<{w}}" for i, (value, w) in enumerate(zip(row, width)))
        for row in rows
    ]
    for item in report["left_out"]:
        lines.append(f"left out of {item['split'] or 'all'}: {item['rows']} x {item['reason']}")
    whole = [
        finding for finding in report["findings"] if not finding["subset"] and finding["severity"] == "warning"
    ]  # of the output itself
    noted = Counter(report["finding_counts"]) - Counter(finding["code"] for finding in whole)
    left_out = {item["reason"] for item in report["left_out"]}
    lines += [f"noted: {count} x {code}" for code, count in noted.items() if code not in left_out]
    lines += [f"noted: {finding['message']}" for finding in whole]
    if "valid" not in report["splits"]:
        lines.append("no picture is for validation; --valid 0.1 moves a tenth of the people there")
    wrote = {"csv": "/fer2013.csv", "hdf5": "", "npz": "", "pickle": ""}.get(report["task"], "/emo.data")
    return "\n".join([*lines, f"-> {out}{wrote}"])
