"""A detector's figures: by hand, against pycocotools, and against what `emo darknet map` counts."""

import contextlib
import io

import cv2
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from converters.darknet_format.files import read_data, write_data
from emotion.comparison import box_intervals, detection
from emotion.comparison.units import Units

NAMES = ("a", "b", "c")


def some_pictures(count, seed):
    """Up to four faces of very different sizes a picture, up to eight boxes near them, some scores 0."""
    rng, predictions, truths = np.random.default_rng(seed), [], []
    for _ in range(count):
        faces, found = rng.integers(0, 5), rng.integers(0, 9)
        low = rng.uniform(0, 300, (faces, 2))
        truth = np.hstack([low, low + rng.choice([12, 50, 140], (faces, 1)) * rng.uniform(0.8, 1.2, (faces, 2))])
        near = truth[rng.integers(0, faces, found)] if faces else rng.uniform(0, 100, (found, 4)) + [0, 0, 100, 100]
        boxes = near + rng.normal(0, 3, (found, 4))
        boxes = np.hstack([np.minimum(boxes[:, :2], boxes[:, 2:]), np.maximum(boxes[:, :2], boxes[:, 2:]) + 1])
        predictions.append((boxes, rng.random((found, 3)) * (rng.random((found, 3)) < 0.6)))
        truths.append((truth, rng.integers(0, 3, faces)))
    return predictions, truths


