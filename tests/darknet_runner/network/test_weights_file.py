"""Weights files: byte-identical round trips, exact lengths, old headers, and what a real binary's `partial` writes."""

import struct
import subprocess

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from converters.errors import WeightsError
from darknet_runner.network import cfg_file, layers, templates, weights_file

NET = "[net]\nwidth=8\nheight=8\nchannels=2\n"
CONV = "[conv]\nfilters={filters}\nsize={size}\nstride=1\npad=1\nbatch_normalize={norm}\nactivation=leaky\n"
SMALL = (
    NET + CONV.format(filters=4, size=3, norm=1) + "[max]\nsize=2\nstride=2\n" + CONV.format(filters=3, size=1, norm=0)
)
SMALL += "[conn]\noutput=5\nbatch_normalize=1\nactivation=linear\n[softmax]\n"

section = st.one_of(
    st.builds(CONV.format, filters=st.integers(1, 4), size=st.sampled_from([1, 3]), norm=st.integers(0, 1)),
    st.sampled_from(
        [
            "[max]\nsize=2\nstride=1\n",
            "[batchnorm]\n",
            "[shortcut]\nfrom=-1\nweights_type=per_channel\nactivation=linear\n",
        ]
    ),
    st.builds(
        "[conn]\noutput={}\nbatch_normalize={}\nactivation=linear\n".format, st.integers(1, 4), st.integers(0, 1)
    ),
)
old_and_new = st.sampled_from([(0, 1, 0), (0, 2, 0), (0, 2, 5), (1, 0, 0), (0, 1001, 0), (2000, 0, 0)])


def build(text):
    return cfg_file.parse(text, "test.cfg")


@settings(deadline=None, max_examples=60)
@given(st.lists(section, max_size=6), old_and_new, st.integers(0, 2**32 - 1), st.integers(0, 999))
def test_any_network_round_trips_byte_for_byte(tmp_path_factory, seeded_arrays, sections, version, seen, seed):
    cfg = build(NET + CONV.format(filters=2, size=3, norm=1) + "".join(sections))
    arrays, folder = seeded_arrays(cfg, seed), tmp_path_factory.mktemp("weights")
    weights_file.write(cfg, folder / "a.weights", arrays, seen, version)
    read = weights_file.read(cfg, folder / "a.weights")
    assert (read.version, read.seen, len(read.layers)) == (version, seen, len(cfg.layers))
    for before, after in zip(arrays, read.layers):
        assert before.keys() == after.keys()
        for name in before:
            np.testing.assert_array_equal(before[name], after[name])
    weights_file.write(cfg, folder / "b.weights", read.layers, read.seen, read.version)
    assert (folder / "a.weights").read_bytes() == (folder / "b.weights").read_bytes()


def test_the_bytes_are_those_that_the_format_says(tmp_path):
    cfg = build(
        NET.replace("8", "1")
        + "[conv]\nfilters=1\nsize=1\nbatch_normalize=1\nactivation=linear\n[conn]\noutput=2\nactivation=linear\n"
    )
    arrays = [
        {
            "biases": np.float32([1]),
            "scales": np.float32([2]),
            "mean": np.float32([3]),
            "variance": np.float32([4]),
            "weights": np.float32([5, 6]).reshape(1, 2, 1, 1),
        },
        {"biases": np.float32([7, 8]), "weights": np.float32([[9], [10]])},
    ]
    weights_file.write(cfg, tmp_path / "new", arrays, seen=2**40)
    assert (tmp_path / "new").read_bytes() == struct.pack("<iiiQ10f", 0, 2, 5, 2**40, *range(1, 11))
    weights_file.write(cfg, tmp_path / "old", arrays, seen=64, version=(0, 1, 0))
    assert (tmp_path / "old").read_bytes() == struct.pack("<iiiI10f", 0, 1, 0, 64, *range(1, 11))
    with pytest.raises(WeightsError, match="does not fit the header of version 0.1.0"):
        weights_file.write(cfg, tmp_path / "old", arrays, seen=2**40, version=(0, 1, 0))


@pytest.mark.parametrize("change", [-4, -1, 1, 4, 400])
def test_another_length_is_refused_with_both_numbers(tmp_path, seeded_arrays, change):
    cfg, path = build(SMALL), tmp_path / "a.weights"
    weights_file.write(cfg, path, seeded_arrays(cfg, 0), 0)
    size = weights_file.weights_bytes(layers.trace(cfg))
    assert path.stat().st_size == size
    whole = path.read_bytes()
    path.write_bytes(whole[:change] if change < 0 else whole + b"\0" * change)
    for prefix in (False, True):
        with pytest.raises(WeightsError, match=f"{size + change:,} bytes; test.cfg needs {size:,}"):
            weights_file.read(cfg, path, prefix=prefix)


