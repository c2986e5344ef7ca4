"""What the statistics of a comparison mean, in words: which differences were shown, and which were not.

In: the result of `compare.run` on a labelled set. Out: rows and sentences, for the terminal and for the page.
"""

from __future__ import annotations

from .bootstrap import FEWEST

NAMES = {"map": "mAP@0.5", "face_ap": "face AP@0.5", "accuracy": "accuracy", "macro_f1": "macro-F1", "missed": "missed faces", "extra": "extra faces"}
SHARES = ("map", "face_ap", "accuracy", "macro_f1")  # the others are counts, of which fewer is better
NONE_SHOWN = "no difference was shown"
TOO_FEW = "too few faces of some classes to say"
ALPHA = 0.05


def better(result: dict, name: str) -> int | None:
    """The system for which a difference in the figure was shown; None when none was."""
    found = result.get("significance", {}).get("figures")
    if not found or not found[name]["differences"][0]["shown"]:
        return None
    return int((found[name]["differences"][0]["value"] > 0) == (name in SHARES))


def differences(result: dict) -> list[tuple[str, list[str], str, str]]:
    """A row a figure: (name, the interval of each system, difference with its interval, what that means)."""
    heads, rows = [system["system"] for system in result["systems"]], []
    for name, found in (result["significance"]["figures"] or {}).items():
        scale, digits = (100, 1) if name in SHARES else (1, 1)

        def span(interval, sign="", scale=scale, digits=digits):
            if interval["low"] is None:
                return "–"
            return " to ".join(f"{scale * interval[end]:{sign}.{digits}f}" for end in ("low", "high")) + ("%" if scale == 100 and not sign else "")

        difference, winner = found["differences"][0], better(result, name)
        text = "–" if difference["value"] is None else f"{scale * difference['value']:+.{digits}f} ({span(difference, '+')})"
        low, high = difference["low"], difference["high"]
        unsaid = TOO_FEW if winner is None and low is not None and not low <= 0 <= high else NONE_SHOWN
        does = "is better" if name in SHARES else "misses fewer" if name == "missed" else "finds fewer"
        rows.append((NAMES[name], [span(each) for each in found["systems"]], text, unsaid if winner is None else f"{heads[winner]} {does}"))
    return rows


def sentences(result: dict) -> list[str]:
    """What made the intervals, what limits them, McNemar's test, and calibration."""
    heads, about = [system["system"] for system in result["systems"]], result["significance"]
    labelled = [system["labelled"] for system in result["systems"]]
    unit = "people or sources (as the manifest names them, each with all its pictures)" if about["unit"] == "group" else "pictures"
    out = []
    if about["figures"]:
        out.append(
            f"Intervals: {about['level']:.0%}, from {about['replicates']} resamples of {about['units']} {unit} (paired bootstrap, percentiles, seed {about['seed']}). "
            f"The difference is {heads[1]} - {heads[0]}, of shares in points. {NONE_SHOWN.capitalize()} where its interval holds 0: "
            "it may lie either way, or be none. Of twenty such intervals one misses the truth by chance."
        )
        if about["scarce"]:
            listed = ", ".join(f"{name} {count}" for name, count in about["scarce"].items())
            out.append(
                f"Some classes occur with fewer than {FEWEST} {'people or sources' if about['unit'] == 'group' else 'pictures'} ({listed}). mAP and macro-F1 rest on them "
                "as much as on the others: their intervals are too narrow, and no difference in them is called shown."
            )
        for head, found in zip(heads, labelled):
            if found["faces"] and not found["missed"]:
                share = min(1, 3 / about["units"])
                out.append(f"{head} missed none of {found['faces']} faces; resamples of that can show nothing else, but up to {share:.1%} missed would still go with it (3 in {about['units']}).")
    elif about["replicates"]:
        out.append(f"No intervals: {about['units']} {unit} are too few to be drawn again.")
    else:
        out.append("No intervals were asked for, so nothing here says whether a difference is more than chance.")
    test = about["mcnemar"]
    if test["faces"]:
        wins = test["right_wrong"], test["wrong_right"]
        p = "p < 0.001" if test["p"] < 0.001 else f"p = {test['p']:.3f}"
        said = NONE_SHOWN if test["p"] >= ALPHA else f"{heads[wins[1] > wins[0]]} names them better"
        caveat = " The test takes faces as independent; those of one person are not, which the interval of accuracy allows for." if about["unit"] == "group" else ""
        out.append(
            f"Of the {test['faces']} labelled faces that both found, both named {test['right_right']} rightly, {heads[0]} alone {wins[0]}, "
            f"{heads[1]} alone {wins[1]}, neither {test['wrong_wrong']} (exact McNemar test, {p}): {said}.{caveat}"
        )
    for head, found in zip(heads, labelled):
        scores = found["calibration"]
        if scores["faces"]:
            out.append(
                f"{head} scores the emotions it names at {scores['confidence']:.1%} on average and is right in {scores['accuracy']:.1%} "
                f"(expected calibration error {scores['ece']:.1%}, {len(scores['bins'])} bins, {scores['faces']} matched faces)."
            )
    return out
