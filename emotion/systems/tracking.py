"""Faces followed through a video: one number a person, and scores that do not flicker.

    tracker = Tracker(conf=0.25)
    for frame, found in detect.stream(video, detector):        # detector opened with conf=tracker.low
        followed = tracker.update(found, frame.time_s, frame.bgr)
        followed.track_ids, followed.scores                    # scores smoothed over time, followed.frame_scores not
        followed.class_ids                                     # with hysteresis: a class goes for a clearly better one
                                                               only

Association in the manner of ByteTrack (Zhang et al. 2022, arXiv:2110.06864): faces of `conf` or more are matched with
all tracks first, weaker ones then go on with tracks that found none, and are left out otherwise. A track's place is
predicted by a Kalman filter of constant velocity in seconds, not frames, so that a variable frame rate does not matter;
boxes are enlarged before their overlap is taken (Yang et al. 2023, arXiv:2211.14317), so that a small face that moves
its own width between two frames is still met; pairs are taken greedily, the largest overlap first. A cut ends all
tracks, so that nobody inherits the emotion of who sat there before.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from converters import boxes
from converters.errors import UsageError

from .detections import Detections

# Lengths in sides of the face's box (the root of its area), times in seconds.
MEASURED = 0.05  # standard deviation of a box's centre about the face
MOVES = 2.0  # a face's velocity changes by this within a second
STARTS = 1.0  # and a new track's has this about zero
SIZE_GAIN = 0.5  # of a new box in the track's size
WEAK = 0.4  # of `conf`: how weak a face may be that goes on with a track
ENLARGED, IOU, WEAK_IOU = (
    1.6,
    0.2,
    0.5,
)  # boxes by this factor; their least overlap with the predicted one; and for weak faces
LONG_GAP = 5.0  # a face that was there when one last looked is waited for so long, however seldom one looks
HYSTERESIS = 0.1  # by which another class's smoothed score must exceed the shown one's to take its place
THUMBNAIL, CUT = (32, 32), 0.5  # a cut: frames whose thumbnails correlate less than this
SAMPLES = 3  # pixels along each side that a thumbnail's pixel is the mean of


class Track:
    """One face: where it is and goes, and its scores so far."""

    def __init__(self, number: int, xyxy, time_s: float, classes: int):
        self.number, self.time_s, self.seen_s = number, time_s, time_s
        x1, y1, x2, y2 = xyxy
        self.x, self.y, self.width, self.height = (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1
        self.velocity_x = self.velocity_y = 0.0
        # The covariance of place and velocity, in sides, the same for x and y. Plain numbers: NumPy takes ten times as
        # long for one or two.
        self.of_place, self.of_both, self.of_velocity = MEASURED**2, 0.0, STARTS**2
        self.total, self.weight = np.zeros(classes), 0.0
        self.label: int | None = None  # the class that is shown

    def predict(self, time_s: float) -> None:
        step, self.time_s = max(0.0, time_s - self.time_s), time_s
        self.x += self.velocity_x * step
        self.y += self.velocity_y * step
        self.of_place += step * (2 * self.of_both + step * (self.of_velocity + MOVES**2 * step / 3))
        self.of_both += step * (self.of_velocity + MOVES**2 * step / 2)
        self.of_velocity += MOVES**2 * step

    def correct(self, xyxy) -> None:
        x1, y1, x2, y2 = xyxy
        place, both = (part / (self.of_place + MEASURED**2) for part in (self.of_place, self.of_both))
        off_x, off_y = (x1 + x2) / 2 - self.x, (y1 + y2) / 2 - self.y
        self.x, self.velocity_x = self.x + place * off_x, self.velocity_x + both * off_x
        self.y, self.velocity_y = self.y + place * off_y, self.velocity_y + both * off_y
        self.of_velocity -= both * self.of_both
        self.of_both -= place * self.of_both
        self.of_place -= place * self.of_place
        self.width += SIZE_GAIN * (x2 - x1 - self.width)
        self.height += SIZE_GAIN * (y2 - y1 - self.height)

    def smooth(self, scores, face: float, smooth_s: float) -> np.ndarray:
        """The mean of the scores so far, weighted by the face's score and by exp(-age / smooth_s)."""
        fade = math.exp(-(self.time_s - self.seen_s) / smooth_s) if smooth_s else 0.0
        self.total, self.weight, self.seen_s = fade * self.total + face * scores, fade * self.weight + face, self.time_s
        return self.total / self.weight if self.weight else scores

    def name(self, scores) -> int:
        """The class to show: the one before unless another one is better by HYSTERESIS."""
        best = int(np.argmax(scores))
        if self.label is None or scores[best] >= scores[self.label] + HYSTERESIS:
            self.label = best
        return self.label

    @property
    def xyxy(self) -> tuple[float, float, float, float]:
        return (
            self.x - self.width / 2,
            self.y - self.height / 2,
            self.x + self.width / 2,
            self.y + self.height / 2,
        )