def test_a_prefix_is_taken_when_asked_for_and_only_at_the_end_of_a_layer(tmp_path, seeded_arrays):
    cfg, path = build(SMALL), tmp_path / "a.weights"
    arrays = seeded_arrays(cfg, 1)
    weights_file.write(cfg, path, arrays, 0, layers=2)
    assert path.stat().st_size == 20 + 4 * (4 * 4 + 4 * 2 * 9)
    with pytest.raises(WeightsError, match="needs"):
        weights_file.read(cfg, path)
    read = weights_file.read(cfg, path, prefix=True)
    assert len(read.layers) == 2  # the pooling after it has nothing, and so is there too
    np.testing.assert_array_equal(read.layers[0]["weights"], arrays[0]["weights"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "0 bytes are not a weights file"),
        (b"\0" * 15, "15 bytes are not a weights file"),
        (struct.pack("<iii", 0, 2, 5) + b"\0" * 7, "19 bytes are not a weights file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "is a Git LFS pointer"),
        (b"\n<!DOCTYPE html><html>", "is a web page"),
        (b"these are not the weights you are looking for", "needs"),
    ],
)
def test_what_is_no_weights_file(tmp_path, content, message):
    path = tmp_path / "a.weights"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=message):
        weights_file.read(build(SMALL), path)


def test_missing_files_and_folders(tmp_path):
    for path in (tmp_path / "none.weights", tmp_path):
        with pytest.raises(WeightsError):
            weights_file.read(build(SMALL), path)


def test_a_failed_write_leaves_the_old_file(tmp_path, seeded_arrays):
    cfg, path = build(SMALL), tmp_path / "a.weights"
    path.write_bytes(b"before")
    arrays = seeded_arrays(cfg, 0)
    del arrays[2]["weights"]
    with pytest.raises(WeightsError, match="layer 2 weights is missing"):
        weights_file.write(cfg, path, arrays, 0)
    with pytest.raises(WeightsError, match=r"layer 0 biases is \(5,\), not \(4,\)"):
        weights_file.write(
            cfg, path, [{**seeded_arrays(cfg, 0)[0], "biases": np.zeros(5)}, *seeded_arrays(cfg, 0)[1:]], 0
        )
    with pytest.raises(WeightsError, match="1 layers to write, the cfg has 5"):
        weights_file.write(cfg, path, arrays[:1], 0)
    assert path.read_bytes() == b"before" and [one.name for one in tmp_path.iterdir()] == ["a.weights"]


def test_partial_takes_the_first_layers_with_seen_zero(tmp_path, seeded_arrays):
    cfg, path = build(SMALL), tmp_path / "a.weights"
    weights_file.write(cfg, path, seeded_arrays(cfg, 0), seen=6400)
    assert weights_file.partial(cfg, path, tmp_path / "b.weights", 3) == 3
    whole, part = path.read_bytes(), (tmp_path / "b.weights").read_bytes()
    assert part == struct.pack("<iiiQ", 0, 2, 5, 0) + whole[20 : len(part)]
    assert len(part) == 20 + 4 * sum(layer.params for layer in layers.trace(cfg)[:3])
    assert weights_file.partial(cfg, tmp_path / "b.weights", tmp_path / "c.weights", 1) == 1  # of a prefix
    with pytest.raises(WeightsError, match="holds 3 layers, not 5"):
        weights_file.partial(cfg, tmp_path / "b.weights", tmp_path / "c.weights", 5)


@pytest.mark.parametrize("number", [None, -1, 0, 6])
def test_partial_refuses_a_number_out_of_range(tmp_path, seeded_arrays, number):
    cfg, path = build(SMALL), tmp_path / "a.weights"
    weights_file.write(cfg, path, seeded_arrays(cfg, 0), 0)
    with pytest.raises(WeightsError, match="a number from 1 to 5"):
        weights_file.partial(cfg, path, tmp_path / "b.weights", number)


@pytest.mark.parametrize(
    ("source", "target", "count"),
    [
        ("csdarknet53", "v4", 105),
        ("darknet-ref", "v3-tiny", 11),
        ("darknet-ref-17", "v3-tiny", 11),
        ("v4-tiny", "7 classes", 29),
    ],
)
def test_partial_for_another_cfg(tmp_path, seeded_arrays, source, target, count):
    cfg = templates.load(source)
    other = templates.render(source, 7, size=320) if target == "7 classes" else templates.load(target)
    path, out = tmp_path / "a.weights", tmp_path / "b.weights"
    weights_file.write(cfg, path, seeded_arrays(cfg, 0), 0)
    assert weights_file.partial(cfg, path, out, for_cfg=other) == count
    assert len(weights_file.read(other, out, prefix=True).layers) >= count  # and the other network takes it


