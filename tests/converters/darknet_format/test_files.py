"""The files that every Darknet shares, as people leave them: blanks, CRLF, byte order marks, NUL, numbers that are
none.
"""

import os

import pytest

from converters.darknet_format.files import read_data, read_list, write_data
from converters.darknet_format.labels import read_label
from converters.errors import DataError


@pytest.fixture
def data(tmp_path):
    (tmp_path / "emo.names").write_text("Sad\nHappy\n")
    (tmp_path / "train.txt").write_text("a.jpg\n")
    path = tmp_path / "emo.data"
    return lambda text: path.write_bytes(text.encode("utf-8", "surrogateescape")) and path


def test_a_fault_has_its_line_even_below_blank_ones(data):
    with pytest.raises(DataError, match=r"emo\.data:4: expected key = value"):
        read_data(data("classes = 2\n\n\nnonsense\nnames = emo.names\n"))


@pytest.mark.parametrize("line", ["classes = two", "classes = nan", "top = x", "top = 1.5", "classes = 3"])
def test_numbers_that_do_not_fit(data, line):
    with pytest.raises(DataError, match=line.split()[0]):
        read_data(data(f"names = emo.names\n{line}\n"))


@pytest.mark.parametrize("line", ["train =", "names=", "valid = \t", "labels=", "votes ="])
def test_a_key_without_a_value_is_not_the_folder(data, line):
    """Joined with the set's folder it was that folder: all pictures below were trained on."""
    with pytest.raises(DataError, match=rf"emo\.data:3: {line.split('=')[0].strip()} has no value"):
        read_data(data(f"classes = 2\n\n{line}\n"))


@pytest.mark.parametrize("place", ["/", ".", "..", "sub"])
def test_a_folder_is_no_list(data, place, tmp_path):
    """`/` was searched through, the whole disk."""
    (tmp_path / "sub").mkdir()
    for split in ("train", "test"):
        read = read_data(data(f"names = emo.names\n{split} = {place}\n"))
        with pytest.raises(DataError, match=f"{split} names the folder"):
            read.list_of(split)
    (tmp_path / "data.yaml").write_text("names: [a]\ntrain: /\nval: sub\n")
    read = read_data(tmp_path / "data.yaml")
    assert read.list_of("valid") == tmp_path / "sub"
    with pytest.raises(DataError, match="train names the folder /"):
        read.list_of("train")


def test_a_key_that_is_set_twice(data):
    with pytest.raises(DataError, match=r"emo\.data:3: train is set already, to train\.txt .*first"):
        read_data(data("names = emo.names\ntrain = train.txt\ntrain = other.txt\n"))
    read = read_data(data("names = emo.names\ntrain = train.txt\ntrain=train.txt\nbackup =\n"))
    assert read.list_of("train").name == "train.txt" and read.backup == ""


def test_crlf_and_a_byte_order_mark(data):
    read = read_data(data("\ufeffclasses = 2\r\nnames = emo.names\r\ntrain = train.txt\r\n"))
    assert read.classes == 2 and read.names == ("Sad", "Happy") and read.list_of("train").name == "train.txt"


@pytest.mark.parametrize(
    "row",
    [
        "nan .5 .5 .1 .1",
        "inf .5 .5 .1 .1",
        "1e999 .5 .5 .1 .1",
        "1.5 .5 .5 .1 .1",
        "-1 .5 .5 .1 .1",
        "2 .5 .5 .1 .1",
        "9" * 30 + " .5 .5 .1 .1",
        "0 nan .5 .1 .1",
        "0 .5 .5 .1",
        "0,.5,.5,.1,.1",
        "0 50 50 9 9",
    ],
)
def test_a_bad_label_is_told_with_its_line(tmp_path, row):
    path = tmp_path / "a.txt"
    path.write_text(f"1 .5 .5 .2 .2\n\n{row}\n")
    with pytest.raises(DataError, match=r"a\.txt:3: "):
        read_label(path, 2)


def test_a_list_keeps_names_that_are_no_utf8_and_refuses_nul(tmp_path):
    path = tmp_path / "list.txt"
    path.write_bytes(b"nu\xff.jpg\n\n/x/line\xe2\x80\xa8separator.jpg\n" + b"x" * 300 + b".jpg\n")
    assert [os.fsencode(image.name) for image in read_list(path)] == [
        b"nu\xff.jpg",
        b"line\xe2\x80\xa8separator.jpg",
        b"x" * 300 + b".jpg",
    ]
    path.write_bytes(b"a.jpg\nb\0.jpg\n")
    with pytest.raises(DataError, match="NUL"):
        read_list(path)


def test_a_data_file_in_a_folder_that_is_no_utf8(tmp_path):
    folder = tmp_path / "nu\udcff"
    folder.mkdir()
    (folder / "emo.names").write_text("Sad\n")
    write_data(folder / "emo.data", classes=1, names=folder / "emo.names", train=None)
    assert read_data(folder / "emo.data").names == ("Sad",)
