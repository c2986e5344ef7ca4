"""What does not learn stays to the bit: each option of AlexeyAB's on single layers, and freeze_until."""

import numpy as np
import pytest
import torch

from converters.errors import CfgError, RunError
from darknet_runner.builtin.engine import BuiltinEngine
from darknet_runner.builtin.freezing import layer_named, rules
from darknet_runner.builtin.network import Network
from darknet_runner.builtin.train import Trainer
from darknet_runner.network import cfg_file, weights_file
from darknet_runner.reporting import TerminalReporter

torch.set_num_threads(1)
RATE, DECAY, MOMENTUM = 0.005, 0.0005, 0.9  # of tiny_text
STATISTICS = ("mean", "variance")


def with_options(text, options):
    """The cfg with `{layer: {key: value}}` set; -1 is [net]."""
    return cfg_file.parse(text).edit({layer + 1: values for layer, values in options.items()}).text


@pytest.fixture
def trained(tiny_text, squares, make_job, tmp_path):
    """trained({layer: options}, batches) -> per layer {block: array}, before and after; the same start always."""

    def run(options, batches=4, **fields):
        text = tiny_text(batches=batches)
        start = tmp_path / "start.weights"
        if not start.exists():
            torch.manual_seed(11)
            network = Network(cfg_file.parse(text))
            arrays = network.arrays()
            for layer in arrays:
                if "variance" in layer:
                    layer["variance"] = np.ones_like(layer["variance"])
            weights_file.write(network.cfg, start, arrays, 0)
        job = make_job(with_options(text, options), squares, evaluate=False, pretrained=start, **fields)
        BuiltinEngine().train(job)
        cfg = cfg_file.load(job.cfg)
        return weights_file.read(cfg, start).layers, weights_file.read(cfg, job.run.weights_file("final")).layers

    return run


def moved(before, after):
    """Per layer the blocks that are not the same to the bit."""
    return [{name for name in old if not np.array_equal(old[name], new[name])} for old, new in zip(before, after)]


ALL = {"biases", "scales", "mean", "variance", "weights"}
HEAD = {"biases", "weights"}  # layer 4 has no batch norm


def test_everything_moves_without_an_option(trained):
    assert moved(*trained({})) == [ALL, ALL, ALL, ALL, HEAD, set()]


def decayed(array, updates):
    """Weights after `updates` of Darknet's SGD without a gradient: buffer = momentum buffer + decay w; w -= rate
    buffer.
    """
    array, buffer = array.astype(np.float64), 0.0
    for _ in range(updates):
        buffer = MOMENTUM * buffer + DECAY * array
        array = array - RATE * buffer
    return array


def test_stopbackward_freezes_what_is_before_it(trained):
    """Statistics too; the layer itself gets no gradient, and decays: backward_network_gpu ends before it."""
    before, after = trained({2: {"stopbackward": 1}}, batches=5)
    assert moved(before, after) == [set(), set(), {"mean", "variance", "weights"}, ALL, HEAD, set()]
    np.testing.assert_allclose(after[2]["weights"], decayed(before[2]["weights"], 5), rtol=1e-6)
    assert moved(*trained({1: {"stopbackward": 1}, 3: {"stopbackward": 1}}))[:3] == [set()] * 3  # the last one counts
    assert moved(*trained({2: {"stopbackward": 0}}))[0] == ALL


def test_stopbackward_for_the_first_batches(trained):
    """Until batch N nothing comes to the layer or below, then gradients do; statistics go on throughout."""
    before, after = trained({1: {"stopbackward": 4}}, batches=4)
    assert moved(before, after)[:3] == [{"mean", "variance", "weights"}] * 2 + [ALL]
    np.testing.assert_allclose(after[0]["weights"], decayed(before[0]["weights"], 4), rtol=1e-6)
    assert moved(*trained({1: {"stopbackward": 4}}, batches=5))[:2] == [ALL, ALL]


def test_only_forward_gives_no_gradient_to_the_layer_or_through_it(trained):
    before, after = trained({2: {"onlyforward": 1}})
    assert moved(before, after)[:4] == [{"mean", "variance", "weights"}] * 3 + [ALL]
    np.testing.assert_allclose(after[1]["weights"], decayed(before[1]["weights"], 4), rtol=1e-6)
    assert moved(*trained({5: {"onlyforward": 1}}))[4] == {"weights"}  # a head without a loss


def test_updates_that_begin_later(trained):
    assert moved(*trained({1: {"dont_update": 4}}))[:3] == [ALL, set(STATISTICS), ALL]
    assert moved(*trained({1: {"dont_update": 3}}))[1] == ALL
    assert moved(*trained({-1: {"burn_in": 3}, 1: {"burnin_update": 2}}, batches=5))[1] == set(STATISTICS)
    assert moved(*trained({-1: {"burn_in": 3}, 1: {"burnin_update": 2}}, batches=6))[1] == ALL


