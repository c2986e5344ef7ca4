"""[dropout] while training: the share it drops, what the rest becomes, in any layout, the same for the same seed."""

import pytest

torch = pytest.importorskip("torch", reason="the built-in engine is PyTorch")

from darknet_runner.builtin.modules import BUILDERS
from darknet_runner.network import cfg_file
from darknet_runner.network.layers import trace


def dropout(probability):
    cfg = cfg_file.parse(f"[net]\nwidth=8\nheight=8\nchannels=3\n[dropout]\nprobability={probability}\n")
    return BUILDERS["dropout"](trace(cfg)[0])


@pytest.mark.parametrize("probability", [0.1, 0.25, 0.5, 0.9])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_share_that_it_drops(probability, layout):
    torch.manual_seed(3)
    x = torch.rand(64, 13, 17, 19).add(1).contiguous(memory_format=layout).requires_grad_()
    out = dropout(probability).train()(x, [])
    dropped = out == 0
    assert out.is_contiguous(memory_format=layout)
    assert dropped.float().mean().item() == pytest.approx(probability, abs=0.005)
    assert dropped.float().mean((0, 2, 3)).numpy() == pytest.approx([probability] * 13, abs=0.02)
    torch.testing.assert_close(out[~dropped], x[~dropped] / (1 - probability))
    out.sum().backward()
    torch.testing.assert_close(x.grad, torch.where(dropped, 0.0, 1 / (1 - probability)))


def test_neighbours_are_drawn_apart():
    torch.manual_seed(1)
    kept = (dropout(0.5).train()(torch.ones(1, 1, 512, 512), []) > 0).float().flatten()
    for step in (1, 2, 3, 4, 8):
        assert (kept[step:] * kept[:-step]).mean().item() == pytest.approx(0.25, abs=0.01)


def test_the_seed_decides_and_evaluation_drops_nothing():
    module, x = dropout(0.5), torch.rand(2, 3, 5, 7)
    torch.manual_seed(5)
    first, second = module.train()(x, []), module(x, [])
    torch.manual_seed(5)
    assert torch.equal(first, module(x, [])) and not torch.equal(first, second)
    assert torch.equal(module.eval()(x, []), x)
