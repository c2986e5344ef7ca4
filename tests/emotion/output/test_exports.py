"""Crops lie in a folder for each class, and nowhere else, whatever a class is called."""

import numpy as np
import pytest

from converters.output_folder import part
from emotion.output.exports import Crops, folder_of
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
