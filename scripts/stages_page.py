"""What `one_or_two_stages.py` measured -> docs/one-or-two-stages.md and its two pictures."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from emotion.comparison import wording
from emotion.comparison.machine import machine
from emotion.comparison.tables import markdown
from emotion.systems import models

COUNTS, CELL, GRID, REPEATS = (1, 4, 16, 64), 120, 8, 6  # faces in a frame; pixels a face; cells a side; frames
CONF = 0.25


@dataclass
class Measured:
    """systems  specs, one of them a YOLO; names  spec -> what the page calls it
    results  set -> compare.json; video  that of a video of one face, if there was one
    speeds   spec -> number of faces -> {ms, low, high, found}
    memory   spec -> megabytes at the peak
    """

    systems: list[str]
    names: dict[str, str]
    results: dict[str, dict]
    speeds: dict[str, dict[int, dict]]
    memory: dict
    video: dict | None

    @property
    def one(self) -> str:
        return next(spec for spec in self.systems if spec.startswith("yolo"))

    @property
    def others(self) -> list[str]:
        return [spec for spec in self.systems if spec != self.one]

    @cached_property
    def lines(self) -> dict[str, tuple[float, float]]:
        """(ms without a face, ms a face) of each system."""
        return {spec: growth(self.speeds[spec]) for spec in self.systems}

    @cached_property
    def sizes(self) -> dict[str, list[dict]]:
        """Faces by size, summed over the sets."""
        return together(self.results, self.systems)


def growth(row: dict) -> tuple[float, float]:
    """(ms without a face, ms a face): a line through the medians by the faces that the system found."""
    found = np.array([row[count]["found"] for count in COUNTS])
    return tuple(np.polyfit(found, [row[count]["ms"] for count in COUNTS], 1)[::-1].tolist())


def plots(folder: Path, measured: Measured) -> None:
    speeds, sizes, names = measured.speeds, measured.sizes, measured.names
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.9), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for number, (spec, row) in enumerate(speeds.items()):
        axes.plot(COUNTS, [row[count]["ms"] for count in COUNTS], "o-", color=f"C{number}", label=names[spec])
        axes.fill_between(
            COUNTS,
            [row[count]["low"] for count in COUNTS],
            [row[count]["high"] for count in COUNTS],
            color=f"C{number}",
            alpha=0.2,
            linewidth=0,
        )
    axes.set_xscale("log", base=2)
    axes.set_xticks(COUNTS, COUNTS)
    axes.set(
        xlabel="faces in the frame",
        ylabel="ms of the processor a frame",
        ylim=(0, None),
        title="Time by the number of faces; shaded: the middle half",
    )
    axes.title.set_fontsize(10)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize=9)
    figure.savefig(folder / "stages-speed.png", dpi=110)
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    rows = [index for index, row in enumerate(next(iter(sizes.values()))) if row["faces"]]
    wide = 0.8 / len(sizes)
    for number, (spec, mine) in enumerate(sizes.items()):
        shares = [100 * mine[index]["missed"] / mine[index]["faces"] for index in rows]
        bars = axes.bar(
            np.arange(len(rows)) + (number - (len(sizes) - 1) / 2) * wide,
            shares,
            wide * 0.92,
            color=f"C{number}",
            label=names[spec],
        )
        axes.bar_label(bars, [f"{share:.0f}" for share in shares], fontsize=8)
    first = next(iter(sizes.values()))
    axes.set_xticks(
        range(len(rows)), [f"{size_name(first[index])}\n{first[index]['faces']} faces" for index in rows], fontsize=8
    )
    axes.set(ylabel="missed, %", title="Missed faces by the longer side of the face, all three sets together")
    axes.title.set_fontsize(10)
    axes.legend(frameon=False, fontsize=9)
    figure.savefig(folder / "stages-missed.png", dpi=110)


def size_name(row: dict) -> str:
    return f"{row['from_px']} px and more" if row["to_px"] is None else f"{row['from_px']} to {row['to_px']} px"


def together(results: dict[str, dict], systems: list[str]) -> dict[str, list[dict]]:
    """Faces by size, summed over the sets."""
    out = {}
    for number, spec in enumerate(systems):
        parts = [result["systems"][number]["labelled"]["sizes"] for result in results.values()]
        out[spec] = [
            rows[0] | {key: sum(row[key] for row in rows) for key in ("faces", "missed", "right")}
            for rows in zip(*parts)
        ]
    return out


def upper(name: str) -> str:
    """As a sentence begins."""
    return name[0].upper() + name[1:]


def rightly(result: dict, index: int) -> float:
    """The share of all labelled faces that a system found and named correctly."""
    sizes = result["systems"][index]["labelled"]["sizes"]
    return sum(row["right"] for row in sizes) / max(sum(row["faces"] for row in sizes), 1)


def percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}%"


def with_interval(result: dict, name: str, index: int) -> str:
    told = result["systems"][index]["labelled"][name]
    value = percent(told) if name in wording.SHARES else str(told)
    found = (result["significance"]["figures"] or {}).get(name)
    return (
        value
        if not found or found["systems"][index]["low"] is None
        else f"{value} ({wording.span(found['systems'][index], name).rstrip('%')})"
    )


def page(measured: Measured, command: str) -> str:
    """The page, in Markdown; `command` is what wrote it."""
    systems, names, results, speeds = measured.systems, measured.names, measured.results, measured.speeds
    memory, video, lines = measured.memory, measured.video, measured.lines
    out = ["# One stage or two?", "", *answer(measured), ""]
    out += [
        "`scripts/one_or_two_stages.py` wrote this page, from measurements of the models that come with emo:",
        "",
        f"    {command}",
        "",
    ]
    out += ["## Time by the number of faces", ""]
    head = ["system", *(f"{count} face{'s' * (count > 1)}" for count in COUNTS), "without a face", "each face adds"]
    rows = [
        [
            names[spec],
            *(
                f"{speeds[spec][c]['ms']:.1f} ({speeds[spec][c]['low']:.1f} to {speeds[spec][c]['high']:.1f})"
                for c in COUNTS
            ),
            f"{lines[spec][0]:.1f}",
            f"{lines[spec][1]:.2f}",
        ]
        for spec in systems
    ]
    out += [
        markdown(head, rows),
        "",
        (
            f"Milliseconds of CPU time for a frame of {GRID * CELL}x{GRID * CELL}, one thread: the median and the "
            f"middle half of {3 * REPEATS} passes over {REPEATS} frames, the systems"
        ),
        (
            f"taking turns. Each face is a photograph of LFW in a cell of {CELL} px. The last two columns come from a "
            "straight line through the medians, by the faces found, which were on average:"
        ),
        "",
    ]
    out += [
        markdown(
            ["system", *map(str, COUNTS)],
            [[names[spec], *(f"{speeds[spec][count]['found']:.1f}" for count in COUNTS)] for spec in systems],
        ),
        "",
    ]
    out += ["![Time by the number of faces](pictures/stages-speed.png)", "", "## Which is more accurate", ""]
    for title, result in results.items():
        told = result["systems"][0]["labelled"]
        out += [f"**{title}**: {result['subject']['frames']} pictures, {told['faces']} faces.", ""]
        keys = ("accuracy", "macro_f1", "map", "face_ap", "missed", "extra")
        table = [
            [names[spec], percent(rightly(result, index)), *(with_interval(result, key, index) for key in keys)]
            for index, spec in enumerate(systems)
        ]
        out += [
            markdown(["system", "found and named correctly", *(wording.NAMES[key] for key in keys)], table),
            "",
            *shown(result, measured),
            "",
        ]
    out += [
        "In brackets are 95% intervals, from 1,000 resamples of the people or sources (paired bootstrap); where",
        "several share a collage or scene, of the people and of the pictures. Accuracy and macro-F1 count only the",
        "faces that were found: a finder that finds only large faces leaves its classifier the easy ones.",
        "",
    ]
    out += ["## Missed faces by size", "", "![Missed faces by size](pictures/stages-missed.png)", ""]
    if video:
        out += ["## In a video of one face", ""]
        rows = [
            [
                names[spec],
                str(told["faces_found"]),
                str(told["frames_without_face"]),
                f"{told['flicker']['per_minute'] or 0:.1f}",
            ]
            for spec, told in zip(systems, video["systems"])
        ]
        out += [
            markdown(["system", "faces found", "frames without one", "changes of emotion a minute"], rows),
            "",
            (
                f"{video['subject']['frames']} frames, without labels. The real emotions of a person who is "
                "talking change less often than this."
            ),
            "",
        ]
    out += ["## What they cost", ""]
    cost = [
        [names[spec], f"{told['cost']['megabytes']:.1f}", f"{memory[spec]:.0f}" if memory[spec] else "–"]
        for spec, told in zip(systems, next(iter(results.values()))["systems"])
    ]
    out += [
        markdown(["system", "files, MB", "peak memory, MB"], cost),
        "",
        *turned(measured),
        "",
    ]
    told = machine()
    out += ["Measured on " + ", ".join(f"{key} {value}" for key, value in told.items()) + ".", ""]
    return "\n".join(out)


def meets(one: tuple[float, float], two: tuple[float, float]) -> float | None:
    """The number of faces from which the first is quicker; None when the lines never meet to the right of 0."""
    if two[1] <= one[1]:
        return None
    return max(0.0, (one[0] - two[0]) / (two[1] - one[1]))


def answer(measured: Measured) -> list[str]:
    """The question, answered by what was measured."""
    systems, names, results, speeds = measured.systems, measured.names, measured.results, measured.speeds
    one, others, lines = measured.one, measured.others, measured.lines
    said = []
    for spec in others:
        at = meets(lines[one], lines[spec])
        few, many = COUNTS[0], COUNTS[-1]
        pair = (
            f"{speeds[one][few]['ms']:.0f} and {speeds[spec][few]['ms']:.0f} ms with one face, "
            f"{speeds[one][many]['ms']:.0f} and {speeds[spec][many]['ms']:.0f} with {many}"
        )
        quicker = at is not None or lines[one][0] < lines[spec][0]
        quick = f"{upper(names[one])} is {'quicker' if quicker else 'slower'} than {names[spec]}"
        when = "at any number of faces"
        if at is not None and at >= 1:
            when = f"from about {at:.0f} faces a frame" + ("" if at <= many else ", which is more than were tried")
        said.append(f"**{quick} {when}** ({pair}).")
    for title, result in results.items():
        shares = {spec: rightly(result, index) for index, spec in enumerate(systems)}
        said.append(
            f"Faces found and named correctly, {title}: "
            f"{wording.listed([f'{names[spec]} {100 * share:.0f}%' for spec, share in sorted(shares.items(), key=lambda each: -each[1])])}."  # noqa: E501
        )
    counts = {
        spec: sum(result["systems"][index]["labelled"]["missed"] for result in results.values())
        for index, spec in enumerate(systems)
    }
    total = sum(result["systems"][0]["labelled"]["faces"] for result in results.values())
    fewest = min(counts, key=counts.get)
    said.append(
        f"{upper(names[fewest])} misses the fewest faces, {counts[fewest]} of {total} in all sets "
        f"({', '.join(f'{names[spec]} {count}' for spec, count in counts.items() if spec != fewest)})."
    )
    return [
        "**One stage takes nearly the same time for any number of faces; two stages take longer with every face.**",
        "",
        *(f"- {line}" for line in said),
    ]


def shown(result: dict, measured: Measured) -> list[str]:
    """Which differences from the one stage were shown."""
    systems, names, one = measured.systems, measured.names, measured.one
    out, place = [], systems.index(one)
    for index, spec in enumerate(systems):
        if spec == one:
            continue
        parts = []
        for name in ("accuracy", "missed", "extra"):
            found = wording.difference_of(result, name, *sorted((place, index)))
            best = wording.winner(name, found)
            if best is not None and found is not None:
                sign = 1 if found["pair"][1] == place else -1
                parts.append(
                    f"{wording.NAMES[name]} "
                    f"{sign * found['value'] * (100 if name in wording.SHARES else 1):+.1f}{' points' if name in wording.SHARES else ''}, better for {names[systems[best]]}"  # noqa: E501
                )
        out.append(
            f"- {upper(names[one])} against {names[spec]}: "
            f"{'; '.join(parts) or 'no difference in accuracy, missed or extra faces was shown'}."
        )
    return out


def turned(measured: Measured) -> list[str]:
    """What would turn the answer round, in figures where they are at hand."""
    systems, names, sizes = measured.systems, measured.names, measured.sizes
    one, others, lines = measured.one, measured.others, measured.lines
    out = ["## What could change the answer", ""]
    for spec in others:
        at = meets(lines[one], lines[spec])
        base, each = lines[spec]
        told = f"{upper(names[spec])}: {base:.0f} ms to look for faces and {each:.2f} ms for each face"
        if at is None or at > COUNTS[-1]:
            need = max((lines[one][0] - base) / 16, 0)
            out.append(
                f"- **A larger classifier.** {told}. One that takes {need:.1f} ms a face would make it slower than "
                f"{names[one]} from 16 faces on."
            )
        elif at < 1:
            need = lines[one][0] - each - lines[one][1]
            out.append(
                f"- **A quicker face finder.** {told}. A finder that takes {max(need, 0):.0f} ms would make it as "
                f"quick as {names[one]} for one face."
            )
        else:
            out.append(
                f"- **The number of faces.** {told}: quicker with fewer than {at:.0f}, slower than "
                f"{names[one]} with more."
            )
    out += [
        "- **The data.** "
        + learned()
        + " A classifier that learned from photographs in context, or a detector that did not, may change accuracy",
        "  more than the number of stages does. To compare like with like, train both on your data.",
        "- **The size of faces.** "
        + "; ".join(
            (
                f"{upper(names[spec]) if spec == systems[0] else names[spec]} misses "
                f"{100 * small['missed'] / small['faces']:.0f}% of faces below 32 px"
            )
            for spec in systems
            if (
                small := {
                    key: sum(row[key] for row in sizes[spec] if row["to_px"] and row["to_px"] <= 32)
                    for key in ("missed", "faces")
                }
            )["faces"]
        )
        + ". A larger input (`yolo@512`) finds more and takes longer, in proportion to the area.",
        (
            "- **Changing one part.** With two stages you can swap the finder or the classifier alone, and crops keep "
            "the full resolution. One stage is one file and one network to deploy."
        ),
    ]
    return out


def learned() -> str:
    """What the two models that ship learned from, as their cards say."""
    detector, classifier = models.find(None, "detector"), models.find(None, "classifier")
    return (
        f"One stage ({detector.name}) learned from {detector.card.get('data', 'what its card does not say')}; "
        f"the classifier of the two stages ({classifier.name}) from "
        f"{classifier.card.get('data', 'what its card does not say')}."
    )
