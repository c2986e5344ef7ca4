"""How a network is trained: the settings of `emo train` and `emotion.train`, whichever engine does it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple

from .builtin import recipe as recipes
from .builtin.recipe import Recipe
from .compiled.training import BinarySettings
from .network.cfg_file import Cfg


class OtherModel(NamedTuple):
    """Weights to begin with that belong to another network: the layers that are the same are taken."""

    given: str  # what the user called it
    cfg: Cfg
    weights: Path


@dataclass(frozen=True)
class TrainSettings:
    """How a network is trained. None: as the recipe says, else as the cfg says."""

    recipe: str | Path | Recipe | None = None  # a name or file; None: `best` for classifiers, else `darknet`
    changes: Mapping[str, object] = field(default_factory=dict)  # of the recipe, by name: epochs, batch, size ...
    iterations: int | None = None
    subdivisions: int | None = None
    anchors: str = "cfg"  # or data: k-means over the labels
    net: Mapping[str, str] = field(default_factory=dict)  # further options of [net]
    yolo: Mapping[str, str] = field(default_factory=dict)  # further options of every [yolo]
    pretrained: str | Path | OtherModel | None = None  # .weights, what `emo cfg import` reads, or a model
    clear: bool = False  # count from iteration 0, whatever the pretrained weights have seen
    evaluate: bool = True  # validate while training
    map_every: int | None = None  # batches between validations; None: an epoch, at least 100
    runs: str | Path = "runs"  # where the run folder is made
    name: str | None = None  # its name; None: the cfg's
    engine: str = "auto"  # auto, builtin or compiled
    darknet: str | Path | None = None  # the binary
    binary: BinarySettings = BinarySettings()
    gpus: tuple[int, ...] = ()  # for a binary
    device: str = "auto"
    threads: int | None = None
    workers: int | None = None
    seed: int = 0
    prior: float = 0.5  # objectness that new heads begin with
    amp: bool | None = None  # bfloat16; None: with a recipe of its own, where it is fast
    cache_mb: int = 2048  # decoded pictures kept in memory
    tensorboard: bool = False
    mlflow: str | None = None  # where the run is logged at its end

    @classmethod
    def of(cls, **given: Any) -> TrainSettings:
        """From names of settings and of a recipe's settings alike; UsageError for a name that is neither."""
        own = {item.name for item in fields(cls)}
        changes = dict(given.pop("changes", {})) | {key: value for key, value in given.items() if key not in own}
        return cls(changes=changes, **{key: value for key, value in given.items() if key in own})

    def recipe_for(self, classifier: bool) -> Recipe:
        """The recipe with its changes; UsageError or DataError when it cannot be."""
        found = self.recipe or ("best" if classifier else "darknet")
        found = found if isinstance(found, Recipe) else recipes.load(str(found))
        return found.override(dict(self.changes)) if self.changes else found

    def as_dict(self) -> dict[str, Any]:
        """What run.json and args.toml keep, by the names of the command line's options."""
        kept = {item.name: getattr(self, item.name) for item in fields(self)}
        binary, changes = kept.pop("binary"), kept.pop("changes")
        for key in ("net", "yolo"):
            kept[key] = [f"{name}={value}" for name, value in kept[key].items()]
        kept["recipe"] = self.recipe.name if isinstance(self.recipe, Recipe) else self.recipe and str(self.recipe)
        kept |= {key: getattr(binary, key) for key in ("allow_broken_cpu", "mjpeg_port", "auto_recover")}
        kept |= {"silence": binary.silence_s, "pretrained": self.pretrained_path}
        kept |= {key: str(value) for key, value in kept.items() if isinstance(value, Path)}
        return dict(changes) | kept

    @property
    def pretrained_path(self) -> str | None:
        """What the user named to begin with."""
        given = self.pretrained
        return None if given is None else given.given if isinstance(given, OtherModel) else str(given)
