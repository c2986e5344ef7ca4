"""Drawings of networks: the text in them, and the same file every time."""

import subprocess
import sys
from pathlib import Path

import pytest

from converters.errors import UsageError
from darknet_runner.network import cfg_file, cfg_plot, layers, templates


def test_a_drawing_says_what_the_layers_are_and_is_the_same_every_time(tmp_path):
    cfg = templates.load("v4-tiny")
    first, second = (cfg_plot.plot(cfg, tmp_path / name) for name in ("a.svg", "b.svg"))
    assert first.read_bytes() == second.read_bytes()
    text = first.read_text()
    # glyphs are paths in the SVG; matplotlib keeps the text beside them as comments
    for expected in ("<!-- 512 3x3 -->", "<!-- upsample -->", "<!-- yolo -->", "<!-- 1/32 -->", "<!-- max 2x2/2 -->"):
        assert expected in text
    assert "v4-tiny: 38 layers, 6.06 M parameters, 6.910 BFLOPs at 416x416" in text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.svg", "b.svg"]


@pytest.mark.parametrize(("suffix", "magic"), [("png", b"\x89PNG"), ("pdf", b"%PDF")])
def test_other_formats(tmp_path, suffix, magic):
    cfg = cfg_file.parse(
        "[net]\nwidth=8\nheight=8\nchannels=1\n[conv]\nfilters=2\nsize=3\npad=1\n[shortcut]\nfrom=-1\n[avg]\n[softmax]"
    )
    assert cfg_plot.plot(cfg, tmp_path / f"a.{suffix}").read_bytes().startswith(magic)


@pytest.mark.parametrize("name", ["a.svg", "a.png"])
def test_a_full_disk_is_told_of_the_file_and_leaves_nothing(name, tmp_path):
    """A limit on the size of files fails a write as a full disk does."""
    code = f"""if 1:
        import resource, signal
        from darknet_runner.network import cfg_plot, templates
        from converters.errors import DataError
        import matplotlib.font_manager
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        try:
            cfg_plot.plot(templates.load("v4-tiny"), {str(tmp_path / name)!r})
        except DataError as error:
            print(error)"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[3])
    assert ran.stdout.startswith(f"{tmp_path / name}: cannot be written") and not ran.stderr, ran.stderr
    assert not list(tmp_path.iterdir())


def test_a_format_that_cannot_be_drawn(tmp_path):
    with pytest.raises(UsageError, match=r"one of \.png, \.svg, \.pdf"):
        cfg_plot.plot(templates.load("v4-tiny"), tmp_path / "a.txt")


@pytest.mark.parametrize(
    ("name", "index", "label"),
    [("v4", 0, "32 3x3"), ("v4", 1, "64 3x3/2"), ("v4", 108, "max 5x5/1"), ("darknet-ref", 13, "avg")],
)
def test_labels(name, index, label):
    assert cfg_plot.label(layers.trace(templates.load(name))[index]) == label
