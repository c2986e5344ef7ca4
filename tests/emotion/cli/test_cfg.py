"""`emo cfg`, as a user runs it."""

import json

import pytest

from darknet_runner.network import cfg_file, layers, templates, weights_file
from emotion.cli import main


@pytest.fixture
def emo(capsys, tmp_path, monkeypatch):
    """Run `emo cfg ...` in an empty folder: (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def run(*args):
        with pytest.raises(SystemExit) as caught:
            main(["cfg", *map(str, args)])
        return caught.value.code, *capsys.readouterr()

    return run


def test_list_names_every_network_with_its_cost(emo):
    code, out, err = emo("list")
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()[1:]] == list(templates.names())
    found = {one["name"]: one for one in json.loads(emo("list", "--json")[1])}
    assert found["v4"]["layers"] == 162 and found["v4"]["bflops"] == 128.459 and found["v4"]["kind"] == "detector"


@pytest.mark.parametrize("name", ["v4-tiny", "csdarknet53"])
def test_show_json_has_exactly_the_keys_that_were_agreed(emo, name):
    code, out, _ = emo("show", name, "--json")
    found, traced = json.loads(out), layers.trace(templates.load(name))
    assert code == 0 and list(found) == ["layers", "operations", "params", "weights_bytes"]
    assert found["layers"] == [
        {
            "index": layer.index,
            "type": layer.type,
            "out": list(layer.out),
            "params": layer.params,
            "bflops": layer.bflops,
        }
        for layer in traced
    ]
    assert found["operations"] == sum(layer.operations for layer in traced)
    assert found["weights_bytes"] == weights_file.weights_bytes(traced) == 20 + 4 * found["params"]


def test_show_prints_a_line_a_layer_and_the_sums(emo):
    code, out, err = emo("show", "v4-tiny")
    lines = out.splitlines()
    assert (code, err, len(lines)) == (0, "", 40)
    assert lines[1].split() == ["0", "convolutional", "32", "3x3/2", "416x416x3", "208x208x32", "992", "0.075"]
    assert (
        lines[-1]
        == "38 layers, 6,062,814 parameters, weights of 24,251,276 bytes, 6.910 BFLOPs, 6,907,876,352 operations"
    )


def test_show_tells_what_darknet_would_ignore(emo, tmp_path):
    (tmp_path / "my.cfg").write_text(
        "[net]\nwidth=8\nheight=8\nchannels=3\nwdth=9\n[conv]\nfilters=2\nactivation=linear\n"
    )
    code, out, err = emo("show", "my.cfg")
    assert (
        code == 0
        and err.startswith("emo: my.cfg:5: [net] knows no 'wdth' (did you mean 'width'?")
        and "convolutional" in out
    )
    assert emo("show", "my.cfg", "--strict")[0] == 1
    assert emo("show", "v4-tiny", "--strict")[0] == 0


def test_an_unsupported_section_is_one_line(emo, tmp_path):
    (tmp_path / "my.cfg").write_text("[net]\nwidth=8\nheight=8\nchannels=3\n[gru]\noutput=2\n")
    assert emo("show", "my.cfg") == (1, "", "emo: my.cfg:5: section [gru] is not supported\n")


def test_a_name_that_does_not_exist(emo):
    code, out, err = emo("show", "v4-tny")
    assert (code, out) == (2, "") and err.count("\n") == 1 and "did you mean 'v4-tiny'?" in err


def test_render_prints_or_writes_and_does_not_overwrite(emo, tmp_path):
    code, out, _ = emo(
        "render",
        "v4-tiny",
        "--classes",
        7,
        "--size",
        320,
        "--anchors",
        "1,2,3,4,5,6,7,8,9,10,11,12",
        "--iterations",
        5000,
    )
    cfg = cfg_file.parse(out)
    assert code == 0 and cfg.size_wh == (320, 320) and templates.classes_of(cfg) == 7
    assert cfg.layers[-1].integers("anchors") == tuple(range(1, 13)) and cfg.net.integer("max_batches") == 5000
    assert emo("render", "v4-tiny", "--classes", 7, "-o", "my.cfg") == (0, "", "")
    assert templates.classes_of(cfg_file.load(tmp_path / "my.cfg")) == 7
    code, _, err = emo("render", "v4-tiny", "--classes", 3, "-o", "my.cfg")
    assert code == 2 and "--force" in err and templates.classes_of(cfg_file.load(tmp_path / "my.cfg")) == 7
    assert emo("render", "v4-tiny", "--classes", 3, "-o", "my.cfg", "--force")[0] == 0
    assert templates.classes_of(cfg_file.load(tmp_path / "my.cfg")) == 3


@pytest.mark.parametrize("anchors", ["1,2,3", "a,b", "0,1", "1,2"])
def test_anchors_that_do_not_fit(emo, anchors):
    code, out, err = emo("render", "v4-tiny", "--classes", 7, "--anchors", anchors)
    assert code in (1, 2) and out == "" and "anchors" in err


def test_plot_writes_the_file_that_it_names(emo, tmp_path):
    assert emo("plot", "v4-tiny") == (0, "v4-tiny.svg\n", "")
    assert (tmp_path / "v4-tiny.svg").stat().st_size > 10_000
    code, _, err = emo("plot", "v4-tiny")
    assert code == 2 and "exists already" in err
    assert emo("plot", "v4-tiny", "--out", "a.gif")[0] == 2


def test_diff_says_where_two_networks_part(emo):
    code, out, _ = emo("diff", "csdarknet53", "v4")
    assert code == 0 and out.splitlines()[-1].startswith("first differing layer: 105 ")
    assert json.loads(emo("diff", "darknet-ref", "v3-tiny", "--json")[1])["first"] == 11
    assert "all layers compute the same" in emo("diff", "v4", "v4")[1]


def test_schedule_goes_both_ways(emo, tmp_path):
    assert "400,000 batches: 90 epochs" in emo("schedule", "--images", 283901, "--batches", 400000)[1]
    found = json.loads(emo("schedule", "--images", 283901, "--epochs", 90, "--round", 1000, "--json")[1])
    assert found == {
        "images": 283901,
        "batch": 64,
        "epochs": 90.172,
        "max_batches": 400000,
        "steps": [320000, 360000],
        "burn_in": 1000,
    }
    assert emo("schedule", "--images", 10)[0] == emo("schedule", "--epochs", 10)[0] == 2


def test_anchors_print_the_line_to_paste(emo, tmp_path):
    (tmp_path / "emo.names").write_text("face\n")
    (tmp_path / "a.jpg").touch()
    (tmp_path / "a.txt").write_text("0 .5 .5 .25 .5\n0 .5 .5 .1 .1\n")
    (tmp_path / "train.txt").write_text("a.jpg\n")
    (tmp_path / "emo.data").write_text("classes=1\nnames=emo.names\ntrain=train.txt\n")
    code, out, _ = emo("anchors", "--data", "emo.data", "--num", 2, "--size", 320)
    assert (code, out) == (0, "anchors = 32,32,  80,160\nmean IoU 100.00% over 2 boxes\n")
    assert json.loads(emo("anchors", "--data", "emo.data", "--num", 2, "--size", 320, "--json")[1])["anchors"] == [
        [32, 32],
        [80, 160],
    ]
    assert emo("anchors", "--data", ".", "--num", 2, "--size", 320)[1] == out
    assert emo("schedule", "--data", ".", "--epochs", 64)[1].startswith("1 images, batch 64, 1 batches: 64 epochs")
    code, _, err = emo("anchors", "--data", "emo.data", "--num", 3)
    assert code == 2 and "cannot make 3 anchors of 2" in err
    (tmp_path / "emo.data").write_text("classes=1\nlabels=emo.names\ntrain=train.txt\n")
    code, _, err = emo("anchors", "--data", "emo.data")
    assert code == 1 and "a classifier's set has no boxes (give a detector's set)" in err


def test_conv_writes_a_network_that_is_a_template(emo, tmp_path):
    code, out, err = emo("conv", "--conv", "32x3,2*64x3", "--dense", "64,64", "--dropout", "0.5", "--out", "my.cfg")
    assert (code, out, err) == (0, "", "")
    written = cfg_file.load(tmp_path / "my.cfg")
    assert [layer.type for layer in written.layers if layer.type in ("convolutional", "connected")] == [
        "convolutional"
    ] * 3 + ["connected"] * 3
    assert templates.classes_of(templates.render("my.cfg", 5)) == 5
    assert emo("conv", "--conv", "32x3")[1].startswith("# my: ")
    assert emo("conv", "--conv", "32x3", "--out", "my.cfg")[0] == 2  # there already
    assert "--conv 32x4 is not understood" in emo("conv", "--conv", "32x4")[2]


def test_import_tells_what_went_where(emo, tmp_path):
    torch = pytest.importorskip("torch", reason="the checkpoint is made with PyTorch")
    torch.save(
        {"0.weight": torch.rand(4, 1, 3, 3), "0.bias": torch.rand(4), "2.weight": torch.rand(9, 4)},
        tmp_path / "net.pth",
    )
    text = (
        "[net]\nwidth=8\nheight=8\n"
        "channels=1\n"
        "[convolutional]\n"
        "filters=4\n"
        "size=3\n"
        "activation=relu\n"
        "[avgpool]\n[connected]\n"
        "output=3\n"
        "[softmax]\n"
    )
    (tmp_path / "net.cfg").write_text(text)
    code, out, err = emo("import", "net.pth", "--for", "net.cfg", "--out", "net.weights", "--input", "0..1")
    assert (
        code == 0
        and "not used: 2 (9x4)" in err
        and out.splitlines()[-1] == "net.weights: torch checkpoint, layers 0 to 1"
    )
    assert [line.split()[:4] for line in out.splitlines()[1:3]] == [
        ["0", "convolutional", "4x1x3x3", "0"],
        ["2", "connected", "3x4", "-"],
    ]
    assert (tmp_path / "net.weights").stat().st_size == 20 + 4 * (4 + 36)
    found = json.loads(
        emo(
            "import",
            "net.pth",
            "--for",
            "net.cfg",
            "--out",
            "net.weights",
            "--input",
            "0..1",
            "--classes",
            "9",
            "--force",
            "--json",
        )[1]
    )
    assert found["whole"] and [row["how"] for row in found["rows"]] == ["copied", "copied"]
    code, _, err = emo("import", "net.pth", "--for", "emonet", "--out", "other.weights")
    assert (
        code == 1
        and err.count("\n") == 1
        and "does not fit emonet.cfg: its layer 0 [convolutional] takes 32x1x3x3; next is '0', 4x1x3x3" in err
    )
    assert emo("import", "net.tflite", "--for", "emonet", "--out", "other.weights")[0] == 2


def test_show_tells_what_the_built_in_engine_does_not_heed(emo, tmp_path):
    (tmp_path / "my.cfg").write_text("[net]\nwidth=8\nheight=8\nchannels=1\nadam=1\n[conv]\nfiltres=2\ngrad_centr=1\n")
    code, _, err = emo("show", "my.cfg")
    assert code == 0 and [line.partition(".cfg:")[2].split(":")[0] for line in err.splitlines()] == ["5", "7", "8"]
    assert "[net] adam = 1 is not supported by the built-in engine" in err
    (tmp_path / "my.cfg").write_text("[net]\nwidth=8\nheight=8\nchannels=1\nadam=1\n[conv]\n")
    assert emo("show", "my.cfg", "--strict")[0] == 0  # Darknet heeds it
