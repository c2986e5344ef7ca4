"""Augmentation as the cfg asks for it: one affine warp and one colour change a picture; labels follow the pixels.

Everything here is NumPy and OpenCV on uint8 RGB (H, W, C) pictures, C 3 or 1, and on labels (T, 5): class id
and cxcywh relative. Randomness comes from the generator that is handed in, and from nowhere else.
Sources: src/data.c (load_data_detection, load_data_augment), src/image.c (random_augment_image).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ..network.cfg_file import Cfg

VISIBLE = 0.3  # a face of which a crop leaves a smaller share is no longer a label


@dataclass(frozen=True)
class Options:
    """The augmentation of a cfg; defaults as in src/parser.c."""

    jitter: float = 0.0
    resize: float = 1.0
    flip: bool = True
    hue: float = 0.0
    saturation: float = 1.0
    exposure: float = 1.0
    mosaic: bool = False
    mixup: bool = False
    cutmix: bool = False
    gaussian_noise: float = 0.0
    letter_box: bool = False
    angle: float = 0.0
    aspect: float = 1.0
    min_crop: int = 0
    max_crop: int = 0
    label_smooth: float = 0.0
    most: int = 200  # truths of a picture that are learnt

    @classmethod
    def of(cls, cfg: Cfg) -> Options:
        net, heads = cfg.net, [layer for layer in cfg.layers if layer.type in ("yolo", "region")]
        head = heads[-1] if heads else net
        width = net.integer("width", 0)
        return cls(
            jitter=head.number("jitter", 0.2) if heads else 0.0,
            resize=head.number("resize", 1.0) if heads else 1.0,
            flip=bool(net.integer("flip", 1)),
            hue=net.number("hue", 0.0),
            saturation=net.number("saturation", 1.0),
            exposure=net.number("exposure", 1.0),
            mosaic=bool(net.integer("mosaic", 0)),
            mixup=bool(net.integer("mixup", 0)),
            cutmix=bool(net.integer("cutmix", 0)),
            gaussian_noise=net.number("gaussian_noise", 0.0),
            letter_box=bool(net.integer("letter_box", 0)),
            angle=net.number("angle", 0.0),
            aspect=net.number("aspect", 1.0),
            min_crop=net.integer("min_crop", width),
            max_crop=net.integer("max_crop", 2 * width),
            label_smooth=net.number("label_smooth_eps", 0.0),
            most=head.integer("max", 200) if heads else 200,
        )


def scale_between(rng, limit: float) -> float:
    """src/utils.c, rand_scale: uniform in 1..limit, or one over it."""
    value = rng.uniform(min(1, limit), max(1, limit)) if limit != 1 else 1.0
    return value if rng.random() < 0.5 else 1 / value


def distort(picture, rng, options: Options):
    """Hue (a share of the circle), saturation and exposure (factors), in HSV; grey pictures take the exposure."""
    hue = rng.uniform(-options.hue, options.hue)
    saturation, exposure = scale_between(rng, options.saturation), scale_between(rng, options.exposure)
    noise = options.gaussian_noise if options.gaussian_noise and rng.random() < 0.5 else 0
    if picture.shape[2] == 1:
        picture = cv2.LUT(picture, _ramp(exposure)).reshape(picture.shape) if exposure != 1 else picture
    elif hue or saturation != 1 or exposure != 1:
        hsv = cv2.cvtColor(picture, cv2.COLOR_RGB2HSV)
        turn = ((np.arange(256) + round(hue * 180)) % 180).astype(np.uint8)
        picture = cv2.cvtColor(
            cv2.LUT(hsv, np.stack([turn, _ramp(saturation), _ramp(exposure)], 1)[None]), cv2.COLOR_HSV2RGB
        )
    if noise:
        picture = np.clip(picture + rng.normal(0, min(noise, 127), picture.shape), 0, 255).astype(np.uint8)
    return picture


def _ramp(factor):
    return np.clip(np.arange(256) * factor, 0, 255).astype(np.uint8)


def warp_labels(labels, matrix, source_wh, target_wh, window=None):
    """Labels through the axis-aligned affine `matrix` (2, 3), source to target pixels; cut to `window`.

    labels (T, 5) -> (K, 5), relative to the target; those smaller than a pixel, or of which less than
    VISIBLE of the area is left, go. window: x1, y1, x2, y2 in target pixels, the whole target by default.
    """
    if not len(labels):
        return labels
    window = np.array(window if window is not None else (0, 0, *target_wh), float)
    size = np.array(source_wh, float)
    low = (labels[:, 1:3] - labels[:, 3:5] / 2) * size
    high = (labels[:, 1:3] + labels[:, 3:5] / 2) * size
    corners = np.stack([low, high]) * [matrix[0, 0], matrix[1, 1]] + [matrix[0, 2], matrix[1, 2]]
    low, high = corners.min(0), corners.max(0)
    cut_low, cut_high = np.maximum(low, window[:2]), np.minimum(high, window[2:])
    extent = np.clip(cut_high - cut_low, 0, None)
    keep = (extent >= 1).all(1) & (extent.prod(1) >= VISIBLE * np.maximum((high - low).prod(1), 1e-9))
    target = np.array(target_wh, float)
    out = np.concatenate([labels[:, :1], (cut_low + cut_high) / 2 / target, extent / target], 1)
    return out[keep]


def jittered(source_wh, target_wh, rng, options: Options, corner: int | None = None):
    """A random crop (or margin) of the source, stretched to the target: matrix (2, 3), and the margins.

    Each edge moves by up to jitter times the side, and by `resize`; with letter_box the crop first grows
    to the target's aspect. corner: the tile of a mosaic, whose picture is half the time moved to it.
    """
    size = np.array(source_wh, float)
    reach = size * options.jitter
    edges = rng.uniform(-1, 1, 4) * np.tile(reach, 2)  # left, top, right, bottom; positive cuts in
    if options.resize != 1:
        factor = max(options.resize, 1 / options.resize)
        out, into = (1 - factor) / 2, (1 - 1 / factor) / 2 if options.resize > 1 else 0.0
        low, high = rng.uniform(out, into, 2)
        edges += np.concatenate([size * low, size * high])
    if options.letter_box:
        aspect = (size[0] / size[1]) / (target_wh[0] / target_wh[1])
        grow = (
            np.array([0, size[1] * (aspect - 1) / 2]) if aspect > 1 else np.array([size[0] * (1 / aspect - 1) / 2, 0])
        )
        edges -= np.tile(grow, 2)
    flip = options.flip and rng.random() < 0.5
    if corner is not None and rng.random() < 0.5:
        edges = _to_corner(edges, corner, flip)
    span = size - edges[:2] - edges[2:]
    if (span < 1).any():
        edges, span = np.zeros(4), size
    scale = np.array(target_wh, float) / span
    matrix = np.array([[scale[0], 0, -edges[0] * scale[0]], [0, scale[1], -edges[1] * scale[1]]])
    if flip:
        matrix[0] = [-matrix[0, 0], 0, target_wh[0] - matrix[0, 2]]
        edges = edges[[2, 1, 0, 3]]
    margins = np.maximum(0, -edges) * np.tile(scale, 2)  # empty target pixels at left, top, right, bottom
    return matrix, margins


def _to_corner(edges, corner, flip):
    """Move all of the horizontal and vertical cut to the sides away from the mosaic's centre."""
    left, top, right, bottom = edges
    to_right = (corner in (0, 2)) != flip  # the tile's centre-side edge is its right one
    left, right = (left + right, 0) if to_right else (0, left + right)
    top, bottom = (top + bottom, 0) if corner in (0, 1) else (0, top + bottom)
    return np.array([left, top, right, bottom])


