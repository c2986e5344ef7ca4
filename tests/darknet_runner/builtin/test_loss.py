"""The yolo loss: box derivatives against autograd, and whole deltas worked out by hand."""

import math

import pytest
import torch
from hypothesis import given, settings, strategies as st

from darknet_runner.builtin.loss import YoloHead, box_delta, classifier_loss, decode, overlaps, yolo_delta
from darknet_runner.network.cfg_file import parse

coordinate = st.floats(0.3, 0.7)
extent = st.floats(0.1, 0.4)
box = st.tuples(coordinate, coordinate, extent, extent)


def gradient(loss, pred, truth):
    pred = torch.tensor([pred], dtype=torch.float64, requires_grad=True)
    loss(pred, torch.tensor([truth], dtype=torch.float64)).sum().backward()
    return pred.grad[0]


def clear(pred, truth):
    """No two edges nearly coincide and the boxes overlap: where the derivative is one-sided, nothing can be
    compared.
    """
    gaps = [
        pred[a] + s * pred[a + 2] / 2 - truth[a] - t * truth[a + 2] / 2
        for a in (0, 1)
        for s in (-1, 1)
        for t in (-1, 1)
    ]
    inside = all(
        min(pred[a] + pred[a + 2] / 2, truth[a] + truth[a + 2] / 2)
        - max(pred[a] - pred[a + 2] / 2, truth[a] - truth[a + 2] / 2)
        > 0.02
        for a in (0, 1)
    )
    return inside and min(map(abs, gaps)) > 1e-3


@settings(max_examples=200, deadline=None)
@given(box, box, st.sampled_from(["iou", "giou"]))
def test_overlap_part_is_the_gradient_with_width_and_height_doubled(pred, truth, kind):
    if not clear(pred, truth):
        return
    expected = gradient(lambda a, b: overlaps(a, b, kind), pred, truth) * torch.tensor([1, 1, 2, 2])
    delta = box_delta(torch.tensor([pred], dtype=torch.float64), torch.tensor([truth], dtype=torch.float64), kind)
    assert torch.allclose(delta[0], expected, atol=1e-9, rtol=1e-6)


@settings(max_examples=200, deadline=None)
@given(box, box)
def test_ciou_of_nested_boxes_is_the_gradient_but_for_the_known_differences(pred, truth):
    """With the prediction inside the truth's hull no diagonal moves, so only the doubled overlap and the aspect
    factor differ.
    """
    pred = (truth[0] + 0.01, truth[1] - 0.01, truth[2] * 0.5, truth[3] * 0.7)
    if not clear(pred, truth):
        return
    size = torch.tensor(pred[2:], dtype=torch.float64)

    def distance(a, b):
        hull = torch.tensor(truth[2:], dtype=torch.float64)
        return -((a[:, :2] - b[:, :2]) ** 2).sum(1) / (hull**2).sum()

    def aspect(a, b):
        value = 4 / math.pi**2 * (torch.atan(b[:, 2] / b[:, 3]) - torch.atan(a[:, 2] / a[:, 3])) ** 2
        alpha = value / (1 - overlaps(a, b) + value + 1e-6)
        return -alpha.detach() * value

    expected = gradient(overlaps, pred, truth) * torch.tensor([1, 1, 2, 2]) + gradient(distance, pred, truth)
    expected += gradient(aspect, pred, truth) * (size**2).sum()  # the paper's 1 / (w^2 + h^2) is dropped
    delta = box_delta(torch.tensor([pred], dtype=torch.float64), torch.tensor([truth], dtype=torch.float64), "ciou")
    assert torch.allclose(delta[0], expected, atol=1e-9, rtol=1e-6)


