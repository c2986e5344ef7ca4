"""A recipe: how a network is trained, as one flat TOML file over the one trainer.

    recipe = load("vgg-noise").override({"lr": "0.001"})

A value that is not given (None) is the cfg's own. `cfg/recipes/*.toml` ship, each with the reason of its values beside
them; any other `.toml` file can stand in for a name.
"""

from __future__ import annotations

import math
import types
from dataclasses import dataclass, fields, replace
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from converters import settings_files
from converters.errors import DataError, UsageError, nearest

ALIASES = {"lr": "learning_rate", "weight_decay": "decay"}
Range = tuple[float, float]


@dataclass(frozen=True)
class Recipe:
    """Settings of a training. Pictures are changed by what stands here, or, with augment = "cfg", as the cfg says."""

    name: str = "darknet"
    about: str = ""
    source: str = ""  # paper or program that it follows
    # --- how long, how fast
    epochs: float | None = None  # passes over the training pictures; None: the cfg's max_batches
    batch: int | None = None  # pictures a step
    optimizer: Literal["sgd", "adam", "adamw"] = "sgd"
    learning_rate: float | None = None
    momentum: float | None = None  # of SGD; Adam's first beta stays 0.9
    decay: float | None = None  # what is added to a weight's gradient is decay x weight (AdamW: decoupled)
    dense_decay: float | None = None  # the same for the weights of [connected] layers, instead of `decay`
    schedule: Literal["cfg", "constant", "cosine", "one-cycle", "steps"] = "cfg"
    warmup_epochs: float = 0.0  # the rate rises from 0; not with "cfg", whose burn_in does that
    step_start: float = 0.0  # "steps": from this epoch on ...
    step_epochs: float = 1.0  # ... every so many epochs ...
    step_factor: float = 1.0  # ... the rate is multiplied by this
    plateau_patience: int = 0  # validations without a better one after which the rate falls; 0: never
    plateau_factor: float = 0.1
    clip: float = 0.0  # largest norm of the gradient; 0: off
    clip_value: float = 0.0  # largest size of any one number of the gradient; 0: off
    ema: float = 0.0  # decay of the averaged weights; 0: off
    monitor: Literal["loss", "top1", "macro-f1", "map"] | None = None  # chooses the best weights; None: top1, or map
    patience: int = 0  # validations without a better one after which training stops; 0: never
    dropout: float | None = None  # of each [dropout] behind a [connected]; of the last one where there is none such
    freeze_until: str | None = None  # layers before this one keep their weights
    # --- the pictures of a classifier
    augment: Literal["cfg", "recipe"] = "cfg"
    size: int | None = None  # width and height of the network's input, in pixels
    crop_from: int | None = None  # pictures are resized to this side, then `size` is cut out: anywhere, or the middle
    standardise: bool = False  # each picture less its mean, over its deviation
    rotate: float = 0.0  # degrees, either way
    zoom: Range = (1.0, 1.0)  # size of the face, drawn evenly between the two
    shift: float = 0.0  # share of the side, either way
    shear: float = 0.0  # degrees, either way
    flip: bool = False
    brightness: Range = (1.0, 1.0)  # factor of every pixel
    contrast: Range = (1.0, 1.0)  # factor about the picture's mean
    noise: float = 0.0  # deviation of Gaussian noise added behind the input (and behind `standardise`)
    erase: float = 0.0  # share of the pictures that lose a rectangle (random erasing)
    mixup: float = 0.0  # alpha of the Beta distribution of mixed pairs; 0: off
    cutmix: float = 0.0  # the same, pasting a rectangle
    # --- what is asked of it
    label_smoothing: float = 0.0
    vote_share: float = (
        0.0  # share that FER+'s votes have in the target, where the set has them; the label has the rest
    )
    class_balance: Literal["none", "loss", "sampling"] = "none"

    def override(self, changes: dict[str, object]) -> Recipe:
        """Changed settings, each checked; text is read as the setting's type.

        UsageError for what is not known or fits not.
        """
        return replace(self, **dict(_setting(*item) for item in changes.items())).checked()

    def checked(self, where: Path | None = None) -> Recipe:
        """Itself; UsageError for values that no training can have."""
        positive = ("epochs", "batch", "learning_rate", "size", "crop_from", "step_epochs", "plateau_factor")
        bad = next(
            (key for key in positive if (value := getattr(self, key)) is not None and not 0 < value < float("inf")),
            None,
        )
        shares = ("dropout", "ema", "erase", "label_smoothing", "momentum")
        bad = bad or next(
            (key for key in shares if (value := getattr(self, key)) is not None and not 0 <= value < 1), None
        )
        bad = bad or next(
            (
                key
                for key in ("zoom", "brightness", "contrast")
                if not 0 < getattr(self, key)[0] <= getattr(self, key)[1]
            ),
            None,
        )
        least = (
            "decay",
            "dense_decay",
            "warmup_epochs",
            "step_start",
            "step_factor",
            "plateau_patience",
            "clip",
            "clip_value",
            "patience",
            "rotate",
            "shift",
            "shear",
            "noise",
            "mixup",
            "cutmix",
            "vote_share",
        )
        bad = bad or next((key for key in least if (getattr(self, key) or 0) < 0), None)
        bad = bad or ("vote_share" if self.vote_share > 1 else None)
        if bad:
            raise UsageError(
                f"{bad} = {getattr(self, bad)} cannot be trained with",
                where=where,
                mend="emo recipes show best explains each setting",
            )
        if self.crop_from and self.size and self.crop_from < self.size:
            raise UsageError(f"crop_from = {self.crop_from} is smaller than size = {self.size}", where=where)
        if self.schedule != "cfg" and self.learning_rate is None:
            raise UsageError(f"schedule = {self.schedule} needs a learning_rate", where=where)
        return self

    def told(self) -> dict[str, object]:
        """The settings that differ from a bare recipe's: what TOML is written from."""
        bare = Recipe()
        return {
            field.name: value
            for field in fields(self)
            if (value := getattr(self, field.name)) != getattr(bare, field.name)
        }

    def toml(self) -> str:
        """The recipe as a TOML file that `load` reads back."""
        return "".join(f"{key} = {_toml(value)}\n" for key, value in ({"name": self.name} | self.told()).items())

    @property
    def monitors(self) -> str | None:
        return self.monitor.replace("-", "_") if self.monitor else None


