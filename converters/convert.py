"""Read, check, split, write, summarise: `convert` turns datasets into one output folder of one form.

Sources come in as (kind, path) pairs; the output holds the pictures with their labels, the lists, `emo.names`,
`emo.data`, `manifest.csv` and `report.json`, which is also what `convert` returns.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing, nullcontext
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np

from . import output_folder, readers
from .convert_settings import Settings as Settings
from .darknet_format.dataset import write_lists
from .darknet_format.safe_names import safe_names
from .darknet_format.votes import VOTES
from .emotions import EMOTIONS, class_names
from .errors import DataError, UsageError
from .findings import label_trap, path_problem
from .parallel import chunked_map
from .table.found_faces import Find, with_found
from .table.records import SPLITS, Notes, Table, concat
from .table.selection import boxed_and_whole, chosen, first_of_each, ids_of, one_row_each, set_aside, unspoiled
from .table.usages import usage_map, used_as
from .writers import TASKS, detector, form_of, scenes
from .writers.classifier import labels_for
from .writers.form import Job

LANDMARKS = "landmarks.csv"  # beside crops: path, then x and y of each point in the crop's pixels
# The settings that only some readers take; which of the others count for a form, its `uses` says.
READERS = {
    option: tuple(kind for kind, (_, takes, _) in readers.KINDS.items() if option in takes)
    for option in ("no_face", "labels")
}
SAID = 1000  # findings of one code that report.json holds; all are counted


def convert(
    sources: Sequence[tuple[str, str | None]],
    out: str | Path,
    settings: Settings = Settings(),
    *,
    jobs: int | None = None,
    cluster: str | None = None,
    force: bool = False,
    limit: int | None = None,
    dry_run: bool = False,
    progress: Callable = lambda parts, total: parts,
    find: Find | None = None,
) -> dict:
    """Write the sources' pictures under `out`; the report. `progress(parts, total)` wraps the results as they come;
    `find` finds faces in pictures that have no boxes, and landmarks (see `table.found_faces`).

    EmoError when a source cannot be used, nothing is left, or the output must not be written.
    """
    form = form_of(settings.task)
    form.check(settings)
    if settings.classes == 1 and not form.boxed:
        raise UsageError(
            f"one class, Face, teaches a {settings.task} set nothing",
            mend="it is for finding faces: take --task detector or coco, or 6, 7 or 8 classes",
        )
    out, notes = Path(out), Notes()
    named = [(kind, str(path or readers.default(kind))) for kind, path in sources]
    output_folder.check(out, force, [Path(path) for _, path in named])
    table = load(named, settings, notes, limit, find)
    if not len(table):
        raise DataError("has no row that can be used" + _why(notes), where=named[0][1])
    if not len(table.emotion):
        raise DataError(
            "no face is left" + _why(notes),
            where=named[0][1],
            mend="pictures without faces alone teach a network nothing",
        )
    idle = [f"--{option}" for option in ("size", "scenes", "crowd", "backgrounds") if getattr(settings, option)]
    if form.boxed and idle and not np.isnan(table.xyxy).any():
        notes.note(
            "no-effect",
            "warning",
            "",
            "",
            0,
            (
                f"{' and '.join(idle)}: no face fills its picture, so no scene is composed, and pictures are linked "
                "as they are"
            ),
        )
    if form.sink is None:  # lists hold absolute paths
        final = os.path.abspath(out)
        for code, problem in (
            ("unsafe-path", path_problem(final)),
            ("label-trap", label_trap(final) if form.boxed else None),
        ):
            if problem:
                notes.note(code, "warning", "", final, 0, f"the output's own path {problem}")
    with nullcontext() if dry_run else output_folder.building(out) as work:
        if work is None:
            faces = np.zeros((len(SPLITS), len(EMOTIONS)), np.int64)
            np.add.at(faces, (np.repeat(table.split, table.counts), table.emotion), 1)
            entries = [
                [image for image, at in zip(table.image, table.split) if at == split] for split in range(len(SPLITS))
            ]
            report = _report(settings, entries, faces, notes)
        else:
            report = _write(table, out, work, settings, notes, jobs, cluster, progress)
        report["sources"] = [{"kind": kind, "path": path} for kind, path in named]
        if work is not None:
            (work / output_folder.REPORT).write_text(
                json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8", errors="backslashreplace"
            )
    return report


def no_effect(option: str, task: str, kinds: list[str]) -> str | None:
    """Where `option`, a field of Settings, counts, when it does not for a `task` from datasets of these `kinds`;
    else None.
    """
    using = [name for name in TASKS if option in form_of(name).uses]
    if using and task not in using:
        return f"only --task {' or '.join(using)} uses it"
    if option in READERS and not set(READERS[option]) & set(kinds):
        return f"only {' and '.join(READERS[option])} {'has' if len(READERS[option]) == 1 else 'have'} it"
    return None


def load(
    sources: Sequence[tuple[str, str | None]],
    settings: Settings,
    notes: Notes,
    limit: int | None = None,
    find: Find | None = None,
) -> Table:
    """All sources as one Table of the wanted classes, a picture once; what is left out is in `notes`.

    `limit`: only the first so many pictures of each split of each source.
    """
    form = form_of(settings.task)
    options = asdict(settings) | {"landmarks": settings.align or form.landmarks}
    usage_map(settings.usage)  # a mistake in it is reported before the long read
    tables = [readers.read(kind, path, notes, **options) for kind, path in sources]
    tables = used_as(tables, settings.usage, notes)
    table = one_row_each(concat(tables), notes)
    table = chosen(unspoiled(table, notes, whole=form.boxed), settings.classes, notes, whole=form.boxed)
    table = set_aside(table, settings.valid, settings.seed) if settings.valid else table
    if limit:
        dataset = np.repeat(np.arange(len(tables)), [len(one.sources) for one in tables])[table.source]
        table = first_of_each(table, dataset, limit, notes)
    table = with_found(table, find, notes, settings.align or form.landmarks) if find else table
    if settings.align and table.landmarks is None:
        why = "neither the dataset nor --find gives landmarks, so no face is turned; --find yunet and dlib give them"
        notes.note("no-effect", "warning", "", "", 0, f"--align: {why}")
    return table


def _write(table: Table, out: Path, work: Path, settings: Settings, notes: Notes, jobs, cluster, progress) -> dict:
    """Run the form's stages over the table, in chunks, and write what stands beside the pictures."""
    form, names, final = form_of(settings.task), class_names(settings.classes), os.path.abspath(out)
    labels = labels_for(names, f"{final}/{'/'.join(SPLITS)}/") if form.label_in_path else None
    job = Job(settings, names, ids_of(settings.classes), labels, work)
    table, whole = boxed_and_whole(table) if form.boxed else (form.rows(table, notes), None)
    main = form.stage(job)
    stages: list[tuple[Callable, list, int]] = []
    if whole is not None and len(whole):
        stages.append(scenes.stage(whole, job, notes))
    stems = safe_names(table.name, f"{final}/train/" + (max(labels, key=len) + "/" if labels else ""), labels or ())
    for i, (wished, stem) in enumerate(zip(table.name, stems) if stems is not table.name else ()):
        if wished != stem:
            notes.note(
                "unsafe-path",
                "info",
                SPLITS[table.split[i]],
                table.sources[table.source[i]],
                table.line[i],
                f"{table.image[i]}: is named {stem}",
            )
    many = main.many
    chunks = [(table.chunk(start, start + many), stems[start : start + many]) for start in range(0, len(table), many)]
    stages.insert(0, (partial(_unpacked, main.write), chunks, main.pays))
    total = len(table) + sum(len(chunk.splits) for _, some, _ in stages[1:] for chunk in some)
    entries: list[list[str]] = [[] for _ in SPLITS]
    faces = np.zeros((len(SPLITS), len(EMOTIONS)), np.int64)
    votes: list[str] = []
    landmarks: list[str] = []
    sink = form.sink(job, table) if form.sink else None
    with (
        open(work / "manifest.csv", "w", encoding="utf-8", errors="surrogateescape") as manifest,
        closing(sink) if sink else nullcontext(),
    ):
        manifest.write(detector.MANIFEST)
        for part in progress(_parts(stages, jobs, cluster), total):
            manifest.writelines(part.manifest)
            notes.extend(part.notes)
            faces += part.faces
            votes += part.votes
            landmarks += part.landmark_rows
            for to, more in zip(entries, part.entries):
                to += more
            if sink:
                sink.add(part)
        if sink:
            sink.finish()
    if not any(entries):
        raise DataError(
            "none of the pictures can be used" + _why(notes),
            where=os.path.dirname(table.image[0]) if len(table) else out,
        )
    if not sink:
        lists = {split: [f"{final}/{path}" for path in paths] for split, paths in zip(SPLITS, entries) if paths}
        if votes:
            (work / VOTES).write_text(
                f"path,{','.join(names)}\n" + "".join(votes), encoding="utf-8", errors="surrogateescape"
            )
        if landmarks:
            count = max(line.count(",") for line in landmarks) // 2
            (work / LANDMARKS).write_text(
                f"path,{','.join(f'x{i},y{i}' for i in range(count))}\n" + "".join(landmarks),
                encoding="utf-8",
                errors="surrogateescape",
            )
        write_lists(
            work, final, lists, names, labels, **({"top": 2} if labels else {}), **({"votes": VOTES} if votes else {})
        )
    form.finish(work, names)
    return _report(settings, entries, faces, notes)


def _unpacked(write, chunk):
    return write(*chunk)


def _parts(stages, jobs, cluster):
    """The results of all stages (function, chunks, chunks from which another process pays), in order."""
    for function, chunks, pays in stages:
        most = max(1, len(chunks) // pays)
        yield from chunked_map(function, chunks, min(jobs or os.cpu_count() or 1, most), cluster)


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
        "format": 1,
        "task": settings.task,
        "classes": dict(enumerate(names)),
        "settings": asdict(settings),
        "splits": splits,
        "left_out": [
            {"split": split, "reason": reason, "rows": rows} for (split, reason), rows in sorted(notes.left_out.items())
        ],
        "finding_counts": dict(sorted(counts.items())),
        "findings": said,
    }


def _why(notes: Notes) -> str:
    """The commonest reason why rows were left out, and an example."""
    reasons: Counter[str] = Counter()
    for (_, reason), rows in notes.left_out.items():
        reasons[reason] += rows
    first = next((finding.message for finding in notes.findings if finding.severity == "error"), "")
    return "".join(f": {rows} x {reason}" for reason, rows in reasons.most_common(1)) + (
        f", such as {first}" if first else ""
    )