def test_ciou_by_hand_outside():
    """Apart in x: pred centre 0.2, truth 0.8, both 0.2 x 0.2. Hull 0.8 x 0.2, c^2 = 0.68, d^2 = 0.36.

    x: (2 * 0.6 * 0.68 - 2 * 0.8 * (-1) * 0.36) / 0.68^2, the diagonal's sign as Darknet has it;
    w: 2 * 0.8 * 0.5 * 0.36 / 0.68^2; y and h rest, equal aspect adds nothing.
    """
    delta = box_delta(
        torch.tensor([[0.2, 0.5, 0.2, 0.2]], dtype=torch.float64),
        torch.tensor([[0.8, 0.5, 0.2, 0.2]], dtype=torch.float64),
        "ciou",
    )
    c2, d2 = 0.68, 0.36
    assert delta[0, 0].item() == pytest.approx((1.2 * c2 + 1.6 * d2) / c2**2)
    assert delta[0, 2].item() == pytest.approx(0.8 * d2 / c2**2)
    assert delta[0, 1].item() == pytest.approx(0)
    assert delta[0, 3].item() == pytest.approx(0)


HEAD = """[net]
width=32
height=32
[yolo]
mask=0,1
anchors=8,8, 16,16, 30,30
classes=2
num=3
{options}
"""


def head(options=""):
    return YoloHead.of(parse(HEAD.format(options=options)).layers[0])


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def run(raw, truths, options=""):
    delta, cost, iou = yolo_delta(raw, torch.tensor(truths, dtype=raw.dtype).reshape(-1, 6), head(options), (32, 32))
    return delta.view(1, 2, 7, *raw.shape[2:]), cost, iou


def test_no_truth_pushes_objectness_down_alone():
    raw = torch.zeros(1, 14, 2, 2, dtype=torch.float64)
    delta, cost, _ = run(raw, [], "obj_normalizer=2")
    assert torch.all(delta[:, :, 4] == -1)  # 2 * (0 - 0.5)
    assert delta.abs().sum() == 8  # and nothing else
    assert cost == pytest.approx(8)  # mse: the squared norm


def test_one_truth_by_hand_mse():
    """A 16 x 16 face of class 1 in the right lower cell of a 2 x 2 grid: anchor 1 answers."""
    raw = torch.zeros(1, 14, 2, 2, dtype=torch.float64)
    truth = [0, 0.8, 0.7, 0.5, 0.5, 1]
    delta, cost, iou = run(raw, [truth], "iou_normalizer=1")
    got = delta[0, 1, :, 1, 1]
    scale = 2 - 0.25
    expected = [scale * (1.6 - 1 - 0.5), scale * (1.4 - 1 - 0.5), 0, 0, 0.5, -0.5, 0.5]
    assert torch.allclose(got, torch.tensor(expected, dtype=torch.float64))
    # prediction 0.75, 0.75 of size 0.5: overlap 0.45 * 0.45
    assert iou == pytest.approx(0.45**2 / (0.5 - 0.45**2))
    others = delta.clone()
    others[0, 1, :, 1, 1] = 0
    assert torch.all(others[:, :, 4][others[:, :, 4] != 0] == -0.5)
    assert cost == pytest.approx(float((delta**2).sum()))


def test_ignored_where_a_sure_prediction_overlaps():
    """A prediction on a truth that another anchor answers for is not punished, if some class exceeds 0.25."""
    raw = torch.zeros(1, 14, 1, 1, dtype=torch.float64)
    raw[0, 2:4] = math.log(2)  # anchor 0 grown to 16 x 16: exactly the truth
    truth = [0, 0.5, 0.5, 0.5, 0.5, 0]
    delta, _, _ = run(raw, [truth])
    assert delta[0, 0, 4, 0, 0] == 0
    assert delta[0, 1, 4, 0, 0] == 0.5
    raw[0, 5:7] = -5  # sure of no class: punished again
    delta, _, _ = run(raw, [truth])
    assert delta[0, 0, 4, 0, 0] == -0.5


def test_truth_whose_anchor_is_not_in_the_mask_trains_no_box():
    delta, _, _ = run(torch.zeros(1, 14, 1, 1, dtype=torch.float64), [[0, 0.5, 0.5, 0.95, 0.95, 0]])
    assert delta[0, :, :4].abs().sum() == 0 and delta[0, :, 5:].abs().sum() == 0


