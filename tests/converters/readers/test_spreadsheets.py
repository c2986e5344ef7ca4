"""Lists as a spreadsheet saves them: semicolons, tabs, decimal commas, UTF-16 give the same rows as the list itself."""

import csv
import io

import cv2
import numpy as np
import pytest

from converters import readers
from converters.table.records import Notes


def read(kind, path, **options):
    notes = Notes()
    return readers.read(kind, path, notes, **options), notes


FORMS = [
    (";", "utf-8-sig", ""),
    ("\t", "utf-16", ""),
    (",", "utf-16-le", ""),
    (";", "cp1252", "sep=;\r\n"),
    ("\t", "utf-8", "\r\n"),
]


def saved(path, separator, encoding, before, comma=False):
    """Save a comma-separated file anew as a spreadsheet does."""
    rows = list(csv.reader(io.StringIO(path.read_text())))
    out = io.StringIO()
    writer = csv.writer(out, delimiter=separator, lineterminator="\r\n")
    writer.writerows(
        [
            [
                value.replace(".", ",") if comma and index > 0 and value.replace(".", "").isdigit() else value
                for index, value in enumerate(row)
            ]
            for row in rows
        ]
    )
    path.write_bytes((before + out.getvalue()).encode(encoding))


@pytest.mark.parametrize("separator, encoding, before", FORMS)
@pytest.mark.parametrize("header", [True, False])
def test_affectnet(affectnet, separator, encoding, before, header):
    rows = [
        ("1/a.jpg", 10, 20, 50, 60, 1),
        ("1/b.jpg", 0, 0, 9, 9, 7),
        ("1\\c.jpg", 1.5, 2.25, 9, 9, 3.0),
        ("1/d.jpg", "NULL", 2, 9, 9, 3),
        ("1/e.jpg", 1, 2, 9, 9, 10),
    ]
    root = affectnet("affectnet", {"training.csv": rows}, {"1/c.jpg": (120, 100)}, header=header)
    expected, said = read("affectnet", root, landmarks=True)
    saved(root / "training.csv", separator, encoding, before, comma=separator != ",")
    table, notes = read("affectnet", root, landmarks=True)
    assert len(table) == 3 and table.image == expected.image and table.emotion.tolist() == expected.emotion.tolist()
    np.testing.assert_array_equal(table.xyxy, expected.xyxy)
    assert [points.tolist() for points in table.landmarks] == [points.tolist() for points in expected.landmarks]
    assert [finding.code for finding in notes.findings] == [
        finding.code for finding in said.findings
    ] and notes.left_out == said.left_out


@pytest.mark.parametrize("separator, encoding, before", FORMS)
def test_fer2013(fer2013_csv, separator, encoding, before):
    path = fer2013_csv(5)
    expected, _ = read("fer2013", path)
    saved(path, separator, encoding, before)
    table, notes = read("fer2013", path)
    assert (
        not notes.findings
        and table.emotion.tolist() == expected.emotion.tolist()
        and table.split.tolist() == expected.split.tolist()
    )
    np.testing.assert_array_equal(np.stack(table.pixels), np.stack(expected.pixels))


def test_line_ends_of_an_old_mac(affectnet):
    root = affectnet("affectnet", {"training.csv": [("1/a.jpg", 10, 20, 50, 60, 1), ("1/b.jpg", 0, 0, 9, 9, 6)]})
    expected, _ = read("affectnet", root)
    path = root / "training.csv"
    path.write_bytes(path.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r"))
    table, notes = read("affectnet", root)
    assert table.image == expected.image and table.emotion.tolist() == expected.emotion.tolist() and not notes.findings


@pytest.mark.parametrize("separator", [" ", "\t", ";", ",", "|"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_lists_that_are_parted_by_spaces(separator, encoding, tmp_path):
    for folder, name, line in (
        ("rafdb", "list_patition_label.txt", ["train_00001.jpg", "5"]),
        ("expw", "label.lst", ["a b.jpg", "0", "1", "2", "30", "40", "9.5", "6"]),
    ):
        image = tmp_path / folder / {"rafdb": "aligned/train_00001_aligned.jpg", "expw": "image/origin/a b.jpg"}[folder]
        image.parent.mkdir(parents=True)
        cv2.imwrite(str(image), np.zeros((50, 50, 3), np.uint8))
        (tmp_path / folder / name).write_bytes(separator.join(line).encode(encoding))
        table, notes = read(folder, tmp_path / folder)
        assert (len(table), notes.findings) == (1, []), folder
        assert table.record(0).image.name == image.name


def test_the_cases(shared):
    if not (shared / "cases").is_dir():
        pytest.skip("needs ../shared/cases")
    for name in ("aff_semi", "aff_utf16"):
        table, notes = read("affectnet", shared / "cases" / "csv-separators" / name, landmarks=True)
        assert len(table) >= 5 and not notes.findings and all(points.shape == (68, 2) for points in table.landmarks)
    table, notes = read("fer2013", shared / "cases" / "csv-separators" / "fer_semi.csv")
    assert len(table) and not notes.findings


def test_a_face_whose_row_is_bad_spoils_its_picture(affectnet, tmp_path):
    from converters.convert import Settings, convert

    rows = [
        ("1/a.jpg", 10, 20, 30, 30, 1),
        ("1/a.jpg", 60, 20, "x", 30, 2),
        ("1/b.jpg", 10, 20, 30, 30, 1),
        ("1/b.jpg", 60, 20, 30, 30, 9),
        ("1/c.jpg", 10, 20, 30, 30, 1),
    ]
    root = affectnet("affectnet", {"training.csv": rows})
    assert convert([("affectnet", str(root))], tmp_path / "out", Settings(), jobs=1)["splits"]["train"]["pictures"] == 1
    assert (
        convert([("affectnet", str(root))], tmp_path / "crops", Settings(task="crops"), jobs=1)["splits"]["train"][
            "faces"
        ]
        == 3
    )
