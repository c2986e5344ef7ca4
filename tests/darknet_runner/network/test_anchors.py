"""Anchors: clusters that are known, the figure by hand, and the same answer every time."""

import numpy as np
import pytest

from converters.darknet_format import files as darknet_files
from converters.errors import DataError, UsageError
from darknet_runner.network import anchors


def test_iou_of_sizes_by_hand():
    # 10x10 and 10x20: 100 of 200; 10x10 and 20x5: 50 of 150
    np.testing.assert_allclose(
        anchors.iou_wh(np.array([[10, 10.0]]), np.array([[10, 20.0], [20, 5], [10, 10]])), [[0.5, 1 / 3, 1]]
    )


def test_known_clusters_are_found_and_sorted_by_area():
    rng = np.random.default_rng(0)
    centres = np.array([[200, 220], [12, 14], [60, 40], [35, 90.0]])
    sizes = np.concatenate([centre * rng.uniform(0.95, 1.05, (200, 2)) for centre in centres])
    found = anchors.cluster(sizes, 4)
    np.testing.assert_allclose(found.sizes_px, [[12, 14], [60, 40], [35, 90], [200, 220]], atol=2)
    assert found.boxes == 800
    # it says what the anchors that it prints are worth, rounding included
    assert found.mean_iou == anchors.mean_iou(sizes, found.sizes_px) > 0.94


def test_the_same_boxes_and_seed_give_the_same_anchors_and_more_anchors_fit_better():
    sizes = np.random.default_rng(1).lognormal(3, 0.7, (500, 2))
    found = [anchors.cluster(sizes, 6, seed=3) for _ in range(2)]
    np.testing.assert_array_equal(found[0].sizes_px, found[1].sizes_px)
    values = [anchors.cluster(sizes, number).mean_iou for number in (1, 3, 6, 9)]
    assert values == sorted(values)
    assert found[0].line.startswith("anchors = ") and len(found[0].line.split(",")) == 12


def test_as_many_anchors_as_different_sizes_fit_perfectly_and_more_are_refused():
    sizes = np.repeat([[10, 20], [30, 10], [50, 60.0]], 5, axis=0)
    assert anchors.cluster(sizes, 3).mean_iou == 1
    with pytest.raises(UsageError, match="cannot make 4 anchors of 3 different"):
        anchors.cluster(sizes, 4)


def write_set(folder, labels):
    (folder / "emo.names").write_text("a\nb\n")
    for number, label in enumerate(labels):
        (folder / f"{number}.jpg").touch()
        (folder / f"{number}.txt").write_text(label)
    (folder / "train.txt").write_text("".join(f"{number}.jpg\n" for number in range(len(labels))))
    darknet_files.write_data(folder / "emo.data", classes=2, train="train.txt", valid="train.txt", names="emo.names")
    return darknet_files.read_data(folder / "emo.data")


def test_sizes_are_read_from_the_labels_in_network_pixels(tmp_path):
    data = write_set(tmp_path, ["0 .5 .5 .25 .5\n1 .5 .5 .1 .1\n", "", "1 .5 .5 .5 1\n"])
    np.testing.assert_allclose(anchors.label_sizes(data, (320, 160)), [[80, 80], [32, 16], [160, 160]])


def test_a_list_without_boxes_is_refused(tmp_path):
    with pytest.raises(DataError, match="the train list has no boxes"):
        anchors.label_sizes(write_set(tmp_path, ["", ""]), (320, 320))
