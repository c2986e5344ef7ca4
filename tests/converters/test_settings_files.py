"""JSON and TOML that people edit: what it must hold is said once, in one line, and nothing else comes through."""

import json

import pytest
from hypothesis import given, strategies as st

from converters.errors import DataError, RunError
from converters.settings_files import read_json, read_toml

FIELDS = {
    "name": str,
    "rate": float,
    "count": int,
    "quiet": bool,
    "list": list,
    "none": (str, type(None)),
    "inner": {"deep": {"count": int}},
}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[1]", "it is a list; wanted: a table"),
        ("3", "it is a whole number; wanted: a table"),
        ('{"name": 3}', "'name' is a whole number; wanted: text"),
        ('{"name": null}', "'name' is nothing; wanted: text"),
        ('{"rate": "1"}', "'rate' is text; wanted: a number"),
        ('{"count": true}', "'count' is true or false; wanted: a whole number"),
        ('{"rate": false}', "'rate' is true or false; wanted: a number"),
        ('{"none": 1}', "'none' is a whole number; wanted: text"),
        ('{"inner": 3}', "'inner' is a whole number; wanted: a table"),
        ('{"inner": {"deep": {"count": []}}}', "'inner.deep.count' is a list; wanted: a whole number"),
        ("{}", "has no 'must'"),
        ("{", "is not JSON"),
        ("", "is not JSON"),
        ("9" * 5000, "is not JSON"),
        ("[" * 100_000, "too deep"),
        ('{"a":' * 500 + "1" + "}" * 500, "too deep"),
    ],
)
def test_json_that_does_not_fit(text, words, tmp_path):
    path = tmp_path / "it.json"
    path.write_text(text)
    with pytest.raises(RunError, match=words) as fault:
        read_json(path, FIELDS, ("must",), RunError)
    assert str(fault.value).startswith(f"{path}: ") and "\n" not in str(fault.value)


@pytest.mark.parametrize("content", ['{"a": "\xe9"}'.encode("utf-16"), b'{"a": "\xe9"}'])
def test_bytes_that_are_no_utf_8(content, tmp_path):
    path = tmp_path / "it.json"
    path.write_bytes(content)
    assert read_json(path) == {"a": "\xe9"}


def test_a_file_that_is_not_there_or_a_folder(tmp_path):
    for path in (tmp_path / "gone", tmp_path):
        with pytest.raises(DataError, match="no such file|is a folder"):
            read_toml(path)


def test_what_fits_comes_as_it_is(tmp_path):
    path = tmp_path / "it.json"
    content = {
        "name": "x",
        "rate": 1,
        "count": 2,
        "none": None,
        "inner": {"deep": {"count": 1}, "more": [1]},
        "unknown": 3,
    }
    path.write_text("\ufeff" + json.dumps(content))
    assert read_json(path, FIELDS, ("name",)) == content


def test_dates_of_toml_are_text_that_json_takes(tmp_path):
    path = tmp_path / "card.toml"
    path.write_text("day = 2024-05-01\nmoment = 2024-05-01T10:00:00Z\n[[runs]]\nat = [10:00:00]\n")
    assert read_toml(path) == {
        "day": "2024-05-01",
        "moment": "2024-05-01T10:00:00+00:00",
        "runs": [{"at": ["10:00:00"]}],
    }


@pytest.mark.parametrize(
    "text", ["x = " + "[" * 3000 + "]" * 3000, "x = " + "{a = " * 3000 + "1" + "}" * 3000, "x", "x = 1\nx = 2"]
)
def test_toml_that_does_not_fit(text, tmp_path):
    path = tmp_path / "card.toml"
    path.write_text(text)
    with pytest.raises(DataError, match="is not TOML"):
        read_toml(path)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from([*FIELDS, "deep", "x"]), inner),
    )
)
def test_any_json_fits_or_is_one_line(tmp_path_factory, value):
    path = tmp_path_factory.mktemp("json") / "it.json"
    path.write_text(json.dumps(value))
    try:
        assert isinstance(read_json(path, FIELDS), dict)
    except DataError as fault:
        assert "\n" not in str(fault)
