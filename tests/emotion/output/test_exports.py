"""Crops lie in a folder for each class, and nowhere else, whatever a class is called."""

import numpy as np
import pytest

from converters.output_folder import part, short
from emotion.output.exports import Crops, Labels, folder_of
from emotion.output.sinks import Folder
from emotion.sources.frame import Frame
from emotion.systems.detections import Detections


@pytest.mark.parametrize(
    "name", ["../../x", "/x", "..", ".", "", "a\0b", "a/b", "a\\b", "x" * 400, "ü" * 200, "fr\udcf6h", "a\nb", "c:d"]
)
def test_a_class_of_any_name_is_one_folder(name, tmp_path):
    """A name comes with a model or another tool's results: it must not lead out of the output."""
    out = tmp_path / "a" / "b" / "crops"
    out.parent.mkdir(parents=True)
    sink = Crops(out, (name, "Happy"))
    found = Detections(
        np.float32([[1, 2, 8, 9], [1, 2, 8, 9]]), np.float32([[0.7, 0.3], [0.2, 0.8]]), np.float32([1, 1])
    )
    sink.write(Frame(0, 0.0, np.zeros((10, 10, 3), np.uint8)), found, None)
    files = sorted(path.relative_to(part(out)).parts for path in tmp_path.rglob("*.jpg"))
    assert len(files) == 2 and all(len(parts) == 2 and parts[0] not in ("", ".", "..") for parts in files), files
    assert ("Happy", "frame-000000-1.jpg") in files and folder_of("Very happy") == "Very happy"


NAMES = (
    "a.jpg",
    "a.png",
    "sub/a.jpg",
    "sub-a.jpg",
    "a.png.webp",
    "x" * 251 + ".jpg",
    "x" * 250 + "y.jpg",
    "\udcff" * 251 + ".jpg",
)
LONG = ("x" * 191 + "-", "\udcff" * 191 + "-")


@pytest.mark.parametrize("kind", ["crops", "labels", "pictures"])
def test_every_picture_has_a_file_of_its_own_whose_name_fits(kind, tmp_path):
    """Two pictures of one stem wrote over each other; a name of 255 bytes, as downloads have, ended the run."""
    sink = {"crops": Crops, "labels": Labels, "pictures": lambda path, names: Folder(path)}[kind](
        tmp_path / kind, ("Sad", "Happy")
    )
    for index, name in enumerate(NAMES):
        found = Detections(np.float32([[1, 1, 2 + index, 9]]), np.float32([[0.7, 0.3]]), np.float32([1]))
        picture = np.full((20, 20, 3), 10 * index, np.uint8)
        sink.write(Frame(index, None, picture, name), found, picture)
    folder = part(tmp_path / kind)
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert len(files) == len(NAMES)
    plain = {
        "crops": {f"Sad/{name}-0.jpg" for name in ("a", "a.png", "sub-a", "sub-a.jpg", "a.png.webp")},
        "labels": {f"{name}.txt" for name in ("a", "a.png", "sub/a", "sub-a", "a.png.webp")},
        "pictures": {"a.jpg", "a.png", "sub/a.jpg", "sub-a.jpg", "a.png.webp.png"},
    }[kind]
    assert plain <= files and all(any(begin in name for begin in LONG) for name in files - plain)
    if kind == "labels":
        widths = {name: float((folder / name).read_text().split()[3]) for name in files}
        assert widths["a.txt"] == 1 / 20 and widths["a.png.txt"] == 2 / 20


def test_a_name_that_is_too_long_is_cut_between_letters():
    assert short("a/b.c") == "a/b.c" and short("x" * 200) == "x" * 200
    cut = short("a/" + "ü" * 101)
    assert cut.startswith("a/" + "ü" * 95 + "-") and len(cut.encode()) <= 202 and cut != short("a/" + "ü" * 100 + "ö")
