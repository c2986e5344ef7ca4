"""One map, three ways: the same results in the same order, also when a worker dies in the middle."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from converters.errors import RunError
from converters.parallel import chunked_map


def squared(number):
    return number * number


def deadly(folder, number):
    """Kills its own process the first time it gets the chunk 3."""
    mark = Path(folder) / f"died-{number}"
    if number == 3 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number


def hopeless(number):
    os.kill(os.getpid(), signal.SIGKILL)


def bad(number):
    raise ValueError(f"chunk {number}")


@pytest.fixture(scope="module")
def cluster():
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as local:
        yield local.scheduler_address


@pytest.mark.parametrize("jobs", [1, 2, 8])
def test_results_come_in_the_chunks_order(jobs):
    assert list(chunked_map(squared, range(20), jobs)) == [number * number for number in range(20)]


def test_a_killed_process_loses_nothing(tmp_path):
    assert list(chunked_map(partial(deadly, str(tmp_path)), range(8), 2)) == [number * number for number in range(8)]
    assert (tmp_path / "died-3").exists()


def test_processes_that_always_die_are_one_error():
    with pytest.raises(RunError, match="were killed"):
        list(chunked_map(hopeless, range(4), 2))


def test_an_error_of_the_function_is_raised_as_it_is():
    for jobs in (1, 2):
        with pytest.raises(ValueError, match="chunk [012]"):
            list(chunked_map(bad, range(3), jobs))


def test_a_cluster_gives_the_same(cluster):
    assert list(chunked_map(squared, range(20), cluster=cluster)) == [number * number for number in range(20)]


def test_a_killed_worker_of_a_cluster_loses_nothing(cluster, tmp_path):
    assert list(chunked_map(partial(deadly, str(tmp_path)), range(8), cluster=cluster)) == [
        number * number for number in range(8)
    ]
    assert (tmp_path / "died-3").exists()


def test_no_cluster_at_the_address_is_one_error():
    pytest.importorskip("distributed")
    with pytest.raises(RunError, match="no Dask scheduler answers"):
        list(chunked_map(squared, range(3), cluster="tcp://127.0.0.1:9"))


def test_convert_on_a_cluster_writes_the_same_bytes(cluster, affectnet, tmp_path, monkeypatch):
    from converters.convert import Settings, convert

    monkeypatch.setattr("converters.writers.form.CUTS", (10, 1))
    rows = [(f"1/{i}.jpg", 5, 5, 60, 60, i % 7) for i in range(60)]
    root, outputs = affectnet("affectnet", {"training.csv": rows}), []
    for where in ({"jobs": 1}, {"cluster": cluster}):
        convert([("affectnet", str(root))], tmp_path / "out", Settings(task="crops"), force=True, **where)
        outputs.append(
            {
                path.relative_to(tmp_path): path.read_bytes()
                for path in sorted((tmp_path / "out").rglob("*"))
                if path.is_file()
            }
        )
    assert outputs[0] == outputs[1] and len(outputs[0]) > 60


def running(pid):
    """Whether the process still runs; a zombie that nobody has reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are looked up in /proc")
def test_no_worker_outlives_a_killed_parent(tmp_path):
    """Neither one that waits for its next chunk nor one in the midst of one."""
    code = f"""if True:
        import os, pathlib, time
        from converters.parallel import chunked_map
        def note(number):
            pathlib.Path({str(tmp_path)!r}, str(os.getpid())).touch()
            time.sleep(600 if number else 0)
        list(chunked_map(note, range(3), 2))"""
    root = Path(__file__).resolve().parents[2]
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=root, start_new_session=True, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 120
        while len(os.listdir(tmp_path)) < 2:
            assert time.monotonic() < until and parent.poll() is None
            time.sleep(0.05)
        workers = [int(name) for name in os.listdir(tmp_path)]
        assert all(map(running, workers))
        parent.kill()
        parent.wait()
        while any(map(running, workers)):
            assert time.monotonic() < until
            time.sleep(0.05)
    finally:
        parent.kill()
        for worker in os.listdir(tmp_path):
            if running(int(worker)):
                os.kill(int(worker), signal.SIGKILL)


