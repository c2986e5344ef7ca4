"""A table of text cells as plain text, CSV, Markdown or LaTeX."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

FORMS = ("text", "csv", "markdown", "latex")
_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "–": "--",
    "|": r"\textbar{}",  # OT1, LaTeX's own encoding, has other signs in the places of these three
    "<": r"\textless{}",
    ">": r"\textgreater{}",
}


def render(head: Sequence[str], rows: Sequence[Sequence[str]], form: str = "text") -> str:
    """The table without a line break at its end; the first column to the left, the others to the right."""
    head, *rows = [[" ".join(cell.splitlines()) for cell in row] for row in (head, *rows)]  # a name may have several
    return {"text": text, "csv": as_csv, "markdown": markdown, "latex": latex}[form](head, rows)


def text(head, rows) -> str:
    wide = [max(map(len, column)) for column in zip(head, *rows)]
    lines = (
        "  ".join(
            cell.rjust(width) if index else cell.ljust(width) for index, (cell, width) in enumerate(zip(row, wide))
        ).rstrip()
        for row in (head, *rows)
    )
    return "\n".join(lines)


def as_csv(head, rows) -> str:
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows([head, *rows])
    return file.getvalue().rstrip("\n")


def markdown(head, rows, left: Sequence[int] = (0,)) -> str:
    """`left`: the columns of words."""
    sides = ["---" if index in left else "---:" for index in range(len(head))]
    lines = [head, sides, *([cell.replace("|", "\\|").replace("<", "\\<") for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def latex(head, rows) -> str:
    """A `tabular` with rules of booktabs."""

    def line(cells):
        return " & ".join("".join(_LATEX.get(char, char) for char in cell) for cell in cells) + r" \\"

    columns = "l" + "r" * (len(head) - 1)
    return "\n".join(
        [
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            line(head),
            r"\midrule",
            *map(line, rows),
            r"\bottomrule",
            r"\end{tabular}",
        ]
    )
