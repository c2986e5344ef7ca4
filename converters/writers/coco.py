"""COCO JSON of a finished detector form: `annotations/instances_<split>.json` from its manifest."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

from ..emotions import class_ids
from ..table.records import SPLITS
from . import detector


def write(work: Path, names: tuple[str, ...]) -> None:
    """One file a split; category ids are class ids + 1, boxes x, y, width, height in pixels."""
    ids = class_ids(len(names))
    sets: dict[str, dict[str, list]] = {split: {"images": [], "annotations": []} for split in SPLITS}
    with open(work / "manifest.csv", newline="", encoding="utf-8", errors="surrogateescape") as file:
        last = None
        for row in csv.DictReader(file):
            part = sets[row["split"]]
            if row["image"] != last:
                last = row["image"]
                part["images"].append(
                    {
                        "id": len(part["images"]) + 1,
                        "file_name": last,
                        "width": int(row["width"]),
                        "height": int(row["height"]),
                    }
                )
            if row["emotion"]:
                x1, y1, x2, y2 = (float(row[name]) for name in ("x1", "y1", "x2", "y2"))
                part["annotations"].append(
                    {
                        "id": len(part["annotations"]) + 1,
                        "image_id": len(part["images"]),
                        "category_id": ids[row["emotion"]] + 1,
                        "bbox": [x1, y1, x2 - x1, y2 - y1],
                        "area": (x2 - x1) * (y2 - y1),
                        "iscrowd": 0,
                    }
                )
    (work / "annotations").mkdir()
    categories = [{"id": number, "name": name} for number, name in enumerate(names, start=1)]
    for split, part in sets.items():
        if part["images"]:
            text = json.dumps({"info": {"description": "written by emo"}, "categories": categories, **part})
            (work / "annotations" / f"instances_{split}.json").write_text(text + "\n")


FORM = replace(detector.FORM, finish=write)
