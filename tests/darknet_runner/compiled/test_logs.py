"""Both grammars against what real binaries printed; the values are read off the logs by eye."""

import csv
import math

import pytest
from hypothesis import given, strategies as st

from converters.errors import DataError
from darknet_runner.compiled import logs


def by_iteration(path):
    return {row.iteration: row for row in logs.read(path)}


def test_alexey_detector(logs_folder):
    rows = by_iteration(logs_folder / "alexey-detector.log")
    assert list(rows) == [1, 2, 99, 100, 101, 229, 230]
    first = rows[1]
    assert (first.loss, first.avg_loss, first.rate, first.seconds, first.images, first.hours_left) == (
        76.151688,
        76.151688,
        0,
        0.180819,
        8,
        None,
    )
    assert rows[2].hours_left == 0.012777
    assert rows[99].map is None and rows[101].map is None
    validated = rows[100]
    assert (validated.map, validated.precision, validated.recall, validated.f1, validated.valid_iou) == (
        0.231897,
        0,
        0,
        None,
        0,
    )
    last = rows[230]
    assert (last.map, last.precision, last.recall, last.f1, last.valid_iou) == (0.470606, 0.40, 0.08, 0.13, 0.2569)
    assert last.ap == pytest.approx(
        {
            "angry": 0.5903,
            "disgust": 0.7167,
            "fear": 0.3377,
            "happy": 0.058,
            "neutral": 1,
            "sad": 0.1333,
            "surprise": 0.4583,
        }
    )


def test_alexey_classifier(logs_folder):
    rows = by_iteration(logs_folder / "alexey-classifier.log")
    assert rows[3].loss == 1.866876 and rows[3].images == 48
    assert (rows[100].top1, rows[100].topk, rows[100].k) == (0.142857, 0.571429, 2)
    assert (rows[230].loss, rows[230].avg_loss, rows[230].top1, rows[230].topk) == (
        1.826554,
        1.954355,
        0.357143,
        0.642857,
    )
    assert rows[99].topk is None


def test_hank_detector(logs_folder):
    rows = by_iteration(logs_folder / "hank-detector.log")
    assert (rows[4].loss, rows[4].avg_loss, rows[4].rate, rows[4].seconds, rows[4].images) == (
        73.796,
        77.340,
        3.2e-6,
        pytest.approx(0.0392),
        32,
    )
    assert rows[4].map is None, "'mAP=100' there is the iteration of the next calculation"
    assert rows[100].map == pytest.approx(0.2015) and rows[100].ap["happy"] == 0.5
    assert rows[230].map == pytest.approx(0.4690) and rows[230].ap["surprise"] == pytest.approx(0.698413)
    assert (rows[230].precision, rows[230].recall, rows[230].f1, rows[230].valid_iou) == (
        0.67,
        0.23,
        0.34,
        pytest.approx(0.4194),
    )


def test_debian(logs_folder):
    rows = by_iteration(logs_folder / "debian-detector.log")
    assert (rows[1].loss, rows[1].iou, rows[2].iou) == (120.287712, 0.181551, 0.071575)
    assert (rows[230].loss, rows[230].avg_loss, rows[230].images) == (4.443536, 3.986460, 1840)
    rows = by_iteration(logs_folder / "debian-classifier.log")
    assert (rows[230].loss, rows[230].avg_loss, rows[230].images, rows[230].top1) == (0.646746, 0.774633, 3680, None)


def test_emos_own(tmp_path):
    """The built-in engine's train.log says the last validation's score on every line; it belongs to the first of
    them.
    """
    end = "rate 0.000100, 22.9 pictures/s, waiting 1%, 0:00 left\n"
    (tmp_path / "train.log").write_text(
        f"1/4: loss 11.5, average 11.5, {end}2/4: loss 9.5, average 11.3, mAP 1.7% (best 1.7%), {end}3/4: loss nan, "
        f"average 11.0, mAP 1.7% (best 1.7%), {end}4/4: loss 6.0, average 10.5, mAP 1.2% (best 1.7%), {end}"
    )
    rows = by_iteration(tmp_path / "train.log")
    assert [(row.loss, row.avg_loss, row.rate, row.map) for row in (rows[1], rows[2], rows[4])] == [
        (11.5, 11.5, 1e-4, None),
        (9.5, 11.3, 1e-4, 0.017),
        (6.0, 10.5, 1e-4, 0.012),
    ]
    assert math.isnan(rows[3].loss) and rows[3].map is None


