"""What a video says, in answers: its frames and faces come in, summary.json, timeline.png and summary.html go out.

Shares of time per emotion, over all and per track; when a face's emotion changes; time without a face; the strongest
moments with their times and pictures. Memory is bounded however long the video is: times go into at most BINS bins,
whose width doubles when they are full, and of moments a few are kept.
"""

from __future__ import annotations

import base64
import json
import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from converters.output_folder import part

from ..sources.frame import Frame
from ..systems.detections import Detections
from .timeline import clock, timeline

BINS, BIN_S = 2000, 0.1  # how many, and how wide they begin
MOMENTS, APART_S, SIDE = (
    3,
    2.0,
    160,
)  # kept of each emotion; of one face at least so far apart; pixels of their pictures
LONGEST_S = 10.0  # that one frame of a live source counts for
SEGMENTS = 10_000  # changes that are listed of one track; all are counted


@dataclass
class TrackTimes:
    """One track so far: seconds per class, and the stretches of one class, (start_s, end_s, class id)."""

    first_s: float
    last_s: float
    seconds: np.ndarray
    segments: list[list] = field(default_factory=list)
    changes: int = 0


@dataclass
class Moment:
    """A face at its strongest: score, time_s, frame index, track (0 when nothing tracks) and a picture of it, BGR."""

    score: float
    time_s: float
    index: int
    track: int
    picture: np.ndarray


