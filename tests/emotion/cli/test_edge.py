"""The edge of the command line, in real processes: one line on stderr, the exit code, streams that are closed or
full.
"""

import json
import os
import subprocess
import sys

import click
import pytest
from click.core import ParameterSource
from PIL import Image

from darknet_runner.signals import STOPS
from emotion.cli import _usage, config, emo as root


def emo(*args, env=(), **settings):
    settings = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL} | settings
    return subprocess.run([sys.executable, "-m", "emotion.cli", *args], env={**os.environ, **dict(env)}, **settings)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["nope"], b"no command 'nope'"),
        (["convert"], b"KIND"),
        (["convert", "affectnet", "--nope"], b"--nope"),
        (["convert", "affectnot"], b"affectnot"),
        (["detect", "x.jpg", "--conf", "nan"], b"nan"),
        (["detect", "x.jpg", "--conf", "inf"], b"inf"),
        (["detect", "x.jpg", "--threads", "9" * 30], b"--threads"),
        (["detect", ""], b"empty"),
        (["convert", "affectnet", "--out="], b"--out="),
        (["cfg", "show", "nope"], b"nope"),
    ],
)
def test_usage_is_one_line_and_2(args, said, tmp_path):
    run = emo(*args, cwd=tmp_path)
    assert run.returncode == 2
    assert run.stderr.startswith(b"emo: ") and run.stderr.count(b"\n") == 1 and said in run.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "args",
    [
        ["convert", "affectnet", "gone"],
        ["detect", "gone.mp4"],
        ["detect", "gone/"],
        ["detect", "here.jpg", "--system", "two-stage", "--face-model", "gone.onnx"],
        ["detect", "here.jpg", "--weights", "gone.weights"],
        ["detect", "here.jpg", "--names", "gone.names"],
        ["compare", "two-stage", "vs", "yolo", "gone.mp4"],
        ["compare", "two-stage", "vs", "yolo", "--data", "gone.data"],
        ["compare", "two-stage:gone.onnx", "vs", "yolo"],
        ["--config", "gone.toml", "detect", "here.jpg"],
        ["detect", "here.jpg", "--model", "gone/"],
        ["detect", "here.jpg", "--model", "gone.cfg"],
        ["export", "gone.weights"],
        ["draw", "gone.jsonl", "here.jpg"],
        ["models", "show", "gone/model"],
        ["evaluate", "gone/model", "--data", "gone.data"],
        ["evaluate", "emo-s", "--data", "gone.data"],
        ["dataset", "check", "gone"],
        ["dataset", "check", "gone/"],
        ["dataset", "check", "gone.data"],
        ["dataset", "stats", "gone"],
        ["dataset", "view", "gone", "--out", "x.jpg"],
        ["dataset", "split", "gone", "--out", "x"],
        ["dataset", "merge", "gone", "gone2", "--out", "x"],
        ["cfg", "show", "gone.cfg"],
        ["cfg", "render", "gone/x", "--classes", "7"],
        ["darknet", "train", "--cfg", "gone.cfg", "--data", "gone.data"],
        ["darknet", "train", "--resume", "gone"],
        ["darknet", "train", "--resume", "gone/run-001"],
        ["darknet", "pipeline", "--resume", "gone"],
        ["darknet", "valid", "gone"],
        ["darknet", "map", "gone/run-001"],
        ["darknet", "top-k", "gone"],
        ["darknet", "test", "here.jpg", "--run", "gone"],
        ["darknet", "log", "gone.log"],
        ["darknet", "anchors", "--data", "gone.data"],
        ["darknet", "partial", "gone.cfg", "gone.weights", "x", "3"],
    ],
)
def test_what_is_named_and_not_there_is_1_everywhere(args, tmp_path):
    """2 is for a command line that cannot be meant; this one can, once the file is there."""
    Image.new("RGB", (8, 8)).save(tmp_path / "here.jpg")
    run = emo(*args, cwd=tmp_path)
    assert (run.returncode, run.stdout, run.stderr.count(b"\n")) == (1, b"", 1) and run.stderr.startswith(b"emo: gone")
    assert os.listdir(tmp_path) == ["here.jpg"]


def commands(group, ctx, path=()):
    """Every command with the context it is called in: ((name, ...), command, context)."""
    for name in group.list_commands(ctx):
        _, command, _ = group.resolve_command(ctx, [name])
        inner = command.make_context(name, [], parent=ctx, resilient_parsing=True)
        yield (*path, name), command, inner
        if isinstance(command, click.Group):
            yield from commands(command, inner, (*path, name))


