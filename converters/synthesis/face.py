"""One drawn face: a person, an expression, a pose and a light, painted into a picture.

No photograph goes in. Shading gives sockets, cheeks and nose bridge the light and dark that face
detectors trained on photographs look for.

Coordinates of the face: x to the picture's right, y down, one unit is half the face's height; the chin
is at y = 1, the hairline at y = -1, the eyes at y = -0.15.
"""

from __future__ import annotations

import cv2
import numpy as np

from .person import Expression, Light, Person, Pose

_LEFT, _TOP, _RIGHT, _BOTTOM = -1.7, -1.75, 1.7, 2.0  # the patch, in face units: hair above, shoulders below


def paint_face(
    picture, person: Person, expression: Expression, centre_px, height_px: float, pose: Pose, light: Light
) -> tuple[np.ndarray, np.ndarray]:
    """Paint the face into `picture` (uint8 BGR, changed in place), chin to hairline `height_px` tall.

    Gives its box, (4,) xyxy_px, the extent of the face from hairline to chin and cheek to cheek, and its
    68 landmarks (iBUG 300-W's points in its order), (68, 2) pixels; neither is clipped. Faces below 160 px
    are drawn at twice the size and averaged.
    """
    half = height_px / 2
    scale = half * (2 if height_px < 160 else 1)  # pixels a unit while drawing
    size = (max(2, round((_RIGHT - _LEFT) * half)), max(2, round((_BOTTOM - _TOP) * half)))
    drawing = _Drawing(person, expression, pose, light, scale, tuple(side * round(scale / half) for side in size))
    bgr, alpha = drawing.draw()
    if scale != half:
        bgr, alpha = (cv2.resize(plane, size, interpolation=cv2.INTER_AREA) for plane in (bgr, alpha))
    origin = np.round(np.asarray(centre_px, float) + (_LEFT * half, _TOP * half)).astype(int)
    x1, y1 = np.maximum(origin, 0)
    x2, y2 = np.minimum(origin + size, picture.shape[1::-1])
    if x2 > x1 and y2 > y1:
        cut = np.s_[y1 - origin[1] : y2 - origin[1], x1 - origin[0] : x2 - origin[0]]
        under = picture[y1:y2, x1:x2].astype(np.float32)
        over, share = bgr[cut].astype(np.float32), alpha[cut][..., None].astype(np.float32) / 255
        picture[y1:y2, x1:x2] = (under + (over - under) * share + 0.5).astype(np.uint8)
    x, y = drawing.outline()
    outline = drawing.place(x, y, flat=True) / (scale / half) + origin
    return np.concatenate([outline.min(0), outline.max(0)]), drawing.landmarks() / (scale / half) + origin


