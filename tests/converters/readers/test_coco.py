"""COCO as tools write it: no lost annotation makes a negative, masks give boxes, boxes fit the picture that is
there.
"""

import json
import shutil

import cv2
import numpy as np
import pytest
from PIL import Image

from converters.convert import Settings, convert
from converters.darknet_format.files import read_list
from converters.darknet_format.labels import label_path, read_label
from converters.errors import DataError
from converters.readers.coco_masks import box_of

BOX = [10, 20, 30, 20]


@pytest.fixture
def coco(tmp_path, noise):
    """(annotations of picture 1, further pictures and settings) -> a root with two pictures of 120 x 90; picture 2
    has one good face.
    """

    def make(annotations, name="annotations.json", image=None, images=(), categories=((1, "Happy"), (2, "Sad"))):
        root = tmp_path / "coco"
        root.mkdir(exist_ok=True)
        for number in (1, 2):
            cv2.imwrite(str(root / f"{number}.png"), noise(number, (120, 90)))
        content = {
            "images": [{"id": 1, "file_name": "1.png"} | (image or {}), {"id": 2, "file_name": "2.png"}, *images],
            "annotations": [{"id": 9, "image_id": 2, "category_id": 1, "bbox": BOX}, *annotations],
            "categories": [{"id": number, "name": text} for number, text in categories],
        }
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(json.dumps(content))
        return root

    return make


def labels(root, out, **settings):
    """{name of picture: rows} of a conversion to a detector set."""
    report = convert([("coco", str(root))], out, Settings(**settings), jobs=1)
    sizes = {
        path.stem: cv2.imread(str(path), cv2.IMREAD_IGNORE_ORIENTATION | cv2.IMREAD_COLOR).shape[1::-1]
        for path in read_list(out / "train.txt")
    }
    found = {path.stem: read_label(label_path(path), 7) for path in read_list(out / "train.txt")}
    return {
        stem: [[int(row[0]), *np.round((row[1:] * np.tile(sizes[stem], 2)) @ CORNERS).tolist()] for row in rows]
        for stem, rows in found.items()
    }, report


CORNERS = np.array([[1, 0, 1, 0], [0, 1, 0, 1], [-0.5, 0, 0.5, 0], [0, -0.5, 0, 0.5]])  # cxcywh -> xyxy
GOOD = [[1, 10, 20, 40, 40]]


@pytest.mark.parametrize(
    "lost",
    [
        {"bbox": BOX, "iscrowd": 1},
        {},
        {"bbox": None},
        {"bbox": []},
        {"bbox": [1, 2, 3]},
        {"bbox": [float("nan"), 2, 3, 4]},
        {"bbox": ["a", 2, 3, 4]},
        {"bbox": BOX, "category_id": 77},
        {"bbox": BOX, "category_id": None},
        {"bbox": BOX, "category_id": [1]},
        {"bbox": [1, 2, 10**400, 4]},
        {"bbox": [10, 20, 0, 5]},
        {"bbox": [10, 20, -5, 5]},
        {"bbox": [500, 500, 10, 10]},
        {"bbox": [], "segmentation": []},
        {"segmentation": [[1, 2, 3]]},
        {"segmentation": {"size": [9, 9], "counts": "~~"}},
        {"segmentation": {"size": [3, 3], "counts": [9]}},
        {"segmentation": "polygon"},
        {"segmentation": {"counts": [1, 2]}},
        {"bbox": {"x": 1}},
    ],
)
@pytest.mark.parametrize("beside", [False, True])
def test_a_picture_goes_with_a_lost_annotation(coco, tmp_path, lost, beside):
    rows = [{"id": 1, "image_id": 1, "category_id": 1} | lost] + (
        [{"id": 2, "image_id": 1, "category_id": 2, "bbox": [60, 50, 20, 20]}] if beside else []
    )
    root = coco(rows)
    found, report = labels(root, tmp_path / "out")
    assert found == {"2": GOOD} and sum(item["rows"] for item in report["left_out"]) >= 1
    crops = convert([("coco", str(root))], tmp_path / "crops", Settings(task="crops"), jobs=1)
    assert crops["splits"]["train"]["faces"] == 1 + beside  # the other face of the picture is as good as any


@pytest.mark.parametrize("ids", [("1", 1), (1, "1"), (1.0, 1), ("1", "1")])
def test_ids_may_be_text(coco, tmp_path, ids):
    found, _ = labels(
        coco([{"image_id": ids[0], "category_id": ids[1], "bbox": ["10", 20.0, "30", 20]}]), tmp_path / "out"
    )
    assert found == {"1": GOOD, "2": GOOD}


