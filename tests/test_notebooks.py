"""The notebooks: their code runs from top to bottom, on the drawn data that they make, without Jupyter."""

import ast
import json
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", [pytest.param(path, id=path.stem) for path in NOTEBOOKS])
def test_it_runs(path, tmp_path, monkeypatch, capsys):
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "__main__"}
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            block = ast.parse("".join(cell["source"]))
            shown = ast.Expression(block.body.pop().value) if isinstance(block.body[-1], ast.Expr) else None
            exec(compile(block, f"{path.name}, {cell['id']}", "exec"), names)
            if shown is not None:  # what Jupyter would show below the cell
                value = eval(compile(shown, f"{path.name}, {cell['id']}", "eval"), names)
                assert value is None or getattr(value, "_repr_jpeg_", lambda value=value: repr(value))()
    assert (tmp_path / "runs").is_dir()
