"""The chart is a picture with the curves in it."""

import cv2
import pytest

from converters.errors import DataError
from darknet_runner.run import metrics_plot


def test_a_chart_with_and_without_scores(tmp_path):
    rows = [{"iteration": number, "loss": 10 / number, "avg_loss": 11 / number, "map": number / 100 if number % 10 == 0 else None} for number in range(1, 60)]
    metrics_plot.draw(rows, tmp_path / "a.png", "a run")
    metrics_plot.draw([row | {"map": ""} for row in rows], tmp_path / "b.png")
    one, two = cv2.imread(str(tmp_path / "a.png")), cv2.imread(str(tmp_path / "b.png"))
    red = lambda picture: int(((picture[..., 2] > 180) & (picture[..., :2].max(-1) < 90)).sum())
    assert red(one) > 200 > red(two), "the validation's curve is red"
    assert not list(tmp_path.glob("*.part"))


def test_rows_that_are_no_numbers(tmp_path):
    metrics_plot.draw([{"iteration": "1", "loss": "nan", "avg_loss": "-inf"}, {"iteration": "2", "loss": "1.5", "avg_loss": "x"}], tmp_path / "c.png")
    assert cv2.imread(str(tmp_path / "c.png")) is not None
    metrics_plot.draw([], tmp_path / "none.png")
    assert not (tmp_path / "none.png").exists()


def test_read_metrics(tmp_path):
    assert metrics_plot.read_metrics(tmp_path / "none.csv") == []
    (tmp_path / "m.csv").write_text("iteration,loss\n1,2.5\n")
    assert metrics_plot.read_metrics(tmp_path / "m.csv") == [{"iteration": "1", "loss": "2.5"}]
    (tmp_path / "m.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError):
        metrics_plot.read_metrics(tmp_path / "m.csv")
