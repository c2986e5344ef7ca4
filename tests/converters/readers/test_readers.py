"""Every reader on sets made here, and FER2013 and FER+ in full when ../shared is there."""

import csv
import json
import subprocess
import sys

import cv2
import numpy as np
import pytest

from converters import readers
from converters.convert import Settings, convert
from converters.emotions import EMOTIONS, RAFDB
from converters.errors import DataError, UsageError
from converters.readers.ferplus import distribution
from converters.table.records import Notes, from_records
from converters.table.usages import usage_map, used_as


def read(kind, root, **options):
    notes = Notes()
    table = readers.read(kind, root, notes, **options)
    return table, [finding.code for finding in notes.findings], dict(notes.left_out)


def picture(path, noise, size=(64, 48), seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), noise(seed, size))


def test_an_unknown_kind_names_the_known_ones():
    with pytest.raises(UsageError, match="did you mean 'affectnet'.*fer2013"):
        readers.read("afectnet", ".", Notes())


@pytest.mark.parametrize(
    "name, header",
    [
        ("fer2013.csv", "emotion,pixels,Usage"),
        ("icml_face_data.csv", "emotion, Usage, pixels"),
        ("fer2013/fer2013.csv", "emotion,pixels,Usage"),
    ],
)
def test_fer2013_spellings(fer2013_csv, tmp_path, name, header):
    path = fer2013_csv(12, name)
    if header.endswith("pixels"):
        rows = [line.split(",") for line in path.read_text().splitlines()[1:]]
        path.write_text("\n".join([header, *(f"{e}, {u}, {p}" for e, p, u in rows)]) + "\n")
    for source in (path, tmp_path):
        table, codes, _ = read("fer2013", source)
        assert not codes and [record.split for record in table][:4] == ["train", "train", "valid", "test"]
        assert [record.faces[0].emotion for record in table][:7] == [
            "Anger",
            "Disgust",
            "Fear",
            "Happy",
            "Sad",
            "Surprise",
            "Neutral",
        ]
        expected = np.random.default_rng(5).integers(0, 256, 48 * 48).reshape(48, 48)  # row by row
        np.testing.assert_array_equal(table.pixels[5], expected)
        assert table.record(5).image.name == "fer0000005.png" and table.record(5).line == 7


def test_fer2013_from_a_spreadsheet(fer2013_csv):
    table, codes, _ = read("fer2013", fer2013_csv(0, rows=[f"3.0,{GOOD},Training", f"3,{GOOD},Training"]))
    assert codes == [] and table.emotion[0] == table.emotion[1]


def test_fer2013_usages_go_where_they_are_told(fer2013_csv):
    path = fer2013_csv(8)
    table, _, _ = read("fer2013", path)
    notes = Notes()
    (table,) = used_as([table], "PrivateTest=valid,PublicTest=none", notes)
    assert [record.split for record in table] == ["train", "train", "valid"] * 2 and notes.left_out == {
        ("valid", "valid, which --usage leaves out"): 2
    }
    for bad in ("Private=valid", "PrivateTest=dev", "PrivateTest", "valid=test,PublicTest=none"):
        with pytest.raises(UsageError, match="--usage"):
            usage_map(bad)


@pytest.mark.parametrize(
    "usage, told", [("valid=test", ["valid"]), ("test=none,train=test", ["test"]), ("train=train", [])]
)
def test_a_usage_of_a_split_that_no_dataset_has_is_noted(fer2013_csv, usage, told):
    training, _, _ = read("fer2013", fer2013_csv(0, rows=[f"3,{GOOD},Training"]))
    used_as([training, training], usage, notes := Notes())
    assert [finding.message for finding in notes.findings] == [f"--usage: there is no picture for {it}" for it in told]


@pytest.mark.parametrize(
    "usage, expected",
    [
        ("validation=PrivateTest", "PrivateTest"),
        ("valid=test", "PrivateTest"),
        ("PublicTest=PrivateTest", "PrivateTest"),
        (None, "PublicTest"),
    ],
)
def test_affectnets_validation_list_becomes_the_usage_that_is_wished(affectnet, tmp_path, usage, expected):
    root = affectnet(
        "affectnet", {"training.csv": [("1/a.jpg", 1, 1, 60, 60, 1)], "validation.csv": [("1/b.jpg", 1, 1, 60, 60, 2)]}
    )
    convert([("affectnet", str(root))], tmp_path / "out", Settings(task="csv", usage=usage), jobs=1)
    assert [line.rpartition(",")[2] for line in (tmp_path / "out" / "fer2013.csv").read_text().splitlines()[1:]] == [
        "Training",
        expected,
    ]


