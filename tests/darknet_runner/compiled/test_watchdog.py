"""What the watchdog takes for trouble, and what not."""

import math

import pytest

from darknet_runner.compiled.logs import Row
from darknet_runner.compiled.watchdog import BAD_ROWS, Watchdog


@pytest.mark.parametrize(
    "line, code",
    [
        (" CUDA Error: out of memory", "out-of-memory"),
        ("CUDA Error: unspecified launch failure", "lost-gpu"),
        ("CUDA status Error: no CUDA-capable device is detected", "lost-gpu"),
        ("Too many or too few labels: 2, feed/train/0000001.jpg", "labels"),
        (" Wrong annotation: class_id = 9. But class_id should be [from 0 to 6], file: x.txt", "bad-label"),
        ('Cannot load image "feed/train/0000001.jpg"', "bad-file"),
        ("Couldn't open file: feed/train/0000001.txt", "bad-file"),
        ("fwrite: No space left on device", "disk-full"),
        ("Region 16 Avg IOU: -nan, Class: -nan, Obj: -nan, No Obj: 0.5, .5R: -nan, .75R: -nan,  count: 0", None),
        ("Loaded: 0.020029 seconds", None),
    ],
)
def test_lines(tmp_path, line, code):
    found = Watchdog(tmp_path).line(line)
    assert (found.code if found else None) == code
    assert found is None or (line.strip() in found.what and found.mend)


def test_losses(tmp_path):
    watchdog = Watchdog(tmp_path)
    assert watchdog.row(Row(1, 5000.0, 5000.0)) is None
    for number in range(1, BAD_ROWS):
        assert watchdog.row(Row(number, math.nan, math.nan)) is None
    assert watchdog.row(Row(9, 1.0, 1.0)) is None, "the average restarts after an unlucky batch"
    for number in range(10, 9 + BAD_ROWS):
        assert watchdog.row(Row(number, math.nan, math.nan)) is None
    found = watchdog.row(Row(9 + BAD_ROWS, math.nan, math.nan))
    assert found.code == "nan" and "since iteration 10" in found.what
    assert Watchdog(tmp_path).row(Row(3, 2e7, 10.0)).code == "exploded"


def test_a_loss_explodes_by_the_first_one(tmp_path):
    """A classifier begins near 2, so 2,000 is a runaway. A detector that began with 5,000 may come back from there."""
    small, large = Watchdog(tmp_path), Watchdog(tmp_path)
    assert small.row(Row(1, 2.0, 2.0)) is None and large.row(Row(1, 5000.0, 5000.0)) is None
    assert small.row(Row(2, 1900.0, 100.0)) is None and large.row(Row(2, 2100.0, 5000.0)) is None
    assert small.row(Row(3, 2100.0, 100.0)).code == "exploded"
    assert large.row(Row(3, 6e6, 5000.0)).code == "exploded"


def test_bad_lists_that_grow(tmp_path):
    (tmp_path / "bad.list").write_text("an old one\n")
    watchdog = Watchdog(tmp_path, min_free=0)
    assert watchdog.tick() is None
    (tmp_path / "bad_label.list").write_text('feed/train/0000001.txt "Wrong annotation"\n')
    assert "Wrong annotation" in watchdog.lists().what
    watchdog._looked = 0.0
    assert watchdog.tick() is None, "the line that says everything is saved may wait to be read"
    watchdog._looked = 0.0
    assert "Wrong annotation" in watchdog.tick().what


def test_a_full_disk_and_silence(tmp_path):
    found = Watchdog(tmp_path, min_free=1 << 60).tick()
    assert found.code == "disk-full" and "MB are free" in found.what
    watchdog = Watchdog(tmp_path, silence_s=-1, min_free=0)
    assert watchdog.tick().code == "silent"
