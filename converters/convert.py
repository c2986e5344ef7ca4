"""Read, check, split, write, summarise: `convert` turns datasets into one output folder of one form.

Sources come in as (kind, path) pairs; the output holds the pictures with their labels, the lists, `emo.names`,
`emo.data`, `manifest.csv` and `report.json`, which is also what `convert` returns.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from . import boxes, outdir, readers
from .backgrounds import listed
from .darknetfiles import write_data
from .errors import DataError, UsageError, nearest
from .labels import EMOTIONS, class_ids, class_names
from .names import safe_names
from .parallel import chunked_map
from .records import SPLITS, Notes, Table, concat
from .scenes import plan
from .writers import classifier, detector, scenes

CHUNK = 1000  # pictures; fixed, so that the output does not depend on the number of processes
SCENES = 50  # scenes a chunk
SMALL = 8  # chunks of links below which starting processes costs more than doing them all
SAID = 1000  # findings of one code that report.json holds; all are counted
TASKS = ("detector", "classifier")


@dataclass(frozen=True)
class Settings:
    """What shapes the output; written into its report."""

    task: str = "detector"
    classes: int = 7
    link: str = "symlink"  # symlink, hard or copy
    seed: int = 0
    no_face: str = "drop"  # AffectNet's class 10: drop, or keep as pictures without faces
    usage: str | None = None  # FER2013's Usage -> split
    scenes: int | None = None  # composed scenes in all; None: one for every few faces
    size: tuple[int, int] = (416, 416)  # (width, height) of a scene
    backgrounds: str | None = None  # a folder of photographs without faces


def convert(
    sources: list[tuple[str, str | None]], out: str | Path, settings: Settings = Settings(), *, jobs: int | None = None,
    cluster: str | None = None, force: bool = False, limit: int | None = None, progress: Callable = lambda chunks, total: chunks,
) -> dict:  # fmt: skip
    """Write the sources' pictures under `out`; the report. `progress(results, total)` wraps the results as they come.

    EmoError when a source cannot be used, nothing is left, or the output must not be written.
    """
    if settings.task not in TASKS:
        raise UsageError(f"no task '{settings.task}'", mend=nearest(settings.task, TASKS))
    out, notes = Path(out), Notes()
    outdir.check(out, force, [Path(path or readers.KINDS[kind][2]) for kind, path in sources if kind in readers.KINDS])
    table = load(sources, settings, notes)
    if limit:
        table = table.take(np.arange(min(limit, len(table))))
    if not len(table):
        raise DataError("has no row that can be used" + _why(notes), where=sources[0][1] or sources[0][0])
    with outdir.building(out) as work:
        report = _write(table, out, work, settings, notes, jobs, cluster, progress)
        report["sources"] = [{"kind": kind, "path": str(path or readers.KINDS[kind][2])} for kind, path in sources]
        (work / outdir.REPORT).write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    return report


def load(sources: list[tuple[str, str | None]], settings: Settings, notes: Notes) -> Table:
    """All sources as one Table of the wanted classes, a picture once; what is left out is in `notes`."""
    options = asdict(settings)
    table = concat([readers.read(kind, path, notes, **options) for kind, path in sources])
    return chosen(one_row_each(table, notes), settings.classes, notes, whole=settings.task == "detector")


def one_row_each(table: Table, notes: Notes) -> Table:
    """Rows of one picture made one: repeated faces once, faces with two emotions out, a picture in one split only."""
    if len(set(table.image)) == len(table):
        return table
    rows: dict[str, list[int]] = {}
    for index, image in enumerate(table.image):
        if table.pixels is None or table.pixels[index] is None:
            rows.setdefault(image, []).append(index)
    gone, extra = np.zeros(len(table.emotion), bool), {}
    for image, same in rows.items():
        if len(same) < 2:
            continue
        # A picture that is in several splits stays in the last: what is tested on must not be trained on.
        last = max(table.split[same])
        faces = []
        for index in same:
            where = SPLITS[table.split[index]], table.sources[table.source[index]], table.line[index]
            mine = range(table.first[index], table.first[index + 1])
            if table.split[index] != last:
                notes.drop("leak", *where, f"{image}: is in {SPLITS[last]} too")
                gone[mine] = True
                continue
            for face in mine:
                twin = next((other for other in faces if not gone[other] and _same_box(table.xyxy[face], table.xyxy[other])), None)
                if twin is None:
                    faces.append(face)
                    continue
                gone[face] = True
                if table.emotion[twin] == table.emotion[face]:
                    notes.drop("duplicate-row", *where, f"{image}: is listed again with the same face")
                else:
                    gone[twin] = True
                    pair = f"{EMOTIONS[table.emotion[twin]]} and {EMOTIONS[table.emotion[face]]}"
                    notes.drop("conflicting-labels", *where, f"{image}: one face is called {pair}; both rows are left out")
        kept = [index for index in same if table.split[index] == last]
        extra[kept[0]] = kept[1:]
    return _joined(table, gone, extra, {index for same in rows.values() if len(same) > 1 for index in same})


def _same_box(a: np.ndarray, b: np.ndarray) -> bool:
    if np.isnan(a[0]) or np.isnan(b[0]):
        return True
    return np.array_equal(a, b) or boxes.iou(a, b)[0, 0] > 0.5


def _joined(table, gone, extra, touched) -> Table:
    """Move the faces of a picture's later rows to its first; rows left without faces go."""
    order, count, keep = [], [], []
    for index in range(len(table)):
        if index in touched and index not in extra:
            continue
        mine = [face for row in (index, *extra.get(index, ())) for face in range(table.first[row], table.first[row + 1]) if not gone[face]]
        if mine or index not in touched or not any(table.counts[row] for row in (index, *extra[index])):
            keep.append(index)
            order += mine
            count.append(len(mine))
    images = replace(table, first=np.zeros(len(table) + 1, np.int64), xyxy=table.xyxy[:0], emotion=table.emotion[:0],
                     landmarks=None, votes=None).take(np.array(keep, np.int64))  # fmt: skip
    return replace(
        images, first=np.concatenate([[0], np.cumsum(count, dtype=np.int64)]), xyxy=table.xyxy[order], emotion=table.emotion[order],
        landmarks=None if table.landmarks is None else [table.landmarks[face] for face in order],
        votes=None if table.votes is None else table.votes[order],
    )  # fmt: skip


