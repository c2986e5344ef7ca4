"""Mutated inputs into every reader: each gives a result or one EmoError, within memory and time; anything else is kept.

    python scripts/fuzz.py --count 20000 --out finds
    python scripts/fuzz.py --count 500 --kind cfg --kind video --seed 7

Inputs are drawn here, then bytes, lines and numbers of them are changed; the same seed gives the same inputs. Each
batch runs in a process of its own with a limit on memory; what makes it raise, die or take over LONGEST_S seconds of
CPU is written to --out with the words that came. Exit code 1 when there is any.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from fuzz_sets import SETS

MOST_BYTES = 2 << 30  # of memory that is written to, a process
LONGEST_S = 30  # of CPU, an input
BATCH = 50
WORDS = (
    "0",
    "-1",
    "1",
    "65536",
    "99999999999999999999",
    "1e400",
    "nan",
    "inf",
    "",
    "\x00",
    "é",
    '"',
    "[" * 2000,
    "../..",
    "/",
    " ",
    ",",
    ";",
    "true",
    "null",
    "2024-01-01",
    "1_0",
    "\xff\xfe",
    "\ufeff",
    "\r",
    "C:\\x.jpg",
    "\x1b[31m",
    "\u0663",
    "&a *a",
    "!!python/x",
    "-2147483649",
    "a" * 5000,
)


# --- seeds: a folder a kind, and the file in it that is changed -----------------------------------------------


def seeds(root: Path) -> dict[str, list[Path]]:
    """kind -> files whose bytes are mutated; each lies among the files that its reader needs."""
    import cv2
    import numpy as np
    from PIL import Image

    from converters.synthesis.datasets import write_set
    from emotion.systems.backends import quiet_opencv
    from emotion.systems.models import shipped

    quiet_opencv()
    found: dict[str, list[Path]] = {}
    photo = np.random.default_rng(0).integers(0, 256, (40, 56, 3), np.uint8)
    (root / "picture").mkdir()
    for suffix in (".jpg", ".png", ".gif", ".bmp", ".webp", ".tif", ".ppm"):
        Image.fromarray(photo).save(
            root / "picture" / f"a{suffix}",
            **({"save_all": True, "append_images": [Image.fromarray(255 - photo)]} if suffix == ".gif" else {}),
        )
    found["picture"] = sorted((root / "picture").iterdir())
    (root / "video").mkdir()
    for suffix, codec in (
        (".mp4", "mp4v"),
        (".avi", "MJPG"),
        (".mkv", "mp4v"),
        (".webm", "VP80"),
        (".ts", "mp2v"),
        (".flv", "FLV1"),
    ):
        writer = cv2.VideoWriter(
            str(root / "video" / f"a{suffix}"), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*codec), 10, (64, 48)
        )
        for shade in range(12):
            writer.write(np.full((48, 64, 3), 20 * shade, np.uint8))
        writer.release()
    found["video"] = sorted((root / "video").iterdir())
    model = shutil.copytree(shipped()["emo-s"], root / "model")
    found["model"] = [path for path in sorted(model.iterdir()) if path.suffix in (".cfg", ".names", ".toml")]
    found["weights"] = [next(model.glob("*.weights"))]
    for kind, target in SETS.items():
        try:
            (root / kind).mkdir()
            found[kind] = [target.make(root / kind)]
        except ImportError as error:  # an extra that is not here
            print(f"no {kind}: {error}", file=sys.stderr)
    write_set("yolo", 6, root / "yolo")
    data = root / "yolo" / "emo.data"
    found["yolo"] = [
        data,
        *sorted(path for path in (root / "yolo").rglob("*") if path.suffix in (".txt", ".names", ".csv"))[:6],
    ]
    (root / "run").mkdir()
    (root / "run" / "run.json").write_text(
        json.dumps(
            {
                "engine": "builtin",
                "verdict": "running",
                "data": str(data),
                "settings": {"seed": 1},
                "hashes": {"data": {}},
                "binary": {"path": "/x"},
            }
        )
    )
    found["run"] = [root / "run" / "run.json"]
    (root / "recipe").mkdir()
    recipes = sorted((Path(__file__).resolve().parents[1] / "cfg" / "recipes").glob("*.toml"))
    found["recipe"] = [Path(shutil.copy(path, root / "recipe")) for path in recipes]
    logs = sorted((Path(__file__).resolve().parents[1] / "tests/darknet_runner/compiled/fixtures").glob("*.log"))
    if logs:
        (root / "log").mkdir()
        found["log"] = [Path(shutil.copy(path, root / "log")) for path in logs]
    _more(root, found)
    return {kind: files for kind, files in found.items() if files}


def _more(root: Path, found: dict[str, list[Path]]) -> None:
    """What is read beside datasets, media and networks: results of other tools, settings, a pipeline, face models,
    foreign weights.
    """
    import cv2
    import numpy as np

    def write(kind: str, name: str, content: str | bytes) -> None:
        (root / kind).mkdir(exist_ok=True)
        (root / kind / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        found.setdefault(kind, []).append(root / kind / name)

    face = {"xyxy_px": [1.0, 2.0, 20.0, 22.0], "face": 0.9, "class_id": 1, "scores": [0.1, 0.8, 0.1]}
    frame = {"type": "frame", "index": 0, "time_s": 0.0, "size_wh": [64, 48], "faces": [face]}
    header = {"type": "header", "names": ["Neutral", "Happy", "Sad"], "kind": "video", "settings": {}}
    write("results", "a.jsonl", "".join(json.dumps(line) + "\n" for line in (header, frame, frame | {"index": 1})))
    write(
        "results",
        "a.csv",
        "frame,time_s,x1,y1,x2,y2,face,emotion,score,Neutral,Happy,Sad\n0,0.0,1,2,20,22,0.9,Happy,0.8,0.1,0.8,0.1\n",
    )
    write(
        "settings",
        "emo.toml",
        (
            "[detect]\nconf = 0.3\nstrict "
            "= true\n"
            "[darknet.train]\ncfg = "
            "'v4-tiny'\nnet = "
            "['a=1', "
            "'b=2']\n"
            "[convert]\njobs = 2\n"
        ),
    )
    plan = {
        "classifier": "darknet-ref",
        "detector": "v3-tiny",
        "classifier_data": "a",
        "detector_data": "b",
        "seed": 1,
        "engine": {"engine": "auto", "darknet": None},
        "job": {"threads": 1},
    }
    write(
        "pipeline",
        "pipeline.json",
        json.dumps({"plan": plan, "done": {"cut-off": {"layers": 3}}, "runs": {"classifier": "classifier-001"}}),
    )
    write(
        "face", "haar.xml", (Path(cv2.data.haarcascades) / "haarcascade_frontalface_default.xml").read_bytes()[:60000]
    )
    shared = Path(__file__).resolve().parents[2] / "shared" / "models"
    for path in sorted(shared.glob("*.onnx")):
        write("face", path.name, path.read_bytes())
    try:
        import torch

        torch.save(
            {"conv.weight": torch.zeros(4, 3, 3, 3), "conv.bias": torch.zeros(4), "fc.weight": torch.zeros(7, 4)},
            root / "a.pth",
        )
        write("import", "a.pth", (root / "a.pth").read_bytes())
        import h5py

        with h5py.File(root / "a.h5", "w") as file:
            group = file.create_group("model_weights/conv/conv")
            group["kernel:0"], group["bias:0"] = np.zeros((3, 3, 3, 4), "f4"), np.zeros(4, "f4")
            file["model_weights"].attrs["layer_names"] = [b"conv"]
            file["model_weights/conv"].attrs["weight_names"] = [b"conv/kernel:0", b"conv/bias:0"]
        write("import", "a.h5", (root / "a.h5").read_bytes())
    except ImportError:
        pass


# --- readers ------------------------------------------------------------------------------------------------


def _picture(file: Path) -> None:
    from converters import images
    from emotion.sources.open import open_source

    images.probe(file)
    for frame in open_source(file):
        assert frame.bgr.ndim == 3


def _video(file: Path) -> None:
    from emotion.sources.open import open_source

    last = 0.0
    for frame in open_source(file, limit=50):
        assert frame.time_s is None or frame.time_s >= last, "a time before the one before"
        last = frame.time_s or 0.0


def _model(file: Path) -> None:
    from darknet_runner.network import cfg_file, templates
    from emotion.systems import models

    models.find(file.parent, None).describe()
    templates.render(cfg_file.load(next(file.parent.glob("*.cfg"))), 7, size=64)


def _dataset(kind: str) -> Callable[[Path], None]:
    return lambda file: SETS[kind].use(next(folder for folder in file.parents if folder.name == kind))  # type: ignore[func-returns-value]


def _yolo(file: Path) -> None:
    from converters.darknet_format.dataset import load
    from converters.dataset import check, stats

    root = next(parent for parent in file.parents if (parent / "emo.data").exists())
    one = load(root / "emo.data")
    check.check(one)
    stats.summary(one, stats.measure(one))


def _run(file: Path) -> None:
    from darknet_runner.run.create_run import reopen
    from darknet_runner.run.folder import RunDir

    RunDir(file.parent).data_file()
    reopen(file.parent)


def _recipe(file: Path) -> None:
    from darknet_runner.builtin import recipe

    recipe.load(str(file))


def _log(file: Path) -> None:
    from darknet_runner.compiled import logs

    rows = logs.read(file)
    logs.to_csv(rows, logs.class_names(rows))


def _results(file: Path) -> None:
    import numpy as np

    from emotion.sources.frame import Frame
    from emotion.sources.results import read

    read(file).of(Frame(0, 0.0, np.zeros((48, 64, 3), np.uint8)))


def _settings(file: Path) -> None:
    from emotion.cli import emo
    from emotion.cli.config import defaults

    defaults(str(file), emo, emo.make_context("emo", ["cfg"], resilient_parsing=True))


def _pipeline(file: Path) -> None:
    from darknet_runner.pipeline import plan_of

    plan_of(file.parent)


def _face(file: Path) -> None:
    from emotion.systems.face_finders import open_finder

    open_finder(file)


def _import(file: Path) -> None:
    from darknet_runner.network.importers.fit import read_source

    read_source(file)


READERS: dict[str, Callable[[Path], None]] = {
    "picture": _picture,
    "video": _video,
    "model": _model,
    "weights": _model,
    "yolo": _yolo,
    "run": _run,
    "recipe": _recipe,
    "log": _log,
    "results": _results,
    "settings": _settings,
    "pipeline": _pipeline,
    "face": _face,
    "import": _import,
    **{kind: _dataset(kind) for kind in SETS},
}


# --- mutations ----------------------------------------------------------------------------------------------


def mutated(data: bytes, rng: random.Random) -> bytes:
    """One to eight changes: bits, bytes, cuts, repeats; in text also lines, and fields that become strange ones."""
    out = bytearray(data)
    text = b"\0" not in data[:1000]
    for _ in range(rng.randint(1, 8)):
        at, kind = rng.randrange(len(out) + 1), rng.randrange(9 if text else 6)
        if kind == 0 and at < len(out):
            out[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            out[at : at + rng.choice((1, 2, 4, 8))] = rng.choice(
                (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"\0\1")
            )
        elif kind == 2:
            del out[at : at + rng.choice((1, 4, 16, 200))]
        elif kind == 3 and rng.random() < 0.2:
            del out[at:]
        elif kind == 4:
            out[at:at] = out[at : at + rng.choice((1, 8, 64, 512))]
        elif kind == 5:
            out[at:at] = rng.randbytes(rng.choice((1, 3, 9)))
        elif kind >= 6:
            lines = bytes(out).split(b"\n")
            line = rng.randrange(len(lines))
            separator = rng.choice((b",", b" ", b"=", b":", b";"))
            fields = lines[line].split(separator)
            fields[rng.randrange(len(fields))] = rng.choice(WORDS).encode()
            lines[line] = separator.join(fields)
            if kind == 8:
                lines.insert(line, lines[rng.randrange(len(lines))])
            out = bytearray(b"\n".join(lines))
    return bytes(out)


# --- running ------------------------------------------------------------------------------------------------


def attempt(kind: str, file: Path, number: int, seed: int) -> str | None:
    """Mutate `file` in place, read it, put it back: None, or the words of what should not have been raised."""
    from converters.errors import EmoError

    whole = file.read_bytes()
    file.write_bytes(mutated(whole, random.Random(f"{seed} {kind} {file.name} {number}")))
    try:
        READERS[kind](file)
    except EmoError as error:
        if str(error).count("\n") > 40:
            return f"more than a few lines: {str(error)[:200]}"
    except BaseException:
        return traceback.format_exc()
    finally:
        file.write_bytes(whole)
    return None


def batch(jobs: list[tuple[str, Path, int]], seed: int, pipe: int) -> None:
    """In a process of its own: before each input its number, after it `.`, or a JSON of what came."""
    resource.setrlimit(resource.RLIMIT_DATA, (MOST_BYTES, MOST_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    for place, (kind, file, number) in enumerate(jobs):
        os.write(pipe, f"{place}\n".encode())
        signal.setitimer(signal.ITIMER_PROF, LONGEST_S)  # SIGPROF ends the process
        words = attempt(kind, file, number, seed)
        signal.setitimer(signal.ITIMER_PROF, 0)
        os.write(pipe, (json.dumps(words) + "\n").encode())


def run(jobs: list[tuple[str, Path, int]], seed: int) -> list[tuple[tuple[str, Path, int], str]]:
    """The finds of one batch; after an input that ends the process, another process goes on behind it."""
    finds = []
    while jobs:
        read, write = os.pipe()
        sys.stderr.flush()
        child = os.fork()
        if not child:
            os.close(read)
            try:
                batch(jobs, seed, write)
            finally:
                os._exit(0)
        os.close(write)
        with open(read) as lines:
            told = lines.read().splitlines()
        _, status = os.waitpid(child, 0)
        done = len(told) // 2
        finds += [(jobs[place], words) for place in range(done) if (words := json.loads(told[2 * place + 1]))]
        if len(told) % 2:
            _kind, file, _number = jobs[done]
            why = (
                f"CPU for {LONGEST_S} s"
                if os.WTERMSIG(status) == signal.SIGPROF
                else f"ended by signal {os.WTERMSIG(status)}"
                if os.WIFSIGNALED(status)
                else f"ended with {os.WEXITSTATUS(status)}"
            )
            finds.append((jobs[done], why))
            file.write_bytes((file.parent / f".whole-{file.name}").read_bytes())
            done += 1
        jobs = jobs[done:] if done else []
    return finds


def fuzz(count: int, seed: int, kinds: list[str], out: Path | None, say: Callable[[str], None] = print) -> Counter:
    """Finds by kind and by the last line of their words; their inputs are written to `out`."""
    found: Counter = Counter()
    with tempfile.TemporaryDirectory(prefix="emo-fuzz-") as folder:
        files = seeds(Path(folder))
        chosen = [kind for kind in (kinds or sorted(files)) if kind in files]
        for kind in chosen:
            for file in files[kind]:
                shutil.copy(file, file.parent / f".whole-{file.name}")
        for kind in chosen:  # the unchanged inputs must be read
            for file in files[kind]:
                if kind not in (
                    "run",
                    "log",
                    "face",
                    "import",
                ):  # which need more than is drawn here, or are cut to size
                    READERS[kind](file)
        jobs = [
            (kind := chosen[number % len(chosen)], files[kind][number // len(chosen) % len(files[kind])], number)
            for number in range(count)
        ]
        for start in range(0, count, BATCH):
            for (kind, file, number), words in run(jobs[start : start + BATCH], seed):
                last = words.strip().splitlines()[-1][:160]
                found[kind, last] += 1
                if found[kind, last] == 1:
                    say(f"{kind} {file.name} {number}: {last}")
                    if out:
                        data = mutated(
                            (file.parent / f".whole-{file.name}").read_bytes(),
                            random.Random(f"{seed} {kind} {file.name} {number}"),
                        )
                        name = f"{kind}-{hashlib.sha256(last.encode()).hexdigest()[:8]}{file.suffix}"
                        out.mkdir(parents=True, exist_ok=True)
                        (out / name).write_bytes(data)
                        (out / f"{name}.why").write_text(words)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", action="append", choices=sorted(READERS), default=[])
    parser.add_argument("--out", type=Path)
    told = parser.parse_args()
    found = fuzz(told.count, told.seed, told.kind, told.out)
    print(f"{told.count} inputs, {sum(found.values())} finds of {len(found)} sorts")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
