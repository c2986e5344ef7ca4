#!/usr/bin/env python3
"""Does one stage or two serve better? Measure it with the models that ship, and write docs/one-or-two-stages.md.

    python scripts/one_or_two_stages.py --lfw lfw-affectnet --fer fer2013.csv --video woman.mp4 --yunet yunet.onnx

Takes a set in AffectNet's form, FER2013's csv, a video of one talking face. Everything stands in --work (default:
stages), sets that are there are not made again; the page and its two pictures go to --docs. All systems compute on one
thread, and time by the number of faces is the processor's, so that neither the cores nor what else runs decides. About
10 minutes on a quiet machine.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from converters.darknet_format.files import read_data, write_data
from emotion.comparison import compare, wording
from emotion.comparison.machine import machine
from emotion.comparison.memory import peak_megabytes
from emotion.comparison.settings import Settings
from emotion.comparison.tables import markdown
from emotion.comparison.tally import labelled_frames
from emotion.systems import models
from emotion.systems.backends import set_threads
from emotion.systems.open import SystemSettings, open_subject

COUNTS, CELL, GRID, REPEATS = (1, 4, 16, 64), 120, 8, 6
CONF = 0.25


def emo(*args: object) -> None:
    done = subprocess.run([sys.executable, "-m", "emotion.cli", *map(str, args)])
    if done.returncode:
        sys.exit(f"emo {' '.join(map(str, args))} failed")


def sets(args: argparse.Namespace) -> dict[str, Path]:
    """What is measured on, made where it is not there: name -> .data file."""
    work = args.work
    lfw, alone, collages, scenes = (work / name for name in ("lfw", "lfw-valid", "collages", "scenes"))
    if not lfw.is_dir():
        emo("convert", "affectnet", args.lfw, "--task", "detector", "--out", lfw)
    if not alone.is_dir():  # its validation list alone, so that collages hold nobody whom a model was trained on
        alone.mkdir()
        data = read_data(lfw / "emo.data")
        with open(lfw / "manifest.csv", newline="") as file, open(alone / "manifest.csv", "w", newline="") as out:
            writer = csv.writer(out)
            writer.writerow(["image", "group"])
            writer.writerows(
                [(lfw / row["image"]).absolute(), row["group"]]
                for row in csv.DictReader(file)
                if row["split"] == "valid"
            )
        write_data(
            alone / "emo.data",
            classes=data.classes,
            valid=data.list_of("valid").absolute(),
            names=(lfw / "emo.names").absolute(),
        )
    if not collages.is_dir():
        emo("dataset", "collage", alone, "--count", args.pictures, "--out", collages)
    if not scenes.is_dir():
        emo(
            "convert",
            "fer2013",
            args.fer,
            "--task",
            "detector",
            "--scenes",
            args.pictures,
            "--usage",
            "Training=none,PublicTest=none,PrivateTest=valid",
            "--out",
            scenes,
        )
    return {
        "lfw-affectnet, validation list": lfw / "emo.data",
        "collages of it, faces from 16 px": collages / "emo.data",
        "scenes of FER2013's PrivateTest faces": scenes / "emo.data",
    }


def crowd(pieces: list[np.ndarray], faces: int, rng: np.random.Generator) -> np.ndarray:
    """A frame of GRID x GRID cells of CELL pixels, `faces` of them with a face, on a plain ground with a little
    noise.
    """
    import cv2

    side = GRID * CELL
    frame = np.clip(rng.normal(118, 6, (side, side, 3)), 0, 255).astype(np.uint8)
    for cell, piece in zip(rng.permutation(GRID * GRID)[:faces], rng.permutation(len(pieces))):
        y, x = divmod(int(cell), GRID)
        frame[y * CELL + 4 : y * CELL + CELL - 4, x * CELL + 4 : x * CELL + CELL - 4] = cv2.resize(
            pieces[int(piece)], (CELL - 8, CELL - 8), interpolation=cv2.INTER_AREA
        )
    return frame


def speed(systems: list[str], data: Path) -> dict[str, dict]:
    """Milliseconds of the processor a frame by the faces in it: system -> {faces: {"ms", "low", "high", "found"}},
    quartiles.
    """
    pieces = []
    for frame, truth in labelled_frames(read_data(data), "valid", 200):
        x1, y1, x2, y2 = truth.xyxy_px[0]
        half = 0.8 * max(x2 - x1, y2 - y1)
        left, top = (int(max(0, centre - half)) for centre in ((x1 + x2) / 2, (y1 + y2) / 2))
        pieces.append(frame.bgr[top : top + int(2 * half), left : left + int(2 * half)])
    opened = {spec: open_subject(spec, SystemSettings(conf=CONF)) for spec in systems}
    times = {spec: {count: [] for count in COUNTS} for spec in systems}
    found = {spec: {count: [] for count in COUNTS} for spec in systems}
    for turn in range(REPEATS):
        for count in COUNTS:
            frame = crowd(pieces, count, np.random.default_rng((count, turn)))
            order = systems[turn % len(systems) :] + systems[: turn % len(systems)]
            for spec in order:
                if turn == 0:
                    opened[spec].detect([frame])
                for _ in range(3):
                    start = time.process_time()
                    (faces,) = opened[spec].detect([frame])
                    times[spec][count].append(1000 * (time.process_time() - start))
                found[spec][count].append(len(faces))
    return {
        spec: {
            count: dict(zip(("low", "ms", "high"), np.percentile(times[spec][count], (25, 50, 75)).tolist()))
            | {"found": float(np.mean(found[spec][count]))}
            for count in COUNTS
        }
        for spec in systems
    }


def growth(row: dict) -> tuple[float, float]:
    """(ms without a face, ms a face): a line through the medians by the faces that the system found."""
    found = np.array([row[count]["found"] for count in COUNTS])
    return tuple(np.polyfit(found, [row[count]["ms"] for count in COUNTS], 1)[::-1].tolist())


def plots(folder: Path, speeds: dict, sizes: dict[str, list[dict]], names: dict[str, str]) -> None:
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


def page(
    systems: list[str],
    names: dict[str, str],
    results: dict[str, dict],
    speeds: dict,
    sizes: dict,
    memory: dict,
    video: dict | None,
    command: str,
) -> str:
    one = next(spec for spec in systems if spec.startswith("yolo"))
    others = [spec for spec in systems if spec != one]
    lines = {spec: growth(speeds[spec]) for spec in systems}
    out = ["# One stage or two?", "", *answer(one, others, systems, names, results, speeds, lines), ""]
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
            *shown(result, systems, names, one),
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
        *turned(one, others, names, lines, results, sizes, systems),
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


def answer(one, others, systems, names, results, speeds, lines) -> list[str]:
    """The question, answered by what was measured."""
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


def shown(result, systems, names, one) -> list[str]:
    """Which differences from the one stage were shown."""
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


def turned(one, others, names, lines, results, sizes, systems) -> list[str]:
    """What could change the answer, in figures where they are at hand."""
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


def measure(args: argparse.Namespace, systems: list[str]) -> None:
    """Everything, into --work/measured.json."""
    data = sets(args)
    speeds = speed(systems, next(iter(data.values())))
    results = {
        title: compare.run(
            systems, data=path, out=args.work / "compare" / str(index), force=True, settings=Settings(conf=CONF)
        )
        for index, (title, path) in enumerate(data.items())
    }
    video = (
        compare.run(
            systems, media=[args.video], out=args.work / "compare" / "video", force=True, settings=Settings(conf=CONF)
        )
        if args.video
        else None
    )
    first = [frame.bgr for frame, _ in labelled_frames(read_data(next(iter(data.values()))), "valid", 8)]
    memory = {spec: peak_megabytes(spec, first, {"conf": CONF}) for spec in systems}
    (args.work / "measured.json").write_text(
        json.dumps({"speed": speeds, "memory": memory, "results": results, "video": video}, indent=1)
    )


def learned() -> str:
    """What the two models that ship learned from, as their cards say."""
    detector, classifier = models.find(None, "detector"), models.find(None, "classifier")
    return (
        f"One stage ({detector.name}) learned from {detector.card.get('data', 'what its card does not say')}; "
        f"the classifier of the two stages ({classifier.name}) from "
        f"{classifier.card.get('data', 'what its card does not say')}."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lfw", type=Path, required=True, help="a set in AffectNet's form; ours is LFW")
    parser.add_argument("--fer", type=Path, required=True, help="fer2013.csv")
    parser.add_argument("--video", type=Path, help="a video of one face")
    parser.add_argument("--yunet", help="YuNet's .onnx, for a second face finder; `yunet` when it was pulled")
    parser.add_argument("--pictures", type=int, default=250, help="collages and scenes each (default: 250)")
    parser.add_argument("--work", type=Path, default=Path("stages"))
    parser.add_argument("--page", action="store_true", help="write the page again from what was measured")
    parser.add_argument("--docs", type=Path, default=Path(__file__).resolve().parents[1] / "docs")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    set_threads(1)
    systems = ["two-stage:haar", *([f"two-stage:{args.yunet}"] if args.yunet else []), "yolo"]
    names = {
        spec: {"two-stage:haar": "two stages (Haar)", "yolo": "one stage"}.get(spec, "two stages (YuNet)")
        for spec in systems
    }
    if not args.page:
        measure(args, systems)
    told = json.loads((args.work / "measured.json").read_text())
    speeds = {spec: {int(count): row for count, row in rows.items()} for spec, rows in told["speed"].items()}
    results, memory, video = told["results"], told["memory"], told["video"]
    sizes = together(results, systems)
    (args.docs / "pictures").mkdir(parents=True, exist_ok=True)
    plots(args.docs / "pictures", speeds, sizes, names)
    command = (
        "python scripts/one_or_two_stages.py --lfw lfw-affectnet --fer fer2013.csv"
        + (" --video woman.mp4" if video else "")
        + (" --yunet yunet.onnx" if args.yunet else "")
    )
    (args.docs / "one-or-two-stages.md").write_text(
        page(systems, names, results, speeds, sizes, memory, video, command), encoding="utf-8"
    )
    print(args.docs / "one-or-two-stages.md")


if __name__ == "__main__":
    main()
