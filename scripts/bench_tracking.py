"""How often tracked faces change their number, and how often their emotion: what docs/detect.md says of tracking.

    python scripts/bench_tracking.py
    python scripts/bench_tracking.py video.mp4 other.mp4

Crowds are simulated: people on curves of their own, boxes that tremble, faces that are not found or hidden by nearer
ones, false ones. Numbers are counted against the truth; `standing` is the same tracker told that nobody moves. Where
the library `trackers` is installed its ByteTrack follows the same faces, as it is set and at its best of some settings.
IDF1 (Ristani et al. 2016) is over the faces that were found. Videos
go through both systems that ship; nothing is known of them, so that only changes are counted.
"""

from __future__ import annotations

import importlib.util
import time

import click
import numpy as np

from converters.boxes import iou
from emotion.systems import tracking
from emotion.systems.detections import Detections


def crowd(
    seed: int,
    fps: float,
    seconds: float = 20,
    people: int = 5,
    missed: float = 0.1,
    trembling: float = 0.04,
    false: float = 0.05,
):
    """Yields (time_s, who is at each row, -1 for a false face, Detections) a frame of 640x360."""
    rng, (width, height) = np.random.default_rng(seed), (640, 360)
    side, base = rng.uniform(40, 90, people), rng.uniform((60, 60), (width - 60, height - 60), (people, 2))
    reach, period, phase = (
        rng.uniform(0, 200, (people, 2)),
        rng.uniform(4, 12, (people, 2)),
        rng.uniform(0, 2 * np.pi, (people, 2)),
    )
    half = side[:, None] / 2 * (1, 1.2)
    for step in range(round(seconds * fps)):
        centre = np.clip(base + reach * np.sin(2 * np.pi * step / fps / period + phase), 30, (width - 30, height - 30))
        xyxy = np.concatenate([centre - half, centre + half], 1)
        hidden = ((iou(xyxy, xyxy) > 0.4) & (side[None] > side[:, None])).any(1)
        who = np.flatnonzero(~hidden & (rng.random(people) > missed))
        xyxy, face = (
            (xyxy + rng.normal(0, trembling, xyxy.shape) * side[:, None])[who],
            rng.uniform(0.12, 0.9, len(who)),
        )
        for _ in range(rng.poisson(false)):
            middle, extent = rng.uniform((30, 30), (width - 30, height - 30)), rng.uniform(15, 40)
            who, xyxy, face = (
                np.append(who, -1),
                np.vstack([xyxy, [*(middle - extent), *(middle + extent)]]),
                np.append(face, rng.uniform(0.1, 0.4)),
            )
        order = np.argsort(-face)
        yield (
            step / fps,
            who[order],
            Detections(
                xyxy[order].astype(np.float32),
                np.full((len(order), 2), 0.5, np.float32),
                face[order].astype(np.float32),
            ),
        )


class Ours:
    """emo's tracker: `update(time_s, found)` -> (xyxy, numbers)."""

    def __init__(self, fps: float):
        self.tracker = tracking.Tracker()

    def update(self, time_s, found):
        out = self.tracker.update(found, time_s)
        return out.xyxy_px, out.track_ids


class ByteTrack:
    """That of the library `trackers`; a face without a number, -1, is not followed."""

    def __init__(self, fps: float, **settings):
        from trackers import ByteTrackTracker

        self.tracker = ByteTrackTracker(
            frame_rate=fps, lost_track_buffer=30, **settings
        )  # 30: one second, as ours waits

    def update(self, time_s, found):
        import supervision

        out = self.tracker.update(
            supervision.Detections(
                xyxy=found.xyxy_px.astype(float),
                confidence=found.face.astype(float),
                class_id=np.zeros(len(found), int),
            )
        )
        known = out.tracker_id >= 0
        return out.xyxy[known].astype(np.float32), out.tracker_id[known]


# As ours: a track begins at 0.25 and goes on down to 0.1.
BYTE_SETTINGS = {"as it is set": {}} | {
    f"begins {begins}, sure from {sure}, {frames} in a row, IoU {iou}": {
        "track_activation_threshold": begins,
        "high_conf_det_threshold": sure,
        "minimum_consecutive_frames": frames,
        "minimum_iou_threshold": iou,
    }
    for begins in (0.25, 0.5)
    for sure in (0.25, 0.5)
    for frames in (1, 2)
    for iou in (0.1, 0.3)
}


