"""The `emo` command. Each command group is a module here, imported only when it is called.

The library raises `EmoError`; `main` prints it as one line and exits with its code. A traceback is a bug.
"""

from __future__ import annotations

import importlib
import os
import sys

import click

from converters.errors import EmoError
from emotion import __version__

# command -> (module, attribute, one line of help); the help stands here so that `emo --help` imports nothing.
COMMANDS = {
    "convert": ("emotion.cli.convert", "convert", "Turn a dataset into Darknet files."),
    "dataset": ("emotion.cli.dataset", "dataset", "Look at a set, check it, change its lists; draw one."),
    "cfg": ("emotion.cli.cfg", "cfg", "Networks: list, show, render, draw and compare them."),
    "darknet": ("emotion.cli.darknet", "darknet", "Train and evaluate Darknet networks."),
    "detect": ("emotion.cli.detect", "detect", "Find faces and emotions in pictures and video."),
    "compare": ("emotion.cli.compare", "compare", "Compare two systems on the same pictures."),
}


class Lazy(click.Group):
    """A group whose commands are imported on use; `table` as COMMANDS."""

    def __init__(self, *args, table: dict[str, tuple[str, str, str]], **settings):
        super().__init__(*args, **settings)
        self.table = table

    def list_commands(self, ctx):
        return list(self.table)

    def get_command(self, ctx, name):
        if name not in self.table:
            return None
        module, attribute, _ = self.table[name]
        return getattr(importlib.import_module(module), attribute)

    def resolve_command(self, ctx, args):
        if args and args[0] not in self.table:
            from converters.errors import nearest

            raise click.UsageError(f"no command '{args[0]}' ({nearest(args[0], self.table)})")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx, formatter):
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in self.table.items()])


@click.group(cls=Lazy, table=COMMANDS, context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "EMO"})
@click.version_option(__version__, prog_name="emo")
@click.option("--config", type=click.Path(dir_okay=False), help="TOML file of option values, a table a command.")
@click.pass_context
def emo(ctx, config):
    """Facial-emotion detection on Darknet/YOLO.

    \b
    emo convert affectnet --task detector
    emo darknet train --cfg v4-tiny
    emo detect video.mp4
    emo compare two-stage vs yolo
    """
    if config:
        from emotion.cli.config import defaults

        ctx.default_map = defaults(config, emo, ctx)


def main(args: list[str] | None = None) -> None:
    """The console script: run, and turn every error a user can cause into one line and an exit code."""
    try:
        sys.exit(emo.main(args=args, prog_name="emo", standalone_mode=False) or 0)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except EmoError as error:
        print(f"emo: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        print("emo: interrupted", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # `emo ... | head`: the reader has gone, which is no fault
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
