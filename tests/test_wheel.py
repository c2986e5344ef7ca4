"""The wheel, outside the checkout: it holds its cfgs, models, media and page, and finds them."""

import os
import shutil
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("converters", "cfg", "darknet_runner", "emotion", "setup.cfg", "pyproject.toml", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The unpacked wheel's folder."""
    if find_spec("setuptools") is None:
        pytest.skip("setuptools is not installed, and building without it needs a network")
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in PARTS:  # a copy, so that building leaves nothing in the checkout
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, source / name)
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        "-w",
        str(out),
        str(source),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(next(out.glob("*.whl"))) as wheel:
        wheel.extractall(out / "site")
    return out / "site"


def test_every_data_file_is_in_it(installed):
    wanted = [path for path in (ROOT / "cfg").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    wanted += (ROOT / "emotion").rglob("*.html")
    assert [path.name for path in wanted if not (installed / path.relative_to(ROOT)).is_file()] == []
    assert not (installed / "tests").exists()


def test_it_runs_outside_the_checkout(installed, tmp_path):
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import emotion.systems.models, darknet_runner.network.templates as t, emotion.comparison.compare\n"
        "assert emotion.__file__.startswith(sys.argv[1])\n"
        "print(len(t.names()), "
        "sorted(emotion.systems.models.shipped()), "
        "all(path.is_file() for "
        "path in "
        "emotion.comparison.compare.shipped_media()))\n"
        "from emotion.cli import main; main(['cfg', 'show', 'v4-nano', '--json'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(installed)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": ""},
    )
    assert done.returncode == 0, done.stderr
    first = done.stdout.splitlines()[0]
    assert first.endswith("True") and int(first.split()[0]) == len(list((ROOT / "cfg").glob("*.cfg")))
    assert '"weights_bytes"' in done.stdout
