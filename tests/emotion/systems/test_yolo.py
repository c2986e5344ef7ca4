import shutil
import subprocess

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from converters import boxes
from darknet_runner.network import cfg_file, layers, resize, templates, weights_file
from darknet_runner.scoring.nms import overlap
from emotion.systems import yolo
from emotion.systems.backends import BACKENDS, OpenCVBackend
from emotion.systems.models import find
from emotion.systems.yolo import YoloDetector, nms, share_within


def random_weights(cfg, path, seed=0):
    """Weights that keep the signal's size from layer to layer, so that boxes of all scores come out."""
    rng, arrays = np.random.default_rng(seed), []
    for layer in layers.trace(cfg):
        made = {}
        for name, shape in layer.blocks:
            if name == "weights":
                made[name] = rng.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape)
            else:
                made[name] = (
                    rng.uniform(0.6, 1.4, shape) if name in ("scales", "variance") else rng.normal(0, 0.1, shape)
                )
        arrays.append(made)
    weights_file.write(cfg, path, arrays, seen=0)


def random_model(folder, template="v4-nano", size=96, net=None, classes=7):
    folder.mkdir(parents=True, exist_ok=True)
    cfg = templates.render(template, classes, size=size, net=net)
    cfg_file.save(cfg, folder / "model.cfg")
    random_weights(cfg, folder / "model.weights")
    (folder / "emo.names").write_text("\n".join("abcdefgh"[:classes]) + "\n")
    return folder


def photo(width=150, height=101, seed=3):
    import cv2

    rough = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    return cv2.resize(rough, (width, height), interpolation=cv2.INTER_CUBIC)


def test_squares_are_found_where_and_what_they_are(detector_folder, squares):
    drawn = [(0, 0, 0), (2, 1, 3), (3, 3, 6), (1, 2, 4)]
    picture, truth = squares(drawn)
    (found,) = YoloDetector(find(detector_folder, "detector")).detect([picture])
    order = [int(boxes.iou(box, found.xyxy_px).argmax()) for box in truth]
    assert sorted(order) == [0, 1, 2, 3]
    assert np.allclose(found.xyxy_px[order], truth, atol=1e-3)
    assert found.class_ids[order].tolist() == [class_id for *_, class_id in drawn]
    assert found.xyxy_px.dtype == found.scores.dtype == found.face.dtype == np.float32
    # objectness sigmoid(20 (r + g + b - 0.5)); class score objectness x sigmoid(3 gain), gain 3
    lit = np.array([1, 1, 3, 2])  # corners 001, 100, 111, 101
    face = 1 / (1 + np.exp(-20 * (lit - 0.5)))
    assert np.allclose(found.face[order], face, atol=1e-5)
    assert np.allclose(found.scores.max(1)[order], face / (1 + np.exp(-9)), atol=1e-4)


def test_boxes_are_in_source_pixels_when_the_picture_is_stretched(detector_folder, squares):
    picture, truth = squares([(1, 2, 5)])
    wide = picture.repeat(5, 1).repeat(2, 0)  # 320 x 128
    (found,) = YoloDetector(find(detector_folder, "detector")).detect([wide])
    assert np.allclose(found.xyxy_px, truth * (5, 2, 5, 2), atol=1e-3)


def test_letter_box_undoes_its_margins(detector_factory, tmp_path):
    model = find(detector_factory(tmp_path / "model", net="letter_box=1"), "detector")
    tall = np.zeros((128, 64, 3), np.uint8)  # becomes 32 x 64, grey 16 columns wide on both sides
    tall[64:96, :32] = (0, 255, 0)  # class 1, and one cell of the network: columns 16..32, rows 32..48
    (found,) = YoloDetector(model).detect([tall])
    # The margins are lit too (grey): their boxes lie outside the picture and are dropped.
    assert found.class_ids.tolist() == [1]
    assert np.allclose(found.xyxy_px, [(0, 64, 32, 96)], atol=1e-3)


