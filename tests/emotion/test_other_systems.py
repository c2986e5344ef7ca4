"""emo where Unix is not: what only Unix has is taken away before it starts."""

import subprocess
import sys

WITHOUT_UNIX = """
import multiprocessing, os, signal, subprocess, sys, tempfile

# What is built for Unix asks for Unix.
import cv2, joblib, matplotlib.figure, numpy, PIL.Image

sys.modules |= dict.fromkeys(("fcntl", "pty", "tty", "resource", "termios", "pwd", "grp", "syslog", "curses"))
for name in ("SIGHUP", "SIGKILL", "SIGALRM", "SIGUSR1", "setitimer", "pthread_sigmask"):
    delattr(signal, name)
for name in (
    "pread", "pwrite", "fork", "killpg", "getpgid", "setsid", "getuid", "geteuid", "getgid", "uname", "statvfs",
    "getloadavg", "mkfifo", "sched_getaffinity", "sysconf", "waitid", "P_PID", "WNOHANG", "WEXITED", "WNOWAIT", "chown",
    "O_NONBLOCK", "O_CLOEXEC", "O_NOFOLLOW", "O_DIRECTORY",
):
    delattr(os, name)
os.supports_dir_fd.clear()
# Windows' locks and, since only what starts afresh is there, no forks.
sys.modules["msvcrt"] = type(sys)("msvcrt")
sys.modules["msvcrt"].LK_NBLCK, sys.modules["msvcrt"].locking = 2, lambda handle, mode, count: None
multiprocessing.get_all_start_methods = lambda: ["spawn"]
from emotion.cli import main
def emo(*arguments):
    try:
        main(list(arguments))
    except SystemExit as ended:
        if ended.code:
            raise
"""


def test_it_works_without_what_only_unix_has(tmp_path, detector_folder):
    """As on Windows: drawing a set, checking, converting it, detecting, comparing, and the import of every module."""
    code = WITHOUT_UNIX + (
        "import importlib, pkgutil, converters, darknet_runner, emotion\n"
        "for room in (converters, darknet_runner, emotion):\n"
        "    for module in pkgutil.walk_packages(room.__path__, room.__name__ + '.'):\n"
        "        if not module.name.endswith('__main__') and '.builtin' not in module.name:\n"
        "            importlib.import_module(module.name)\n"
        "model = sys.argv[1]\n"
        "emo('dataset', 'synth', '--as', 'yolo', '--count', '3', '--out', 'drawn', '--quiet')\n"
        "emo('dataset', 'check', 'drawn', '--quiet')\n"
        "emo('convert', 'yolo', 'drawn', '--task', 'detector', '--out', 'set', '--jobs', '1')\n"
        "emo('detect', 'set/train', '--model', model, '--out', 'found', '--quiet')\n"
        "emo('compare', 'yolo:' + model, 'vs', 'file:found', '--data', 'set', '--split', 'train', '--bootstrap', '0',\n"
        "    '--no-memory', '--out', 'compared', '--quiet')\n"
    )
    done = subprocess.run([sys.executable, "-c", code, detector_folder], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "compared" / "compare.json").is_file()
