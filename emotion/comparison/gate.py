"""A gate for CI: figures that must not fall below a bound, or below those of an earlier report.

In: the result of `evaluate` or `compare.run` (or their JSON files). Out: checks, and a summary of them as JUnit XML or
Markdown.

    wanted, old = [bound("mAP=0.60"), bound("yolo:accuracy=85%")], read_report("old.json")   # before what takes long
    checks = [*bounds(result, wanted), *against(result, old, tolerance=0.01)]
    passed = all(check.passed for check in checks)
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from converters.errors import DataError, UsageError, nearest
from converters.text_files import read_json

from .detection import COCO
from .tables import markdown

MEANS = tuple(f"{kind}_{name}" for kind in ("macro", "weighted") for name in ("precision", "recall", "f1"))
OF_BOXES = ("map", "map_11", "map_101", "map_darknet", "precision", "recall", "f1", "mean_iou")
FIGURES = ("accuracy", "top_k", *MEANS, "ece", *OF_BOXES, *COCO, "face_ap", "missed", "extra", "ms")
UNBOUNDED = ("extra", "ms")  # what may be more than 1; all others are shares
FORMATS = {"models": (1,), "systems": (1, 2)}  # of the reports that are understood, by the key that holds what was told

LESS_IS_BETTER = ("missed", "extra", "ece", "ms")
HELD = (
    "map",
    "face_ap",
    "ap",
    "accuracy",
    "macro_f1",
    "weighted_f1",
    "missed",
)  # figures that a baseline holds; times depend on the day
ALIASES = {
    "map50": "map",
    "map@0.5": "map",
    "map@.5": "map",
    "ap@0.5": "map",
    "ap50_95": "ap",
    "map50_95": "ap",
    "map@.5:.95": "ap",
    "map@[.5:.95]": "ap",
    "map@0.5:0.95": "ap",
    "map@[0.5:0.95]": "ap",
    "top_1": "accuracy",
    "top1": "accuracy",
    "p": "precision",
    "r": "recall",
    "f_1": "f1",
}


@dataclass(frozen=True)
class Check:
    """One figure of one system: what it is, what it had to be, and whether it is."""

    system: str
    figure: str
    value: float | None
    bound: float
    passed: bool
    why: str


def figures_of(result: dict) -> dict[str, dict[str, float | None]]:
    """Each system's figures by name, shares in 0..1; `missed` and `extra` as shares of the labelled faces."""
    out: dict[str, dict[str, float | None]] = {}
    for told in result.get("models", []):
        found = {name: told[name] for name in ("accuracy", "top_k", *MEANS)}
        found |= {
            "ece": told["calibration"]["ece"],
            "missed": told["missed"] / told["faces"] if told["faces"] else None,
            "ms": told["ms_per_picture"],
        }
        if "detector" in told:
            boxes = told["detector"]
            found |= {name: boxes[name] for name in OF_BOXES} | {name: boxes["coco"][name] for name in COCO}
            found |= {"extra": told["extra"] / told["faces"] if told["faces"] else None}
        out[told["model"]] = found
    for system in result.get("systems", []):
        found = {"ms": system["latency"]["total_ms"]}
        if "labelled" in system:
            mine = system["labelled"]
            found |= {name: mine[name] for name in ("map", "face_ap", "accuracy", "macro_f1")} | {
                "ece": mine["calibration"]["ece"]
            }
            found |= {name: mine[name] / mine["faces"] if mine["faces"] else None for name in ("missed", "extra")}
        out[system["system"]] = found
    return out


class Bound(NamedTuple):
    """`[SYSTEM:]FIGURE=VALUE` as it was written, its system (None: each), its figure, and what that has to be."""

    text: str
    system: str | None
    figure: str
    value: float


