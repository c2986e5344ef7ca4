"""The files of an evaluation: the class table, the confusion matrix, the predictions as CSV; confusion and
calibration as plots.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from converters.darknet_format.files import DataFile, read_list

from . import detection_plots, tables
from .classification import Said
from .evaluation_text import table_of
from .judge import Judgement

MISSED, BACKGROUND = "missed", "background"


def write(folder: Path, told: dict, judged: Judgement, data: DataFile, split: str, limit: int | None) -> None:
    """All files of one model into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    rows(folder / "classes.csv", class_table(told))
    rows(folder / "confusion.csv", confusion_table(told, data.names))
    if "detector" in told:
        rows(folder / "detector.csv", detector_table(told))
        rows(folder / "curves.csv", curve_table(told["detector"]["curves"]))
        detection_plots.plot_curves(folder / "curves.png", told["detector"], told["model"])
        detection_plots.plot_sizes(folder / "sizes.png", told["sizes"], told["model"])
    pictures = read_list(data.list_of(split))[:limit]
    rows(folder / "predictions.csv", predictions(judged, data.names, pictures))
    plot_confusion(
        folder / "confusion.png", np.array(told["confusion"]), data.names, told["model"], told.get("background")
    )
    plot_calibration(folder / "calibration.png", told["calibration"], told["model"])


def write_summary(folder: Path, result: dict) -> None:
    """The table over all models as CSV, and report.json."""
    (folder / "table.csv").write_text(tables.render(*table_of(result), "csv") + "\n", encoding="utf-8")
    (folder / "report.json").write_text(
        json.dumps(result, indent=1) + "\n", encoding="utf-8", errors="backslashreplace"
    )


