"""The `emo` command. Each command group is a module here, imported only when it is called.

The library raises `EmoError`; `main` prints it as one line and exits with its code. A traceback is a bug.
"""

from __future__ import annotations

from . import before_imports  # noqa: F401  first of all

# isort: split

import atexit
import io
import os
import re
import signal
import sys
import time

import click
from click.core import ParameterSource

from converters.errors import EmoError
from converters.terminal_text import PlainStream, redacted

from ..version import __version__
from .groups import Lazy

# command -> (module, attribute, one line of help); the help stands here so that `emo --help` imports nothing.
COMMANDS = {
    "convert": ("emotion.cli.convert", "convert", "Turn a dataset into Darknet files."),
    "dataset": ("emotion.cli.dataset", "dataset", "Inspect, check and change a set, or draw one."),
    "cfg": ("emotion.cli.cfg", "cfg", "Networks: list, show, render, draw and compare them."),
    "train": ("emotion.cli.train", "train", "Train a classifier or a detector by a recipe."),
    "recipes": ("emotion.cli.recipes", "recipes", "How networks are trained: list and show."),
    "darknet": ("emotion.cli.darknet", "darknet", "Train and evaluate Darknet networks."),
    "detect": ("emotion.cli.detect", "detect", "Find faces and emotions in pictures and video."),
    "draw": ("emotion.cli.draw", "draw", "Draw what emo or another tool found."),
    "serve": ("emotion.cli.serve", "serve", "Serve a page for a camera, and an interface for programs."),
    "runs": ("emotion.cli.runs", "runs", "Runs that were trained here: list, show, compare."),
    "models": ("emotion.cli.models", "models", "Models: list, show, check, fetch them."),
    "export": ("emotion.cli.export", "export", "Write a model as ONNX."),
    "evaluate": ("emotion.cli.evaluate", "evaluate", "Measure models on a labelled set."),
    "compare": ("emotion.cli.compare", "compare", "Compare two systems on the same pictures."),
}


SECTIONS = {
    "Data": ("convert", "dataset"),
    "Networks and training": ("cfg", "train", "recipes", "runs", "darknet"),
    "Use and measure": ("detect", "draw", "serve", "evaluate", "compare"),
    "Models": ("models", "export"),
}
# What people type elsewhere: the same command here, or what to type instead.
ALSO = {"predict": "detect", "val": "evaluate", "eval": "evaluate", "validate": "evaluate"}
INSTEAD = {
    "test": "emo evaluate MODEL --split test, or emo darknet test PICTURE",
    "track": "emo detect VIDEO",
    "webcam": "emo serve, or emo detect camera",
    "camera": "emo serve, or emo detect camera",
    "download": "emo models pull NAME",
    "pull": "emo models pull NAME",
    "list": "emo models list, emo cfg list or emo recipes list",
    "benchmark": "emo compare A vs B",
    "split": "emo dataset split",
    "check": "emo dataset check",
    "synth": "emo dataset synth",
    "resume": "emo train --resume RUN",
    "fit": "emo train NETWORK",
}
STDOUT = "standard output"


@click.group(
    cls=Lazy,
    table=COMMANDS,
    sections=SECTIONS,
    also=ALSO,
    instead=INSTEAD,
    context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "EMO", "max_content_width": 120},
)
@click.version_option(__version__, prog_name="emo", allow_from_autoenv=False)
@click.option(
    "--config",
    envvar="EMO_CONFIG",
    type=click.Path(dir_okay=False),
    help="TOML file of option values, with a table for each command.",
)
@click.pass_context
def emo(ctx, config):
    """Facial-emotion detection on Darknet/YOLO.

    \b
    emo convert affectnet --task detector
    emo darknet train --cfg v4-tiny
    emo detect video.mp4
    emo compare two-stage vs yolo

    predict and val are other names for detect and evaluate. For completion in your shell see
    docs/settings.md.
    """
    if config:
        from .config import defaults

        ctx.default_map = defaults(config, emo, ctx)


def main(args: list[str] | None = None) -> None:
    """The console script: run, and turn every error a user can cause into one line and an exit code."""
    _prepare_process()
    try:
        _main(args)
    except Exception:
        if not _signals:
            raise
        fail("interrupted", 130)


