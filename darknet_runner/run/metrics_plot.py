"""metrics.csv -> chart.png: the loss on a logarithmic axis, and the validation scores beside it; a classifier's by
epoch.

draw(rows, "chart.png", title="v4-tiny-001")      # rows: dicts with iteration, loss, avg_loss, map, top1, ...
"""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Iterable
from pathlib import Path

from converters.errors import DataError, naming

SCORES = {"map": "mAP@0.5", "top1": "top-1", "topk": "top-k"}
POINTS = 4000  # more than the chart has pixels; longer runs are thinned


def _values(rows, key, over="iteration"):
    """x (the column `over`), y of the rows in which `key` is a finite number."""
    x, y = [], []
    for row in rows:
        try:
            value, place = float(row.get(key) or "nan"), float(row.get(over) or "nan")
        except (TypeError, ValueError):  # a torn line
            continue
        if math.isfinite(value) and math.isfinite(place):
            x.append(place)
            y.append(value)
    return x, y


def draw(rows: Iterable[dict], path: str | Path, title: str = "") -> None:
    """Draw the chart of a training and rename it into place; nothing is drawn without rows."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    rows = list(rows)
    if not rows:
        return
    if sum(bool(row.get("epoch")) for row in rows) > 1:
        _save(_by_epoch(rows, title), path)
        return
    figure = Figure(figsize=(9, 5), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    left = figure.subplots()
    x, y = _values(rows, "loss")
    thin = max(1, len(x) // POINTS)
    left.plot(x[::thin], y[::thin], color="0.75", linewidth=0.7, label="loss")
    x, y = _values(rows, "avg_loss")
    left.plot(x[::thin], y[::thin], color="tab:blue", linewidth=1.4, label="average loss")
    if any(value > 0 for value in y):
        left.set_yscale("log")
        plain = FuncFormatter(lambda value, _: f"{value:g}")
        low, high = left.get_ylim()
        left.yaxis.set_major_formatter(plain)
        if 20 * low < high < 1000 * low:
            left.yaxis.set_minor_locator(LogLocator(subs=(2, 5)))
        left.yaxis.set_minor_formatter(plain if high < 1000 * low else NullFormatter())
    left.set_xlabel("iteration")
    left.set_ylabel("loss")
    left.grid(alpha=0.25)
    handles, names = left.get_legend_handles_labels()
    scored = [(name, *_values(rows, key)) for key, name in SCORES.items()]
    if any(y for _, _, y in scored):
        right = left.twinx()
        right.set_ylim(0, 1)
        right.set_ylabel("validation")
        for (name, x, y), colour in zip((item for item in scored if item[2]), ("tab:red", "tab:green", "tab:orange")):
            right.plot(x, y, "o-", color=colour, markersize=4, linewidth=1.2, label=f"{name} (best {max(y):.3f})")
        more = right.get_legend_handles_labels()
        handles, names = handles + more[0], names + more[1]
    left.legend(handles, names, loc="best", fontsize=9)
    left.set_title(title)
    _save(figure, path)


def _save(figure, path):
    path = Path(path)
    temporary = path.with_name(path.name + ".part")
    with naming(path):
        try:
            figure.savefig(temporary, format="png")
            os.replace(temporary, path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise


def _by_epoch(rows, title):
    """Loss and accuracy of both sides, and the rate, over the epochs: what tells learning from learning by heart."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator

    rows = [row for row in rows if row.get("epoch")]
    figure = Figure(figsize=(11, 4.6), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(2, 2, height_ratios=(4, 1))
    panels = figure.add_subplot(grid[0, 0]), figure.add_subplot(grid[0, 1]), figure.add_subplot(grid[1, :])
    lines = (
        (("train_loss", "training", "tab:blue", min), ("valid_loss", "validation", "tab:red", min)),
        (
            ("train_top1", "training top-1", "tab:blue", max),
            ("top1", "validation top-1", "tab:red", max),
            ("macro_f1", "validation macro-F1", "tab:green", max),
        ),
        (("rate", "rate", "0.3", None),),
    )
    for panel, some, name in zip(panels, lines, ("loss", "accuracy", "rate")):
        for key, label, colour, best in some:
            x, y = _values(rows, key, "epoch")
            if y:
                panel.plot(
                    x,
                    y,
                    "o-",
                    color=colour,
                    markersize=3,
                    linewidth=1.2,
                    label=label if best is None else f"{label} (best {best(y):.3f})",
                )
        panel.set_ylabel(name)
        panel.grid(alpha=0.25)
        panel.xaxis.set_major_locator(MaxNLocator("auto", integer=True, min_n_ticks=1, steps=(1, 2, 5, 10)))
    rates = _values(rows, "rate", "epoch")[1]
    if rates and min(rates) > 0:
        panels[2].set_yscale("log")
        panels[2].set_ylim(min(rates) / 2, max(rates) * 2)
        panels[2].yaxis.set_major_locator(LogLocator(numticks=4))
        panels[2].yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        panels[2].minorticks_off()
    panels[0].legend(fontsize=8)
    panels[1].legend(fontsize=8)
    panels[2].set_xlabel("epoch")
    figure.suptitle(title)
    return figure


def read_metrics(path: str | Path) -> list[dict]:
    """The rows of a metrics.csv, as text; an empty list when there is no such file."""
    try:
        with open(path, newline="") as file:
            return list(csv.DictReader(file))
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"cannot be read: {error}", where=path) from None
