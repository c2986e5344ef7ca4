"""An evaluation in words: the class table of one model, the table over several, and what limits their figures."""

from __future__ import annotations

import textwrap

from . import tables
from .bootstrap import FEWEST
from .split_use import CHOSEN, TRAINED

SAID = {
    "accuracy": "accuracy", "top_k": "top-{k}", "macro_f1": "macro-F1", "weighted_f1": "weighted F1", "ece": "calibration error",
    "macro_precision": "macro precision", "macro_recall": "macro recall", "weighted_precision": "weighted precision", "weighted_recall": "weighted recall",
}  # fmt: skip
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
    """Head and rows of the table over the models, a row a model."""
    misses = any(told["kind"] != "classifier" for told in result["models"])
    head = ["model", "accuracy", "95% interval", f"top-{result['models'][0]['k']}", "macro-F1", "95% interval", "weighted F1", "calibration error", *(["missed"] if misses else []), "ms a picture", "MB"]
    rows = []
    for index, told in enumerate(result["models"]):
        rows.append([
            told["model"], percent(told["accuracy"]), span(result, "accuracy", index) or "–", percent(told["top_k"]), percent(told["macro_f1"]),
            span(result, "macro_f1", index) or "–", percent(told["weighted_f1"]), percent(told["calibration"]["ece"]),
            *([f"{told['missed']} of {told['faces']}"] if misses else []), f"{told['ms_per_picture']:.1f}", f"{told['megabytes']:.1f}",
        ])  # fmt: skip
    return head, rows


def text(result: dict, form: str | None = None) -> str:
    """For a terminal: the class table of a single model, else a row a model; `form` asks for the table alone, in that form."""
    if form:
        return tables.render(*table_of(result), form)
    subject, models = result["subject"], result["models"]
    lines = [f"{subject['pictures']} pictures, {models[0]['faces']} faces: split {subject['split']} of {subject['data']}", ""]
    lines += [one(result)] if len(models) == 1 else [tables.render(*table_of(result))]
    return "\n".join(lines + [""] + [textwrap.fill(f"- {line}", 118, subsequent_indent="  ", break_on_hyphens=False, break_long_words=False) for line in sentences(result)])


def one(result: dict) -> str:
    """The class table, the averages and their intervals."""
    (told,) = result["models"]
    head, rows = ["", "precision", "recall", "F1", "faces"], []
    for name, row in told["classes"].items():
        rows.append([name, *(percent(row[key]) for key in ("precision", "recall", "f1")), str(row["support"])])
    for kind in ("macro", "weighted"):
        rows.append([f"{kind} average", *(percent(told[f"{kind}_{key}"]) for key in ("precision", "recall", "f1")), str(told["faces"])])
    figures = [["", told["model"], "95% interval"]]
    for name in ("accuracy", "top_k", "macro_f1", "weighted_f1", "ece"):
        value = told["calibration"]["ece"] if name == "ece" else told[name]
        figures.append([SAID[name].format(k=told["k"]), percent(value), span(result, name, 0)])
    return tables.render(head, rows) + "\n\n" + tables.render(figures[0], figures[1:])


def sentences(result: dict) -> list[str]:
    """Faces missed, what the split was to the weights, what made the intervals, which differences were shown."""
    models, about, out = result["models"], result["significance"], []
    for told in models:
        if told["kind"] != "classifier":
            extra = "" if told["extra"] is None else f"; {told['extra']} extra faces were found, which nobody labelled"
            out.append(f"{told['model']} missed {told['missed']} of {told['faces']} faces, which count as errors{extra}.")
    for told in models:
        if told["split_use"]["use"] in (CHOSEN, TRAINED):
            flatters = "its figures flatter" if told["split_use"]["use"] == CHOSEN else "its figures say nothing of new faces"
            out.append(f"Mind: {told['model']}'s weights were {told['split_use']['use']} on this split, so {flatters} ({told['split_use']['why']}).")
    unit = "people or sources" if about["unit"] == "group" else "pictures"
    if about["figures"]:
        out.append(f"Intervals: {about['level']:.0%}, from {about['replicates']} resamples of {about['units']} {unit}{', as the manifest names them' if about['unit'] == 'group' else ''} (bootstrap, percentiles, seed {about['seed']}).")
        if about["scarce"]:
            listed = ", ".join(f"{name} {count}" for name, count in about["scarce"].items())
            out.append(f"Some classes occur with fewer than {FEWEST} {unit} ({listed}): macro figures rest on them as much as on the others, and no difference in them is called shown.")
    elif about["replicates"]:
        out.append(f"No intervals: {about['units']} {unit} are too few to be drawn again.")
    for name in ("accuracy", "macro_f1") if about["figures"] and len(models) > 1 else ():
        for found in about["figures"][name]["differences"]:
            first, second = (models[index]["model"] for index in found["pair"])
            if found["value"] is None or found["low"] is None:
                continue
            better = second if (found["value"] > 0) != (name in FEWER) else first
            said = f"{better} is better" if found["shown"] else "no difference was shown"
            out.append(f"{SAID[name].capitalize()}, {second} - {first}: {100 * found['value']:+.1f} points ({100 * found['low']:+.1f} to {100 * found['high']:+.1f}): {said}.")
    return out
