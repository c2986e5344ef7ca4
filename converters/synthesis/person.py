"""Who is drawn and how: the person, the expression, the pose and the light of a drawn face, and random ones.

The expression is carried by brows, lids, nose and mouth, after the action units of FACS (Ekman & Friesen
1978), in the face coordinates of `drawn_face`. Everything random comes from the generator given.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from ..errors import UsageError, nearest


@dataclass(frozen=True)
class Expression:
    """How far each part moves from rest; units are of the face, or 0..1 where no length is meant."""

    inner_brow: float = 0.0  # up is positive
    outer_brow: float = 0.0
    squeeze: float = 0.0  # brows drawn together
    upper_lid: float = 0.0  # up is positive: wide eyes
    lower_lid: float = 0.0  # up is positive: narrowed eyes
    corners: float = 0.0  # mouth corners up
    width: float = 0.0  # mouth wider
    jaw: float = 0.0  # mouth open
    upper_lip: float = 0.0  # upper lip lifted
    square: float = 0.0  # 0..1, from a pointed opening to a square one
    oval: float = 0.0  # 0..1, from a pointed opening to an oval one
    teeth: float = 0.0  # 0..1 of the opening
    wrinkled_nose: float = 0.0  # 0..1
    cheeks: float = 0.0  # 0..1, folds from nose to mouth
    forehead: float = 0.0  # 0..1, lines across the forehead
    frown: float = 0.0  # 0..1, lines between the brows
    one_side: float = 0.0  # -1..1, how much the mouth's movement keeps to one side
    thin_lips: float = 0.0  # 0..1
    gaze: float = 0.0  # eyes down


EXPRESSIONS: dict[str, tuple[Expression, ...]] = {
    "Neutral": (Expression(),),
    "Happy": (
        Expression(lower_lid=0.045, upper_lid=-0.01, corners=0.17, width=0.15, jaw=0.17, teeth=0.65, cheeks=1.0),
        Expression(lower_lid=0.035, corners=0.16, width=0.13, cheeks=0.9, jaw=0.07, teeth=1.0),
    ),
    "Sad": (
        Expression(
            inner_brow=0.15,
            outer_brow=-0.11,
            squeeze=0.03,
            upper_lid=-0.05,
            corners=-0.15,
            width=-0.05,
            cheeks=0.3,
            forehead=0.35,
            gaze=0.02,
        ),
    ),
    "Surprise": (
        Expression(
            inner_brow=0.18,
            outer_brow=0.19,
            upper_lid=0.075,
            lower_lid=-0.03,
            width=-0.105,
            jaw=0.31,
            oval=1.0,
            forehead=0.8,
        ),
    ),
    "Fear": (
        Expression(
            inner_brow=0.19,
            outer_brow=-0.01,
            squeeze=0.07,
            upper_lid=0.085,
            lower_lid=-0.01,
            corners=-0.07,
            width=0.13,
            jaw=0.19,
            square=0.85,
            teeth=0.55,
            forehead=0.7,
            frown=0.4,
        ),
    ),
    "Disgust": (
        Expression(
            inner_brow=-0.06,
            outer_brow=-0.02,
            squeeze=0.04,
            upper_lid=-0.035,
            lower_lid=0.035,
            corners=-0.12,
            width=-0.02,
            upper_lip=0.13,
            jaw=0.09,
            square=0.2,
            teeth=0.0,
            wrinkled_nose=1.0,
            cheeks=0.9,
            one_side=0.3,
        ),
    ),
    "Anger": (
        Expression(
            inner_brow=-0.17,
            outer_brow=0.10,
            squeeze=0.09,
            upper_lid=0.0,
            lower_lid=0.03,
            corners=-0.05,
            width=-0.02,
            thin_lips=1.0,
            frown=1.0,
        ),
        Expression(
            inner_brow=-0.17,
            outer_brow=0.10,
            squeeze=0.09,
            upper_lid=0.02,
            lower_lid=0.03,
            corners=-0.03,
            width=0.06,
            jaw=0.15,
            square=1.0,
            teeth=1.0,
            frown=1.0,
        ),
    ),
    "Contempt": (
        Expression(
            corners=0.075, width=0.01, one_side=1.0, lower_lid=0.01, upper_lid=-0.03, cheeks=0.4, outer_brow=0.02
        ),
    ),
}


def blend(a: Expression, b: Expression, share: float) -> Expression:
    """From `a` (share 0) to `b` (share 1), for moving pictures; beyond 1 exaggerates."""
    values = {f.name: (1 - share) * getattr(a, f.name) + share * getattr(b, f.name) for f in fields(Expression)}
    return Expression(**values)


def random_expression(name: str, rng: np.random.Generator) -> Expression:
    """One way to show the emotion `name`, of varied strength; UsageError for a name that cannot be drawn."""
    if name not in EXPRESSIONS:
        raise UsageError(f"'{name}' cannot be drawn", mend=nearest(name, EXPRESSIONS))
    ways = EXPRESSIONS[name]
    chosen = ways[int(rng.integers(len(ways)))]
    moved = blend(Expression(), chosen, rng.uniform(1.0, 1.35))
    if chosen.one_side and rng.random() < 0.5:
        moved = Expression(
            **{f.name: getattr(moved, f.name) * (-1 if f.name == "one_side" else 1) for f in fields(Expression)}
        )
    # Nobody's resting face is exactly at rest.
    drift = Expression(*(rng.normal(0, 1) * scale for scale in (0.012, 0.012, 0, 0.008, 0.006, 0.012, 0.02)))
    return Expression(**{f.name: getattr(moved, f.name) + getattr(drift, f.name) for f in fields(Expression)})


# Skin from light to dark, hair and cloth, as BGR.
_SKIN = np.array(
    [(205, 222, 247), (176, 204, 238), (140, 176, 222), (108, 148, 200), (80, 116, 168), (58, 86, 130), (42, 62, 98)],
    float,
)
_HAIR = np.array(
    [(22, 20, 20), (32, 38, 58), (40, 60, 92), (70, 108, 148), (110, 168, 206), (44, 70, 150), (150, 152, 155)], float
)
_IRIS = np.array([(60, 80, 40), (38, 52, 80), (30, 40, 58), (140, 110, 60), (120, 120, 90)], float)
STYLES = ("short", "fringe", "long", "bald", "curly", "bun")


@dataclass(frozen=True)
class Person:
    """What stays the same in every picture of one person. Colours are BGR."""

    skin: tuple[float, float, float]
    hair: tuple[float, float, float]
    iris: tuple[float, float, float]
    cloth: tuple[float, float, float]
    style: str
    width: float  # of half the face, in half heights
    jaw: float  # exponent of the lower outline: small is square
    eye_gap: float
    eye_size: float
    brow: float  # thickness
    nose: float  # half width
    lips: float  # thickness
    beard: float  # 0 none .. 1 full
    glasses: bool


def random_person(rng: np.random.Generator) -> Person:
    """A new person."""
    tone = rng.uniform(0, len(_SKIN) - 1)
    skin = [np.interp(tone, range(len(_SKIN)), _SKIN[:, channel]) for channel in range(3)] + rng.normal(0, 4, 3)
    dark_hair_only = tone > 3.5
    hair = _HAIR[rng.integers(2 if dark_hair_only else len(_HAIR))] + rng.normal(0, 6, 3)
    style = STYLES[rng.choice(len(STYLES), p=(0.3, 0.18, 0.22, 0.08, 0.12, 0.1))]
    pick = lambda array: tuple(np.clip(array, 0, 255))
    return Person(
        skin=pick(skin),
        hair=pick(hair),
        iris=pick(_IRIS[rng.integers(3 if dark_hair_only else len(_IRIS))]),
        cloth=pick(rng.uniform(20, 230, 3)),
        style=style,
        width=rng.uniform(0.70, 0.80),
        jaw=rng.uniform(0.62, 0.9),
        eye_gap=rng.uniform(0.30, 0.345),
        eye_size=rng.uniform(0.9, 1.12),
        brow=rng.uniform(0.7, 1.25),
        nose=rng.uniform(0.13, 0.18),
        lips=rng.uniform(0.75, 1.25),
        beard=float(rng.uniform(0.4, 1.0) * (rng.random() < 0.14) * (style not in ("long", "bun"))),
        glasses=bool(rng.random() < 0.1),
    )


@dataclass(frozen=True)
class Pose:
    """Turns of the head in degrees: `roll` clockwise, `yaw` to the picture's right, `pitch` down."""

    roll: float = 0.0
    yaw: float = 0.0
    pitch: float = 0.0


@dataclass(frozen=True)
class Light:
    """Where the light comes from (a unit direction in the picture), how uneven and how strong it is."""

    angle: float = -1.9  # radians; -pi/2 is above
    uneven: float = 0.25
    gain: float = 1.0
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)


def random_pose(rng: np.random.Generator) -> Pose:
    return Pose(rng.normal(0, 6), np.clip(rng.normal(0, 9), -22, 22), np.clip(rng.normal(0, 5), -12, 12))


def random_light(rng: np.random.Generator) -> Light:
    return Light(
        rng.uniform(-2.8, -0.3), rng.uniform(0.08, 0.4), rng.uniform(0.7, 1.05), tuple(rng.uniform(0.93, 1.05, 3))
    )
