"""A comparison as lines for a terminal, and as one self-contained HTML page that needs no network."""

from __future__ import annotations

import base64
import textwrap
from pathlib import Path

from . import wording
from .wording import verdict as verdict


def percent(value: float | None, digits: int = 1) -> str:
    return "–" if value is None else f"{100 * value:.{digits}f}%"


def number(value: float | None, form: str = ".1f") -> str:
    return "–" if value is None else f"{value:{form}}"


def figures(result: dict) -> list[tuple[str, list[str], int | None, str]]:
    """The table: (name, a value a system, which one was shown to be better or None, what it means)."""
    systems, boxes = result["systems"], result["subject"]["task"] == "detector"
    conf, match, threads = (result["settings"][key] for key in ("conf", "match_iou", "threads"))
    rows: list[tuple[str, list[str], int | None, str]] = []

    def row(name, values, text, meaning, better=None):
        best = None
        if better and None not in values and wording.tells_apart(*sorted(values, reverse=better is max)[:2]):
            best = values.index(better(values))
        rows.append((name, [text(value) for value in values], best, meaning))

    def labelled(key, text, meaning):
        if key in wording.figures_of(result):
            rows.append((wording.NAMES[key], [text(each[key]) for each in found], wording.better(result, key), meaning))

    if "labelled" in systems[0]:
        found = [system["labelled"] for system in systems]
        labelled("map", percent, "AP at IoU 0.5, averaged over the classes that occur")
        labelled("face_ap", percent, "AP of the boxes, whatever the emotion")
        labelled(
            "accuracy",
            percent,
            f"emotion correct, of labelled faces matched at IoU {match:g} and score {conf:g}"
            if boxes
            else "emotion correct, of the pictures",
        )
        labelled("macro_f1", percent, "of the same faces, averaged over classes")
        if boxes or any(each["missed"] for each in found):
            row("matched faces", [each["matched"] for each in found], str, f"of {found[0]['faces']} labelled")
            labelled("missed", str, "labelled, not found")
        labelled("extra", str, "found, not labelled: false, or faces without a label")
    else:
        row("faces found", [system["faces_found"] for system in systems], str, f"at score {conf:g}")
        row(
            "frames without a face",
            [system["frames_without_face"] for system in systems],
            str,
            f"of {result['subject']['frames']}",
        )
        if len(systems) == 2:
            row(
                "found by it alone", result["pairs"][0]["only"], str, f"no box of the other overlaps with IoU {match:g}"
            )
    if any(system.get("flicker", {}).get("per_minute") is not None for system in systems):
        row(
            "flicker",
            [system.get("flicker", {}).get("per_minute") for system in systems],
            number,
            "how often a followed face's emotion changes, a minute of video",
        )
    clocked = next((system["latency"] for system in systems if system["latency"]["frames_timed"]), None)
    if clocked:
        row(
            "ms a frame",
            [system["latency"]["total_ms"] for system in systems],
            number,
            (
                f"median of {wording.some(clocked['frames_timed'], 'frame')}, one at a time, "
                f"{wording.some(threads, 'thread')}, without decoding"
            ),
            min,
        )
        row(
            "ms, slowest 5%",
            [system["latency"]["p95_ms"] for system in systems],
            number,
            f"95th percentile, after {clocked['warm_up']} untimed passes",
        )
        row(
            "frames/s",
            [system["latency"]["frames_per_s"] for system in systems],
            number,
            "from the median",
            max,
        )
    costs = [system["cost"] for system in systems]
    if any(cost["megabytes"] for cost in costs):
        row("MB", [cost["megabytes"] for cost in costs], number, "size of the weights and the face finder's files")
    if any(cost["bflops_a_frame"] or cost["bflops_a_face"] for cost in costs):
        rows.append(
            (
                "BFLOPs",
                [bflops(cost) for cost in costs],
                None,
                "per frame, and per face where each is classified; Darknet networks only",
            )
        )
    if any(cost.get("peak_megabytes") for cost in costs):
        row(
            "memory, MB",
            [cost.get("peak_megabytes") for cost in costs],
            number,
            "peak memory of a process that does nothing else",
        )
    return rows


def bflops(cost: dict) -> str:
    parts = [
        f"{cost['bflops_a_frame']:.2f}" if cost["bflops_a_frame"] else "",
        f"{cost['bflops_a_face']:.3f} a face" if cost["bflops_a_face"] else "",
    ]
    return " + ".join(part for part in parts if part) or "–"