MASK = np.zeros((90, 120), np.uint8)
MASK[20:40, 10:40] = 1


def runs():
    flat, out, value = MASK.T.ravel(), [], 0
    edges = np.flatnonzero(np.diff(np.concatenate([[value], flat]))).tolist()
    for a, b in zip([0, *edges], [*edges, flat.size]):
        out.append(b - a)
    return out


@pytest.mark.parametrize(
    "mask",
    [
        [[10, 20, 40, 20, 40, 40, 10, 40]],
        [[10, 20, 40, 20, 40, 40], [10, 40, 20, 40, 10, 30]],
        [10, 20, 40, 20, 40, 40, 10, 40],
        {"size": [90, 120], "counts": runs()},
    ],
)
@pytest.mark.parametrize("bbox", [{}, {"bbox": None}, {"bbox": []}])
def test_polygons_and_masks_give_boxes(coco, tmp_path, mask, bbox):
    found, _ = labels(coco([{"image_id": 1, "category_id": 1, "segmentation": mask} | bbox]), tmp_path / "out")
    assert found["1"] == GOOD


def test_compressed_masks_as_pycocotools_writes_them(coco, tmp_path):
    mask_api = pytest.importorskip("pycocotools.mask")
    rng = np.random.default_rng(0)
    for _ in range(50):
        mask = np.zeros((rng.integers(1, 40), rng.integers(1, 40)), np.uint8)
        mask[rng.random(mask.shape) < rng.choice([0.02, 0.3, 0.9])] = 1
        if not mask.any():
            continue
        coded = mask_api.encode(np.asfortranarray(mask))
        x, y, w, h = mask_api.toBbox(coded).tolist()
        assert box_of({"segmentation": {"size": coded["size"], "counts": coded["counts"].decode()}}) == (
            x,
            y,
            x + w,
            y + h,
        )


def test_categories_that_nothing_uses_do_no_harm_and_used_ones_must_be_emotions(coco, tmp_path):
    rows = [{"image_id": 1, "category_id": 1, "bbox": BOX}]
    found, _ = labels(coco(rows, categories=((0, "faces"), (1, "Happy"), (5, "person"), (6, None))), tmp_path / "out")
    assert found == {"1": GOOD, "2": GOOD}
    path = tmp_path / "coco" / "annotations.json"
    content = json.loads(path.read_text())
    content["categories"] += [
        {"id": 7},
        {"name": "x"},
        {"id": [8], "name": "y"},
        {"id": 9, "name": "a"},
        {"id": 9, "name": "b"},
    ]
    path.write_text(json.dumps(content))
    assert labels(tmp_path / "coco", tmp_path / "out1")[0] == found
    with pytest.raises(DataError, match="category 'person' is not an emotion"):
        labels(
            coco([{"image_id": 1, "category_id": 5, "bbox": BOX}], categories=((1, "Happy"), (5, "person"))),
            tmp_path / "out2",
        )


def test_boxes_of_a_picture_that_was_scaled(coco, tmp_path):
    rows = [{"image_id": 1, "category_id": 1, "bbox": [20, 40, 60, 40]}]
    found, report = labels(coco(rows, image={"width": 240, "height": 180}), tmp_path / "out")
    assert found["1"] == GOOD and report["finding_counts"]["size-differs"] == 1
    found, _ = labels(
        coco([{"image_id": 1, "category_id": 1, "bbox": [5, 10, 15, 10]}], image={"width": "60", "height": 45}),
        tmp_path / "out2",
    )
    assert found["1"] == GOOD
    for size in (
        {"width": 120, "height": 90},
        {"width": 0, "height": 0},
        {"width": None},
        {"width": "wide", "height": 1},
        {},
    ):
        found, _ = (
            labels(coco([{"image_id": 1, "category_id": 1, "bbox": BOX}], image=size), tmp_path / "out3")
            if not shutil.rmtree(tmp_path / "out3", True)
            else None
        )
        assert found["1"] == GOOD


