"""Bounds and baselines: what passes, what fails, what is told, and what CI gets."""

import json
from xml.etree import ElementTree

import pytest

from converters.errors import DataError, UsageError
from emotion.cli import main
from emotion.comparison import gate
from emotion.comparison.detection import COCO


def bounds(result, wanted):
    return gate.bounds(result, [gate.bound(text) for text in wanted])


def against(result, old, tolerance=0.0):
    return gate.against(result, gate.read_report(old), tolerance)


def evaluation(accuracy=0.8, missed=1, name="a"):
    told = {f"{kind}_{key}": accuracy for kind in ("macro", "weighted") for key in ("precision", "recall", "f1")}
    detector = dict.fromkeys(
        ("map", "map_11", "map_101", "map_darknet", "precision", "recall", "f1", "mean_iou"), 0.6
    ) | {"coco": dict.fromkeys(COCO, 0.5)}
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
        ("mAP=60%", [True]),
        ("a:mAP=61 %", [False]),
        ("mAP@.5=0.6", [True]),
        ("mAP@[.5:.95]=0.5", [True]),
        ("a:mAP@.5:.95=0.51", [False]),
        ("AR1=0.5", [True]),
        ("AP small=0.5", [True]),
        ("extra=3", [True]),
        ("ms=2500", [True]),
        ("mAP=0", [True]),
        ("mAP=1", [False]),
    ],
)
def test_bounds(wanted, passed):
    assert [check.passed for check in bounds(evaluation(), [wanted])] == passed


def test_a_bound_is_for_all_systems_or_for_the_one_named():
    result = comparison(yolo=0.9, **{"two-stage:haar": 0.6})
    assert [check.passed for check in bounds(result, ["accuracy=0.8"])] == [True, False]
    assert [check.system for check in bounds(result, ["two-stage:haar:accuracy=0.5"])] == ["two-stage:haar"]
    assert [check.passed for check in bounds(result, ["ece=1"])] == [
        False,
        False,
    ]  # nothing to measure it on is not a pass


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ("mAP", "not a bound"),
        ("mAP=high", "not a bound"),
        ("mAP=nan", "not a bound"),
        ("mapp=1", "'mapp' is not a figure .did you mean 'map'"),
        ("a:b:mapp=1", "'mapp' is not a figure .did you mean 'map'"),
        ("b:map=1", "no system is called 'b' .there is a"),
        ("face-AP=0.9", "a has no face_ap"),
        ("mAP=inf", "not a bound"),
        ("mAP=60", "map is from 0 to 1 .write mAP=0.6 or mAP=60%"),
        ("mAP=101", "map is from 0 to 1$"),
        ("mAP=101%", "map is from 0 to 1$"),
        ("mAP=-0.1", "map is from 0 to 1"),
        ("missed=5", "missed is from 0 to 1"),
        ("extra=-1", "extra is a share of the labelled faces"),
        ("ms=5%", "ms is milliseconds"),
        ("=0.5", "not a figure"),
        ("", "not a bound"),
    ],
)
def test_bounds_that_are_not_understood(wanted, words):
    with pytest.raises(UsageError, match=words):
        bounds(evaluation(), [wanted])
    with pytest.raises(UsageError, match="nothing is labelled"):
        bounds({"systems": [{"system": "a", "latency": {"total_ms": 1.0}}]}, ["map=0.5"])


def test_a_baseline(tmp_path):
    old = tmp_path / "old.json"
    old.write_text(json.dumps(evaluation(0.81, missed=0)))
    checks = {check.figure: check for check in against(evaluation(0.8), old, 0.015)}
    assert (
        checks["accuracy"].passed
        and checks["map"].passed
        and not checks["missed"].passed
        and checks["missed"].bound == pytest.approx(0.015)
    )
    assert "ms" not in checks and "ece" not in checks
    assert all(check.passed for check in against(evaluation(0.81, missed=0), old))
    assert [
        check.passed for check in against(evaluation(0.8, 0, name="another"), old) if check.figure == "accuracy"
    ] == [False]  # one system each
    old.write_text(json.dumps(comparison(yolo=0.9, other=0.3)))
    assert {check.system for check in against(comparison(yolo=0.9, new=0.1), old)} == {"yolo"}
    with pytest.raises(UsageError, match="none of the systems"):
        against(comparison(x=1, y=1), old)


