"""The one opener of text files that people write or save: lists, labels, names, cfg, CSV, JSON, TOML, YAML.

It knows UTF-8 with and without a BOM, UTF-16 and UTF-32 (as Windows' editors and spreadsheets save), else takes the
bytes for Windows' Latin-1; tables may be separated by commas, semicolons or tabs. What cannot be read is a DataError
that says what the file is and how to save it.

    read_text(path), numbered_lines(path), table_rows(path, ("emotion", "pixels", "usage")), read_json(path)
"""

from __future__ import annotations

import codecs
import csv
import io
import itertools
import json
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from .errors import DataError

MOST_BYTES = 1 << 28  # of a file that is read whole; FER2013's csv, which is streamed, has 290 MB
DEEPEST = 100  # tables or lists in each other in a file that people edit; what goes through them calls itself
SEPARATORS = (",", ";", "\t", "|")  # a table's, in the order in which they are tried
_SAVE = "save it as UTF-8 text"
# Longer ones first: UTF-32's begins with UTF-16's.
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def read_text(path: str | Path, *, names: bool = False, most: int = MOST_BYTES) -> str:
    """The whole file, every line end a `\\n`.

    Bytes that are not UTF-8 are Windows' Latin-1; with `names`, where the text names files, they stay what the file
    system has (surrogateescape). DataError when the file is missing, no text, or longer than `most` bytes.
    """
    with _opened(path) as file:
        data = _guarded(path, lambda: _at_most(file, most + 1))
    if len(data) > most:
        raise DataError(
            f"is longer than {most >> 20} MB, which is too much for such a file",
            where=path,
            mend="is it the right file?",
        )
    bom, encoding = _encoding(data, path)
    data = data[bom:]
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding != "utf-8":
            raise DataError(f"cannot be read as {encoding.upper()}: {error.reason}", where=path, mend=_SAVE) from None
        text = data.decode("utf-8", "surrogateescape") if names else _latin(data)
    if "\0" in text:
        raise DataError("holds NUL bytes: is not a text file", where=path)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def numbered_lines(path: str | Path, *, names: bool = False) -> list[tuple[int, str]]:
    """(line number, text) of the lines that are not blank, without the spaces around them. Raises as `read_text`."""
    return [
        (number, line.strip())
        for number, line in enumerate(read_text(path, names=names).split("\n"), start=1)
        if line.strip()
    ]


def read_lines(path: str | Path, *, names: bool = False) -> list[str]:
    """The lines that are not blank, as `numbered_lines`."""
    return [line for _, line in numbered_lines(path, names=names)]


def open_text(path: str | Path) -> IO[str]:
    """A stream of a long file's text, line ends as they are; bytes that are not UTF-8 are kept (surrogateescape).

    DataError when it is missing or no text.
    """
    file = _opened(path)
    head = _guarded(path, lambda: file.peek(4096)[:4096])
    try:
        bom, encoding = _encoding(head, path)
    except DataError:
        file.close()
        raise
    file.read(bom)
    return io.TextIOWrapper(file, encoding, "surrogateescape" if encoding == "utf-8" else "replace", newline="")


def table_rows(
    path: str | Path, needed: Sequence[str], mend: str | None = None
) -> Iterator[tuple[int, dict[str, str]]]:
    """(line, column -> text) of each row of a table with a header; names of columns in lower case, spaces around all
    dropped.

    Commas, semicolons or tabs, whichever gives the columns that are `needed` (in any case), without any the most
    columns; a spreadsheet's `sep=;` line is passed over, fields beyond the header are dropped, missing ones empty.
    DataError when a column is missing.
    """
    with open_text(path) as file:
        try:
            before, first = first_line(file)
            wanted = {name.lower() for name in needed}
            separator = separator_of(first, lambda fields: wanted <= {field.lower() for field in fields})
            if not needed:
                separator = max(SEPARATORS, key=first.count)
            reader = csv.reader(itertools.chain([first], file), delimiter=separator)
            head = [field.strip().lower() for field in next(reader, [])]
            missing = [name for name in needed if name.lower() not in head]
            if missing:
                what = f"has no column {', '.join(missing)}" if any(head) else "is empty"
                raise DataError(
                    what,
                    where=path,
                    line=before + 1 if any(head) else None,
                    mend=mend or f"found: {', '.join(head)[:200]}",
                )
            for row in reader:
                if any(map(str.strip, row)):
                    row += [""] * (len(head) - len(row))
                    yield before + reader.line_num, {name: field.strip() for name, field in zip(head, row)}
        except (OSError, UnicodeError, csv.Error) as error:
            raise DataError(f"cannot be read as a table: {error}", where=path, mend="save it as CSV, UTF-8") from None


def first_line(file: Iterable[str]) -> tuple[int, str]:
    """How many lines came before the first with content (blank ones, a spreadsheet's `sep=;`), and that one."""
    before = 0
    for line in file:
        if line.strip() and not line.lower().lstrip('"').startswith("sep="):
            return before, line
        before += 1
    return before, ""


def separator_of(line: str, fits: Callable[[list[str]], bool]) -> str:
    """The first of SEPARATORS whose fields of `line` fit; a comma when none does."""
    for separator in SEPARATORS:
        try:
            fields = next(csv.reader([line], delimiter=separator), [])
        except csv.Error:
            continue
        if fits([field.strip() for field in fields]):
            return separator
    return ","


