"""An evaluation in words: the class table of one model, the table over several, and what limits their figures."""

from __future__ import annotations

import textwrap

from . import box_intervals, tables
from .bootstrap import FEWEST
from .split_use import CHOSEN, TRAINED
from .wording import DRAWN, NONE_SHOWN, TOO_FEW, UNITS

SAID = {
    "map": "mAP@0.5",
    "ap": "mAP@.5:.95",
    "accuracy": "accuracy",
    "top_k": "top-{k}",
    "macro_f1": "macro-F1",
    "weighted_f1": "weighted F1",
    "ece": "calibration error",
    "macro_precision": "macro precision",
    "macro_recall": "macro recall",
    "weighted_precision": "weighted precision",
    "weighted_recall": "weighted recall",
}
FEWER = ("ece",)  # of which less is better


def percent(value: float | None, digits: int = 1) -> str:
    return "–" if value is None else f"{100 * value:.{digits}f}%"


def span(result: dict, name: str, index: int) -> str:
    """`62.5 to 65.6` of a model's figure; empty without intervals."""
    found = (result["significance"]["figures"] or {}).get(name)
    if not found or found["systems"][index]["low"] is None:
        return ""
    return " to ".join(f"{100 * found['systems'][index][end]:.1f}" for end in ("low", "high"))


def table_of(result: dict) -> tuple[list[str], list[list[str]]]:
    """Head and rows of the table over the models, a row a model; without intervals their columns are left out."""
    models, detects = result["models"], any("detector" in told for told in result["models"])
    misses = any(told["kind"] != "classifier" for told in models)
    columns = {"model": [told["model"] for told in models]}
    if detects:
        figures = [told.get("detector") for told in models]
        columns |= {
            "mAP@0.5": [figure and percent(figure["map"]) for figure in figures],
            "mAP 95%": [span(result, "map", index) for index in range(len(models))],
            "P": [figure and percent(figure["precision"]) for figure in figures],
            "R": [figure and percent(figure["recall"]) for figure in figures],
            "F1": [figure and percent(figure["f1"]) for figure in figures],
            "mAP@.5:.95": [figure and percent(figure["coco"]["ap"]) for figure in figures],
        }
    columns |= {
        "accuracy": [percent(told["accuracy"]) for told in models],
        "accuracy 95%": [span(result, "accuracy", index) for index in range(len(models))],
    }
    if not detects:
        columns |= {f"top-{models[0]['k']}": [percent(told["top_k"]) for told in models]}
    columns |= {"macro-F1": [percent(told["macro_f1"]) for told in models]}
    if not detects:
        columns |= {
            "macro-F1 95%": [span(result, "macro_f1", index) for index in range(len(models))],
            "weighted F1": [percent(told["weighted_f1"]) for told in models],
        }
    columns |= {"calibration error": [percent(told["calibration"]["ece"]) for told in models]}
    if misses:
        columns |= {"missed": [f"{told['missed']} of {told['faces']}" for told in models]}
    columns |= {
        "input": ["x".join(map(str, told["input"])) for told in models],
        "size": [f"{told['megabytes']:.1f} MB" for told in models],
        "ms a picture": [f"{told['ms_per_picture']:.1f}" for told in models],
        "pretrained from": [told["pretrained"] for told in models],
        "iterations": [told["iterations"] and str(told["iterations"]) for told in models],
    }
    kept = [
        (head, [value or "–" for value in values])
        for head, values in columns.items()
        if any(values) or not head.endswith("95%")
    ]
    return [head for head, _ in kept], [list(row) for row in zip(*(values for _, values in kept))]


def text(result: dict, form: str | None = None) -> str:
    """For a terminal: the class table of a single model, else a row a model; `form` asks for the table alone, in
    that form.
    """
    if form:
        return tables.render(*table_of(result), form)
    subject, models = result["subject"], result["models"]
    lines = [
        f"{subject['pictures']} pictures, {models[0]['faces']} faces: split {subject['split']} of {subject['data']}",
        "",
    ]
    lines += [one(result)] if len(models) == 1 else [tables.render(*table_of(result))]
    return "\n".join(
        lines
        + [""]
        + [
            textwrap.fill(f"- {line}", 118, subsequent_indent="  ", break_on_hyphens=False, break_long_words=False)
            for line in sentences(result)
        ]
    )


def one(result: dict) -> str:
    """The class table, the averages and their intervals."""
    (told,) = result["models"]
    head, rows = ["", "precision", "recall", "F1", "faces"], []
    for name, row in told["classes"].items():
        rows.append([name, *(percent(row[key]) for key in ("precision", "recall", "f1")), str(row["support"])])
    for kind in ("macro", "weighted"):
        rows.append(
            [
                f"{kind} average",
                *(percent(told[f"{kind}_{key}"]) for key in ("precision", "recall", "f1")),
                str(told["faces"]),
            ]
        )
    figures = [["", told["model"], "95% interval"]]
    for name in ("accuracy", "top_k", "macro_f1", "weighted_f1", "ece"):
        value = told["calibration"]["ece"] if name == "ece" else told[name]
        figures.append([SAID[name].format(k=told["k"]), percent(value), span(result, name, 0)])
    parts = [tables.render(head, rows), tables.render(figures[0], figures[1:])]
    if "detector" not in told:
        return "\n\n".join(parts)
    return "\n\n".join(
        [
            "BOXES, with a score for each emotion",
            *detector(result),
            "EMOTIONS of the labelled faces, a missed face being an error",
            *parts,
        ]
    )


