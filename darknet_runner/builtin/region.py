"""The loss of [region], YOLOv2's head, as AlexeyAB's Darknet computes it (src/region_layer.c).

As with [yolo] the layer writes its delta, the negative gradient, at once. It is that of half the squared
error of x, y and objectness behind their sigmoids, of w and h as they are, and of the cross entropy of the
classes. pjreddie's leaves the sigmoids' derivatives out and weighs small boxes more.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from converters.errors import CfgError

from ..network.cfg_file import Section
from .activations import activate_region
from .loss import best_overlaps, centres, overlaps

WARM = 12800  # pictures during which every prediction is also drawn to its cell's middle and its anchor
WARM_SCALE = 0.01


@dataclass(frozen=True)
class RegionHead:
    """The options of one [region] section; defaults as in src/parser.c, parse_region."""

    section: Section
    classes: int
    anchors: torch.Tensor  # (num, 2) cells
    thresh: float
    coord_scale: float
    object_scale: float
    noobject_scale: float
    class_scale: float
    rescore: bool
    bias_match: bool
    focal: bool

    @classmethod
    def of(cls, section: Section) -> RegionHead:
        num, values = section.integer("num", 1), section.numbers("anchors") or (0.5, 0.5) * section.integer("num", 1)
        if len(values) < 2 * num:
            raise CfgError(
                f"[region] has {len(values)} anchor values and needs {2 * num}", where=section.path, line=section.line
            )
        for key, plain in (("coords", 4), ("classfix", 0), ("background", 0), ("map", "")):
            if section.text(key, str(plain)) != str(plain):
                raise CfgError(
                    f"[region] {key} = {section.text(key, '')} cannot be trained or decoded here",
                    where=section.path,
                    line=section.lines[key],
                )
        return cls(
            section=section,
            classes=section.integer("classes", 20),
            anchors=torch.tensor(values[: 2 * num]).view(-1, 2),
            thresh=section.number("thresh", 0.5),
            coord_scale=section.number("coord_scale", 1),
            object_scale=section.number("object_scale", 1),
            noobject_scale=section.number("noobject_scale", 1),
            class_scale=section.number("class_scale", 1),
            rescore=bool(section.integer("rescore", 0)),
            bias_match=bool(section.integer("bias_match", 0)),
            focal=bool(section.integer("focal_loss", 0)),
        )

    def decode(self, raw, size_wh=None):
        """raw (B, n (5 + C), H, W) -> boxes (B, n, H, W, 4) cxcywh relative, objectness (B, n, H, W), classes (B,
        n, H, W, C).
        """
        fields = activate_region(raw, self.section).unflatten(1, (len(self.anchors), 5 + self.classes)).movedim(2, -1)
        size = fields[..., 2:4].exp() * self.anchors.to(raw).view(-1, 1, 1, 2) / raw.new_tensor(raw.shape[:1:-1])
        return torch.cat([centres(fields[..., :2]), size], -1), fields[..., 4], fields[..., 5:]

    @torch.no_grad()
    def delta(self, raw, truths, size_wh=None, seen: int = 0):
        """Delta, cost and the mean IoU of the assigned predictions, of a micro-batch.

        raw (B, n (5 + C), H, W); truths (T, 6): picture in the batch, cxcywh relative, class id; seen: pictures before
        it.
        """
        boxes, objectness, probabilities = self.decode(raw)
        count, height, width = objectness.shape[1:]
        fields = raw.unflatten(1, (count, 5 + self.classes)).movedim(2, -1)
        shown = torch.cat([fields[..., :2].sigmoid(), fields[..., 2:4]], -1)
        slope = shown.new_ones(shown.shape)
        slope[..., :2] = shown[..., :2] * (1 - shown[..., :2])
        obj_slope = objectness * (1 - objectness)
        box_delta, class_delta = torch.zeros_like(shown), torch.zeros_like(probabilities)
        if seen < WARM:
            box_delta = WARM_SCALE * (shown.new_tensor([0.5, 0.5, 0, 0]) - shown) * slope
        obj_delta = -self.noobject_scale * objectness * obj_slope
        quality = 0.0
        if len(truths):
            picture, truth, kind = truths[:, 0].long(), truths[:, 1:5], truths[:, 5].long()
            best, _ = best_overlaps(boxes, picture, truth)
            obj_delta[best > self.thresh] = 0
            grid, anchors = truth.new_tensor([width, height]), self.anchors.to(raw)
            column, row = ((truth[:, :2] * grid).long().clamp(max=grid.long() - 1)).T
            shapes = (
                (anchors / grid).expand(len(truth), -1, -1) if self.bias_match else boxes[picture, :, row, column, 2:]
            )
            at_zero = lambda size: torch.cat([torch.zeros_like(size), size], -1)
            slot = overlaps(at_zero(shapes), at_zero(truth[:, 2:]).unsqueeze(1)).argmax(1)  # of (T, n)
            cells = (picture, slot, row, column)
            iou = overlaps(boxes[cells], truth)
            target = torch.cat(
                [truth[:, :2] * grid - torch.stack([column, row], 1), (truth[:, 2:] * grid / anchors[slot]).log()], 1
            )
            aim = iou if self.rescore else torch.ones_like(iou)
            own = F.one_hot(kind, self.classes).to(raw)
            kinds = self.class_scale * (own - probabilities[cells])
            if self.focal:
                sure = (probabilities[cells] * own).sum(1, keepdim=True) + 1e-15
                kinds = kinds * -0.5 * (1 - sure) * (2 * sure * sure.log() + sure - 1)
            # Of several truths that share a prediction the last one counts.
            flat, inverse = torch.unique(
                ((picture * count + slot) * height + row) * width + column, return_inverse=True
            )
            last = torch.zeros_like(flat).scatter_reduce(
                0, inverse, torch.arange(len(truth), device=raw.device), "amax"
            )
            where = tuple(part[last] for part in cells)
            box_delta[where] = (self.coord_scale * (target - shown[cells]) * slope[cells])[last]
            obj_delta[where] = (self.object_scale * (aim - objectness[cells]) * obj_slope[cells])[last]
            class_delta[where] = kinds[last]
            quality = float(iou.mean())
        delta = torch.cat([box_delta, obj_delta.unsqueeze(-1), class_delta], -1).movedim(-1, 2).flatten(1, 2)
        return delta, float((delta**2).sum()), quality