def test_only_statistics(trained):
    assert moved(*trained({2: {"train_only_bn": 1}}))[:4] == [set(STATISTICS)] * 3 + [ALL]


def test_a_layers_own_rate(trained):
    assert moved(*trained({1: {"learning_rate": 0}}))[:3] == [ALL, set(STATISTICS), ALL]
    before, whole = trained({}, batches=1)
    _, half = trained({1: {"learning_rate": 0.5}}, batches=1)
    for block in ("weights", "scales", "biases"):
        np.testing.assert_allclose(
            half[1][block] - before[1][block], (whole[1][block] - before[1][block]) / 2, atol=2e-7
        )
    assert np.array_equal(half[0]["weights"], whole[0]["weights"])


def test_a_layers_clip(trained):
    before, after = trained({1: {"clip": 0.05}})
    assert np.abs(before[1]["weights"]).max() > 0.05 == pytest.approx(np.abs(after[1]["weights"]).max())
    assert np.abs(after[0]["weights"]).max() > 0.05


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_freeze_until(trained, optimizer):
    """The layers before the named one stay, it and the rest learn; averaged weights and several batches change
    nothing in that.
    """
    fields = {"optimizer": optimizer, "ema": 0.9, "clip": 1.0}
    for name in (3, "3", "-3"):
        assert moved(*trained({}, freeze_until=name, **fields)) == [set()] * 3 + [ALL, HEAD, set()]


def test_frozen_layers_normalise_with_their_statistics(tiny_text, squares, make_job):
    """What the layers above see is what they will see in inference."""
    trainer = Trainer(make_job(tiny_text(), squares, freeze_until="3"))
    network, x = trainer.network.train(), torch.rand(2, 3, 64, 64)
    for layer in network.stack[:3]:
        layer.norm.running_var.fill_(0.3)
    seen = []
    network.stack[3].register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].clone()))
    network(x)
    network.eval()(x)
    assert torch.equal(*seen) and not seen[0].requires_grad


def test_names_of_layers(tiny_text):
    cfg = cfg_file.parse(tiny_text())
    assert [layer_named(cfg, name) for name in (0, "2", -1, "-6", "yolo", "[yolo]", "convolutional")] == [
        0,
        2,
        5,
        0,
        5,
        5,
        0,
    ]
    for wrong in ("6", -7, "yole", "", "1.5"):
        with pytest.raises(CfgError, match="has no layer"):
            layer_named(cfg, wrong)
    assert not any(rule.frozen for rule in rules(cfg, 0)) and sum(rule.frozen for rule in rules(cfg, "yolo")) == 5


def test_nothing_left_to_learn_is_said(tiny_text, squares, make_job):
    with pytest.raises(RunError, match="nothing is left to learn"):
        Trainer(make_job(tiny_text(), squares, freeze_until="yolo"))


def test_resuming_a_frozen_run_is_exact(tiny_text, squares, make_job):
    text = with_options(tiny_text(batches=6), {1: {"learning_rate": 0.3}, 2: {"dont_update": 2}})
    straight = make_job(text, squares, evaluate=False, freeze_until="1")
    BuiltinEngine().train(straight)
    cut = make_job(text, squares, evaluate=False, freeze_until="1")
    trainer, step = Trainer(cut), Trainer.step

    def interrupted(iterator):
        if trainer.progress.iteration == 2:
            trainer.stop = 2
        return step(trainer, iterator)

    trainer.step = interrupted
    assert trainer.train().iterations == 3
    BuiltinEngine().train(make_job(text, squares, run=cut.run, resume=True, evaluate=False, freeze_until="1"))
    assert cut.run.weights_file("final").read_bytes() == straight.run.weights_file("final").read_bytes()


def test_what_is_frozen_at_random_is_told(tiny_text, squares, make_job, tmp_path, capsys):
    cfg = cfg_file.parse(tiny_text())
    whole, part = tmp_path / "whole.weights", tmp_path / "part.conv"
    arrays = Network(cfg).arrays()
    weights_file.write(cfg, whole, arrays, 0)
    weights_file.write(cfg, part, arrays, 0, layers=2)
    for pretrained, told in (
        (whole, "layers 0 to 2 are frozen\n"),
        (part, "frozen, those from 2 on at their random start\n"),
        (None, "frozen at their random start, "),
    ):
        Trainer(make_job(tiny_text(), squares, pretrained=pretrained, freeze_until="3", reporter=TerminalReporter()))
        assert told in capsys.readouterr().err
