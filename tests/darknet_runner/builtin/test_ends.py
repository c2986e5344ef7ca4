"""How a training ends that does not end by itself: a stop sent to all its processes, a kill, a full disk."""

import csv
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from converters.errors import EmoError
from darknet_runner.builtin import train as trainer_module
from darknet_runner.builtin.engine import BuiltinEngine
from darknet_runner.builtin.train import Trainer
from darknet_runner.run.folder import RunDir
from darknet_runner.signals import STOPS

ROOT = Path(__file__).parents[3]
LONG_S = 120  # a loaded machine takes its time; nothing here waits that long on one that is not


def wait_for(condition, process=None):
    until = time.monotonic() + LONG_S
    while not condition():
        assert time.monotonic() < until and (process is None or process.poll() is None)
        time.sleep(0.05)


def running(pid):
    """Whether the process still runs; a zombie that nobody has reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def children(pid):
    return [int(path.parent.name) for path in Path("/proc").glob("[0-9]*/stat") if _parent(path) == pid]


def _parent(path):
    try:
        return int(path.read_text().rpartition(")")[2].split()[1])
    except (OSError, IndexError):
        return None


@pytest.fixture
def started(tiny_text, squares, tmp_path):
    """start(*args) -> `emo darknet train` with two workers in a session of its own, past its third batch, and its
    run folder.
    """
    processes = []

    def start(*args):
        (tmp_path / "tiny.cfg").write_text(tiny_text(batches=1_000_000))
        command = [
            sys.executable,
            "-m",
            "emotion.cli",
            "darknet",
            "train",
            "--cfg",
            "tiny.cfg",
            "--data",
            str(squares),
            "--engine",
            "builtin",
            "--workers",
            "2",
            "--threads",
            "1",
            *args,
        ]
        env = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]),
            "XDG_CACHE_HOME": str(tmp_path / "cache"),
        }
        process = subprocess.Popen(
            command,
            cwd=tmp_path,
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env=env,
        )
        processes.append(process)
        run = RunDir(tmp_path / "runs" / "tiny-001")
        wait_for(lambda: run.metrics.exists() and run.metrics.read_text().count("\n") > 3, process)
        return process, run

    yield start
    for process in processes:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are looked up in /proc")
@pytest.mark.parametrize("number", STOPS)
def test_a_stop_sent_to_the_whole_group_saves_and_can_be_resumed(started, number):
    """As Slurm, systemd and `timeout` send it; the loader's workers hear it too."""
    process, run = started("--no-map", "--quiet")
    os.killpg(process.pid, number)
    _, err = process.communicate(timeout=LONG_S)
    told = run.read_json()
    assert (
        process.returncode == 130
        and told["verdict"] == "interrupted"
        and "Traceback" not in err
        and "without a message" not in err
    ), err
    assert "continue with: emo train --resume" in err
    with open(run.metrics) as file:
        rows = [int(row["iteration"]) for row in csv.DictReader(file)]
    assert rows == list(range(1, told["iterations"] + 1))
    run.cfg.write_text(run.cfg.read_text().replace("max_batches=1000000", f"max_batches={told['iterations'] + 2}"))
    command = [sys.executable, "-m", "emotion.cli", "darknet", "train", "--resume", str(run.path), "--quiet"]
    again = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert again.returncode == 0, again.stderr
    assert run.read_json()["verdict"] == "finished" and run.read_json()["iterations"] == told["iterations"] + 2


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are looked up in /proc")
def test_a_killed_trainer_leaves_no_worker(started):
    process, _ = started("--no-map", "--quiet")
    workers = children(process.pid)
    assert len(workers) >= 2
    process.kill()
    process.communicate()
    wait_for(lambda: not any(map(running, workers)))


@pytest.mark.parametrize("stop", [True, False])
def test_a_worker_that_ends_before_the_stop_is_heard_is_no_crash(tiny_text, squares, make_job, monkeypatch, stop):
    """It is one when nobody asked for a stop; either way run.json says how it ended."""
    monkeypatch.setattr(trainer_module, "HEARD_S", LONG_S if stop else 0.1)
    job = make_job(tiny_text(batches=500), squares, workers=1, evaluate=False)
    trainer, step = Trainer(job), Trainer.step
    before = set(children(os.getpid()))  # what other tests have started

    def bereft(batches):
        if trainer.progress.iteration == 3:
            (worker,) = set(children(os.getpid())) - before
            os.kill(worker, signal.SIGKILL)
            if stop:
                threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGTERM)).start()
        return step(trainer, batches)

    trainer.step = bereft
    if stop:
        result = trainer.train()
        assert result.verdict == "interrupted" and "SIGTERM" in result.reasons[0] and result.iterations >= 3
        assert (
            job.run.weights_file("last").is_file()
            and Trainer(make_job(tiny_text(batches=500), squares, run=job.run, resume=True)).progress.iteration
            == result.iterations
        )
    else:
        with pytest.raises(EmoError, match="without a message"):
            trainer.train()
        told = job.run.read_json()
        assert told["verdict"] == "failed" and "without a message" in told["reasons"][0]


@pytest.fixture
def small_disk(tmp_path):
    """mount(kilobytes) -> a folder on a disk of that size; skipped where mounting is not allowed.

    The disk is named after this process: what one that was killed left mounted is unmounted by the next.
    """
    mounted = []
    for line in Path("/proc/mounts").read_text().splitlines():
        name, place = line.split()[:2]
        if (owner := re.fullmatch(r"emo-test-(\d+)", name)) and not Path(f"/proc/{owner[1]}").exists():
            subprocess.run(["umount", "-l", place.replace("\\040", " ")], capture_output=True)

    def mount(kilobytes):
        folder = tmp_path / "disk"
        folder.mkdir()
        if subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", f"emo-test-{os.getpid()}", str(folder)],
            capture_output=True,
        ).returncode:
            pytest.skip("mounting a small disk is not allowed here")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        # lazily: what a fault still holds open goes with it
        subprocess.run(["umount", "-l", str(folder)], capture_output=True)


@pytest.mark.parametrize("kilobytes", [40, 120, 300, 500])
def test_a_full_disk_ends_the_run_as_failed_and_names_the_file(kilobytes, tiny_text, squares, make_job, small_disk):
    """Whichever file meets it: log, metrics, weights, state, chart."""
    run = RunDir(small_disk(kilobytes) / "tiny-001")
    run.weights.mkdir(parents=True)
    job = make_job(tiny_text(batches=20000), squares, run=run, workers=0, evaluate=False)
    run.write_json(verdict="running", engine="builtin", data=str(squares), settings={})
    with pytest.raises(EmoError, match="cannot be written.*is the disk full") as fault:
        BuiltinEngine().train(job)
    assert str(fault.value).startswith(str(run.path) + os.sep) and "standard output" not in str(fault.value)
    assert run.read_json()["verdict"] == "failed"
    assert not list(run.path.rglob("*.part"))
