"""Output names: plain, unique, short, without the words that a Darknet binary trips over."""

import re

import pytest
from hypothesis import given, settings, strategies as st

from converters.darknet_format.safe_names import safe_names
from converters.errors import UsageError

LABELS = ("Neutral", "Happy", "Sad", "Surprise", "Fear", "Disgust", "Anger")
WORDS = st.lists(
    st.sampled_from(
        ["images", "raw", "Sad", "Happy", ".jpg", ".", "..", "-", "$(x)", "é", " ", "\n", "a", "B", "/", "labels"]
    ),
    min_size=1,
).map("".join)


@given(st.lists(st.text(min_size=1, max_size=300) | WORDS, max_size=30))
@settings(max_examples=300, deadline=None)
def test_every_name_is_safe_and_unique(wished):
    names = safe_names(wished, "/data/set/train/Surprise/", LABELS)
    assert len(names) == len(wished) == len({name.lower() for name in names})
    for name in names:
        assert re.fullmatch(r"[A-Za-z0-9_/-]+", name) and not name.startswith(("/", "-")) and "//" not in name
        assert not any(word in name for word in (*LABELS, "images", "raw", "labels", "JPEGImages"))
        assert len(f"/data/set/train/Surprise/{name}.jpg") <= 255
    assert names == safe_names(wished, "/data/set/train/Surprise/", LABELS)


def test_a_safe_name_stays_and_an_unsafe_one_is_recognisable():
    assert safe_names(["1/f15ff5873c", "person_0001"], "/out/") == ["1/f15ff5873c", "person_0001"]
    (name,) = safe_names(["2/Ångström, my photo"], "/out/")
    assert re.fullmatch(r"ngstr_m_my_photo-[0-9a-f]{12}", name)


def test_names_that_differ_in_case_alone_do_not_share_a_file():
    assert len({name.lower() for name in safe_names(["1/a", "1/A", "1/a"], "/out/")}) == 3


def test_an_output_too_deep_is_refused():
    with pytest.raises(UsageError, match="too long"):
        safe_names(["a"], "/" + "x" * 240)
