"""Models: found by name, folder, run folder or files; checked before anything loads them.

A model folder holds `model.cfg`, `model.weights`, `emo.names` and `model.toml`, the card. The shipped ones
lie in `cfg/models/<name>/`. A run folder (`runs/<name>-001`) is a model folder too, its weights the best
that it saved.

    model = find("emo-s"); model.names, model.card["metrics"]
"""

from __future__ import annotations

import hashlib
import math
import os
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from converters import settings_files
from converters.errors import CfgError, DataError, EmoError, UsageError, WeightsError, nearest
from converters.text_files import read_lines
from darknet_runner.network import cfg_file
from darknet_runner.network.cfg_file import Cfg
from darknet_runner.network.layers import trace
from darknet_runner.network.preprocessing import Preprocessing
from darknet_runner.network.weights_file import read as read_weights
from darknet_runner.run.folder import RunDir

if TYPE_CHECKING:  # what trains is not loaded in order to detect
    from darknet_runner.train_settings import OtherModel

CARD = {
    **dict.fromkeys(("name", "task", "data", "split", "licence", "sha256", "recipe"), str),
    "iterations": int,
    **dict.fromkeys(("training", "preprocessing", "metrics"), dict),
    **dict.fromkeys(("trained_on", "chosen_on"), list),
}
LARGEST = 8192  # side of a network's input; a cfg may ask for more than any memory holds
MOST_NUMBERS = 1 << 30  # of one layer's output, 4 GB; OpenCV counts them in 31 bits
DEFAULTS = {"detector": "emo-v4-nano", "classifier": "emo-s"}

# A class that is less likely right than wrong is not named alone; where scores are shares that is below a half.
# The cards of shipped models have their own (scripts/uncertain_below.py).
UNCERTAIN = 0.5


@dataclass(frozen=True)
class Model:
    """A checked model: the weights fit the cfg, the names fit the classes, the hash is the card's."""

    name: str
    cfg: Cfg
    weights: Path
    names: tuple[str, ...]
    card: dict = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """Where the cfg lies: a model's or a run's folder."""
        return (self.cfg.path or self.weights).parent

    @property
    def task(self) -> str:
        return "detector" if self.cfg.is_detector else "classifier"

    @property
    def preprocessing(self) -> Preprocessing:
        """What the card wants done to a classifier's faces; DataError when it says nonsense."""
        return Preprocessing.of_card(self.card, self.cfg.path.parent / "model.toml" if self.cfg.path else None)

    @property
    def uncertain_below(self) -> float:
        """The card's `[calibration] uncertain_below`, else UNCERTAIN; DataError when it is not a number in 0..1."""
        table = self.card.get("calibration")
        value = table.get("uncertain_below", UNCERTAIN) if isinstance(table, dict) else UNCERTAIN
        if not isinstance(value, (int, float)) or not 0 <= value <= 1:
            card = self.cfg.path and self.cfg.path.parent / "model.toml"
            raise DataError(f"uncertain_below = {value} is not a number in 0..1", where=card)
        return float(value)

    def describe(self) -> dict:
        """What a report says about it: name, size of its input, weights file and their hash."""
        width, height = self.cfg.size_wh
        return {
            "name": self.name,
            "task": self.task,
            "input": [width, height, self.cfg.net.integer("channels", 3)],
            "classes": len(self.names),
            "weights": self.weights.name,
            "sha256": sha256(self.weights),
        }


def shipped_folder() -> Path:
    return Path(str(files("cfg"))) / "models"


def shipped() -> dict[str, Path]:
    """Name -> folder of every model that came with the package."""
    return {path.parent.name: path.parent for path in sorted(shipped_folder().glob("*/model.cfg"))}


def find(
    spec: str | Path | None,
    task: str | None,
    *,
    weights_file: str | Path | None = None,
    names_file: str | Path | None = None,
) -> Model:
    """The model that `spec` names: a shipped model, a model folder, a run folder, or a .cfg or .weights file.

    A spec of None is the shipped default of `task` (detector or classifier); a task of None takes either.
    `weights_file` and `names_file` overrule what lies beside the cfg. Raises UsageError for a name there is not or a
    model of the other task, WeightsError for weights that do not fit the cfg or the card's sha256, DataError for wrong
    names.
    """
    model = _load(*_locate(spec, task), weights_file, names_file)
    if task and model.task != task:
        what = (
            "finds faces, it does not classify crops"
            if task == "classifier"
            else "classifies crops, it does not find faces"
        )
        raise UsageError(f"'{model.name}' is a {model.task}: it {what}", where=model.cfg.path, mend=f"name a {task}")
    return model


def at_size(model: Model, size_wh: tuple[int, int]) -> Model:
    """The same network for inputs of another width and height."""
    return replace(model, cfg=model.cfg.edit({0: {"width": size_wh[0], "height": size_wh[1]}}))


def to_begin_with(given: str | Path) -> Path | OtherModel:
    """What a training begins with: a file of weights as it is, there or not; else the model that `given` names."""
    from darknet_runner.network.importers import fit
    from darknet_runner.train_settings import OtherModel

    if fit.reads(given) or (Path(given).suffix and not Path(given).is_dir()):
        return Path(given)
    model = find(given, None)
    return OtherModel(str(given), model.cfg, model.weights)