def test_environment_and_settings_have_the_names_of_the_command_line(monkeypatch):
    """Every option of every command: its own long name, from there and from nowhere else, and it is told so."""
    seen = set()
    top = root.make_context("emo", ["cfg"], resilient_parsing=True)
    for path, command, ctx in commands(root, top):
        for option in command.params:
            if not isinstance(option, click.Option):
                continue
            long = next(name for name in option.opts if name.startswith("--"))[2:]
            name = "_".join(["EMO", *path, long]).upper().replace("-", "_")
            value = option.type.choices[-1] if isinstance(option.type, click.Choice) else "1"
            with monkeypatch.context() as patch:
                patch.setenv(name, str(value))
                told = command.make_context(path[-1], [], parent=ctx.parent, resilient_parsing=True)
                assert told.get_parameter_source(option.name) is ParameterSource.ENVIRONMENT, name
                assert f", from {name} (see " in _usage(click.BadParameter("bad", ctx=told, param=option))
            if option.name != long.replace("-", "_"):
                with monkeypatch.context() as patch:
                    patch.setenv("_".join(["EMO", *path, option.name]).upper().replace("-", "_"), str(value))
                    told = command.make_context(path[-1], [], parent=ctx.parent, resilient_parsing=True)
                    assert told.get_parameter_source(option.name) is not ParameterSource.ENVIRONMENT, name
            wanted = True if option.is_flag else "1"
            assert config._checked({long: wanted}, command, ctx, "my.toml", "") == {
                option.name: ["1"] if option.multiple else wanted
            }
            seen.add(name)
    assert {
        "EMO_DETECT_JSON",
        "EMO_CONVERT_WITH",
        "EMO_DATASET_SYNTH_AS",
        "EMO_DARKNET_MAP_JSON",
        "EMO_DARKNET_TOP_K_JSON",
    } <= seen and len(seen) > 100


def test_an_option_from_the_environment(tmp_path):
    run = emo(
        "cfg",
        "schedule",
        "--images",
        "10",
        "--epochs",
        "3",
        env={"EMO_CFG_SCHEDULE_JSON": "1", "EMO_CFG_SCHEDULE_ROUND": "100", "EMO_VERSION": "1.2"},
        cwd=tmp_path,
    )
    assert run.returncode == 0 and json.loads(run.stdout)["max_batches"] % 100 == 0
    assert (
        b"from EMO_CFG_SCHEDULE_ROUND"
        in emo("cfg", "schedule", env={"EMO_CFG_SCHEDULE_ROUND": "x"}, cwd=tmp_path).stderr
    )
    assert b"from EMO_CONFIG" in emo("cfg", "list", env={"EMO_CONFIG": str(tmp_path)}).stderr


def test_a_bad_value_names_the_variable_or_the_file_it_comes_from(tmp_path):
    assert b"from EMO_DETECT_CONF" in emo("detect", "x.jpg", env={"EMO_DETECT_CONF": "7"}, cwd=tmp_path).stderr
    (tmp_path / "my.toml").write_text('[detect]\nconf = "high"\n')
    assert b"from my.toml" in emo("--config", "my.toml", "detect", "x.jpg", cwd=tmp_path).stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[detect]\nconf = [1, 2]", b"'detect.conf' takes one value"),
        ("[detect]\nforce = 'yes'", b"true or false"),
        ("[detect]\nout = true", b"one value"),
        ("[detect]\nformce = 1", b"did you mean 'force'"),
        ("detect = 1", b"[detect]"),
        ("detect = [", b"is not TOML"),
    ],
)
def test_config_that_does_not_fit(text, said, tmp_path):
    (tmp_path / "my.toml").write_text(text)
    run = emo("--config", "my.toml", "detect", "x.jpg", cwd=tmp_path)
    assert run.returncode == 2 and said in run.stderr and run.stderr.count(b"\n") == 1


