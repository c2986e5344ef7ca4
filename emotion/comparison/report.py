"""A comparison as lines for a terminal, and as one self-contained HTML page: no script, no network."""

from __future__ import annotations

import base64
import textwrap

from . import wording


def percent(value: float | None, digits: int = 1) -> str:
    return "–" if value is None else f"{100 * value:.{digits}f}%"


def figures(result: dict) -> list[tuple[str, list[str], int | None, str]]:
    """The table: (name, a value a system, which one was shown to be better or None, what it means)."""
    systems, agreement = result["systems"], result["agreement"]
    conf, match, threads = (result["settings"][key] for key in ("conf", "match_iou", "threads"))
    rows = []

    def row(name, values, text, meaning, better=None):
        best = None
        if better and None not in values and values[0] != values[1]:
            best = values.index(better(values))
        rows.append((name, [text(value) for value in values], best, meaning))

    def labelled(key, text, meaning):
        rows.append((wording.NAMES[key], [text(each[key]) for each in found], wording.better(result, key), meaning))

    if "labelled" in systems[0]:
        found = [system["labelled"] for system in systems]
        labelled("map", percent, "mean over the classes that occur of the AP at IoU 0.5")
        labelled("face_ap", percent, "AP of the boxes, whatever the emotion")
        labelled("accuracy", percent, f"emotion right, of labelled faces matched at IoU {match:g} and score {conf:g}")
        labelled("macro_f1", percent, "of the same faces, mean over classes")
        row("matched faces", [each["matched"] for each in found], str, f"of {found[0]['faces']} labelled")
        labelled("missed", str, "labelled, not found")
        labelled("extra", str, "found, not labelled: false, or faces that nobody labelled")
    else:
        row("faces found", [system["faces_found"] for system in systems], str, f"at score {conf:g}")
        row("frames without a face", [system["frames_without_face"] for system in systems], str, f"of {result['subject']['frames']}")
        row("found by it alone", agreement["only"], str, f"no box of the other overlaps with IoU {match:g}")
    row("ms a frame", [system["latency"]["total_ms"] for system in systems], "{:.1f}".format, f"median of {systems[0]['latency']['frames_timed']} frames, one at a time, {threads} {'thread' if threads == 1 else 'threads'}, without decoding", min)
    row("frames/s", [system["latency"]["frames_per_s"] for system in systems], "{:.1f}".format, "that follow from it", max)
    return rows


def text(result: dict) -> str:
    """The table, the stages and the agreement, for a terminal."""
    heads, rows = [system["system"] for system in result["systems"]], figures(result)
    first = max(len(row[0]) for row in rows)
    wide = [max(len(head), *(len(row[1][index]) for row in rows)) for index, head in enumerate(heads)]
    lines = ["  ".join([" " * first, *(head.rjust(width) for head, width in zip(heads, wide))])]
    for name, values, _, meaning in rows:
        lines.append("  ".join([name.ljust(first), *(value.rjust(width) for value, width in zip(values, wide)), f" {meaning}"]))
    for system in result["systems"]:
        stages = " + ".join(f"{stage} {spent:g}" for stage, spent in system["latency"]["stages_ms"].items())
        lines.append(f"{system['system']}: {stages} ms")
    agreement = result["agreement"]
    if "significance" in result:
        lines += ["", *intervals(result), *(textwrap.fill(f"- {sentence}", 118, subsequent_indent="  ", break_on_hyphens=False, break_long_words=False) for sentence in wording.sentences(result)), ""]
    lines.append(f"both found {agreement['matched']} faces and named {agreement['same_emotion']} of them alike ({percent(agreement['share'])})")
    return "\n".join(lines)


def intervals(result: dict) -> list[str]:
    """The table of differences, for a terminal."""
    rows = [(name, *spans, difference, said) for name, spans, difference, said in wording.differences(result)]
    if not rows:
        return []
    heads = [system["system"] for system in result["systems"]]
    table = [("95% intervals", *heads, "difference", ""), *rows]
    wide = [max(len(row[column]) for row in table) for column in range(4)]
    return ["  ".join([row[0].ljust(wide[0]), *(row[column].rjust(wide[column]) for column in (1, 2, 3)), row[4]]).rstrip() for row in table]


def flat(settings: dict, prefix: str = "") -> list[tuple[str, str]]:
    """Nested settings as (dotted name, text) rows."""
    rows = []
    for key, value in settings.items():
        if isinstance(value, dict):
            rows += flat(value, f"{prefix}{key}.")
        elif value is not None:
            rows.append((f"{prefix}{key}", " x ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)))
    return rows


def render(result: dict, shown: dict) -> str:
    """The page. `shown` is `gallery.Gallery.chosen()`."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    page = Environment(loader=PackageLoader("emotion", "comparison"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    page.filters |= {"percent": percent, "flat": flat, "base64": lambda data: base64.b64encode(data).decode()}
    slowest = max(system["latency"]["total_ms"] for system in result["systems"])
    return page.get_template("report.html").render(
        result=result, rows=figures(result), shown=shown, slowest=slowest,
        differences=wording.differences(result) if "significance" in result else [],
        sentences=wording.sentences(result) if "significance" in result else [],
    )  # fmt: skip