class Tracker:
    """`update(found, time_s, bgr)`, frame by frame in the order of time -> Detections with track_ids.

    conf      score from which a face begins a track; the detector should give faces from `low` on
    smooth_s  time constant of the scores in seconds; 0: each frame its own, and its own class
    keep_s    how long a face that is not found is waited for
    """

    def __init__(self, conf: float = 0.25, smooth_s: float = 0.5, keep_s: float = 1.0):
        if not smooth_s >= 0 or not keep_s >= 0:
            raise UsageError(
                "a time is below zero", where="tracking", mend="smooth_s and keep_s are seconds, 0 or more"
            )
        self.conf, self.low, self.smooth_s, self.keep_s = conf, WEAK * conf, smooth_s, keep_s
        self.tracks: list[Track] = []
        self.count = 0
        self._thumbnail: tuple[np.ndarray, np.ndarray] | None = None  # the last frame's, and less its mean, flat
        self._shown: list[Track] = []  # whose faces the last update gave, in its order
        self._last: Detections | None = None
        self._looked_s: float | None = None
        self.settings = {
            "conf": conf,
            "weak_conf": self.low,
            "enlarged": ENLARGED,
            "iou": IOU,
            "weak_iou": WEAK_IOU,
            "smooth_s": smooth_s,
            "hysteresis": HYSTERESIS if smooth_s else 0,
            "keep_s": keep_s,
            "cut_correlation": CUT,
        }

    def update(self, found: Detections, time_s: float, bgr: np.ndarray | None = None) -> Detections:
        """The faces of the frame at `time_s` that have `conf` or more, or go on with a track.

        Their `scores` are smoothed, `frame_scores` are as they came. `bgr`, the frame, shows cuts; without it there are
        none.
        """
        if bgr is not None and self._is_cut(bgr):
            self.tracks = []
        self.tracks = [
            track
            for track in self.tracks
            if time_s - track.seen_s <= (LONG_GAP if track.seen_s == self._looked_s else self.keep_s)
        ]
        self._looked_s = time_s
        for track in self.tracks:
            track.predict(time_s)
        xyxy, strong = found.xyxy_px.tolist(), (found.face >= self.conf).tolist()
        owner: dict[int, Track] = {}
        for wanted, least in ((True, IOU), (False, WEAK_IOU)):
            faces = [face for face, is_strong in enumerate(strong) if is_strong == wanted]
            free = [track for track in self.tracks if track not in owner.values()]
            owner |= {
                faces[face]: free[at]
                for face, at in pairs([xyxy[face] for face in faces], [track.xyxy for track in free], least)
            }
        for face, track in owner.items():
            track.correct(xyxy[face])
        for face in range(len(found)):
            if strong[face] and face not in owner:
                self.count += 1
                owner[face] = Track(self.count, xyxy[face], time_s, found.scores.shape[1])
                self.tracks.append(owner[face])
        kept = sorted(owner)  # best first, as they came
        scores = [owner[face].smooth(found.scores[face], float(found.face[face]), self.smooth_s) for face in kept]
        labels = [
            owner[face].name(score) if self.smooth_s else int(score.argmax()) for face, score in zip(kept, scores)
        ]
        self._shown = [owner[face] for face in kept]
        self._last = Detections(
            found.xyxy_px[kept],
            np.array(scores, np.float32).reshape(len(kept), -1) if kept else found.scores[:0],
            found.face[kept],
            np.array([track.number for track in self._shown], np.int64),
            found.scores[kept],
            np.array(labels, int),
        )
        return self._last

    def coast(self, time_s: float, bgr: np.ndarray | None = None) -> Detections | None:
        """The faces of the last `update` where they are expected at `time_s`, for a frame that nobody looks at.

        After a cut in `bgr` there are none: who sits there now is not known. None when nothing was looked at before.
        """
        if self._last is None:
            return None
        if bgr is not None and self._is_cut(bgr):
            self.tracks, self._shown, self._last = [], [], self._last.take(slice(0, 0))
        for track in self.tracks:
            track.predict(time_s)
        xyxy = np.array([track.xyxy for track in self._shown], np.float32).reshape(-1, 4)
        if bgr is not None:
            xyxy = boxes.clip(xyxy, bgr.shape[1::-1]).astype(np.float32)
        return replace(self._last, xyxy_px=xyxy, detected=False).take(boxes.area(xyxy) > 0)

    def _is_cut(self, bgr) -> bool:
        import cv2

        # The mean of every pixel would take longer than all else here; of a few it shows a cut as well.
        few = cv2.resize(bgr, [SAMPLES * side for side in THUMBNAIL], interpolation=cv2.INTER_NEAREST)
        small = cv2.cvtColor(cv2.resize(few, THUMBNAIL, interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2GRAY).astype(float)
        centred = (small - small.mean()).ravel()
        (before, a), self._thumbnail = self._thumbnail or (None, centred), (small, centred)
        if before is None:
            return False
        spread = math.sqrt((a @ a) * (centred @ centred))
        return bool(a @ centred < CUT * spread) if spread > 1 else not np.allclose(before, small, atol=8)


def pairs(a_xyxy, b_xyxy, least: float) -> list[tuple[int, int]]:
    """(N, 4), (M, 4) -> (i, j) that overlap by `least` or more when enlarged, each i and j once, the largest
    overlap first.
    """
    if not len(a_xyxy) or not len(b_xyxy):
        return []
    overlap = boxes.iou(*(boxes.enlarge(xyxy, ENLARGED) for xyxy in (a_xyxy, b_xyxy)))
    out: list[tuple[int, int]] = []
    for flat in np.argsort(-overlap, axis=None, kind="stable").tolist():
        i, j = divmod(flat, overlap.shape[1])
        if overlap[i, j] < least:
            break
        if all(i != x and j != y for x, y in out):
            out.append((i, j))
    return out