def _main(args: list[str] | None) -> None:
    if "_EMO_COMPLETE" in os.environ:  # the shell asks for names, see docs/settings.md
        emo.main(args, "emo")
    try:
        args = list(sys.argv[1:] if args is None else args)
        _refuse_empty(args)
        with emo.make_context(
            "emo", args
        ) as ctx:  # not emo.main(), which has its own mind about Ctrl-C and closed pipes
            status = emo.invoke(ctx)
        sys.stdout.flush()  # a full disk or a closed pipe shows here at the latest, where it can still be told
        sys.exit(status if isinstance(status, int) else 0)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(error.exit_code)
    except click.ClickException as error:
        fail(_usage(error), error.exit_code)
    except EmoError as error:
        if _signals:  # what it broke in, such as the import of a library in C, told it as a fault of its own
            fail("interrupted", 130)
        fail(str(error), error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        fail("interrupted", 130)
    except BrokenPipeError:  # `emo ... | head`: the reader has gone, which is not a fault
        _drop_stdout()
        sys.exit(141)
    except OSError as error:  # what no room could know: a full disk, rights, a name that is too long
        if error.filename == STDOUT:
            _drop_stdout()
        fail(f"{os.fsdecode(error.filename or 'a file')}: {error.strerror or error}", 1)
    except MemoryError:
        fail("not enough memory (try a smaller --jobs, --size or --batch)", 1)


def fail(message: str, code: int) -> None:
    """Say it on stderr, where no name in it can break or colour the line and no password is shown, and exit."""
    print("emo: " + redacted(message), file=sys.stderr)
    sys.exit(code)


def _usage(error: click.ClickException) -> str:
    """Click's error as one line: what, where the value stands when not on the command line, and where to read on."""
    message, ctx, option = (
        " ".join(error.format_message().split()).rstrip("."),
        getattr(error, "ctx", None),
        getattr(error, "param", None),
    )
    if ctx is None:
        return message
    source = ctx.get_parameter_source(option.name) if option is not None else None
    if option is not None and source is ParameterSource.ENVIRONMENT:
        message += f", from {option.envvar}"
    elif source is ParameterSource.DEFAULT_MAP:
        message += f", from {ctx.find_root().params['config']}"
    return f"{message} (see {ctx.command_path} --help)"


def _refuse_empty(args: list[str]) -> None:
    """Nothing here means anything when empty, and an unset shell variable must not become the folder one is in."""
    for arg in args:
        if arg == "" or re.fullmatch(r"--[a-z-]+=", arg):
            raise click.UsageError(f"an argument is empty: {arg or repr(arg)}; is a variable of the shell unset?")


def _prepare_process() -> None:
    """Streams that can be written to and show what files hold as plain text; SIGTERM and SIGHUP as Ctrl-C, so that
    they clean up too.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:  # started with it closed: the next file opened would become it
            os.open(os.devnull, os.O_RDWR)
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r" if name == "stdin" else "w"))
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names that are not UTF-8, as stderr does
    for name in ("stdout", "stderr"):
        if not isinstance(getattr(sys, name), PlainStream):
            setattr(sys, name, PlainStream(getattr(sys, name), {"stdout": STDOUT, "stderr": "standard error"}[name]))
    _signals.clear()
    for number in STOPS:
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):  # nohup's choice stands
            signal.signal(number, _interrupt)


# Windows has no SIGHUP.
STOPS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
ENDING_S = 3.0  # in which a second signal is taken for the first
_signals: list[float] = []  # when the one came that ended what was at work


def _interrupt(number: int, frame) -> None:
    """The first ends what is at work. One that comes at once after it, from an impatient hand or from a parent that
    passes on what the whole group got, does not break into the cleaning up; a later one does.
    """
    now = time.monotonic()
    if _signals and now - _signals[0] < ENDING_S:
        return
    _signals[:] = [now]
    raise KeyboardInterrupt


@atexit.register
def _deaf() -> None:
    """While Python ends it would put its own handling back, and a signal then would change the exit code."""
    for number in STOPS:
        if signal.getsignal(number) is _interrupt:
            signal.signal(number, signal.SIG_IGN)


def _drop_stdout() -> None:
    """What is left in the buffer goes nowhere; without this Python tries, and complains, once more at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
