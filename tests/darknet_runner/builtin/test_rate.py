"""Learning rates worked out by hand from src/network.c, get_current_rate."""

import pytest

from converters.errors import CfgError
from darknet_runner.builtin.rate import rate
from darknet_runner.network.cfg_file import parse


@pytest.mark.parametrize(
    ("options", "batch", "expected"),
    [
        ("policy=constant", 500, 0.01),
        ("policy=constant\nburn_in=100", 50, 0.01 * 0.5**4),  # power is 4 unless the cfg says otherwise
        ("policy=constant\nburn_in=100\npower=1", 50, 0.005),
        ("policy=steps\nsteps=10,20\nscales=.1,.5", 9, 0.01),
        ("policy=steps\nsteps=10,20\nscales=.1,.5", 10, 0.001),
        ("policy=steps\nsteps=10,20\nscales=.1,.5", 20, 0.0005),
        ("policy=poly\nmax_batches=100\npower=2", 50, 0.0025),
        ("policy=poly\nmax_batches=100\npower=2", 100, 0),
        ("policy=step\nstep=10\nscale=.5", 25, 0.0025),
        ("policy=exp\ngamma=.9", 2, 0.0081),
        ("policy=sig\ngamma=.1\nstep=50", 50, 0.005),
        ("policy=sgdr\nmax_batches=100\nlearning_rate_min=0", 50, 0.005),
        ("policy=sgdr\nmax_batches=100\nlearning_rate_min=0.002", 100, 0.002),
        # cycles of 10, 20, 40 batches: 20 is the middle of the second
        ("policy=sgdr\nmax_batches=100\nsgdr_cycle=10\nlearning_rate_min=0", 20, 0.005),
    ],
)
def test_policies(options, batch, expected):
    assert rate(parse(f"[net]\nlearning_rate=0.01\n{options}").net, batch) == pytest.approx(expected, abs=1e-12)


def test_unknown_policy_is_named_with_its_line():
    with pytest.raises(CfgError, match="policy = stepz is not known.*known: .*steps") as error:
        rate(parse("[net]\npolicy=stepz", "a.cfg").net, 1)
    assert error.value.line == 2
