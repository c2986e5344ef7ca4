"""From what the user names (a cfg, maybe a `.data`) to a run folder that both engines can start on."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from converters import settings_files
from converters.darknet_format.files import DataFile, read_data, read_list
from converters.darknet_format.open_set import open_set
from converters.errors import RunError, UsageError

from ..builtin.recipe import Recipe
from ..network import cfg_file, templates
from ..network.preprocessing import Preprocessing
from . import folder as run_folder
from .folder import RunDir, sha256


def create_run(
    template: str,
    data: DataFile,
    *,
    runs: str | Path = "runs",
    name: str | None = None,
    first: int = 1,
    anchors: str = "cfg",
    seed: int = 0,
    recipe: Recipe = Recipe(),
    crop_scale: float = 1.0,
    **render,
) -> RunDir:
    """A new run folder with the rendered cfg, the names, the recipe and the card; `render` as in `templates.render`,
    over the recipe.

    first: the number that the folder has if it is free.
    anchors: 'cfg' keeps the template's (scaled to the size), 'data' takes k-means over the training labels.
    """
    source = templates.load(template)
    render = _of_recipe(recipe, data, render, source)
    if source.is_detector == data.is_classifier:
        forms = ("detector", "classifier")
        raise UsageError(
            f"{template} is a {forms[not source.is_detector]}, {data.path} holds a {forms[data.is_classifier]}'s data",
            mend=f"emo convert --task {forms[not source.is_detector]}",
        )
    if anchors == "data" and source.is_detector:
        from ..network.anchors import cluster, label_sizes

        size = render.get("size")
        head = next(section for section in source.sections if section.type in ("yolo", "region"))
        sizes = label_sizes(data, (size, size) if size else source.size_wh)
        render["anchors"] = cluster(sizes, head.integer("num", 1), seed).sizes_px
    cfg = templates.render(source, data.classes, **render)
    if recipe.dropout is not None:
        cfg = cfg.edit({index: {"probability": recipe.dropout} for index in dropouts(cfg)})
    run = run_folder.create(runs, name or Path(template).stem, first)
    try:
        cfg_file.save(cfg, run.cfg)
        run_folder.write_text(run.names, "".join(f"{name}\n" for name in data.names))
        run_folder.write_text(run.recipe, recipe.toml())
        wanted = (
            Preprocessing(recipe.crop_from, recipe.standardise, crop_scale).told() if recipe.augment == "recipe" else {}
        )
        if wanted:
            run_folder.write_text(
                run.card, "[preprocessing]\n" + "".join(f"{key} = {_toml(value)}\n" for key, value in wanted.items())
            )
    except OSError as error:
        shutil.rmtree(run.path, ignore_errors=True)
        raise RunError(f"the run folder cannot be written: {error.strerror}", where=run.path) from None
    return run


def dropouts(cfg: cfg_file.Cfg) -> list[int]:
    """The sections that a recipe's `dropout` sets: each [dropout] behind a dense layer, else the last one there is.

    Those between convolutions, where half is too much to lose, keep the cfg's own rates.
    """
    kinds = [section.type for section in cfg.sections]
    found = [index for index, kind in enumerate(kinds) if kind == "dropout"]
    return [index for index in found if "connected" in kinds[:index]] or found[-1:]


def _of_recipe(recipe: Recipe, data: DataFile, render: dict, source) -> dict:
    """What the recipe asks of the cfg, where the caller asks nothing."""
    out = {key: value for key, value in render.items() if value is not None}
    for key in ("size", "batch", "learning_rate"):
        if getattr(recipe, key) is not None:
            out.setdefault(key, getattr(recipe, key))
    own = {key: getattr(recipe, key) for key in ("momentum", "decay") if getattr(recipe, key) is not None}
    out["net"] = own | (out.get("net") or {})
    if recipe.augment == "recipe" and "subdivisions" not in out and "batch" in out:
        parts = source.net.integer("subdivisions", 1)
        out["subdivisions"] = parts if out["batch"] % parts == 0 else 1
    if recipe.epochs is not None and "iterations" not in out:
        batch = out.get("batch", source.net.integer("batch", 1))
        out["iterations"] = max(1, round(recipe.epochs * len(read_list(data.list_of("train"))) / batch))
    return out


def write_run_metadata(
    run: RunDir, data: Path, settings: dict, argv: list[str] | None = None, engine: str = "builtin"
) -> None:
    """Write args.toml (the effective settings) and the run.json that says what began, on what, with what."""
    settings = run_folder.recorded(settings)
    lines = [f"{key} = {_toml(value)}\n" for key, value in settings.items() if value is not None]
    run_folder.write_text(run.path / "args.toml", "".join(lines))
    pretrained = settings.get("pretrained")
    run.write_json(
        engine=engine,
        verdict="running",
        started=run_folder.now(),
        argv=sys.argv if argv is None else argv,
        cfg=str(run.cfg),
        data=os.path.abspath(data),
        settings=settings,
        hashes=hashes(run.cfg, read_data(data)),
        versions=versions(),
        started_from={"path": str(pretrained), "sha256": sha256(pretrained)} if pretrained else None,
    )


def hashes(cfg: Path, data: DataFile) -> dict:
    """The sha256 of what is trained, and on what: the cfg, the .data file and its lists."""
    lists = {split: path for split in ("train", "valid") if (path := getattr(data, split)) and path.is_file()}
    return {"cfg": sha256(cfg), "data": {name: sha256(path) for name, path in {"data": data.path, **lists}.items()}}


def write_resumed_metadata(run: RunDir, engine: str) -> None:
    """Write to run.json that `engine` goes on, and from which weights."""
    last = run.weights_file("last")
    run.write_json(engine=engine, verdict="running", started_from={"path": str(last), "sha256": sha256(last)})


def reopen(path: str | Path) -> tuple[RunDir, dict]:
    """A run folder to go on with, and its run.json; RunError when it has nothing to go on from."""
    run = RunDir(Path(path))
    info = settings_files.checked(run.read_json(), {}, run.path / "run.json", ("engine", "data", "settings"), RunError)
    if info["engine"] not in ("builtin", "compiled"):
        raise RunError(f"'engine' is {info['engine']!r}; wanted: builtin or compiled", where=run.path / "run.json")
    if not run.weights_file("last").is_file():
        raise RunError("has no last weights to resume from", where=run.path, mend="train it again")
    return run, info


def versions() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    out = {"python": platform.python_version(), "platform": platform.platform()}
    for package in ("emo-darknet", "torch", "numpy", "opencv-python"):
        try:
            out[package] = version(package)
        except PackageNotFoundError:
            pass
    return out


def _toml(value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'


def data_of(
    path: str | Path | None, template: str | Path | None = None, say: Callable[[str], None] = lambda text: None
) -> DataFile:
    """The set that the user named, in any form that `open_set` takes, or the one under ./data that fits the network
    `template`.
    """
    task = None if template is None else "detector" if templates.load(template).is_detector else "classifier"
    return open_set(path, task, say)
