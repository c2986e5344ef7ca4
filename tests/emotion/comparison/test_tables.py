"""One table in four forms, with what each form gives another meaning to."""

import csv
import io

import pytest

from emotion.comparison import tables

HEAD, ROWS = ["model", "mAP"], [["a|b_c&50%<i>#$~^{}\\", "–"], ["two\nlines", "1.5%"]]

LATEX = (
    r"a\textbar{}b\_c\&50\%\textless{}i\textgreater{}\#\$\textasciitilde{}\textasciicircum{}\{\}\textbackslash{}"
    r" & -- \\"
)


@pytest.mark.parametrize(
    ("form", "first", "second"),
    [
        ("text", "a|b_c&50%<i>#$~^{}\\     –", "two lines            1.5%"),
        ("csv", "a|b_c&50%<i>#$~^{}\\,–", "two lines,1.5%"),
        ("markdown", r"| a\|b_c&50%\<i>#$~^{}\ | – |", "| two lines | 1.5% |"),
        (
            "latex",
            LATEX,
            r"two lines & 1.5\% \\",
        ),
    ],
)
def test_names_that_mean_something_to_a_form(form, first, second):
    lines = tables.render(HEAD, ROWS, form).splitlines()
    place = {"text": 1, "csv": 1, "markdown": 2, "latex": 4}[form]
    assert lines[place : place + 2] == [first, second]
    assert len(lines) == place + 2 + (2 if form == "latex" else 0)
    if form == "csv":
        assert list(csv.reader(io.StringIO("\n".join(lines))))[1] == ROWS[0]
