"""Parsing keeps a cfg byte for byte, edits touch only their lines, and nothing is passed over in silence."""

import re
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from converters.errors import CfgError
from darknet_runner.network import cfg_file, templates

TEXT = """# a comment, kept
[net]
width = 416
height=416 # why not
channels=3

; another
[convolutional]
filters=8
activation=leaky

[convolutional]
 f i l t e r s = 16
filters=32
activation=linear"""

words = st.text("abcdefghij_", min_size=1, max_size=8)
values = st.one_of(st.integers(-9, 999).map(str), words, st.just("1,2, 3"))
line = st.one_of(
    words.map("[{}]".format),
    st.builds("{}{}={}{}".format, words, st.sampled_from(["", " ", "\t"]), st.sampled_from(["", " "]), values),
    st.just(""),
    st.text("#; abc=[]", max_size=9).map("#{}".format),
)


def test_sections_lines_and_values():
    cfg = cfg_file.parse(TEXT, "a.cfg")
    assert [section.type for section in cfg.sections] == ["net", "convolutional", "convolutional"]
    assert cfg.size_wh == (416, 416)
    assert cfg.net.lines == {"width": 3, "height": 4, "channels": 5}
    assert cfg.layers[1].integer("filters") == 16  # the first of two equal keys, blanks left out
    assert cfg.layers[1].line == 12 and cfg.layers[1].lines["filters"] == 13


@given(st.lists(line, max_size=30), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_any_cfg_survives_reading_and_writing(tmp_path_factory, lines, end, ended):
    text = end.join(["[net]", "width=8", *lines]) + (end if ended else "")
    folder = tmp_path_factory.mktemp("cfg")
    (folder / "a.cfg").write_bytes(text.encode())
    cfg = cfg_file.load(folder / "a.cfg")
    cfg_file.save(cfg, folder / "b.cfg")
    assert (folder / "b.cfg").read_bytes() == text.encode()


@given(st.lists(line, max_size=20), st.sampled_from(["\n", "\r\n"]), st.data())
def test_an_edit_changes_its_option_and_nothing_else(lines, end, data):
    cfg = cfg_file.parse(end.join(["[net]", "width=8", *lines]))
    index = data.draw(st.integers(0, len(cfg.sections) - 1))
    key, value = data.draw(words), data.draw(st.integers(0, 99))
    edited = cfg.edit({index: {key: value}})
    assert edited.sections[index].options == cfg.sections[index].options | {key: str(value)}
    for before, after in zip(
        cfg.sections[:index] + cfg.sections[index + 1 :], edited.sections[:index] + edited.sections[index + 1 :]
    ):
        assert (before.type, before.options) == (after.type, after.options)
    if end == "\r\n":
        assert "\n" not in edited.text.replace("\r\n", "")
    removed = edited.edit({index: {key: None}})
    if key not in cfg.sections[index].options:
        assert removed.sections[index].options == cfg.sections[index].options


def test_bytes_that_are_no_utf8_are_kept(tmp_path):
    (tmp_path / "a.cfg").write_bytes(b"[net]\n# caf\xe9 \xff\nwidth=8\n")
    cfg_file.save(cfg_file.load(tmp_path / "a.cfg").edit({0: {"width": 16}}), tmp_path / "b.cfg")
    assert (tmp_path / "b.cfg").read_bytes() == b"[net]\n# caf\xe9 \xff\nwidth=16\n"


def test_edit_keeps_comments_and_puts_new_options_at_the_end_of_their_section():
    edited = cfg_file.parse(TEXT).edit({0: {"width": 320, "batch": 64}, -1: {"filters": 36}})
    assert "width = 320\n" in edited.text and "# a comment, kept" in edited.text
    assert edited.text.split("\n")[4:7] == ["channels=3", "batch=64", ""]
    assert edited.layers[1].integer("filters") == 36


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("[net]\nwidth 416", 2, "expected key=value, found 'width 416'"),
        ("[net]\n[conv", 2, "without a closing bracket"),
        ("width=1\n[net]", 1, "before the first section"),
        ("[conv]\nsize=1", 1, "begins with [net]"),
        ("# nothing", 1, "begins with [net]"),
    ],
)
def test_faults_name_their_line(text, line, message):
    with pytest.raises(CfgError, match=re.escape(message)) as caught:
        cfg_file.parse(text, "a.cfg")
    assert caught.value.line == line and str(caught.value).startswith(f"a.cfg:{line}: ")


