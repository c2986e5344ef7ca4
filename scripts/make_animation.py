#!/usr/bin/env python3
"""A video with boxes drawn in -> a short animated GIF for the README.

emo detect cfg/media/clip.mp4 --conf 0.6 --out out
python scripts/make_animation.py out/annotated.mp4 docs/pictures/clip.gif
"""

from __future__ import annotations

import sys

from PIL import Image

from emotion.sources.open import open_source

WIDTH, EVERY, MOST = 240, 3, 30  # pixels; every third frame; frames in all


def main(video: str, gif: str) -> None:
    source = open_source(video, MOST * EVERY)
    frames = [Image.fromarray(frame.bgr[:, :, ::-1]) for frame in source if frame.index % EVERY == 0]
    small = [frame.resize((WIDTH, WIDTH * frame.height // frame.width), Image.Resampling.LANCZOS) for frame in frames]
    palette = small[len(small) // 2].quantize(96)
    drawn = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in small]
    drawn[0].save(
        gif, save_all=True, append_images=drawn[1:], duration=round(1000 * EVERY / source.fps), loop=0, optimize=True
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
