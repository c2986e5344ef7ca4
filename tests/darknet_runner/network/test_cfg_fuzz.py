"""Cfgs as people break them: whatever is read, rendered, traced, drawn or checked gives an answer or one line."""

import itertools
import random
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from converters.darknet_format.files import DataFile
from converters.errors import EmoError
from darknet_runner.network import cfg_diff, cfg_file, layers, templates, weights_file
from darknet_runner.run import preflight

CASES = Path(__file__).resolve().parents[4] / "shared/cases"
DATA = DataFile(
    Path("x.data"), classes=7, names=tuple("abcdefg"), train=None, valid=None, backup=None, top=2, labels=None
)
VALUES = (
    "0",
    "-1",
    "1",
    "2",
    "65536",
    "99999999999",
    "1e400",
    "nan",
    "",
    "x",
    "1.5",
    ",",
    "0,1",
    "-1,-1",
    "999",
    "7",
    "0.0",
    "-0.5",
    "leaky",
    "mish",
)


def use(text):
    """What the commands do with a cfg. Returns the errors, each one line."""
    said = []

    def attempt(function):
        try:
            return function()
        except EmoError as error:
            said.append(str(error))
            assert "\n" not in str(error)
            return None

    parsed = attempt(lambda: cfg_file.parse(text, "my.cfg"))
    if parsed is None:
        return said
    cfg_file.findings(parsed)
    assert cfg_file.plain_text(parsed).isascii()
    traced = attempt(lambda: layers.trace(parsed))
    if traced is not None:
        layers.total_bflops(traced)
        weights_file.weights_bytes(traced)
        attempt(lambda: cfg_diff.first_difference(parsed, parsed))
    for more in ({}, {"size": 64, "iterations": 100}, {"size": (96, 32), "batch": 4, "anchors": [(10, 10)] * 6}):
        attempt(lambda more=more: templates.render(parsed, 7, **more))
    attempt(lambda: templates.classes_of(parsed))
    preflight.check_cfg(parsed, DATA)
    return said


def mutated(text, seed):
    """Lines changed, repeated, taken out, swapped; values replaced; a section cut away."""
    rng = random.Random(seed)
    lines = text.split("\n")
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(lines))
        kind = rng.randrange(6)
        if kind == 0:
            del lines[at]
        elif kind == 1:
            lines.insert(at, rng.choice(lines))
        elif kind == 2 and "=" in lines[at]:
            lines[at] = lines[at].partition("=")[0] + "=" + rng.choice(VALUES)
        elif kind == 3 and lines[at]:
            place = rng.randrange(len(lines[at]))
            lines[at] = lines[at][:place] + rng.choice("=[],-#;\x00é 0") + lines[at][place + 1 :]
        elif kind == 4:
            del lines[at : at + rng.randint(1, 12)]
        elif kind == 5:
            other = rng.randrange(len(lines))
            lines[at], lines[other] = lines[other], lines[at]
        if not lines:
            return ""
    return "\n".join(lines)


TEXTS = {name: templates.load(name).text for name in templates.names() if len(templates.load(name).layers) < 60}


@settings(max_examples=150)
@given(st.sampled_from(sorted(TEXTS)), st.integers(0, 2**32))
def test_a_mutated_cfg_gives_an_answer_or_one_line(name, seed):
    use(mutated(TEXTS[name], seed))


@settings(max_examples=100)
@given(st.text(alphabet=st.sampled_from("[]=,.-#; \n\r\t\x000123456789netconvolutionalyolowidthheight")))
def test_any_text_gives_an_answer_or_one_line(text):
    use(text)


@pytest.mark.parametrize("key", ["width", "height", "channels"])
@pytest.mark.parametrize("value", [None, "0", "-5", "x"])
def test_a_net_without_extent_is_one_line(key, value):
    lines = [line for line in TEXTS["v4-tiny"].split("\n") if not line.startswith(f"{key}=")]
    if value is not None:
        lines.insert(lines.index("[net]") + 1, f"{key}={value}")
    assert use("\n".join(lines))


@pytest.mark.parametrize("file", sorted((CASES / "fuzz").glob("*.cfg")) or [None], ids=lambda path: path and path.stem)
def test_cfgs_that_were_tracebacks(file):
    if file is None:
        pytest.skip("../shared/cases is not here")
    use(file.read_bytes().decode("utf-8", "surrogateescape"))


def test_an_option_that_is_misspelt_is_told_with_what_it_breaks():
    text = TEXTS["v4-tiny"].replace("filters=", "FILTERS=")
    (fault, *_) = use(text)
    assert "knows no 'FILTERS' (did you mean 'filters'?)" in fault and "known:" not in fault


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "latin-1"])
def test_a_cfg_as_windows_editors_save_it(encoding, tmp_path):
    """Read as what it says; what is not UTF-8 in a comment stays byte for byte."""
    text = "# für Übung\r\n[network]\r\nwidth = 32\r\nheight=32\r\nchannels=3\r\n[conv]\r\nfilters=4\r\n"
    (tmp_path / "a.cfg").write_bytes(text.encode(encoding))
    cfg = cfg_file.load(tmp_path / "a.cfg")
    assert cfg.size_wh == (32, 32) and [section.type for section in cfg.sections] == ["net", "convolutional"]
    assert cfg_file.plain_text(cfg) == "[net]\nwidth=32\nheight=32\nchannels=3\n[convolutional]\nfilters=4\n"
    cfg_file.save(cfg, tmp_path / "b.cfg")
    if encoding == "latin-1":
        assert (tmp_path / "b.cfg").read_bytes() == (tmp_path / "a.cfg").read_bytes()
    else:
        assert (tmp_path / "b.cfg").read_text(encoding="utf-8").replace("\r", "") == text.replace("\r", "")


@pytest.mark.parametrize("content", [b"\xff\xfe\x00\xd8\x00", b"\0\0\0\0", b"[net]\n\0width=3"])
def test_bytes_that_are_no_cfg(content, tmp_path):
    (tmp_path / "a.cfg").write_bytes(content)
    with pytest.raises(EmoError) as fault:
        cfg_file.load(tmp_path / "a.cfg")
    assert "\n" not in str(fault.value)


def test_the_mutations_reach_what_is_behind_the_parser():
    """The fuzzing is worth something: a fair share of its cfgs is still traced."""
    traced = 0
    for name, seed in itertools.product(sorted(TEXTS)[:3], range(30)):
        try:
            layers.trace(cfg_file.parse(mutated(TEXTS[name], seed)))
            traced += 1
        except EmoError:
            pass
    assert 15 < traced < 85