def test_partial_for_a_cfg_that_shares_nothing_or_all(tmp_path, seeded_arrays):
    cfg, path = build(SMALL), tmp_path / "a.weights"
    weights_file.write(cfg, path, seeded_arrays(cfg, 0), 0)
    with pytest.raises(WeightsError, match="differ from the first layer on"):
        weights_file.partial(cfg, path, tmp_path / "b.weights", for_cfg=templates.load("v4"))
    with pytest.raises(WeightsError, match="take the weights whole"):
        weights_file.partial(cfg, path, tmp_path / "b.weights", for_cfg=cfg)


@pytest.mark.parametrize(
    ("name", "number"), [("v3-tiny", 1), ("v3-tiny", 15), ("face-small", 14), ("darknet-tiny", 22)]
)
def test_partial_writes_the_bytes_of_debians_darknet(tmp_path, seeded_arrays, debian, name, number):
    cfg = templates.render(name, 7, batch=1, subdivisions=1)
    cfg_file.save(cfg, tmp_path / "a.cfg")
    weights_file.write(cfg, tmp_path / "a.weights", seeded_arrays(cfg, 3), seen=12345)
    subprocess.run(
        [debian, "partial", "a.cfg", "a.weights", "theirs", str(number)],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        timeout=120,
    )
    weights_file.partial(cfg, tmp_path / "a.weights", tmp_path / "ours", number, version=(0, 2, 0))
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()


@pytest.mark.parametrize(("name", "number"), [("v4-tiny", 29), ("darknet-ref", 11), ("csdarknet53", 105)])
def test_partial_writes_the_bytes_of_alexeyabs_darknet(tmp_path, seeded_arrays, alexey, name, number):
    cfg = templates.load(name)
    weights_file.write(cfg, tmp_path / "a.weights", seeded_arrays(cfg, 3), seen=12345)
    run = [alexey, "partial", str(cfg.path), "a.weights", "theirs", str(number)]
    subprocess.run(run, cwd=tmp_path, check=True, capture_output=True, timeout=120)
    weights_file.partial(cfg, tmp_path / "a.weights", tmp_path / "ours", number)
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()


@pytest.mark.parametrize("version", [(0, 1, 0), (0, 2, 0), (0, 1001, 0)])
def test_old_files_mean_to_us_what_they_mean_to_debians_darknet(tmp_path, seeded_arrays, debian, version):
    """It reads them and writes them anew: connected layers turned, `seen` in 64 bits."""
    cfg = build(SMALL.replace("channels=2\n", "channels=2\nbatch=1\n"))
    cfg_file.save(cfg, tmp_path / "a.cfg")
    weights_file.write(cfg, tmp_path / "a.weights", seeded_arrays(cfg, 4), seen=77, version=version)
    subprocess.run(
        [debian, "partial", "a.cfg", "a.weights", "theirs", "5"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        timeout=120,
    )
    weights_file.partial(cfg, tmp_path / "a.weights", tmp_path / "ours", 5, version=(0, 2, 0))
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()


def test_reading_copies_nothing(tmp_path, seeded_arrays):
    cfg = templates.load("v3-tiny")
    weights_file.write(cfg, tmp_path / "a.weights", seeded_arrays(cfg, 0), 0)
    for blocks in weights_file.read(cfg, tmp_path / "a.weights").layers:
        for array in blocks.values():
            assert isinstance(array, np.memmap) and not array.flags.owndata


@pytest.mark.parametrize(
    "name, classes",
    [("v4-nano", 7), ("v4-nano", 80), ("face-small", 7), ("emonet", 8), ("resnet18", 1), ("v4-tiny-3l", 3)],
)
def test_the_length_tells_a_shipped_networks_classes(name, classes, tmp_path):
    rendered = templates.render(name, classes)
    path = tmp_path / "a.weights"
    with open(path, "wb") as file:
        file.write(np.array([0, 2, 5, 0, 0], "<i4").tobytes())
        file.truncate(weights_file.weights_bytes(weights_file.trace(rendered)))
    assert templates.classes_of(templates.of_weights(name, path)) == classes
    weights_file.partial(templates.of_weights(name, path), path, tmp_path / "b.conv", 3)
    assert templates.of_weights(name, tmp_path / "b.conv").text == templates.load(name).text  # a part tells nothing
    rendered_file = tmp_path / "mine.cfg"
    rendered_file.write_text(rendered.text)
    assert templates.of_weights(rendered_file, path).text == rendered.text