def test_enlarged_boxes_of_a_detector_are_clipped(affectnet, tmp_path):
    root = affectnet(
        "affectnet", {"training.csv": [("1/a.jpg", 40, 30, 20, 20, 1), ("1/b.jpg", 0, 0, 50, 40, 1)]}
    )  # pictures of 120 x 100
    report = convert([("affectnet", str(root))], tmp_path / "out", Settings(enlarge=2), jobs=1)
    rows = list(csv.DictReader(open(tmp_path / "out" / "manifest.csv")))
    assert [[float(row[side]) for side in ("x1", "y1", "x2", "y2")] for row in rows] == [
        [30, 20, 70, 60],
        [0, 0, 75, 60],
    ] and not report["findings"]
    assert (tmp_path / "out" / "train" / "1" / "a.txt").read_text() == "1 0.416667 0.400000 0.333333 0.400000\n"


def npy_release(root, expressions, split="train_set"):
    """AffectNet of 2021: a picture and its arrays for each expression."""
    for folder in ("images", "annotations"):
        (root / split / folder).mkdir(parents=True, exist_ok=True)
    for number, value in enumerate(expressions):
        cv2.imwrite(str(root / split / "images" / f"{number}.jpg"), np.full((60, 50, 3), 9 * number, np.uint8))
        np.save(root / split / "annotations" / f"{number}_exp.npy", value)
        np.save(root / split / "annotations" / f"{number}_lnd.npy", np.arange(136.0))
    return root


def test_affectnet_as_arrays(tmp_path):
    root = npy_release(
        tmp_path,
        [
            np.array("1"),
            np.array(7),
            np.array([3.0]),
            np.array("x"),
            np.array(9),
            np.array(12),
            np.zeros(2),
            np.array([{}], object),
        ],
    )
    npy_release(tmp_path, [np.array("0")], "val_set")
    (root / "train_set" / "images" / "2.jpg").unlink()
    table, codes, left_out = read("affectnet", root, landmarks=True)
    assert [(record.split, record.faces[0].emotion, record.faces[0].xyxy_px) for record in table] == [
        ("train", "Happy", None),
        ("train", "Contempt", None),
        ("valid", "Neutral", None),
    ]
    assert (
        codes == ["missing-image", "bad-number", "class-range", "bad-number", "bad-number"]
        and left_out["train", "9 Uncertain"] == 1
    )
    assert table.landmarks[0].shape == (68, 2) and len(set(table.group)) == 3
    assert len(read("affectnet", root / "train_set")[0]) == 2
    report = convert([("affectnet", str(root))], tmp_path / "../npy-out", Settings(task="classifier"), jobs=1)
    assert report["splits"]["train"]["faces"] == 1 and report["splits"]["valid"]["faces"] == 1


def test_the_case_of_affectnet_as_arrays(shared):
    if not (shared / "cases").is_dir():
        pytest.skip("needs ../shared/cases")
    table, codes, _ = read("affectnet", shared / "cases" / "affectnet-npy" / "npy")
    assert len(table) == 1 and not codes and table.record(0).faces[0].emotion == "Happy"


GOOD = " ".join(["7"] * 2304)


@pytest.mark.parametrize(
    "row, code",
    [
        (f"7,{GOOD},Training", "class-range"),
        (f"-1,{GOOD},Training", "class-range"),
        (f"x,{GOOD},Training", "bad-number"),
        (f"1,{GOOD} 7,Training", "bad-number"),
        (f"1,{GOOD[2:]},Training", "bad-number"),
        (f"1,{GOOD[:-1]}256,Training", "bad-number"),
        (f"1,{GOOD[:-1]}-1,Training", "bad-number"),
        (f"1,{GOOD[:-1]}q,Training", "bad-number"),
        ("1,,Training", "bad-number"),
    ],
)
def test_a_bad_row_of_fer2013_is_a_finding(fer2013_csv, row, code):
    table, codes, left_out = read("fer2013", fer2013_csv(4, rows=[row, f"0,{GOOD},Training"]))
    assert codes == [code] and left_out == {("train", code): 1} and len(table) == 5