def bound(text: str) -> Bound:
    """`mAP=0.60`, `yolo:accuracy=85%`; UsageError for one that is not understood, or that is not a share and should be
    one.
    """
    left, equals, right = text.rpartition("=")
    percent = right.strip().endswith("%")
    try:
        value = float(right.strip().removesuffix("%")) / (100 if percent else 1)
    except ValueError:
        value = math.nan
    if not equals or not math.isfinite(value):
        raise UsageError(f"'{text}' is not a bound", mend="write FIGURE=VALUE, such as mAP=0.60")
    places = [
        -1,
        *(place for place, char in enumerate(left) if char == ":"),
    ]  # a figure's name may have one: mAP@.5:.95
    for place in places:
        if (name := canonical(left[place + 1 :])) in FIGURES:
            break
    else:
        name = canonical(left.rpartition(":")[2])
        raise UsageError(f"'{text}': '{name}' is not a figure", mend=nearest(name, FIGURES))
    if value < 0 or (value > 1 and name not in UNBOUNDED) or (percent and name == "ms"):
        share = (
            "milliseconds" if name == "ms" else "a share of the labelled faces" if name == "extra" else "from 0 to 1"
        )
        mend = f"write {left}={value / 100:g} or {left}={value:g}%" if 1 < value <= 100 and not percent else ""
        raise UsageError(f"'{text}': {name} is {share}", mend=mend)
    return Bound(text, left[:place].strip() if place >= 0 else None, name, value)


def bounds(result: dict, wanted: Sequence[Bound]) -> list[Check]:
    """Whether each figure is at least what is asked for, or, of figures of which less is better, at most.

    UsageError for a system that there is not, or a figure that it does not have.
    """
    figures, out = figures_of(result), []
    for asked in wanted:
        if asked.system is not None and asked.system not in figures:
            raise UsageError(
                f"'{asked.text}': no system is called '{asked.system}'", mend=f"there is {', '.join(figures)}"
            )
        for system, found in figures.items():
            if asked.system not in (None, system):
                continue
            if asked.figure not in found:
                unlabelled = set(found) == {"ms"}
                raise UsageError(
                    f"'{asked.text}': {system} has no {asked.figure}",
                    mend="nothing is labelled, so only ms is measured" if unlabelled else f"it has {', '.join(found)}",
                )
            out.append(check(system, asked.figure, found[asked.figure], asked.value, "asked for"))
    return out


def canonical(name: str) -> str:
    """`macro-F1` -> `macro_f1`, `mAP` -> `map`."""
    plain = name.strip().lower().replace("-", "_").replace(" ", "_")
    return ALIASES.get(plain, plain)


class Report(NamedTuple):
    """An earlier report.json or compare.json: where it lies, and what it holds."""

    path: Path
    told: dict


def read_report(path: str | Path) -> Report:
    """DataError for a file that is no report of emo, or one of another format, or whose figures are not numbers."""
    path, told = Path(path), read_json(path)
    kind = kind_of(told) if isinstance(told, dict) else None
    if kind is None:
        raise DataError("is not a report of emo evaluate or emo compare", where=path)
    if told.get("format", 1) not in FORMATS[kind]:
        raise DataError(
            f"is of format {told['format']}",
            where=path,
            mend=f"known: {', '.join(map(str, FORMATS[kind]))}; make it again",
        )
    try:
        figures = figures_of(told)
        truths_of(told)
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        what = f"lacks {error}" if isinstance(error, KeyError) else "holds something else than figures"
        raise DataError(f"is not a whole report of emo {COMMANDS[kind]}: it {what}", where=path) from None
    for system, found in figures.items():
        for name, value in found.items():
            if value is not None and (isinstance(value, (bool, str)) or not math.isfinite(value)):
                raise DataError(f"{name} of {system} is {value!r}, which is not a number", where=path)
    return Report(path, told)


COMMANDS = {"models": "evaluate", "systems": "compare"}


def kind_of(told: dict) -> str | None:
    return next((kind for kind in COMMANDS if isinstance(told.get(kind), list) and told[kind]), None)


def truths_of(told: dict) -> dict[str, int] | None:
    """Labelled faces by class, by which the data of a report is recognised; None when the report has none."""
    for model in told.get("models", ()):
        return {name: row["support"] for name, row in model["classes"].items()} if "classes" in model else None
    for system in told.get("systems", ()):
        return system.get("labelled", {}).get("truths")
    return None


