"""Signals at random moments: whatever the command is at, it ends at once, says so in one line, leaves no process behind
and nothing half written.

    EMO_SIGNALS=50 pytest tests/emotion/test_interrupted.py       # so many of each kind; 1 by default
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import pytest

ROUNDS = int(os.environ.get("EMO_SIGNALS", 1))
pytestmark = pytest.mark.skipif(not hasattr(os, "killpg"), reason="no groups of processes here")
# Python's own start, which nobody can guard, is over when this speaks; then all is as behind `before_imports`.
CODE = (
    "import signal; signal.signal(signal.SIGINT, signal.SIG_DFL); print('ready', flush=True); "
    "from emotion.cli import main; main()"
)


@pytest.fixture(scope="module")
def media(tmp_path_factory, squares, video_factory):
    folder = tmp_path_factory.mktemp("media")
    frames = [squares([(index // 8 % 4, 1, 2)], scale=4)[0] for index in range(400)]
    for name in ("a", "b"):
        video_factory(folder / f"{name}.mp4", frames, fps=20)
    (folder / "pictures").mkdir()
    for index in range(120):
        cv2.imwrite(str(folder / "pictures" / f"{index}.png"), frames[index])
    return folder


ALL = "media,jsonl,csv,summary,crops,labels,coco"
COMMANDS = {
    "video": ["detect", "a.mp4", "--outputs", ALL],
    "folder": ["detect", "pictures", "--outputs", ALL],
    "folder in processes": ["detect", "pictures", "--jobs", "2"],
    "videos in processes": ["detect", "a.mp4", "b.mp4", "--jobs", "2"],
    "serve": ["serve", "--port", "0", "--source", "a.mp4"],
}


@pytest.mark.parametrize("kind", COMMANDS)
@pytest.mark.parametrize("how", ["SIGINT", "SIGTERM", "twice", "group"])
def test_a_signal_at_any_moment(kind, how, media, tmp_path, detector_folder):
    for number in range(ROUNDS):
        moment = random.uniform(0, 3)
        out = tmp_path / str(number)
        command = [*COMMANDS[kind], "--model", str(detector_folder), "--backend", "opencv", "--threads", "1"]
        code, said = interrupted([*command, *(() if kind == "serve" else ("--out", str(out)))], how, moment, media)
        told = f"{kind}, {how} after {moment} s: {code}\n{said}"
        lines = said.splitlines()
        assert all(line.startswith("emo: ") for line in lines), told
        if code == -(signal.SIGTERM if how == "SIGTERM" else signal.SIGINT):
            assert lines == [], told  # before the command had begun
        else:
            assert code == (130 if lines and lines[-1] == "emo: interrupted" else 0), told
        for path in out.rglob("*"):
            if ".jsonl" in path.name:
                assert all(json.loads(line) for line in path.read_text().splitlines()), told
                assert path.read_bytes()[-1:] in (b"\n", b""), told
            if path.suffix == ".mp4":
                assert cv2.VideoCapture(str(path)).read()[0], f"{path} does not play: {told}"
            assert not path.name.endswith(".lock"), told


def interrupted(arguments: list[str], how: str, moment: float, where: Path) -> tuple[int, str]:
    """(exit code, stderr) of the command that gets a signal so many seconds after its start; all its processes have
    gone by then.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", CODE, *arguments],
        cwd=where,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # also under nohup
    )
    assert process.stdout.readline() == "ready\n"
    time.sleep(moment)
    if how == "group":  # as a terminal does
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.send_signal(signal.SIGTERM if how == "SIGTERM" else signal.SIGINT)
        if how == "twice":
            time.sleep(random.uniform(0, 0.3))
            process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=120)[1]
    for _ in range(300):
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return process.returncode, said
        time.sleep(0.1)
    raise AssertionError(f"a process of {arguments} goes on")


@pytest.mark.parametrize("name, silent", [("/usr/bin/emo", True), ("-m", True), ("/usr/bin/pytest", False)])
def test_only_where_it_is_the_command_an_import_is_interrupted_in_silence(name, silent):
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); sys.argv[0] = sys.argv[1]; "
        "import emotion.cli; print(signal.getsignal(signal.SIGINT) == signal.SIG_DFL)"
    )
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    told = subprocess.run([sys.executable, "-c", code, name], capture_output=True, text=True, env=env)
    assert told.stdout == f"{silent}\n", told.stderr
