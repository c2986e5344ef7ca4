"""The layout that every flavour reads, from paths that none does."""

import re

import pytest
from hypothesis import given, strategies as st

from converters.darknet_format.files import class_of_path, read_data, read_list
from converters.darknet_format.labels import label_path
from converters.errors import DataError
from darknet_runner.compiled import linked_dataset


def test_awkward_paths_become_plain_ones(draw_set, tmp_path, monkeypatch):
    folder = tmp_path / "raw images 50% $(touch PWNED) ä"
    data = read_data(draw_set("detector", folder))
    laid = linked_dataset.link_dataset(tmp_path / "run", data, ("train", "valid"), backup="weights")
    for split in ("train", "valid"):
        lines = (tmp_path / "run" / "feed" / f"{split}.txt").read_text().splitlines()
        originals = read_list(data.list_of(split))
        assert len(lines) == len(originals)
        for line, original in zip(lines, originals):
            assert re.fullmatch(r"[A-Za-z0-9._/-]{1,60}", line) and "images" not in line and "raw" not in line
            link = tmp_path / "run" / line
            assert link.read_bytes() == original.read_bytes()
            assert label_path(link).read_text() == label_path(original).read_text()
            assert laid.sources[line] == original
    monkeypatch.chdir(tmp_path / "run")  # where the binary stands
    written = read_data(laid.data)
    assert (written.classes, written.names, written.options["backup"]) == (3, data.names, "weights")
    assert laid.told(f"Wrong annotation in {lines[0][:-4]}.txt!") == f"Wrong annotation in {label_path(originals[0])}!"


def test_a_classifiers_paths_match_one_label(draw_set, tmp_path):
    data = read_data(draw_set("classifier", tmp_path / "set"))
    laid = linked_dataset.link_dataset(tmp_path / "Happy", data, ("train",))
    for line, original in laid.sources.items():
        assert class_of_path(line, laid.tokens) == class_of_path(original, data.labels)


@given(st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=12, unique=True))
def test_every_token_is_found_in_its_own_paths_only(names):
    tokens = linked_dataset.tokens(tuple(names))
    assert len(set(tokens)) == len(names)
    for token in tokens:
        assert class_of_path(f"feed/train/{token}/0000001.jpg", tokens) == tokens.index(token)


def test_a_format_that_no_darknet_reads(tmp_path):
    (tmp_path / "a.webp").write_bytes(b"x")
    with pytest.raises(DataError, match="Darknet cannot read a .webp"):
        linked_dataset.link_lists(tmp_path / "run", ("a",), {"valid": [tmp_path / "a.webp"]})
