"""metrics.csv -> chart.png: the loss, its average, and the metric of the validations, over the iterations."""

from __future__ import annotations

import csv
from pathlib import Path


def draw(metrics: str | Path, target: str | Path, title: str = "") -> None:
    """Redraw `target` (PNG, or SVG or PDF by its name) from `metrics`; nothing when there are no rows yet."""
    with open(metrics, newline="") as file:
        rows = list(csv.DictReader(file))

    def column(name):
        found = [(float(row["iteration"]), float(row[name])) for row in rows if row.get(name)]
        return ([x for x, _ in found], [y for _, y in found]) if found else None

    loss, average = column("loss"), column("avg_loss")
    if not loss and not average:
        return
    import matplotlib

    matplotlib.use("Agg", force=False)
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.subplots()
    if loss:
        axes.plot(*loss, color="#9db7d5", linewidth=0.6, label="loss")
    if average:
        axes.plot(*average, color="#1f4e8c", linewidth=1.6, label="average loss")
    if min((average or loss)[1]) > 0:
        axes.set_yscale("log")
    axes.set(xlabel="iteration", ylabel="loss", title=title)
    axes.grid(alpha=0.3)
    handles, labels = axes.get_legend_handles_labels()
    for name, label in (("map", "mAP@0.5"), ("top1", "top-1 accuracy")):
        found = column(name)
        if found:
            other = axes.twinx()
            other.plot(*found, "o-", color="#c2571a", markersize=3, label=label)
            other.set(ylabel=label, ylim=(0, 1))
            more = other.get_legend_handles_labels()
            handles, labels = handles + more[0], labels + more[1]
    axes.legend(handles, labels, loc="upper center", ncols=3, frameon=False)
    temporary = Path(target).with_name("." + Path(target).name)
    figure.savefig(temporary, dpi=110)
    temporary.replace(target)
