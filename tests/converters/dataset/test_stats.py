"""dataset_stats and contact_sheet: figures worked out by hand; plots and sheets that show what they should."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from converters.darknet_format.dataset import load
from converters.dataset import stats
from converters.dataset.contact_sheet import COLOURS, contact_sheet, write_png
from converters.errors import DataError, UsageError


@pytest.fixture
def one(loaded, noise, tmp_path):
    made = loaded(
        "one",
        {
            "train": {
                "a.jpg": "1 0.5 0.5 0.25 0.5\n1 0.2 0.2 0.125 0.125\n",
                "b.jpg": "",
                "c.jpg": "6 0.5 0.5 1 1\n",
                "bad.jpg": "9 0 0 1 1\n",
            },
            "valid": {"d.jpg": "0 0.25 0.75 0.5 0.5\n"},
        },
    )
    cv2.imwrite(made.images["valid"][0], noise(9, (200, 100)))
    with open(made.data.list_of("train"), "a") as file:
        file.write(made.images["train"][0] + "\n")  # a repeat
    return load(made.data.path)


def test_figures_by_hand(one):
    report = stats.summary(one, stats.measure(one))
    train, valid = report["splits"]["train"], report["splits"]["valid"]
    assert (train["listed"], train["pictures"], train["unusable"], train["without_faces"], train["faces"]) == (
        5,
        3,
        1,
        1,
        3,
    )
    assert train["by_class"]["Happy"] == 2 and train["by_class"]["Anger"] == 1 and sum(train["by_class"].values()) == 3
    assert train["faces_per_picture"] == {"min": 0, "median": 1, "max": 2}
    # 64x48 pictures: 16x24 -> 19.5959, 8x6 -> 6.9282, 64x48 -> 55.4256
    assert train["face_px"] == {"min": 6.9282, "median": 19.5959, "max": 55.4256}
    assert valid["width_px"]["max"] == 200 and valid["face_px"]["median"] == pytest.approx((100 * 50) ** 0.5, abs=1e-4)
    text = stats.text(report)
    rows = {line.split("  ")[0].strip(): line.split() for line in text.splitlines()}
    assert (
        rows["pictures"] == ["pictures", "3", "1"]
        and rows["unusable"][1:] == ["1", "0"]
        and rows["lines in the list"][-2:] == ["5", "1"]
    )
    assert "Happy" in text and "66.7%" in text


def test_plots(one, tmp_path):
    measured = stats.measure(one)
    paths = stats.plot(one, measured, tmp_path / "plots")
    assert [path.name for path in paths] == ["classes.png", "pictures.png", "faces.png"]
    for path in paths:
        picture = cv2.imread(str(path))
        assert picture.shape[0] > 300 and len(np.unique(picture.reshape(-1, 3), axis=0)) > 10
    before = [path.read_bytes() for path in paths]
    assert [path.read_bytes() for path in stats.plot(one, measured, tmp_path / "plots")] == before
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="is not a folder"):
        stats.plot(one, measured, tmp_path / "file")


@pytest.mark.filterwarnings("error")
def test_an_empty_set_is_plotted_without_a_word(loaded, tmp_path):
    made = loaded("one", {"train": {"a.jpg": ""}})
    made.data.list_of("train").write_text("")
    one = load(made.data.path)
    assert len(stats.plot(one, stats.measure(one), tmp_path / "plots")) == 3


def test_an_empty_split_is_no_fault(loaded, tmp_path):
    one = loaded("one", {"train": {"a.jpg": "1 0.5 0.5 0.25 0.5\n"}, "valid": {}})
    measured = stats.measure(one)
    report = stats.summary(one, measured)
    assert report["splits"]["valid"]["face_px"] is None
    assert stats.text(report) and stats.plot(one, measured, tmp_path / "plots")


def test_the_sheet_shows_the_pictures_with_their_boxes(one, tmp_path):
    sheet, shown = contact_sheet(
        one,
        count=4,
        columns=2,
        tile=100,
        images=[one.images["valid"][0], one.images["train"][2], one.images["train"][3]],
    )
    assert sheet.shape == (2 * 104 + 4, 2 * 104 + 4, 3) and len(shown) == 3
    # The first tile: 200x100 shrunk to 100x50, set at y = 25; the box is its lower left quarter, Neutral, white.
    tile = sheet[4:104, 4:104]
    assert (tile[:24] == 16).all() and (tile[77:] == 16).all()
    box = (tile == COLOURS[0]).all(-1)
    assert (
        box[50, 5:45].all()
        and box[74, 5:45].all()
        and box[51:74, 0].all()
        and box[51:74, 49].all()
        and not box[30:48, 60:].any()
    )
    blue, _, red = np.moveaxis(sheet[108:208, 4:104].astype(int), -1, 0)
    assert (red - blue > 80).sum() > 20  # the third tile says in red what is wrong
    assert len(contact_sheet(one, count=50)[1]) == 5
    assert contact_sheet(one, only="Happy")[1] == [one.images["train"][0]]
    assert contact_sheet(one, split="valid")[1] == one.images["valid"]
    assert contact_sheet(one, count=2, seed=1)[1] == contact_sheet(one, count=2, seed=1)[1]
    write_png(sheet, tmp_path / "new" / "sheet.png")
    assert np.array_equal(cv2.imread(str(tmp_path / "new" / "sheet.png")), sheet)


def test_what_a_sheet_cannot_show(one, tmp_path):
    for wrong, said in (({"split": "tset"}, "no split"), ({"only": "Hapy"}, "did you mean 'Happy'")):
        with pytest.raises(UsageError, match=said):
            contact_sheet(one, **wrong)
    with pytest.raises(DataError, match="no picture to show"):
        contact_sheet(one, only="Fear")
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        write_png(np.zeros((4, 4, 3), np.uint8), tmp_path / "file" / "sheet.png")
