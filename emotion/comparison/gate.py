"""A gate for CI: figures that must not fall below a bound, or below those of an earlier report.

In: the result of `evaluate` or `compare.run` (or their JSON files). Out: checks, and a summary of them as JUnit XML or
Markdown.

    checks = [*bounds(result, ["mAP=0.60", "yolo:accuracy=0.85"]), *against(result, "old.json", tolerance=0.01)]
    passed = all(check.passed for check in checks)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from converters.errors import DataError, UsageError, nearest
from converters.text_files import read_json

from .tables import markdown

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
    "ap50_95": "ap",
    "map50_95": "ap",
    "map@.5:.95": "ap",
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
        found = {
            name: told[name]
            for name in (
                "accuracy",
                "top_k",
                *(f"{kind}_{name}" for kind in ("macro", "weighted") for name in ("precision", "recall", "f1")),
            )
        }
        found |= {
            "ece": told["calibration"]["ece"],
            "missed": told["missed"] / told["faces"] if told["faces"] else None,
            "ms": told["ms_per_picture"],
        }
        if "detector" in told:
            boxes = told["detector"]
            found |= {
                name: boxes[name] for name in ("map", "map_11", "map_101", "map_darknet", "precision", "recall", "f1")
            } | {name: boxes["coco"][name] for name in ("ap", "ap50", "ap75", "ar100")}
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


def bounds(result: dict, wanted: Sequence[str]) -> list[Check]:
    """Checks of `[SYSTEM:]FIGURE=VALUE`: at least that, or, of figures of which less is better, at most.

    UsageError for one that is not understood.
    """
    figures, out = figures_of(result), []
    for text in wanted:
        left, equals, right = text.rpartition("=")
        named = next((system for system in figures if left.startswith(f"{system}:")), None)
        name = canonical(left[len(named) + 1 :] if named else left)
        try:
            bound = float(right)
        except ValueError:
            bound = float("nan")
        if not equals or bound != bound:
            raise UsageError(f"'{text}' is not a bound", mend="write FIGURE=VALUE, such as mAP=0.60")
        for system, found in figures.items() if named is None else [(named, figures[named])]:
            if name not in found:
                unlabelled = set(found) == {"ms"}
                raise UsageError(
                    f"'{left}' is not a figure of {system}",
                    mend="nothing is labelled, so only ms is measured" if unlabelled else nearest(name, found),
                )
            out.append(check(system, name, found[name], bound, "asked for"))
    return out


def canonical(name: str) -> str:
    """`macro-F1` -> `macro_f1`, `mAP` -> `map`."""
    plain = name.strip().lower().replace("-", "_").replace(" ", "_")
    return ALIASES.get(plain, plain)


def against(result: dict, baseline: str | Path, tolerance: float = 0.0) -> list[Check]:
    """Checks of HELD figures against an earlier report: none may be worse by more than `tolerance`.

    Systems are met by name; where both reports hold one system, it is that one. DataError for a file that is no such
    report, UsageError where no system is in both.
    """
    path = Path(baseline)
    try:
        old = figures_of(read_json(path))
    except (KeyError, TypeError, AttributeError):
        raise DataError("is not a report of emo evaluate or emo compare", where=path) from None
    now, out = figures_of(result), []
    pairs = [(name, name) for name in now if name in old] or (
        [(next(iter(now)), next(iter(old)))] if len(now) == len(old) == 1 else []
    )
    if not pairs:
        raise UsageError(
            f"has none of the systems {', '.join(now)}", where=path, mend=f"it holds {', '.join(old) or 'none'}"
        )
    for mine, theirs in pairs:
        for name in HELD:
            before = old[theirs].get(name)
            if before is not None and name in now[mine]:
                bound = before + tolerance if name in LESS_IS_BETTER else before - tolerance
                out.append(
                    check(mine, name, now[mine][name], bound, f"{before:.4f} in {path.name}, tolerance {tolerance:g}")
                )
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
