"""A detector shared by threads gives every thread what it gives one alone: every backend, every face finder."""

import threading
from pathlib import Path

import numpy as np
import pytest

from converters.errors import MediaError
from emotion.comparison import compare
from emotion.sources.pictures import read_picture
from emotion.systems.backends import BACKENDS
from emotion.systems.face_finders import BOX_SCALE
from emotion.systems.open import SystemSettings, open_system

SHARED = Path(__file__).resolve().parents[4] / "shared/models"
FINDERS = {
    "haar": "haar",
    "ssd": SHARED / "opencv_face_detector_uint8.pb",
    "yunet": SHARED / "face_detection_yunet_2026may.onnx",
    "dlib": "dlib",
    "yolo": "emo-v4-nano",
}
THREADS, ROUNDS = 4, 3


@pytest.fixture(scope="module")
def pictures():
    """Different ones, of different sizes, so that an answer from another thread's picture is seen."""
    whole = read_picture(next(path for path in compare.shipped_media() if path.name == "portrait.jpg"))
    return [whole, whole[:, ::-1].copy(), np.zeros((90, 120, 3), np.uint8), whole[: len(whole) * 3 // 4].copy()]


def test_every_finder_is_here():
    assert FINDERS.keys() == BOX_SCALE.keys()


@pytest.mark.parametrize(
    "spec",
    [*(("yolo", backend) for backend in BACKENDS), *((f"two-stage:{name}", "opencv") for name in FINDERS)],
    ids=" ".join,
)
def test_threads_get_what_one_alone_gets(spec, pictures):
    system, backend = spec
    finder = FINDERS.get(system.partition(":")[2], "")
    if isinstance(finder, Path) and not finder.is_file():
        pytest.skip(f"{finder.name} is not here")
    if finder == "dlib":
        pytest.importorskip("dlib")
    if backend == "torch":
        pytest.importorskip("torch")
    if backend == "onnx":
        pytest.importorskip("onnx")
        pytest.importorskip("onnxruntime")
    detector = open_system(f"two-stage:{finder}" if finder else system, SystemSettings(backend=backend))
    alone = [detector.detect([picture])[0] for picture in pictures]
    assert sum(len(found) for found in alone) >= 3
    detector.clock.take()
    faults, start = [], threading.Barrier(THREADS)

    def work(first):
        start.wait()
        for number in range(ROUNDS * len(pictures)):
            at = (first + number) % len(pictures)
            found = detector.detect([pictures[at]])[0]
            if (
                found.xyxy_px.shape != alone[at].xyxy_px.shape
                or not np.allclose(found.xyxy_px, alone[at].xyxy_px, atol=1e-2)
                or not np.allclose(found.scores, alone[at].scores, atol=1e-4)
            ):
                faults.append(at)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults
    assert all(spent > 0 for spent in detector.clock.take().values())


@pytest.mark.parametrize("system", ["yolo", "two-stage"])
@pytest.mark.parametrize(
    ("frames", "words"),
    [
        (np.zeros((40, 30, 3), np.uint8), r"detect\(\[frame\]\)"),
        (np.zeros((40, 30), np.uint8), r"detect\(\[frame\]\)"),
        ([np.zeros((40, 30), np.uint8)], "GRAY2BGR"),
        ([np.zeros((40, 30, 1), np.uint8)], "GRAY2BGR"),
        ([np.zeros((40, 30, 3), np.uint8), np.zeros((0, 30, 3), np.uint8)], r"frame 1 is an array \(0, 30, 3\)"),
        ([np.zeros((40, 30, 4), np.uint8)], r"\(40, 30, 4\)"),
        ([np.zeros((40, 30, 3), np.float32)], "float32"),
        ([np.zeros(0, np.uint8)], r"\(0,\)"),
        (["photo.jpg"], "frame 0 is a str"),
        ([None], "NoneType"),
    ],
)
def test_what_is_no_frame_is_said_so(system, frames, words):
    with pytest.raises(MediaError, match=words):
        open_system(system).detect(frames)


@pytest.mark.parametrize("system", ["yolo", "two-stage"])
def test_no_frames_and_a_stack_of_frames(system, pictures):
    detector = open_system(system)
    assert detector.detect([]) == []
    assert [len(found) for found in detector.detect(np.stack([pictures[0]] * 2))] == [
        len(detector.detect(pictures[:1])[0])
    ] * 2
