"""What the statistics of a comparison mean, in words: which differences were shown, and which were not.

In: the result of `compare.run`. Out: rows and sentences, for the terminal and for the page.
"""

from __future__ import annotations

from .bootstrap import FEWEST

NAMES = {
    "map": "mAP@0.5",
    "face_ap": "face AP@0.5",
    "accuracy": "accuracy",
    "macro_f1": "macro-F1",
    "missed": "missed faces",
    "extra": "extra faces",
}
SHARES = ("map", "face_ap", "accuracy", "macro_f1")  # the others are counts, of which fewer is better
OF_BOXES = ("map", "face_ap", "extra")  # which say nothing where each picture is a face
NONE_SHOWN = "no difference was shown"
TOO_FEW = "too few faces of some classes to say"
ALPHA = 0.05
CLEARLY = 1.1  # how many times as fast a system has to be to be called the faster one
UNITS = {
    "group": "people or sources",
    "crossed": "people or sources",
    "medium": "pictures and videos",
    "picture": "pictures",
}
DRAWN = {
    "group": " (as the manifest names them, each with all its pictures)",
    "crossed": " (as the manifest names them), crossed with the pictures that they meet in",
}
CAVEATS = {
    "group": " The test treats faces as independent, but one person's are not; accuracy's interval allows for that.",
    "medium": " The test treats faces as independent, but one video's are not.",
}
CAVEATS["crossed"] = CAVEATS["group"]


def figures_of(result: dict) -> list[str]:
    """The figures that the comparison has."""
    if result["subject"]["task"] == "detector":
        return list(NAMES)
    misses = any(system["labelled"]["missed"] for system in result["systems"])
    return [name for name in NAMES if name not in OF_BOXES and (misses or name != "missed")]


def difference_of(result: dict, name: str, i: int, j: int) -> dict | None:
    found = (result.get("significance", {}).get("figures") or {}).get(name)
    return next((each for each in found["differences"] if each["pair"] == [i, j]), None) if found else None


def winner(name: str, difference: dict | None) -> int | None:
    """The one of a pair, as its number, for which the difference was shown."""
    if not difference or not difference["shown"]:
        return None
    return difference["pair"][(difference["value"] > 0) == (name in SHARES)]


def better(result: dict, name: str) -> int | None:
    """The system that was shown to be better in a figure than every other; None when none was."""
    found = (result.get("significance", {}).get("figures") or {}).get(name)
    if not found:
        return None
    wins = [winner(name, each) for each in found["differences"]]
    count = len(result["systems"])
    return next((index for index in range(count) if wins.count(index) == count - 1), None)


def span(interval: dict, name: str, sign: str = "") -> str:
    """`62.5 to 65.6%`; with a sign `-12.9 to +8.9`."""
    if interval["low"] is None:
        return "–"
    share = name in SHARES
    ends = (f"{(100 if share else 1) * interval[end]:{sign}.1f}" for end in ("low", "high"))
    return " to ".join(ends) + ("%" if share and not sign else "")


def does(name: str) -> str:
    return "is better" if name in SHARES else "misses fewer" if name == "missed" else "finds fewer"


def differences(result: dict) -> list[tuple[str, list[str], str, str]]:
    """A row a figure and pair: (figure, the interval of each system, difference with its interval, what that means).

    The rows of one figure follow each other; with more than two systems the difference names its two.
    """
    heads, rows = [system["system"] for system in result["systems"]], []
    for name in figures_of(result) if result.get("significance", {}).get("figures") else ():
        found = result["significance"]["figures"][name]
        spans = [span(each, name) for each in found["systems"]]
        for difference in found["differences"]:
            i, j = difference["pair"]
            value = (
                "–"
                if difference["value"] is None
                else f"{(100 if name in SHARES else 1) * difference['value']:+.1f} ({span(difference, name, '+')})"
            )
            low, high, best = difference["low"], difference["high"], winner(name, difference)
            unsaid = TOO_FEW if best is None and low is not None and not low <= 0 <= high else NONE_SHOWN
            pair = f"{heads[j]} - {heads[i]}: " if len(heads) > 2 else ""
            rows.append((NAMES[name], spans, pair + value, unsaid if best is None else f"{heads[best]} {does(name)}"))
    return rows


def grouped(rows: list[tuple[str, list[str], str, str]]) -> list[tuple[str, str, str]]:
    """Of `differences`: (figure, difference, what that means), the figure's name only in its first row."""
    names = [name for name, *_ in rows]
    return [
        ("" if place and names[place - 1] == name else name, difference, said)
        for place, (name, _, difference, said) in enumerate(rows)
    ]


def tells_apart(one: float, other: float) -> bool:
    """Whether one time is clearly shorter than the other; the machine does other things too."""
    return max(one, other) >= CLEARLY * min(one, other)


