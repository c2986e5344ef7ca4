"""What commands print in common."""

from __future__ import annotations

import click


def columns(header: tuple[str, ...], rows: list[tuple], left: tuple[int, ...] = (0,)) -> None:
    """Print columns, numbers to the right, those of `left` to the left."""
    rows = [header, *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    for row in rows:
        cells = [cell.ljust(width) if column in left else cell.rjust(width) for column, (cell, width) in enumerate(zip(row, widths))]
        click.echo("  ".join(cells).rstrip())