def test_a_fer2013_that_was_cut_keeps_its_whole_rows(fer2013_csv):
    table, codes, left_out = read("fer2013", fer2013_csv(4, rows=[f"0,{GOOD[:900]}"]))
    assert codes == ["bad-number"] and left_out == {("", "bad-number"): 1} and len(table) == 4


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "is empty"),
        ("a,b\n1,2\n", "has no column emotion, pixels, Usage"),
        ("emotion,pixels\n0,1\n", "has no column Usage"),
        (f"emotion,pixels,Usage\n0,{GOOD},Testing\n", "Usage 'Testing' is unknown"),
        (b"\xff\xfe\x00", "has no column emotion"),
    ],
)
def test_a_csv_that_is_not_fer2013s_is_one_error(tmp_path, text, message):
    (tmp_path / "fer2013.csv").write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(DataError, match=message):
        read("fer2013", tmp_path)


def test_folders_in_any_order_and_case(tmp_path, noise):
    for number, name in enumerate(
        ("Test/HAPPINESS/3.png", "TRAIN/angry/1.jpg", "TRAIN/Joy/sub/2.jpg", "Validation/sad/4.jpeg")
    ):
        picture(tmp_path / name, noise, seed=number)
    (tmp_path / "TRAIN" / "Joy" / "Thumbs.db").write_bytes(b"x")
    (tmp_path / "TRAIN" / ".cache").mkdir()
    table, codes, _ = read("folder", tmp_path)
    assert not codes and [(record.split, record.faces[0].emotion) for record in table] == [
        ("train", "Happy"),
        ("train", "Anger"),
        ("test", "Happy"),
        ("valid", "Sad"),
    ]
    assert table.record(0).faces[0].xyxy_px is None


def test_pictures_beside_the_splits_are_counted(tmp_path, noise):
    for name in ("train/happy/1.png", "Validation_new/sad/2.png", "Validation_new/sad/3.png", "notes/x/read.me"):
        picture(tmp_path / name.replace("read.me", "4.png"), noise)
    (tmp_path / "notes/x/4.png").unlink()
    (tmp_path / "notes/x/read.me").write_text("no picture, whatever it is called")
    table, codes, left_out = read("folder", tmp_path)
    assert not codes and len(table) == 1 and left_out == {("", "picture in 'Validation_new', which is not a split"): 2}


def test_an_unknown_class_folder_names_the_known_ones(tmp_path, noise):
    picture(tmp_path / "train" / "hapy" / "1.png", noise)
    with pytest.raises(DataError, match="'hapy' is not an emotion.*did you mean 'happy'.*surprise"):
        read("folder", tmp_path)


def test_the_folder_release_of_fer2013_keeps_the_usage_in_its_names(tmp_path, noise):
    for name in (
        "train/happy/Training_1.png",
        "test/sad/PublicTest_2.png",
        "test/sad/PrivateTest_3.png",
        "test/fear/4.png",
    ):
        picture(tmp_path / name, noise)
    table, _, _ = read("fer2013", tmp_path)
    assert {record.image.stem: record.split for record in table} == {
        "Training_1": "train",
        "PublicTest_2": "valid",
        "PrivateTest_3": "test",
        "4": "test",
    }


