"""checks: single boxes, paths and pictures, worked out by hand; findings as CSV and text."""

from __future__ import annotations

import csv

import pytest

from converters import findings as checks
from converters.errors import DataError
from converters.images import ImageInfo


@pytest.mark.parametrize(
    "xyxy, code, said",
    [
        ((10, 10, 20, 20), None, ""),
        ((0, 0, 100, 50), None, ""),
        ((-2, 10, 20, 20), "box-clipped", "left by 2"),
        ((10, 40, 110, 53.5), "box-clipped", "right by 10, bottom by 3.5"),
        ((100, 10, 120, 20), "box-outside", "outside"),
        ((10, -9, 20, 0), "box-outside", "outside"),
        ((20, 10, 20, 20), "box-empty", "no extent"),
        ((30, 10, 20, 20), "box-empty", "no extent"),
        ((float("nan"), 10, 20, 20), "bad-number", "not a number"),
        ((0, 0, float("inf"), 20), "bad-number", "not a number"),
    ],
)
def test_a_box(xyxy, code, said):
    problem = checks.box_problem(xyxy, (100, 50))
    assert (problem and problem[0]) == code
    assert problem is None or said in problem[1]


def test_rounding_over_the_edge_is_forgiven_up_to_the_slack():
    assert checks.box_problem((-0.4, 0, 10, 10), (100, 50), slack_px=0.5) is None
    assert checks.box_problem((-0.6, 0, 10, 10), (100, 50), slack_px=0.5)[0] == "box-clipped"


@pytest.mark.parametrize(
    "path, said",
    [
        ("/data/set-1/a_b.jpg", None),
        ("/data/a b.jpg", "' '"),
        ("/data/é.jpg", "é"),
        ("/data/a$(rm).jpg", "'$'"),
        ("/data/a\nb.jpg", "\\n"),
        ("/" + "a" * 255, "256 bytes"),
        ("/" + "a" * 254, None),
    ],
)
def test_a_path(path, said):
    problem = checks.path_problem(path)
    assert problem is None if said is None else said in problem


@pytest.mark.parametrize(
    "path, trap",
    [
        ("/a/b.jpg", False),
        ("/a/images/b.jpg", True),
        ("/strawberry/b.jpg", True),
        ("/a/b.jpg.jpg", True),
        ("/a.png/b.jpg", True),
    ],
)
def test_where_darknets_look_for_labels(path, trap):
    assert bool(checks.label_trap(path)) == trap


def test_a_picture():
    codes = lambda info, **limits: [code for code, _ in checks.picture_problems(info, **limits)]
    good = ImageInfo("a.jpg", (40, 30), "JPEG", 1, 1000)
    assert codes(good) == [] and codes(good._replace(path="A.JPEG")) == []
    assert codes(good._replace(path="a.png", orientation=6), min_side=31, max_bytes=999) == [
        "wrong-extension",
        "exif-rotated",
        "too-small",
        "over-size",
    ]
    assert codes(good._replace(problem="truncated")) == ["truncated"]
    assert codes(good._replace(problem="zero-bytes", format="", size_wh=(0, 0)), min_side=10) == ["zero-bytes"]


def test_every_finding_has_a_severity_and_a_code_that_is_known():
    assert {severity for severity, _ in checks.CODES.values()} <= set(checks.SEVERITIES)
    assert (
        checks.finding("leak", "x").severity == "error"
        and checks.finding("leak", "x", severity="info").severity == "info"
    )
    with pytest.raises(KeyError):
        checks.finding("no-such-code", "x")


def test_findings_as_csv_and_as_a_table(tmp_path):
    findings = [
        checks.finding("same-name", 'a "quoted", name', file="a/é.jpg", subset="valid"),
        checks.finding("truncated", "is cut", file="b.jpg", line=3, subset="train"),
        checks.finding("truncated", "is cut", file="c.jpg", line=4, subset="train"),
    ]
    assert list(checks.counts(findings).items()) == [("truncated", 2), ("same-name", 1)]
    checks.write_csv(findings, tmp_path / "f.csv")
    with open(tmp_path / "f.csv", newline="", encoding="utf-8") as file:
        assert [checks.Finding(**(row | {"line": int(row["line"])})) for row in csv.DictReader(file)] == findings
    text = checks.table(findings, examples=1)
    assert "b.jpg:3: is cut" in text and "c.jpg" not in text and "[2 train]" in text
    with pytest.raises(DataError, match="cannot be written"):
        checks.write_csv(findings, tmp_path / "f.csv" / "g.csv")
