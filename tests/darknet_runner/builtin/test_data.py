"""Pictures as they are read for training, and the cache that worker processes share."""

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from converters.errors import DataError
from darknet_runner.builtin.data import Cache, Loader, order, read_picture


@pytest.fixture
def pictures(tmp_path):
    paths = []
    for index in range(4):
        path = tmp_path / f"{index}.png"
        Image.fromarray(np.random.default_rng(index).integers(0, 256, (10 + index, 20, 3), np.uint8)).save(path)
        paths.append(path)
    return paths


def test_pixels_are_pillows_rgb_and_grey(pictures):
    assert np.array_equal(read_picture(pictures[0], 3), np.asarray(Image.open(pictures[0])))
    grey = read_picture(pictures[0], 1)
    assert (
        grey.shape == (10, 20, 1)
        and np.abs(grey[..., 0].astype(int) - np.asarray(Image.open(pictures[0]).convert("L"))).max() <= 1
    )


def test_exif_turns_nothing_because_labels_are_in_stored_pixels(tmp_path):
    picture = Image.new("RGB", (30, 20), "red")
    exif = picture.getexif()
    exif[0x0112] = 6
    picture.save(tmp_path / "turned.jpg", exif=exif)
    assert read_picture(tmp_path / "turned.jpg", 3).shape == (20, 30, 3)


def test_cache_gives_what_is_read_and_keeps_to_its_limit(pictures):
    bytes_of_two = (10 + 11) * 20 * 3
    cache = Cache(pictures, 3, limit=bytes_of_two)
    for _ in range(2):
        for index, path in enumerate(pictures):
            assert np.array_equal(cache[index], read_picture(path, 3))
    assert cache.shapes.tolist() == [[10, 20], [11, 20], [0, 0], [0, 0]]
    pictures[0].unlink()
    assert cache[0].shape == (10, 20, 3)  # from memory
    with pytest.raises(DataError):
        pictures[3].write_bytes(b"")
        cache[3]


def test_every_picture_once_an_epoch_in_another_order_each():
    first, second = order(50, 3, 0).copy(), order(50, 3, 1).copy()
    assert sorted(first) == sorted(second) == list(range(50))
    assert not np.array_equal(first, second) and np.array_equal(first, order(50, 3, 0))


def test_workers_end_without_a_word_when_the_trainer_is_gone(capfd):
    """With unread messages in their pipes, as after Ctrl-C: that end says «connection reset», not «end of file»."""
    data = SimpleNamespace(channels=3, sample=lambda number, seed, size_wh, out: np.zeros((0, 5)))
    loader = Loader(data, lambda m: (m, 1, (8, 8)), 0, 1000, 1, seed=0, workers=2, largest=(1, 8, 8))
    next(iter(loader))
    for link in loader.links:
        assert link.poll(10)  # what it has made lies there
    processes = list(loader.processes)
    for link in reversed(loader.links):  # the later worker was forked with the earlier one's link
        link.close()
    for process in reversed(processes):
        process.join(10)
    assert [process.exitcode for process in processes] == [0, 0] and capfd.readouterr().err == ""
    loader.close()
