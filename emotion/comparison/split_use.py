"""What a split was to a model before it is measured on it: trained on, chosen on, or neither, as far as is recorded.

A figure on the split whose best epoch was kept flatters, one on training data means nothing; so `emo evaluate` says so.
A run knows from its run.json (the hashes of its lists, and the lists themselves while they are there). A model's card
says it by `trained_on` and `chosen_on`: lists of `DATASET SPLIT`, such as "fer2013 valid", DATASET being what was given
to
emo convert: its KIND, or the name of the folder or file.
"""

from __future__ import annotations

import os
from pathlib import Path

from converters.darknet_format.files import DataFile, read_data, read_list
from converters.errors import DataError, EmoError
from converters.text_files import read_json
from darknet_runner.run.folder import RunDir, sha256

from ..systems.models import Model

UNKNOWN, UNSEEN, CHOSEN, TRAINED = "unknown", "unseen", "chosen", "trained"


def use_of(model: Model, data: DataFile, split: str) -> dict:
    """{"use": one of the four, "why": a sentence}; the worse one where several hold."""
    run = RunDir(model.folder)
    if (run.path / "run.json").is_file():
        return _of_run(run, model, data, split)
    if "trained_on" in model.card or "chosen_on" in model.card:
        return _of_card(model, data, split)
    return {"use": UNKNOWN, "why": "neither a run nor a card says what the weights were trained and chosen on"}


def _of_run(run: RunDir, model: Model, data: DataFile, split: str) -> dict:
    told = run.read_json()
    here, best = data.list_of(split), model.weights.stem.endswith("_best")
    hashes = (told.get("hashes") or {}).get("data") or {}
    shares = {}
    try:
        theirs = read_data(run.data_file() or "")
        mine = _identities(here)
        for name in ("train", "valid"):
            if name == "train" or getattr(theirs, name):
                shares[name] = len(mine & _identities(theirs.list_of(name))) / len(mine)
    except (KeyError, TypeError, EmoError):  # the run's set has gone; its hashes stay
        pass
    for name in ("train", "valid"):
        if hashes.get(name) == sha256(here):
            shares[name] = 1.0
    if not shares:
        return {"use": UNKNOWN, "why": f"the lists of {run.path} are gone"}
    if shares.get("train"):
        return {"use": TRAINED, "why": f"{shares['train']:.0%} of these pictures were trained on"}
    if shares.get("valid") and best:
        return {
            "use": CHOSEN,
            "why": f"{model.weights.name} is the state that was best on {shares['valid']:.0%} of these pictures",
        }
    if shares.get("valid"):
        return {
            "use": UNSEEN,
            "why": (
                f"the run was watched on {shares['valid']:.0%} of these pictures, but {model.weights.name} was not "
                "chosen by them"
            ),
        }
    return {"use": UNSEEN, "why": "the run neither trained nor chose on these pictures"}


def _identities(path: Path) -> set:
    """The pictures of a list as files, whatever their names: hard links of one picture are one."""
    out: set[str | tuple[int, int]] = set()
    for picture in read_list(path):
        try:
            status = os.stat(picture)
            out.add((status.st_dev, status.st_ino))
        except OSError:
            out.add(os.path.abspath(picture))
    return out


def _of_card(model: Model, data: DataFile, split: str) -> dict:
    try:
        sources = read_json(Path(data.path).parent / "report.json")["sources"]
        kinds = {name for source in sources for name in (source["kind"], Path(source["path"]).name)}
    except (DataError, KeyError, TypeError):
        return {"use": UNKNOWN, "why": "no report.json beside the .data says which dataset it is"}
    here = {f"{kind} {split}" for kind in kinds}
    for use, key in ((TRAINED, "trained_on"), (CHOSEN, "chosen_on")):
        if met := sorted(here & set(map(str, model.card.get(key, [])))):
            return {"use": use, "why": f"its card says that it was {use} on {', '.join(met)}"}
    return {"use": UNSEEN, "why": "its card names other data"}
