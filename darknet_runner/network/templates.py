"""Template + classes + size + anchors + schedule -> the cfg of a run.

    cfg = render("v4-tiny", classes=7, size=320, iterations=6000)

A template is one of the cfgs that ship, by its name, or any cfg file of the user's. Rendering only
sets values; the template's layers, order and comments stay.
"""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path

from converters.errors import CfgError, UsageError, nearest

from . import cfg_file
from .cfg_file import Cfg
from .layers import trace
from .weights_file import HEADER, header_bytes, weights_bytes


def names() -> tuple[str, ...]:
    """The templates that ship."""
    return tuple(sorted(path.name[:-4] for path in files("cfg").iterdir() if path.name.endswith(".cfg")))


def load(name: str | Path) -> Cfg:
    """A template by name, or a cfg by path; UsageError lists the names when there is neither."""
    path = Path(name)
    if path.suffix == ".cfg" or os.sep in str(name) or path.exists():
        return cfg_file.load(path)
    if str(name) not in names():
        raise UsageError(f"there is no cfg '{name}'", mend=f"{nearest(str(name), names())}; or give a .cfg file")
    return cfg_file.load(Path(str(files("cfg") / f"{name}.cfg")))


def of_weights(name: str | Path, weights: str | Path) -> Cfg:
    """The cfg that a weights file is of: a template that ships for the number of classes that the file's length tells.

    A cfg by path is taken as it is. Raises as `load`, and WeightsError for what is not a weights file.
    """
    cfg = load(name)
    if str(name) not in names():
        return cfg
    _, _, header = header_bytes(Path(weights))
    size = os.path.getsize(weights) - header
    one, two = (weights_bytes(trace(render(cfg, classes))) - HEADER for classes in (1, 2))
    more, uneven = divmod(size - one, two - one)
    return cfg if uneven or more < 0 else render(cfg, more + 1)


def render(
    template: str | Path | Cfg,
    classes: int,
    *,
    size: int | tuple[int, int] | None = None,
    anchors: list[tuple[float, float]] | None = None,
    batch: int | None = None,
    subdivisions: int | None = None,
    iterations: int | None = None,
    learning_rate: float | None = None,
    net: dict[str, object] | None = None,
    head: dict[str, object] | None = None,
) -> Cfg:
    """The run cfg.

    classes     sets `classes` of every [yolo]/[region] and `filters` before it, (classes + 5) * its anchors;
                in a classifier the last convolutional or connected layer before the softmax
    size        width and height in pixels, or (width, height); anchors are scaled along
    anchors     (width, height) pixels, as many as the template has, for its every [yolo]
    iterations  max_batches; steps go to 80% and 90%, burn_in to at most a tenth
    net, head   further options of [net] and of every [yolo] or [region], as they are

    Raises CfgError when the result is not a network.
    """
    cfg = template if isinstance(template, Cfg) else load(template)
    changes: dict[int, dict[str, object]] = {0: {}}
    width, height = (cfg.net.integer(key, 0) for key in ("width", "height"))
    if width < 1 or height < 1:
        raise CfgError("[net] needs width and height above 0", where=cfg.path, line=cfg.net.line)
    new_w, new_h = (size, size) if isinstance(size, int) else size or (width, height)
    if size is not None:
        changes[0] |= {"width": new_w, "height": new_h} | _crops(cfg, width, new_w)
    for key, value in (("batch", batch), ("subdivisions", subdivisions), ("learning_rate", learning_rate)):
        if value is not None:
            changes[0][key] = value
    if iterations is not None:
        changes[0] |= _schedule(cfg, iterations)
    heads = [index for index, section in enumerate(cfg.sections) if section.type in ("yolo", "region")]
    for index in heads:
        section = cfg.sections[index]
        count = len(section.integers("mask")) or section.integer("num", 1)
        changes.setdefault(index, {})["classes"] = classes
        changes.setdefault(index - 1, {})["filters"] = count * (classes + 5)
        changes[index] |= _anchors(section, anchors, (new_w / width, new_h / height)) | (head or {})
    if not heads:
        last = next(
            (i for i in range(len(cfg.sections) - 1, 0, -1) if cfg.sections[i].type in ("convolutional", "connected")),
            None,
        )
        if last is None:
            raise CfgError("has no layer with outputs for the classes", where=cfg.path)
        changes[last] = {"filters" if cfg.sections[last].type == "convolutional" else "output": classes}
    changes[0] |= net or {}
    cfg = cfg.edit(changes)
    trace(cfg)
    return cfg


def _crops(cfg, width, new_width):
    """A classifier's crop sizes grow with its input."""
    found = {key: cfg.net.integer(key) for key in ("min_crop", "max_crop") if key in cfg.net.options}
    return {key: round(value * new_width / width) for key, value in found.items()}


def _schedule(cfg, iterations):
    changes = {"max_batches": iterations}
    if "burn_in" in cfg.net.options:
        changes["burn_in"] = min(cfg.net.integer("burn_in"), iterations // 10)
    if cfg.net.text("policy") == "steps":
        changes["steps"] = f"{iterations * 8 // 10},{iterations * 9 // 10}"
        changes["scales"] = ".1,.1"
    return changes


def _anchors(head, anchors, scale):
    if anchors is not None:
        if len(anchors) != head.integer("num", 1):
            raise CfgError(
                f"[{head.type}] takes {head.integer('num', 1)} anchors, not {len(anchors)}",
                where=head.path,
                line=head.line,
            )
        return {"anchors": ", ".join(f"{w:g},{h:g}" for w, h in anchors)}
    if scale == (1, 1) or head.type == "region" or "anchors" not in head.options:  # a region's are in cells
        return {}
    values = head.numbers("anchors")
    pairs = [(max(1, round(w * scale[0])), max(1, round(h * scale[1]))) for w, h in zip(values[::2], values[1::2])]
    return {"anchors": ", ".join(f"{w},{h}" for w, h in pairs)}


def classes_of(cfg: Cfg) -> int:
    """The number of classes that a cfg is made for."""
    for section in reversed(cfg.sections):
        if section.type in ("yolo", "region"):
            return section.integer("classes", 20)
        if section.type in ("convolutional", "connected"):
            return section.integer("filters" if section.type == "convolutional" else "output", 1)
    raise CfgError("has no output layer", where=cfg.path)
