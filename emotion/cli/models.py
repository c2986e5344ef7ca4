"""`emo models`: what can be named by --model, whether it is whole, what its card says; face finders of others."""

from __future__ import annotations

import json

import click

from converters.errors import EmoError

from . import options
from .groups import Group
from .printing import columns


@click.group(cls=Group)
def models():
    """List, show, check and fetch models: those that come with emo, the runs under ./runs, and published face finders.

    \b
    emo models list
    emo models show emo-v4-nano
    emo models verify
    emo models pull yunet
    """


@models.command("list")
@options.as_json
def list_(as_json):
    """List the models that --model takes by name: those that come with emo, then ./runs, newest first.

    \b
    emo models list
    """
    from darknet_runner.run.folder import jsonable

    from ..systems import models as library

    found = []
    for name in library.at_hand():
        try:
            model = library.find(name, None)
            found.append(
                model.describe()
                | {
                    "name": name,
                    "megabytes": round(model.weights.stat().st_size / 1e6, 1),
                    "metrics": model.card.get("metrics", {}),
                }
            )
        except EmoError as error:
            found.append({"name": name, "fault": str(error)})
    if as_json:
        click.echo(json.dumps(jsonable(found), indent=2, ensure_ascii=False))
        return
    rows = []
    for one in found:
        if "fault" in one:
            rows.append((one["name"], "", "", "", "", one["fault"]))
            continue
        rows.append(
            (
                one["name"],
                one["task"],
                "x".join(map(str, one["input"][:2])),
                one["classes"],
                one["megabytes"],
                headline(one["metrics"]),
            )
        )
    columns(("name", "task", "input", "classes", "MB", "measured"), rows, left=(0, 1, 5))


def headline(metrics: dict[str, dict]) -> str:
    """The first figure of a card in a few words; `emo models show` has them all."""
    names = {"map50": "mAP@0.5", "face_ap": "face AP", "top1": "top-1", "accuracy": "accuracy", "macro_f1": "macro-F1"}
    for split, figures in metrics.items():
        for key, value in figures.items() if isinstance(figures, dict) else ():
            if key in names and isinstance(value, float):
                return f"{names[key]} {value:.1%}, {split}"
    return ""


@models.command()
@click.argument("model")
@options.as_json
def show(model, as_json):
    """One model: its files, classes, hash, and its card. MODEL is as for --model.

    \b
    emo models show emo-s
    emo models show runs/v4-tiny-001 --json
    """
    from darknet_runner.run.folder import jsonable

    from ..systems import models as library

    found = library.find(model, None)
    told = found.describe() | {"cfg": str(found.cfg.path), "weights": str(found.weights), "classes": list(found.names)}
    if as_json:
        click.echo(json.dumps(jsonable(told | {"card": found.card}), indent=2, ensure_ascii=False))
        return
    for key, value in (told | {key: value for key, value in found.card.items() if key not in told}).items():
        tables = (
            value
            if isinstance(value, dict) and all(isinstance(inner, dict) for inner in value.values())
            else {"": value}
        )
        for name, inner in tables.items():
            text = (
                ", ".join(f"{k} {v}" for k, v in inner.items())
                if isinstance(inner, dict)
                else ", ".join(map(str, inner))
                if isinstance(inner, list)
                else str(inner)
            )
            click.echo(f"{key}{f' ({name})' if name else ''}: {text}")


@models.command()
@click.argument("names", nargs=-1, metavar="[MODEL]...")
@options.as_json
def verify(names, as_json):
    """Check models: weights of the cfg's exact length, finite, with the card's sha256; as many names as classes.

    Without MODEL, all that `emo models list` shows. Exit code 1 when one is damaged.

    \b
    emo models verify
    emo models verify runs/v4-tiny-001
    """
    from ..systems import models as library

    faults = {}
    for name in names or library.at_hand():
        try:
            library.find(name, None)
            faults[name] = None
        except EmoError as error:
            faults[name] = str(error)
    if as_json:
        click.echo(json.dumps(faults, indent=2, ensure_ascii=False))
    else:
        for name, fault in faults.items():
            click.echo(f"{name}: {fault or 'whole'}")
    if any(faults.values()):
        raise SystemExit(1)


@models.command()
@click.argument("names", nargs=-1, required=True, metavar="yunet|ssd...")
@click.option(
    "--from",
    "base",
    metavar="URL",
    help="The URL of a folder that holds the files, instead of their publishers' addresses.",
)
@options.as_json
@options.quiet
def pull(names, base, as_json, quiet):
    """Fetch face finders for the two-stage system: yunet (0.2 MB, MIT), ssd (2.7 MB, Apache-2.0).

    They are checked against their sha256 and kept in a cache, EMO_CACHE or the system's own; an interrupted
    download is continued. --face-model takes them by name. --system two-stage takes yunet by itself once it is
    there, until then face-nano, which comes with emo.

    \b
    emo models pull yunet
    emo models pull ssd yunet --from http://mirror.local/models
    """
    from ..systems import face_models
    from .progress import Progress

    found = {}
    for name in names:
        face_models.published(name)  # all names, before the first is fetched
    for name in names:
        with Progress(quiet, unit="B") as advance:
            found[name] = str(face_models.pull(name, base, advance))
        if not as_json and not quiet:
            click.echo(f"{name}: {found[name]}")
    if as_json:
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
