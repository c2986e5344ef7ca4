"""The chart is a picture with the curves in it."""

import cv2
import pytest

from converters.errors import DataError
from darknet_runner.run import metrics_plot


def test_a_chart_with_and_without_scores(tmp_path):
    rows = [
        {
            "iteration": number,
            "loss": 10 / number,
            "avg_loss": 11 / number,
            "map": number / 100 if number % 10 == 0 else None,
        }
        for number in range(1, 60)
    ]
    metrics_plot.draw(rows, tmp_path / "a.png", "a run")
    metrics_plot.draw([row | {"map": ""} for row in rows], tmp_path / "b.png")
    one, two = cv2.imread(str(tmp_path / "a.png")), cv2.imread(str(tmp_path / "b.png"))
    red = lambda picture: int(((picture[..., 2] > 180) & (picture[..., :2].max(-1) < 90)).sum())
    assert red(one) > 200 > red(two), "the validation's curve is red"
    assert not list(tmp_path.glob("*.part"))


def test_rows_that_are_no_numbers(tmp_path):
    metrics_plot.draw(
        [{"iteration": "1", "loss": "nan", "avg_loss": "-inf"}, {"iteration": "2", "loss": "1.5", "avg_loss": "x"}],
        tmp_path / "c.png",
    )
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


def test_a_classifier_is_drawn_by_epoch(tmp_path):
    """Loss and accuracy of both sides: the picture has the colours of all five lines, and is another than that of
    iterations.
    """
    import cv2
    import numpy as np

    rows = [
        {
            "iteration": str(n),
            "loss": "1",
            "avg_loss": "1",
            "rate": "0.1",
            "epoch": str(n / 2) if n % 2 == 0 else "",
            "train_loss": str(2 / n),
            "train_top1": str(1 - 1 / n),
            "valid_loss": "1.5",
            "top1": str(0.9 - 1 / n),
            "macro_f1": "0.4",
        }
        for n in range(1, 21)
    ]
    metrics_plot.draw(rows, tmp_path / "epochs.png", "a run")
    picture = cv2.cvtColor(cv2.imread(str(tmp_path / "epochs.png")), cv2.COLOR_BGR2RGB).reshape(-1, 3)
    for colour in ((31, 119, 180), (214, 39, 40), (44, 160, 44), (77, 77, 77)):
        assert (np.abs(picture.astype(int) - colour).max(1) < 3).sum() > 100


@pytest.mark.parametrize("epochs", [2, 3, 60])
def test_epochs_are_whole_on_the_axis(epochs):
    """Also where an epoch ends between two batches, and a rate that falls by tenths has a tick at each."""
    rows = [
        {"epoch": n + 0.003, "train_loss": 2 / n, "train_top1": 0.3, "rate": 0.1 ** (1 + n // 2)}
        for n in range(1, epochs + 1)
    ]
    figure = metrics_plot._by_epoch(rows, "a run")
    figure.draw_without_rendering()
    for axes in figure.axes:
        labels = [label.get_text() for label in axes.get_xticklabels()]
        assert labels and all(label.lstrip("\N{MINUS SIGN}").isdigit() for label in labels), labels
    if epochs == 3:
        assert {"0.01", "0.1"} <= {label.get_text() for label in figure.axes[2].get_yticklabels()}