def chosen(table: Table, classes: int, notes: Notes, whole: bool) -> Table:
    """Faces of the wanted classes; with `whole` a picture with any other face goes, since a detector learns from every pixel."""
    wanted = ids_of(classes)[table.emotion] >= 0
    if wanted.all():
        return table
    owner = np.repeat(np.arange(len(table)), table.counts)
    for (split, emotion), rows in Counter(zip(table.split[owner[~wanted]].tolist(), table.emotion[~wanted].tolist())).items():
        notes.count(f"{EMOTIONS[emotion]} is none of the {classes} classes", SPLITS[split], rows)
    if whole:
        bad = np.zeros(len(table), bool)
        bad[owner[~wanted]] = True
        wanted = ~bad[owner]
    return table.with_faces(wanted)


def ids_of(classes: int) -> np.ndarray:
    """(8,) the class id of each of EMOTIONS, -1 for one that the set leaves out."""
    known = class_ids(classes)
    return np.array([known.get(name, -1) for name in EMOTIONS])


def _write(table, out, work, settings, notes, jobs, cluster, progress) -> dict:
    names, final = class_names(settings.classes), os.path.abspath(out)
    ids, labels, prefix = ids_of(settings.classes), None, f"{final}/train/"
    stages, total = [], 0
    if settings.task == "classifier":
        table = _one_face(table, notes)
        labels = classifier.labels_for(names, f"{final}/{'/'.join(SPLITS)}/")
        label_of = {index: labels[i] for index, i in enumerate(ids) if i >= 0}
        prefix += max(labels, key=len) + "/"
        write = partial(_classifier_chunk, labels=label_of, work=work, link=settings.link)
    else:
        write = partial(_detector_chunk, ids=ids, work=work, link=settings.link)
        table, crops = _parted(table)
        if len(crops):
            stages, total = [_scene_stage(crops, ids, work, settings)], 0
            total = sum(len(chunk.splits) for chunk in stages[0][1])
    stems = safe_names(table.name, prefix, labels or ())
    for i, (wished, stem) in enumerate(zip(table.name, stems)):
        if wished != stem:
            notes.note("unsafe-path", "info", SPLITS[table.split[i]], table.sources[table.source[i]], table.line[i], f"{table.image[i]}: is linked as {stem}")
    starts = range(0, len(table), CHUNK)
    stages.insert(0, (write, [(table.chunk(start, start + CHUNK), stems[start : start + CHUNK]) for start in starts], SMALL))
    total += len(table)
    entries, faces = [[] for _ in SPLITS], np.zeros((len(SPLITS), len(EMOTIONS)), np.int64)
    with open(work / "manifest.csv", "w", encoding="utf-8", errors="surrogateescape") as manifest:
        manifest.write(detector.MANIFEST)
        for part in progress(_parts(stages, jobs, cluster), total):
            manifest.writelines(part.manifest)
            notes.extend(part.notes)
            faces += part.faces
            for to, more in zip(entries, part.entries):
                to += more
    if not any(entries):
        raise DataError("none of the pictures can be used" + _why(notes), where=os.path.dirname(table.image[0]))
    _lists(work, final, entries, names, labels)
    return _report(settings, names, entries, faces, notes)


