"""Learning, not only arithmetic: v4-nano on drawn faces, from nothing to faces found and expressions named."""

import cv2
import numpy as np
import torch

from converters.boxes import xyxy_to_cxcywh_rel
from converters.darknet_format.files import read_data, write_data
from converters.synthesis.datasets import draw_scene
from darknet_runner.builtin.engine import BuiltinEngine
from darknet_runner.builtin.recipe import Recipe
from darknet_runner.engine import TrainJob
from darknet_runner.network import cfg_file
from darknet_runner.run import create_run

NAMES = ("Happy", "Surprise", "Anger")


def draw_set(root, size, count, valid):
    paths = []
    for index in range(count):
        rng = np.random.default_rng(index)
        picture, xyxy, emotions = draw_scene((size, size), 1, rng, names=NAMES, face_share=(0.6, 0.95))
        path = root / f"{index:04d}.jpg"
        cv2.imwrite(str(path), picture)
        rows = zip(emotions, xyxy_to_cxcywh_rel(xyxy, (size, size)))
        path.with_suffix(".txt").write_text(
            "".join(f"{NAMES.index(name)} {x:.6f} {y:.6f} {w:.6f} {h:.6f}\n" for name, (x, y, w, h) in rows)
        )
        paths.append(str(path))
    (root / "train.txt").write_text("\n".join(paths[:-valid]) + "\n")
    (root / "valid.txt").write_text("\n".join(paths[-valid:]) + "\n")
    (root / "emo.names").write_text("\n".join(NAMES) + "\n")
    write_data(root / "emo.data", classes=len(NAMES), train="train.txt", valid="valid.txt", names="emo.names")
    return root / "emo.data"


def test_nano_learns_drawn_faces(tmp_path):
    """800 pictures of one face, three expressions; 160 others to judge by. Under a minute on one core."""
    data = draw_set(tmp_path, 64, 960, 160)
    net = {"policy": "sgdr", "power": 1, "mosaic": 0, "hue": 0.02, "decay": 0.02}
    run = create_run.create_run(
        "v4-nano",
        read_data(data),
        runs=tmp_path / "runs",
        anchors="data",
        size=64,
        batch=16,
        subdivisions=1,
        iterations=650,
        learning_rate=0.002,
        net=net,
        head={"jitter": 0.1, "resize": 1, "obj_normalizer": 0.3},
    )
    threads = torch.get_num_threads()
    job = TrainJob(
        run.cfg,
        data,
        run,
        device="cpu",
        threads=1,
        workers=1,
        recipe=Recipe(optimizer="adamw", ema=0.99),
        prior=0.02,
        map_every=650,
    )
    try:
        result = BuiltinEngine().train(job)
    finally:
        torch.set_num_threads(threads)
    assert cfg_file.load(run.cfg).net.integer("max_batches") == 650
    assert result.metric > 0.8
