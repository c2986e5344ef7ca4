"""What goes through a form and back is what it was: boxes, label files, csv <-> pictures <-> HDF5, yolo <-> COCO."""

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from converters import readers
from converters.boxes import cxcywh_rel_to_xyxy, xyxy_to_cxcywh_rel
from converters.convert import Settings, convert
from converters.darknet_format.files import read_list
from converters.darknet_format.labels import label_path, read_label
from converters.emotions import EMOTIONS, class_ids
from converters.table.records import SPLITS, Face, Notes, Record, Table, concat, from_records
from converters.table.selection import ids_of
from converters.writers import detector

SIZES = st.tuples(st.integers(1, 8000), st.integers(1, 8000))


@st.composite
def boxed(draw):
    """A picture's size and a box in it of at least one pixel."""
    width, height = draw(SIZES)
    x1, y1 = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
    return (width, height), (x1, y1, draw(st.integers(x1 + 1, width)), draw(st.integers(y1 + 1, height)))


@given(boxed())
def test_a_box_goes_to_relative_and_back(case):
    size, box = case
    np.testing.assert_allclose(cxcywh_rel_to_xyxy(xyxy_to_cxcywh_rel(box, size), size), box, atol=1e-6)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 100),
            st.integers(0, 70),
            st.integers(1, 20),
            st.integers(1, 20),
            st.sampled_from(EMOTIONS[:7]),
        ),
        min_size=1,
        max_size=12,
        unique_by=lambda face: face[:4],
    )
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_label_file_holds_the_faces_to_a_pixel(tmp_path, faces):
    image = tmp_path / "a.png"
    if not image.exists():
        cv2.imwrite(str(image), np.zeros((90, 120, 3), np.uint8))
    record = Record(
        image,
        tuple(Face((x, y, x + w, y + h), emotion) for x, y, w, h, emotion in faces),
        "train",
        "a",
        tmp_path / "x.csv",
        2,
    )
    written = detector.write_chunk(from_records([record]), ["a"], ids_of(7), tmp_path / "out", "symlink")
    assert written.entries[0] == ["train/a.png"] and not written.notes.findings
    rows = read_label(tmp_path / "out" / "train" / "a.txt", 7)
    assert rows[:, 0].astype(int).tolist() == [class_ids(7)[face.emotion] for face in record.faces]
    np.testing.assert_allclose(
        cxcywh_rel_to_xyxy(rows[:, 1:], (120, 90)), [face.xyxy_px for face in record.faces], atol=1e-3
    )


@st.composite
def records(draw):
    faces = st.lists(st.tuples(st.none() | st.tuples(*[st.floats(0, 99)] * 4), st.sampled_from(EMOTIONS)), max_size=3)
    return [
        Record(
            Path(f"/no/{number}.jpg"),
            tuple(Face(box, emotion) for box, emotion in draw(faces)),
            draw(st.sampled_from(SPLITS)),
            f"g{number}",
            Path("/no/list.csv"),
            number,
        )
        for number in range(draw(st.integers(1, 12)))
    ]


@given(records(), st.data())
@settings(max_examples=60, deadline=None)
def test_tables_are_cut_joined_and_thinned_as_lists_of_records_are(rows, data):
    table = from_records(rows)
    assert list(table) == rows
    keep = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=8))
    assert list(table.take(np.array(keep, int))) == [rows[index] for index in keep]
    at = data.draw(st.integers(0, len(rows)))
    assert list(table.chunk(0, at)) + list(table.chunk(at, len(rows))) == rows
    assert list(concat([table, table])) == rows + rows
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=len(table.emotion), max_size=len(table.emotion))), bool)
    left = iter(mask.tolist())
    thinned = [(row, tuple(face for face in row.faces if next(left))) for row in rows]
    expected = [(row.image, faces) for row, faces in thinned if faces or not row.faces]
    assert [(record.image, record.faces) for record in table.with_faces(mask)] == expected


def faces_of(table: Table) -> list[tuple]:
    """Split, emotion and pixels of every picture, in an order of its own."""
    pixels = [
        table.picture(i) if table.pixels else cv2.imread(path, cv2.IMREAD_GRAYSCALE)
        for i, path in enumerate(table.image)
    ]
    return sorted(
        (int(split), int(emotion), grey.tobytes()) for split, emotion, grey in zip(table.split, table.emotion, pixels)
    )


@pytest.mark.parametrize("classes", [6, 7, 8])
def test_csv_pictures_and_hdf5_hold_the_same_faces(tmp_path, fer2013_csv, classes):
    """fer2013.csv -> PNGs -> csv -> HDF5 -> PNGs -> HDF5 -> csv: not a pixel, label or split changes."""
    pytest.importorskip("h5py")
    source, kind = fer2013_csv(40), "fer2013"
    first = faces_of(readers.read(kind, source, Notes()))
    if classes == 6:  # Disgust is Anger from the first step on
        merged = {EMOTIONS.index("Disgust"): EMOTIONS.index("Anger")}
        first = sorted((split, merged.get(emotion, emotion), grey) for split, emotion, grey in first)
    for step, (task, next_kind) in enumerate(
        [
            ("classifier", "folder"),
            ("csv", "fer2013"),
            ("hdf5", "hdf5"),
            ("crops", "yolo"),
            ("hdf5", "hdf5"),
            ("csv", "fer2013"),
        ]
    ):
        out = tmp_path / f"step{step}"
        convert([(kind, str(source))], out, Settings(task=task, classes=classes, size=(48, 48), grey=True))
        table = readers.read(next_kind, out, Notes(), classes=classes)
        assert faces_of(table) == first, (step, task)
        source, kind = out, next_kind


