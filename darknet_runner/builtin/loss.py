"""The losses of [yolo] and [softmax] as Darknet computes them.

Darknet's yolo layer has no loss that is differentiated: it writes `delta`, the negative gradient, at
once (src/yolo_layer.c, process_batch and delta_yolo_box). So does `yolo_delta`; training then calls
`raw.backward(-delta)`. The printed cost is a function of the deltas, as in Darknet.

What a delta is, for p the activated output:
    objectness   obj_normalizer * (target - p), target 0 or 1; 0 where a prediction overlaps a truth by more
                 than ignore_thresh and is sure of some class
    class        target - p, with label smoothing, focal weight or class counters when the cfg asks
    box          iou_normalizer * minus the gradient of the IoU loss (`box_delta`), or of the squared error
The sigmoid's own derivative is left out for objectness and classes because it cancels in the cross
entropy; for x and y Darknet leaves it out as well.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from converters.errors import CfgError

from ..network.cfg_file import Section

IOU_LOSSES = ("mse", "iou", "giou", "diou", "ciou")


@dataclass(frozen=True)
class YoloHead:
    """The options of one [yolo] section; defaults as in src/parser.c, parse_yolo."""

    classes: int
    anchors: torch.Tensor  # (num, 2) pixels of the network's input
    mask: tuple[int, ...]
    scale_x_y: float
    ignore_thresh: float
    truth_thresh: float
    iou_thresh: float
    iou_loss: str
    iou_thresh_kind: str
    iou_normalizer: float
    obj_normalizer: float
    cls_normalizer: float
    delta_normalizer: float
    label_smooth: float
    focal: bool
    max_delta: float
    new_coords: bool
    objectness_smooth: bool
    multipliers: torch.Tensor | None  # (classes,) from counters_per_class

    @classmethod
    def of(cls, section: Section) -> YoloHead:
        num = section.integer("num", 1)
        values = section.numbers("anchors")
        if len(values) < 2 * num:
            raise CfgError(
                f"[yolo] has {len(values)} anchor values and needs {2 * num}", where=section.path, line=section.line
            )
        kinds = {}
        for key, default in (("iou_loss", "mse"), ("iou_thresh_kind", "iou")):
            kinds[key] = section.text(key, default)
            if kinds[key] not in IOU_LOSSES:
                raise CfgError(
                    f"[yolo] {key} = {kinds[key]} is not known",
                    where=section.path,
                    line=section.lines[key],
                    mend=f"known: {', '.join(IOU_LOSSES)}",
                )
        counters, max_delta = (
            torch.tensor(section.numbers("counters_per_class")).clamp(min=1),
            section.number("max_delta", math.inf),
        )
        return cls(
            classes=section.integer("classes", 20),
            anchors=torch.tensor(values[: 2 * num]).view(-1, 2),
            mask=section.integers("mask") or tuple(range(num)),
            scale_x_y=section.number("scale_x_y", 1),
            ignore_thresh=section.number("ignore_thresh", 0.5),
            truth_thresh=section.number("truth_thresh", 1),
            iou_thresh=section.number("iou_thresh", 1),
            **kinds,
            iou_normalizer=section.number("iou_normalizer", 0.75),
            obj_normalizer=section.number("obj_normalizer", 1),
            cls_normalizer=section.number("cls_normalizer", 1),
            delta_normalizer=section.number("delta_normalizer", 1),
            label_smooth=section.number("label_smooth_eps", 0),
            focal=bool(section.integer("focal_loss", 0)),
            max_delta=max_delta,
            new_coords=bool(section.integer("new_coords", 0)),
            objectness_smooth=bool(section.integer("objectness_smooth", 0)),
            multipliers=(counters.max() / counters).clamp(max=max_delta) if len(counters) else None,
        )

    def decode(self, raw, size_wh):
        return decode(raw, self, size_wh)

    def delta(self, raw, truths, size_wh, seen: int = 0):
        delta, *rest = yolo_delta(raw, truths, self, size_wh)
        return delta * self.delta_normalizer, *rest  # backward_yolo_layer; the cost is of before


def decode(raw, head: YoloHead, size_wh):
    """raw (B, n (5 + C), H, W) -> boxes (B, n, H, W, 4) cxcywh relative, objectness (B, n, H, W), classes (B, n, H, W,
    C).

    src/yolo_layer.c, get_yolo_box.
    """
    fields = raw.unflatten(1, (len(head.mask), 5 + head.classes)).movedim(2, -1)  # (B, n, H, W, 5 + C)
    if not head.new_coords:
        fields = torch.cat([fields[..., :2].sigmoid(), fields[..., 2:4], fields[..., 4:].sigmoid()], -1)
    centre = centres(fields[..., :2] * head.scale_x_y - 0.5 * (head.scale_x_y - 1))
    anchors = head.anchors.to(raw)[list(head.mask)].view(1, -1, 1, 1, 2) / raw.new_tensor(size_wh)
    grown = fields[..., 2:4] ** 2 * 4 if head.new_coords else fields[..., 2:4].exp()
    return torch.cat([centre, grown * anchors], -1), fields[..., 4], fields[..., 5:]


def centres(xy):
    """(B, n, H, W, 2) places in their cells -> relative to the picture."""
    height, width = xy.shape[2:4]
    row, column = torch.meshgrid(
        torch.arange(height, device=xy.device), torch.arange(width, device=xy.device), indexing="ij"
    )
    return (xy + torch.stack([column, row], -1)) / xy.new_tensor([width, height])


def overlaps(pred, truth, kind="iou"):
    """Broadcast cxcywh (..., 4), (..., 4) -> (...) IoU, or its giou, diou or ciou form (src/box.c)."""
    p_min, p_max = pred[..., :2] - pred[..., 2:] / 2, pred[..., :2] + pred[..., 2:] / 2
    t_min, t_max = truth[..., :2] - truth[..., 2:] / 2, truth[..., :2] + truth[..., 2:] / 2
    inter = (torch.minimum(p_max, t_max) - torch.maximum(p_min, t_min)).clamp(min=0).prod(-1)
    union = pred[..., 2:].prod(-1) + truth[..., 2:].prod(-1) - inter
    iou = torch.where(union > 0, inter / union.clamp(min=1e-12), 0)
    if kind in ("iou", "mse"):
        return iou
    hull = torch.maximum(p_max, t_max) - torch.minimum(p_min, t_min)
    if kind == "giou":
        area = hull.prod(-1)
        return iou - torch.where(area > 0, (area - union) / area.clamp(min=1e-12), 0)
    diagonal = (hull**2).sum(-1)
    distance = ((pred[..., :2] - truth[..., :2]) ** 2).sum(-1)
    share = torch.where(diagonal > 0, distance / diagonal.clamp(min=1e-12), 0)
    if kind == "diou":
        return iou - share**0.6  # src/box.c, box_diou: the exponent that its NMS uses
    aspect = 4 / math.pi**2 * (torch.atan(truth[..., 2] / truth[..., 3]) - torch.atan(pred[..., 2] / pred[..., 3])) ** 2
    return iou - share - aspect**2 / (1 - iou + aspect + 1e-6)


def box_delta(pred, truth, kind: str):
    """pred, truth (K, 4) cxcywh relative -> (K, 4): Darknet's `dx_box_iou`, minus the gradient of the loss.

    Three things differ from the gradient of 1 - IoU + penalty, and are kept because networks were tuned
    with them: width and height get twice it for the overlap (an edge moves by half, which Darknet does
    not apply), the aspect term drops 1 / (w^2 + h^2) as the CIoU paper advises (arXiv:1911.08287), and
    in the distance penalty the diagonal's part has the opposite sign for x and y.
    """
    centre, size = pred[:, :2], pred[:, 2:]
    p_min, p_max = centre - size / 2, centre + size / 2
    t_min, t_max = truth[:, :2] - truth[:, 2:] / 2, truth[:, :2] + truth[:, 2:] / 2
    extent = torch.minimum(p_max, t_max) - torch.maximum(p_min, t_min)  # (K, 2) may be negative, as in Darknet
    inter = extent.prod(1, keepdim=True)
    union = size.prod(1, keepdim=True) + truth[:, 2:].prod(1, keepdim=True) - inter
    across, span = extent.flip(1), size.flip(1)  # of the other axis
    # Derivatives by the low and the high edge of each axis, (K, 2).
    inter_low, inter_high = -across * (p_min > t_min), across * (p_max < t_max)
    union_low, union_high = -span - inter_low, span - inter_high
    low = (union * inter_low - inter * union_low) / union**2
    high = (union * inter_high - inter * union_high) / union**2
    apart = (extent <= 0).any(1, keepdim=True)
    hull = torch.maximum(p_max, t_max) - torch.minimum(p_min, t_min)  # (K, 2)
    if kind == "giou":
        area = hull.prod(1, keepdim=True)
        # Darknet takes the width for the y edges' derivative and the height for the x edges', as it must.
        hull_low, hull_high = -hull.flip(1) * (p_min < t_min), hull.flip(1) * (p_max > t_max)
        penalty_low = (area * union_low - union * hull_low) / area**2
        penalty_high = (area * union_high - union * hull_high) / area**2
        low = torch.where(apart, 0, low) + penalty_low
        high = torch.where(apart, 0, high) + penalty_high
    move, grow = low + high, high - low
    if kind in ("diou", "ciou"):
        diagonal = (hull**2).sum(1, keepdim=True)
        gap = truth[:, :2] - centre
        distance = (gap**2).sum(1, keepdim=True)
        hull_move = (p_max > t_max).to(pred) - (p_min < t_min).to(pred)
        hull_grow = 0.5 * ((p_max > t_max).to(pred) + (p_min < t_min).to(pred))
        move = torch.where(apart, 0, move) + (2 * gap * diagonal - 2 * hull * hull_move * distance) / diagonal**2
        grow = torch.where(apart, 0, grow) + 2 * hull * hull_grow * distance / diagonal**2
        if kind == "ciou":
            angle = torch.atan(truth[:, 2] / truth[:, 3]) - torch.atan(size[:, 0] / size[:, 1])
            aspect = 4 / math.pi**2 * angle**2
            alpha = aspect / (1 - (inter / union)[:, 0] + aspect + 1e-6)
            grow = grow + torch.stack(
                [alpha * 8 / math.pi**2 * angle * size[:, 1], -alpha * 8 / math.pi**2 * angle * size[:, 0]], 1
            )
    return torch.nan_to_num(torch.cat([move, grow], 1), 0, 0, 0)


@torch.no_grad()
def yolo_delta(raw, truths, head: YoloHead, size_wh):
    """Delta and cost of one [yolo] layer.

    raw      (B, n (5 + C), H, W) the layer's input
    truths   (T, 6): picture in the batch, cxcywh relative, class id
    size_wh  the network's input in pixels

    Returns delta, shaped as raw; cost, Darknet's *(l.cost) of this micro-batch; and the mean IoU of the
    assigned predictions with their truths (0 when there are none).
    """
    boxes, objectness, probabilities = decode(raw, head, size_wh)
    count, height, width = objectness.shape[1:]
    obj_delta = (-head.obj_normalizer * objectness).contiguous()
    box_deltas = torch.zeros_like(boxes)
    class_delta = torch.zeros(probabilities.shape, dtype=raw.dtype, device=raw.device)
    anchors = head.anchors.to(raw) / raw.new_tensor(size_wh)
    picture, truth, kind = truths[:, 0].long(), truths[:, 1:5], truths[:, 5].long()
    found, early = [], 0  # (picture, mask slot, row, column, truth index): predictions that answer for a truth
    if len(truths):
        best, best_truth = best_overlaps(boxes, picture, truth)
        best_sure = torch.where(probabilities.amax(-1) > 0.25, best, 0)
        if head.objectness_smooth:
            toward = head.obj_normalizer * (best_sure - objectness)
            obj_delta = torch.where(best_sure > head.ignore_thresh, torch.maximum(obj_delta, toward), obj_delta)
        else:
            obj_delta[best_sure > head.ignore_thresh] = 0
        if head.truth_thresh < 1:
            where = torch.nonzero(best > head.truth_thresh)
            found.append(torch.cat([where, best_truth[best > head.truth_thresh].unsqueeze(1)], 1))
            early = len(where)  # the first so many answer for the truth that they overlap most, not for their own
        found += _assign(truth, picture, anchors, head, width, height)
    if not found:
        return _joined(box_deltas, obj_delta, class_delta), _cost(head, obj_delta, class_delta, box_deltas, None), 0.0
    found = torch.cat(found)
    cells, index = tuple(found[:, :4].T), found[:, 4]
    target, ids = truth[index], kind[index]
    weight = torch.ones(len(found), device=raw.device) if head.multipliers is None else head.multipliers.to(raw)[ids]
    matched = boxes[cells]
    iou = overlaps(matched, target)
    # Boxes: every truth of a prediction adds its delta.
    fields = raw.unflatten(1, (count, 5 + head.classes)).movedim(2, -1)[cells]
    scale = (weight * head.iou_normalizer).unsqueeze(1)
    if head.iou_loss == "mse":
        delta = (
            _squared(fields, found, target, anchors, head, width, height)
            * (2 - target[:, 2:].prod(1, keepdim=True))
            * scale
        )
    else:
        delta = box_delta(matched, target, head.iou_loss) * scale
        if not head.new_coords:
            delta = torch.cat([delta[:, :2], delta[:, 2:] * fields[:, 2:4].exp()], 1)
        delta = torch.nan_to_num(delta, 0, 0, 0).clamp(-head.max_delta, head.max_delta)
    box_deltas.index_put_(cells, delta, accumulate=True)
    # Objectness and classes depend on the order of the truths that share a prediction.
    flat, inverse = torch.unique(
        ((found[:, 0] * count + found[:, 1]) * height + found[:, 2]) * width + found[:, 3], return_inverse=True
    )
    order = torch.arange(len(found), device=raw.device)
    first = torch.full_like(flat, len(found)).scatter_reduce(0, inverse, order, "amin")
    last = torch.zeros_like(flat).scatter_reduce(0, inverse, order, "amax")
    shown, assigned = objectness.flatten()[flat], last >= early
    strength = torch.where(assigned, weight[last], 1) * head.obj_normalizer
    if head.objectness_smooth:
        before = obj_delta.flatten()[flat]
        before = (
            torch.where(first < early, head.obj_normalizer * (best.flatten()[flat] ** 2 - shown), before)
            if early
            else before
        )
        value = torch.where((before == 0) & assigned, strength * (1 - shown), before)
    else:
        value = strength * (1 - shown)
    obj_delta.view(-1)[flat] = value
    shown = probabilities.reshape(-1, head.classes)[flat]
    overlap = torch.where(first < early, iou[first], 0) if head.objectness_smooth else None
    class_delta.view(-1, head.classes)[flat] = _classes(head, shown, ids, weight, first, inverse, order, overlap)
    if head.iou_thresh < 1:
        answered = (class_delta > 0).sum(-1, keepdim=True)
        box_deltas = torch.where(answered > 0, box_deltas / answered.clamp(min=1), box_deltas)
    quality = (overlaps(matched, target, "giou") if head.iou_loss == "giou" else iou)[early:]
    return (
        _joined(box_deltas, obj_delta, class_delta),
        _cost(head, obj_delta, class_delta, box_deltas, quality),
        float(iou.mean()),
    )


def _classes(head, shown, ids, weight, first, inverse, order, overlap):
    """(U, C) class deltas of the U predictions that answer; src/yolo_layer.c, delta_yolo_class.

    The first truth of a prediction sets all its classes; a later one only its own, plainly. With
    objectness_smooth a prediction above truth_thresh aims at its squared `overlap` (U,), above 0 there.
    """
    positive = F.one_hot(ids[first], head.classes).bool()
    high = 1 - 0.5 * head.label_smooth
    if head.focal:
        sure = shown[positive] + 1e-15
        slope = -(1 - sure) * (2 * sure * sure.log() + sure - 1)
        value = (positive.to(shown) - shown) * 0.5 * slope.unsqueeze(1)
    else:
        value = positive * (1 - head.label_smooth) + 0.5 * head.label_smooth - shown
        if head.multipliers is not None:
            value = torch.where(positive, value * weight[first].unsqueeze(1) * head.cls_normalizer, value)
    if overlap is not None:
        soft = weight[first].unsqueeze(1) * (overlap.unsqueeze(1) ** 2 - shown)
        value = torch.where(positive & (overlap > 0).unsqueeze(1), soft, value)
    later = order[first[inverse] != order]
    value[inverse[later], ids[later]] = (high - shown[inverse[later], ids[later]]) * weight[later]
    return value


def best_overlaps(boxes, picture, truth):
    """Per prediction (B, n, H, W): its highest IoU with a truth of its picture, and that truth.

    All pictures' first truths at once, then all second ones ...: few operations, whatever the batch, as a GPU needs it.
    """
    best = torch.zeros_like(boxes[..., 0])
    best_truth = torch.zeros_like(best, dtype=torch.long)
    before = torch.tril(picture[:, None] == picture, -1).sum(1)  # (T,) truths of the same picture that come earlier
    for turn in range(int(before.max()) + 1):
        mine = torch.nonzero(before == turn)[:, 0]
        where = picture[mine]
        found = overlaps(boxes[where], truth[mine].view(-1, 1, 1, 1, 4))  # (K, n, H, W)
        better = found > best[where]
        best[where] = torch.where(better, found, best[where])
        best_truth[where] = torch.where(better, mine.view(-1, 1, 1, 1), best_truth[where])
    return best, best_truth


def _assign(truth, picture, anchors, head, width, height):
    """Truths to predictions: the cell of their centre, the anchor of best shape, and further ones above iou_thresh."""
    column = (truth[:, 0] * width).long().clamp(0, width - 1)
    row = (truth[:, 1] * height).long().clamp(0, height - 1)
    shape = torch.cat([torch.zeros_like(truth[:, :2]), truth[:, 2:]], 1)
    shapes = torch.cat([torch.zeros_like(anchors), anchors], 1)
    fit = overlaps(shapes.unsqueeze(0), shape.unsqueeze(1))  # (T, num)
    best = fit.argmax(1)
    out = []
    fits = None
    if head.iou_thresh < 1:
        fits = overlaps(shapes.unsqueeze(0), shape.unsqueeze(1), head.iou_thresh_kind) > head.iou_thresh
    for slot, anchor in enumerate(head.mask):
        mine = best == anchor
        if fits is not None:
            mine = mine | fits[:, anchor]
        index = torch.nonzero(mine)[:, 0]
        out.append(torch.stack([picture[index], torch.full_like(index, slot), row[index], column[index], index], 1))
    return out


def _squared(fields, found, target, anchors, head, width, height):
    """The old loss: differences of the box's own coordinates (src/yolo_layer.c, iou_loss == MSE)."""
    cell = torch.stack([found[:, 3], found[:, 2]], 1)
    anchor = anchors[torch.tensor(head.mask, device=found.device)[found[:, 1]]]
    xy = target[:, :2] * target.new_tensor([width, height]) - cell
    if head.new_coords:
        shown = torch.cat([fields[:, :2] * head.scale_x_y - 0.5 * (head.scale_x_y - 1), fields[:, 2:4]], 1)
        wh = (target[:, 2:] / (4 * anchor)).sqrt()
    else:
        shown = torch.cat([fields[:, :2].sigmoid() * head.scale_x_y - 0.5 * (head.scale_x_y - 1), fields[:, 2:4]], 1)
        wh = (target[:, 2:] / anchor).log()
    return torch.cat([xy, wh], 1) - shown


def _joined(box_deltas, obj_delta, class_delta):
    return torch.cat([box_deltas, obj_delta.unsqueeze(-1), class_delta], -1).movedim(-1, 2).flatten(1, 2)


def _cost(head, obj_delta, class_delta, box_deltas, quality):
    """src/yolo_layer.c, the end of forward_yolo_layer."""
    rest = float((obj_delta**2).sum() + (class_delta**2).sum())
    if head.iou_loss == "mse":
        return rest + float((box_deltas**2).sum())
    mean = 0.0 if quality is None or not len(quality) else float((1 - quality).mean())
    return head.obj_normalizer * rest + head.iou_normalizer * mean


def classifier_loss(logits, targets, temperature: float = 1.0):
    """Summed cross entropy of the softmax, (B, C) logits against (B, C) target shares; src/blas.c,
    softmax_x_ent_cpu.
    """
    return -(targets * F.log_softmax(logits.float() / temperature, 1)).sum()