@pytest.mark.parametrize("kind", ["opencv", "onnx", "torch"])
@pytest.mark.parametrize("shape", [(128, 64), (64, 128), (100, 128), (128, 128), (40, 128), (3, 128)])
def test_a_letter_box_without_its_bars_finds_the_same(kind, shape, detector_factory, tmp_path):
    """The network looks at each 16 px cell by itself, so the boxes of the picture are those of the whole square."""
    pytest.importorskip({"opencv": "cv2", "onnx": "onnxruntime", "torch": "torch"}[kind])
    model = find(detector_factory(tmp_path / "model", net="letter_box=1"), "detector")
    frame = np.zeros((*shape, 3), np.uint8)
    frame[: shape[0] // 2, : shape[1] // 2] = (0, 255, 0)
    cut = YoloDetector(model, open_backend=BACKENDS[kind])
    whole = YoloDetector(model, backend=BACKENDS[kind](model))
    width, height = cut.size_for([frame])
    inner = resize.letter_size(shape[::-1], model.cfg.size_wh)
    assert 0 <= width - inner[0] < 16 and 0 <= height - inner[1] < 16 and width % 16 == height % 16 == 0
    assert whole.size_for([frame]) == model.cfg.size_wh
    assert (cut.settings["resize"], whole.settings["resize"]) == ("letterbox without its bars", "letterbox")
    if not (np.array(inner) % 16).any() and not ((np.array(model.cfg.size_wh) - inner) % 32).any():
        (found,), (expected,) = cut.detect([frame]), whole.detect([frame])
        assert len(expected) and np.allclose(found.xyxy_px, expected.xyxy_px, atol=1e-3)
        assert np.allclose(found.scores, expected.scores, atol=1e-4)


def test_frames_of_any_shapes_share_a_batch_without_bars(detector_factory, tmp_path):
    model = find(detector_factory(tmp_path / "model", net="letter_box=1"), "detector")
    frames = [np.zeros((*shape, 3), np.uint8) for shape in ((128, 64), (64, 128), (64, 64))]
    for frame in frames:
        frame[: len(frame) // 2, : frame.shape[1] // 2] = (0, 255, 0)
    detector = YoloDetector(model, open_backend=OpenCVBackend)
    assert detector.size_for(frames) == (64, 64) and detector.size_for(frames[1:2]) == (64, 32)
    together, alone = detector.detect(frames), [detector.detect([frame])[0] for frame in frames]
    for a, b in zip(together, alone):
        assert len(b) and np.allclose(a.xyxy_px, b.xyxy_px, atol=1e-2) and np.allclose(a.scores, b.scores, atol=1e-4)


def test_networks_of_the_last_shapes_are_kept(detector_factory, tmp_path):
    model, opened = find(detector_factory(tmp_path / "model", net="letter_box=1"), "detector"), []

    def opens(model):
        opened.append(model.cfg.size_wh)
        return OpenCVBackend(model)

    detector = YoloDetector(model, open_backend=opens)
    for height in (64, 32, 64, 16, 32, 64):
        detector.detect([np.zeros((height, 64, 3), np.uint8)])
    assert opened == [(64, 64), (64, 32), (64, 16)]


def test_stretched_networks_and_odd_sizes_have_no_bars_to_cut(detector_factory, tmp_path):
    stretched = find(detector_factory(tmp_path / "a"), "detector")
    assert YoloDetector(stretched, open_backend=OpenCVBackend).size_for([np.zeros((9, 99, 3), np.uint8)]) == (64, 64)


def test_a_batch_gives_what_single_frames_give(tmp_path):
    detector = YoloDetector(find(random_model(tmp_path / "m"), "detector"), conf=0.05)
    frames = [photo(150, 101, 1), photo(64, 200, 2), photo(96, 96, 3)]
    together, alone = detector.detect(frames), [detector.detect([frame])[0] for frame in frames]
    assert sum(map(len, alone)) > 20
    for a, b in zip(together, alone):
        assert np.allclose(a.xyxy_px, b.xyxy_px, atol=1e-2) and np.allclose(a.scores, b.scores, atol=1e-4)


def test_no_frames_give_no_detections(detector_folder):
    assert YoloDetector(find(detector_folder, "detector")).detect([]) == []


def test_a_black_frame_has_no_face_and_the_shapes_hold(detector_folder):
    (found,) = YoloDetector(find(detector_folder, "detector")).detect([np.zeros((48, 99, 3), np.uint8)])
    assert found.xyxy_px.shape == (0, 4) and found.scores.shape == (0, 7) and len(found.class_ids) == 0


@pytest.mark.parametrize("template", ["v3-tiny", "v4-tiny"])
def test_boxes_are_those_of_the_built_in_network(tmp_path, template):
    """cv2.dnn and PyTorch: the same boxes and scores down to the floor, before NMS."""
    torch = pytest.importorskip("torch")
    from darknet_runner.builtin.evaluate import fitted, found_boxes
    from darknet_runner.builtin.network import Network

    model = find(random_model(tmp_path / "m", template, size=128), "detector")
    picture = photo()
    network = Network(model.cfg)
    network.load(weights_file.read(model.cfg, model.weights))
    network.eval()
    with torch.no_grad():
        [(expected, scores)] = found_boxes(
            network, network(fitted(np.ascontiguousarray(picture[..., ::-1]), (128, 128))), 0.01
        )
    detector = YoloDetector(model)
    rows = np.concatenate(detector.backend.forward(detector.prepare([picture])[0]), axis=1)[0]
    rows = rows[rows[:, 4] > 0.01]
    assert len(rows) == len(expected) > 50
    centre, half = rows[:, :2], rows[:, 2:4] / 2
    found = np.concatenate([centre - half, centre + half], 1)
    nearest = np.abs(found[:, None] - expected[None]).max(2).argmin(1)
    assert sorted(nearest) == list(range(len(expected)))
    assert (np.abs(found - expected[nearest]) < 5e-4 * rows[:, 2:4].max(1, keepdims=True)).all()
    both = (rows[:, 5:] > 0.01) & (scores[nearest] > 0)
    assert np.allclose(rows[:, 5:][both], scores[nearest][both], atol=4e-4)
    assert (rows[:, 5:][~both] < 0.0105).all() and (scores[nearest][~both] < 0.0105).all()


def test_boxes_are_those_of_debians_darknet(tmp_path):
    """`darknet detector valid` letter-boxes; with letter_box=1 emo gives its boxes and scores."""
    binary = shutil.which("darknet")
    if not binary:
        pytest.skip("no darknet binary on PATH")
    import cv2

    model = find(
        random_model(tmp_path / "m", "v3-tiny", 96, net={"letter_box": 1, "batch": 1, "subdivisions": 1}), "detector"
    )
    names = [f"photo{index}.png" for index in range(4)]  # it loads four at once, however short the list
    for index, name in enumerate(names):
        cv2.imwrite(str(tmp_path / name), photo(seed=index))
    (tmp_path / "results").mkdir()
    (tmp_path / "valid.txt").write_text("\n".join(names) + "\n")
    (tmp_path / "emo.data").write_text("classes=7\nvalid=valid.txt\nnames=m/emo.names\nresults=results\neval=voc\n")
    subprocess.run(
        [binary, "detector", "valid", "emo.data", "m/model.cfg", "m/model.weights"],
        cwd=tmp_path,
        capture_output=True,
        timeout=60,
    )
    expected = {}  # (picture, class) -> rows of score, x1, y1, x2, y2
    for class_id, letter in enumerate("abcdefg"):
        for line in (tmp_path / "results" / f"comp4_det_test_{letter}.txt").read_text().splitlines():
            picture, *numbers = line.split()
            expected.setdefault((picture, class_id), []).append([float(number) for number in numbers])
    assert sum(map(len, expected.values())) > 200

    detector = YoloDetector(model, conf=0.005, iou=0.45)
    for index, name in enumerate(names):
        picture = cv2.imread(str(tmp_path / name))
        blob, placed = detector.prepare([picture])
        rows = np.concatenate(detector.backend.forward(blob), axis=1)[0]
        rows = rows[rows[:, 4] > 0.005]
        x, y, w, h = placed[0]
        xyxy = boxes.cxcywh_rel_to_xyxy((rows[:, :4] - (x, y, 0, 0)) / (w, h, w, h), picture.shape[1::-1])
        for class_id in range(7):
            scores = rows[:, 5 + class_id]
            kept = nms(xyxy, scores, 0.45)
            kept = kept[scores[kept] > 0.02]
            theirs = np.array(sorted(expected.get((f"photo{index}", class_id), []), key=lambda row: -row[0])).reshape(
                -1, 5
            )
            theirs = theirs[theirs[:, 0] > 0.02]
            assert len(kept) == len(theirs)
            assert np.allclose(scores[kept], theirs[:, 0], atol=4e-4)
            # It counts pixels from 1, and cuts left and top at 1, right and bottom at the picture's size.
            mine = np.hstack([np.maximum(xyxy[kept, :2] + 1, 1), np.minimum(xyxy[kept, 2:] + 1, (150, 101))])
            assert np.allclose(mine, theirs[:, 1:], atol=0.01, rtol=1e-3)


def test_nms_by_hand():
    """Two boxes of 10 x 10, three apart: overlap 70, union 130, IoU 0.538."""
    xyxy = np.array([(0, 0, 10, 10), (3, 0, 13, 10), (50, 50, 60, 60)], float)
    scores = np.array([0.5, 0.9, 0.3])
    assert nms(xyxy, scores, 0.5).tolist() == [1, 2]
    assert nms(xyxy, scores, 0.54).tolist() == [1, 0, 2]


def test_a_suppressed_box_suppresses_nothing():
    xyxy = np.array([(0, 0, 10, 10), (4, 0, 14, 10), (8, 0, 18, 10)], float)  # IoU of neighbours 60 / 140 = 0.43
    assert nms(xyxy, np.array([0.9, 0.8, 0.7]), 0.4).tolist() == [0, 2]


def test_greedynms_by_hand():
    """d^2 = 9, box around both 13 x 10, c^2 = 269: 0.5385 - (9 / 269)^0.6 = 0.5385 - 0.1302 = 0.4083."""
    a, b = np.array((0, 0, 10, 10), float), np.array([(3, 0, 13, 10)], float)
    assert overlap(a[None], b, 0.6)[0, 0] == pytest.approx(0.5385 - 0.1302, abs=2e-4)
    both, scores = np.vstack([a[None], b]), np.array([0.9, 0.8])
    assert nms(both, scores, 0.45, 0.6).tolist() == [0, 1] and nms(both, scores, 0.45).tolist() == [0]


def test_greedynms_is_taken_from_the_last_yolo(detector_factory, tmp_path):
    plain = find(detector_factory(tmp_path / "a"), "detector").cfg
    greedy = find(detector_factory(tmp_path / "b", yolo="nms_kind=greedynms\nbeta_nms=0.7"), "detector").cfg
    diou = find(detector_factory(tmp_path / "c", yolo="nms_kind=diounms\nbeta_nms=0.7"), "detector").cfg
    assert yolo.nms_beta(plain) is None and yolo.nms_beta(diou) == 0.7
    assert yolo.nms_beta(greedy) == 0.6  # AlexeyAB's src/box.c: greedynms is box_diou, whose power is written there


@settings(deadline=None)
@given(st.integers(0, 60), st.integers(0, 10_000), st.sampled_from([None, 0.6]), st.sampled_from([None, 0.5, 0.8]))
def test_nms_keeps_the_best_and_nothing_that_overlaps_or_lies_within(count, seed, beta, inside):
    rng = np.random.default_rng(seed)
    low = rng.uniform(0, 50, (count, 2))
    xyxy, scores = np.hstack([low, low + rng.uniform(1, 40, (count, 2))]), rng.random(count)
    kept = nms(xyxy, scores, 0.45, beta, inside)

    def gone(better, others):
        within = (
            0
            if inside is None
            else (share_within(better, others) >= inside) & (boxes.area(others) < boxes.area(better))
        )
        return (overlap(better[None], others, beta)[0] > 0.45) | (within > 0)

    assert (np.diff(scores[kept]) <= 0).all()
    for place, index in enumerate(kept):
        assert not gone(xyxy[index], xyxy[kept[place + 1 :]]).any()
    for index in set(range(count)) - set(kept.tolist()):  # each one dropped had a better neighbour that stayed
        better = kept[scores[kept] >= scores[index]]
        assert any(gone(xyxy[k], xyxy[[index]])[0] for k in better)


def test_a_mouth_within_a_face_by_hand():
    """IoU of the mouth 0.04; 3/4 of the ear lies in the face; the better small face and the head about it both stay."""
    face, mouth, ear = (0, 0, 50, 50), (20, 30, 30, 40), (47, 0, 51, 10)
    xyxy = np.array([face, mouth, ear], float)
    assert share_within(xyxy[0], xyxy).tolist() == [1, 1, 0.75] and share_within(
        xyxy[1], np.zeros((1, 4))
    ).tolist() == [0]
    assert nms(xyxy, np.array([0.9, 0.8, 0.7]), 0.45, None, 0.8).tolist() == [0, 2]
    assert nms(xyxy, np.array([0.9, 0.8, 0.7]), 0.45).tolist() == [0, 1, 2]
    assert nms(xyxy, np.array([0.8, 0.9, 0.7]), 0.45, None, 0.8).tolist() == [1, 0, 2]


def test_a_detector_drops_a_mouth_unless_told_to_keep_all(detector_folder):
    rows = np.zeros((2, 12), np.float32)
    rows[:, :6] = (0.5, 0.5, 0.6, 0.6, 0.9, 0.9), (0.5, 0.7, 0.1, 0.1, 0.8, 0.8)
    for iou, count in ((0.45, 1), (1, 2)):
        detector = YoloDetector(find(detector_folder, "detector"), iou=iou)
        assert len(detector.faces_of(rows, (100, 100))) == count and (detector.settings["nms_inside"] is None) == (
            count == 2
        )


def test_one_face_keeps_one_emotion(detector_folder):
    """Two boxes on one face, best at different classes: one stays, with all its class scores."""
    detector = YoloDetector(find(detector_folder, "detector"))
    rows = np.zeros((2, 12), np.float32)
    rows[:, :5] = (0.5, 0.5, 0.2, 0.2, 0.9), (0.51, 0.5, 0.2, 0.2, 0.95)
    rows[0, 5:7], rows[1, 5:7] = (0.8, 0.1), (0.3, 0.6)
    found = detector.faces_of(rows, (100, 100))
    assert len(found) == 1 and found.class_ids.tolist() == [0]
    assert np.allclose(found.class_scores[0, :2], (0.8, 0.1)) and found.face[0] == np.float32(0.9)


@pytest.mark.parametrize(
    ("objectness", "score", "kept"), [(0.3, 0.3, 1), (0.2, 0.2, 0), (0.3, 0.05, 1), (0.25, 0.2, 0)]
)
def test_objectness_must_exceed_the_threshold_however_unclear_the_emotion(detector_folder, objectness, score, kept):
    rows = np.zeros((1, 12), np.float32)
    rows[0, :6] = (0.5, 0.5, 0.2, 0.2, objectness, score)
    assert len(YoloDetector(find(detector_folder, "detector"), conf=0.25).faces_of(rows, (10, 10))) == kept


def test_boxes_are_clipped_and_those_outside_dropped(detector_folder):
    rows = np.zeros((2, 12), np.float32)
    rows[:, 4:6] = 0.9
    rows[0, :4], rows[1, :4] = (0.0, 0.5, 0.4, 2.0), (1.5, 0.5, 0.2, 0.2)
    found = YoloDetector(find(detector_folder, "detector")).faces_of(rows, (100, 50))
    assert np.allclose(found.xyxy_px, [(0, 0, 20, 50)])
