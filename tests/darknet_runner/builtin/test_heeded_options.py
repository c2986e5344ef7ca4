"""Every option that the parser knows: either it changes what the built-in engine computes, or it is told.

`CASES` has a case for each heeded option: a network with the option at two values, and a probe that must see the
difference. A known option without a case that is not told fails, and so does a new one.
"""

import numpy as np
import pytest
import torch

from converters.darknet_format.files import read_data
from converters.errors import CfgError
from darknet_runner.builtin import augment
from darknet_runner.builtin.engine import BuiltinEngine
from darknet_runner.builtin.evaluate import evaluate_detector
from darknet_runner.builtin.heads import head_of
from darknet_runner.builtin.heeded_options import HEEDED, HEEDED_EVERYWHERE, heeds, unheeded
from darknet_runner.builtin.modules import BUILDERS
from darknet_runner.builtin.network import Network
from darknet_runner.builtin.rate import rate
from darknet_runner.builtin.train import Trainer
from darknet_runner.network import cfg_file, layers, weights_file
from darknet_runner.run import preflight

torch.set_num_threads(1)
OPTIONS = sorted(
    (section, key)
    for section, keys in cfg_file.KNOWN.items()
    for key in keys | (cfg_file.EVERYWHERE if section != "net" else set())
)

# --- probes: a cfg's text -> arrays -------------------------------------------------------------------------------


def outputs(text, *_):
    """What every layer computes in inference, and the last in training, from weights that depend on their place
    only.
    """
    cfg = cfg_file.parse(text)
    network, rng = Network(cfg).eval(), np.random.RandomState(5)
    arrays = [
        {
            name: rng.uniform(0.2, 1, array.shape).astype(np.float32)
            * (1 if name in ("variance", "scales") else rng.choice([-1, 1], array.shape))
            for name, array in layer.items()
        }
        for layer in network.arrays()
    ]
    network.load(weights_file.Weights((0, 2, 5), 0, tuple(arrays)))
    width, height, channels = network.layers[0].inputs
    x = torch.from_numpy(np.random.RandomState(6).uniform(0, 1, (2, channels, height, width)).astype(np.float32))
    found = [out.numpy() for out in network.outputs(x)]
    torch.manual_seed(0)
    return [*found, network.train()(x)[0].detach().numpy()]


def rates(text, *_):
    net = cfg_file.parse(text).net
    return [np.array([rate(net, batch) for batch in (1, 2, 5, 40, 70, 99)])]


def pictures(text, *_):
    """Training pictures and their labels, of a detector or a classifier."""
    cfg = cfg_file.parse(text)
    options, rng = augment.Options.of(cfg), np.random.RandomState(2)
    pool = [rng.randint(0, 255, (40, 60, 3)).astype(np.uint8) for _ in range(4)]
    boxes = np.array([[0, 0.3, 0.3, 0.2, 0.3], [1, 0.7, 0.6, 0.2, 0.3]])
    found = []
    for number in range(6):
        out, draw = np.empty((48, 48, 3), np.uint8), np.random.default_rng(number)
        if cfg.is_detector:
            label = augment.detection_sample(lambda i: (pool[i], boxes), number % 4, 4, (48, 48), 3, draw, options, out)
        else:
            label = augment.classifier_sample(
                lambda i: (pool[i], i % 2), number % 4, 4, (48, 48), 2, draw, options, out
            )
        found += [out, np.asarray(label)]
    return found


def loss(text, *_):
    """A head's delta and cost, and its decoded boxes."""
    cfg = cfg_file.parse(text)
    section = next(layer for layer in cfg.layers if layer.type in ("yolo", "region"))
    layer = layers.trace(cfg)[-1]
    head, rng = head_of(section), np.random.RandomState(3)
    raw = torch.from_numpy(
        rng.normal(0, 0.7, (2, layer.inputs[2], layer.inputs[1], layer.inputs[0])).astype(np.float32)
    )
    truths = torch.tensor(
        [
            [0, 0.3, 0.4, 0.3, 0.5, 1],
            [0, 0.31, 0.41, 0.3, 0.4, 0],
            [1, 0.6, 0.5, 0.7, 0.2, 0],
            [1, 0.2, 0.8, 0.1, 0.1, 2],
        ]
    )
    delta, cost, _ = head.delta(raw, truths, cfg.size_wh, 10**6)
    return [delta.numpy(), np.array([cost]), *(part.numpy() for part in head.decode(raw, cfg.size_wh))]


