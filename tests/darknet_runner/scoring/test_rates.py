"""Precision, recall and F1, of all and by class: values worked out by hand, and what binaries print of the same."""

from pathlib import Path

import pytest

from darknet_runner.compiled.logs import LogParser
from darknet_runner.scoring.average_precision import mean_ap, rates
from emotion.cli.darknet_run import table

LOGS = Path(__file__).parents[1] / "compiled" / "fixtures"


def test_by_hand():
    """Class 0: two truths, one found, one false alarm above the score, one below it. Class 1: nothing there, one
    alarm. Class 2: missed.
    """
    found = [
        (
            [[0, 0, 10, 10], [50, 50, 60, 60], [80, 80, 90, 90], [20, 20, 30, 30]],
            [[0.9, 0, 0], [0.6, 0, 0], [0.2, 0, 0], [0, 0.8, 0]],
        )
    ]
    truth = [([[0, 0, 10, 10], [200, 200, 210, 210], [300, 300, 310, 310]], [0, 0, 2])]
    result = mean_ap(found, truth, 3, conf=0.25)
    assert result.by_class() == [
        {"precision": 0.5, "recall": 0.5, "f1": 0.5},
        {"precision": 0.0, "recall": None, "f1": 0.0},
        {"precision": None, "recall": 0.0, "f1": 0.0},
    ]
    assert (result.precision, result.recall, result.f1) == (
        pytest.approx(1 / 3),
        pytest.approx(1 / 3),
        pytest.approx(1 / 3),
    )
    assert rates(0, 0, 0) == {"precision": None, "recall": None, "f1": None}


@pytest.mark.parametrize(
    ("log", "name", "hits"), [("alexey-detector.log", "neutral", None), ("hank-detector.log", "angry", (2, 1))]
)
def test_what_binaries_print_by_class(log, name, hits):
    parser = LogParser()
    for line in (LOGS / log).read_text(errors="replace").splitlines():
        parser.feed(line)
    assert parser.validation.hits.keys() == parser.validation.ap.keys() and name in parser.validation.hits
    assert hits is None or parser.validation.hits[name] == hits
    assert (
        sum(tp for tp, _ in parser.validation.hits.values()) == parser.validation.tp
        and sum(fp for _, fp in parser.validation.hits.values()) == parser.validation.fp
    )


def test_the_table():
    scores = {
        "map": 0.4,
        "map_darknet": 0.3,
        "ap": {"Happy": 0.4, "Sad": None},
        "truths": {"Happy": 7, "Sad": 0},
        "tp": 3,
        "fp": 1,
        "precision": 0.75,
        "recall": 3 / 7,
        "f1": 6 / 11,
        "classes": {"Happy": rates(3, 0, 7)},
        "mean_iou": 0.5,
        "settings": {
            "split": "valid",
            "pictures": 5,
            "iou": 0.5,
            "conf": 0.25,
            "points": 0,
            "score_floor": 0.005,
            "nms": {"iou": 0.45},
            "size": [64, 64],
        },
    }
    head, happy, sad, everything, *_ = table(scores).splitlines()
    assert head.split() == ["class", "precision", "recall", "F1", "AP@0.5", "faces"]
    assert happy.split() == ["Happy", "100.00%", "42.86%", "60.00%", "40.00%", "7"]
    assert sad.split() == ["Sad", "-", "-", "-", "-", "0"]
    assert everything.split() == ["all", "75.00%", "42.86%", "54.55%", "40.00%", "7"]