@pytest.mark.parametrize("text", ["abc", "1e999", "nan", ""])
def test_what_is_no_number_is_told_with_its_line(text):
    section = cfg_file.parse(f"[net]\nwidth={text}", "a.cfg").net
    with pytest.raises(CfgError, match="is not a number"):
        section.integer("width")


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(CfgError, match="no such cfg"):
        cfg_file.load(tmp_path / "none.cfg")
    with pytest.raises(CfgError, match="is a folder"):
        cfg_file.load(tmp_path)


def test_findings_name_line_and_nearest():
    cfg = cfg_file.parse(
        "[net]\nwidth=8\nwdth=8\nwidth=9\n[convolutonal]\nanything=1\n[conv]\nactivation=leeky\nstopbackward=1\n[yolo]\nnum=1\nmsk=0",
        "a.cfg",
    )
    found = {(one.code, one.line): one.message for one in cfg_file.findings(cfg)}
    assert set(found) == {
        ("unknown-key", 3),
        ("repeated-key", 4),
        ("unknown-section", 5),
        ("unknown-activation", 8),
        ("unknown-key", 12),
    }
    assert "did you mean 'width'?" in found["unknown-key", 3]
    assert "did you mean 'convolutional'?" in found["unknown-section", 5]
    assert "did you mean 'leaky'?" in found["unknown-activation", 8]
    assert "did you mean 'mask'?" in found["unknown-key", 12]


@pytest.mark.parametrize("name", templates.names())
def test_what_ships_has_no_findings_and_says_what_it_is(name):
    cfg = templates.load(name)
    assert cfg_file.findings(cfg) == []
    assert cfg.text.startswith(f"# {name}: ")
    assert Path(cfg.path).read_bytes() == cfg.text.encode()


NET = "[net]\nwidth=32\nheight=16\nchannels=3\n# réseau\n[conv]\nfilters=2\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32", "cp1252"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_cfg_may_be_saved_by_any_editor(encoding, end, tmp_path):
    path = tmp_path / "a.cfg"
    path.write_bytes(NET.replace("\n", end).encode(encoding))
    cfg = cfg_file.load(path)
    assert [section.type for section in cfg.sections] == ["net", "convolutional"] and cfg.size_wh == (32, 16)
    cfg_file.save(
        cfg, tmp_path / "b.cfg"
    )  # for Darknet: without a BOM, and what a comment has that is not UTF-8 as it was
    wanted = NET.replace("\n", end if end != "\r" else "\n").encode("cp1252" if encoding == "cp1252" else "utf-8")
    assert (tmp_path / "b.cfg").read_bytes() == wanted


def test_files_that_are_no_cfg(tmp_path):
    for name, content in (
        ("zip.cfg", b"PK\x03\x04" + bytes(100)),
        ("nul.cfg", b"[net]\nwidth=3\n" * 500 + b"\0\0\0"),
        ("folder.cfg", None),
    ):
        (tmp_path / name).write_bytes(content) if content is not None else (tmp_path / name).mkdir()
        with pytest.raises(CfgError) as caught:
            cfg_file.load(tmp_path / name)
        assert "\n" not in str(caught.value) and name in str(caught.value)
    with pytest.raises(CfgError, match="no such cfg"):
        cfg_file.load(tmp_path / "none.cfg")


def test_plain_is_the_network_and_nothing_else():
    cfg = cfg_file.parse("; note\n[network]\nwidth = 8 # wide\nheight=8\nheight=9\n[conv]\n f i l t e r s = 4\n[max]\n")
    assert cfg_file.plain_text(cfg) == "[net]\nwidth=8\nheight=8\n[convolutional]\nfilters=4\n[maxpool]\n"