def fields_of(line: str, count: int) -> list[str]:
    """The fields of a line of a list, `count` when it is whole: white space parts them, and the first may hold some;
    or, as a spreadsheet saves it, a comma, semicolon or bar.
    """
    spaced = line.rsplit(maxsplit=count - 1)
    if len(spaced) != count or spaced[0][-1] in SEPARATORS or '"' in line:
        for separator in SEPARATORS:
            fields = [field.strip() for field in next(csv.reader([line], delimiter=separator), [])]
            if len(fields) == count:
                return fields
    return spaced


def number(text: str) -> float:
    """A number as people and spreadsheets write it: 3, 3.5, 3e-2 or, with a decimal comma, 3,5. ValueError for anything
    else.

    Python's own `float` also takes 1_000 and digits of other scripts, which nothing else reads as that.
    """
    if not text.isascii() or "_" in text:
        raise ValueError(f"'{text[:40]}' is not a number")
    if text.count(",") == 1 and "." not in text:
        text = text.replace(",", ".")
    return float(text)


def slashes(name: str) -> str:
    """A file's name in a list or table from Windows, with slashes."""
    return name.replace("\\", "/") if "\\" in name else name


def read_json(path: str | Path, *, names: bool = False, most: int = MOST_BYTES, edited: bool = False) -> Any:
    """What a JSON file holds; DataError when it is missing or no JSON, or, where people edit it, too deep."""
    text = read_text(path, names=names, most=most)
    try:
        return shallow(json.loads(text)) if edited else json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(_no("JSON", error), where=path) from None


def read_toml(path: str | Path) -> dict[str, Any]:
    """What a TOML file holds; DataError when it is missing or no TOML."""
    import tomllib

    text = read_text(path, most=1 << 24)
    try:
        return shallow(tomllib.loads(text))
    except (ValueError, RecursionError) as error:
        raise DataError(_no("TOML", error), where=path) from None


def read_yaml(path: str | Path) -> Any:
    """What a YAML file holds, plain values only; DataError when it is missing or no YAML."""
    import yaml

    text = read_text(path, most=1 << 24)
    try:
        return shallow(yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
    except (
        yaml.YAMLError,
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
        ArithmeticError,
        RecursionError,
    ) as error:
        raise DataError(_no("YAML", error), where=path) from None


def shallow(value: Any) -> Any:
    """`value` itself; RecursionError when tables and lists lie more than DEEPEST deep in each other, which TOML's
    `[a.a.a...]` gives without an error of its own parser.
    """
    seen: set[int] = set()  # YAML's aliases make one value part of many, even of itself
    level = [value]
    for _ in range(DEEPEST):
        below = []
        for table in level:
            for inner in table.values() if isinstance(table, dict) else table if isinstance(table, list) else ():
                if isinstance(inner, (dict, list)) and id(inner) not in seen:
                    seen.add(id(inner))
                    below.append(inner)
        if not below:
            return value
        level = below
    raise RecursionError


def _no(kind: str, error: Exception) -> str:
    if isinstance(error, RecursionError):
        return f"is not {kind} that emo reads: its tables or lists lie too deep in each other"
    return f"is not {kind}: {' '.join(str(error).split())[:200]}"


def _at_most(file: IO[bytes], count: int) -> bytes:
    """Its first `count` bytes; `read(count)` would take that much memory first, however short the file."""
    parts: list[bytes] = []
    while count and (part := file.read(min(count, 1 << 20))):
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def _opened(path: str | Path) -> io.BufferedReader:
    """The file, open for bytes. A pipe of the shell's, as `<(...)` gives, is read; one in a folder, which nobody
    may write to, is not.
    """

    def opened():
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            raise DataError("is a folder, not a file", where=path)
        if not stat.S_ISREG(mode) and not os.path.realpath(path).startswith(("/proc/", "/dev/fd/")):
            raise DataError("is not a regular file", where=path)
        return open(path, "rb", buffering=1 << 17)

    return _guarded(path, opened)


def _guarded(path, read):
    try:
        return read()
    except (FileNotFoundError, NotADirectoryError):
        raise DataError("no such file", where=path) from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise DataError(f"cannot be read: {getattr(error, 'strerror', None) or error}", where=path) from None


def _encoding(head: bytes, path) -> tuple[int, str]:
    """(length of the BOM, encoding) by the file's first bytes; DataError when they are not text's."""
    for bom, encoding in _BOMS:
        if head.startswith(bom):
            return len(bom), encoding
    some = head[:4096]
    if b"\0" in some:  # UTF-16 without a BOM: every second byte of plain text is NUL
        even, odd = some[0::2].count(0), some[1::2].count(0)
        half = len(some) // 2
        if odd > 0.4 * half and not even:
            return 0, "utf-16-le"
        if even > 0.4 * half and not odd:
            return 0, "utf-16-be"
        raise DataError("holds NUL bytes: is not a text file", where=path)
    return 0, "utf-8"


def _latin(data: bytes) -> str:
    try:
        return data.decode("cp1252")
    except UnicodeDecodeError:  # five bytes mean nothing in Windows' table
        return data.decode("latin-1")
