"""Read, check, split, write, summarise: `convert` turns datasets into one output folder of one form.

Sources come in as (kind, path) pairs; the output holds the pictures with their labels, the lists, `emo.names`,
`emo.data`, `manifest.csv` and `report.json`, which is also what `convert` returns.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable
from contextlib import closing, nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np

from . import output_folder, readers
from .darknet_format.dataset import write_lists
from .darknet_format.safe_names import safe_names
from .emotions import EMOTIONS, class_names
from .errors import DataError, UsageError, nearest
from .face_crops import Look
from .findings import label_trap, path_problem
from .parallel import chunked_map
from .synthesis.backgrounds import listed
from .synthesis.scenes import plan
from .table.records import SPLITS, Notes, Table, concat
from .table.selection import boxed_and_whole, chosen, ids_of, one_face_only, one_row_each, set_aside, unspoiled
from .writers import arrays, classifier, coco, crops, detector, scenes

ARRAYS = ("hdf5", "npz", "pickle")
TASKS = ("detector", "classifier", "crops", "csv", *ARRAYS, "coco")
SIZES = {"crops": (96, 96), "csv": (48, 48)} | dict.fromkeys(ARRAYS, (48, 48))  # (width, height) of a crop; 48 is FER2013's
SCENE_SIZE = (416, 416)
VOTES = "votes.csv"  # beside a classifier's lists: path, then the share of each class
# Pictures a chunk, and chunks from which another process pays. The chunks are fixed, so that the output
# does not depend on the number of processes.
LINKS, CUTS, SCENES = (2000, 4), (100, 4), (50, 2)
BOXED, CUT = ("detector", "coco"), ("crops", "csv", *ARRAYS)
# The settings that only some forms use, or only some readers take (see `readers.KINDS`); all others count everywhere.
FORMS = {
    "no_face": BOXED, "scenes": BOXED, "backgrounds": BOXED, "size": (*BOXED, *CUT), "link": (*BOXED, "classifier"),
    "enlarge": CUT, "align": CUT, "grey": CUT,
}  # fmt: skip
READERS = {option: tuple(kind for kind, (_, takes, _) in readers.KINDS.items() if option in takes) for option in ("no_face", "usage", "labels")}
SAID = 1000  # findings of one code that report.json holds; all are counted


@dataclass(frozen=True)
class Settings:
    """What shapes the output; written into its report."""

    task: str = "detector"
    classes: int = 7
    link: str = "hard"  # hard (where the file system cannot: symlink), symlink or copy
    seed: int = 0
    valid: float = 0.0  # share of the training groups (people, sources) to set aside for validation
    verify: bool = False  # decode every picture that is linked
    no_face: str = "drop"  # AffectNet's class 10: drop, or keep as pictures without faces
    usage: str | None = None  # FER2013's Usage -> split
    labels: str = "majority"  # FER+: majority, votes or fer2013
    size: tuple[int, int] | None = None  # (width, height) of a scene or crop; None: the form's own
    scenes: int | None = None  # composed scenes in all; None: one for every few faces
    backgrounds: str | None = None  # a folder of photographs without faces
    enlarge: float = 1.0  # crops: factor about the box
    align: bool = False  # crops: turn until the eyes are level, where landmarks say where they are
    grey: bool | None = None  # crops: grey or colour; None: colour, but grey for csv and arrays


def convert(
    sources: list[tuple[str, str | None]], out: str | Path, settings: Settings = Settings(), *, jobs: int | None = None,
    cluster: str | None = None, force: bool = False, limit: int | None = None, dry_run: bool = False,
    progress: Callable = lambda parts, total: parts,
) -> dict:  # fmt: skip
    """Write the sources' pictures under `out`; the report. `progress(parts, total)` wraps the results as they come.

    EmoError when a source cannot be used, nothing is left, or the output must not be written.
    """
    if settings.task not in TASKS:
        raise UsageError(f"no task '{settings.task}'", mend=nearest(settings.task, TASKS))
    if settings.task == "csv" and settings.grey is False:
        raise UsageError("FER2013's csv holds grey pictures only", mend="--task crops, hdf5, npz and pickle keep colour")
    out, notes = Path(out), Notes()
    sources = [(kind, str(path or readers.default(kind))) for kind, path in sources]
    output_folder.check(out, force, [Path(path) for _, path in sources])
    table = load(sources, settings, notes)
    if limit:
        table = table.take(np.arange(min(limit, len(table))))
    if not len(table):
        raise DataError("has no row that can be used" + _why(notes), where=sources[0][1])
    if not len(table.emotion):
        raise DataError("no face is left" + _why(notes), where=sources[0][1], mend="pictures without faces alone teach a network nothing")
    idle = [f"--{option}" for option in ("size", "scenes", "backgrounds") if getattr(settings, option)]
    if settings.task in BOXED and idle and not np.isnan(table.xyxy).any():
        notes.note("no-effect", "warning", "", "", 0, f"{' and '.join(idle)}: no face fills its picture, so no scene is composed, and pictures are linked as they are")
    if settings.task not in ("csv", *ARRAYS):  # lists hold absolute paths
        final = os.path.abspath(out)
        for code, problem in (("unsafe-path", path_problem(final)), ("label-trap", label_trap(final) if settings.task in BOXED else None)):
            if problem:
                notes.note(code, "warning", "", final, 0, f"the output's own path {problem}")
    with nullcontext() if dry_run else output_folder.building(out) as work:
        if dry_run:
            faces = np.zeros((len(SPLITS), len(EMOTIONS)), np.int64)
            np.add.at(faces, (np.repeat(table.split, table.counts), table.emotion), 1)
            entries = [[image for image, at in zip(table.image, table.split) if at == split] for split in range(len(SPLITS))]
            report = _report(settings, entries, faces, notes)
        else:
            report = _write(table, out, work, settings, notes, jobs, cluster, progress)
        report["sources"] = [{"kind": kind, "path": path} for kind, path in sources]
        if not dry_run:
            (work / output_folder.REPORT).write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8", errors="backslashreplace")
    return report


def no_effect(option: str, task: str, kinds: list[str]) -> str | None:
    """Where `option`, a field of Settings, counts, when it does not for a `task` from datasets of these `kinds`; else None."""
    if task not in FORMS.get(option, TASKS):
        return f"only --task {' or '.join(FORMS[option])} uses it"
    if option in READERS and not set(READERS[option]) & set(kinds):
        return f"only {' and '.join(READERS[option])} {'has' if len(READERS[option]) == 1 else 'have'} it"
    return None


def load(sources: list[tuple[str, str | None]], settings: Settings, notes: Notes) -> Table:
    """All sources as one Table of the wanted classes, a picture once; what is left out is in `notes`."""
    options = asdict(settings) | {"landmarks": settings.align or settings.task in ARRAYS}
    table = one_row_each(concat([readers.read(kind, path, notes, **options) for kind, path in sources]), notes)
    table = chosen(unspoiled(table, notes, whole=settings.task in BOXED), settings.classes, notes, whole=settings.task in BOXED)
    return set_aside(table, settings.valid, settings.seed) if settings.valid else table


def _write(table, out, work, settings: Settings, notes: Notes, jobs, cluster, progress) -> dict:
    """Run the form's stages over the table, in chunks, and write what stands beside the pictures."""
    names, final, task = class_names(settings.classes), os.path.abspath(out), settings.task
    ids, labels, sink, stages = ids_of(settings.classes), None, None, []
    if task in ("classifier", "crops"):
        labels = classifier.labels_for(names, f"{final}/{'/'.join(SPLITS)}/")
    label_of = {emotion: (labels or names)[i] for emotion, i in enumerate(ids.tolist()) if i >= 0}
    if task in BOXED:
        table, whole = boxed_and_whole(table)
        if len(whole):
            stages.append(_scene_stage(whole, ids, work, settings, notes))
        write = partial(detector.write_chunk, ids=ids, work=work, link=settings.link, verify=settings.verify)
    elif task == "classifier":
        table = one_face_only(table, notes)
        write = partial(classifier.write_chunk, labels=label_of, ids=ids, work=work, link=settings.link, verify=settings.verify)
    else:
        grey = task in ("csv", *ARRAYS) if settings.grey is None else settings.grey
        look = Look(settings.size or SIZES[task], grey, settings.enlarge, settings.align)
        write = partial(crops.write_chunk, form=task, look=look, ids=ids, labels=label_of, work=work)
        sink = crops.CsvSink(work) if task == "csv" else arrays.ArraySink(task, work, names, ids, _points(table)) if task in ARRAYS else None
    stems = safe_names(table.name, f"{final}/train/" + (max(labels, key=len) + "/" if labels else ""), labels or ())
    for i, (wished, stem) in enumerate(zip(table.name, stems) if stems is not table.name else ()):
        if wished != stem:
            notes.note("unsafe-path", "info", SPLITS[table.split[i]], table.sources[table.source[i]], table.line[i], f"{table.image[i]}: is named {stem}")
    size, pays = CUTS if task in CUT else LINKS
    chunks = [(table.chunk(start, start + size), stems[start : start + size]) for start in range(0, len(table), size)]
    stages.insert(0, (partial(_unpacked, write), chunks, pays))
    total = len(table) + sum(len(chunk.splits) for _, some, _ in stages[1:] for chunk in some)
    entries, faces, votes = [[] for _ in SPLITS], np.zeros((len(SPLITS), len(EMOTIONS)), np.int64), []
    with open(work / "manifest.csv", "w", encoding="utf-8", errors="surrogateescape") as manifest, closing(sink) if sink else nullcontext():
        manifest.write(detector.MANIFEST)
        for part in progress(_parts(stages, jobs, cluster), total):
            manifest.writelines(part.manifest)
            notes.extend(part.notes)
            faces += part.faces
            votes += part.votes
            for to, more in zip(entries, part.entries):
                to += more
            if sink:
                sink.add(part)
        if sink:
            sink.finish()
    if not any(entries):
        raise DataError("none of the pictures can be used" + _why(notes), where=os.path.dirname(table.image[0]) if len(table) else out)
    if not sink:
        lists = {split: [f"{final}/{path}" for path in paths] for split, paths in zip(SPLITS, entries) if paths}
        if votes:
            (work / VOTES).write_text(f"path,{','.join(names)}\n" + "".join(votes), encoding="utf-8", errors="surrogateescape")
        write_lists(work, final, lists, names, labels, **({"top": 2} if labels else {}), **({"votes": VOTES} if votes else {}))
    if task == "coco":
        coco.write(work, names)
    return _report(settings, entries, faces, notes)


