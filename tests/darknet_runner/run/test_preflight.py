"""Every kind of bad input, each one found by itself, and all of them at once."""

import os
import shutil
from pathlib import Path

import pytest

from converters.darknet_format.files import read_data, write_data
from converters.errors import DataError
from darknet_runner.network import cfg_file, layers, templates, weights_file
from darknet_runner.run import folder as run_folder, preflight, preflight_files

NAMES = ("Neutral", "Happy", "Sad")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def data(tmp_path):
    """A sound set of six pictures; the test may spoil it."""
    return build(tmp_path / "set")


def build(folder, classifier=False):
    import cv2
    import numpy as np

    folder.mkdir(parents=True)
    rng, paths = np.random.default_rng(1), []
    for number in range(6):
        path = folder / (NAMES[number % 3] if classifier else "") / f"{number}.jpg"
        path.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(path), rng.integers(0, 255, (48, 64, 3), np.uint8))
        if not classifier:
            path.with_suffix(".txt").write_text(f"{number % 3} 0.5 0.5 0.25 0.5\n")
        paths.append(path)
    (folder / "train.txt").write_text("".join(f"{path}\n" for path in paths[:4]))
    (folder / "valid.txt").write_text("".join(f"{path}\n" for path in paths[4:]))
    (folder / "emo.names").write_text("\n".join(NAMES) + "\n")
    told = {"labels": "emo.names"} if classifier else {}
    write_data(folder / "emo.data", classes=3, train="train.txt", valid="valid.txt", names="emo.names", **told)
    return read_data(folder / "emo.data")


def cfg(**net):
    return templates.render("v3-tiny", 3, size=64, batch=4, subdivisions=1, iterations=10, net=net)


def errors(found):
    return [item for item in found if item.severity == "error"]


def test_a_sound_set_passes(data):
    assert preflight.check(cfg(), data, binary=True) == []
    preflight.refuse([])


@pytest.mark.parametrize(
    "line, code, said",
    [
        ("0 0.5 0.5 0.25", "bad-number", "4 columns"),
        ("0 0.5 0.5 0.25 0.5 1", "bad-number", "6 columns"),
        ("0,0.5,0.5,0.25,0.5", "bad-number", "commas"),
        ("0 nan 0.5 0.25 0.5", "bad-number", "not a finite number"),
        ("0 0.5 inf 0.25 0.5", "bad-number", "not a finite number"),
        ("0 x 0.5 0.25 0.5", "bad-number", "is not five numbers"),
        ("1.5 0.5 0.5 0.25 0.5", "bad-number", "not a whole number"),
        ("0 0,5 0,5 0,25 0,5", "bad-number", "commas"),
        ("1 0.5 0.5 0.25 0.5", "conflicting-labels", "the box of line 1 again"),
        ("Happy 0.5 0.5 0.25 0.5", "bad-number", "not a whole number"),
        ("3 0.5 0.5 0.25 0.5", "class-range", "not in 0..2"),
        ("-1 0.5 0.5 0.25 0.5", "class-range", "not in 0..2"),
        ("0 32 24 16 24", "box-outside", "looks like pixels"),
        ("0 1.2 0.5 0.25 0.5", "box-outside", "must lie in 0..1"),
        ("0 -0.1 0.5 0.25 0.5", "box-outside", "must lie in 0..1"),
        ("0 0.5 0.5 0 0.5", "box-empty", "no extent"),
    ],
)
def test_labels(data, line, code, said):
    path = data.path.parent / "2.txt"
    path.write_text(f"0 0.5 0.5 0.25 0.5\n\n{line}\n")
    (found,) = preflight.check(cfg(), data)
    assert (found.code, found.severity, found.file, found.line, found.subset) == (code, "error", str(path), 3, "train")
    assert said in found.message


@pytest.mark.parametrize(
    "spoil, code",
    [
        (lambda path: path.unlink(), "missing-image"),
        (lambda path: path.write_bytes(b""), "zero-bytes"),
        (lambda path: path.write_bytes(path.read_bytes()[:400]), "truncated"),
        (lambda path: path.write_bytes(b"<html>404</html>" * 100), "undecodable"),
        (lambda path: path.with_suffix(".txt").unlink(), "missing-label"),
        (lambda path: path.with_suffix(".txt").write_bytes(b"\xff\xfe0 0.5"), "bad-number"),
    ],
)
def test_pictures_and_missing_labels(data, spoil, code):
    spoil(data.path.parent / "4.jpg")
    found = preflight.check(cfg(), data)
    assert [(item.code, item.severity, item.subset) for item in found] == [(code, "error", "valid")]


