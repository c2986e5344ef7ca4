"""How long work takes, told on stderr: nothing of short work, one line of long work without a terminal, a bar on
one.
"""

import os
import subprocess
import sys

import pytest

from emotion.cli import progress


class Clock:
    """`time.monotonic` that goes on by as much as each item takes."""

    def __init__(self):
        self.now = 100.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def work(clock, count, seconds, quiet=False, **options):
    for item in progress.going_through(range(count), quiet, **options):
        clock.now += seconds
    return item


def test_short_work_says_nothing(clock, capsys):
    assert work(clock, 10, 0.1) == 9 and work(clock, 15, 1) == 14
    assert capsys.readouterr() == ("", "")


def test_long_work_is_told_once_and_early(clock, capsys):
    work(clock, 4000, 0.045, unit="pictures")
    out, err = capsys.readouterr()
    assert out == "" and err == "emo: 4,000 pictures, about 3 minutes to go\n"


def test_what_is_opened_before_the_first_is_no_rate(clock, capsys):
    """Five seconds for the models, then 4,000 pictures at 45 ms: not five hours."""
    with progress.Progress(False, "pictures") as advance:
        clock.now += 5
        for done in range(1, 4001):
            clock.now += 0.045
            advance(done, 4000)
    assert capsys.readouterr().err == "emo: 4,000 pictures, about 3 minutes to go\n"


def test_quiet_says_nothing(clock, capsys):
    work(clock, 4000, 1, quiet=True)
    assert capsys.readouterr().err == ""


def test_an_item_may_stand_for_many(clock, capsys):
    for _ in progress.going_through(iter("abcd"), False, total=400, size=lambda item: 100):
        clock.now += 3600
    assert capsys.readouterr().err == "emo: 400 pictures, about 3.0 hours to go\n"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.2, "1 seconds"), (89, "89 seconds"), (90, "2 minutes"), (5399, "90 minutes"), (9000, "2.5 hours")],
)
def test_in_words(seconds, said):
    assert progress.in_words(seconds) == said


def test_nobody_knows_how_many(clock, capsys):
    with progress.Progress(False) as advance:
        for done in range(1, 100):
            clock.now += 5
            advance(done, None)
    assert capsys.readouterr().err == ""


def test_an_estimate_is_called_one(clock, capsys):
    with progress.Progress(False) as advance:
        for done in range(1, 100):
            clock.now += 1
            advance(done, 1000 - done, True)
    assert capsys.readouterr().err == "emo: about 996 frames, about 17 minutes to go\n"


def test_a_bar_on_a_terminal():
    pty, termios = pytest.importorskip("pty"), pytest.importorskip("termios")  # a terminal of Unix
    code = (
        "import time\nfrom emotion.cli import progress\nprogress.FIRST_S = 0\n"
        "for _ in progress.going_through(range(5), False): time.sleep(0.15)\n"
        "with progress.Progress(False) as advance:\n"
        "    for done in range(5): time.sleep(0.15); advance(done, 9 - done, True)"
    )
    mine, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    done = subprocess.Popen([sys.executable, "-c", code], stderr=theirs, stdout=subprocess.DEVNULL)
    os.close(theirs)
    seen = b""
    try:
        while chunk := os.read(mine, 4096):
            seen += chunk
    except OSError:  # the other end is closed
        pass
    assert done.wait() == 0 and b"/5" in seen and b"pictures" in seen
    assert b"/about 6 " in seen, seen  # an estimate, as it was told last
