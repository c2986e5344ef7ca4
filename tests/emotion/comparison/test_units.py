"""Units of resampling: people that meet in pictures are drawn beside the pictures, and the intervals hold the truth."""

import csv

import cv2
import numpy as np
import pytest

from converters.darknet_format.dataset import load
from converters.darknet_format.files import read_data, write_data
from emotion.comparison import bootstrap
from emotion.comparison.bootstrap import Evidence, Ranked
from emotion.comparison.units import Units, units_of

COLUMNS = ("image", "emotion", "x1", "y1", "x2", "y2", "width", "height", "group")


@pytest.fixture
def collages(tmp_path):
    """Three pictures of 100x100: A and B, B and C, nobody; the left face is the first label of each."""
    rows = []
    for index, people in enumerate(("AB", "BC", "")):
        cv2.imwrite(str(tmp_path / f"{index}.png"), np.zeros((100, 100, 3), np.uint8))
        (tmp_path / f"{index}.txt").write_text("".join(f"0 {x} 0.5 0.4 0.4\n" for x in (0.25, 0.75)[: len(people)]))
        for x, person in zip((25, 75), people):
            rows.append((f"{index}.png", "Happy", x - 20, 30, x + 20, 70, 100, 100, person))
        if not people:
            rows.append((f"{index}.png", *[""] * 5, 100, 100, "D"))
    (tmp_path / "list.txt").write_text("0.png\n1.png\n2.png\n")
    (tmp_path / "emo.names").write_text("Happy\n")
    write_data(tmp_path / "emo.data", classes=1, valid="list.txt", names="emo.names")

    def written(rows=rows):
        with open(tmp_path / "manifest.csv", "w", newline="") as file:
            csv.writer(file).writerows([COLUMNS, *rows])
        return units_of(read_data(tmp_path / "emo.data"), "valid")

    return written, rows


def test_faces_of_several_people_are_drawn_as_people_and_as_pictures(collages):
    units = collages[0]()
    assert (units.kind, units.count, units.cells) == ("crossed", 3, 7)
    faces = units.members[units.of_faces(np.array([0, 0, 1, 1]))]
    assert faces.tolist() == [[0, 0], [1, 0], [1, 1], [2, 1]] and units.members[units.pictures].tolist() == [
        [-1, 0],
        [-1, 1],
        [-1, 2],
    ]
    copies, rng = units.draw(np.random.default_rng(7), 40), np.random.default_rng(7)
    people, pictures = (rng.multinomial(3, [1 / 3] * 3, size=40).T for _ in range(2))
    assert (copies[:3] == pictures).all() and (copies[4] == people[1] * pictures[0]).all()


def test_rows_that_are_not_the_labels_join_the_pictures(collages):
    written, rows = collages
    swapped = [rows[1], rows[0], *rows[2:]]  # who is left and who is right is no longer told
    for other in (
        swapped,
        rows[1:],
        [row[:8] + ("",) if row[-1] == "A" else row[:2] + ("x",) + row[3:] for row in rows],
    ):
        units = written(other)
        assert units.kind == "group" and units.faces is None and units.count == 2  # 0 and 1 share B


def test_people_who_meet_in_collages(tmp_path):
    """60 simulated sets: 40 people, each of 60 collages of 5 of them, named correctly as often as the person is easy.
    The intervals of people and pictures hold the true share; those of pictures, to which all people are new, less.
    """
    rng, sets, held = np.random.default_rng(2), 60, {"crossed": 0, "picture": 0}
    for _ in range(sets):
        ease = rng.beta(1.4, 0.6, 40)  # mean 0.7
        people = np.stack([rng.permutation(40)[:5] for _ in range(60)])
        right = (rng.random(people.shape) < ease[people]).ravel().astype(int)
        place = np.repeat(np.arange(60), 5)
        pictures = np.stack([np.full(60, -1), np.arange(60)], 1)
        crossed = Units(
            "crossed",
            np.arange(60),
            np.concatenate([pictures, np.stack([people.ravel(), place], 1)]),
            np.arange(60, 360),
        )
        for units in (crossed, Units.nested("picture", np.arange(60))):
            cells = units.of_faces(place)
            truths, confusion = np.zeros((units.cells, 2), int), np.zeros((units.cells, 2, 2), int)
            np.add.at(truths, (cells, 0), 1)
            np.add.at(confusion, (cells, 0, 1 - right), 1)
            none, zero = Ranked(np.zeros(0, int), np.zeros(0, bool)), np.zeros(units.cells, int)
            evidence = Evidence([none, none], none, truths, confusion, zero, zero, zero)
            told = bootstrap.paired([evidence], units, 200, 0)["accuracy"]["systems"][0]
            held[units.kind] += told["low"] <= 0.7 <= told["high"]
    assert held["crossed"] >= 0.9 * sets and held["picture"] <= held["crossed"] - 6, held


def test_a_link_to_the_set_loses_nobody(collages, tmp_path):
    """Lists name pictures by their absolute paths, the manifest from its own folder: by a link they did not meet."""
    written, _ = collages
    written()
    (tmp_path / "list.txt").write_text("".join(f"{tmp_path}/{index}.png\n" for index in range(3)))
    other = tmp_path.with_name(f"{tmp_path.name}-by-another-name")
    other.symlink_to(tmp_path)
    for folder in (tmp_path, other):
        units = units_of(read_data(folder / "emo.data"), "valid")
        assert (units.kind, units.count, units.cells) == ("crossed", 3, 7), folder
        whole = load(folder / "emo.data")
        assert [whole.groups(image) for image in whole.images["valid"]] == [["A", "B"], ["B", "C"], ["D"]]
        assert {row["image"] for rows in whole.manifest.values() for row in rows} == set(whole.images["valid"])