def _seen(picture, matrix, size_wh, rng, options, out):
    """Warp into the view `out`, then change the colours of what is seen (no more); outside the picture lies its
    mean, as in Darknet.
    """
    mean = cv2.mean(picture)
    # INTER_LINEAR maps pixel centres: shift by half a pixel, so that a resize is a resize.
    centred = matrix.copy()
    centred[:, 2] += 0.5 * (matrix[:, 0] + matrix[:, 1]) - 0.5
    warped = cv2.warpAffine(
        picture, centred, size_wh, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=mean
    )
    out[...] = distort(warped.reshape(out.shape), rng, options)


def detection_sample(load, index: int, count: int, size_wh, channels: int, rng, options: Options, out) -> np.ndarray:
    """One training picture into `out` (H, W, C) uint8; returns its labels (T, 5), at most `options.most`.

    load(i) -> (picture (H, W, C), labels (T, 5)). With mosaic (or mixup) half of the pictures are made of
    four (two), the others being drawn from `count`.
    """
    blend = rng.random() < 0.5
    if options.mosaic and blend:
        return _mosaic(load, index, count, size_wh, rng, options, out)[: options.most]
    labels = _single(load, index, size_wh, rng, options, out)
    if options.mixup and blend:
        other = np.empty_like(out)
        more = _single(load, int(rng.integers(count)), size_wh, rng, options, other)
        out[...] = cv2.addWeighted(out, 0.5, other, 0.5, 0).reshape(out.shape)
        labels = np.concatenate([labels, more])
    return labels[: options.most]