def text(result: dict) -> str:
    """The verdict, the table, the stages and the agreement, for a terminal."""
    heads, rows = [system["system"] for system in result["systems"]], figures(result)
    first = max(len(row[0]) for row in rows)
    wide = [max(len(head), *(len(row[1][index]) for row in rows)) for index, head in enumerate(heads)]
    lines = [textwrap.fill(result["verdict"], 118, break_on_hyphens=False, break_long_words=False), ""]
    lines.append("  ".join([" " * first, *(head.rjust(width) for head, width in zip(heads, wide))]))
    for name, values, _, meaning in rows:
        lines.append(
            "  ".join([name.ljust(first), *(value.rjust(width) for value, width in zip(values, wide)), f" {meaning}"])
        )
    for system in [each for each in result["systems"] if each["latency"]["stages_ms"]]:
        stages = " + ".join(f"{stage} {spent:g}" for stage, spent in system["latency"]["stages_ms"].items())
        lines.append(f"{system['system']}: {stages} ms")
    if "significance" in result:
        lines += [
            "",
            *intervals(result),
            *(
                textwrap.fill(
                    f"- {sentence}", 118, subsequent_indent="  ", break_on_hyphens=False, break_long_words=False
                )
                for sentence in wording.sentences(result)
            ),
            "",
        ]
    return "\n".join(lines + agreement(result))


def agreement(result: dict) -> list[str]:
    """A line a pair."""
    heads, out = [system["system"] for system in result["systems"]], []
    for pair in result["pairs"]:
        who = "both" if len(heads) == 2 else f"{heads[pair['pair'][0]]} and {heads[pair['pair'][1]]} both"
        alike = (
            f" and agree on the emotion of {pair['same_emotion']} ({percent(pair['share'])})" if pair["matched"] else ""
        )
        out.append(f"{who} found {wording.some(pair['matched'], 'face')}{alike}")
    return out


def intervals(result: dict) -> list[str]:
    """The intervals and the differences, for a terminal: in one table of two systems, in two of more."""
    heads, rows = [system["system"] for system in result["systems"]], wording.differences(result)
    if not rows:
        return []
    if len(heads) == 2:
        return aligned(
            [("95% intervals", *heads, "difference", ""), *((name, *spans, *rest) for name, spans, *rest in rows)], 1
        )
    spans_of = {name: spans for name, spans, *_ in rows}
    return [
        *aligned([("95% intervals", *heads), *((name, *spans) for name, spans in spans_of.items())]),
        "",
        *aligned([("differences", "", ""), *wording.grouped(rows)], 1),
    ]


def aligned(rows: list[tuple[str, ...]], words: int = 0) -> list[str]:
    """Lines of a table: the first column to the left, as are the `words` at its end, the others to the right."""
    wide = [max(map(len, column)) for column in zip(*rows)]
    right = range(1, len(wide) - words)
    return [
        "  ".join(
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, wide))
        ).rstrip()
        for row in rows
    ]


def flat(settings: dict, prefix: str = "") -> list[tuple[str, str]]:
    """Nested settings as (dotted name, text) rows."""
    rows: list[tuple[str, str]] = []
    for key, value in settings.items():
        if isinstance(value, dict):
            rows += flat(value, f"{prefix}{key}.")
        elif value is not None:
            rows.append(
                (f"{prefix}{key}", " x ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value))
            )
    return rows


def render(result: dict, shown: dict, clip: Path | None = None) -> str:
    """The page. `shown` is `gallery.Gallery.chosen()`; `clip` a video that lies beside the page."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    page = Environment(
        loader=PackageLoader("emotion.comparison", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page.filters |= {"percent": percent, "flat": flat, "base64": lambda data: base64.b64encode(data).decode()}
    frames = [*shown["worst"], *shown["spread"]]
    return page.get_template("report.html").render(
        result=result,
        rows=figures(result),
        shown=shown,
        slowest=max(system["latency"]["total_ms"] or 0 for system in result["systems"]) or 1,
        differences=wording.differences(result) if "significance" in result else [],
        grouped=wording.grouped,
        sentences=wording.sentences(result) if "significance" in result else [],
        agreements=agreement(result),
        clip=clip.name if clip else None,
        kinds=[
            kind for kind in ("differ", "misnamed", "missed", "false") if any(kind in frame.kinds for frame in frames)
        ],
        classes=[
            name
            for name in result["subject"].get("names") or sorted({name for frame in frames for name in frame.classes})
            if any(name in frame.classes for frame in frames)
        ],
    )