def _parts(stages, jobs, cluster):
    """The results of all stages (function, chunks, chunks from which another process pays), in order."""
    for function, chunks, pays in stages:
        most = max(1, len(chunks) // pays)
        yield from chunked_map(function, chunks, min(jobs or os.cpu_count() or 1, most), cluster)


def _parted(table: Table) -> tuple[Table, Table]:
    """Pictures with boxes (or without faces), and pictures that are one face."""
    owner = np.repeat(np.arange(len(table)), table.counts)
    whole = np.zeros(len(table), bool)
    whole[owner[np.isnan(table.xyxy[:, 0])]] = True
    return table.take(np.flatnonzero(~whole)), table.take(np.flatnonzero(whole))


def _scene_stage(crops: Table, ids, work, settings: Settings):
    photos = listed(settings.backgrounds) if settings.backgrounds else []
    hands = plan(crops.split, settings.scenes, settings.seed)
    chunks = []
    for start in range(0, len(hands), SCENES):
        some = hands[start : start + SCENES]
        faces = crops.take(np.concatenate([hand for _, hand in some]))
        chunks.append(scenes.Scenes(start, [split for split, _ in some], [len(hand) for _, hand in some], faces))
    return partial(scenes.write_chunk, ids=ids, work=work, size_wh=settings.size, seed=settings.seed, photos=photos), chunks, 2


def _detector_chunk(chunk, ids, work, link):
    return detector.write_chunk(*chunk, ids, work, link)


def _classifier_chunk(chunk, labels, work, link):
    return classifier.write_chunk(*chunk, labels, work, link)


def _one_face(table: Table, notes: Notes) -> Table:
    """Only pictures of exactly one face, which is all that a whole picture's class can mean."""
    for i in np.flatnonzero(table.counts != 1).tolist():
        what = "has no face" if table.counts[i] == 0 else f"has {table.counts[i]} faces; --task crops takes each"
        notes.drop("several-faces", SPLITS[table.split[i]], table.sources[table.source[i]], table.line[i], f"{table.image[i]}: {what}")
    return table.take(np.flatnonzero(table.counts == 1))


def _lists(work: Path, final: str, entries, names, labels) -> None:
    """The lists (absolute, so that Darknet finds the pictures from any folder), names and .data."""
    (work / "emo.names").write_text("".join(f"{name}\n" for name in names))
    keys = {}
    for split, paths in zip(SPLITS, entries):
        if paths:
            (work / f"{split}.txt").write_text("".join([f"{final}/{path}\n" for path in paths]))
            keys[split] = f"{final}/{split}.txt"
    if labels:
        (work / "labels.txt").write_text("".join(f"{label}\n" for label in labels))
        keys["labels"] = f"{final}/labels.txt"
    (work / "backup").mkdir()
    write_data(work / "emo.data", classes=len(names), **keys, names=f"{final}/emo.names", backup=f"{final}/backup", top=2 if labels else None)


def _report(settings, names, entries, faces, notes: Notes) -> dict:
    ids = ids_of(settings.classes)
    splits = {}
    for split, paths, counts in zip(SPLITS, entries, faces.tolist()):
        if paths:
            by_class = Counter({name: 0 for name in names})
            for emotion, count in enumerate(counts):
                if ids[emotion] >= 0:
                    by_class[names[ids[emotion]]] += count
            splits[split] = {"pictures": len(paths), "faces": sum(counts), "by_class": dict(by_class)}
    said, counts = [], Counter(finding.code for finding in notes.findings)
    room = Counter()
    for finding in notes.findings:
        room[finding.code] += 1
        if room[finding.code] <= SAID:
            said.append(asdict(finding))
    return {
        "format": 1, "task": settings.task, "classes": dict(enumerate(names)), "settings": asdict(settings), "splits": splits,
        "left_out": [{"split": split, "reason": reason, "rows": rows} for (split, reason), rows in sorted(notes.left_out.items())],
        "finding_counts": dict(sorted(counts.items())), "findings": said,
    }  # fmt: skip


def _why(notes: Notes) -> str:
    """The commonest reason why rows were left out, in brackets."""
    reasons = Counter()
    for (_, reason), rows in notes.left_out.items():
        reasons[reason] += rows
    first = next((finding.message for finding in notes.findings if finding.severity == "error"), "")
    return "".join(f": {rows} x {reason}" for reason, rows in reasons.most_common(1)) + (f", such as {first}" if first else "")