def verdict(result: dict) -> str:
    """The comparison in one sentence."""
    systems = result["systems"]
    heads = [system["system"] for system in systems]
    speed = speed_of(systems)
    if not result["subject"].get("judged"):
        found = ", ".join(f"{head} found {some(system['faces_found'], 'face')}" for head, system in zip(heads, systems))
        alike = [pair for pair in result["pairs"] if pair["share"] is not None]
        agree = (
            f" and they agree on {alike[0]['share']:.0%} of the faces that both found"
            if len(heads) == 2 and alike
            else ""
        )
        return f"These frames have no labels, so right and wrong cannot be counted: {found}{agree}; {speed}."
    if result.get("significance", {}).get("figures"):
        shown = []
        for name in figures_of(result):
            best = better(result, name)
            if best is not None:
                shown.append((heads[best], NAMES[name]))
        if shown:
            by = {head: [figure for each, figure in shown if each == head] for head, _ in shown}
            parts = [f"{head} is better in {listed(figures)}" for head, figures in by.items()]
            rest = "all differences were shown"
            if len(shown) < len(figures_of(result)):
                rest = (
                    "no other difference was shown"
                    if len(heads) == 2
                    else "in the other figures no system beats all others"
                )
            return f"{'; '.join(parts)}; {rest}; {speed}."
        figures = result["significance"]["figures"]
        if any(winner(name, each) is not None for name in figures_of(result) for each in figures[name]["differences"]):
            return f"No system is better than all others, though some differ from each other; {speed}."
        return f"No difference in quality was shown; {speed}."
    counts = []
    for head, system in zip(heads, systems):
        told = system["labelled"]
        right = round(told["accuracy"] * told["matched"]) if told["accuracy"] is not None else 0
        more = f" and {told['extra'] or 'no'} more without a label" if result["subject"]["task"] == "detector" else ""
        counts.append(
            f"{head} found {told['matched']} of {some(told['faces'], 'face')}{more}, and named {right} correctly"
        )
    units = UNITS.get(result.get("significance", {}).get("unit", "picture"))
    return f"{'; '.join(counts)}; {speed}. So few {units} cannot show whether this is more than chance."


def speed_of(systems: list[dict]) -> str:
    """Which system is the quickest, of those that were timed."""
    timed = [(system["system"], system["latency"]["total_ms"]) for system in systems if system["latency"]["total_ms"]]
    if len(timed) < 2:
        return "how fast they are was not compared"
    (quick, low), (slow, high) = min(timed, key=lambda pair: pair[1]), max(timed, key=lambda pair: pair[1])
    if not tells_apart(low, high):
        return f"none is clearly faster ({', '.join(f'{time:.1f}' for _, time in timed)} ms a frame)"
    return f"{quick} is {high / low:.1f} times as fast as {slow} ({low:.1f} and {high:.1f} ms a frame)"


def some(count: int, what: str) -> str:
    """`no face`, `1 face`, `2 faces`."""
    return f"{count or 'no'} {what}{'s' if count > 1 else ''}"


def listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def sentences(result: dict) -> list[str]:
    """What made the intervals, what limits them, McNemar's test, and calibration."""
    heads, about = [system["system"] for system in result["systems"]], result["significance"]
    labelled = [system["labelled"] for system in result["systems"]]
    unit = UNITS[about["unit"]] + DRAWN.get(about["unit"], "")
    out = []
    if about["figures"]:
        of = (
            f"The difference is {heads[1]} - {heads[0]}, of shares in points. "
            if len(heads) == 2
            else "Differences of shares are in points. "
        )
        out.append(
            f"Intervals: {about['level']:.0%}, from {about['replicates']} resamples of {about['units']} {unit}; "
            f"paired bootstrap, percentiles, seed {about['seed']}. {of}{NONE_SHOWN.capitalize()} where an interval "
            "contains 0: the truth may lie on either side, or there may be no difference. One in twenty such intervals "
            "misses the truth by chance."
        )
        if about["scarce"]:
            names = ", ".join(f"{name} {count}" for name, count in about["scarce"].items())
            measures = "mAP and macro-F1" if result["subject"]["task"] == "detector" else "Macro-F1"
            out.append(
                f"Some classes occur with fewer than {FEWEST} {UNITS[about['unit']]} ({names}). {measures} "
                f"depend{'s' if measures == 'Macro-F1' else ''} on them as much as on the others: their intervals are "
                "too narrow, so no difference in them counts as shown."
            )
        for head, found in zip(heads, labelled):
            if found["faces"] and not found["missed"] and result["subject"]["task"] == "detector":
                share = min(1, 3 / about["units"])
                out.append(
                    f"{head} missed none of {found['faces']} faces. Resamples cannot show anything else, but a true "
                    f"rate of up to {share:.1%} missed is still possible (3 in {about['units']})."
                )
    elif about["replicates"]:
        out.append(f"No intervals: {about['units']} {unit} are too few to resample.")
    else:
        out.append("No intervals were asked for, so nothing here says whether a difference is more than chance.")
    for pair in result["pairs"]:
        test, (i, j) = pair["mcnemar"], pair["pair"]
        if test["faces"]:
            wins = test["right_wrong"], test["wrong_right"]
            p = "p < 0.001" if test["p"] < 0.001 else f"p = {test['p']:.3f}"
            said = NONE_SHOWN if test["p"] >= ALPHA else f"{heads[(i, j)[wins[1] > wins[0]]]} names them better"
            caveat = CAVEATS.get(about["unit"], "")
            out.append(
                f"Of the {test['faces']} labelled faces that both found, both named {test['right_right']} correctly, "
                f"{heads[i]} alone {wins[0]}, {heads[j]} alone {wins[1]}, neither {test['wrong_wrong']} (exact "
                f"McNemar test, {p}): {said}.{caveat}"
            )
    for head, found in zip(heads, labelled):
        if found.get("unnamed"):
            out.append(
                f"{head} gave {found['unnamed']} of the {some(found['matched'], 'face')} that it found none of the "
                "labelled emotions; they count as wrongly named."
            )
        scores = found["calibration"]
        if scores["faces"]:
            out.append(
                f"{head} scores the emotions it names at {scores['confidence']:.1%} on average and is right in "
                f"{scores['accuracy']:.1%} (expected calibration error {scores['ece']:.1%}, {len(scores['bins'])} "
                f"bins, {scores['faces']} matched faces)."
            )
    return out
