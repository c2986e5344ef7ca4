"""JSON and TOML files that people edit: read and checked once, against what they must hold.

    run = read_json(path, {"engine": str, "settings": dict, "data": str}, needed=("data",), error=RunError)
    card = read_toml(path, {"sha256": str, "metrics": dict})

What comes out is a table whose known keys have their types; unknown keys stay as they are. TOML's dates become text,
so that a table from either can be written as JSON. What does not fit is one error with the file and the key.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from . import text_files
from .errors import DataError, EmoError

KINDS = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "a table",
    type(None): "nothing",
}
Fields = Mapping[str, type | tuple[type, ...] | Mapping]
NO_FIELDS: Fields = {}


def read_json(
    path: str | Path, fields: Fields = NO_FIELDS, needed: tuple[str, ...] = (), error: type[EmoError] = DataError
) -> dict:
    """A JSON file's one table. `error` when it cannot be read, is not JSON, or does not hold `fields`."""
    return checked(_read(path, partial(text_files.read_json, edited=True), error), fields, path, needed, error)


def read_toml(
    path: str | Path, fields: Fields = NO_FIELDS, needed: tuple[str, ...] = (), error: type[EmoError] = DataError
) -> dict:
    """A TOML file's top table. `error` when it cannot be read, is not TOML, or does not hold `fields`."""
    return checked(_undated(_read(path, text_files.read_toml, error)), fields, path, needed, error)


def _read(path, parse, error):
    try:
        return parse(path)
    except DataError as fault:
        raise error(fault.what, where=path, mend=fault.mend) from None


def checked(
    table: object,
    fields: Fields,
    where: str | Path,
    needed: tuple[str, ...] = (),
    error: type[EmoError] = DataError,
    prefix: str = "",
) -> dict:
    """`table` itself, when it is one and its known keys have their types: a type, several, or the fields of a table in
    it.

    A float takes whole numbers as well; true and false are not numbers.
    """
    if not isinstance(table, dict):
        what = repr(prefix[:-1]) if prefix else "it"
        raise error(f"{what} is {_kind(table)}; wanted: a table", where=where)
    for key, wanted in fields.items():
        if key not in table:
            continue
        if isinstance(wanted, Mapping):
            checked(table[key], wanted, where, (), error, f"{prefix}{key}.")
            continue
        kinds = wanted if isinstance(wanted, tuple) else (wanted,)
        takes = (*kinds, int) if float in kinds else kinds
        if not isinstance(table[key], takes) or (isinstance(table[key], bool) and bool not in kinds):
            raise error(
                (
                    f"'{prefix}{key}' is {_kind(table[key])}; wanted: "
                    f"{' or '.join(KINDS[kind] for kind in kinds if kind is not type(None))}"
                ),
                where=where,
            )
    for key in needed:
        if key not in table:
            raise error(f"has no '{prefix}{key}'", where=where, mend="it is not whole, or no such file")
    return table


def _kind(value):
    return KINDS.get(type(value), type(value).__name__)


def _undated(value):
    if isinstance(value, dict):
        return {key: _undated(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_undated(item) for item in value]
    return value.isoformat() if isinstance(value, (datetime.date, datetime.time)) else value  # a datetime is a date