def test_map_and_valid(logs_folder):
    parser = logs.LogParser()
    for line in (logs_folder / "alexey-map.log").read_text().splitlines():
        assert parser.feed(line) == []
    found = parser.validation
    assert (found.map, found.tp, found.fp, found.fn, found.avg_iou, len(found.ap)) == (
        0.470606,
        2,
        3,
        24,
        pytest.approx(0.2569),
        7,
    )
    for name in ("alexey-classifier-valid.log", "debian-classifier-valid.log"):
        parser = logs.LogParser()
        for line in (logs_folder / name).read_text().splitlines():
            parser.feed(line)
        assert (parser.validation.images, parser.validation.top1, parser.validation.topk, parser.validation.k) == (
            14,
            0.357143,
            0.642857,
            2,
        )


@pytest.mark.parametrize(
    "text, loss", [("nan", math.nan), ("-nan", math.nan), ("inf", math.inf), ("-inf", -math.inf), ("1.5e-05", 1.5e-5)]
)
def test_numbers_that_are_none(text, loss):
    parser = logs.LogParser()
    parser.feed(f"7: {text}, {text} avg, 0.001000 rate, 0.1 seconds, 448 images")
    assert parser.last.loss == pytest.approx(loss, nan_ok=True)


def test_a_resumed_log_counts_back(tmp_path):
    line = "{0}: {1}, 2.0 avg, 0.001 rate, 0.1 seconds, 8 images\n"
    log = tmp_path / "train.log"
    log.write_text(
        "".join(line.format(number, 1.0) for number in (1, 2, 3, 4))
        + "noise\n"
        + "".join(line.format(number, 9.0) for number in (3, 4, 5))
    )
    assert [(row.iteration, row.loss) for row in logs.read(log)] == [(1, 1), (2, 1), (3, 9), (4, 9), (5, 9)]


def test_csv_holds_every_row(logs_folder, tmp_path):
    rows = logs.read(logs_folder / "alexey-detector.log")
    table = list(csv.DictReader(logs.to_csv(rows).splitlines()))
    assert [int(row["iteration"]) for row in table] == [1, 2, 99, 100, 101, 229, 230]
    assert table[-1]["ap_neutral"] == "1.0" and table[0]["map"] == ""
    assert float(table[-1]["avg_loss"]) == 3.46545


def test_no_log(tmp_path):
    with pytest.raises(DataError, match="no such log"):
        logs.read(tmp_path / "none.log")
    (tmp_path / "other.log").write_text("hello\n" * 10)
    with pytest.raises(DataError, match="no line of a Darknet training"):
        logs.read(tmp_path / "other.log")


@given(st.lists(st.binary(max_size=50)), st.integers(1, 7))
def test_lines_do_not_depend_on_the_chunks(parts, size):
    text = b"".join(parts)
    whole, cut = logs.LineSplitter(), logs.LineSplitter()
    expected = whole.feed(text) + whole.close()
    found = [line for start in range(0, len(text), size) for line in cut.feed(text[start : start + size])] + cut.close()
    assert found == expected
    assert "\n".join(expected).replace("\r", "\n").count("\n") <= text.count(b"\n") + text.count(b"\r")


@given(st.text(max_size=200))
def test_no_line_breaks_the_parser(text):
    parser = logs.LogParser()
    parser.feed(text)
    parser.close()


def test_a_line_without_end_is_cut():
    splitter = logs.LineSplitter()
    lines = [line for _ in range(50) for line in splitter.feed(b"x" * 10_000)] + splitter.feed(b"\n1: 2\n")
    assert [len(line) for line in lines] == [logs.LONGEST, 4]