@pytest.mark.parametrize("size", [(120, 120), (90, 120), (500, 90)])
def test_boxes_of_a_picture_of_another_shape_are_none(coco, tmp_path, size):
    found, report = labels(
        coco([{"image_id": 1, "category_id": 1, "bbox": BOX}], image={"width": size[0], "height": size[1]}),
        tmp_path / "out",
    )
    assert found == {"2": GOOD} and report["finding_counts"]["size-differs"] == 1


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
@pytest.mark.parametrize("factor", [1, 2])
def test_upright_boxes_of_a_picture_that_exif_turns(coco, tmp_path, orientation, factor):
    stored = np.full((90, 120), 30, np.uint8)
    stored[20:40, 10:40] = 220
    exif = Image.Exif()
    exif[0x0112] = orientation
    root = coco([])
    Image.fromarray(stored).save(root / "1.jpg", exif=exif, quality=95)
    ys, xs = np.nonzero(cv2.imread(str(root / "1.jpg"), cv2.IMREAD_GRAYSCALE) > 128)  # upright, as an annotator sees it
    box = [
        int(xs.min()) * factor,
        int(ys.min()) * factor,
        int(xs.max() + 1 - xs.min()) * factor,
        int(ys.max() + 1 - ys.min()) * factor,
    ]
    root = coco(
        [{"image_id": 1, "category_id": 1, "bbox": box}],
        image={"file_name": "1.jpg", "width": 90 * factor, "height": 120 * factor},
    )
    found, _ = labels(root, tmp_path / "out")
    assert found["1"] == GOOD


@pytest.mark.parametrize("case, faces", [("badcat", None), ("nobbox_poly", None), ("cvat_allcrowd", 0)])
def test_the_cases_of_lost_labels(shared, tmp_path, case, faces):
    root = shared / "cases" / "coco-dropped-label" / case
    if not root.is_dir():
        pytest.skip("needs ../shared/cases")
    if faces == 0:
        with pytest.raises(DataError, match="none of its .* annotations can be used"):
            labels(root, tmp_path / "out")
        return
    content = json.loads((root / "annotations.json").read_text())
    bad = {entry["image_id"] for entry in content["annotations"] if entry["category_id"] == 99}
    found, _ = labels(root, tmp_path / "out")
    assert set(found) == {entry["file_name"].split(".")[0] for entry in content["images"] if entry["id"] not in bad}
    assert sum(map(len, found.values())) == sum(entry["image_id"] not in bad for entry in content["annotations"])


def test_the_case_of_backslashes_and_that_of_a_shrunk_picture(shared, tmp_path):
    if not (shared / "cases").is_dir():
        pytest.skip("needs ../shared/cases")
    found, report = labels(shared / "cases" / "windows-backslashes" / "coco", tmp_path / "out")
    assert len(found) == 4 and not report["left_out"]
    found, _ = labels(shared / "cases" / "coco-size" / "shrunk", tmp_path / "out2")
    np.testing.assert_allclose(found["p"], [[1, 50, 50, 113.5, 136.5]], atol=0.6)


def test_roboflows_and_cvats_layouts(coco, tmp_path, noise):
    root = coco([], name="train/_annotations.coco.json")
    for number in (1, 2):
        shutil.move(root / f"{number}.png", root / "train" / f"{number}.png")
    found, _ = labels(root, tmp_path / "out")
    assert found == {"1": [], "2": GOOD}
    shutil.rmtree(root)
    root = coco([], name="annotations/instances_default.json")
    (root / "images" / "default").mkdir(parents=True)
    for number in (1, 2):
        shutil.move(root / f"{number}.png", root / "images" / "default" / f"{number}.png")
    assert labels(root, tmp_path / "out2")[0] == {"1": [], "2": GOOD}


@pytest.mark.parametrize(
    "lost",
    [
        {"bbox": "1234"},
        {"bbox": {"10": 0, "20": 0, "30": 0, "25": 0}},
        {"bbox": [True, True, True, True]},
        {"bbox": ["1_0", "20", "30", "20"]},
        {"bbox": ["١٠", "20", "30", "20"]},
        {"bbox": [10, 20, 30, 20, 0.9]},
        {"bbox": [10, 20, 1e-5, 20]},
        {"bbox": [119.99999, 20, 5, 20]},
        {"segmentation": "12345678"},
        {"segmentation": ["12345678"]},
        {"segmentation": [[10, 20, float("nan"), 20, 40, 40, 10, 40]]},
        {"segmentation": [[10, 20, 40, 20, 40, 40], [1, 2, 3]]},
        {"segmentation": {"size": [120, 90], "counts": [1220, 20, 100]}},
        {"bbox": BOX, "iscrowd": "true"},
        {"bbox": BOX, "iscrowd": 2},
        {"bbox": BOX, "image_id": None},
        {"bbox": BOX, "image_id": float("nan")},
        {"bbox": BOX, "image_id": [1]},
    ],
)
def test_what_only_looks_like_numbers_is_a_lost_annotation(coco, tmp_path, lost):
    found, report = labels(coco([{"image_id": 1, "category_id": 1} | lost]), tmp_path / "out")
    assert found == {"2": GOOD} and sum(item["rows"] for item in report["left_out"]) >= 1


