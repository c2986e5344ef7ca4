"""How commands show themselves: sections, whole lines, names that people know from elsewhere."""

import os
import subprocess
import sys

import click
import pytest

from emotion.cli import ALSO, COMMANDS, INSTEAD, SECTIONS, emo, groups, main


def commands(command=emo, path=("emo",)):
    ctx = click.Context(command, info_name=path[-1], help_option_names=["-h", "--help"])
    if isinstance(command, click.Group):
        for name in command.list_commands(ctx):
            yield from commands(command.get_command(ctx, name), (*path, name))
    else:
        yield path, command


def run(capsys, *args):
    with pytest.raises(SystemExit) as done:
        main(list(args))
    return done.value.code, *capsys.readouterr()


def test_every_command_stands_in_one_section():
    assert sorted(name for names in SECTIONS.values() for name in names) == sorted(COMMANDS)


def test_help_has_whole_lines(capsys):
    for name in ("dataset", "cfg", "models", "recipes"):
        code, out, _ = run(capsys, name, "--help")
        assert code == 0 and "..." not in out.partition("Commands:")[2]


@pytest.mark.parametrize("width", [80, 100])
@pytest.mark.parametrize(("path", "command"), [pytest.param(*item, id=" ".join(item[0])) for item in commands()])
def test_help_fits_the_terminal(path, command, width):
    """Also the examples and tables, which nothing wraps."""
    context = click.Context(command, info_name=" ".join(path), terminal_width=width, help_option_names=["-h", "--help"])
    text = command.get_help(context)
    assert [line for line in text.splitlines() if len(line) > width] == []
    assert not [line for line in text.splitlines() if "\b" in line or "\\u0008" in line], "a mark of click's is seen"


@pytest.mark.parametrize(("path", "command"), [pytest.param(*item, id=" ".join(item[0])) for item in commands()])
def test_no_option_is_lost_in_the_sections(path, command):
    assert isinstance(command, groups.Command)
    text = command.get_help(click.Context(command, info_name=path[-1], help_option_names=["-h", "--help"]))
    for option in command.params:
        if isinstance(option, click.Option) and not option.hidden:
            assert f" {max(option.opts, key=len)}" in text, option.opts


def test_sections_of_a_long_command(capsys):
    _, out, _ = run(capsys, "detect", "--help")
    order = [out.index(f"\n{heading}:\n") for heading in ("Model", "Tracking", "Where it computes", "What is written")]
    assert order == sorted(order)


def test_names_from_elsewhere(capsys):
    assert all(name in COMMANDS for name in ALSO.values()) and not {*ALSO, *INSTEAD} & {*COMMANDS}
    assert run(capsys, "predict", "--help") == run(capsys, "detect", "--help")
    assert run(capsys, "val", "--help") == run(capsys, "evaluate", "--help")
    code, _, err = run(capsys, "webcam")
    assert code == 2 and err == "emo: no command 'webcam' (type: emo serve, or emo detect camera)\n"
    code, _, err = run(capsys, "dataset", "chekc")
    assert code == 2 and "did you mean 'check'?" in err


def test_settings_of_the_environment_hold_for_the_other_name_too(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("EMO_DETECT_CONF", "2")
    code, _, err = run(capsys, "predict", str(tmp_path))
    assert code == 2 and "EMO_DETECT_CONF" in err


def test_completion_in_the_shell():
    def completed(words):
        asked = {"_EMO_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)}
        done = subprocess.run(
            [sys.executable, "-m", "emotion.cli"], env=os.environ | asked, capture_output=True, text=True, check=True
        )
        return [line.partition(",")[2] for line in done.stdout.splitlines()]

    assert completed("emo de") == ["detect"]
    assert completed("emo detect --back") == ["--backend"]
    assert completed("emo dataset ch") == ["check"]
    assert "opencv" in completed("emo detect --backend o")
    source = subprocess.run(
        [sys.executable, "-m", "emotion.cli"],
        env=os.environ | {"_EMO_COMPLETE": "zsh_source"},
        capture_output=True,
        text=True,
    )
    assert "compdef" in source.stdout