#      neutral, happiness, surprise, sadness, anger, disgust, fear, contempt, unknown, NF
@pytest.mark.parametrize(
    "votes, majority, voted",
    [
        ((10, 0, 0, 0, 0, 0, 0, 0, 0, 0), {"Neutral": 1}, {"Neutral": 1}),
        (
            (4, 0, 0, 1, 3, 2, 0, 0, 0, 0),
            "no majority",
            {"Neutral": 4 / 7, "Anger": 3 / 7},
        ),  # 7 of 9 is over three quarters
        ((8, 1, 1, 0, 0, 0, 0, 0, 0, 0), {"Neutral": 1}, {"Neutral": 1}),  # single votes are outliers
        ((0, 5, 5, 0, 0, 0, 0, 0, 0, 0), "no majority", {"Happy": 0.5, "Surprise": 0.5}),
        ((0, 0, 0, 0, 0, 0, 0, 0, 9, 1), "unknown", "unknown"),
        ((0, 0, 0, 0, 0, 0, 0, 0, 0, 10), "not a face", "not a face"),
        ((0, 0, 0, 0, 0, 0, 0, 8, 2, 0), {"Contempt": 1}, {"Contempt": 1}),
        ((3, 3, 2, 2, 0, 0, 0, 0, 0, 0), "no majority", "no majority"),  # needs all four classes
        ((1, 1, 1, 1, 1, 1, 1, 1, 1, 1), "no majority", "no majority"),
    ],
)
def test_ferplus_votes(votes, majority, voted):
    for labels, expected in (("majority", majority), ("votes", voted)):
        found = distribution(np.array(votes), labels)
        if isinstance(expected, str):
            assert found == expected
        else:
            assert {EMOTIONS[i]: found[i] for i in np.flatnonzero(found)} == pytest.approx(expected)


def votes_csv(path, rows):
    head = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
    path.write_text("\n".join([head, *rows]) + "\n")


def test_ferplus_goes_row_by_row_with_fer2013(fer2013_csv, tmp_path):
    fer2013_csv(4)
    rows = [
        "Training,a.png,0,10,0,0,0,0,0,0,0,0",
        "Training,,0,0,0,0,0,0,0,0,0,0",
        "PublicTest,b.png,0,0,0,x,0,0,0,0,0,0",
        "PrivateTest,c.png,9,0,0,0,0,0,0,0,0,0",
    ]
    votes_csv(tmp_path / "fer2013new.csv", rows)
    table, codes, left_out = read("ferplus", tmp_path)
    assert codes == ["bad-number"] and left_out == {
        ("train", "FER+ removed the picture"): 1,
        ("valid", "bad-number"): 1,
    }
    assert [(record.image.name, record.split, record.faces[0].emotion) for record in table] == [
        ("a.png", "train", "Happy"),
        ("c.png", "test", "Neutral"),
    ]
    np.testing.assert_array_equal(table.pixels[1], np.random.default_rng(3).integers(0, 256, 2304).reshape(48, 48))
    votes_csv(tmp_path / "fer2013new.csv", rows[:3])
    with pytest.raises(DataError, match="has fewer rows than fer2013.csv"):
        read("ferplus", tmp_path)
    votes_csv(tmp_path / "fer2013new.csv", rows[::-1])
    with pytest.raises(DataError, match="Usage is PrivateTest, but Training"):
        read("ferplus", tmp_path)


def test_rafdb_reads_original_pictures_with_boxes_or_aligned_ones(tmp_path, noise):
    lines = []
    for number in range(1, 8):
        stem = f"{'train' if number < 5 else 'test'}_{number:05d}"
        lines.append(f"{stem}.jpg {number}")
        picture(tmp_path / "Image" / "original" / f"{stem}.jpg", noise, (120, 90))
        picture(tmp_path / "Image" / "aligned" / f"{stem}_aligned.jpg", noise, (100, 100))
        boxes = tmp_path / "Annotation" / "boundingbox" / f"{stem}_boundingbox.txt"
        boxes.parent.mkdir(parents=True, exist_ok=True)
        boxes.write_text(f"{number} 10.5 80 70\n")
    (tmp_path / "EmoLabel").mkdir()
    (tmp_path / "EmoLabel" / "list_patition_label.txt").write_text(
        "\n".join(
            [
                *lines,
                "train_00009.jpg 8",
                "train_00010.jpg 1",
                "../x.jpg 1",
                "train_1.jpg \u00b2",
                "train_1.jpg " + "9" * 5000,
            ]
        )
        + "\n"
    )
    table, codes, _ = read("rafdb", tmp_path)
    assert codes == ["class-range", "bad-number", "path-escapes", "class-range", "class-range"]
    assert [record.faces[0].emotion for record in table] == list(RAFDB.values())
    assert table.record(1).faces[0].xyxy_px == (2, 10.5, 80, 70) and table.record(6).split == "test"
    table, _, _ = read("rafdb", tmp_path, task="classifier")
    assert table.record(0).faces[0].xyxy_px is None and table.record(0).image.name == "train_00001_aligned.jpg"


