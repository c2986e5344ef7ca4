"""TensorBoard events, read back by TensorBoard's own reader."""

from importlib.util import find_spec

import pytest

from converters.errors import MissingExtra
from darknet_runner.run import tensorboard
from darknet_runner.run.folder import RunDir


def test_events(tmp_path):
    (tmp_path / "metrics.csv").write_text("iteration,loss,map,rate\n1,2.5,,nan\n2,1.5,0.25,0.001\n")
    if find_spec("tensorboard") is None:
        with pytest.raises(MissingExtra, match=r"--tensorboard needs tensorboard"):
            tensorboard.from_metrics(RunDir(tmp_path))
        return
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(tensorboard.from_metrics(RunDir(tmp_path))))
    found.Reload()
    assert [(event.step, event.value) for event in found.Scalars("loss")] == [(1, 2.5), (2, 1.5)]
    assert [(event.step, event.value) for event in found.Scalars("map")] == [(2, 0.25)]
    assert sorted(found.Tags()["scalars"]) == ["loss", "map", "rate"]