def test_config_takes_the_names_of_the_command_line(tmp_path):
    """`with` and `json` are not what the functions call them; a byte order mark and a number for a choice do no
    harm.
    """
    (tmp_path / "my.toml").write_text('\ufeff[dataset.synth]\nas = "fer2013"\ncount = 9\njson = true\nout = "fer"\n')
    run = emo("--config", "my.toml", "dataset", "synth", cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith(b"{") and (tmp_path / "fer/fer2013.csv").is_file()


def test_a_name_that_is_too_long(tmp_path):
    run = emo("convert", "affectnet", "x" * 300, cwd=tmp_path)
    assert run.returncode == 1 and run.stderr.count(b"\n") == 1 and b"too long" in run.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_full_disk_behind_stdout():
    with open("/dev/full", "w") as full:
        run = emo("cfg", "list", stdout=full)
    assert run.returncode == 1 and run.stderr == b"emo: standard output: No space left on device\n"


def test_a_reader_that_leaves():
    read, write = os.pipe()
    os.close(read)
    run = emo("cfg", "show", "v4", stdout=write)
    os.close(write)
    assert run.returncode == 141 and not run.stderr


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_streams_that_are_closed(closed, tmp_path):
    """A file opened later must not become stdout or stderr."""
    line = f'"{sys.executable}" -m emotion.cli cfg render v3-tiny --classes 7 --out my.cfg {closed}'
    run = subprocess.run(["sh", "-c", line], cwd=tmp_path, capture_output=True)
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "my.cfg").read_text().startswith(("#", "[net]"))


def test_a_name_cannot_break_or_colour_the_line(tmp_path):
    run = emo("detect", "a\n\x1b[31mred\udcff.jpg", cwd=tmp_path)
    assert run.returncode == 1 and b"\x1b" not in run.stderr and run.stderr.count(b"\n") == 1


@pytest.mark.parametrize("number", STOPS)
def test_ended_from_outside(number, tmp_path):
    """130, one line, and nothing that looks finished."""
    command = [
        sys.executable,
        "-m",
        "emotion.cli",
        "dataset",
        "synth",
        "--as",
        "yolo",
        "--count",
        "100000",
        "--out",
        "big",
    ]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    for _ in range(600):
        if list(tmp_path.glob(".big.partial/*")):
            break
        try:
            process.wait(0.1)
        except subprocess.TimeoutExpired:
            pass
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130 and said.replace(b"\r", b"\n").strip().split(b"\n")[-1] == b"emo: interrupted"
    assert not (tmp_path / "big").exists()


@pytest.mark.parametrize(
    ("command", "file"),
    [
        ("darknet log train.log --out out", "out/metrics.csv"),
        ("detect 1.png --out out --no-annotate", "out/detections"),
        ("cfg render v4-tiny --classes 7 --out my.cfg", "my.cfg"),
        ("dataset stats set --out out", "out/classes.png"),
    ],
)
def test_a_full_disk_is_told_with_the_file_and_not_as_standard_output(command, file, tmp_path):
    """A limit on the files' size stands in for it."""
    (tmp_path / "train.log").write_text(
        "".join(f"{number}: 3.5, 3.5 avg, 0.001 rate, 0.1 seconds, 640 images\n" for number in range(1, 400))
    )
    Image.new("RGB", (64, 64)).save(tmp_path / "1.png")
    (tmp_path / "set").mkdir()
    Image.new("RGB", (64, 64)).save(tmp_path / "set" / "1.png")
    for name, text in (
        ("1.txt", "0 0.5 0.5 0.5 0.5\n"),
        ("train.txt", "1.png\n"),
        ("names.txt", "Happy\n"),
        ("emo.data", "classes=1\ntrain=train.txt\nnames=names.txt\n"),
    ):
        (tmp_path / "set" / name).write_text(text)
    run = subprocess.run(
        ["sh", "-c", f'ulimit -f 1; exec "{sys.executable}" -m emotion.cli {command}'],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert (
        run.returncode == 1
        and run.stdout == ""
        and "File too large" in run.stderr
        and "standard output" not in run.stderr
    )
    assert run.stderr.splitlines()[-1].startswith(f"emo: {file}"), run.stderr
    assert not (tmp_path / file).is_file()


@pytest.mark.parametrize(
    "fault", ["MissingExtra('onnxruntime', 'onnx', 'this')", "SystemError('initialization failed')"]
)
def test_an_interruption_is_one_whatever_it_broke_in(fault):
    """A library in C that is interrupted while it is imported tells a fault of its own, and what it broke in makes
    something of that.
    """
    code = f"""
import signal
from converters.errors import MissingExtra
from emotion import detect_many
from emotion.cli import main
def broken(*args):
    try:
        signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt:
        raise {fault} from None
detect_many.expand = broken
main(["detect", "a.mp4"])
"""
    run = subprocess.run(
        [sys.executable, "-c", "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n" + code],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.returncode == 130 and run.stderr == "emo: interrupted\n"