TYPES = dict(get_type_hints(Recipe).items())
SETTINGS = tuple(field.name for field in fields(Recipe) if field.name not in ("name", "about", "source"))


def names() -> tuple[str, ...]:
    """The recipes that ship."""
    return tuple(sorted(path.name[:-5] for path in (files("cfg") / "recipes").iterdir() if path.name.endswith(".toml")))


def path_of(name: str) -> Path:
    """The file of a recipe that ships, or of the user's own; UsageError when there is neither."""
    path = Path(name)
    if path.suffix == ".toml":
        if not path.is_file():
            raise DataError("no such recipe file", where=path)
        return path
    if name not in names():
        raise UsageError(f"there is no recipe '{name}'", mend=f"{nearest(name, names())}; or give a .toml file")
    return Path(str(files("cfg") / "recipes" / f"{name}.toml"))


def load(name: str) -> Recipe:
    """A recipe by name or file; DataError when it is not a recipe, UsageError when there is none of the name."""
    path = path_of(name)
    table = settings_files.read_toml(path)
    table.setdefault("name", path.stem)
    try:
        return replace(Recipe(), **dict(_setting(key, value) for key, value in table.items())).checked(path)
    except UsageError as error:
        raise DataError(str(error), where=path) from None


def _setting(key: str, value: Any) -> tuple[str, Any]:
    """(field name, value of its type) of what a file or a command line says."""
    key = ALIASES.get(key, key).replace("-", "_")
    if key not in TYPES:
        raise UsageError(f"there is no setting '{key}'", mend=nearest(key, (*SETTINGS, *ALIASES)))
    try:
        return key, _cast(value, TYPES[key])
    except (ValueError, TypeError, OverflowError):
        raise UsageError(f"{key} = {value}: expected {_words(TYPES[key])}") from None


def _cast(value, kind):
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        if value is None or (isinstance(value, str) and value.lower() in ("none", "") and kind is not str):
            return None
        return _cast(value, next(part for part in inner if part is not type(None)))
    if origin is Literal:
        if value not in inner:
            raise ValueError
        return value
    if origin is tuple:
        if isinstance(value, (int, float)) and not isinstance(value, bool):  # 0.2 is 0.8 to 1.2
            value = (1 - value, 1 + value)
        if isinstance(value, str):
            value = value.replace("..", ",").split(",")
            if len(value) == 1:
                return _cast(float(value[0]), kind)
        low, high = (_cast(part, float) for part in value)
        return low, high
    if kind is bool:
        if isinstance(value, str):
            value = (
                {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}[value.lower()]
                if value.lower() in ("true", "yes", "1", "false", "no", "0")
                else None
            )
        if not isinstance(value, bool):
            raise ValueError
        return value
    if (isinstance(value, bool) and kind in (int, float)) or not isinstance(value, (str, int, float)):
        raise ValueError
    if kind in (int, float) and not math.isfinite(float(value)):
        raise ValueError
    if kind is int and float(value) != int(float(value)):
        raise ValueError
    return kind(float(value)) if kind is int else kind(value)


def _words(kind) -> str:
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return _words(next(part for part in inner if part is not type(None)))
    if origin is Literal:
        return "one of " + ", ".join(inner)
    return {float: "a number", int: "a whole number", bool: "true or false", str: "text"}.get(
        kind, "two numbers such as 0.8,1.2"
    )


def _toml(value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return (
        repr(value) if isinstance(value, (int, float)) else '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    )
