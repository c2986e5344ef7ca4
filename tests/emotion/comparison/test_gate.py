"""Bounds and baselines: what passes, what fails, what is told, and what CI gets."""

import json
from xml.etree import ElementTree

import pytest

from converters.errors import DataError, UsageError
from emotion.comparison import gate


def evaluation(accuracy=0.8, missed=1, name="a"):
    told = {f"{kind}_{key}": accuracy for kind in ("macro", "weighted") for key in ("precision", "recall", "f1")}
    detector = dict.fromkeys(("map", "map_11", "map_101", "map_darknet", "precision", "recall", "f1"), 0.6) | {
        "coco": dict.fromkeys(("ap", "ap50", "ap75", "ar100"), 0.5)
    }
    return {
        "models": [
            told
            | {
                "model": name,
                "accuracy": accuracy,
                "top_k": 0.9,
                "calibration": {"ece": 0.1},
                "missed": missed,
                "faces": 50,
                "extra": 5,
                "ms_per_picture": 3.0,
                "detector": detector,
            }
        ]
    }


def comparison(**systems):
    def told(name, accuracy):
        return {
            "system": name,
            "latency": {"total_ms": 20.0},
            "labelled": {
                "map": 0.5,
                "face_ap": 0.9,
                "accuracy": accuracy,
                "macro_f1": 0.4,
                "missed": 2,
                "extra": 0,
                "faces": 100,
                "calibration": {"ece": None},
            },
        }

    return {"systems": [told(name, accuracy) for name, accuracy in systems.items()]}


@pytest.mark.parametrize(
    ("wanted", "passed"),
    [
        ("mAP=0.60", [True]),
        ("mAP@0.5=0.61", [False]),
        ("macro-F1=0.8", [True]),
        ("Weighted F1=0.801", [False]),
        ("a:accuracy=0.8", [True]),
        ("missed=0.02", [True]),
        ("missed=0.01", [False]),
        ("ms=2", [False]),
        ("ece=0.2", [True]),
        ("map50_95=0.5", [True]),
        ("top-1=0.81", [False]),
        ("extra=0.1", [True]),
    ],
)
def test_bounds(wanted, passed):
    assert [check.passed for check in gate.bounds(evaluation(), [wanted])] == passed


def test_a_bound_is_for_all_systems_or_for_the_one_named():
    result = comparison(yolo=0.9, **{"two-stage:haar": 0.6})
    assert [check.passed for check in gate.bounds(result, ["accuracy=0.8"])] == [True, False]
    assert [check.system for check in gate.bounds(result, ["two-stage:haar:accuracy=0.5"])] == ["two-stage:haar"]
    assert [check.passed for check in gate.bounds(result, ["ece=1"])] == [
        False,
        False,
    ]  # nothing to measure it on is not a pass


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ("mAP", "not a bound"),
        ("mAP=high", "not a bound"),
        ("mAP=nan", "not a bound"),
        ("mapp=1", "not a figure of a .did you mean 'map'"),
        ("b:map=1", "not a figure"),
    ],
)
def test_bounds_that_are_not_understood(wanted, words):
    with pytest.raises(UsageError, match=words):
        gate.bounds(evaluation(), [wanted])
    with pytest.raises(UsageError, match="nothing is labelled"):
        gate.bounds({"systems": [{"system": "a", "latency": {"total_ms": 1.0}}]}, ["map=0.5"])


def test_a_baseline(tmp_path):
    old = tmp_path / "old.json"
    old.write_text(json.dumps(evaluation(0.81, missed=0)))
    checks = {check.figure: check for check in gate.against(evaluation(0.8), old, 0.015)}
    assert (
        checks["accuracy"].passed
        and checks["map"].passed
        and not checks["missed"].passed
        and checks["missed"].bound == pytest.approx(0.015)
    )
    assert "ms" not in checks and "ece" not in checks
    assert all(check.passed for check in gate.against(evaluation(0.81, missed=0), old))
    assert [
        check.passed for check in gate.against(evaluation(0.8, 0, name="another"), old) if check.figure == "accuracy"
    ] == [False]  # one system each
    old.write_text(json.dumps(comparison(yolo=0.9, other=0.3)))
    assert {check.system for check in gate.against(comparison(yolo=0.9, new=0.1), old)} == {"yolo"}
    with pytest.raises(UsageError, match="none of the systems"):
        gate.against(comparison(x=1, y=1), old)
    for text in ("[]", '{"models": [{}]}'):
        old.write_text(text)
        with pytest.raises(DataError, match="not a report"):
            gate.against(evaluation(), old)


def test_summaries():
    checks = gate.bounds(evaluation(name='a<"b>\x07'), ["accuracy=0.9", "map=0.1"])
    suite = ElementTree.fromstring(gate.junit(checks, "emo evaluate").encode())
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1") and [case.get("name") for case in suite] == [
        "accuracy",
        "map",
    ]
    assert (
        "accuracy 0.8000, at least 0.9000" in suite[0][0].get("message")
        and suite[0].get("classname") == 'a<"b>?'
        and not len(suite[1])
    )
    text = gate.summary(checks)
    assert text.startswith("1 of 2 checks failed.") and text.index("**fail**") < text.index("| pass")