def test_webp_is_no_picture_for_darknets(data):
    import cv2

    path = data.path.parent / "1.jpg"
    picture = cv2.imread(str(path))
    cv2.imwrite(str(path.with_suffix(".webp")), picture)
    os.replace(path.with_suffix(".webp"), path)
    assert [item.code for item in errors(preflight.check(cfg(), data))] == ["wrong-extension"]


@pytest.mark.parametrize(
    "text, said",
    [
        (None, "the train list is missing"),
        ("", "the list is empty"),
        ("\n\n", "the list is empty"),
    ],
)
def test_lists_that_end_it(data, text, said):
    path = data.path.parent / "train.txt"
    path.unlink() if text is None else path.write_text(text)
    assert said in errors(preflight.check(cfg(), data))[0].message


def test_lists_that_emo_reads_and_darknets_do_not(data, tmp_path):
    """CR LF, spaces and repeats are told, and do not end it: no binary sees the user's list (`compiled.feed`)."""
    spaced = tmp_path / "a b"
    shutil.copytree(data.path.parent, spaced)
    lines = [str(spaced / f"{number}.jpg") for number in (0, 1, 2, 3, 1)]
    (spaced / "train.txt").write_bytes("\r\n".join(lines).encode())
    found = preflight.check(cfg(), read_data(spaced / "emo.data"))
    assert [(item.code, item.severity, item.line) for item in found if item.subset == "train"] == [
        ("list-crlf", "warning", 1),
        ("list-spaces", "warning", 1),
        ("duplicate-row", "warning", 5),
    ]


def test_classifiers_paths(tmp_path):
    data = build(tmp_path / "crops", classifier=True)
    small = cfg_file.parse(
        "[net]\nbatch=4\nwidth=32\nheight=32\nchannels=3\nmax_batches=9\n[convolutional]\nfilters=3\nsize=1\nactivation=linear\n[avgpool]\n[softmax]\n"
    )
    assert preflight.check(small, data) == []
    os.makedirs(data.path.parent / "Happy" / "Sad")
    twice, none = data.path.parent / "Happy" / "Sad" / "0.jpg", data.path.parent / "0.jpg"
    for path in (twice, none):
        shutil.copy(data.path.parent / "Neutral" / "0.jpg", path)
    (data.path.parent / "train.txt").write_text(f"{twice}\n{none}\n")
    assert [item.code for item in preflight.check(small, data)] == ["two-labels-match", "no-label-match"]
    assert [item.code for item in preflight.check(cfg(), data)[:1]] == ["cfg-kind"]


@pytest.mark.parametrize(
    "old, new, code",
    [
        ("batch=4", "batch=1", "cfg-batch"),
        ("batch=4\nsubdivisions=1", "batch=4\nsubdivisions=3", "cfg-batch"),
        ("width=64", "width=60", "cfg-size"),
        ("height=64", "height=72", "cfg-size"),
        ("max_batches=10", "max_batches=0", "cfg-iterations"),
        ("classes=3", "classes=4", "cfg-classes"),
        ("filters=24", "filters=255", "cfg-filters"),
        ("mask=0,1,2", "mask=0,1,9", "cfg-mask"),
        ("mask=0,1,2", "mask=0,1,1", "cfg-mask"),
        ("num=6", "num=9", "cfg-anchors"),
        ("activation=leaky", "activation=leeky", "unknown-activation"),
        ("[maxpool]", "[maxpul]", "unknown-section"),
        ("[yolo]\n", "[yolo]\nanchors=1,2,3\n", "cfg-anchors"),
        ("width=64", "width=sixty", "cfg"),
    ],
)
def test_cfgs(data, old, new, code):
    import re

    text = re.sub(r" *= *", "=", cfg().text)
    text = re.sub(r"(?<=\d), +(?=\d)", ",", text)
    assert old in text
    found = errors(preflight.check_cfg(cfg_file.parse(text.replace(old, new, 1)), data, binary=True))
    assert code in [item.code for item in found], found
    assert found[0].line > 0


def test_a_name_with_a_line_break_makes_no_line():
    assert str(DataError("a", where="x\ny", below=("one\ntwo",))).splitlines() == ["x\\ny: a", "one\\ntwo"]


def test_all_at_once(data, tmp_path):
    folder = data.path.parent
    (folder / "0.jpg").unlink()
    (folder / "1.txt").write_text("7 0.5 0.5 0.2 0.2\n0 300 200 40 40\n")
    (folder / "4.jpg").write_bytes(b"")
    spoiled = cfg_file.parse(cfg().text.replace("batch=4", "batch=1").replace("classes=3", "classes=2"))
    with pytest.raises(DataError) as caught:
        preflight.refuse(preflight.check(spoiled, data, binary=True))
    told = str(caught.value)
    for said in ("7 faults", "batch=1", "classes=2", "0.jpg", "1.txt:1:", "1.txt:2:", "4.jpg", "nothing was started"):
        assert said in told, told
    lines = told.splitlines()
    assert lines[0].endswith("7 faults:") and lines[-1] == "nothing was started" and len(lines) == 9, "a line each"