@pytest.mark.parametrize("crowd", [0, "0", False, None, "false", 0.0])
def test_what_is_no_crowd_is_a_face(coco, tmp_path, crowd):
    found, _ = labels(coco([{"image_id": 1, "category_id": 1, "bbox": BOX, "iscrowd": crowd}]), tmp_path / "out")
    assert found == {"1": GOOD, "2": GOOD}


def test_a_mask_says_the_size_where_the_picture_does_not(coco, tmp_path):
    twice = np.kron(MASK, np.ones((2, 2), np.uint8)).T.ravel()
    counts = np.diff([0, *(np.flatnonzero(np.diff(twice)) + 1), twice.size]).tolist()
    mask = {"segmentation": {"size": [180, 240], "counts": counts}}
    found, _ = labels(coco([{"image_id": 1, "category_id": 1} | mask]), tmp_path / "out")
    assert found["1"] == GOOD


def test_two_categories_of_one_id_and_shares_for_pixels_are_refused(coco, tmp_path):
    row = {"image_id": 1, "category_id": 1, "bbox": BOX}
    with pytest.raises(DataError, match="two categories have the id 1: Happy and Sad"):
        labels(coco([row], categories=((1, "Happy"), ("1", "Sad"))), tmp_path / "out")
    found, _ = labels(coco([row], categories=((1, "Happy"), ("1", "Happy"))), tmp_path / "out")
    assert found["1"] == GOOD
    root = coco([row])
    content = json.loads((root / "annotations.json").read_text())
    for entry in content["annotations"]:
        entry["bbox"] = [0.1, 0.2, 0.3, 0.25]
    (root / "annotations.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match="its boxes lie in 0..1, as shares of the picture do"):
        labels(root, tmp_path / "out2")


@pytest.mark.parametrize("size", [{"width": 240}, {"width": 240, "height": 0}, {"width": None, "height": 45}])
def test_one_side_alone_that_differs_tells_no_scale(coco, tmp_path, size):
    found, report = labels(coco([{"image_id": 1, "category_id": 1, "bbox": BOX}], image=size), tmp_path / "out")
    assert found == {"2": GOOD} and report["finding_counts"]["size-differs"] == 1


@pytest.mark.parametrize("orientation", [2, 3, 4, 6, 8])
@pytest.mark.parametrize("upright", [True, False])
def test_a_picture_whose_size_does_not_tell_is_turned_as_the_files_others_are(coco, tmp_path, orientation, upright):
    """Half a turn, a mirror and a square leave the size as it is; a picture of another shape says how it was seen."""
    exif, stored = Image.Exif(), np.full((90, 90 if orientation > 4 else 120), 30, np.uint8)
    stored[20:40, 10:40] = 220
    root = coco([])
    exif[0x0112] = orientation
    Image.fromarray(stored).save(root / "1.jpg", exif=exif, quality=95)
    seen = cv2.imread(str(root / "1.jpg"), cv2.IMREAD_GRAYSCALE) if upright else stored
    exif[0x0112] = 6
    Image.fromarray(np.full((90, 120), 30, np.uint8)).save(root / "3.jpg", exif=exif)
    ys, xs = np.nonzero(seen > 128)
    box = [int(xs.min()), int(ys.min()), int(xs.max() + 1 - xs.min()), int(ys.max() + 1 - ys.min())]
    rows = [
        {"image_id": 1, "category_id": 1, "bbox": box},
        {"image_id": 3, "category_id": 1, "bbox": [90 - 40, 10, 20, 30] if upright else BOX},
    ]
    other = {"id": 3, "file_name": "3.jpg", "width": 90 if upright else 120, "height": 120 if upright else 90}
    size = {"width": seen.shape[1], "height": seen.shape[0]}
    found, _ = labels(coco(rows, image={"file_name": "1.jpg"} | size, images=[other]), tmp_path / "out")
    assert found["1"] == GOOD and found["3"] == GOOD


@pytest.mark.parametrize("orientation", [7, 8])
def test_boxes_that_fit_a_turned_picture_only_tell_that_it_was_turned(coco, tmp_path, orientation):
    exif, stored = Image.Exif(), np.full((90, 120), 30, np.uint8)
    stored[20:40, 10:40] = 220
    exif[0x0112] = orientation
    root = coco([])
    Image.fromarray(stored).save(root / "1.jpg", exif=exif, quality=95)
    ys, xs = np.nonzero(cv2.imread(str(root / "1.jpg"), cv2.IMREAD_GRAYSCALE) > 128)
    box = [int(xs.min()), int(ys.min()), int(xs.max() + 1 - xs.min()), int(ys.max() + 1 - ys.min())]
    found, _ = labels(
        coco([{"image_id": 1, "category_id": 1, "bbox": box}], image={"file_name": "1.jpg"}), tmp_path / "out"
    )
    assert found["1"] == GOOD