def changed(told, **keys):
    """A copy of a report in which the first model, or system, has other values."""
    told = json.loads(json.dumps(told))
    (told.get("models") or told["systems"])[0].update(keys)
    return told


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ([], "is not a report"),
        ({}, "is not a report"),
        ({"models": [], "systems": 3}, "is not a report"),
        ({"images": [], "annotations": []}, "is not a report"),
        ({"models": [{}]}, "is not a whole report of emo evaluate: it lacks 'accuracy'"),
        ({"models": [3]}, "is not a whole report of emo evaluate: it holds something else"),
        ({"systems": [{"system": "a"}]}, "is not a whole report of emo compare: it lacks 'latency'"),
        (evaluation() | {"format": 2}, "is of format 2 .known: 1; make it again"),
        (comparison(a=1) | {"format": 3}, "is of format 3 .known: 1, 2; make it again"),
        (comparison(a=1) | {"format": None}, "is of format None"),
        (changed(evaluation(), accuracy=float("nan")), "accuracy of a is nan, which is not a number"),
        (changed(evaluation(), accuracy="0.9"), "accuracy of a is '0.9', which is not a number"),
        (changed(evaluation(), accuracy=True), "accuracy of a is True, which is not a number"),
        (changed(evaluation(), missed="2"), "holds something else"),
    ],
)
def test_baselines_that_are_none(told, words, tmp_path):
    (tmp_path / "old.json").write_text(json.dumps(told))
    with pytest.raises(DataError, match=words):
        gate.read_report(tmp_path / "old.json")


def on_data(told, truths, **settings):
    classes = {name: {"support": count} for name, count in truths.items()}
    labelled = {"labelled": told["systems"][0]["labelled"] | {"truths": truths}} if "systems" in told else {}
    return changed(told, classes=classes, **labelled) | {"settings": settings}


@pytest.mark.parametrize(
    ("here", "there", "words"),
    [
        (evaluation(), comparison(a=1), "is a report of emo compare, which counts otherwise than emo evaluate"),
        (comparison(a=1), evaluation(), "is a report of emo evaluate, which counts otherwise than emo compare"),
        (
            {"systems": [{"system": "a", "latency": {"total_ms": 1.0}}]},
            {"systems": [{"system": "a", "latency": {"total_ms": 2.0}}]},
            "has no figure that could be held",
        ),
    ],
)
def test_baselines_that_cannot_be_compared(here, there, words, tmp_path):
    (tmp_path / "old.json").write_text(json.dumps(there))
    with pytest.raises(UsageError, match=words):
        against(here, tmp_path / "old.json")


@pytest.mark.parametrize(
    ("here", "there", "words"),
    [
        (
            on_data(evaluation(), {"Happy": 3, "Sad": 1}),
            on_data(evaluation(), {"Happy": 3, "Sad": 9}),
            ["on other data (12 labelled faces, here 4; other numbers of Sad)"],
        ),
        (
            on_data(comparison(a=1), {"Happy": 3}, conf=0.25),
            on_data(comparison(a=1), {"Happy": 3, "Sad": 0}, conf=0.25),
            ["on other data (3 labelled faces, here 3; other numbers of Sad)"],
        ),
        (on_data(evaluation(), {}, conf=0.25), on_data(evaluation(), {}, conf=0.5), ["with conf 0.5 (here 0.25)"]),
        (on_data(evaluation(), {"Happy": 3}, conf=0.25), on_data(evaluation(), {"Happy": 3}, conf=0.25), []),
        (evaluation(), evaluation(), []),
    ],
)
def test_a_baseline_of_other_data_or_settings_is_called_one(here, there, words, tmp_path):
    (tmp_path / "old.json").write_text(json.dumps(there))
    old = gate.read_report(tmp_path / "old.json")
    assert gate.unlike(here, old) == words
    for check in gate.against(here, old):
        assert check.passed and check.why.endswith("; made ".join(["tolerance 0", *words]))


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--fail-under", "mAP=60"], 2, "map is from 0 to 1"),
        (["--fail-under", "mapp=0.5"], 2, "did you mean 'map'"),
        (["--baseline", "none.json"], 1, "none.json: no such file"),
        (["--junit", "gate.xml"], 2, "give --fail-under or --baseline"),
    ],
)
@pytest.mark.parametrize("command", [["evaluate", "no-model"], ["compare", "no-model", "vs", "no-other"]])
def test_what_is_wrong_with_a_gate_is_told_before_anything_is_measured(command, options, code, words, capsys):
    with pytest.raises(SystemExit) as end:
        main([*command, *options, "--data", "none.data"])
    assert end.value.code == code and words in capsys.readouterr().err


def test_summaries():
    checks = bounds(evaluation(name='a<"b>\x07'), ["accuracy=0.9", "map=0.1"])
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
