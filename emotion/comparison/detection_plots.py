"""Plots of a detector's figures: precision against recall, F1 by confidence, and faces found by their size."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .wording import some


def plot_curves(path: Path, figures: dict, title: str) -> None:
    """Left precision (its envelope) against recall, right F1 by confidence, a line a class; a dot where F1 is best."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.5, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    for number, (name, values) in enumerate(figures["curves"].items()):
        at, colour, mine = np.linspace(0, 1, len(values["recall"])), f"C{number}", figures["classes"][name]
        left.plot(
            at,
            values["envelope"],
            color=colour,
            label=f"{name}: AP {100 * mine['ap']:.1f}%, {some(mine['truths'], 'face')}",
        )
        precision, recall = (
            np.array([0 if value is None else value for value in values[key]]) for key in ("precision", "recall")
        )
        f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
        best = "" if mine["best_conf"] is None else f": {100 * mine['best_f1']:.0f}% at {mine['best_conf']:.2f}"
        right.plot(at, f1, color=colour, label=f"{name}{best}")
        if mine["best_conf"] is not None:
            right.plot(mine["best_conf"], mine["best_f1"], "o", color=colour, markersize=4)
    left.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02), title=f"IoU {figures['iou']:g}")
    right.axvline(figures["conf"], color="0.6", linestyle="--", linewidth=1)
    right.set(
        xlabel="confidence",
        ylabel="F1",
        xlim=(0, 1),
        ylim=(0, 1.02),
        title="F1; a dot where it is best; dashed: --conf",
    )
    for axes in (left, right):
        axes.title.set_fontsize(10)
        if axes.lines and figures["curves"]:
            axes.legend(frameon=False, fontsize=8)
        axes.grid(alpha=0.25)
    figure.suptitle(title, fontsize=11)
    figure.savefig(path, dpi=110)


def plot_sizes(path: Path, sizes: list[dict], title: str) -> None:
    """A bar a range of sizes: what share of the labelled faces was found and correctly named, found, missed."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.8), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    rows = [row for row in sizes if row["faces"]]
    names = [
        f"{row['from_px']} px and more" if row["to_px"] is None else f"{row['from_px']} to {row['to_px']} px"
        for row in rows
    ]
    low = np.zeros(len(rows))
    for key, colour in (("correctly named", "tab:green"), ("wrongly named", "tab:orange"), ("missed", "tab:red")):
        counts = [
            {"correctly named": row["right"], "missed": row["missed"]}.get(
                key, row["faces"] - row["missed"] - row["right"]
            )
            for row in rows
        ]
        share = np.array([count / row["faces"] for count, row in zip(counts, rows)])
        axes.bar(range(len(rows)), share, bottom=low, color=colour, label=key, width=0.7)
        for place, (value, count) in enumerate(zip(share, counts)):
            if value > 0.06:
                axes.text(
                    place, low[place] + value / 2, str(count), ha="center", va="center", color="white", fontsize=9
                )
        low = low + share
    axes.set_xticks(
        range(len(rows)), [f"{name}\n{some(row['faces'], 'face')}" for name, row in zip(names, rows)], fontsize=8
    )
    axes.set(ylabel="share of the labelled faces", ylim=(0, 1), title=f"{title}: by the face's longer side")
    axes.title.set_fontsize(10)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    figure.savefig(path, dpi=110)
