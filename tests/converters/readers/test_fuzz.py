"""Every reader of scripts/fuzz_sets.py with a few broken files: an answer or one line. `scripts/fuzz.py` runs many."""

import importlib
import random
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from converters.errors import EmoError

SCRIPTS = Path(__file__).resolve().parents[3] / "scripts"
if not (SCRIPTS / "fuzz_sets.py").is_file():
    pytest.skip("the scripts are not here", allow_module_level=True)
sys.path.insert(0, str(SCRIPTS))
SETS, mutated = importlib.import_module("fuzz_sets").SETS, importlib.import_module("fuzz").mutated
sys.path.remove(str(SCRIPTS))


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def made(name, folder):
    try:
        folder.mkdir()
        return SETS[name].make(folder)
    except ImportError as error:
        pytest.skip(f"needs {error.name}")


@pytest.mark.parametrize("name", SETS)
def test_what_is_whole_is_read(place, name):
    made(name, place / "set")
    SETS[name].use(place / "set")


@pytest.mark.parametrize("name", SETS)
def test_what_is_broken_is_one_line_at_most(place, name):
    path = made(name, place / "set")
    whole = path.read_bytes()

    @given(st.integers(0, 2**32))
    @settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
    def broken(seed):
        path.write_bytes(mutated(whole, random.Random(seed)))
        try:
            SETS[name].use(place / "set")
        except EmoError as error:
            assert "\n" not in str(error)

    broken()
