#!/usr/bin/env python3
"""Training a classifier: emo's trainer beside the loop that people write, on the same network, pictures and settings,
in one run.

    python scripts/bench_train.py --data data/fer2013-classifier/emo.data --network emonet --rounds 3

The usual loop: a Dataset that opens a PNG, turns, shifts, zooms, flips and brightens it with Pillow, a DataLoader with
two workers, float32, PyTorch's own layout. emo: uint8 arrays, a whole batch changed at once, channels-last, bfloat16
where the CPU has it. Rounds take turns; figures are the best of the rounds, in pictures a second, and the share of
emo's time outside forward, backward and step. Further rows show what each choice of emo's gives.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import torch
from PIL import Image, ImageEnhance

from converters.darknet_format.files import class_of_path, read_data, read_list
from darknet_runner.builtin.network import Network
from darknet_runner.builtin.recipe import Recipe
from darknet_runner.builtin.train import Trainer
from darknet_runner.engine import TrainJob
from darknet_runner.network import cfg_file
from darknet_runner.run import create_run
from darknet_runner.training import has_bfloat16

RECIPE = Recipe(
    name="bench",
    augment="recipe",
    optimizer="adam",
    learning_rate=0.001,
    schedule="constant",
    rotate=10,
    zoom=(0.9, 1.1),
    shift=0.1,
    flip=True,
    brightness=(0.8, 1.2),
    epochs=1,
)


class Pictures(torch.utils.data.Dataset):
    """One picture at a time, as most public FER2013 code reads and changes them."""

    def __init__(self, data, size):
        self.paths = read_list(data.list_of("train"))
        self.labels = [class_of_path(path, data.labels) for path in self.paths]
        self.size = size

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        rng = np.random.default_rng(index)
        picture = Image.open(self.paths[index]).convert("L").resize((self.size, self.size))
        shift = tuple(rng.uniform(-0.1, 0.1, 2) * self.size)
        picture = picture.rotate(rng.uniform(-10, 10), Image.Resampling.BILINEAR, translate=shift)
        zoom = rng.uniform(0.9, 1.1)
        inner = self.size / zoom
        edge = (self.size - inner) / 2
        picture = picture.transform(
            (self.size, self.size),
            Image.Transform.EXTENT,
            (edge, edge, edge + inner, edge + inner),
            Image.Resampling.BILINEAR,
        )
        if rng.random() < 0.5:
            picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        picture = ImageEnhance.Brightness(picture).enhance(rng.uniform(0.8, 1.2))
        return torch.from_numpy(np.asarray(picture, np.float32) / 255)[None], self.labels[index]


def usual(cfg_path: Path, data_path: Path, batches: int, batch: int, workers: int, threads: int) -> float:
    """Pictures a second of the usual loop, the first two batches left out."""
    cfg, data = cfg_file.load(cfg_path), read_data(data_path)
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    network = Network(cfg).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=0.001)
    loader = torch.utils.data.DataLoader(
        Pictures(data, cfg.size_wh[0]), batch, shuffle=True, num_workers=workers, drop_last=True
    )
    for number, (pictures, labels) in enumerate(loader):
        if number == 2:
            began = time.perf_counter()
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(pictures)[0], labels).backward()
        optimizer.step()
        if number == batches + 1:
            break
    return batches * batch / (time.perf_counter() - began)


def ours(run, data_path: Path, batches: int, amp: bool, channels_last: bool = True) -> tuple[float, float]:
    """Pictures a second of emo's trainer, and the share of its time spent outside forward, backward and step."""
    trainer = Trainer(TrainJob(run.cfg, data_path, run, recipe=RECIPE, device="cpu", evaluate=False, amp=amp))
    if not channels_last:
        trainer.network.to(memory_format=torch.contiguous_format)
    loader = trainer._loader()
    stream, inside = iter(loader), 0.0
    for number in range(batches + 2):
        if number == 2:
            began, loader.waited, inside = time.perf_counter(), 0.0, 0.0
        trainer.step(stream)
        trainer.progress.iteration += 1
    whole = time.perf_counter() - began
    inside = whole - loader.waited
    return batches * trainer.batch / whole, 1 - inside / whole


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a classifier's .data file")
    parser.add_argument("--network", default="emonet")
    parser.add_argument("--batches", type=int, default=12)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    data = read_data(args.data)
    kinds = {
        "usual loop": None,
        "emo": (has_bfloat16("cpu"), True),
        "emo, float32": (False, True),
        "emo, float32, not channels-last": (False, False),
    }
    found: dict[str, list[float]] = {kind: [] for kind in kinds}
    outside = []
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        run = create_run.create_run(
            args.network, data, runs=folder, recipe=RECIPE.override({"batch": args.batch}), subdivisions=1
        )
        # A process of its own: emo's trainer sets how memory is kept for the whole process.
        other = stack.enter_context(ProcessPoolExecutor(1, multiprocessing.get_context("spawn")))
        for _ in range(args.rounds):
            for kind, settings in kinds.items():
                if settings is None:
                    job = other.submit(usual, run.cfg, args.data, args.batches, args.batch, 2, args.threads)
                    found[kind].append(job.result())
                else:
                    speed, share = ours(run, args.data, args.batches, *settings)
                    found[kind].append(speed)
                    if kind == "emo":
                        outside.append(share)
    best = {kind: max(speeds) for kind, speeds in found.items()}
    if args.json:
        print(
            json.dumps(
                {"pictures_per_second": best, "outside": min(outside), "threads": args.threads, "network": args.network}
            )
        )
        return
    for kind, speed in best.items():
        print(f"{kind:34} {speed:7.1f} pictures/s   {speed / best['usual loop']:.2f} x the usual loop")
    print(
        f"outside forward, backward and step: {min(outside):.1%} of emo's time; {args.threads} threads, "
        f"{args.network}, batches of {args.batch}"
    )


if __name__ == "__main__":
    main()
