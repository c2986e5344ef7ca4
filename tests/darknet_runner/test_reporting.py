"""What is printed of a training: a line when a validation or the end comes, nothing but warnings under `quiet`."""

import sys

import pytest

from darknet_runner.reporting import Reporter, Step, TerminalReporter


def heard(reporter, capsys):
    reporter.begin("run-001", 0, 3)
    reporter.note("a note")
    reporter.warn("a warning")
    for iteration, validated in ((1, False), (2, True), (3, False)):
        reporter.step(Step(iteration, 3, f"line {iteration}", {"loss": "1"}, validated))
    reporter.end()
    return capsys.readouterr()


@pytest.mark.parametrize(
    ("reporter", "wanted"),
    [
        (Reporter(), []),
        (TerminalReporter(quiet=True), ["a warning"]),
        (TerminalReporter(), ["a note", "a warning", "line 2", "line 3"]),
    ],
    ids=["silent", "quiet", "usual"],
)
def test_without_a_terminal(reporter, wanted, capsys):
    printed = heard(reporter, capsys)
    assert printed.err.splitlines() == wanted and printed.out == ""


def test_a_bar_on_a_terminal(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    printed = heard(TerminalReporter(), capsys)
    assert "run-001" in printed.err and "3/3" in printed.err and "loss=1" in printed.err and "line" not in printed.err


def test_a_terminal_that_closes_ends_nothing(monkeypatch):
    class Gone:
        def isatty(self):
            return False

        def write(self, text):
            raise OSError(5, "Input/output error")

        flush = write

    monkeypatch.setattr(sys, "stderr", Gone())
    reporter = TerminalReporter()
    reporter.warn("nobody hears it")
    reporter.step(Step(1, 1, "nor this", validated=True))