def test_rafdb_with_a_folder_for_each_number(tmp_path, noise):
    for number in RAFDB:
        picture(tmp_path / "DATASET" / "train" / str(number) / "a.jpg", noise)
    table, _, _ = read("rafdb", tmp_path)
    assert sorted(record.faces[0].emotion for record in table) == sorted(RAFDB.values())


def test_expw_has_several_faces_a_picture_and_top_before_left(tmp_path, noise):
    for name in ("a.jpg", "b.jpg"):
        picture(tmp_path / "image" / "origin" / name, noise, (200, 150))
    lines = [
        "a.jpg 0 10 20 80 60 40.5 3",
        "a.jpg 1 15 100 160 90 30.1 0",
        "b.jpg 0 1 2 30 40 9 6",
        "b.jpg 1 1 2 30 40 9 7",
        "b.jpg 2 1 2 x 40 9 1",
        "../c.jpg 0 1 2 30 40 9 1",
    ]
    (tmp_path / "label.lst").write_text("\n".join(lines) + "\n")
    table, codes, _ = read("expw", tmp_path)
    assert codes == ["class-range", "bad-number", "path-escapes"]
    assert [face.xyxy_px for face in table.record(0).faces] == [(20, 10, 80, 60), (100, 15, 160, 90)]
    assert [face.emotion for face in table.record(0).faces] == ["Happy", "Anger"]
    report = convert([("expw", str(tmp_path))], tmp_path / "../expw-out", Settings())
    assert report["splits"]["train"] | {"by_class": 0} == {
        "pictures": 1,
        "faces": 2,
        "by_class": 0,
    }  # b.jpg shows faces whose rows are bad


def test_a_list_whose_first_name_is_longer_than_any_files_is_read(tmp_path, noise):
    picture(tmp_path / "image" / "origin" / "a b\u00e9.jpg", noise, (200, 150))
    (tmp_path / "image" / "origin" / "a b\u00e9.jpg").rename(
        tmp_path / "image" / "origin" / b"a b\xe9.jpg".decode("utf-8", "surrogateescape")
    )
    (tmp_path / "label.lst").write_bytes(b"x" * 300 + b".jpg 0 10 20 80 60 40.5 3\na b\xe9.jpg 0 10 20 80 60 40.5 3\n")
    report = convert([("expw", str(tmp_path))], tmp_path / "../expw-long-out", Settings())
    assert report["splits"]["train"]["pictures"] == 1 and report["finding_counts"] == {
        "undecodable": 1,
        "unsafe-path": 2,
    }


def test_yolo_takes_classes_by_name_and_tells_bad_labels(darknet_set):
    names = ("anger", "happiness", "neutral")
    root = darknet_set(
        "set",
        {
            "train": {
                "a.jpg": "0 0.5 0.5 0.5 0.5\n1 0.2 0.2 0.1 0.1\n",
                "b.jpg": "",
                "c.jpg": None,
                "d.jpg": "9 0.5 0.5 1 1\n",
            }
        },
        names,
        groups={"a.jpg": "Ann"},
    )
    table, codes, _ = read("yolo", root)
    assert codes == ["missing-label", "bad-number"] and table.counts.tolist() == [2, 0]
    assert [face.emotion for face in table.record(0).faces] == ["Anger", "Happy"] and table.record(0).group == "Ann"
    np.testing.assert_allclose(table.record(0).faces[0].xyxy_px, (16, 12, 48, 36))
    with pytest.raises(DataError, match="class 'face' is not an emotion"):
        read("yolo", darknet_set("faces", {"train": {"a.jpg": "0 .5 .5 .2 .2\n"}}, ("face", "happy")))


def test_yolo_reads_a_classifier_set_and_a_balanced_list_once(fer2013_csv, tmp_path):
    convert([("fer2013", str(fer2013_csv(30)))], tmp_path / "classes", Settings(task="classifier"))
    listing = tmp_path / "classes" / "train.txt"
    listing.write_text(listing.read_text() * 3)  # repeats, as `emo dataset balance` writes them
    table, codes, _ = read("yolo", tmp_path / "classes")
    assert not codes and len(table) == 30 and np.isnan(table.xyxy).all()
    assert sorted(record.faces[0].emotion for record in table) == sorted(
        record.faces[0].emotion for record in read("fer2013", tmp_path)[0]
    )