def test_two_truths_on_one_prediction_keep_both_classes_and_add_their_boxes():
    raw = torch.zeros(1, 14, 1, 1, dtype=torch.float64)
    one, other = [0, 0.4, 0.5, 0.5, 0.5, 0], [0, 0.7, 0.5, 0.5, 0.5, 1]
    both = run(raw, [one, other], "iou_loss=ciou")[0][0, 1, :, 0, 0]
    single = [run(raw, [truth], "iou_loss=ciou")[0][0, 1, :, 0, 0] for truth in (one, other)]
    assert torch.allclose(both[:4], single[0][:4] + single[1][:4])
    assert torch.allclose(both[5:], torch.tensor([0.5, 0.5], dtype=torch.float64))


def test_iou_thresh_lets_more_anchors_answer_and_averages():
    raw = torch.zeros(1, 14, 1, 1, dtype=torch.float64)
    truth = [0, 0.5, 0.5, 0.4, 0.4, 0]  # 12.8 px: IoU 0.64 with the 16 px anchor, 0.39 with the 8 px one
    assert run(raw, [truth])[0][0, 0, 4, 0, 0] == -0.5
    assert run(raw, [truth], "iou_thresh=0.3")[0][0, 0, 4, 0, 0] == 0.5


def test_label_smoothing_focal_and_counters():
    raw = torch.zeros(1, 14, 1, 1, dtype=torch.float64)
    truth = [0, 0.5, 0.5, 0.5, 0.5, 0]

    def classes(options):
        return run(raw, [truth], options)[0][0, 1, 5:, 0, 0].tolist()

    assert classes("label_smooth_eps=0.1") == pytest.approx([0.95 - 0.5, 0.05 - 0.5])
    p = 0.5
    slope = -(1 - p) * (2 * p * math.log(p) + p - 1)
    assert classes("focal_loss=1") == pytest.approx([0.5 * slope * 0.5, -0.5 * slope * 0.5])
    delta = run(raw, [truth], "counters_per_class=10,40\ncls_normalizer=0.5")[0][0, 1, :, 0, 0]
    assert delta[5:].tolist() == pytest.approx([0.5 * 4 * 0.5, -0.5])  # class 0 is four times as rare
    assert delta[4].item() == pytest.approx(4 * 0.5)


def test_scale_x_y_and_new_coords_decode_by_hand():
    raw = torch.zeros(1, 14, 2, 2, dtype=torch.float64)
    raw[0, 0], raw[0, 2] = 1.0, 0.5
    boxes, objectness, _ = decode(raw, head("scale_x_y=1.2"), (32, 32))
    assert boxes[0, 0, 1, 1, 0].item() == pytest.approx((1 + sigmoid(1) * 1.2 - 0.1) / 2)
    assert boxes[0, 0, 1, 1, 2].item() == pytest.approx(math.exp(0.5) * 8 / 32)
    assert objectness[0, 0, 0, 0].item() == 0.5
    boxes, objectness, _ = decode(raw, head("scale_x_y=2\nnew_coords=1"), (32, 32))
    assert boxes[0, 0, 0, 0, 0].item() == pytest.approx((2 * 1.0 - 0.5) / 2)
    assert boxes[0, 0, 0, 0, 2].item() == pytest.approx(4 * 0.25 * 8 / 32)


def test_ciou_cost_is_the_mean_of_one_minus_iou_and_the_rest():
    raw = torch.zeros(1, 14, 2, 2, dtype=torch.float64)
    delta, cost, iou = run(raw, [[0, 0.8, 0.7, 0.5, 0.5, 1]], "iou_loss=ciou\niou_normalizer=0.07")
    rest = float((delta[:, :, 4:] ** 2).sum())
    assert cost == pytest.approx(rest + 0.07 * (1 - iou))


def test_softmax_gradient_is_target_minus_probability():
    logits = torch.tensor([[1.0, 2.0, -1.0]], requires_grad=True)
    target = torch.tensor([[0.0, 1.0, 0.0]])
    classifier_loss(logits, target).backward()
    assert torch.allclose(-logits.grad, target - torch.softmax(logits, 1), atol=1e-6)
