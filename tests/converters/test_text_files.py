"""Text files as editors, spreadsheets and Windows save them: one opener takes them all, or says in one line why not."""

import os

import pytest

from converters.errors import DataError
from converters.text_files import (
    fields_of,
    number,
    numbered_lines,
    open_text,
    read_json,
    read_text,
    read_toml,
    read_yaml,
    slashes,
    table_rows,
)

TEXT = "Wütend\r\nFröhlich\n"


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "file"
    return lambda data: path.write_bytes(data) and path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
def test_every_encoding_gives_the_same_text(file, encoding):
    assert read_text(file(TEXT.encode(encoding))) == "Wütend\nFröhlich\n"
    assert numbered_lines(file(("\n\n" + TEXT).encode(encoding))) == [(3, "Wütend"), (4, "Fröhlich")]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_a_stream_knows_them_too(file, encoding):
    with open_text(file(TEXT.encode(encoding))) as stream:
        assert stream.read() == TEXT


def test_names_of_files_keep_their_bytes(file):
    assert os.fsencode(read_text(file(b"nu\xff.jpg"), names=True)) == b"nu\xff.jpg"


@pytest.mark.parametrize(
    "data, said",
    [
        (b"a\0b\0\0c", "NUL"),
        (b"\xff\xfea\0b", "UTF-16-LE"),
        (b"\xff\xfe\0\0abc", "UTF-32"),
        (bytes(range(256)), "NUL"),
    ],
)
def test_what_is_no_text_is_said_to_be_none(file, data, said):
    with pytest.raises(DataError, match=said):
        read_text(file(data))


def test_missing_folders_pipes_and_endless_files(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path, said in (
        (tmp_path / "none", "no such file"),
        (tmp_path, "is a folder"),
        (tmp_path / "pipe", "not a regular file"),
        ("/dev/zero", "not a regular file"),
        (tmp_path / "none" / "x", "no such file"),
        ("a\0b", "cannot be read"),
    ):
        with pytest.raises(DataError, match=said):
            read_text(path)
    (tmp_path / "long").write_bytes(b"x" * 3000)
    with pytest.raises(DataError, match="longer than"):
        read_text(tmp_path / "long", most=2000)


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
@pytest.mark.parametrize("before", ["", "sep=;\r\n", "\n\n", '"sep=;"\n'])
def test_a_table_is_the_same_whatever_separates_it(file, separator, encoding, before):
    lines = [
        ["Emotion", " pixels ", "Usage"],
        ["3", "1 2 3", "Training"],
        [],
        ["4", '"7\n8"', ""],
        ["5"],
        ["6", "x", "y", "beyond"],
    ]
    text = before + "\r\n".join(separator.join(row) for row in lines) + "\r\n"
    start = before.count("\n")
    assert list(table_rows(file(text.encode(encoding)), ("emotion", "pixels", "usage"))) == [
        (start + 2, {"emotion": "3", "pixels": "1 2 3", "usage": "Training"}),
        (start + 5, {"emotion": "4", "pixels": "7\n8", "usage": ""}),
        (start + 6, {"emotion": "5", "pixels": "", "usage": ""}),
        (start + 7, {"emotion": "6", "pixels": "x", "usage": "y"}),
    ]


@pytest.mark.parametrize("text, said", [("", "is empty"), ("\n \n", "is empty"), ("a,b\n1,2\n", "no column emotion")])
def test_a_table_without_its_columns(file, text, said):
    with pytest.raises(DataError, match=said):
        list(
            table_rows(file(text.encode() or b""), ("emotion", "a"))
            if text
            else table_rows(file(b"\n"), ("emotion", "a"))
        )


@pytest.mark.parametrize("text, value", [("3", 3), ("-3.5", -3.5), ("3,5", 3.5), ("1e-2", 0.01), (" 4 ", 4)])
def test_numbers(text, value):
    assert number(text) == value


@pytest.mark.parametrize("text", ["", "1_000", "١", "1,2,3", "1.2,3", "0x10", "three"])
def test_what_is_no_number(text):
    with pytest.raises(ValueError):
        number(text)


@pytest.mark.parametrize(
    "line, fields",
    [
        ("a.jpg 5", ["a.jpg", "5"]),
        ("a b.jpg\t5", ["a b.jpg", "5"]),
        ("a.jpg;5", ["a.jpg", "5"]),
        ("a, b.jpg 5", ["a, b.jpg", "5"]),
        ('"a b.jpg",5', ["a b.jpg", "5"]),
        ("a.jpg, 5", ["a.jpg", "5"]),
        ("a|5", ["a", "5"]),
        ("a", ["a"]),
        ("a;5;6", ["a;5;6"]),
    ],
)
def test_fields_of_a_list(line, fields):
    assert fields_of(line, 2) == fields


def test_rows_of_nothing_but_spaces_and_separators_are_none(file):
    rows = table_rows(file(b"a,b\n1,2\n \t\n,\n , \n3,4\n"), ("a",))
    assert [(line, row["a"]) for line, row in rows] == [(2, "1"), (6, "3")]


def test_slashes():
    assert slashes("a\\b\\c.jpg") == "a/b/c.jpg" and slashes("a/b") == "a/b"


@pytest.mark.parametrize(
    "read, deep, bad",
    [
        (read_json, "[" * 100_000, "{"),
        (read_toml, "a = " + "[" * 3000 + "]" * 3000, "a = "),
        (read_toml, f"[{'.'.join('a' * 3000)}]", "[a.]"),
        (read_toml, f"{'.'.join('a' * 3000)} = 1", "[[a]"),
        (read_toml, "a = " + "[" * 101 + "]" * 101, "a = ["),
        (read_yaml, "[" * 5000, "a: [1"),
        (read_yaml, "[" * 101 + "]" * 101, "a: {"),
        (read_json, "1" * 5000, "nul"),
        (read_toml, "a = 2020-13-45", "x"),
        (read_yaml, "a: 2020-13-45", "a: *b"),
    ],
)
def test_structured_files_that_are_broken_or_too_deep_are_one_line(file, read, deep, bad):
    for text in (deep, bad):
        with pytest.raises(DataError, match="is not (JSON|TOML|YAML)") as told:
            read(file(text.encode()))
        assert "\n" not in str(told.value)


def test_tables_that_hold_each_other(file):
    """A hundred are read; YAML's aliases, which can hold themselves, end."""
    assert read_toml(file(("a = " + "[" * 99 + "]" * 99).encode()))["a"] != []
    (inner,) = read_yaml(file(b"&a [*a]"))
    assert inner[0] is inner
    bomb = "\n".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12))
    assert len(read_yaml(file(f"a0: &a0 x\n{bomb}\n".encode()))["a11"]) == 9


def test_structured_files_in_every_encoding(file):
    for encoding in ("utf-8-sig", "utf-16", "cp1252"):
        assert read_json(file('{"a": "ü"}'.encode(encoding))) == {"a": "ü"}
        assert read_toml(file('a = "ü"\n'.encode(encoding))) == {"a": "ü"}
        assert read_yaml(file("a: ü\n".encode(encoding))) == {"a": "ü"}