def test_many_faults_are_counted(data):
    path = data.path.parent / "0.txt"
    found = [
        preflight.Finding("class-range", "error", "train", str(path), number, "class 9") for number in range(1, 101)
    ]
    told = "\n".join(preflight.listed(found, "fault"))
    assert (
        told.startswith("preflight: 100 faults:")
        and len(told.splitlines()) == preflight.SHOWN + 2
        and "and 80 more" in told
    )


def test_pretrained_weights(data, tmp_path):
    import numpy as np

    network = cfg()
    traced = layers.trace(network)
    arrays = [{name: np.full(shape, 0.1, np.float32) for name, shape in layer.blocks} for layer in traced]

    def check(seen=0, cut=None, arrays=arrays, clear=False, count=None):
        path = tmp_path / "start.weights"
        weights_file.write(network, path, arrays, seen, layers=count)
        if cut is not None:
            path.write_bytes(path.read_bytes()[:cut])
        return [item.message for item in preflight.check_pretrained(network, path, clear)]

    assert check() == [] == check(count=5)
    assert "bytes" in check(cut=1000)[0] and "are not a weights file" in check(cut=3)[0]
    assert "iteration 10 of 10" in check(seen=40)[0] and check(seen=40, clear=True) == []
    assert "no layer" in check(cut=20)[0] or "bytes" in check(cut=20)[0]
    spoiled = [dict(blocks) for blocks in arrays]
    spoiled[0]["weights"] = np.full_like(arrays[0]["weights"], np.nan)
    assert "layer 0 holds values" in check(arrays=spoiled)[0]
    assert "no such weights" in preflight.check_pretrained(network, tmp_path / "none", False)[0].message


def test_the_run_folder(data, tmp_path, monkeypatch):
    run = run_folder.create(tmp_path / "runs", "x")
    assert preflight.check_place(cfg(), run) == []
    monkeypatch.setattr(preflight, "ROOM", 10**12)  # of weights that must find place on a disk that has less
    assert preflight.check_place(cfg(), run)[0].code == "disk-full"
    if os.geteuid():
        run.weights.chmod(0o500)
        assert preflight.check_place(cfg(), run)[0].code == "unwritable"


def test_gpu_memory():
    """By hand: conv 4 filters 3x3 on 8x8x3, batch norm: output, delta and two copies of 8*8*4 floats a picture;
    params 4 + 12 + 108 twice; the workspace is 8*8 * 3*3*3 floats."""
    one = cfg_file.parse(
        "[net]\nbatch=8\nsubdivisions=2\nwidth=8\nheight=8\nchannels=3\n[convolutional]\nbatch_normalize=1\nfilters=4\nsize=3\npad=1\nactivation=leaky\n"
    )
    expected = preflight.CUDA_CONTEXT + 4 * 4 * 8 * 8 * 4 * 4 + 2 * 4 * (4 + 12 + 108) + 4 * 8 * 8 * 27
    assert preflight.gpu_bytes(layers.trace(one), 4) == expected
    assert preflight.check_gpu(one, memory=expected + 1) == []
    assert "--subdivisions 4" in preflight.check_gpu(one, memory=expected - 1)[0].message
    assert "smaller --size" in preflight.check_gpu(one, memory=1000)[0].message


def test_the_second_look_is_kept_and_a_change_is_seen(data, monkeypatch):
    assert preflight.check(cfg(), data) == []
    assert len(list(preflight_files.cache_folder().glob("*.json"))) == 2
    with monkeypatch.context() as patch:
        patch.setattr(preflight_files, "_picture", lambda *_: pytest.fail("looked at a picture again"))
        assert preflight.check(cfg(), data) == []
    path = data.path.parent / "0.txt"
    path.write_text(path.read_text().replace("0 0.5", "9 0.5"))  # as long as before
    assert [item.code for item in preflight.check(cfg(), data)] == ["class-range"]
    assert [item.code for item in preflight.check(cfg(), data)] == ["class-range"], "a kept fault is told again"


def test_no_cache_is_no_fault(data, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert preflight.check(cfg(), data) == []


def test_the_shared_set():
    """The real pictures that are converted elsewhere: AffectNet's sample decodes."""
    sample = Path(__file__).resolve().parents[4] / "shared" / "datasets" / "affectnet-sample"
    if not sample.is_dir():
        pytest.skip("../shared is not here")
    pictures = sorted(path for path in sample.rglob("*.*") if path.suffix.lower() in (".jpg", ".png", ".jpeg"))
    assert pictures and not [
        item for path in pictures for item in preflight_files._picture(path, "") if item.severity == "error"
    ]