def _points(table: Table) -> int:
    """Landmarks a face, the most that any has."""
    return max((len(points) for points in table.landmarks or () if points is not None), default=0)


def _unpacked(write, chunk):
    return write(*chunk)


def _parts(stages, jobs, cluster):
    """The results of all stages (function, chunks, chunks from which another process pays), in order."""
    for function, chunks, pays in stages:
        most = max(1, len(chunks) // pays)
        yield from chunked_map(function, chunks, min(jobs or os.cpu_count() or 1, most), cluster)


def _scene_stage(whole: Table, ids, work, settings: Settings, notes: Notes):
    photos = listed(settings.backgrounds) if settings.backgrounds else []
    _, good = classifier.usable(whole, notes, settings.verify)  # before they are dealt, so that a bad one is told once
    whole = whole.take(np.flatnonzero(good))
    hands, (many, pays) = plan(whole.split, settings.scenes, settings.seed), SCENES
    chunks = []
    for start in range(0, len(hands), many):
        some = hands[start : start + many]
        faces = whole.take(np.concatenate([hand for _, hand in some]))
        chunks.append(scenes.Scenes(start, [split for split, _ in some], [len(hand) for _, hand in some], faces))
    draw = partial(scenes.write_chunk, ids=ids, work=work, size_wh=settings.size or SCENE_SIZE, seed=settings.seed, photos=photos)
    return draw, chunks, pays


def _report(settings: Settings, entries, faces, notes: Notes) -> dict:
    names, ids = class_names(settings.classes), ids_of(settings.classes)
    splits = {}
    for split, paths, counts in zip(SPLITS, entries, faces.tolist()):
        if paths:
            by_class = dict.fromkeys(names, 0)
            for emotion, count in enumerate(counts):
                if ids[emotion] >= 0:
                    by_class[names[ids[emotion]]] += count
            splits[split] = {"pictures": len(paths), "faces": sum(counts), "by_class": by_class}
    said, counts = [], Counter()
    for finding in notes.findings:
        counts[finding.code] += 1
        if counts[finding.code] <= SAID:
            said.append(asdict(finding))
    return {
        "format": 1, "task": settings.task, "classes": dict(enumerate(names)), "settings": asdict(settings), "splits": splits,
        "left_out": [{"split": split, "reason": reason, "rows": rows} for (split, reason), rows in sorted(notes.left_out.items())],
        "finding_counts": dict(sorted(counts.items())), "findings": said,
    }  # fmt: skip


def _why(notes: Notes) -> str:
    """The commonest reason why rows were left out, and an example."""
    reasons = Counter()
    for (_, reason), rows in notes.left_out.items():
        reasons[reason] += rows
    first = next((finding.message for finding in notes.findings if finding.severity == "error"), "")
    return "".join(f": {rows} x {reason}" for reason, rows in reasons.most_common(1)) + (f", such as {first}" if first else "")
