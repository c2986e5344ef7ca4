#!/usr/bin/env python3
"""Write docs/cli.md, the reference of every command, from the commands themselves.

python scripts/make_cli_reference.py            # a test compares; run this after any change of an option or help text
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import click

from emotion.cli import emo

TARGET = Path(__file__).resolve().parents[1] / "docs" / "cli.md"
WIDTH = 100
HEAD = f"""# Every command

Written by `scripts/make_cli_reference.py` from the commands themselves; `emo COMMAND --help` prints the same.

<!-- laid out by click {version("click")} -->
"""


def pages(command: click.Command, parent: click.Context | None, name: str) -> Iterator[tuple[str, str]]:
    """(full name, help text) of a command and of all commands below it, in the order of `--help`."""
    settings = {"terminal_width": WIDTH, "max_content_width": WIDTH} if parent is None else {}
    ctx = click.Context(command, parent=parent, info_name=name, **(command.context_settings | settings))
    yield ctx.command_path, command.get_help(ctx)
    if isinstance(command, click.Group):
        for sub in command.list_commands(ctx):
            yield from pages(command.get_command(ctx, sub), ctx, sub)


def reference() -> str:
    """The whole page."""
    return HEAD + "".join(
        f"\n## {path}\n\n```text\n{text.replace(chr(8), '').rstrip()}\n```\n" for path, text in pages(emo, None, "emo")
    )


if __name__ == "__main__":
    TARGET.write_text(reference(), encoding="utf-8")