def _locate(spec, task) -> tuple[str, Path, Path | None, Path | None]:
    """name, cfg, weights and names of `spec`; what is not there is None."""
    known = shipped()
    if spec is None:
        if DEFAULTS[task] not in known:
            raise UsageError(
                f"the {task} that ships, {DEFAULTS[task]}, is missing",
                where=shipped_folder(),
                mend="name one with --model FOLDER",
            )
        spec = DEFAULTS[task]
    if str(spec) in known:
        return str(spec), *_in_folder(known[str(spec)])
    path = Path(spec)
    if path.is_dir():
        return path.resolve().name, *_in_folder(path)
    if path.is_file() and path.suffix == ".cfg":
        return path.stem, path, _beside(path, ".weights"), _beside(path, ".names")
    if path.is_file() and path.suffix == ".weights":
        return path.stem, _beside(path, ".cfg") or _missing(path.parent, "a .cfg"), path, _beside(path, ".names")
    if path.is_file():
        mend = (
            "a model is a folder, a .cfg or a .weights; emo export's ONNX goes to --onnx, a face finder to --face-model"
        )
        raise UsageError("is a file of another kind", where=spec, mend=mend)
    if os.sep in str(spec) or path.suffix in (".cfg", ".weights"):
        raise DataError("no such file or folder", where=spec)
    raise UsageError(
        f"there is no model '{spec}'", mend=f"a folder, a .cfg file or a name; {nearest(str(spec), known)}"
    )


def _missing(folder, what):
    raise UsageError(f"has no {what}", where=folder, mend="a model is model.cfg, model.weights and emo.names")


def _in_folder(folder: Path):
    run = RunDir(folder)
    cfg = run.cfg if run.cfg.is_file() else _only(folder, ".cfg") or _missing(folder, "model.cfg")
    if (folder / "model.weights").is_file():
        found = folder / "model.weights"
    else:
        found = run.newest_weights() if run.weights.is_dir() else _only(folder, ".weights")
    return cfg, found, run.names if run.names.is_file() else _only(folder, ".names")


def _only(folder, suffix):
    """The one file of that suffix in a folder; None when there is none or a choice."""
    found = sorted(folder.glob(f"*{suffix}"))
    return found[0] if len(found) == 1 else None


def _beside(path, suffix):
    """The file of the same stem, else the only one of that suffix in the folder."""
    same = path.with_suffix(suffix)
    return same if same.is_file() else _only(path.parent, suffix)


def _load(name, cfg_path, weights_path, names_path, weights_file, names_file) -> Model:
    cfg = cfg_file.load(cfg_path)
    if max(cfg.net.integer(key, 0) for key in ("width", "height")) > LARGEST:
        raise CfgError(f"its input is larger than {LARGEST}x{LARGEST}", where=cfg_path, line=cfg.net.line)
    widest = max(trace(cfg), key=lambda layer: math.prod(layer.out))
    if math.prod(widest.out) > MOST_NUMBERS:
        width, height, channels = widest.out
        raise CfgError(
            f"layer {widest.index} gives {width}x{height}x{channels} numbers, more than fit into memory",
            where=cfg_path,
            line=widest.section.line,
        )
    weights_path = Path(weights_file or weights_path or _missing(cfg_path.parent, "weights"))
    names_path = Path(names_file or names_path or _missing(cfg_path.parent, "emo.names"))
    arrays = read_weights(cfg, weights_path).layers  # the right length, before cv2, which does not look
    if not all(np.isfinite(array).all() for blocks in arrays for array in blocks.values()):
        raise WeightsError("holds numbers that are not finite: its training diverged", where=weights_path)
    names = tuple(read_lines(names_path))
    classes = class_count(cfg)
    if classes != len(names):
        raise DataError(f"{len(names)} names, but {cfg_path} has {classes} classes", where=names_path)
    card = {}
    if (card_path := cfg_path.parent / "model.toml").is_file():
        card = read_card(card_path)
    expected = card.get("sha256")
    if expected and not weights_file and sha256(weights_path) != expected:
        raise WeightsError(
            "is not the file that its card describes: the sha256 differs",
            where=weights_path,
            mend="fetch it again, or fix model.toml",
        )
    return Model(name, cfg, weights_path, names, card)


def read_card(path: Path) -> dict:
    """model.toml, its keys' types checked; dates are text. DataError says what does not fit."""
    card = settings_files.read_toml(path, CARD)
    return settings_files.checked(card, {"metrics": dict.fromkeys(card.get("metrics", ()), dict)}, path)


def class_count(cfg: Cfg) -> int:
    """A detector's `classes`, or the outputs of a classifier, which must end in [softmax]."""
    layers = trace(cfg)
    counts = {layer.section.integer("classes", 20) for layer in layers if layer.type in ("yolo", "region")}
    if len(counts) == 1:
        return counts.pop()
    if counts:
        raise CfgError(f"its heads differ in classes: {sorted(counts)}", where=cfg.path)
    last = [layer for layer in layers if layer.type != "cost"][-1]
    if last.type != "softmax":
        raise CfgError(
            f"ends in [{last.type}]; emo runs networks that end in [yolo], [region] or [softmax]",
            where=cfg.path,
            line=last.section.line,
        )
    return last.out[0] * last.out[1] * last.out[2]


def sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def at_hand(root: str | Path = "runs") -> dict[str, Path]:
    """What `find` takes -> folder: the models that ship, then the run folders under ./runs that have weights, the
    newest first.
    """
    runs = [path.parent for path in _runs(root) if any((path.parent / "weights").glob("*.weights"))]
    return shipped() | {str(run): run for run in runs}


def _runs(root) -> list[Path]:
    return sorted(Path(root).glob("*/run.json"), key=lambda path: path.stat().st_mtime, reverse=True)


def newest_run(task: str, root: str | Path = "runs") -> Path | None:
    """The run folder last written to under ./runs that has weights for `task`; None when there is none."""
    for path in _runs(root):
        try:
            if find(path.parent, task):
                return path.parent
        except EmoError:
            continue
    return None
