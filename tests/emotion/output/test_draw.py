import numpy as np
import pytest

from converters.emotions import EMOTIONS
from converters.terminal_text import drawable
from emotion.output.draw import colour_of, draw
from emotion.systems.detections import Detections


def detections(*xyxy):
    count = len(xyxy)
    scores = np.zeros((count, 8), np.float32)
    scores[np.arange(count), np.arange(count) % 8] = 0.9
    return Detections(np.array(xyxy, np.float32).reshape(-1, 4), scores, np.full(count, 0.9, np.float32))


def test_the_frame_itself_stays_as_it_is():
    frame = np.zeros((100, 100, 3), np.uint8)
    out = draw(frame, detections((20, 30, 60, 80)), EMOTIONS)
    assert not frame.any() and out.any()
    assert (out[55, 20] == colour_of("Neutral")).all() and not out[
        50:60, 30:50
    ].any()  # the outline, and nothing on the face


def test_nothing_found_changes_nothing():
    frame = np.random.default_rng(0).integers(0, 256, (9, 9, 3), np.uint8)
    assert np.array_equal(draw(frame, Detections.empty(8), EMOTIONS), frame)


@pytest.mark.parametrize("box", [(0, 0, 100, 100), (-5, -5, 20, 20), (90, 90, 100, 100), (0, 0, 1, 1), (40, 0, 60, 5)])
@pytest.mark.parametrize("size", [(100, 100), (3, 3), (1, 200)])
def test_boxes_anywhere_can_be_drawn(box, size):
    out = draw(np.zeros((*size, 3), np.uint8), detections(box), EMOTIONS)
    assert out.shape == (*size, 3)


def test_emotions_have_colours_of_their_own():
    assert len({colour_of(name) for name in EMOTIONS}) == 8 and colour_of("Boredom", 3) in {
        colour_of(name) for name in EMOTIONS
    }


@pytest.mark.parametrize("name", ["fr\udcf6hlich", "fröhlich", "a\0b\n\x1b[31m", "\U0001f600", ""])
def test_a_name_of_any_characters_is_drawn(name):
    """A lone surrogate, of a names file that is not UTF-8, ended the whole process in OpenCV."""
    found = Detections(np.float32([[10, 20, 60, 70]]), np.float32([[0.7, 0.3]]), np.float32([1])).doubted(0.9)
    drawn = draw(np.zeros((100, 200, 3), np.uint8), found, (name, name), bars=True)
    assert drawn.any() and drawable("fröhlich") == "frohlich" and drawable("fr\udcf6h\n") == "fr?h?"