def test_eight_classes_keep_contempt_through_the_csv(tmp_path, affectnet):
    rows = [(f"1/{i}.jpg", 5, 5, 60, 60, i) for i in range(8)]
    root = affectnet("affectnet", {"training.csv": rows})
    convert([("affectnet", str(root))], tmp_path / "csv", Settings(task="csv", classes=8))
    with open(tmp_path / "csv" / "fer2013.csv") as file:
        assert [int(row["emotion"]) for row in csv.DictReader(file)] == [
            6,
            3,
            4,
            5,
            2,
            1,
            0,
            7,
        ]  # FER2013's ids of AffectNet's 0..7
    table = readers.read("fer2013", tmp_path / "csv", Notes(), classes=8)
    assert table.emotion.tolist() == list(range(8))


def test_affectnet_and_fer2013_become_one_csv_with_one_header(tmp_path, affectnet, fer2013_csv):
    rows = [(f"1/{i}.jpg", 5, 5, 60, 60, i) for i in range(7)]
    sources = [("affectnet", str(affectnet("affectnet", {"training.csv": rows}))), ("fer2013", str(fer2013_csv(9)))]
    convert(sources, tmp_path / "both", Settings(task="csv"))
    lines = (tmp_path / "both" / "fer2013.csv").read_text().splitlines()
    assert (
        lines[0] == "emotion,pixels,Usage"
        and sum(line.startswith("emotion") for line in lines) == 1
        and len(lines) == 17
    )
    assert [line[0] for line in lines[1:]] == list("6345210012345601")
    original = (tmp_path / "fer2013.csv").read_text().splitlines()
    assert lines[8:] == original[1:]


def test_hdf5_says_its_names_counts_and_votes(tmp_path, fer2013_csv):
    h5py = pytest.importorskip("h5py")
    fer2013_csv(4, "fer/fer2013.csv")
    head = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
    votes = [
        "Training,a.png,6,4,0,0,0,0,0,0,0,0",
        "Training,b.png,0,0,0,0,5,5,0,0,0,0",
        "PublicTest,c.png,0,9,0,0,0,0,0,0,0,0",
        "PrivateTest,d.png,0,0,0,0,9,0,0,0,0,0",
    ]
    (tmp_path / "fer" / "fer2013new.csv").write_text("\n".join([head, *votes]) + "\n")
    convert([("ferplus", str(tmp_path / "fer"))], tmp_path / "out", Settings(task="hdf5", labels="votes", classes=6))
    with h5py.File(tmp_path / "out" / "train.h5") as file:
        assert file["images"].shape == (2, 48, 48) and file["images"].dtype == file["labels"].dtype == np.uint8
        assert list(file.attrs["classes"]) == ["Neutral", "Happy", "Sad", "Surprise", "Fear", "Anger"]
        assert file.attrs["counts"].tolist() == [1, 0, 0, 0, 0, 1]
        np.testing.assert_allclose(
            file["votes"][:], [[0.6, 0.4, 0, 0, 0, 0], [0, 0, 0, 0, 0, 1]], atol=1e-6
        )  # 5 + 5 merged


def test_yolo_to_coco_and_back_as_pycocotools_reads_it(tmp_path, affectnet):
    COCO = pytest.importorskip("pycocotools.coco").COCO
    rng = np.random.default_rng(0)
    rows = [(f"{i % 3}/{i // 2}.jpg", *rng.integers(0, 50, 2), *rng.integers(10, 60, 2), i % 7) for i in range(40)]
    rows.append("9/n.jpg,NULL,NULL,NULL,NULL,NULL,10,-2,-2")
    root = affectnet(
        "affectnet", {"training.csv": rows, "validation.csv": [("8/v.jpg", 1, 1, 30, 40, 3)]}, {"9/n.jpg": (50, 40)}
    )
    convert([("affectnet", str(root))], tmp_path / "yolo", Settings(no_face="keep"))
    convert([("yolo", str(tmp_path / "yolo"))], tmp_path / "coco", Settings(task="coco"))
    images = 0
    for split in ("train", "valid"):
        oracle = COCO(str(tmp_path / "coco" / "annotations" / f"instances_{split}.json"))
        names = {entry["id"]: entry["name"] for entry in oracle.loadCats(oracle.getCatIds())}
        for image in oracle.loadImgs(oracle.getImgIds()):
            images += 1
            path = tmp_path / "yolo" / image["file_name"]
            assert cv2.imread(str(path)).shape[1::-1] == (image["width"], image["height"])
            rows = read_label(label_path(path), 7)
            found = oracle.loadAnns(oracle.getAnnIds(imgIds=image["id"]))
            assert [EMOTIONS.index(names[entry["category_id"]]) for entry in found] == rows[:, 0].astype(int).tolist()
            corners = cxcywh_rel_to_xyxy(rows[:, 1:], (image["width"], image["height"]))
            boxes = np.array([entry["bbox"] for entry in found]).reshape(-1, 4)
            np.testing.assert_allclose(
                np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1), corners, atol=1e-3
            )
    assert images == sum(len(read_list(tmp_path / "yolo" / f"{split}.txt")) for split in ("train", "valid"))
    convert([("coco", str(tmp_path / "coco"))], tmp_path / "back", Settings())
    for split in ("train", "valid"):
        for path in read_list(tmp_path / "yolo" / f"{split}.txt"):
            name = path.relative_to(tmp_path / "yolo")
            ours = label_path(tmp_path / "back" / name)  # the names do not grow, either
            np.testing.assert_allclose(read_label(ours, 7), read_label(label_path(path), 7), atol=2e-5)
    report = json.loads((tmp_path / "back" / "report.json").read_text())
    assert report["findings"] == []
