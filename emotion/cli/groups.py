"""How commands and groups show themselves: imported on use, help in full lines, options of long commands in
sections.
"""

from __future__ import annotations

import importlib

import click

from .options import name_in_environment

SHORT = 10  # options that a command may have before they are put in sections
# Heading -> options; what stands in none comes first, under `Options`.
SECTIONS = {
    "Model": "system model weights names face-model conf iou top tta crop-scale",
    "Training": (
        "recipe set epochs iterations batch subdivisions size learning-rate optimizer ema prior clip amp patience "
        "monitor pretrained clear freeze-until anchors net yolo map map-every"
    ),
    "Pictures": (
        "task classes usage labels valid find size scenes crowd backgrounds enlarge align grey link no-face verify "
        "with max-pixels"
    ),
    "Address": "host port token rate megabytes open source",
    "A part of it": "start end stride max-fps",
    "Tracking": "raw track smooth detect-every uncertain",
    "A Darknet binary": "engine darknet allow-broken-cpu mjpeg-port auto-recover silence gpus print-command",
    "Statistics": "bootstrap table memory",
    "A gate": "fail-under baseline tolerance junit summary",
    "Where it computes": "backend device onnx threads workers jobs cluster cache seed",
    "What is written": (
        "out outputs no-clip runs name no-annotate show resume strict csv tensorboard mlflow force dry-run json quiet "
        "limit help"
    ),
}


def section_of(option: click.Option, sections: dict[str, str]) -> str | None:
    """The heading that an option stands under; None for none."""
    for names in (option.secondary_opts, option.opts):  # --clip is a number of emo train's, --clip/--no-clip a video
        wanted = {name.lstrip("-") for name in names}
        if found := next((heading for heading, listed in sections.items() if wanted & set(listed.split())), None):
            return found
    return None


class Command(click.Command):
    """A command whose help, when it has many options, gives them in sections."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        given = [option for option in self.get_params(ctx) if isinstance(option, click.Option)]
        shown = [(option, record) for option in given if (record := option.get_help_record(ctx)) is not None]
        if len(shown) <= SHORT:
            super().format_options(ctx, formatter)
            return
        by_heading: dict[str, list[tuple[str, str]]] = {heading: [] for heading in ("Options", *SECTIONS)}
        for option, record in shown:
            by_heading[section_of(option, SECTIONS) or "Options"].append(record)
        for heading, records in by_heading.items():
            if len(records) == 1 and heading != "Options":  # a heading over one option says little
                by_heading["Options"] += records
                records.clear()
        for heading, records in by_heading.items():
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)


class Group(click.Group):
    """A group whose list of commands has each one's whole first line."""

    command_class = Command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        listed = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, first_line(command)) for name, command in listed if command is not None and not command.hidden]
            )

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and self.get_command(ctx, args[0]) is None:
            from converters.errors import nearest

            raise click.UsageError(f"no command '{args[0]}' ({nearest(args[0], self.list_commands(ctx))})", ctx)
        return super().resolve_command(ctx, args)


def first_line(command: click.Command) -> str:
    return (command.help or "").strip().partition("\n")[0]


class Lazy(click.Group):
    """A group whose commands are imported on use.

    table     name -> (module, attribute, one line of help); the help stands there so that `--help` imports nothing
    sections  heading -> names, for `--help`
    also      names that people try -> the name that it has here
    instead   names that people try -> what to type
    """

    def __init__(
        self,
        *args,
        table: dict[str, tuple[str, str, str]],
        sections: dict[str, tuple[str, ...]] | None = None,
        also: dict[str, str] | None = None,
        instead: dict[str, str] | None = None,
        **settings,
    ):
        super().__init__(*args, **settings)
        self.table, self.sections = table, sections or {"Commands": tuple(table)}
        self.also, self.instead = also or {}, instead or {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.table)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in self.table:
            return None
        module, attribute, _ = self.table[name]
        return getattr(importlib.import_module(module), attribute)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] in self.also:
            args = [self.also[args[0]], *args[1:]]
        if args and args[0] not in self.table:
            from converters.errors import nearest

            mend = f"type: {self.instead[args[0]]}" if args[0] in self.instead else nearest(args[0], self.table)
            raise click.UsageError(f"no command '{args[0]}' ({mend})")
        name, command, rest = super().resolve_command(ctx, args)
        if command is not None:
            name_in_environment(command, f"{ctx.auto_envvar_prefix}_{name}")
        return name, command, rest

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        wide = max(map(len, self.table))
        for heading, names in self.sections.items():
            with formatter.section(heading):
                formatter.write_dl([(name.ljust(wide), self.table[name][2]) for name in names])