def against(result: dict, old: Report, tolerance: float = 0.0) -> list[Check]:
    """Checks of HELD figures against an earlier report: none may be worse by more than `tolerance`.

    Systems are met by name; where both reports hold one system, it is that one. UsageError where the two cannot be
    compared: of another command, without a system or a figure in common.
    """
    mine, theirs = kind_of(result), kind_of(old.told)
    if mine and theirs and mine != theirs:
        raise UsageError(
            f"is a report of emo {COMMANDS[theirs]}, which counts otherwise than emo {COMMANDS[mine]}",
            where=old.path,
            mend=f"take one of emo {COMMANDS[mine]}",
        )
    before, now, out = figures_of(old.told), figures_of(result), []
    other = "".join(f"; made {each}" for each in unlike(result, old))
    pairs = [(name, name) for name in now if name in before] or (
        [(next(iter(now)), next(iter(before)))] if len(now) == len(before) == 1 else []
    )
    if not pairs:
        raise UsageError(
            f"has none of the systems {', '.join(now)}", where=old.path, mend=f"it holds {', '.join(before)}"
        )
    for system, then in pairs:
        for name in HELD:
            value = before[then].get(name)
            if value is not None and name in now[system]:
                limit = value + tolerance if name in LESS_IS_BETTER else value - tolerance
                why = f"{value:.4f} in {old.path.name}, tolerance {tolerance:g}{other}"
                out.append(check(system, name, now[system][name], limit, why))
    if not out:
        raise UsageError("has no figure that could be held", where=old.path, mend="take a report on labelled data")
    return out


def unlike(result: dict, old: Report) -> list[str]:
    """What an earlier report was made on, or with, that is another here: figures then say little of the system."""
    out, here, there = [], truths_of(result), truths_of(old.told)
    if here is not None and there is not None and here != there:
        differ = [name for name in {**there, **here} if here.get(name) != there.get(name)]
        out.append(
            f"on other data ({sum(there.values())} labelled faces, here {sum(here.values())}; other numbers of "
            f"{', '.join(differ[:4])}{' and more' if len(differ) > 4 else ''})"
        )
    for name in ("conf", "match_iou", "nms_iou"):
        values = [told.get("settings", {}).get(name) for told in (old.told, result)]
        if None not in values and values[0] != values[1]:
            out.append(f"with {name} {values[0]:g} (here {values[1]:g})")
    return out


def check(system: str, name: str, value: float | None, bound: float, why: str) -> Check:
    if value is None:
        return Check(system, name, None, bound, False, f"nothing to measure it on; {why}")
    return Check(
        system, name, value, bound, value <= bound + 1e-12 if name in LESS_IS_BETTER else value >= bound - 1e-12, why
    )


def sentence(one: Check) -> str:
    side = "at most" if one.figure in LESS_IS_BETTER else "at least"
    value = "not measured" if one.value is None else f"{one.value:.4f}"
    return f"{one.system}: {one.figure} {value}, {side} {one.bound:.4f} ({one.why})"


def junit(checks: Sequence[Check], name: str) -> str:
    """The checks as JUnit's XML, a test case a check."""
    failed = sum(not one.passed for one in checks)
    suite = ElementTree.Element("testsuite", name=name, tests=str(len(checks)), failures=str(failed), errors="0")
    for one in checks:
        case = ElementTree.SubElement(suite, "testcase", classname=_xml(one.system), name=one.figure)
        if not one.passed:
            ElementTree.SubElement(case, "failure", message=_xml(sentence(one)))
    ElementTree.indent(suite)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(suite, encoding="unicode") + "\n"


def writable(path: str | Path) -> Path:
    """UsageError when `path` is a file with something in it that is no earlier `junit` or `summary`."""
    path = Path(path)
    try:
        with path.open("rb") as file:
            begin = file.read(200)
    except FileNotFoundError:
        begin = b""
    except OSError as error:
        raise UsageError(f"cannot be written: {error.strerror}", where=path) from None
    if begin and not re.search(rb"<testsuite|^(All \d+|\d+ of \d+) checks (passed|failed)\.", begin):
        raise UsageError("holds something else than the checks of a gate", where=path, mend="give another file")
    return path


def _xml(text: str) -> str:
    """Without what XML cannot hold."""
    return "".join(char if char.isprintable() else "?" for char in text)


def summary(checks: Sequence[Check]) -> str:
    """The checks as Markdown, the failed ones first."""
    rows = [
        [
            "pass" if one.passed else "**fail**",
            one.system,
            one.figure,
            "–" if one.value is None else f"{one.value:.4f}",
            f"{'≤' if one.figure in LESS_IS_BETTER else '≥'} {one.bound:.4f}",
            one.why,
        ]
        for one in sorted(checks, key=lambda one: one.passed)
    ]
    failed = sum(not one.passed for one in checks)
    head = f"{failed} of {len(checks)} checks failed." if failed else f"All {len(checks)} checks passed."
    return f"{head}\n\n{markdown(['', 'system', 'figure', 'measured', 'bound', 'why'], rows, left=(0, 1, 2, 5))}\n"
