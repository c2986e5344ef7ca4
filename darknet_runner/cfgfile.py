"""Parse, edit and write a Darknet cfg, keeping its lines, comments, order and repeated sections.

    cfg = load("yolov4-tiny.cfg")
    cfg.net.integer("width"), cfg.layers[0].type, cfg.layers[0].integer("filters")
    cfg = cfg.edit({0: {"width": 320}, -1: {"classes": 7}})      # by section index; 0 is [net]
    save(cfg, "mine.cfg")

Darknet's own rules (src/parser.c, read_cfg; src/option_list.c): a line's blanks do not count, `#` and
`;` begin a comment line, the first of two equal keys wins. Nothing is ever evaluated.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from converters.errors import CfgError

ALIASES = {
    "network": "net", "conv": "convolutional", "max": "maxpool", "avg": "avgpool", "conn": "connected",
    "soft": "softmax", "deconv": "deconvolutional", "local_avg": "local_avgpool", "gru": "gru",
}  # fmt: skip


@dataclass(frozen=True)
class Section:
    """One `[type]` with its options, as text; `line` and `lines[key]` count from 1."""

    type: str
    line: int
    options: dict[str, str]
    lines: dict[str, int]
    path: Path | None = field(default=None, compare=False)

    def _number(self, key, kind, text):
        try:
            return kind(text)
        except ValueError:
            raise CfgError(f"[{self.type}] {key} = {text} is not a number", where=self.path, line=self.lines[key]) from None

    def text(self, key: str, default: str | None = None) -> str | None:
        return self.options.get(key, default)

    def integer(self, key: str, default: int | None = None) -> int | None:
        """The option as a whole number, cut as C's atoi cuts it ('1.5' -> 1)."""
        return int(self._number(key, float, self.options[key])) if key in self.options else default

    def number(self, key: str, default: float | None = None) -> float | None:
        return self._number(key, float, self.options[key]) if key in self.options else default

    def numbers(self, key: str, default: tuple[float, ...] = ()) -> tuple[float, ...]:
        """A comma-separated list of numbers."""
        if key not in self.options:
            return default
        return tuple(self._number(key, float, part) for part in self.options[key].split(",") if part)

    def integers(self, key: str, default: tuple[int, ...] = ()) -> tuple[int, ...]:
        return tuple(int(value) for value in self.numbers(key, default))

    def need(self, key: str) -> str:
        """The option's text; CfgError when it is not there."""
        if key not in self.options:
            raise CfgError(f"[{self.type}] has no {key}", where=self.path, line=self.line)
        return self.options[key]


@dataclass(frozen=True)
class Cfg:
    """A parsed cfg: the file's text, and its sections, `[net]` first."""

    text: str
    sections: tuple[Section, ...]
    path: Path | None = field(default=None, compare=False)

    @property
    def net(self) -> Section:
        return self.sections[0]

    @property
    def layers(self) -> tuple[Section, ...]:
        """All sections but [net]: index i here is Darknet's layer i."""
        return self.sections[1:]

    @property
    def size_wh(self) -> tuple[int, int]:
        return self.net.integer("width"), self.net.integer("height")

    @property
    def is_detector(self) -> bool:
        return any(layer.type in ("yolo", "region", "detection") for layer in self.layers)

    def edit(self, changes: dict[int, dict[str, object]]) -> Cfg:
        """A copy with options set, `{section index: {key: value}}`; None takes an option out.

        A changed option stays on its line; a new one goes below the section's last option.
        """
        lines: list[str | None] = self.text.split("\n")
        inserts: dict[int, list[str]] = {}
        for index, options in changes.items():
            section = self.sections[index]
            for key, value in options.items():
                number = section.lines.get(key)
                if number and value is None:
                    lines[number - 1] = None
                elif number:
                    head = re.match(r"\s*[^=]*=\s*", lines[number - 1])[0]
                    lines[number - 1] = f"{head}{value}"
                elif value is not None:
                    after = max([section.line, *section.lines.values()])
                    inserts.setdefault(after, []).append(f"{key}={value}")
        out = []
        for number, line in enumerate(lines, start=1):
            out += ([] if line is None else [line]) + inserts.get(number, [])
        return parse("\n".join(out), self.path)


def parse(text: str, path: str | Path | None = None) -> Cfg:
    """Parse cfg text; CfgError with file and line for a line that is neither section, option nor comment."""
    path = None if path is None else Path(path)
    sections: list[Section] = []
    for number, raw in enumerate(text.split("\n"), start=1):
        line = re.sub(r"\s+", "", raw)
        if not line or line[0] in "#;":
            continue
        if line[0] == "[":
            if "]" not in line:
                raise CfgError(f"section without a closing bracket: '{raw.strip()[:60]}'", where=path, line=number)
            name = line[1 : line.index("]")]
            sections.append(Section(ALIASES.get(name, name), number, {}, {}, path))
            continue
        key, equals, value = line.partition("=")
        if not equals:
            raise CfgError(f"expected key=value, found '{raw.strip()[:60]}'", where=path, line=number)
        if not sections:
            raise CfgError("an option stands before the first section", where=path, line=number)
        if key not in sections[-1].options:
            sections[-1].options[key] = value.partition("#")[0]
            sections[-1].lines[key] = number
    if not sections or sections[0].type != "net":
        raise CfgError("a network cfg begins with [net]", where=path, line=sections[0].line if sections else 1)
    return Cfg(text, tuple(sections), path)


def load(path: str | Path) -> Cfg:
    """Read and parse a cfg file."""
    path = Path(path)
    try:
        return parse(path.read_text(encoding="utf-8", errors="replace"), path)
    except FileNotFoundError:
        raise CfgError("no such cfg", where=path) from None
    except OSError as error:
        raise CfgError(f"cannot be read: {error.strerror}", where=path) from None


def save(cfg: Cfg, path: str | Path) -> None:
    Path(path).write_text(cfg.text)