def learning(text, squares, make_job):
    """The weights after a short training, and the sizes of its batches."""
    job = make_job(text, squares, evaluate=False)
    trainer = Trainer(job)
    sizes = np.array([trainer.size_of(batch) for batch in (0, 20, 40, 50)])
    BuiltinEngine().train(job)
    return [
        sizes,
        *(
            array
            for layer in weights_file.read(cfg_file.load(job.cfg), job.run.weights_file("final")).layers
            for array in layer.values()
        ),
    ]


def measured(text, squares, make_job):
    """mAP of a network whose every cell sees a face."""
    cfg = cfg_file.parse(text)
    torch.manual_seed(1)
    network = Network(cfg).eval()
    with torch.no_grad():
        network.stack[-2].weight *= 20
    found = evaluate_detector(network, read_data(squares), device=torch.device("cpu"), iou=0.1)
    return [np.array([found["map"], *(value or 0 for value in found["ap"].values())])]


# --- networks -----------------------------------------------------------------------------------------------------

NET = "[net]\nwidth=12\nheight=12\nchannels=4\n"
CONV = "[convolutional]\nfilters=8\nsize=3\nstride=1\npad=1\nactivation=leaky\n"
END = "[convolutional]\nfilters=2\nsize=1\nactivation=linear\n"
YOLO = (
    "[net]\nwidth=64\nheight=64\n"
    "channels=3\n"
    "[convolutional]\n"
    "filters=24\n"
    "size=16\n"
    "stride=16\n"
    "activation=linear\n[yolo]\n"
    "classes=3\nnum=3\n"
    "mask=0,1,2\n"
    "anchors=8,8,16,16,30,30\n"
)
REGION = YOLO[: YOLO.index("[yolo]")] + "[region]\nclasses=3\nnum=3\nanchors=1,1,2,2,3,1\nsoftmax=1\nthresh=.6\n"
PICTURES = (
    "[net]\nwidth=48\nheight=48\n"
    "channels=3\n"
    "[convolutional]\n"
    "filters=24\n"
    "size=1\n"
    "activation=linear\n"
    "[yolo]\nclasses=3\nnum=3\n"
    "jitter=0.1\n"
    "anchors=8,8,16,16,30,30\n"
)
FACES = "[net]\nwidth=48\nheight=48\nchannels=3\n[avgpool]\n[connected]\noutput=2\n[softmax]\n"
RATES = "[net]\nlearning_rate=0.1\nmax_batches=100\npolicy={}\n[avgpool]\n"
TINY = "tiny"  # the conftest's detector, which is trained
MEASURED = (
    "[net]\nwidth=64\nheight=64\n"
    "channels=3\n"
    "[convolutional]\n"
    "filters=24\n"
    "size=16\n"
    "stride=8\n"
    "activation=linear\n[yolo]\n"
    "classes=3\nnum=3\n"
    "mask=0,1,2\n"
    "anchors=20,20,24,24,30,30\n"
)


def layer(kind, **options):
    """A network of a convolution, the layer with these options, and whatever comes after."""
    return NET + CONV + f"[{kind}]\n" + "".join(f"{key}={value}\n" for key, value in options.items())


