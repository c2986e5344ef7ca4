"""`--config FILE.toml`: defaults for options, a table a command, below the command line and EMO_*.

[darknet.train]
cfg = "v4-tiny"
[detect]
conf = 0.3
"""

from __future__ import annotations

from pathlib import Path

import click

from converters import settings_files
from converters.errors import DataError, UsageError, nearest

from .options import long_name


def defaults(path: str, group: click.Group, ctx: click.Context) -> dict:
    """The file as click's default_map; UsageError names an unknown key and the nearest known one. DataError: no
    such file.
    """
    settings = settings_files.read_toml(path, error=UsageError if Path(path).exists() else DataError)
    return _checked(settings, group, ctx, path, "")


def _checked(table, command, ctx, path, prefix):
    out = {}
    subcommands = command.list_commands(ctx) if isinstance(command, click.Group) else []
    options = {long_name(option): option for option in command.params if isinstance(option, click.Option)}
    for key, value in table.items():
        if key in subcommands:
            if not isinstance(value, dict):
                raise UsageError(f"'{prefix}{key}' is a command", where=path, mend=f"write a table [{prefix}{key}]")
            out[key] = _checked(value, command.get_command(ctx, key), ctx, path, f"{prefix}{key}.")
        elif key.replace("_", "-") in options:
            option = options[key.replace("_", "-")]
            out[option.name] = _value(value, option, path, f"{prefix}{key}")
        else:
            raise UsageError(f"unknown key '{prefix}{key}'", where=path, mend=nearest(key, [*subcommands, *options]))
    return out


def _value(value, option, path, key):
    """A TOML value as the text that the command line would have, which click then checks; flags stay true or false."""
    many = option.multiple or option.nargs != 1
    for item in value if many and isinstance(value, list) else [value]:
        if isinstance(item, bool) != bool(option.is_flag) or isinstance(item, (dict, list)):
            wanted = "true or false" if option.is_flag else "a list of values" if many else "one value"
            raise UsageError(f"'{key}' takes {wanted}, not {item!r}", where=path)
    if option.is_flag:
        return value
    return [str(item) for item in (value if isinstance(value, list) else [value])] if many else str(value)
