"""What commands print in common."""

from __future__ import annotations

from collections.abc import Iterable

import click


def columns(header: tuple[str, ...], rows: list[tuple], left: tuple[int, ...] = (0,)) -> None:
    """Print the lines of `aligned`."""
    for line in aligned(header, rows, left):
        click.echo(line)


def aligned(header: tuple[str, ...], rows: list[tuple], left: tuple[int, ...] = (0,)) -> list[str]:
    """A table's lines, numbers to the right, the columns of `left` to the left."""
    rows = [header, *(tuple(map(str, row)) for row in rows)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    cells = (
        [
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths))
        ]
        for row in rows
    )
    return ["  ".join(row).rstrip() for row in cells]


def shape_text(shape: Iterable[int]) -> str:
    """`416x416x3`."""
    return "x".join(map(str, shape))