def rows(path: Path, lines: Iterable[Sequence]) -> None:
    with open(path, "w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        csv.writer(file, lineterminator="\n").writerows(lines)


def class_table(told: dict) -> list[list]:
    """Rows and columns as scikit-learn's classification_report has them; empty where nothing is there to count."""
    out = [["class", "precision", "recall", "f1-score", "support"]]
    for name, row in told["classes"].items():
        out.append([name, *(rounded(row[key]) for key in ("precision", "recall", "f1")), row["support"]])
    out.append(["accuracy", "", "", rounded(told["accuracy"]), told["faces"]])
    for kind in ("macro", "weighted"):
        out.append(
            [f"{kind} avg", *(rounded(told[f"{kind}_{key}"]) for key in ("precision", "recall", "f1")), told["faces"]]
        )
    return out


def rounded(value: float | None) -> str:
    return "" if value is None else f"{value:.6f}"


def confusion_table(told: dict, names: Sequence[str]) -> list[list]:
    """Labelled by row, named by column; with a column for missed faces where a face can be missed, and a row for
    what nobody labelled.
    """
    keep = len(names) + (told["kind"] != "classifier")
    extra = [[BACKGROUND, *told["background"], ""]] if "background" in told else []
    return [
        ["labelled", *[*names, MISSED][:keep]],
        *([name, *row[:keep]] for name, row in zip(names, told["confusion"])),
        *extra,
    ]


def detector_table(told: dict) -> list[list]:
    """A row a class: AP in its forms, and where F1 is best."""
    keys = (
        "truths",
        "detections",
        "ap",
        "ap_11",
        "ap_101",
        "coco_ap",
        "best_conf",
        "best_f1",
        "best_precision",
        "best_recall",
    )
    out = [["class", *keys]]
    for name, row in told["detector"]["classes"].items():
        out.append([name, *(row[key] if isinstance(row[key], int) else rounded(row[key]) for key in keys)])
    return out


def curve_table(curves: dict) -> list[list]:
    """Precision and recall by confidence, and the precision envelope by recall, of each class; `at` runs from 0 to
    1.
    """
    out: list[list] = [["class", "at", "precision", "recall", "envelope"]]
    for name, values in curves.items():
        for index, row in enumerate(zip(values["precision"], values["recall"], values["envelope"])):
            out.append([name, index / (len(values["recall"]) - 1), *map(rounded, row)])
    return out


def predictions(judged: Judgement, names: Sequence[str], pictures: Sequence) -> list[list]:
    """A row a labelled face: its picture, its label, what it was named, and the probabilities."""
    said: Said = judged.said
    out: list[list] = [["image", "labelled", "named", "right", *names]]
    called = [*names, MISSED]
    for picture, truth, named, scores in zip(judged.picture, said.truth, said.named, said.probabilities):
        out.append(
            [
                pictures[picture],
                names[truth],
                called[named],
                int(truth == named),
                *("" if np.isnan(score) else f"{score:.6f}" for score in scores),
            ]
        )
    return out


def plot_confusion(
    path: Path, counts: np.ndarray, names: Sequence[str], title: str, background: Sequence[int] | None = None
) -> None:
    """counts (C, C + 1): left as counts, right as shares of each row; the column of missed faces only where there are
    some.

    background  (C,) what faces that nobody labelled were called: a row of its own
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = [*names, MISSED] if counts[:, -1].any() else list(names)
    lines = [*names, BACKGROUND] if background else list(names)
    counts = np.vstack([counts, [[*background, 0]]]) if background else counts
    counts = counts[:, : len(columns)]
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    side = 1.8 + 0.62 * len(columns)
    figure = Figure(figsize=(2 * side + 0.6, side), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, values, texts, what in zip(
        figure.subplots(1, 2),
        (counts, shares),
        ([[str(v) for v in row] for row in counts], [[f"{100 * v:.0f}" for v in row] for row in shares]),
        ("faces", "% of the row"),
    ):
        axes.imshow(values, cmap="Blues", vmin=0, vmax=max(values.max(), 1e-9))
        for (y, x), value in np.ndenumerate(values):
            axes.text(
                x,
                y,
                texts[y][x],
                ha="center",
                va="center",
                fontsize=9,
                color="white" if value > 0.55 * values.max() else "black",
            )
        axes.set_xticks(range(len(columns)), columns, rotation=45, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(lines)), lines)
        axes.set_xlabel("named")
        axes.set_ylabel("labelled")
        axes.set_title(what, fontsize=10)
    figure.suptitle(title, fontsize=11)
    figure.savefig(path, dpi=110)


LONG_TITLE = 52  # characters that fit plot_calibration's width


def plot_calibration(path: Path, calibration: dict, title: str) -> None:
    """Reliability: the share named correctly by the score of the class named, and below it how many faces have such a
    score.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    bins = [row for row in calibration["bins"] if row["faces"]]
    figure = Figure(figsize=(5, 5.6), layout="constrained")
    FigureCanvasAgg(figure)
    upper, lower = figure.subplots(2, 1, height_ratios=(4, 1), sharex=True)
    upper.plot([0, 1], [0, 1], "--", color="0.6", linewidth=1, label="a score means what it says")
    upper.vlines(
        [row["confidence"] for row in bins],
        [row["confidence"] for row in bins],
        [row["accuracy"] for row in bins],
        color="tab:blue",
        linewidth=1.2,
        alpha=0.6,
    )
    upper.plot(
        [row["confidence"] for row in bins],
        [row["accuracy"] for row in bins],
        "o-",
        color="tab:blue",
        markersize=5,
        clip_on=False,
    )
    ece = calibration["ece"]
    upper.set(
        ylabel="share named correctly",
        xlim=(0, 1),
        ylim=(0, 1),
        title=f"calibration error {'–' if ece is None else f'{100 * ece:.1f}%'}, {calibration['faces']:,} faces",
    )
    upper.title.set_fontsize(10)
    upper.legend(frameon=False, fontsize=9)
    lower.bar(
        [(row["low"] + row["high"]) / 2 for row in bins],
        [row["faces"] for row in bins],
        width=0.9 / len(calibration["bins"]),
        color="0.7",
    )
    lower.set(xlabel="score of the emotion named", ylabel="faces")
    figure.suptitle(title, fontsize=11 if len(title) <= LONG_TITLE else 11 * LONG_TITLE / len(title))
    figure.savefig(path, dpi=110)
