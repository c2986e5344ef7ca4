"""Programs that behave badly, and what is left of them afterwards: nothing."""

import os
import signal
import subprocess
import sys
import time

import pytest

from converters.errors import RunError
from darknet_runner.compiled import process
from darknet_runner.compiled.logs import LONGEST
from darknet_runner.signals import interruptible


def python(code):
    return [sys.executable, "-c", code]


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_lines_come_as_they_are_written(tmp_path):
    """A C library writes blocks of 4,096 bytes into a pipe; into our terminal it writes lines."""
    code = "import sys, time\nsys.stdout.write('one\\n')\ntime.sleep(30)"
    with process.Process([sys.executable, "-c", code], cwd=tmp_path) as running:
        assert next(line for line in running.lines() if line) == "one"
        running.stop()
    assert running.returncode == -signal.SIGTERM


def test_everything_is_logged_and_lines_are_cut(tmp_path):
    log = tmp_path / "log"
    code = r"import sys; sys.stdout.buffer.write(b'\xff\xfe caf\xe9\n' + b'x' * 100_000_000 + b'\n7: partial')"
    returncode, lines = process.run(python(code), cwd=tmp_path, log=log)
    assert returncode == 0
    assert [len(line) for line in lines[1:]] == [LONGEST, len("7: partial")]
    assert lines[0].endswith(" caf\ufffd")
    assert log.stat().st_size == 8 + 100_000_000 + 11
    with open(log, "rb") as file:
        assert file.read(7) == b"\xff\xfe caf\xe9"[:7]


def test_input_is_closed_or_told(tmp_path):
    assert process.run(python("print(repr(input()))"), cwd=tmp_path)[0] == 1, "EOF at once"
    assert process.run(python("print(repr(input()))"), cwd=tmp_path, stdin=b"yes\n")[1] == ["'yes'"]


def test_environment(tmp_path):
    _, lines = process.run(
        python("import os; print(os.environ['OMP_WAIT_POLICY'], os.environ['OMP_NUM_THREADS'])"),
        cwd=tmp_path,
        threads=3,
    )
    assert lines == ["passive 3"]


def test_a_program_that_closes_its_output_is_waited_for(tmp_path):
    code = "import os, time\nos.close(1); os.close(2)\ntime.sleep(0.5)\nos._exit(3)"
    assert process.run(python(code), cwd=tmp_path) == (3, [])


def test_the_whole_group_ends(tmp_path):
    """Also children, and programs that do not heed SIGTERM."""
    code = (
        "import os, signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen([sys.executable, '-c', "
        "'import "
        "signal, time; "
        "signal.signal(signal.SIGTERM, "
        "signal.SIG_IGN); time.sleep(600)'])\n"
        "print(child.pid, flush=True)\ntime.sleep(600)"
    )
    with process.Process(python(code), cwd=tmp_path) as running:
        child = int(next(line for line in running.lines() if line))
        time.sleep(0.3)
        running.stop(grace=0.2)
    assert running.returncode == -signal.SIGKILL
    until = time.monotonic() + 10
    while (alive(child) or alive(running.pid)) and time.monotonic() < until:
        time.sleep(0.05)
    assert not alive(child) and not alive(running.pid)


@pytest.mark.skipif(sys.platform != "linux", reason="a parent's death is told on Linux only")
def test_it_dies_with_a_parent_that_was_killed(tmp_path):
    code = (
        "import sys\nfrom pathlib import Path\nfrom darknet_runner.compiled.process import Process\n"
        "with Process([sys.executable, '-c', 'import time; time.sleep(600)'], cwd=Path('.')) as running:\n"
        "    print(running.pid, flush=True)\n    for line in running.lines(): pass\n"
    )
    parent = subprocess.Popen(
        python(code),
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    child = int(parent.stdout.readline())
    assert alive(child)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    until = time.monotonic() + 10
    while alive(child) and time.monotonic() < until:
        time.sleep(0.05)
    assert not alive(child)


def test_silence_and_absence(tmp_path):
    with pytest.raises(RunError, match="printed nothing for 1 s"):
        process.run(python("import time; time.sleep(600)"), cwd=tmp_path, silence_s=1)
    with pytest.raises(RunError, match="cannot be run"):
        process.run(["/nowhere/darknet"], cwd=tmp_path)


def test_one_signal_is_noted_and_two_are_obeyed():
    before = signal.getsignal(signal.SIGTERM)
    with interruptible() as asked:
        os.kill(os.getpid(), signal.SIGTERM)
        assert asked == ["SIGTERM"]
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGHUP)
    assert signal.getsignal(signal.SIGTERM) is before
