"""How often tracked faces change their number, and how often their emotion: what docs/detect.md says of tracking.

    python scripts/bench_tracking.py
    python scripts/bench_tracking.py video.mp4 other.mp4

Crowds are simulated: people on curves of their own, boxes that tremble, faces that are not found or hidden by nearer
ones, false ones. Numbers are counted against the truth; `standing` is the same tracker told that nobody moves. Videos
go through both systems that ship; nothing is known of them, so that only changes are counted.
"""

from __future__ import annotations

import time

import click
import numpy as np

from converters.boxes import iou
from emotion.systems import tracking
from emotion.systems.detections import Detections


def crowd(seed: int, fps: float, seconds: float = 20, people: int = 5, missed: float = 0.1, trembling: float = 0.04, false: float = 0.05):
    """Yields (time_s, who is at each row, -1 for a false face, Detections) a frame of 640x360."""
    rng, (width, height) = np.random.default_rng(seed), (640, 360)
    side, base = rng.uniform(40, 90, people), rng.uniform((60, 60), (width - 60, height - 60), (people, 2))
    reach, period, phase = rng.uniform(0, 200, (people, 2)), rng.uniform(4, 12, (people, 2)), rng.uniform(0, 2 * np.pi, (people, 2))
    half = side[:, None] / 2 * (1, 1.2)
    for step in range(round(seconds * fps)):
        centre = np.clip(base + reach * np.sin(2 * np.pi * step / fps / period + phase), 30, (width - 30, height - 30))
        xyxy = np.concatenate([centre - half, centre + half], 1)
        hidden = ((iou(xyxy, xyxy) > 0.4) & (side[None] > side[:, None])).any(1)
        who = np.flatnonzero(~hidden & (rng.random(people) > missed))
        xyxy, face = (xyxy + rng.normal(0, trembling, xyxy.shape) * side[:, None])[who], rng.uniform(0.12, 0.9, len(who))
        for _ in range(rng.poisson(false)):
            middle, extent = rng.uniform((30, 30), (width - 30, height - 30)), rng.uniform(15, 40)
            who, xyxy, face = np.append(who, -1), np.vstack([xyxy, [*(middle - extent), *(middle + extent)]]), np.append(face, rng.uniform(0.1, 0.4))
        order = np.argsort(-face)
        yield step / fps, who[order], Detections(xyxy[order].astype(np.float32), np.full((len(order), 2), 0.5, np.float32), face[order].astype(np.float32))


def follow(seeds, fps: float, **settings) -> dict:
    """Counts over the crowds of `seeds`: faces that were followed, how often a person's number changed, tracks, ms a frame."""
    faces = changes = tracks = frames = spent = 0
    for seed in seeds:
        tracker, last = tracking.Tracker(), {}
        for time_s, who, found in crowd(seed, fps, **settings):
            person = {tuple(box): int(one) for box, one in zip(found.xyxy_px.tolist(), who)}
            begun = time.perf_counter()
            out = tracker.update(found, time_s)
            spent, frames = spent + time.perf_counter() - begun, frames + 1
            for box, number in zip(out.xyxy_px.tolist(), out.track_ids.tolist()):
                one = person[tuple(box)]
                if one >= 0:
                    changes, faces = changes + (last.get(one, number) != number), faces + 1
                    last[one] = number
        tracks += tracker.count
    return {"faces": faces, "changes": changes, "tracks": tracks, "ms": 1000 * spent / frames}


def of_video(path: str, system: str) -> dict:
    """Tracks of a video by their number of frames, and changes of the emotion within them as the frames say and as smoothed."""
    from emotion import run_detection
    from emotion.sources.open import open_source
    from emotion.systems.open import open_system

    tracker, emotions = tracking.Tracker(), {}
    for frame, found in run_detection.stream(open_source(path), open_system(system, conf=tracker.low)):
        followed = tracker.update(found, frame.time_s, frame.bgr)
        for number, own, smooth in zip(followed.track_ids.tolist(), followed.frame_scores.argmax(1).tolist(), followed.class_ids.tolist()):
            emotions.setdefault(number, []).append((own, smooth))
    changes = sum((np.abs(np.diff(np.array(track), axis=0)) > 0).sum(0) for track in emotions.values())
    return {"frames": sorted(map(len, emotions.values()), reverse=True), "own": int(changes[0]), "smoothed": int(changes[1])}


@click.command()
@click.argument("videos", nargs=-1, type=click.Path(exists=True))
@click.option("--crowds", default=20, show_default=True)
def main(videos, crowds):
    """Print the counts."""
    for fps in (25, 5):
        moving = tracking.STARTS, tracking.MOVES
        for name, (tracking.STARTS, tracking.MOVES) in {"moving": moving, "standing": (0.0, 1e-6)}.items():
            found = follow(range(crowds), fps)
            click.echo(f"{crowds} crowds, {fps:>2} frames/s, {name:<8}  {found['changes']:>5} changes of number in {found['faces']} faces, {found['tracks']} tracks, {found['ms']:.2f} ms a frame")
        tracking.STARTS, tracking.MOVES = moving
    for video in videos:
        for system in ("yolo", "two-stage"):
            found = of_video(video, system)
            click.echo(f"{video}, {system}: tracks of {found['frames']} frames; the emotion changes {found['own']} times, smoothed {found['smoothed']}")


if __name__ == "__main__":
    main()