def cases():
    """{(section, key): (probe, text, index of the section, value, other value)}; None takes the option out."""
    found = {}

    def add(section, probe, text, index, **values):
        for key, (one, other) in values.items():
            found[section, key] = probe, text, index, one, other

    add("net", outputs, NET + CONV, 0, width=(12, 16), height=(12, 16), channels=(4, 2))
    add("net", outputs, "[net]\ninputs=5\n[connected]\noutput=3\n", 0, inputs=(5, 6))
    add(
        "net",
        learning,
        TINY,
        0,
        batch=(4, 8),
        subdivisions=(2, 1),
        max_batches=(8, 6),
        momentum=(0.9, 0.5),
        decay=(0.0005, 0.1),
    )
    add("net", rates, RATES.format("constant"), 0, learning_rate=(0.1, 0.2), burn_in=(None, 50))
    found["net", "policy"] = rates, RATES.format("constant") + "", 0, "constant", "poly"
    found["net", "power"] = rates, RATES.format("poly"), 0, 1, 4
    found["net", "step"], found["net", "scale"] = (
        (rates, RATES.format("step").replace("[avg", "step=10\nscale=.5\n[avg"), 0, *pair)
        for pair in ((10, 30), (0.5, 0.1))
    )
    found["net", "steps"], found["net", "scales"] = (
        (rates, RATES.format("steps").replace("[avg", "steps=10,60\nscales=.5,.1\n[avg"), 0, *pair)
        for pair in (("10,60", "50,60"), (".5,.1", ".3,.1"))
    )
    found["net", "gamma"] = rates, RATES.format("exp"), 0, 0.9, 0.99
    add("net", rates, RATES.format("sgdr"), 0, sgdr_cycle=(20, 30), learning_rate_min=(0.00001, 0.01))
    found["net", "sgdr_mult"] = rates, RATES.format("sgdr").replace("[avg", "sgdr_cycle=20\n[avg"), 0, 1, 2
    add(
        "net",
        pictures,
        PICTURES,
        0,
        saturation=(1, 1.8),
        exposure=(1, 1.8),
        hue=(0, 0.3),
        flip=(1, 0),
        mosaic=(0, 1),
        mixup=(0, 1),
        gaussian_noise=(0, 40),
        letter_box=(0, 1),
    )
    add(
        "net",
        pictures,
        FACES,
        0,
        angle=(0, 30),
        aspect=(1, 1.5),
        min_crop=(48, 30),
        max_crop=(60, 90),
        cutmix=(0, 1),
        label_smooth_eps=(0, 0.1),
    )
    add(
        "convolutional",
        outputs,
        NET + CONV + END,
        1,
        filters=(8, 6),
        size=(3, 5),
        stride=(1, 2),
        stride_x=(1, 2),
        stride_y=(1, 2),
        dilation=(1, 2),
        pad=(1, 0),
        groups=(1, 2),
        activation=("leaky", "mish"),
        batch_normalize=(0, 1),
    )
    found["convolutional", "padding"] = outputs, NET + CONV.replace("pad=1\n", "") + END, 1, 1, 2
    found["convolutional", "clip"] = learning, TINY, 2, 0, 0.05
    add(
        "connected",
        outputs,
        layer("connected", output=5, activation="leaky"),
        2,
        output=(5, 6),
        activation=("leaky", "tanh"),
        batch_normalize=(0, 1),
    )
    for kind in ("maxpool", "local_avgpool"):
        add(
            kind,
            outputs,
            layer(kind, size=2, stride=2) + END,
            2,
            size=(2, 3),
            stride=(2, 3),
            stride_x=(2, 1),
            stride_y=(2, 1),
            padding=(1, 3),
        )
    add(
        "maxpool",
        outputs,
        layer("maxpool", maxpool_depth=1, out_channels=2) + END,
        2,
        maxpool_depth=(1, 0),
        out_channels=(2, 4),
    )
    add("dropout", outputs, layer("dropout", probability=0.2) + END, 2, probability=(0.2, 0.8))
    add(
        "route",
        outputs,
        layer("route", layers=-1, groups=2) + END,
        2,
        layers=("-1", "-1,0"),
        groups=(2, 1),
        group_id=(0, 1),
    )
    shortcut = NET + CONV + CONV + CONV + "[shortcut]\nfrom=-2\nweights_type=per_feature\nactivation=leaky\n"
    add(
        "shortcut",
        outputs,
        shortcut,
        4,
        activation=("leaky", "relu"),
        weights_type=("none", "per_channel"),
        weights_normalization=("none", "softmax"),
    )
    found["shortcut", "from"] = outputs, shortcut, 4, -2, -3
    scaled = NET + CONV + CONV + "[avgpool]\n[scale_channels]\nfrom=-2\nactivation=linear\n"
    add("scale_channels", outputs, scaled, 4, activation=("linear", "logistic"))
    found["scale_channels", "from"] = outputs, scaled, 4, -2, -3
    found["scale_channels", "scale_wh"] = (
        None,
        NET + CONV + END.replace("=2", "=1", 1) + "[scale_channels]\nfrom=0\nscale_wh=1\n",
        3,
        1,
        0,
    )
    sam = NET + CONV + CONV + "[sam]\nfrom=-2\nactivation=linear\n"
    add("sam", outputs, sam, 3, activation=("linear", "logistic"))
    found["sam", "from"] = outputs, sam, 3, -2, -1
    add("upsample", outputs, layer("upsample", stride=2), 2, stride=(2, 3), scale=(1, 2))
    for kind in ("reorg", "reorg3d"):
        wide = NET + CONV.replace("filters=8", "filters=16") + f"[{kind}]\nstride=2\n"
        add(kind, outputs, wide, 2, stride=(2, 1), reverse=(0, 1))
    add("softmax", outputs, NET + CONV + "[avgpool]\n[softmax]\n", 3, groups=(1, 2), temperature=(1, 2))
    add(
        "yolo",
        loss,
        YOLO.replace(
            "classes=3\n",
            "classes=3\ntruth_thresh=1\niou_thresh=1\nignore_thresh=.2\niou_loss=ciou\niou_normalizer=.5\n",
        ),
        2,
        anchors=("8,8,16,16,30,30", "8,9,16,16,30,30"),
        max_delta=(None, 0.01),
        counters_per_class=(None, "10,20,30"),
        label_smooth_eps=(0, 0.1),
        scale_x_y=(1, 1.2),
        objectness_smooth=(0, 1),
        new_coords=(0, 1),
        iou_normalizer=(0.5, 1),
        obj_normalizer=(1, 2),
        delta_normalizer=(1, 2),
        iou_loss=("ciou", "mse"),
        focal_loss=(0, 1),
        ignore_thresh=(0.2, 0.9),
        truth_thresh=(1, 0.1),
        iou_thresh=(1, 0.1),
    )
    found["yolo", "iou_thresh_kind"] = loss, YOLO + "iou_thresh=.25\n", 2, "iou", "giou"
    found["yolo", "cls_normalizer"] = (
        loss,
        YOLO + "counters_per_class=10,20,30\n",
        2,
        1,
        2,
    )  # src/yolo_layer.c: with counters only
    found["yolo", "mask"] = loss, YOLO.replace("filters=24", "filters=16").replace("0,1,2", "0,1"), 2, "0,1", "1,2"
    found["yolo", "classes"] = None, YOLO, 2, 3, 4
    found["yolo", "num"] = None, YOLO.replace("mask=0,1,2\n", ""), 2, 3, 2
    add("yolo", pictures, PICTURES, 2, max=(200, 1), jitter=(0, 0.3))
    found["yolo", "resize"] = pictures, PICTURES, 2, 1, 1.5
    found["yolo", "random"] = learning, TINY, 6, 0, 3
    add("yolo", measured, MEASURED + "nms_kind=greedynms\n", 2, nms_kind=("greedynms", "default"))
    add("yolo", measured, MEASURED + "nms_kind=diounms\nbeta_nms=0.6\n", 2, beta_nms=(0.6, 5))
    add(
        "region",
        loss,
        REGION,
        2,
        anchors=("1,1,2,2,3,1", "1,2,2,2,3,1"),
        softmax=(1, 0),
        focal_loss=(0, 1),
        rescore=(0, 1),
        thresh=(0.6, 0.05),
        coord_scale=(1, 2),
        object_scale=(1, 2),
        noobject_scale=(1, 2),
        class_scale=(1, 2),
        bias_match=(0, 1),
    )
    found["region", "classes"], found["region", "num"] = (None, REGION, 2, 3, 4), (None, REGION, 2, 3, 2)
    region = PICTURES.replace("[yolo]", "[region]")
    add("region", pictures, region, 2, max=(200, 1), jitter=(0, 0.3))
    found["region", "resize"] = pictures, region, 2, 1, 1.5
    found["region", "random"] = learning, "region", 2, 0, 3
    for key, one, other in (
        ("onlyforward", 0, 1),
        ("dont_update", 0, 3),
        ("stopbackward", 0, 1),
        ("train_only_bn", 0, 1),
        ("learning_rate", 1, 0.5),
        ("burnin_update", 0, 2),
    ):
        found["*", key] = learning, TINY, 2, one, other
    return found


