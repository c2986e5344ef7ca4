"""A short description of a plain convolutional classifier -> the text of its cfg.

    text = ConvNet.of("2*32x3,2*64x3,128x3", "256,256", dropout=0.5).text("mine")

Convolutions come in stages with a 2x2 pooling after each; dense layers follow, then one for the classes and
the softmax. A stage reads REPEAT*FILTERSxSIZE: `2*64x3` is two convolutions of 64 filters of 3x3, `64x3` one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from converters.errors import UsageError

_STAGE = re.compile(r"(?:(\d+)\*)?(\d+)x(\d+)")
_MOST = 1 << 16  # filters, outputs: far more than any network has, and a slip of the finger below it stays harmless


def section(kind: str, **options: object) -> str:
    """The text of one cfg section, options in the order given; those that are None are left out."""
    return f"[{kind}]\n" + "".join(f"{key}={value}\n" for key, value in options.items() if value is not None)


@dataclass(frozen=True)
class Stage:
    """`repeat` convolutions of `filters` filters of `size` x `size`, then a pooling and maybe a dropout."""

    repeat: int
    filters: int
    size: int
    dropout: float = 0.0


@dataclass(frozen=True)
class ConvNet:
    """Stages and dense layers. `dropout` stands behind each dense layer, a stage's own behind its pooling."""

    stages: tuple[Stage, ...]
    dense: tuple[int, ...] = ()
    dropout: float = 0.0
    classes: int = 7
    size: int = 48
    channels: int = 1
    batch_norm: bool = True
    activation: str = "leaky"

    @classmethod
    def of(cls, conv: str, dense: str = "", *, conv_dropout: str = "", **options) -> ConvNet:
        """From text: `conv` as in the module's docstring, `dense` outputs ("256,256"), `conv_dropout` one share or one
        a stage.

        UsageError names the part that is not understood.
        """
        parts = [part for part in re.sub(r"\s", "", conv).split(",") if part]
        if not parts:
            raise UsageError("--conv is empty", mend="--conv 32x3,64x3,128x3: filters x kernel size, a stage each")
        shares = _shares(conv_dropout, len(parts))
        stages = tuple(_stage(part, share) for part, share in zip(parts, shares))
        return cls(stages, tuple(_output(part) for part in re.sub(r"\s", "", dense).split(",") if part), **options)

    def text(self, name: str, about: str = "a convolutional classifier from a description") -> str:
        """The cfg, commented; `[net]` is that of emo's other small classifiers."""
        # Dense layers, which no batch norm tames, run away at the rate of the others.
        blocks = [f"# {name}: {about}.\n" + net(self.size, self.channels, learning_rate=0.01 if self.dense else 0.05)]
        norm = 1 if self.batch_norm else None
        for number, stage in enumerate(self.stages, start=1):
            convolution = section(
                "convolutional",
                batch_normalize=norm,
                filters=stage.filters,
                size=stage.size,
                stride=1,
                pad=1,
                activation=self.activation,
            )
            blocks.append(
                f"# Stage {number}: {stage.repeat} x "
                f"{stage.filters} "
                "filters of "
                f"{stage.size}x{stage.size}\n"
                f"{convolution}"
            )
            blocks += [convolution] * (stage.repeat - 1)
            blocks.append(section("maxpool", size=2, stride=2))
            if stage.dropout:
                blocks.append(section("dropout", probability=f"{stage.dropout:g}"))
        for number, output in enumerate(self.dense):
            blocks.append(
                ("" if number else "# Dense layers\n") + section("connected", output=output, activation=self.activation)
            )
            if self.dropout:
                blocks.append(section("dropout", probability=f"{self.dropout:g}"))
        blocks.append("# The classes\n" + section("connected", output=self.classes, activation="linear"))
        return "\n".join([*blocks, section("softmax", groups=1)])


def net(size: int, channels: int, *, batch: int = 128, subdivisions: int = 2, learning_rate: float = 0.05) -> str:
    """[net] of a classifier of faces: SGD with a falling rate, slight turns, stretches and crops; colour only where
    there is one.
    """
    colour = {"hue": 0.02, "saturation": 1.2} if channels == 3 else {}
    return section(
        "net",
        batch=batch,
        subdivisions=subdivisions,
        width=size,
        height=size,
        channels=channels,
        momentum=0.9,
        decay=0.0005,
        angle=12,
        aspect=1.1,
        exposure=1.3,
        **colour,
        min_crop=size,
        max_crop=round(size * 1.25),
        learning_rate=f"{learning_rate:g}",
        burn_in=200,
        policy="poly",
        power=1,
        max_batches=9000,
    )


def _stage(part: str, dropout: float) -> Stage:
    found = _STAGE.fullmatch(part)
    repeat, filters, size = (int(value or 1) for value in found.groups()) if found else (0, 0, 0)
    if not (1 <= repeat <= 1000 and 1 <= filters <= _MOST and size % 2):
        raise UsageError(
            f"--conv {part} is not understood",
            mend="32x3 is 32 filters of 3x3, 2*32x3 two such layers; the kernel's size is odd",
        )
    return Stage(repeat, filters, size, dropout)


def _output(part: str) -> int:
    if not part.isdecimal() or not 1 <= int(part) <= _MOST:
        raise UsageError(
            f"--dense {part} is not understood", mend=f"numbers of outputs from 1 to {_MOST:,}, as in 256,256"
        )
    return int(part)


def _shares(text: str, count: int) -> list[float]:
    """One dropout a stage; UsageError unless there is one for all, or one for each, from 0 to below 1."""
    try:
        found = [float(part) for part in text.split(",") if part.strip()] or [0.0]
    except ValueError:
        found = [-1.0]
    if len(found) not in (1, count) or not all(0 <= share < 1 for share in found):
        raise UsageError(
            f"--conv-dropout {text} is not understood",
            mend=f"one share from 0 to below 1, or {count} of them, one a stage",
        )
    return found * count if len(found) == 1 else found