def follow(seeds, fps: float, make=Ours, **settings) -> dict:
    """Over the crowds of `seeds`: faces that were followed, how often a person's number changed, tracks, ms a
    frame, IDF1.
    """
    faces = changes = tracks = frames = spent = same = given = there = 0
    for seed in seeds:
        tracker, last, together = make(fps), {}, {}
        for time_s, who, found in crowd(seed, fps, **settings):
            person = {tuple(box): int(one) for box, one in zip(found.xyxy_px.tolist(), who)}
            begun = time.perf_counter()
            xyxy, numbers = tracker.update(time_s, found)
            spent, frames, there, given = (
                spent + time.perf_counter() - begun,
                frames + 1,
                there + int((who >= 0).sum()),
                given + len(numbers),
            )
            for box, number in zip(xyxy.tolist(), numbers.tolist()):
                one = person[tuple(box)]
                together.setdefault(number, {}).setdefault(one, 0)
                together[number][one] += 1
                if one >= 0:
                    changes, faces = changes + (last.get(one, number) != number), faces + 1
                    last[one] = number
        tracks += len(together)
        same += best_sum(
            np.array(
                [
                    [row.get(one, 0) for one in sorted({one for row in together.values() for one in row if one >= 0})]
                    for row in together.values()
                ]
            )
        )
    return {
        "faces": faces,
        "changes": changes,
        "tracks": tracks,
        "ms": 1000 * spent / frames,
        "idf1": 2 * same / (there + given),
    }


def best_sum(together: np.ndarray) -> int:
    """(tracks, people) frames in common -> the most that a one-to-one assignment holds."""
    from scipy.optimize import linear_sum_assignment

    return int(together[linear_sum_assignment(-together)].sum()) if together.size else 0


def of_video(path: str, system: str) -> dict:
    """Tracks of a video by their number of frames, and changes of the emotion within them as the frames say and as
    smoothed.
    """
    from emotion import run_detection
    from emotion.sources.open import open_source
    from emotion.systems.open import SystemSettings, open_system

    tracker, emotions = tracking.Tracker(), {}
    for frame, found in run_detection.stream(open_source(path), open_system(system, SystemSettings(conf=tracker.low))):
        followed = tracker.update(found, frame.time_s, frame.bgr)
        for number, own, smooth in zip(
            followed.track_ids.tolist(), followed.frame_scores.argmax(1).tolist(), followed.class_ids.tolist()
        ):
            emotions.setdefault(number, []).append((own, smooth))
    changes = sum((np.abs(np.diff(np.array(track), axis=0)) > 0).sum(0) for track in emotions.values())
    return {
        "frames": sorted(map(len, emotions.values()), reverse=True),
        "own": int(changes[0]),
        "smoothed": int(changes[1]),
    }


@click.command()
@click.argument("videos", nargs=-1, type=click.Path(exists=True))
@click.option("--crowds", default=20, show_default=True)
def main(videos, crowds):
    """Print the counts."""
    for fps in (25, 5):
        moving = tracking.STARTS, tracking.MOVES
        for name, (tracking.STARTS, tracking.MOVES) in {"moving": moving, "standing": (0.0, 1e-6)}.items():
            found = follow(range(crowds), fps)
            click.echo(
                f"{crowds} crowds, {fps:>2} frames/s, {name:<8}  {found['changes']:>5} changes of number in "
                f"{found['faces']} faces, {found['tracks']} tracks, IDF1 {found['idf1']:.3f}, {found['ms']:.2f} ms "
                "a frame"
            )
        tracking.STARTS, tracking.MOVES = moving
        if importlib.util.find_spec("trackers"):
            rows = {
                name: follow(range(crowds), fps, lambda fps, settings=settings: ByteTrack(fps, **settings))
                for name, settings in BYTE_SETTINGS.items()
            }
            best = max(rows, key=lambda name: rows[name]["idf1"])
            for name in dict.fromkeys(("as it is set", best)):
                found = rows[name]
                click.echo(
                    f"{crowds} crowds, {fps:>2} frames/s, ByteTrack {name}: {found['changes']} changes in "
                    f"{found['faces']} faces, {found['tracks']} tracks, IDF1 {found['idf1']:.3f}, {found['ms']:.2f} "
                    "ms a frame"
                )
    for video in videos:
        for system in ("yolo", "two-stage"):
            found = of_video(video, system)
            click.echo(
                f"{video}, {system}: tracks of {found['frames']} frames; the emotion changes {found['own']} times, "
                f"smoothed {found['smoothed']}"
            )


if __name__ == "__main__":
    main()