CASES = cases()


def case_of(section, key):
    return CASES.get((section, key)) or (CASES.get(("*", key)) if section != "net" and section in HEEDED else None)


def told(section, key):
    """Whether the engine names the option when a cfg sets it: by a finding, or because it builds no such layer or
    option.
    """
    text = (
        f"[net]\nwidth=8\nheight=8\nchannels=4\n{key}=7\n"
        if section == "net"
        else f"[net]\nwidth=8\nheight=8\nchannels=4\n[{section}]\n{key}=7\n"
    )
    cfg = cfg_file.parse(text)
    found = [
        finding
        for finding in unheeded(cfg)
        if f" {key} = 7" in finding.message and finding.line == len(text.splitlines())
    ]
    if found or section == "net":
        return bool(found)
    try:
        layers.trace(cfg)
        head_of(cfg.layers[0])
    except CfgError as error:
        return (
            f"section [{section}] is not supported" in str(error)
            or f"{key} = 7 is not supported" in str(error)
            or f"{key} = 7 cannot be trained" in str(error)
        )
    except KeyError:
        return False
    return False


@pytest.mark.parametrize("section, key", OPTIONS, ids=[f"{section}-{key}" for section, key in OPTIONS])
def test_heeded_or_told(section, key, tiny_text, squares, make_job):
    case = case_of(section, key)
    if case is None:
        assert not heeds(section, key), f"[{section}] {key} is said to be heeded; what shows it?"
        assert told(section, key), f"[{section}] {key} is neither heeded nor told"
        return
    assert heeds(section, key) and not told(section, key)
    if (section, key) not in CASES and section != "convolutional":
        return  # an option of every layer: shown on a convolution
    probe, text, index, one, other = case
    text = {TINY: tiny_text(batches=8, net="burn_in=4"), "region": trained_region(tiny_text)}.get(text, text)
    if key == "burnin_update":
        text = text.replace("burn_in=0", "burn_in=4")
    first, second = (cfg_file.parse(text).edit({index: {key: value}}).text for value in (one, other))
    if probe is None:  # the shape of a head, or of what it scales: another one does not fit
        layers.trace(cfg_file.parse(first))
        with pytest.raises(CfgError):
            layers.trace(cfg_file.parse(second))
        return
    a, b = probe(first, squares, make_job), probe(second, squares, make_job)
    assert all(np.array_equal(*pair) for pair in zip(a, probe(first, squares, make_job))), (
        "the probe is not the same twice"
    )
    assert len(a) != len(b) or any(x.shape != y.shape or not np.array_equal(x, y) for x, y in zip(a, b)), (
        "changes nothing"
    )


def trained_region(tiny_text):
    text = tiny_text(batches=3)
    return text[: text.index("[convolutional]")] + REGION[REGION.index("[conv") :]


def test_the_tables_name_only_what_is_known():
    assert set(HEEDED) == set(BUILDERS) | {"net"}
    for section, keys in HEEDED.items():
        known = cfg_file.KNOWN[section] | (cfg_file.EVERYWHERE if section != "net" else set())
        assert keys <= known, f"[{section}] {keys - known}"
    assert HEEDED_EVERYWHERE <= cfg_file.EVERYWHERE


def test_a_training_is_told_before_it_starts(tiny_text, squares):
    cfg = cfg_file.parse(tiny_text(net="adam=1\ntime_steps=1\nblur=0")).edit(
        {6: {"max": 5, "track_history_size": 3}, 1: {"grad_centr": 1}}
    )
    found = [item.message for item in preflight.check_cfg(cfg, read_data(squares)) if item.code == "unheeded-key"]
    assert [message.split(" = ")[0] for message in found] == [
        "[net] adam",
        "[convolutional] grad_centr",
        "[yolo] track_history_size",
    ]
    assert not [
        item for item in preflight.check_cfg(cfg, read_data(squares), binary=True) if item.code == "unheeded-key"
    ]
