"""`--config FILE.toml`: defaults for options, a table a command, below the command line and EMO_*.

    [darknet.train]
    cfg = "v4-tiny"
    [detect]
    conf = 0.3
"""

from __future__ import annotations

import tomllib
from pathlib import Path

import click

from converters.errors import UsageError, nearest


def defaults(path: str, group: click.Group, ctx: click.Context) -> dict:
    """The file as click's default_map; UsageError names an unknown key and the nearest known one."""
    try:
        settings = tomllib.loads(Path(path).read_text())
    except FileNotFoundError:
        raise UsageError("no such file", where=path) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"is no TOML: {error}", where=path) from None
    return _checked(settings, group, ctx, path, "")


def _checked(table, command, ctx, path, prefix):
    out = {}
    subcommands = command.list_commands(ctx) if isinstance(command, click.Group) else []
    options = {parameter.name: parameter for parameter in command.params if isinstance(parameter, click.Option)}
    for key, value in table.items():
        name = key.replace("-", "_")
        if key in subcommands and isinstance(value, dict):
            out[key] = _checked(value, command.get_command(ctx, key), ctx, path, f"{prefix}{key}.")
        elif name in options and not isinstance(value, dict):
            out[name] = value
        else:
            raise UsageError(f"unknown key '{prefix}{key}'", where=path, mend=nearest(key, [*subcommands, *options]))
    return out
