"""One or more models or systems on a labelled set: what `emo evaluate` does.

    result = evaluate(["emo-s"], "data/fer2013-classifier/emo.data", settings=Settings(split="test"))
    result["models"][0]["accuracy"], result["models"][0]["macro_f1"]

A classifier gets pictures, or labelled faces cut out of them; a detector must find the faces first, and those that it
misses count as errors (see `judge`). All figures have 95% intervals from the same resamples of the people or sources
that the manifest names, else of the pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from converters import output_folder
from converters.darknet_format.files import read_data
from converters.darknet_format.open_set import open_set
from converters.errors import EmoError, UsageError
from darknet_runner.run.folder import RunDir

from ..systems import models
from ..version import __version__
from . import bootstrap, box_intervals, classification, detection, evaluation_files
from .contestant import cost
from .judge import Judgement, judge
from .labels import labels_of, plain
from .provenance import provenance
from .settings import USUAL, Settings
from .split_use import use_of
from .tally import MATCH_IOU
from .tta import AugmentedClassifier
from .units import Units, units_of


def evaluate(
    specs: Sequence[str],
    data: str | Path | None = None,
    *,
    out: str | Path | None = None,
    settings: Settings = USUAL,
    tta: str | int | None = None,
    top: int | None = None,
    force: bool = False,
    progress: Callable[[int, int | None], None] | None = None,
) -> dict:
    """Measure each of `specs` (see `systems.open_subject`) on a split of `data`, and write report.json and its files to
    `out`.

    data   any form that `open_set` takes; None: the data of the first run, else the set under ./data that fits
    tta    `tencrop`, or how many random views a face is looked at in
    top    k of top-k; None as the .data file says
    Returns what report.json holds, and `files`. Raises EmoError for a model, set or picture that cannot be used.
    """
    if not specs:
        raise UsageError("no model is named", mend="emo evaluate MODEL")
    for spec in specs:
        if spec.startswith("file:"):
            raise UsageError(f"'{spec}' holds results, not a model", mend=f"emo compare yolo vs {spec} --data ...")
    split, conf, limit = settings.split, settings.conf, settings.limit
    replicates, seed = settings.replicates, settings.seed
    subjects = [settings.open_weak(spec) for spec in specs]
    labelled = read_data(data_for(subjects, specs)) if data is None else open_set(data)
    top = top or max(labelled.top, 2)
    labels = labels_of(specs)
    out = Path(out) if out else output_folder.free(default_out(labels), force)
    output_folder.check(out, force, [])
    told, counts, of_boxes = [], [], []
    units = units_of(labelled, split, limit)
    pictures = len(units.pictures)
    with output_folder.building(out) as work:
        for index, (label, spec, subject) in enumerate(zip(labels, specs, subjects)):
            seen = augmented(subject, tta, seed)
            judged = judge(
                seen,
                labelled,
                split,
                conf=conf,
                limit=limit,
                progress=progress and (lambda done, label=label: progress(done, pictures)),
            )
            found = classification.figures(judged.said, top)
            model = model_of(subject)
            told.append(
                {"model": label, "spec": spec, "kind": subject.name if hasattr(subject, "detect") else "classifier"}
                | found
                | {
                    "extra": judged.extra,
                    "ms_per_picture": round(1000 * judged.seconds / max(pictures, 1), 2),
                    "split_use": use_of(model, labelled, split),
                }
                | {"model_settings": settings_of(subject, tta, seed)}
                | provenance(model)
                | {"megabytes": cost(subject)["megabytes"]}
                | detector_part(judged, labelled.names, conf)
            )
            counts.append(classification.counts_of(judged.said, units.of_faces(judged.picture), units.cells, top))
            of_boxes.append(box_counter(judged, units, labelled.classes, conf) if replicates else None)
            evaluation_files.write(
                work if len(specs) == 1 else work / folder_name(index, labels), told[-1], judged, labelled, split, limit
            )
        result = {
            "format": 1,
            "program": "emo",
            "version": __version__,
            "subject": {
                "data": str(labelled.path),
                "split": split,
                "pictures": pictures,
                "names": list(labelled.names),
                "task": "classifier" if labelled.is_classifier else "detector",
            },
            "settings": {
                "conf": conf,
                "match_iou": MATCH_IOU,
                "nms_iou": settings.iou,
                "top": top,
                "tta": tta,
                "limit": limit,
                "averages": "over the classes that occur",
            },
            "models": told,
            "significance": significance(counts, of_boxes, judged, units, replicates, seed),
        }
        evaluation_files.write_summary(work, result)
    return result | {"files": sorted(str(path) for path in out.rglob("[!.]*") if path.is_file())}


def detector_part(judged: Judgement, names: Sequence[str], conf: float) -> dict:
    """Of a detector on a set with boxes: its figures as a detector, faces by size, and what the extra faces were
    called.
    """
    if judged.tally is None or judged.boxes is None or judged.sizes_wh is None:
        return {}
    return {
        "detector": detection.detection_figures(
            judged.boxes, judged.tally.truths, judged.sizes_wh, names, conf, MATCH_IOU
        ),
        "sizes": judged.tally.sizes(),
        "background": judged.tally.extra_per_class.tolist(),
    }


def augmented(subject: Any, tta: str | int | None, seed: int) -> Any:
    """The subject looking through test-time augmentation; UsageError for one that has no classifier."""
    if tta is None:
        return subject
    if not hasattr(subject, "detect"):
        return AugmentedClassifier(subject, tta, seed)
    if hasattr(subject, "classifier"):
        subject.classifier = AugmentedClassifier(subject.classifier, tta, seed)
        return subject
    raise UsageError(
        f"--tta {tta}: a one-stage detector has no crops to look at again",
        mend="leave it out, or take a classifier or two-stage",
    )


def model_of(subject: Any) -> models.Model:
    """The model that names the emotions."""
    return subject.classifier.model if hasattr(subject, "classifier") else subject.model


def settings_of(subject: Any, tta: str | int | None, seed: int) -> dict:
    if hasattr(subject, "settings"):
        found = dict(subject.settings)
    else:
        found = {"model": subject.model.describe(), "backend": subject.backend.name}
    return found | ({"tta": tta} | ({"seed": seed} if tta != "tencrop" else {}) if tta is not None else {})


def data_for(subjects: Sequence[Any], specs: Sequence[str]) -> Path:
    """The set that is meant when none is named: of the first model that is a run, else the one under ./data of the
    task.
    """
    for subject in subjects:
        run = RunDir(model_of(subject).folder)
        if (run.path / "run.json").is_file() and Path(named := run.read_json().get("data") or "").is_file():
            return Path(named)
    wants_pictures = not hasattr(subjects[0], "detect")
    fitting = []
    for path in sorted({*Path("data").glob("*.data"), *Path("data").glob("*/*.data")}):
        try:
            if read_data(path).is_classifier == wants_pictures:
                fitting.append(path)
        except EmoError:
            continue
    if len(fitting) == 1:
        return fitting[0]
    listed = ", ".join(map(str, fitting)) or "none"
    raise UsageError(f"no set is named; those under ./data that fit {specs[0]}: {listed}", mend="give --data FILE.data")


def box_counter(judged: Judgement, units: Units, classes: int, conf: float) -> bootstrap.Count | None:
    """Counts a detector's figures again; None of another model."""
    if judged.tally is None or judged.boxes is None:
        return None
    evidence = box_intervals.box_evidence(judged.boxes, judged.tally.truths, classes, units, conf, MATCH_IOU)
    return partial(box_intervals.figures, evidence)


