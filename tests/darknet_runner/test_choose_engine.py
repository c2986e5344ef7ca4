"""Which engine is chosen, and the line that says why."""

import pytest

from converters.errors import RunError
from darknet_runner import choose_engine
from darknet_runner.compiled import binary


@pytest.fixture
def program(tmp_path, monkeypatch):
    monkeypatch.delenv("EMO_DARKNET", raising=False)
    path = tmp_path / "darknet"
    path.write_text("#!/bin/sh\necho Not an option: version >&2\n")
    path.chmod(0o755)
    return path


def chosen(wanted, answer, **options):
    found, why = choose_engine.choose_engine(wanted, lambda compiled: answer, **options)
    return found.name, why


def test_auto_takes_a_binary_that_can_do_the_whole_job(program):
    assert chosen("auto", ([], []), darknet=program)[0] == "compiled"
    assert chosen("auto", (["no v4"], ["slow"]), darknet=program) == ("builtin", "the built-in engine: no v4")
    assert chosen("auto", ([], ["cannot validate"]), darknet=program) == (
        "builtin",
        "the built-in engine: cannot validate",
    )


def test_what_was_asked_for(program):
    assert chosen("builtin", ([], []), darknet=program) == ("builtin", "the built-in engine, as asked")
    assert chosen("compiled", ([], ["cannot validate"]), darknet=program)[0] == "compiled"
    with pytest.raises(RunError, match="no v4; no GPU"):
        chosen("compiled", (["no v4", "no GPU"], []), darknet=program)


def test_without_pytorch(program, monkeypatch):
    monkeypatch.setattr(choose_engine, "find_spec", lambda name: None)
    name, why = chosen("auto", ([], ["cannot validate"]), darknet=program)
    assert name == "compiled" and "PyTorch" in why
    with pytest.raises(RunError, match=r"no v4.*emo-darknet\[train\]"):
        chosen("auto", (["no v4"], []), darknet=program)


def test_without_a_binary(monkeypatch, tmp_path, program):
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    monkeypatch.setattr(binary, "SYSTEM_PLACES", ())
    assert chosen("auto", ([], [])) == ("builtin", "the built-in engine: no Darknet binary was found")
    with pytest.raises(RunError, match="no Darknet binary was found.*--darknet PATH"):
        chosen("compiled", ([], []))
    with pytest.raises(RunError, match="no such program"):
        chosen("auto", ([], []), darknet=tmp_path / "gone")
    program.write_text("#!/bin/sh\necho hello\n")
    with pytest.raises(RunError, match="is not a Darknet that emo knows"):
        chosen("auto", ([], []), darknet=program)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert "is not a Darknet that emo knows" in chosen("auto", ([], []))[1], (
        "one on the PATH that is something else ends nothing"
    )
