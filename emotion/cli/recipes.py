"""`emo recipes`: the recipes that ship, and what stands in them."""

from __future__ import annotations

import json

import click

from . import options
from .groups import Group


@click.group(cls=Group)
def recipes():
    """How networks are trained: list the recipes, show one.

    \b
    emo recipes list
    emo recipes show best
    """


@recipes.command("list")
@options.as_json
def list_recipes(as_json):
    """The recipes that come with emo, one line each.

    \b
    emo recipes list
    """
    from darknet_runner.builtin import recipe

    found = [recipe.load(name) for name in recipe.names()]
    if as_json:
        click.echo(json.dumps([{"name": item.name, "about": item.about, "source": item.source} for item in found]))
        return
    for item in found:
        click.echo(f"{item.name:10} {item.about}")


@recipes.command()
@click.argument("name")
@click.option(
    "--set", "changes", multiple=True, metavar="KEY=VALUE", help="Show it with this setting changed; may be repeated."
)
@options.as_json
def show(name, changes, as_json):
    """A recipe's file as it stands; with --set, its settings after the change; --json has every setting.

    \b
    emo recipes show vgg-noise
    emo recipes show best --set mixup=0.4 > mine.toml
    """
    from dataclasses import asdict

    from darknet_runner.builtin import recipe

    from .training_options import pair

    found = recipe.load(name).override(dict(map(pair, changes)))
    if as_json:
        click.echo(json.dumps(asdict(found)))
    else:
        click.echo(found.toml() if changes else recipe.path_of(name).read_text(encoding="utf-8-sig"), nl=False)