class _Drawing:
    """The patch of one face while it is drawn: `image` (h, w, 3) and `mask` (h, w), uint8."""

    def __init__(self, person, expression, pose, light, scale, size):
        self.person, self.move, self.pose, self.light, self.scale, self.size = (
            person,
            expression,
            pose,
            light,
            scale,
            size,
        )
        self.image = np.zeros((size[1], size[0], 3), np.uint8)
        self.image[:] = person.hair
        self.mask = np.zeros((size[1], size[0]), np.uint8)

    # ---- from face units to pixels

    def place(self, x, y, flat=False, lift=0.0):
        """Face units (n,) -> pixels (n, 2). On the head's curved front unless `flat`; `lift` stands out of it."""
        x, y = np.broadcast_arrays(np.asarray(x, float), np.asarray(y, float))
        if not flat:
            depth = 0.75 * np.sqrt(np.clip(1 - (x / (self.person.width * 1.12)) ** 2 - (y / 1.35) ** 2, 0, 1)) + lift
            yaw, pitch = np.radians([self.pose.yaw, self.pose.pitch])
            x = x * np.cos(yaw) + depth * np.sin(yaw)
            y = y * np.cos(pitch) + depth * np.sin(pitch)
        roll = np.radians(self.pose.roll)
        x, y = x * np.cos(roll) - y * np.sin(roll), x * np.sin(roll) + y * np.cos(roll)
        return np.stack([(x - _LEFT) * self.scale, (y - _TOP) * self.scale], -1)

    def outline(self, grow=0.0, top=1.0):
        """The face's outline: an ellipse above the eyes, a jaw below. Two arrays (64,), in face units."""
        angle = np.linspace(0, 2 * np.pi, 64, endpoint=False)
        cos, sin = np.cos(angle), np.sin(angle)
        x = np.sign(cos) * np.abs(cos) ** np.where(sin > 0, self.person.jaw, 1.0) * (self.person.width + grow)
        open_mouth = 0.35 * max(0.0, self.move.jaw)  # a falling jaw lengthens the face
        return x, np.where(sin > 0, sin * (1 + grow + open_mouth), sin * (top + grow))

    # ---- strokes

    def fill(self, points, colour, mask=False):
        points = np.round(points * 16).astype(np.int32)[None]
        cv2.fillPoly(self.mask if mask else self.image, points, colour, cv2.LINE_AA, 4)

    def stroke(self, points, colour, width):
        """A line that is `width` (a number or one a point, in face units) thick; soft below one pixel."""
        width = np.broadcast_to(np.asarray(width, float) * self.scale, len(points))
        if width.max() < 1.2:  # a hairline: as dark as it is thick
            share = float(np.clip(width.max(), 0.15, 1))
            under = self.image[tuple(np.clip(points.mean(0).astype(int), 0, np.array(self.size) - 1))[::-1]]
            colour = tuple(share * np.asarray(colour) + (1 - share) * under.astype(float))
            cv2.polylines(self.image, [np.round(points * 16).astype(np.int32)], False, colour, 1, cv2.LINE_AA, 4)
            return
        along = np.gradient(points, axis=0)
        normal = np.stack([-along[:, 1], along[:, 0]], -1) / np.maximum(np.hypot(*along.T), 1e-6)[:, None]
        half = normal * width[:, None] / 2
        self.fill(np.concatenate([points + half, (points - half)[::-1]]), colour)

    def shade(self, spots):
        """Multiply by 1 + strength * exp(-r^2/2) for every spot (x, y, rx, ry, strength), at a quarter of the size."""
        small = (max(8, self.size[0] // 4), max(8, self.size[1] // 4))
        roll = np.radians(self.pose.roll)
        gain = np.ones(small[::-1], np.float32)
        unit = np.array(self.size) / small
        gx = ((np.arange(small[0], dtype=np.float32) + 0.5) * unit[0])[None]
        gy = ((np.arange(small[1], dtype=np.float32) + 0.5) * unit[1])[:, None]
        for x, y, rx, ry, strength in spots:
            px, py = self.place(x, y)
            dx, dy = (gx - px) / self.scale, (gy - py) / self.scale
            u, v = (dx * np.cos(roll) + dy * np.sin(roll)) / rx, (dy * np.cos(roll) - dx * np.sin(roll)) / ry
            gain *= 1 + strength * np.exp(-0.5 * (u * u + v * v))
        self.multiply(gain)

    def multiply(self, gain):
        gain = cv2.resize(gain, self.size, interpolation=cv2.INTER_LINEAR)
        if gain.ndim == 2:
            gain = cv2.merge([gain, gain, gain])
        self.image = cv2.multiply(self.image, gain, dtype=cv2.CV_8U)

    # ---- parts, back to front

    def draw(self):
        self.body()
        self.head()
        for side in (-1, 1):
            self.eye(side)
        self.nose()
        self.mouth()
        for side in (-1, 1):
            self.brow(side)
        self.lines()
        self.hair()
        if self.person.glasses:
            self.glasses()
        self.lighten()
        return self.image, self.mask

    def both(self, points, colour):
        self.fill(points, colour)
        self.fill(points, 255, mask=True)

    def ellipse(self, x, y, rx, ry, flat=True):
        angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
        return self.place(x + rx * np.cos(angle), y + ry * np.sin(angle), flat=flat)

    def body(self):
        p = self.person
        if p.style in ("long", "curly"):
            hem, angle = (1.5 if p.style == "long" else 0.8), np.linspace(0, 2 * np.pi, 48, endpoint=False)
            cos, sin = np.cos(angle), np.sin(angle)
            x = np.sign(cos) * np.abs(cos) ** np.where(sin > 0, 0.35, 1.0) * (p.width + 0.2)
            self.both(self.place(x, np.where(sin > 0, hem * sin, 1.2 * sin), flat=True), p.hair)
        if p.style == "bun":
            self.both(self.ellipse(0, -1.42, 0.3, 0.28), p.hair)
        # Shoulders stay level while the head rolls, and fade out below.
        x = np.array([-0.34, -0.5, -1.1, -1.45, -1.6, 1.6, 1.45, 1.1, 0.5, 0.34])
        y = np.array([1.15, 1.28, 1.42, 1.62, 2.0, 2.0, 1.62, 1.42, 1.28, 1.15])
        self.both(np.stack([(x - _LEFT) * self.scale, (y - _TOP) * self.scale], -1), p.cloth)
        neck = np.asarray(p.skin) * 0.72
        self.both(self.place([-0.4, -0.42, -0.3, 0.3, 0.42, 0.4], [0.5, 1.15, 1.42, 1.42, 1.15, 0.5], flat=True), neck)
        rows = (np.arange(self.size[1]) / self.scale + _TOP)[:, None]
        self.mask = (self.mask * np.clip((_BOTTOM - rows) / 0.45, 0, 1)).astype(np.uint8)

    def head(self):
        p, skin = self.person, np.asarray(self.person.skin)
        for side in (-1, 1):
            if p.style not in ("long", "curly"):
                x = side * (p.width + 0.03) - np.sin(np.radians(self.pose.yaw)) * 0.12
                self.both(self.ellipse(x, -0.02, 0.11, 0.2), skin * 0.85)
        self.both(self.place(*self.outline(grow=0.03, top=1.2), flat=True), skin * 0.8)
        self.both(self.place(*self.outline(top=1.2), flat=True), skin)
        smile, socket = self.move.cheeks, 0.42 if skin.mean() > 110 else 0.34
        spots = [(side * p.eye_gap, -0.19, 0.2, 0.13, -socket) for side in (-1, 1)]  # sockets
        spots += [(side * 0.40, 0.22 - 0.05 * smile, 0.17, 0.15, 0.13 + 0.1 * smile) for side in (-1, 1)]  # cheeks
        spots += [
            (0, -0.66, 0.42, 0.2, 0.14),
            (0, -0.12, 0.06, 0.28, 0.2),
            (0, 0.22, 0.07, 0.07, 0.16),
        ]  # forehead, bridge, tip
        spots += [(side * 0.13, 0.08, 0.045, 0.22, -0.12) for side in (-1, 1)]  # sides of the nose
        spots += [
            (0, 0.83 + 0.25 * self.move.jaw, 0.16, 0.05, -0.14),
            (0, 0.95, 0.13, 0.07, 0.1),
        ]  # under the lip, chin
        spots += [(side * p.width, 0.25, 0.16, 0.6, -0.3) for side in (-1, 1)]  # the turning away
        self.shade(spots)
        if p.beard:
            self.beard()

    def beard(self):
        """Stubble to full beard: hair over the jaw, its upper edge soft."""
        x, y = self.outline()
        jaw = self.place(
            np.r_[x[2:31], -0.5, -0.3, 0, 0.3, 0.5], np.r_[y[2:31], 0.42, 0.36, 0.38, 0.36, 0.42], flat=True
        )
        share = np.zeros(self.mask.shape, np.uint8)
        cv2.fillPoly(share, np.round(jaw * 16).astype(np.int32)[None], 255, cv2.LINE_AA, 4)
        share = (
            cv2.blur(share, (int(0.1 * self.scale) | 1,) * 2)[..., None].astype(np.float32)
            / 255
            * 0.8
            * self.person.beard
        )
        self.image = (self.image + (np.asarray(self.person.hair, np.float32) - self.image) * share).astype(np.uint8)

    # ---- curves that both the strokes and the landmarks need, in face units

    def lids(self, side, n):
        """x (n,) from the picture's left to its right, upper and lower lid, and their bow."""
        size, m = self.person.eye_size, self.move
        along = np.linspace(-1, 1, n)
        bow = 1 - along**2
        lower = -0.15 + np.maximum(0.05 * size - m.lower_lid, 0.006) * bow
        upper = np.minimum(-0.15 - np.maximum(0.072 * size + m.upper_lid, 0.012) * bow, lower - 0.008 * bow)
        return side * self.person.eye_gap + 0.165 * size * along, upper, lower, bow

    def brow_line(self, side, n):
        """x, y (n,) from the inner end to the outer."""
        m, t = self.move, np.linspace(0, 1, n)
        x = side * (self.person.eye_gap - 0.19 - m.squeeze + (0.40 + m.squeeze * 0.6) * t)
        return x, -0.35 - m.inner_brow * (1 - t) ** 1.3 - m.outer_brow * t - 0.055 * np.sin(np.pi * t**0.8) + 0.02 * t

    def lips(self, n):
        """x (n,) from the picture's left, the opening's upper and lower edge, and the lips' outer edges."""
        p, m, t = self.person, self.move, np.linspace(-1, 1, n)
        keep = np.clip(1 + m.one_side * t, 0, 2)  # which side moves how much
        bow = (1 - np.abs(t) ** (2 + 4 * m.square)) ** (1 - 0.5 * m.oval)
        middle = 0.6 - m.corners * np.abs(t) ** 1.6 * keep + 0.35 * m.corners * bow
        upper = middle - m.upper_lip * bow * keep - 0.12 * max(m.jaw, 0) * bow
        lower = middle + max(m.jaw, 0) * 0.95 * bow
        thick = p.lips * (1 - 0.75 * m.thin_lips)
        peak = 0.085 * thick * (1 - t**2) * (1 - 0.22 * np.exp(-((t / 0.14) ** 2)))
        return (0.27 + m.width) * t, upper, lower, upper - peak, lower + 0.115 * thick * (1 - t**2)

    def landmarks(self):
        """(68, 2) pixels of the patch: jaw 17, brows 5 + 5, nose 9, eyes 6 + 6, outer lips 12, inner lips 8."""
        jaw = np.radians(np.linspace(175, 5, 17))
        ox, oy = self.outline()
        order = np.argsort(np.arctan2(oy, ox) % (2 * np.pi))
        turn = (np.arctan2(oy, ox) % (2 * np.pi))[order]
        parts = [self.place(np.interp(jaw, turn, ox[order]), np.interp(jaw, turn, oy[order]), flat=True)]
        parts += [self.place(*self.brow_line(-1, 5))[::-1], self.place(*self.brow_line(1, 5))]
        parts.append(self.place(np.zeros(4), np.linspace(-0.12, 0.22, 4), lift=0.15))
        parts.append(self.place(np.linspace(-1, 1, 5) * self.person.nose, [0.30, 0.34, 0.355, 0.34, 0.30], lift=0.1))
        for side in (-1, 1):
            x, upper, lower, _ = self.lids(side, 4)
            parts += [self.place(x, upper), self.place(x[2:0:-1], lower[2:0:-1])]
        x, upper, lower, above, below = self.lips(7)
        parts += [self.place(x, above), self.place(x[5:0:-1], below[5:0:-1])]
        x, upper, lower, _, _ = self.lips(5)
        parts += [self.place(x, upper), self.place(x[3:0:-1], lower[3:0:-1])]
        return np.concatenate(parts)

    # ---- parts of the face

    def eye(self, side):
        p, m = self.person, self.move
        x, upper, lower, bow = self.lids(side, 15)
        half = 0.165 * p.eye_size
        ink = np.asarray(p.skin) * 0.22
        opening = np.concatenate([self.place(x, upper), self.place(x, lower)[::-1]])
        # The iris is cut by the lids: draw on a copy, keep what lies in the opening.
        before = self.image.copy()
        self.fill(opening, (232, 234, 236))
        gaze = side * p.eye_gap + 0.25 * half * np.sin(np.radians(self.pose.yaw)), -0.155 + m.gaze
        radius = 0.074 * p.eye_size
        self.fill(self.ellipse(*gaze, radius, radius, flat=False), np.asarray(p.iris) * 0.75)
        self.fill(self.ellipse(*gaze, radius * 0.55, radius * 0.55, flat=False), (14, 12, 12))
        self.fill(self.ellipse(gaze[0] - 0.022, gaze[1] - 0.025, 0.016, 0.016, flat=False), (250, 250, 250))
        inside = np.zeros(self.mask.shape, np.uint8)
        cv2.fillPoly(inside, np.round(opening * 16).astype(np.int32)[None], 255, cv2.LINE_AA, 4)
        x1, y1 = np.maximum(np.floor(self.place(x, upper).min(0)).astype(int) - int(0.2 * self.scale), 0)
        x2, y2 = np.ceil(self.place(x, lower).max(0)).astype(int) + int(0.2 * self.scale)
        part, share = np.s_[y1:y2, x1:x2], inside[y1:y2, x1:x2, None].astype(np.float32) / 255
        self.image[part] = before[part] + (self.image[part].astype(np.float32) - before[part]) * share
        self.stroke(self.place(x, upper), ink, 0.042 * (0.5 + 0.5 * bow))
        self.stroke(self.place(x, lower), np.asarray(p.skin) * 0.5, 0.016)
        self.stroke(self.place(x[2:-2], upper[2:-2] - 0.055), np.asarray(p.skin) * 0.62, 0.014)
        if m.lower_lid > 0.02:
            self.stroke(self.place(x[2:-2], lower[2:-2] + 0.05), np.asarray(p.skin) * 0.66, 0.018)

    def brow(self, side):
        p = self.person
        x, y = self.brow_line(side, 12)
        width = 0.085 * p.brow * np.interp(np.linspace(0, 1, 12), [0, 0.15, 0.6, 1], [0.6, 1, 0.85, 0.25])
        dark = np.asarray(p.hair) * 0.7 if np.mean(p.hair) < 120 else np.asarray(p.skin) * 0.5
        self.stroke(self.place(x, y), dark, width)

    def nose(self):
        p, m, skin = self.person, self.move, np.asarray(self.person.skin)
        up = 0.05 * m.wrinkled_nose
        t = np.linspace(-1, 1, 11)
        self.stroke(self.place(t * p.nose, 0.30 - up + 0.055 * (1 - t**2) ** 0.5, lift=0.2), skin * 0.58, 0.022)
        for side in (-1, 1):
            self.fill(self.ellipse(side * p.nose * 0.5, 0.325 - up, 0.05, 0.024, flat=False), skin * 0.3)
            wing = np.linspace(-1.2, 1.3, 8)
            self.stroke(
                self.place(side * (p.nose * 0.9 + 0.045 * np.cos(wing)), 0.27 - up + 0.07 * np.sin(wing), lift=0.1),
                skin * 0.6,
                0.02,
            )
            if m.wrinkled_nose > 0.1:
                for step in range(3):
                    y = -0.12 + 0.085 * step
                    self.stroke(
                        self.place(side * np.array([0.03, 0.09, 0.15]), np.array([y, y - 0.02, y + 0.04])),
                        skin * (1 - 0.5 * m.wrinkled_nose),
                        0.026,
                    )

    def mouth(self):
        m, skin = self.move, np.asarray(self.person.skin)
        x, upper, lower, above, below = self.lips(21)
        lip = np.clip(skin * (0.62, 0.62, 0.84), 0, 255)
        self.fill(np.concatenate([self.place(x, above), self.place(x, below)[::-1]]), lip)
        self.stroke(self.place(x * 0.6, (lower + below) / 2), np.clip(lip * 1.18, 0, 255), 0.2 * (below - lower).max())
        if m.jaw > 0.02:
            self.fill(np.concatenate([self.place(x * 0.96, upper), self.place(x * 0.96, lower)[::-1]]), (26, 18, 40))
            if m.teeth > 0.02:
                edge = upper + (lower - upper) * np.clip(m.teeth, 0, 1)
                self.fill(
                    np.concatenate([self.place(x * 0.88, upper + 0.006), self.place(x * 0.88, edge - 0.006)[::-1]]),
                    (222, 230, 234),
                )
                if m.teeth > 0.9 and m.square > 0.5:  # clenched: a dark line between the rows
                    self.stroke(self.place(x * 0.86, (upper + lower) / 2), (70, 62, 80), 0.02)
            elif m.jaw > 0.15:
                self.fill(self.ellipse(0, 0.6 + m.jaw * 0.72, 0.55 * x[-1], 0.09, flat=False), (78, 70, 158))
        else:
            self.stroke(self.place(x, (upper + lower) / 2), skin * 0.25, 0.036)
        for side in (-1, 1):  # the corners' dents
            at = 0 if side < 0 else -1
            self.stroke(
                self.place(x[at] + side * np.array([-0.01, 0.03]), upper[at] + np.array([0.0, -0.2 * m.corners])),
                skin * 0.45,
                0.03,
            )

    def lines(self):
        m, skin = self.move, np.asarray(self.person.skin)
        t = np.linspace(-1, 1, 9)
        if m.forehead > 0.2:
            for y in (-0.62, -0.71, -0.80):
                self.stroke(
                    self.place(0.36 * t, y - 0.035 * m.inner_brow / 0.15 * (1 - t**2)),
                    skin * (1 - 0.3 * m.forehead),
                    0.02,
                )
        if m.frown > 0.2:
            for side in (-1, 1):
                self.stroke(self.place(side * (0.05 + 0.02 * t), -0.36 + 0.09 * t), skin * (1 - 0.5 * m.frown), 0.028)
        if m.cheeks > 0.2:
            for side in (-1, 1):
                weight = np.clip(1 + side * m.one_side, 0, 1) * m.cheeks
                if weight > 0.2:
                    reach = 0.30 + m.width
                    x = side * np.array([self.person.nose + 0.04, 0.29, reach + 0.07, reach + 0.08])
                    self.stroke(
                        self.place(x, np.array([0.22, 0.34, 0.48, 0.58]) - 0.03 * m.wrinkled_nose),
                        skin * (1 - 0.42 * weight),
                        0.026,
                    )

    def hair(self):
        p = self.person
        if p.style == "bald":
            return
        w, dark = p.width, np.asarray(p.hair) * 0.8
        angle = np.linspace(np.pi * 1.02, np.pi * 1.98, 24)
        outer = np.stack([(w + 0.13) * np.cos(angle), 0.02 + 1.38 * np.sin(angle)], -1)
        side = {"long": 0.15, "curly": 0.05}.get(p.style, -0.28)
        line = {"fringe": -0.56, "short": -0.86, "curly": -0.80, "bun": -0.92, "long": -0.85}[p.style]
        x = np.linspace(w + 0.01, -w - 0.01, 17)
        inner = line + (side - line) * np.abs(x / w) ** (6 if p.style == "fringe" else 3.5)
        wave = 0.03 * np.sin(np.arange(17) * 2.4) if p.style in ("short", "curly", "fringe") else 0
        hair = np.concatenate([outer, np.stack([x, inner + wave], -1)])
        if p.style == "curly":
            bumps = 0.06 * np.abs(np.sin(np.arange(24) * 1.1))[:, None]
            hair[:24] *= 1.06 + bumps
        self.both(self.place(*hair.T, flat=True), p.hair)
        for k in range(5):  # strands
            f = np.linspace(0.15, 0.85, 6)
            at = int(3 + k * 4.4)
            start, end = outer[at], np.array([x[16 - min(16, int(at * 0.7))], line])
            strand = start + (end - start) * f[:, None]
            self.stroke(
                self.place(*strand.T, flat=True), dark if k % 2 else np.clip(np.asarray(p.hair) * 1.1 + 8, 0, 255), 0.03
            )

    def glasses(self):
        for side in (-1, 1):
            ring = self.ellipse(side * self.person.eye_gap, -0.13, 0.235, 0.19, flat=False)
            self.stroke(np.concatenate([ring, ring[:1]]), (40, 36, 34), 0.032)
        self.stroke(self.place([-0.09, 0, 0.09], [-0.16, -0.18, -0.16], lift=0.1), (40, 36, 34), 0.032)

    def lighten(self):
        light = self.light
        x = np.linspace(-1, 1, 16, dtype=np.float32)[None] * np.cos(light.angle)
        y = np.linspace(-1, 1, 16, dtype=np.float32)[:, None] * np.sin(light.angle)
        gain = light.gain * (1 + light.uneven * 1.5 * (x + y))
        self.multiply(np.stack([gain * tint for tint in light.tint], -1).astype(np.float32))
