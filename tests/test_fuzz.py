"""scripts/fuzz.py: a few hundred mutated inputs into every reader, and that it would find what it looks for."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("resource", reason="limits on memory and CPU")
ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "scripts" / "fuzz.py"
if not SCRIPT.is_file():
    pytest.skip("the scripts are not here", allow_module_level=True)


def test_mutated_inputs_give_a_result_or_one_error(tmp_path):
    ran = subprocess.run(
        [sys.executable, str(SCRIPT), "--count", "280", "--out", str(tmp_path / "finds")],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert ran.returncode == 0 and "280 inputs, 0 finds" in ran.stdout, ran.stdout + ran.stderr[-2000:]


@pytest.mark.parametrize(
    ("reader", "words"),
    [
        ("raise ValueError('planted')", "ValueError: planted"),
        ("bytearray(3 << 30)", "MemoryError"),
        ("while True: pass", "CPU for 1 s"),
        ("import os; os.abort()", "ended by signal 6"),
        ("import os; os._exit(3)", "ended with 3"),
        ("from converters.errors import DataError; raise DataError('fine')", None),
        ("pass", None),
    ],
)
def test_what_it_finds(reader, words, tmp_path):
    """Each in a reader of run.json, where the input that did it is kept."""
    code = f"""if True:
        import importlib.util, json, sys
        from pathlib import Path
        spec = importlib.util.spec_from_file_location("fuzz", {str(SCRIPT)!r})
        fuzz = importlib.util.module_from_spec(spec); spec.loader.exec_module(fuzz)
        fuzz.LONGEST_S = 1
        def planted(file):
            {reader}
        def seeds(root):
            (root / "run.json").write_text("{{}}")
            return {{"run": [root / "run.json"]}}
        fuzz.READERS["run"], fuzz.seeds = (lambda file: None), seeds
        whole = fuzz.batch
        def batch(*args):
            fuzz.READERS["run"] = planted
            whole(*args)
        fuzz.batch = batch
        print(json.dumps([[*key, count] for key, count in fuzz.fuzz(2, 0, [], Path({str(tmp_path)!r}), lambda text: None).items()]))"""  # noqa: E501
    ran = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == ([["run", words, 2]] if words else [])
    assert bool(list(tmp_path.glob("run-*.json"))) == bool(words)


def test_the_same_seed_gives_the_same_inputs():
    spec = importlib.util.spec_from_file_location("fuzz", SCRIPT)
    fuzz = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fuzz)
    import random

    data = b"a,b\n1,2\n3,4\n"
    once, again = ([fuzz.mutated(data, random.Random(seed)) for seed in range(50)] for _ in range(2))
    assert once == again and len(set(once)) > 40
