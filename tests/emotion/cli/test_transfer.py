"""Transfer, as a user does it: a classifier learns, its first layers are kept, and a new head learns on them."""

import json
from pathlib import Path

import numpy as np
import pytest

from converters.darknet_format.files import write_data
from darknet_runner.network import cfg_file, weights_file
from emotion.cli import main
from emotion.systems import models

torch = pytest.importorskip("torch", reason="the built-in engine needs PyTorch")

BODY = (Path(__file__).parents[2] / "cfg" / "classifier-transfer.cfg").read_text()
OLD = BODY + "[convolutional]\nfilters=3\nsize=1\nactivation=linear\n[softmax]\n"
NEW = BODY + (
    "[dropout]\nprobability=0.1\n"
    "[connected]\n"
    "output=12\n"
    "activation=leaky\n"
    "[connected]\n"
    "output=2\n"
    "activation=linear\n[softmax]\n"
)


def drawn(folder, kinds, count=24):
    """Stripes of `kinds` {name: (rows, columns) a stripe}, with noise; a classifier's set."""
    import cv2

    folder.mkdir()
    rng, paths = np.random.default_rng(len(kinds)), []
    for index in range(count):
        name, (rows, columns) = list(kinds.items())[index % len(kinds)]
        y, x = np.mgrid[:32, :32] + rng.integers(0, 8, 2)[:, None, None]
        wave = (y // rows % 2 if rows else 0) + (x // columns % 2 if columns else 0)
        path = folder / f"{index}-{name}.png"
        cv2.imwrite(
            str(path),
            np.clip(120 * np.broadcast_to(wave, (32, 32)) + rng.normal(60, 15, (32, 32)), 0, 255).astype(np.uint8),
        )
        paths.append(str(path))
    (folder / "train.txt").write_text("\n".join(paths) + "\n")
    (folder / "emo.names").write_text("\n".join(kinds) + "\n")
    write_data(
        folder / "emo.data",
        classes=len(kinds),
        train="train.txt",
        valid="train.txt",
        names="emo.names",
        labels="emo.names",
    )
    return folder / "emo.data"


def emo(capsys, *argv):
    with pytest.raises(SystemExit) as caught:
        main(list(map(str, argv)))
    out, err = capsys.readouterr()
    assert caught.value.code == 0, err
    return out, err


def of(run, tag):
    cfg = cfg_file.load(run / "model.cfg")
    return weights_file.read(cfg, run / "weights" / f"model_{tag}.weights").layers


def test_a_new_head_on_kept_layers(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "old.cfg").write_text(OLD.format(batches=40))
    (tmp_path / "new.cfg").write_text(NEW.format(batches=60))
    first = drawn(tmp_path / "first", {"lying": (4, 0), "standing": (0, 4), "plain": (0, 0)})
    second = drawn(tmp_path / "second", {"crossed": (4, 4), "narrow": (0, 2)})
    machine = ("--engine", "builtin", "--device", "cpu", "--threads", 1, "--workers", 0)
    emo(capsys, "darknet", "train", "--cfg", "old.cfg", "--data", first, "--name", "old", *machine)
    emo(
        capsys,
        "darknet",
        "partial",
        "old.cfg",
        "runs/old-001/weights/model_final.weights",
        "old.conv",
        "--for",
        "new.cfg",
    )
    told = emo(
        capsys,
        "train",
        "new.cfg",
        "--recipe",
        "transfer",
        "--learning-rate",
        0.02,
        "--epochs",
        20,
        "--data",
        second,
        "--pretrained",
        "old.conv",
        "--freeze-until",
        "dropout",
        "--name",
        "new",
        *machine,
    )[1]
    assert "layers 0 to 2 are frozen" in told
    before, after = of(tmp_path / "runs/old-001", "final"), of(tmp_path / "runs/new-001", "final")
    for index in (0, 1):
        assert set(before[index]) == {"biases", "scales", "mean", "variance", "weights"}
        for block, array in before[index].items():
            assert np.array_equal(array, after[index][block]), f"layer {index} {block} moved"
    out, _ = emo(
        capsys,
        "darknet",
        "top-k",
        "runs/new-001",
        "--data",
        second,
        "--split",
        "train",
        "--engine",
        "builtin",
        "--json",
    )
    assert json.loads(out)["top1"] > 0.9  # two classes that the kept layers have never seen, learnt by the head alone
    # The same start, of the run by its folder, without freezing moves them.
    told = emo(
        capsys,
        "train",
        "new.cfg",
        "--recipe",
        "transfer",
        "--data",
        second,
        "--pretrained",
        "runs/old-001",
        "--name",
        "free",
        "--epochs",
        1,
        *machine,
    )[1]
    assert "runs/old-001: layers 0 to 2 are the same and are taken" in told
    free = of(tmp_path / "runs/free-001", "final")
    assert all(
        not np.array_equal(before[index][block], free[index][block]) for index in (0, 1) for block in before[index]
    )


def test_a_checkpoint_of_torch_as_pretrained(tmp_path, capsys, monkeypatch):
    """--pretrained takes what `emo cfg import` reads; a rate of 0 keeps it to the bit."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    state = {
        "a.weight": torch.randn(8, 1, 3, 3),
        "b.weight": torch.ones(8),
        "b.bias": torch.zeros(8),
        "b.running_mean": torch.randn(8),
        "b.running_var": torch.rand(8),
    }
    torch.save(state, tmp_path / "net.pth")
    (tmp_path / "new.cfg").write_text(NEW.format(batches=3))
    data = drawn(tmp_path / "set", {"crossed": (4, 4), "narrow": (0, 2)})
    _, err = emo(
        capsys,
        "train",
        "new.cfg",
        "--recipe",
        "darknet",
        "--data",
        data,
        "--pretrained",
        "net.pth",
        "--freeze-until",
        1,
        "--name",
        "new",
        "--engine",
        "builtin",
        "--device",
        "cpu",
        "--threads",
        1,
        "--workers",
        0,
    )
    assert "net.pth: torch checkpoint, layers 0 to 0" in err
    layer = of(tmp_path / "runs/new-001", "final")[0]
    assert np.array_equal(layer["weights"], state["a.weight"].numpy()) and np.array_equal(
        layer["mean"], state["b.running_mean"].numpy()
    )


def test_partial_takes_the_name_of_a_network_that_ships(tmp_path, capsys, monkeypatch):
    """The weights, of seven classes, tell how many; the layers are those that v4-nano begins with."""
    monkeypatch.chdir(tmp_path)
    shipped = models.find("emo-v4-nano", "detector")
    out, _ = emo(capsys, "darknet", "partial", "v4-nano", shipped.weights, "nano.conv", "--for", "v4-nano-face")
    assert out.startswith("nano.conv: layers 0 to 26, ")
    with pytest.raises(SystemExit):
        main(["darknet", "partial", "v4-nani", str(shipped.weights), "other.conv", "3"])
    assert "did you mean 'v4-nano'" in capsys.readouterr().err


def test_a_model_that_is_not_there_as_pretrained(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "new.cfg").write_text(NEW.format(batches=3))
    data = drawn(tmp_path / "set", {"crossed": (4, 4), "narrow": (0, 2)})
    for given, what in (
        ("emo-z", "did you mean 'emo-s'"),
        ("gone.weights", "no such weights"),
        ("emo-s", "differ from the first layer on"),
    ):
        with pytest.raises(SystemExit) as caught:
            main(["train", "new.cfg", "--data", str(data), "--pretrained", given])
        err = capsys.readouterr().err
        assert caught.value.code in (1, 2) and what in err and "Traceback" not in err, err
        assert not (tmp_path / "runs").exists() or not any((tmp_path / "runs").iterdir())
