import io
import json

import pytest
from hypothesis import given, strategies as st

from converters.errors import DataError, MediaError
from converters.terminal_text import PlainStream, plain, redacted


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("rtsp://cam/live", "rtsp://cam/live"),
        ("rtsp://cam:554/live/1", "rtsp://cam:554/live/1"),
        ("rtsp://me:secret@cam/live", "rtsp://cam/live"),
        ("rtsp://me:p@ss@cam/live", "rtsp://cam/live"),
        ("rtsp://me:p@s@s@cam:554/live", "rtsp://cam:554/live"),
        ("rtsp://me:p/ss@cam/live", "rtsp://cam/live"),
        ("rtsp://me:p?s#s@cam/live", "rtsp://cam/live"),
        ("rtsp://me:p@s/s@cam/live", "rtsp://cam/live"),
        ("http://me:secret@host/v?mail=a@b", "http://host/v"),
        ("rtsp://me@cam/live", "rtsp://cam/live"),
        ("rtsp://:secret@[::1]:554/live", "rtsp://[::1]:554/live"),
        ("http://host:8080/a@2x.mp4", "http://host:8080/a@2x.mp4"),
        ("http://host/v.mp4?token=secret", "http://host/v.mp4"),
        ("http://host?password=secret", "http://host"),
        ("http://host/v.mp4#access_token=secret", "http://host/v.mp4"),
        ("rtsp://host:554/user=admin&password=secret&channel=1/a", "rtsp://host:554/user=***/a"),
        ("rtsp://host:554/user=admin_password=secret_channel=1.sdp", "rtsp://host:554/user=***"),
        ("rtsp://host/live;password=secret;x=1", "rtsp://host/live;password=***"),
        ("rtsp://host/live;api_key=secret/1", "rtsp://host/live;api_key=***/1"),
        ("rtsp://host/token%3Dsecret/1", "rtsp://host/token%3D***/1"),
        ("rtsp://host/channel=1/stream=0", "rtsp://host/channel=1/stream=0"),
        ("TCP://me:secret@host:5000", "TCP://host:5000"),
        ("http:/me:secret@host/v.mp4", "http:/host/v.mp4"),  # what a Path makes of it
        ("rtsp://me:secret word@cam/live", "rtsp://cam/live"),
        ("rtsp:/me:a secret, a word@cam/live", "rtsp:/cam/live"),
        ("rtsp://me:123/45@cam/live", "rtsp://cam/live"),
        ("rtsp://me:123/45@cam:554", "rtsp://cam:554"),
        ("photos/me:x@home/what?.jpg", "photos/me:x@home/what?.jpg"),
    ],
)
def test_addresses(address, shown):
    assert redacted(address) == shown
    assert (
        redacted(f"no answer from '{address}': it (really) said nothing")
        == f"no answer from '{shown}': it (really) said nothing"
    )


def test_what_comes_behind_an_address_is_no_password():
    for text in (
        "rtsp://cam:554 failed, ask me@home",
        "see http://host/a and mail me@home",
        "http://host:80/ or a:b@c",
    ):
        assert redacted(text) == text


@pytest.mark.parametrize("char", "\u061c\u200b\u2060\u2063\u180e\ufff9\U000e0041")
def test_what_nobody_can_see_is_spelled(char):
    assert plain(f"Ha{char}ppy") == "Ha" + json.dumps(char).strip('"') + "ppy"


def test_errors_show_neither_passwords_nor_controls():
    fault = MediaError("no \x1b[31msuch\x07 stream", where="rtsp://me:p@ss@cam/x?token=1", mend="try http://a:b@c")
    assert str(fault) == "rtsp://cam/x: no \\u001b[31msuch\\u0007 stream (try http://c)"
    assert str(DataError("two\nlines", where="a\nname\u202e")) == "a\\nname\\u202e: two\\nlines", (
        "one line, whatever a file brings"
    )


@given(st.text())
def test_plain_text_has_no_controls_and_json_stays_what_it_was(text):
    shown = plain(text)
    assert all(char.isprintable() or char in "\t\n\r" or char.isspace() or ord(char) > 0x9F for char in shown)
    assert json.loads(plain(json.dumps(text, ensure_ascii=False))) == text
    assert plain(shown) == shown


def test_what_people_write_stays():
    for text in ("Überraschung\tfrøya\n", "名前", "سلام", "👩‍👩‍👧", "a\r\nb"):
        assert plain(text) == text


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_stream_cleans_all_but_the_way_back_of_a_progress_bar():
    under = Terminal()
    stream = PlainStream(under)
    print("Ha\x1b[2Jppy\r", "x", file=stream)
    stream.write("\r 50%|##  | a\x1b[31m\r")
    stream.writelines(["\x9b1m", "\n"])
    assert under.getvalue() == "Ha\\u001b[2Jppy\\u000d x\n\r 50%|##  | a\\u001b[31m\r\\u009b1m\n"
    assert stream.isatty() and stream.getvalue() == under.getvalue()
    piped = PlainStream(io.StringIO())
    piped.write("\rover the line before")
    assert piped.getvalue() == "\\u000dover the line before"
    with pytest.raises(TypeError):
        piped.write(b"bytes")


def test_a_real_progress_bar_moves():
    from tqdm import tqdm

    under = Terminal()
    for _ in tqdm(range(3), file=PlainStream(under), mininterval=0):
        pass
    assert under.getvalue().count("\r") >= 3 and "\\u" not in under.getvalue() and "3/3" in under.getvalue()
