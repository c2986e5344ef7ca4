#!/usr/bin/env python3
"""Show what emo does, on the media that ship, offline and without PyTorch.

    python scripts/demo.py demo

leaves an annotated picture and video, detections as JSONL and CSV, and a comparison of the two systems.
"""

from __future__ import annotations

import sys
from pathlib import Path

from converters.errors import EmoError
from emotion import detect
from emotion.cli.detect import table
from emotion.comparison import compare, report


def main(out: Path) -> None:
    media = {path.stem: path for path in compare.shipped_media()}
    for name, source in (("picture", media["group"]), ("video", media["clip"])):
        print(f"\nemo detect {source.name}")
        print(table(detect(source, out=out / name, force=True)))
    print("\nemo compare two-stage vs yolo")
    result = compare.run(("two-stage", "yolo"), out=out / "comparison", force=True)
    print("\n".join([report.text(result), *result["files"]]))
    print(
        f"\nLook at {out / 'picture' / 'annotated.jpg'}, {out / 'video' / 'annotated.mp4'} and "
        f"{out / 'comparison' / 'report.html'}"
    )


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1] if len(sys.argv) > 1 else "demo"))
    except EmoError as error:
        sys.exit(f"demo: {error}")