@pytest.mark.parametrize(
    "content, message",
    [
        ("{", "is not JSON"),
        ("[]", "is not a COCO file"),
        ("{}", "'images' is missing"),
        (
            '{"images": [], "annotations": [{"category_id": 1}], "categories": [{"id": 1, "name": "cat"}]}',
            "category 'cat' is not an emotion",
        ),
        ('{"images": [], "annotations": null, "categories": []}', "is not a COCO file"),
        ("[" * 100_000, "is not JSON"),
        (
            (
                '{"images": [{"id": 1, '
                '"file_name": "a"}, '
                '{"id": 1, '
                '"file_name": "b"}], '
                '"annotations": [], '
                '"categories": []}'
            ),
            "two images have the id 1",
        ),
    ],
)
def test_a_json_that_is_not_cocos_is_one_error(tmp_path, content, message):
    (tmp_path / "train.json").write_text(content)
    with pytest.raises(DataError, match=message):
        read("coco", tmp_path)


def test_coco_by_hand(tmp_path, noise):
    picture(tmp_path / "val2017" / "a.jpg", noise)
    content = {
        "images": [
            {"id": 7, "file_name": "a.jpg"},
            {"id": 8, "file_name": "../b.jpg"},
            {"id": 9, "file_name": "\ud800.jpg"},
        ],
        "categories": [{"id": 3, "name": "joy"}],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 3, "bbox": [1, 2, 30, 20]},
            {"id": 2, "image_id": 7, "category_id": 3, "bbox": [1, 2, 30, 20], "iscrowd": 1},
            {"id": 3, "image_id": 10, "category_id": 3, "bbox": [1, 2, 3, 4]},
            {"id": 4, "image_id": 7, "category_id": 4, "bbox": [1, 2, 3, 4]},
            {"id": 5, "image_id": 7, "category_id": 3, "bbox": [1, 2, None, 4]},
            {"id": 6, "image_id": 7, "category_id": 3, "bbox": [1, 2, 10**400, 4]},
            {"id": 7, "image_id": [7], "category_id": 3, "bbox": [1, 2, 3, 4]},
        ],
    }
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "instances_val2017.json").write_text(json.dumps(content))
    table, codes, left_out = read("coco", tmp_path)
    assert (
        codes == ["path-escapes", "missing-image", "class-range", *["bad-number"] * 3]
        and left_out["valid", "crowd region"] == 1
    )
    assert len(table) == 2 and table.record(0).split == "valid" and table.record(0).faces[0].xyxy_px == (1, 2, 31, 22)
    with pytest.raises(DataError, match="has no row that can be used"):  # the crowd spoils the picture
        convert([("coco", str(tmp_path))], tmp_path / "../coco-out", Settings())
    report = convert([("coco", str(tmp_path))], tmp_path / "../coco-out", Settings(task="crops"))
    assert report["splits"]["valid"]["pictures"] == 1 and report["finding_counts"]["missing-image"] == 1


def test_affectnet_rows_keep_their_names_when_one_holds_a_line_end(tmp_path, noise):
    for name in ("a", "new\nline", "b", "c"):
        picture(tmp_path / "Manually_Annotated_Images" / "1" / f"{name}.jpg", noise)
    (tmp_path / "training.csv").write_text(
        "1/a.jpg,1,2,30,31,1;2,0,0,0\n"
        '"1/new\n'
        'line.jpg",1,2,30,32,1;2,1,0,0\n'
        "1\\b.jpg,1,2,30,33,1;2,2,0,0\n"
        "1/c.jpg,1,2,30,34,1;2,3,0,0\n"
    )
    table, codes, _ = read("affectnet", tmp_path)
    found = [(record.image.name, record.faces[0].emotion, record.faces[0].xyxy_px[3], record.line) for record in table]
    assert found == [
        ("a.jpg", "Neutral", 33, 1),
        ("new\nline.jpg", "Happy", 34, 2),
        ("b.jpg", "Sad", 35, 4),
        ("c.jpg", "Surprise", 36, 5),
    ]
    assert not codes