@settings(deadline=None, max_examples=25, derandomize=True)
@given(st.integers(1, 12), st.integers(0, 10_000))
def test_coco_figures_are_those_of_pycocotools(count, seed):
    coco, cocoeval = pytest.importorskip("pycocotools.coco"), pytest.importorskip("pycocotools.cocoeval")
    predictions, truths = some_pictures(count, seed)
    found, per_class = detection.coco_figures(predictions, truths, [(500, 500)] * count, NAMES)
    annotations, results = [], []
    for image, ((xyxy, scores), (boxes, ids)) in enumerate(zip(predictions, truths)):
        for (x1, y1, x2, y2), kind in zip(boxes, ids):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image,
                    "category_id": int(kind),
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "area": (x2 - x1) * (y2 - y1),
                    "iscrowd": 0,
                }
            )
        for (x1, y1, x2, y2), each in zip(xyxy, scores):
            results += [
                {"image_id": image, "category_id": kind, "bbox": [x1, y1, x2 - x1, y2 - y1], "score": score}
                for kind, score in enumerate(each)
                if score > 0
            ]
    if not annotations or not results:
        assert found["ap"] in (None, 0)
        return
    with contextlib.redirect_stdout(io.StringIO()):
        theirs = coco.COCO()
        theirs.dataset = {
            "images": [{"id": i} for i in range(count)],
            "annotations": annotations,
            "categories": [{"id": i, "name": n} for i, n in enumerate(NAMES)],
        }
        theirs.createIndex()
        judge = cocoeval.COCOeval(theirs, theirs.loadRes(results), "bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    for name, value in zip(detection.COCO, judge.stats):
        assert found[name] == (None if value < 0 else pytest.approx(value, abs=1e-9)), name
    for index, mine in enumerate(per_class):
        values = judge.eval["precision"][:, :, index, 0, -1]
        assert mine == (pytest.approx(values[values > -1].mean(), abs=1e-9) if (values > -1).any() else None)


@settings(deadline=None, max_examples=40, derandomize=True)
@given(st.lists(st.tuples(st.integers(1, 9), st.booleans()), max_size=30), st.integers(0, 5))
def test_best_f1_is_the_best_of_all_confidences(found, more):
    found = sorted(found, key=lambda pair: -pair[0])
    scores, taken = np.array([score / 10 for score, _ in found]), np.array([hit for _, hit in found], bool)
    truths = int(taken.sum()) + more
    best = detection.best_f1(scores, taken, truths)
    if not truths or not len(found):
        assert best["best_conf"] is None
        return
    f1 = {at: 2 * taken[scores >= at].sum() / ((scores >= at).sum() + truths) for at in scores}
    assert best["best_f1"] == pytest.approx(max(f1.values())) and f1[best["best_conf"]] == pytest.approx(
        best["best_f1"]
    )


def test_by_hand():
    """One picture, two faces of class a, one of b. Boxes: a at .9 on the first, a at .8 beside all, b at .6 on the
    b.
    """
    truths = [(np.array([(0, 0, 10, 10), (50, 50, 90, 90), (0, 50, 20, 70)], float), np.array([0, 0, 1]))]
    boxes = np.array([(0, 0, 10, 10), (200, 200, 220, 220), (0, 50, 20, 70)], float)
    scores = np.array([(0.9, 0, 0), (0.8, 0, 0), (0, 0.6, 0)])
    found = detection.detection_figures([(boxes, scores)], truths, [(300, 300)], NAMES, conf=0.25)
    assert (found["tp"], found["fp"], found["fn"]) == (2, 1, 1) and found["f1"] == pytest.approx(2 / 3)
    assert (
        found["classes"]["a"]["ap"] == pytest.approx(0.5)
        and found["classes"]["b"]["ap"] == 1
        and found["classes"]["c"]["ap"] is None
    )
    assert (
        found["map"] == pytest.approx(0.75)
        and found["map_darknet"] == pytest.approx(0.5)
        and found["map_11"] == pytest.approx((6 / 11 + 1) / 2)
    )
    assert found["mean_iou"] == pytest.approx(2 / 3) and found["coco"]["ap50"] == pytest.approx((51 / 101 + 1) / 2)
    assert found["classes"]["a"] | {"best_conf": 0.9, "best_recall": 0.5, "best_precision": 1} == found["classes"]["a"]
    assert (
        set(found["curves"]) == {"a", "b"}
        and found["curves"]["a"]["recall"][0] == 0.5
        and found["curves"]["a"]["precision"][-1] is None
    )
    assert (
        found["curves"]["a"]["envelope"][100] == 1 and found["curves"]["a"]["envelope"][101] == 0
    )  # recall .5, then nothing


def test_sizes_by_hand():
    rows = detection.by_size(
        np.array([8, 16, 31.9, 200]), np.array([False, True, True, True]), np.array([True, True, False, True])
    )
    assert [(row["from_px"], row["faces"], row["missed"], row["right"]) for row in rows] == [
        (0, 1, 1, 0),
        (16, 2, 0, 1),
        (32, 0, 0, 0),
        (64, 0, 0, 0),
        (128, 1, 0, 1),
    ]


@settings(deadline=None, max_examples=25, derandomize=True)
@given(st.integers(1, 12), st.integers(0, 10_000))
def test_a_resample_has_the_figures_of_the_pictures_repeated(count, seed):
    """COCO's are faster-coco-eval's of a set in which a picture stands as often as it was drawn, and once as it is."""
    predictions, truths = some_pictures(count, seed)
    units = Units.nested("picture", np.arange(count))
    evidence = box_intervals.box_evidence(predictions, truths, len(NAMES), units, 0.3, 0.5)
    copies = np.stack([np.ones(count, int), *units.draw(np.random.default_rng(seed), 2).T], 1)
    mine = box_intervals.figures(evidence, copies)
    for column in range(3):
        drawn = np.repeat(np.arange(count), copies[:, column])
        again = detection.detection_figures(
            [predictions[i] for i in drawn], [truths[i] for i in drawn], [(500, 500)] * len(drawn), NAMES, 0.3
        )
        for name in box_intervals.FIGURES:
            theirs = again[name] if name in ("map", "precision", "recall", "f1") else again["coco"][name]
            value = mine[name][column]
            assert theirs == (None if np.isnan(value) else pytest.approx(value, abs=1e-9)), (name, column)


def test_figures_by_hand():
    """Two pictures of one face each. The first is found with IoU 0.8 at .9; in the second a box beside all at .8.

    Once each: P = R = F1 = 1/2. AP at one threshold up to 0.8: precision 1 up to recall .5, 51 of 101 points; seven of
    ten thresholds (0.5 to 0.8) are met, of AR half as many. The first picture twice, and the second not: all that is
    met is 1.
    """
    truths = [(np.array([[0.0, 0, 100, 100]]), np.array([0]))] * 2
    found = [
        (np.array([box], float), np.array([[score]]))
        for box, score in (((0, 0, 100, 80), 0.9), ((300, 300, 400, 400), 0.8))
    ]
    evidence = box_intervals.box_evidence(found, truths, 1, Units.nested("picture", np.arange(2)), 0.25, 0.5)
    told = box_intervals.figures(evidence, np.array([[1, 2], [1, 0]], np.int32))
    for name, once, twice in (
        ("map", 0.5, 1),
        ("precision", 0.5, 1),
        ("recall", 0.5, 1),
        ("f1", 0.5, 1),
        ("ap", 0.7 * 51 / 101, 0.7),
        ("ap50", 51 / 101, 1),
        ("ap75", 51 / 101, 1),
        ("ap_large", 0.7 * 51 / 101, 0.7),
        ("ar100", 0.35, 0.7),
    ):
        assert told[name].tolist() == pytest.approx([once, twice]), name
    assert np.isnan(told["ap_small"]).all()


@pytest.mark.parametrize("yolo", ["", "nms_kind=greedynms\nbeta_nms=0.6\n"])
@pytest.mark.parametrize("net", ["", "letter_box=1\n"])
def test_darknets_figures_are_those_of_emo_darknet_map(tmp_path, squares, detector_factory, net, yolo):
    """Wide pictures, coloured squares, weak boxes everywhere; labels that are a little off or of another class."""
    pytest.importorskip("torch", reason="`emo darknet map` of the built-in engine needs PyTorch (extra `train`)")
    from darknet_runner.builtin.evaluate import evaluate_detector
    from darknet_runner.builtin.network import Network
    from darknet_runner.network import weights_file
    from emotion.comparison.evaluate import evaluate
    from emotion.comparison.settings import Settings
    from emotion.systems.models import find

    folder, rng = detector_factory(tmp_path / "model", net=net, yolo=yolo, gain=0.4, bias=-14), np.random.default_rng(3)
    names = find(folder, "detector").names
    for index in range(12):
        drawn = [(int(rng.integers(4)), row, int(rng.integers(7))) for row in (0, 2)]
        picture, boxes = squares(drawn)
        picture = np.hstack([picture, picture[:, : (wide := int(rng.integers(1, 9)))]])
        cv2.imwrite(str(tmp_path / f"{index}.png"), picture)
        rows = []
        for (_, _, kind), (x1, y1, x2, y2) in zip(drawn, boxes + rng.uniform(-1.5, 1.5, (2, 4))):
            x1, y1, x2, y2 = np.clip((x1 / (64 + wide), y1 / 64, x2 / (64 + wide), y2 / 64), 0, 1)
            rows.append(
                f"{kind if rng.random() < 0.8 else (kind + 1) % 7} "
                f"{(x1 + x2) / 2} "
                f"{(y1 + y2) / 2} "
                f"{x2 - x1} "
                f"{y2 - y1}\n"
            )
        (tmp_path / f"{index}.txt").write_text("".join(rows))
    (tmp_path / "list.txt").write_text("".join(f"{index}.png\n" for index in range(12)))
    (tmp_path / "emo.names").write_text("\n".join(names))
    write_data(tmp_path / "emo.data", classes=7, valid="list.txt", names="emo.names")
    model = find(folder, "detector")
    network = Network(model.cfg)
    network.load(weights_file.read(model.cfg, model.weights))
    (told,) = evaluate(
        [str(folder)],
        tmp_path / "emo.data",
        out=tmp_path / "out",
        settings=Settings(backend="torch", device="cpu", conf=0.1),
    )["models"]
    found = told["detector"]
    for points, name in ((0, "map"), (11, "map_11"), (101, "map_101")):
        theirs = evaluate_detector(network, read_data(tmp_path / "emo.data"), conf=0.1, points=points)
        assert found[name] == pytest.approx(theirs["map"], abs=1e-6) and 0 < theirs["map"] < 1
    for name in ("map_darknet", "precision", "recall", "tp", "fp", "mean_iou"):
        assert found[name] == pytest.approx(theirs[name], abs=1e-5) or name == "map_darknet", name
    for name in ("detector.csv", "curves.csv", "curves.png", "sizes.png", "confusion.csv"):
        assert (tmp_path / "out" / name).stat().st_size > 100
    assert (tmp_path / "out" / "confusion.csv").read_text().splitlines()[-1].startswith("background,")
