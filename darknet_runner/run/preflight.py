"""Before a run: everything that would spoil it, all at once, in the time of a glance when nothing has changed.

    preflight.refuse(preflight.check(cfg, data, weights_path=None, run=run))

A cfg, a `.data` and what they name come in; findings (see `converters.findings`) go out. Errors end the
run before it starts; warnings are told. Pictures and labels are looked at by `preflight_files`, whose
answer is kept by content.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from converters.darknet_format.files import DataFile
from converters.errors import CfgError, DataError, EmoError, WeightsError
from converters.findings import Finding

from ..builtin.heeded_options import unheeded
from ..network import cfg_file, layers, weights_file
from ..network.cfg_file import Cfg
from ..network.layers import Layer
from ..network.templates import classes_of
from .folder import RunDir
from .preflight_files import check_files, check_lists

SHOWN = 20  # faults that a refusal lists; the rest are counted
ROOM = 3  # files of weights that must find place: last, best, final
CUDA_CONTEXT = 400 << 20  # bytes that CUDA, cuBLAS and cuDNN take before the first layer


def check(
    cfg: Cfg,
    data: DataFile,
    *,
    pretrained: Path | None = None,
    clear: bool = False,
    run: RunDir | None = None,
    binary: bool = False,
    gpu: bool = False,
    progress: Callable = lambda items, **_: items,
) -> list[Finding]:
    """All findings of a training of `cfg` on `data`.

    binary: a Darknet binary is to train, which is stricter about sizes than the built-in engine.
    gpu: also estimate whether the batch fits into the GPU's memory (when nvidia-smi tells how much there is).
    """
    found = check_cfg(cfg, data, binary=binary)
    if pretrained is not None:
        found += check_pretrained(cfg, pretrained, clear)
    if run is not None:
        found += check_place(cfg, run)
    files = []  # last, since there may be thousands
    for split in ("train", "valid"):
        if split == "train" or data.valid is not None:
            listed = check_lists(data, split)
            found += listed
            if not any(item.severity == "error" for item in listed):
                files += check_files(data, split, progress)
    found += files
    if gpu and not any(item.severity == "error" for item in found):
        found += check_gpu(cfg)
    return found


def refuse(found: list[Finding], note: Callable[[str], None] = lambda text: None) -> None:
    """Give the warnings to `note`; raise one DataError with all errors when there are any."""
    errors = [item for item in found if item.severity == "error"]
    warnings = [item for item in found if item.severity == "warning"]
    if warnings:
        note("\n".join(listed(warnings, "warning")))
    if errors:
        head, *lines = listed(errors, "fault")
        raise DataError(head, below=(*lines, "nothing was started"))


def listed(found: list[Finding], kind: str) -> list[str]:
    """`3 faults:` and a line each, the first SHOWN of them."""
    lines = [f"preflight: {len(found)} {kind}{'s' if len(found) != 1 else ''}:"]
    for item in found[:SHOWN]:
        place = f"{item.file}:{item.line}: " if item.line else f"{item.file}: " if item.file else ""
        lines.append(f"  {place}{item.message}")
    if len(found) > SHOWN:
        lines.append(f"  and {len(found) - SHOWN} more; emo dataset check lists them all")
    return lines


def check_cfg(cfg: Cfg, data: DataFile, binary: bool = False) -> list[Finding]:
    """The cfg by itself and against the data: classes, filters, anchors, masks, sizes, batch."""
    found = [*cfg_file.findings(cfg), *(() if binary else unheeded(cfg))]

    def add(code, message, section=None, key=None, severity="error"):
        line = (section.lines.get(key) or section.line) if section else 0
        found.append(Finding(code, severity, "", str(cfg.path or "cfg"), line, message))

    if cfg.is_detector == data.is_classifier:
        kinds = ("a detector", "a classifier")
        add("cfg-kind", f"is {kinds[not cfg.is_detector]}'s cfg, but {data.path} is {kinds[data.is_classifier]}'s data")
        return found
    net = cfg.net
    try:
        _check_net(cfg, add, binary)
        heads = [
            (index, section)
            for index, section in enumerate(cfg.sections)
            if section.type in ("yolo", "region", "Gaussian_yolo")
        ]
        for index, head in heads:
            _check_head(cfg.sections[index - 1], head, data.classes, add)
        if not heads and classes_of(cfg) != data.classes:
            add("cfg-classes", f"ends in {classes_of(cfg)} outputs; {data.path} has {data.classes} classes", net)
        if data.is_classifier and data.top > data.classes:
            add(
                "data-top",
                f"top = {data.top} is more than the {data.classes} classes of {data.path}",
                severity="warning",
            )
        if not any(item.severity == "error" for item in found):
            layers.trace(cfg)
    except CfgError as error:
        found.append(Finding("cfg", "error", "", str(error.where or cfg.path or "cfg"), error.line or 0, error.what))
    return found


def _check_net(cfg, add, binary):
    net = cfg.net
    batch, parts = net.integer("batch", 1), net.integer("subdivisions", 1)
    if batch <= 1:
        add("cfg-batch", "batch=1: the cfg was left in test mode; set batch=64, subdivisions=16", net, "batch")
    elif parts < 1 or batch % parts:
        add("cfg-batch", f"batch={batch} cannot be cut into subdivisions={parts}", net, "subdivisions")
    if net.integer("max_batches", 0) < 1:
        add("cfg-iterations", "max_batches is not set", net, "max_batches")
    for key in ("width", "height"):
        value = net.integer(key, 0)
        if value < 1:
            add("cfg-size", f"{key} is not set", net, key)
        elif cfg.is_detector and value % 32:
            add("cfg-size", f"{key}={value} is not a multiple of 32", net, key, "error" if binary else "warning")


def _check_head(before, head, classes, add):
    num = head.integer("num", 1 if head.type != "region" else 5)
    mask = head.integers("mask") or tuple(range(num))
    if head.integer("classes", 20) != classes:
        add(
            "cfg-classes",
            f"[{head.type}] has classes={head.integer('classes', 20)}; the data has {classes}",
            head,
            "classes",
        )
    each = classes + head.integer("coords", 4) + 1 + (4 if head.type == "Gaussian_yolo" else 0)
    filters = before.integer("filters", 0)
    if filters != len(mask) * each:
        add(
            "cfg-filters",
            f"filters={filters} before [{head.type}] must be {len(mask) * each} = {len(mask)} anchors x {each}",
            before,
            "filters",
        )
    anchors = head.numbers("anchors")
    if len(anchors) != 2 * num:
        add(
            "cfg-anchors",
            f"[{head.type}] has {len(anchors)} numbers in anchors; num={num} needs {2 * num}",
            head,
            "anchors",
        )
    elif min(anchors) <= 0:
        add("cfg-anchors", f"[{head.type}] has an anchor of no extent", head, "anchors")
    if any(not 0 <= index < num for index in mask) or len(set(mask)) != len(mask):
        add(
            "cfg-mask",
            f"[{head.type}] mask={','.join(map(str, mask))} must name different anchors of 0..{num - 1}",
            head,
            "mask",
        )


def check_pretrained(cfg: Cfg, path: Path, clear: bool = False) -> list[Finding]:
    """Weights to begin with: their length, their values, and whether they leave anything to train."""
    import numpy as np

    def fault(message):
        return [Finding("weights", "error", "", str(path), 0, message)]

    try:
        read = weights_file.read(cfg, path, prefix=True)
    except (WeightsError, CfgError) as error:
        return fault(
            error.what + (f" ({error.mend})" if error.mend else "") if isinstance(error, WeightsError) else str(error)
        )
    if not any(read.layers):
        return fault("has no layer of this cfg")
    for index, blocks in enumerate(read.layers):
        if any(not np.isfinite(array).all() for array in blocks.values()):
            return fault(f"layer {index} holds values that are not finite numbers")
    batch, last = max(1, cfg.net.integer("batch", 1)), cfg.net.integer("max_batches", 0)
    if read.seen // batch >= last and not clear:
        return fault(
            f"has seen {read.seen:,} pictures, which is iteration {read.seen // batch} of {last}: the training "
            "would end at once; give --clear"
        )
    return []


def check_place(cfg: Cfg, run: RunDir) -> list[Finding]:
    """Whether the run folder can be written and holds the weights."""
    folder = run.weights if run.weights.exists() else run.path
    if not os.access(folder, os.W_OK | os.X_OK):
        return [Finding("unwritable", "error", "", str(folder), 0, "cannot be written")]
    try:
        need = ROOM * weights_file.weights_bytes(layers.trace(cfg))
    except EmoError:
        return []  # told by check_cfg
    free = shutil.disk_usage(folder).free
    if free < need:
        return [
            Finding(
                "disk-full",
                "error",
                "",
                str(folder),
                0,
                f"has {free / 1e6:.0f} MB free; the weights need {need / 1e6:.0f} MB",
            )
        ]
    return []


def gpu_bytes(traced: tuple[Layer, ...], pictures: int) -> int:
    """An estimate of what training `pictures` at once takes on a GPU.

    Each layer keeps its output and its gradient, a normalised one also its input and normalised input, a
    mish or swish one its input (src/convolutional_layer.c, make_convolutional_layer); every parameter has
    its update; the workspace is the largest im2col (src/convolutional_layer.c, get_workspace_size32).
    """
    total, workspace = CUDA_CONTEXT, 0
    for layer in traced:
        width, height, channels = layer.out
        copies = 2
        if layer.type == "convolutional":
            copies += 2 * bool(layer.section.integer("batch_normalize", 0)) + (
                layer.section.text("activation") in ("mish", "swish", "hard_mish")
            )
            size = layer.section.integer("size", 1)
            workspace = max(
                workspace, 4 * width * height * size * size * layer.inputs[2] // layer.section.integer("groups", 1)
            )
        total += 4 * copies * width * height * channels * pictures + 2 * 4 * layer.params
    return total + workspace


def gpu_memory() -> int | None:
    """Bytes of the smallest GPU that nvidia-smi names; None when there is none."""
    if not shutil.which("nvidia-smi"):
        return None
    told = subprocess.run(
        ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"], capture_output=True, text=True
    )
    sizes = [int(line) << 20 for line in told.stdout.split() if line.isdigit()]
    return min(sizes) if told.returncode == 0 and sizes else None


def check_gpu(cfg: Cfg, memory: int | None = None) -> list[Finding]:
    """Whether a part of the batch fits into the GPU's `memory` (bytes; default: as nvidia-smi says)."""
    memory = memory or gpu_memory()
    if memory is None:
        return []
    batch, parts, traced = cfg.net.integer("batch", 1), cfg.net.integer("subdivisions", 1), layers.trace(cfg)
    fitting = next(
        (
            parts * 2**step
            for step in range(12)
            if batch % (parts * 2**step) == 0 and gpu_bytes(traced, batch // (parts * 2**step)) < memory
        ),
        None,
    )
    if fitting == parts:
        return []
    need = gpu_bytes(traced, batch // parts)
    mend = f"take --subdivisions {fitting}" if fitting else "take a smaller --size"
    return [
        Finding(
            "gpu-memory",
            "error",
            "",
            str(cfg.path or "cfg"),
            cfg.net.lines.get("subdivisions", cfg.net.line),
            (
                f"{batch // parts} pictures at once need about {need / 2**30:.1f} GiB; the GPU has "
                f"{memory / 2**30:.1f}: {mend}"
            ),
        )
    ]