@pytest.mark.parametrize("rest", ["1;2,5,0.1,0.2", "1;2,5,0.1,0.2,7", "1;2,5", "1;2,5,0.1,0.2,3,4,5"])
def test_affectnets_emotion_is_the_seventh_column_however_many_follow(tmp_path, noise, rest):
    picture(tmp_path / "Manually_Annotated_Images" / "1" / "a.jpg", noise)
    header = (
        "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,arousal,a,b,c"
    )
    (tmp_path / "training.csv").write_text(
        ",".join(header.split(",")[: 6 + rest.count(",")]) + f"\n1/a.jpg,1,2,30,31,{rest}\n"
    )
    table, codes, _ = read("affectnet", tmp_path, landmarks=True)
    assert [face.emotion for record in table for face in record.faces] == ["Disgust"] and not codes
    assert table.landmarks[0].tolist() == [[1, 2]]


def test_records_and_tables_say_the_same(affectnet):
    rows = [("1/a.jpg", 10, 20, 50, 60, 1), ("1/b.jpg", 0, 0, 9, 9, 7)]
    table, _, _ = read("affectnet", affectnet("affectnet", {"training.csv": rows}), landmarks=True)
    assert list(from_records(table)) == list(table)
    assert table.record(0).faces[0].landmarks[1] == (80, 41)


@pytest.fixture(scope="module")
def fer2013(tmp_path_factory):
    """FER2013 and FER+ in full, as people have them."""
    from pathlib import Path

    tool = Path(__file__).resolve().parents[4] / "shared" / "tools" / "unpack_fer2013.py"
    if not tool.is_file():
        pytest.skip("needs FER2013 in ../shared")
    out = tmp_path_factory.mktemp("fer2013")
    subprocess.run([sys.executable, str(tool), "csv", str(out)], check=True)
    return out


def test_fer2013_in_full(fer2013, shared):
    table, codes, left_out = read("fer2013", fer2013)
    assert not codes and not left_out and len(table) == 35710
    with open(shared / "datasets" / "fer2013" / "labels.csv") as file:
        rows = list(csv.DictReader(file))
    usages = {"Training": 0, "PublicTest": 1, "PrivateTest": 2}
    assert table.split.tolist() == [usages[row["usage"]] for row in rows]
    names = ("Anger", "Disgust", "Fear", "Happy", "Sad", "Surprise", "Neutral")
    assert table.emotion.tolist() == [EMOTIONS.index(names[int(row["emotion"])]) for row in rows]
    assert np.bincount(table.split).tolist() == [28558, 3579, 3573]
    sheet = cv2.imread(str(shared / "datasets" / "fer2013" / "training.png"), cv2.IMREAD_GRAYSCALE)
    for index in (0, 1, 99, 100, 28557):
        cell = int(rows[index]["cell"])
        np.testing.assert_array_equal(table.pixels[index], sheet[cell // 100 * 48 :][:48, cell % 100 * 48 :][:, :48])


def test_ferplus_in_full_against_the_votes_themselves(fer2013, shared):
    """The majority rule by counting: over half of the votes that are not single ones."""
    table, codes, left_out = read("ferplus", fer2013)
    expected = []
    with open(shared / "datasets" / "fer2013" / "labels.csv") as file:
        for row in csv.DictReader(file):
            votes = {
                name: int(row[name])
                for name in (
                    "neutral",
                    "happiness",
                    "surprise",
                    "sadness",
                    "anger",
                    "disgust",
                    "fear",
                    "contempt",
                    "unknown",
                    "NF",
                )
            }
            strong = {name: count for name, count in votes.items() if count > 1}
            best = max(strong, key=strong.get, default=None)
            if best and strong[best] * 2 > sum(strong.values()) and best not in ("unknown", "NF"):
                expected.append((row["image_name"], best))
    words = {
        "neutral": "Neutral",
        "happiness": "Happy",
        "surprise": "Surprise",
        "sadness": "Sad",
        "anger": "Anger",
        "disgust": "Disgust",
        "fear": "Fear",
        "contempt": "Contempt",
    }
    assert [(name, EMOTIONS[emotion]) for name, emotion in zip(table.image, table.emotion)] == [
        (name, words[word]) for name, word in expected
    ]
    assert not codes and len(table) + sum(left_out.values()) == 35710