class Answers:
    """A sink of three files, made when the source has ended well; `write` frame by frame in the order of time.

    The last frame lasts as long as one does at `fps`, but not beyond `until_s`, where only a part is looked at.
    """

    whole_only = True

    def __init__(self, folder: Path, names, facts: dict, fps: float, until_s: float | None = None):
        self.path, self.names, self.facts, self.fps = folder / "summary.json", names, facts, fps
        self.until_s = math.inf if until_s is None else until_s
        self.paths = (self.path, folder / "timeline.png", folder / "summary.html")
        self.tracks: dict[int, TrackTimes] = {}
        self.moments: list[list[Moment]] = [[] for _ in names]
        self.seconds, self.uncertain_s, self.without_s = np.zeros(len(names)), 0.0, 0.0
        self.bins, self.bin_s = np.zeros((BINS, len(names))), BIN_S
        self.frames = self.without = self.looked_at = 0
        self.before: tuple[float, Detections] | None = None
        self.begin_s: float | None = None
        self.end_s = 0.0

    def write(self, frame: Frame, found: Detections, drawn) -> None:
        time_s = float(frame.time_s or 0.0)
        if self.before:
            self._count(*self.before, min(max(0.0, time_s - self.before[0]), LONGEST_S))
        self.before = time_s, found
        self.frames, self.without, self.looked_at = (
            self.frames + 1,
            self.without + (len(found) == 0),
            self.looked_at + found.detected,
        )
        if found.detected:
            self._moments(frame, time_s, found)

    def _count(self, time_s: float, found: Detections, lasts: float) -> None:
        """The faces of a frame that was shown from `time_s` for `lasts` seconds."""
        self.begin_s, self.end_s = time_s if self.begin_s is None else self.begin_s, time_s + lasts
        if not len(found):
            self.without_s += lasts
            return
        while time_s >= BINS * self.bin_s:
            self.bins = np.concatenate(
                [self.bins.reshape(BINS // 2, 2, -1).sum(1), np.zeros((BINS // 2, len(self.names)))]
            )
            self.bin_s *= 2
        at = int(time_s / self.bin_s)
        doubted = found.uncertain if found.uncertain is not None else np.zeros(len(found), bool)
        ids = found.track_ids if found.track_ids is not None else np.zeros(len(found), int)
        for class_id, scores, doubt, number in zip(
            found.class_ids.tolist(), found.scores, doubted.tolist(), ids.tolist()
        ):
            self.seconds[class_id] += lasts
            self.uncertain_s += lasts * doubt
            self.bins[at] += scores * lasts
            if number:
                self._follow(number, time_s, lasts, class_id)

    def _follow(self, number: int, time_s: float, lasts: float, class_id: int) -> None:
        track = self.tracks.setdefault(number, TrackTimes(time_s, time_s, np.zeros(len(self.names))))
        track.seconds[class_id] += lasts
        track.last_s = time_s + lasts
        if track.segments and track.segments[-1][2] == class_id:
            track.segments[-1][1] = time_s + lasts
            return
        track.changes += bool(track.segments)
        if len(track.segments) < SEGMENTS:
            track.segments.append([time_s, time_s + lasts, class_id])

    def _moments(self, frame: Frame, time_s: float, found: Detections) -> None:
        ids = found.track_ids if found.track_ids is not None else np.zeros(len(found), int)
        for box, class_id, scores, number in zip(found.xyxy_px, found.class_ids.tolist(), found.scores, ids.tolist()):
            kept, score = self.moments[class_id], float(scores[class_id])
            near = [one for one in kept if one.track == number and abs(one.time_s - time_s) < APART_S]
            if (near and near[0].score >= score) or (not near and len(kept) == MOMENTS and kept[-1].score >= score):
                continue
            for one in near:
                kept.remove(one)
            kept.append(Moment(score, time_s, frame.index, number, cut_out(frame.bgr, box)))
            kept.sort(key=lambda one: -one.score)
            del kept[MOMENTS:]

    def result(self) -> dict:
        """What summary.json holds; times in seconds to the millisecond, shares of face time in 0..1."""
        if self.before:
            self._count(*self.before, min(1 / self.fps, self.until_s - self.before[0]))
            self.before = None
        total = float(self.seconds.sum())
        tracks = [
            {
                "track": number,
                "first_s": round(track.first_s, 3),
                "last_s": round(track.last_s, 3),
                "seconds": round(float(track.seconds.sum()), 3),
                "emotion": self.names[int(track.seconds.argmax())],
                "shares": self._shares(track.seconds),
                "changes": track.changes,
                "stretches": [
                    {"from_s": round(start, 3), "to_s": round(end, 3), "emotion": self.names[class_id]}
                    for start, end, class_id in track.segments
                ],
            }
            for number, track in sorted(self.tracks.items())
        ]
        return self.facts | {
            "from_s": round(self.begin_s or 0.0, 3),
            "to_s": round(self.end_s, 3),
            "frames": self.frames,
            "frames_looked_at": self.looked_at,
            "frames_without_face": self.without,
            "seconds_without_face": round(self.without_s, 3),
            "face_seconds": round(total, 3),
            "shares": self._shares(self.seconds),
            "uncertain_share": round(self.uncertain_s / total, 4) if total else None,
            "changes": sum(track.changes for track in self.tracks.values()),
            "tracks": tracks,
            "strongest": {
                name: [
                    {"time_s": round(one.time_s, 3), "frame": one.index, "score": round(one.score, 4)}
                    | ({"track": one.track} if one.track else {})
                    for one in kept
                ]
                for name, kept in zip(self.names, self.moments)
            },
        }

    def _shares(self, seconds: np.ndarray) -> dict[str, float]:
        total = float(seconds.sum())
        return {name: round(float(value) / total, 4) if total else 0.0 for name, value in zip(self.names, seconds)}

    def close(self) -> None:
        result = self.result()
        json_path, png_path, html_path = map(part, self.paths)
        json_path.write_text(
            json.dumps(result, indent=2, ensure_ascii=False) + "\n", encoding="utf-8", errors="backslashreplace"
        )
        if self.frames:
            timeline(png_path, self.names, self.bins, self.bin_s, result, str(result.get("source", "")))
            html_path.write_text(page(self, result, png_path.read_bytes()), encoding="utf-8", errors="backslashreplace")


def cut_out(bgr: np.ndarray, xyxy_px: np.ndarray) -> np.ndarray:
    """The face with some of its surroundings; large ones as they are shown, so that what waits takes little memory."""
    x1, y1, x2, y2 = (float(value) for value in xyxy_px)
    margin, (height, width) = 0.25 * max(x2 - x1, y2 - y1), bgr.shape[:2]
    left, top, right, bottom = (
        max(0, int(x1 - margin)),
        max(0, int(y1 - margin)),
        min(width, int(x2 + margin) + 1),
        min(height, int(y2 + margin) + 1),
    )
    crop = bgr[top:bottom, left:right]
    return crop.copy() if max(crop.shape[:2]) <= 2 * SIDE else as_shown(crop)


def as_shown(crop: np.ndarray) -> np.ndarray:
    """Its longer side SIDE pixels."""
    import cv2

    scale = SIDE / max(crop.shape[:2])
    size = [max(1, round(side * scale)) for side in crop.shape[1::-1]]
    return cv2.resize(crop, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)


def jpeg(picture: np.ndarray) -> bytes:
    import cv2

    return cv2.imencode(".jpg", as_shown(picture), [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()


def hex_colour(name: str, index: int) -> str:
    from .draw import colour_of

    blue, green, red = colour_of(name, index)
    return f"#{red:02x}{green:02x}{blue:02x}"


def page(answers: Answers, result: dict, plotted: bytes) -> str:
    """summary.html, one file: shares, timeline, strongest moments, tracks."""
    from jinja2 import Environment, PackageLoader

    moments = [
        {
            "name": name,
            "colour": hex_colour(name, index),
            "faces": [
                {
                    "time": clock(one.time_s),
                    "score": f"{one.score:.0%}",
                    "track": one.track,
                    "jpeg": _uri(jpeg(one.picture), "jpeg"),
                }
                for one in kept
            ],
        }
        for index, (name, kept) in enumerate(zip(answers.names, answers.moments))
        if kept
    ]
    colours = {name: hex_colour(name, index) for index, name in enumerate(answers.names)}
    template = Environment(loader=PackageLoader("emotion.output", "."), autoescape=True).get_template("summary.html")
    return template.render(result=result, moments=moments, colours=colours, timeline=_uri(plotted, "png"), clock=clock)


def _uri(data: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