def _single(load, index, size_wh, rng, options, out):
    picture, labels = load(index)
    source_wh = picture.shape[1::-1]
    matrix, _ = jittered(source_wh, size_wh, rng, options)
    _seen(picture, matrix, size_wh, rng, options, out)
    return warp_labels(labels, matrix, source_wh, size_wh)


def _mosaic(load, index, count, size_wh, rng, options, out):
    width, height = size_wh
    cut_x, cut_y = (int(side * rng.uniform(0.2, 0.8)) for side in size_wh)  # src/data.c: min_offset = 0.2
    found = []
    for corner, source in enumerate([index, *rng.integers(count, size=3)]):
        picture, labels = load(int(source))
        source_wh = picture.shape[1::-1]
        matrix, margins = jittered(source_wh, size_wh, rng, options, corner)
        right, lower = corner % 2, corner // 2
        # The corner of the picture that faces the cut moves there, past the margin that has no pixels.
        shift_x = cut_x - min(cut_x, margins[0]) if right else cut_x - width + min(width - cut_x, margins[2])
        shift_y = cut_y - min(cut_y, margins[1]) if lower else cut_y - height + min(height - cut_y, margins[3])
        matrix = matrix + [[0, 0, shift_x], [0, 0, shift_y]]
        window = (cut_x * right, cut_y * lower, width if right else cut_x, height if lower else cut_y)
        found.append(warp_labels(labels, matrix, source_wh, size_wh, window))
        tile = out[window[1] : window[3], window[0] : window[2]]
        local = matrix - [[0, 0, window[0]], [0, 0, window[1]]]
        _seen(picture, local, tile.shape[1::-1], rng, options, tile)
    return np.concatenate(found)


def classifier_sample(load, index: int, count: int, size_wh, classes: int, rng, options: Options, out) -> np.ndarray:
    """One training picture into `out` (H, W, C) uint8; returns its target shares (C,).

    load(i) -> (picture, class id). The shorter side is scaled to min_crop..max_crop, turned by up to `angle`
    degrees, and a piece of the network's size is cut (src/image.c, random_augment_image).
    """
    target = _classifier_single(load, index, size_wh, classes, rng, options, out)
    if (options.cutmix or options.mixup) and rng.random() < 0.5:
        other = np.empty_like(out)
        second = _classifier_single(load, int(rng.integers(count)), size_wh, classes, rng, options, other)
        if options.cutmix and (not options.mixup or rng.random() < 0.5):
            share = _paste(out, other, rng)
        else:
            share = 0.5
            out[...] = cv2.addWeighted(out, 0.5, other, 0.5, 0).reshape(out.shape)
        target = target * (1 - share) + second * share
    return target


def _paste(out, other, rng) -> float:
    """CutMix (arXiv:1905.04899): a random rectangle of `other`; returns its share of the area."""
    height, width = out.shape[:2]
    side = np.sqrt(rng.random())
    centre_x, centre_y = rng.random() * width, rng.random() * height
    x1, x2 = (int(np.clip(centre_x + sign * side * width / 2, 0, width)) for sign in (-1, 1))
    y1, y2 = (int(np.clip(centre_y + sign * side * height / 2, 0, height)) for sign in (-1, 1))
    out[y1:y2, x1:x2] = other[y1:y2, x1:x2]
    return (x2 - x1) * (y2 - y1) / (width * height)


def _classifier_single(load, index, size_wh, classes, rng, options, out):
    picture, kind = load(index)
    height, width = picture.shape[:2]
    aspect = scale_between(rng, options.aspect)
    scale = rng.integers(options.min_crop, options.max_crop + 1) / min(height, width * aspect)
    angle = np.deg2rad(rng.uniform(-options.angle, options.angle))
    room = np.maximum([(width * scale / aspect - size_wh[0]) / 2, (height * scale - size_wh[1]) / 2], 0)
    shift = rng.uniform(-1, 1, 2) * room
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = np.zeros((2, 3))
    matrix[:, :2] = turn * [scale / aspect, scale]
    if options.flip and rng.random() < 0.5:
        matrix[:, 0] *= -1
    matrix[:, 2] = np.array(size_wh) / 2 + shift - matrix[:, :2] @ [width / 2, height / 2]
    _seen(picture, matrix, size_wh, rng, options, out)
    target = np.full(classes, options.label_smooth / max(classes - 1, 1), np.float32)
    target[kind] = 1 - options.label_smooth
    return target