def descendants(pid):
    """All processes under `pid`, by /proc."""
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                parents[int(entry)] = int(Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, ValueError):
                continue
    out, new = set(), {pid}
    while new:
        new = {child for child, parent in parents.items() if parent in new}
        out |= new
    return out


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs /proc")
def test_no_worker_hears_ctrl_c_not_even_the_first():
    """Python's own keeper of resources, when it was started along with the first, unblocked SIGINT before it began."""
    code = """if True:
        import pathlib
        from converters.parallel import chunked_map
        def blocked(number):
            status = pathlib.Path("/proc/self/status").read_text()
            return int(status.partition("SigBlk:")[2].split()[0], 16) >> 1 & 1  # of SIGINT, which is 2
        print(list(chunked_map(blocked, range(6), 2)))"""
    root = Path(__file__).resolve().parents[2]
    told = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=120)
    assert told.stdout == "[1, 1, 1, 1, 1, 1]\n" and told.stderr == ""


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="no groups of processes here")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_to_the_whole_group_is_no_traceback(tmp_path, name):
    """As a closed terminal sends it: the process that keeps joblib's books gets it too."""
    code = f"""if True:
        import os, pathlib, signal, sys, time
        from converters.parallel import chunked_map
        def stop(number, frame):
            raise KeyboardInterrupt
        signal.signal(signal.{name}, stop)
        def note(number):
            pathlib.Path({str(tmp_path)!r}, str(os.getpid())).touch()
            time.sleep(600)
        try:
            list(chunked_map(note, range(3), 2))
        except KeyboardInterrupt:
            sys.exit(130)"""
    root = Path(__file__).resolve().parents[2]
    parent = subprocess.Popen(
        [sys.executable, "-c", code], cwd=root, start_new_session=True, stderr=subprocess.PIPE, text=True
    )
    try:
        until = time.monotonic() + 120
        while len(os.listdir(tmp_path)) < 2:
            assert time.monotonic() < until and parent.poll() is None
            time.sleep(0.05)
        os.killpg(parent.pid, getattr(signal, name))
        assert (parent.communicate(timeout=120)[1], parent.returncode) == ("", 130)
    finally:
        if parent.poll() is None:
            os.killpg(parent.pid, signal.SIGKILL)


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs /proc")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_no_worker_outlives_a_conversion_that_is_ended(fer2013_csv, tmp_path, number):
    """The signal goes to the parent alone; a scene takes longer than the test may."""
    path = fer2013_csv(60)
    command = [
        sys.executable,
        "-m",
        "emotion.cli",
        "convert",
        "fer2013",
        str(path),
        "--scenes",
        "200000",
        "--size",
        "1024",
        "--jobs",
        "2",
        "--out",
        str(tmp_path / "out"),
    ]
    root = Path(__file__).resolve().parents[2]
    parent = subprocess.Popen(
        command, cwd=root, env=os.environ | {"PYTHONPATH": str(root)}, stderr=subprocess.PIPE, text=True
    )
    try:
        started, workers = time.monotonic(), set()
        while len(list((tmp_path / ".out.partial").glob("train/scenes/*.jpg"))) < 4:
            assert time.monotonic() - started < 300 and parent.poll() is None
            time.sleep(0.1)
        workers = descendants(parent.pid)
        assert len(workers) >= 2
        parent.send_signal(number)
        said = parent.communicate(timeout=120)[1]
    finally:
        parent.kill()
    left = time.monotonic() + 60
    while any(os.path.exists(f"/proc/{worker}") for worker in workers) and time.monotonic() < left:
        time.sleep(0.2)
    assert not [worker for worker in workers if os.path.exists(f"/proc/{worker}")]
    if number != signal.SIGKILL:
        assert (
            parent.returncode in (130, 143)
            and said.count("\n") == 1
            and not (tmp_path / "out").exists()
            and not (tmp_path / ".out.partial").exists()
        )
