"""Small sets and runs for the engine's tests: drawn, deterministic, trained in seconds."""

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="the built-in engine needs PyTorch")

TINY = (Path(__file__).parents[2] / "cfg" / "detector-tiny.cfg").read_text()


@pytest.fixture
def tiny_text():
    def text(**settings):
        defaults = {
            "batch": 4,
            "parts": 2,
            "size": 64,
            "rate": 0.005,
            "batches": 8,
            "norm": 1,
            "jitter": 0.2,
            "net": "",
        }
        return TINY.format(**defaults | settings)

    return text


@pytest.fixture(scope="session")
def squares(tmp_path_factory):
    """A detector's set: 24 pictures of one to three coloured squares, three classes by colour. Gives emo.data."""
    import cv2
    import numpy as np

    from converters.darknet_format.files import write_data

    root = tmp_path_factory.mktemp("squares")
    rng, colours, paths = np.random.default_rng(5), [(255, 40, 40), (40, 255, 40), (40, 40, 255)], []
    for index in range(24):
        picture = np.full((64, 64, 3), 90, np.uint8)
        lines = []
        for corner in rng.permutation(4)[: rng.integers(1, 4)]:
            side, kind = int(rng.integers(10, 26)), int(rng.integers(3))
            x, y = (
                int(corner % 2 * 32 + rng.integers(0, 32 - side + 1)),
                int(corner // 2 * 32 + rng.integers(0, 32 - side + 1)),
            )
            picture[y : y + side, x : x + side] = colours[kind]
            lines.append(f"{kind} {(x + side / 2) / 64} {(y + side / 2) / 64} {side / 64} {side / 64}\n")
        path = root / f"p{index:02d}.png"
        cv2.imwrite(str(path), picture)
        path.with_suffix(".txt").write_text("".join(lines))
        paths.append(str(path))
    (root / "train.txt").write_text("\n".join(paths[:16]) + "\n")
    (root / "valid.txt").write_text("\n".join(paths[16:]) + "\n")
    (root / "emo.names").write_text("red\ngreen\nblue\n")
    write_data(root / "emo.data", classes=3, train="train.txt", valid="valid.txt", names="emo.names")
    return root / "emo.data"


@pytest.fixture
def make_job(tmp_path):
    """make_job(cfg text, data, **fields of TrainJob) -> a job on a fresh run folder."""
    from darknet_runner.builtin.recipe import SETTINGS, Recipe
    from darknet_runner.engine import TrainJob
    from darknet_runner.run import folder as run_folder

    def make(text, data, run=None, **fields):
        run = run or run_folder.create(tmp_path / "runs", "tiny")
        run.cfg.write_text(text)
        settings = {key: fields.pop(key) for key in [*fields] if key in SETTINGS}
        fields.setdefault("recipe", Recipe().override(settings))
        return TrainJob(run.cfg, data, run, **{"device": "cpu", "threads": 1, "workers": 0, **fields})

    return make
