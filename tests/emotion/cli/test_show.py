"""`emo detect --show` without the extra serve: a window where OpenCV has one, else one line on what to install."""

import cv2
import pytest

from converters.errors import MissingExtra
from emotion.cli import show
from emotion.detect_many import Settings


@pytest.fixture
def no_server(monkeypatch):
    monkeypatch.setattr(show, "find_spec", lambda name: None)
    monkeypatch.setenv("DISPLAY", ":0")


@pytest.fixture
def clip(tmp_path, video_factory, squares):
    return str(video_factory(tmp_path / "v.mp4", [squares([(1, 1, 3)], scale=4)[0]] * 8, fps=10))


def headless(*args):
    """What opencv-python-headless says of all its window functions."""
    raise cv2.error(
        "OpenCV(4.11.0) window.cpp:1301: error: (-2:Unspecified error) The function is not implemented. Rebuild the "
        "library with Windows, GTK+ 2.x or Cocoa support in function 'cvShowImage'"
    )


def test_an_opencv_without_windows_is_one_error(no_server, monkeypatch, clip, detector_folder):
    for name in ("imshow", "waitKey", "destroyAllWindows", "getWindowProperty"):
        monkeypatch.setattr(cv2, name, headless)
    with pytest.raises(MissingExtra, match="no windows") as raised:
        show.show(clip, Settings(model=str(detector_folder), backend="opencv"))
    assert "serve" in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize("ends, shown", [("never", 8), ("q", 3), ("shut", 3)])
def test_a_window_shows_each_frame_until_q_or_until_it_is_shut(
    no_server, monkeypatch, clip, detector_folder, ends, shown
):
    frames, closed = [], []
    monkeypatch.setattr(cv2, "imshow", lambda title, picture: frames.append(picture))
    monkeypatch.setattr(cv2, "waitKey", lambda ms: ord("q") if ends == "q" and len(frames) == 3 else -1)
    monkeypatch.setattr(
        cv2, "getWindowProperty", lambda title, what: 0.0 if ends == "shut" and len(frames) == 3 else 1.0
    )
    monkeypatch.setattr(cv2, "destroyAllWindows", lambda: closed.append(1))
    show.show(clip, Settings(model=str(detector_folder), backend="opencv"))
    assert len(frames) == shown and closed == [1]
    assert (frames[0] == (60, 160, 255)).all(-1).any()  # the colour of Surprise: the box is drawn


def test_without_a_screen_the_page_is_asked_for(no_server, monkeypatch, clip):
    monkeypatch.delenv("DISPLAY")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setattr(show.sys, "platform", "linux")
    with pytest.raises(MissingExtra, match="without a screen"):
        show.show(clip, Settings())


@pytest.mark.parametrize("option", [("--out", "x"), ("--json",), ("--detect-every", "3"), ("--outputs", "csv")])
def test_what_show_has_no_use_for_is_said(option, clip, capsys):
    from emotion.cli import main

    with pytest.raises(SystemExit) as ended:
        main(["detect", clip, "--show", *option])
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith(f"emo: {option[0]} has no effect with --show")
