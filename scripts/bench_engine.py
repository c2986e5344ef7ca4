"""Training and inference speed of the built-in engine and of every Darknet binary there is, in one run.

    python scripts/bench_engine.py
    python scripts/bench_engine.py --darknet /opt/darknet/darknet --threads 2 --cfg v3-tiny
    python scripts/bench_engine.py --device cuda:0 --batch 256 --subdivisions 1 --amp

Trains drawn scenes for a few batches with each engine in turn, in rounds, so that a machine that is busy
for a while slows all of them; prints images/s (the median over rounds), the ratio to the built-in engine,
the share of time in which it waited for pictures, and the physical floor: the operations a training image
takes (three times the forward pass) over what the processor reaches in large matrix products. Inference is
of single pictures by `emo darknet valid`, with reading them; opencv's is of the forward pass alone.
A binary's CPU training may be wrong (see `emo darknet info`); its speed can be measured all the same.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import click

from converters.darknet_format.files import read_data
from converters.text_files import read_lines

FEW, MANY = 10, 110  # pictures


@click.command()
@click.option("--cfg", "cfgs", multiple=True, default=["v3-tiny", "v4-tiny", "v4-nano"], show_default=True)
@click.option("--size", default=256, show_default=True)
@click.option("--batch", default=64, show_default=True)
@click.option("--subdivisions", default=4, show_default=True)
@click.option("--iterations", default=3, show_default=True, help="Batches a round; the first is not counted.")
@click.option("--rounds", default=3, show_default=True)
@click.option("--threads", default=1, show_default=True)
@click.option("--device", default="cpu", show_default=True)
@click.option("--amp", is_flag=True)
@click.option("--darknet", "binaries", multiple=True, type=click.Path(exists=True), help="Another binary to measure.")
@click.option("--json", "as_json", is_flag=True)
def main(cfgs, size, batch, subdivisions, iterations, rounds, threads, device, amp, binaries, as_json):
    """Print a table of images/s."""
    binaries = [Path(path).absolute() for path in binaries] + [Path(path) for path in [shutil.which("darknet")] if path]
    setting = {
        "size": size,
        "batch": batch,
        "subdivisions": subdivisions,
        "threads": threads,
        "device": device,
        "amp": amp,
    }
    results = []
    with tempfile.TemporaryDirectory(prefix="emo-bench-") as folder:
        root = Path(folder)
        data = root / "drawn" / "emo.data"
        emo(["dataset", "synth", "--as", "yolo", "--count", "160", "--out", str(data.parent), "--quiet"], root, threads)
        floor = peak_flops(threads, device, amp)
        for cfg in cfgs:
            found = {}
            for _ in range(rounds):
                for engine in [None, *binaries]:
                    speed, waiting = train(cfg, engine, data, root, setting, iterations)
                    click.echo(f"{cfg}, {engine.name if engine else 'builtin'}: {speed and round(speed, 2)}", err=True)
                    if speed:
                        found.setdefault(engine, []).append((speed, waiting))
            ours, seen = (
                statistics.median(speed for speed, _ in found[None]),
                inference(cfg, binaries, data, root, setting),
            )
            for engine in [None, "opencv", *binaries]:
                rows = found.get(engine, [])
                speed = statistics.median(speed for speed, _ in rows) if rows else None
                results.append(
                    {
                        "cfg": cfg,
                        "engine": "builtin" if engine is None else getattr(engine, "name", engine),
                        "train images/s": speed and round(speed, 2),
                        "to builtin": speed and round(speed / ours, 3),
                        "waiting": None if engine else round(statistics.median(wait for _, wait in rows), 3),
                        "floor images/s": None if engine else round(floor / (3 * operations(cfg, size)), 1),
                        "inference images/s": seen.get(engine),
                    }
                )
    if as_json:
        click.echo(json.dumps({"settings": setting, "results": results}, indent=2))
        return
    click.echo(", ".join(f"{key} {value}" for key, value in setting.items()))
    columns = list(results[0])
    widths = [max(len(name), *(len(str(row[name])) for row in results)) for name in columns]
    for row in [dict(zip(columns, columns)), *results]:
        click.echo(
            "  ".join(f"{'' if row[name] is None else row[name]:>{width}}" for name, width in zip(columns, widths))
        )


def environment(threads):
    return os.environ | {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "passive"}


def emo(arguments, cwd, threads):
    code = "from emotion.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=cwd, env=environment(threads), capture_output=True, text=True
    )
    if done.returncode:
        raise click.ClickException(
            f"emo {' '.join(arguments)}: "
            f"{done.stderr.strip().splitlines()[-1] if done.stderr.strip() else done.returncode}"
        )
    return done.stdout


def train(cfg, binary, data, root, setting, iterations):
    """images/s after the first batch, and the share of time spent waiting; None for a binary that cannot do this
    cfg.
    """
    runs = Path(tempfile.mkdtemp(dir=root))
    arguments = [
        "darknet",
        "train",
        "--cfg",
        cfg,
        "--data",
        str(data),
        "--size",
        str(setting["size"]),
        "--batch",
        str(setting["batch"]),
        "--subdivisions",
        str(setting["subdivisions"]),
        "--iterations",
        str(iterations),
        "--threads",
        str(setting["threads"]),
        "--no-map",
        "--quiet",
        "--runs",
        str(runs),
        "--name",
        "bench",
        "--net",
        "mosaic=0",
    ]
    if binary is None:
        arguments += ["--engine", "builtin", "--device", setting["device"], *(["--amp"] if setting["amp"] else [])]
    else:
        arguments += ["--engine", "compiled", "--darknet", str(binary), "--allow-broken-cpu"]
    try:
        emo(arguments, root, setting["threads"])
    except click.ClickException as error:
        if binary is None:
            raise
        click.echo(f"{binary.name}, {cfg}: {error.message}", err=True)
        return None, None
    run = next(runs.iterdir())
    with open(run / "metrics.csv", newline="") as file:
        rows = [float(row["seconds"]) for row in csv.DictReader(file)]
    # The built-in engine writes the time since its start, a binary that of the batch.
    seconds = rows[-1] - rows[0] if binary is None else sum(rows[1:])
    info = json.loads((run / "run.json").read_text())
    shutil.rmtree(runs)
    return setting["batch"] * (len(rows) - 1) / seconds, info.get("waiting_share")


def inference(cfg, binaries, data, root, setting) -> dict:
    """Pictures/s, one by one: `emo darknet valid` on the built-in engine (None) and each binary, from the time that
    more pictures take, so with reading and scaling them; and the forward pass alone of OpenCV's importer ("opencv").
    """
    import cv2
    import numpy as np

    from darknet_runner.builtin.network import Network
    from darknet_runner.network import cfg_file, layers, templates, weights_file

    described = read_data(data)
    rendered = templates.render(cfg, described.classes, size=setting["size"]).edit({0: {"batch": 1, "subdivisions": 1}})
    path, out = root / "model.cfg", {}
    cfg_file.save(rendered, path)
    arrays = Network(rendered).arrays()
    for head in [layer.index for layer in layers.trace(rendered) if layer.type == "yolo"]:
        arrays[head - 1]["biases"][:] = -10  # nothing is found, so that boxes and their AP take no time
    weights_file.write(rendered, path.with_suffix(".weights"), arrays, 0)
    for engine in [None, *binaries]:
        seconds = []
        for count in FEW, MANY:
            (root / "some.txt").write_text(
                "".join(f"{picture}\n" for picture in (list(read_lines(described.list_of("train"))) * count)[:count])
            )
            (root / "some.data").write_text(
                f"classes={described.classes}\nnames={data.parent / 'emo.names'}\nvalid={root / 'some.txt'}\n"
            )
            arguments = [
                "darknet",
                "valid",
                "--cfg",
                str(path),
                "--weights",
                str(path.with_suffix(".weights")),
                "--data",
                str(root / "some.data"),
            ]
            arguments += (
                ["--engine", "compiled", "--darknet", str(engine)]
                if engine
                else ["--engine", "builtin", "--device", setting["device"]]
            )
            try:
                seconds.append(min(timed(partial(emo, arguments, root, setting["threads"])) for _ in range(2)))
            except click.ClickException:
                if engine is None:
                    raise
                break  # it cannot do this cfg, as its training has said
        out[engine] = round((MANY - FEW) / (seconds[1] - seconds[0]), 1) if len(seconds) == 2 else None
    cv2.setNumThreads(setting["threads"])
    loaded = cv2.dnn.readNetFromDarknet(str(path), str(path.with_suffix(".weights")))
    blob = np.zeros((1, 3, setting["size"], setting["size"]), np.float32)

    def forward():
        loaded.setInput(blob)
        loaded.forward(loaded.getUnconnectedOutLayersNames())

    out["opencv"] = round(1 / statistics.median([timed(forward) for _ in range(12)][2:]), 1)
    return out


def timed(function) -> float:
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def operations(cfg, size):
    """Floating-point operations of a forward pass."""
    from darknet_runner.network import templates
    from darknet_runner.network.layers import trace

    return sum(layer.bflops for layer in trace(templates.render(cfg, 7, size=size))) * 1e9


def peak_flops(threads, device, amp):
    """What this processor reaches in a large matrix product, operations/s."""
    import torch

    torch.set_num_threads(threads)
    kind = torch.bfloat16 if amp and device != "cpu" else torch.float32
    a, best = (
        torch.rand(2048 if device == "cpu" else 8192, 2048 if device == "cpu" else 8192, device=device, dtype=kind),
        0.0,
    )
    for _ in range(4):
        began = time.perf_counter()
        float((a @ a)[0, 0])
        best = max(best, 2 * a.shape[0] ** 3 / (time.perf_counter() - began))
    return best


if __name__ == "__main__":
    main()