def of_none(copies: np.ndarray, whole: dict | None) -> dict[str, np.ndarray]:
    return dict.fromkeys(box_intervals.FIGURES, np.full(copies.shape[1], np.nan))


def significance(
    counts: Sequence[classification.Counts],
    of_boxes: Sequence[bootstrap.Count | None],
    judged: Judgement,
    units: Units,
    replicates: int,
    seed: int,
) -> dict:
    """Intervals of each model and differences of each two, on the same resamples."""
    said, found = judged.said, None
    occurs = np.zeros((units.cells, len(said.names)), int)
    np.add.at(occurs, (units.of_faces(judged.picture), said.truth), 1)
    scarce = bootstrap.scarce(occurs, units)
    if replicates:
        counters: list[bootstrap.Count] = [partial(classification.resampled, mine) for mine in counts]
        unsure: Sequence[str] = classification.OVER_CLASSES if scarce else ()
        found = bootstrap.intervals(counters, units, classification.FIGURES, replicates, seed, unsure)
        if found and any(of_boxes):
            counters = [counter or of_none for counter in of_boxes]
            unsure = box_intervals.OVER_CLASSES if scarce else ()
            found |= bootstrap.intervals(counters, units, box_intervals.FIGURES, replicates, seed, unsure) or {}
    return {
        "replicates": replicates,
        "seed": seed,
        "level": bootstrap.LEVEL,
        "unit": units.kind,
        "units": units.count,
        "scarce": {said.names[class_id]: count for class_id, count in scarce.items()},
        "figures": found,
    }


def folder_name(index: int, labels: Sequence[str]) -> str:
    mine = plain(labels[index])
    return mine if [plain(label) for label in labels].count(mine) == 1 else f"{mine}-{index + 1}"


def default_out(labels: Sequence[str]) -> Path:
    name = (
        plain(labels[0])
        if len(labels) == 1
        else "-and-".join(map(plain, labels[:3])) + ("-and-more" if len(labels) > 3 else "")
    )
    return Path("evaluate-out") / name