def detector(result: dict) -> list[str]:
    """The detector's figures: by class, in all, and by size."""
    (told,) = result["models"]
    found = told["detector"]
    head = ["", "faces", "AP@0.5", "AP@.5:.95", "best F1", "at confidence"]
    rows = []
    for name, row in found["classes"].items():
        at = "–" if row["best_conf"] is None else f"{row['best_conf']:.2f}"
        rows.append(
            [name, str(row["truths"]), percent(row["ap"]), percent(row["coco_ap"]), percent(row["best_f1"]), at]
        )
    coco = found["coco"]
    ci = {name: f" ({said})" if (said := span(result, name, 0)) else "" for name in box_intervals.FIGURES}
    lines = [
        (
            f"mAP@{found['iou']:g} {percent(found['map'], 2)}{ci['map']} over the classes with faces "
            f"({percent(found['map_darknet'], 2)} over all); by 11 points {percent(found['map_11'], 2)}, by 101 "
            f"{percent(found['map_101'], 2)}"
        ),
        (
            f"at confidence {found['conf']:g}: P {percent(found['precision'])}{ci['precision']}, R "
            f"{percent(found['recall'])}{ci['recall']}, F1 {percent(found['f1'])}{ci['f1']}, TP {found['tp']}, FP "
            f"{found['fp']}, FN {found['fn']}, average IoU {percent(found['mean_iou'])}"
        ),
        (
            f"COCO: mAP@.5:.95 {percent(coco['ap'])}{ci['ap']}, AP50 {percent(coco['ap50'])}{ci['ap50']}, "
            f"AP75 {percent(coco['ap75'])}{ci['ap75']}"
        ),
        (
            f"      AR1 {percent(coco['ar1'])}{ci['ar1']}, AR10 {percent(coco['ar10'])}{ci['ar10']}, "
            f"AR100 {percent(coco['ar100'])}{ci['ar100']}"
        ),
    ]
    sizes = [
        [
            f"{row['from_px']} px and more" if row["to_px"] is None else f"{row['from_px']} to {row['to_px']} px",
            str(row["faces"]),
            str(row["missed"]),
            percent(row["right"] / max(row["faces"] - row["missed"], 1)) if row["faces"] > row["missed"] else "–",
        ]
        for row in told["sizes"]
        if row["faces"]
    ]
    return [
        tables.render(head, rows),
        "\n".join(lines),
        tables.render(["longer side of the face", "faces", "missed", "of those found, named correctly"], sizes),
    ]


def sentences(result: dict) -> list[str]:
    """Faces missed, what the split was to the weights, what made the intervals, which differences were shown."""
    models, about, out = result["models"], result["significance"], []
    for told in models:
        if told["kind"] != "classifier":
            extra = "" if told["extra"] is None else f"; {told['extra']} extra faces were found that have no label"
            out.append(
                f"{told['model']} missed {told['missed']} of {told['faces']} faces, which count as errors{extra}."
            )
    for told in models:
        use = told["split_use"]
        if use["use"] in (CHOSEN, TRAINED):
            flatters = "its figures are too good" if use["use"] == CHOSEN else "its figures say nothing about new faces"
            out.append(
                f"Note: {told['model']}'s weights were {use['use']} on this split, so {flatters} ({use['why']})."
            )
    unit = UNITS[about["unit"]]
    if about["figures"]:
        out.append(
            f"Intervals: {about['level']:.0%}, from {about['replicates']} resamples of {about['units']} "
            f"{unit}{DRAWN.get(about['unit'], '')}; bootstrap, percentiles, seed {about['seed']}."
        )
        if about["scarce"]:
            listed = ", ".join(f"{name} {count}" for name, count in about["scarce"].items())
            out.append(
                f"Some classes occur with fewer than {FEWEST} {unit} ({listed}): macro figures and mAP depend on them "
                "as much as on the others, so no difference in them counts as shown."
            )
    elif about["replicates"]:
        out.append(f"No intervals: {about['units']} {unit} are too few to resample.")
    for name in ("map", "ap", "accuracy", "macro_f1") if about["figures"] and len(models) > 1 else ():
        for found in about["figures"].get(name, {}).get("differences", ()):
            first, second = (models[index]["model"] for index in found["pair"])
            if found["value"] is None or found["low"] is None:
                continue
            better = second if (found["value"] > 0) != (name in FEWER) else first
            low, high = found["low"], found["high"]
            unsaid = TOO_FEW if not low <= 0 <= high else NONE_SHOWN
            said = f"{better} is better" if found["shown"] else unsaid
            out.append(
                f"{second} - {first}, {SAID[name]}: {100 * found['value']:+.1f} points "
                f"({100 * low:+.1f} to {100 * high:+.1f}): {said}."
            )
    return out
