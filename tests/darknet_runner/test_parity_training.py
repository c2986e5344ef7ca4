"""Training batch by batch beside Debian's Darknet, on the same numbers: its library is called with ctypes.

No picture is read, so nothing is augmented: both get the same arrays. AlexeyAB's CPU build cannot be the
reference (its gradients pile up); Debian's trains v3's [yolo] and classifiers.
"""

import ctypes
from pathlib import Path

import numpy as np
import pytest

from darknet_runner.network import cfg_file, templates, weights_file

torch = pytest.importorskip("torch")
# of the narrow networks, from the first batch on; rounding, which flips a leaky unit now and then, grows with it
RATE = 0.000004
FLOATS = ctypes.POINTER(ctypes.c_float)
PLACES = (
    "/usr/lib/darknet/libdarknet.so",
    "/usr/lib/x86_64-linux-gnu/libdarknet.so",
    "/usr/lib/aarch64-linux-gnu/libdarknet.so",
)


class Matrix(ctypes.Structure):
    """darknet.h, matrix; keeps the array that it points into."""

    _fields_ = [("rows", ctypes.c_int), ("cols", ctypes.c_int), ("vals", ctypes.POINTER(FLOATS))]

    @classmethod
    def of(cls, array):
        array = np.ascontiguousarray(array.reshape(len(array), -1), np.float32)
        rows = (FLOATS * len(array))(*(row.ctypes.data_as(FLOATS) for row in array))
        found = cls(*array.shape, ctypes.cast(rows, ctypes.POINTER(FLOATS)))
        found.kept = (array, rows)
        return found


class Data(ctypes.Structure):
    _fields_ = [
        ("w", ctypes.c_int),
        ("h", ctypes.c_int),
        ("X", Matrix),
        ("y", Matrix),
        ("shallow", ctypes.c_int),
        ("num_boxes", ctypes.c_void_p),
        ("boxes", ctypes.c_void_p),
    ]


@pytest.fixture(scope="module")
def library(debian):
    path = next((path for path in PLACES if Path(path).exists()), None)
    if path is None:
        pytest.skip("Debian's libdarknet.so is not where it is looked for")
    library = ctypes.CDLL(path)
    torch.set_flush_denormal(
        False
    )  # it is built with -Ofast, which on loading turns subnormal numbers off for the process
    library.load_network.restype, library.load_network.argtypes = (
        ctypes.c_void_p,
        [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_int],
    )
    library.train_network.restype, library.train_network.argtypes = ctypes.c_float, [ctypes.c_void_p, Data]
    library.save_weights.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    return library


CONNECTED = (Path(__file__).parents[1] / "cfg" / "classifier-connected.cfg").read_text()


def build(name, whole):
    """(cfg, classes), small inputs and nothing random. whole: all channels, and rate and burn-in as the network's own
    cfg has them; else an eighth of the channels and one rate throughout, so that it moves two hundred times as far.
    """
    if name == "connected":
        cfg, classes, size, batch, parts = cfg_file.parse(CONNECTED), 5, 24, 8, 2
    else:
        classes, size, batch, parts = {"darknet-ref": (4, 96, 4, 1), "v3-tiny": (3, 96, 4, 2)}[name]
        cfg = templates.render(name, classes)
    changes = {0: {"width": size, "height": size, "batch": batch, "subdivisions": parts}}
    if whole:
        changes[0] |= {
            "width": 64,
            "height": 64,
            "batch": 2 if name == "v3-tiny" else 4,
            "subdivisions": 1,
        }  # Debian's takes 0.2 s a picture
    else:
        changes[0] |= {"learning_rate": RATE, "policy": "constant", "burn_in": None, "max_batches": 1000}
    for index, section in enumerate(cfg.sections):
        if section.type == "yolo":
            # Debian's knows neither the normaliser (so 1) nor AlexeyAB's condition on classes for ignoring (so never).
            changes[index] = {"iou_normalizer": 1, "ignore_thresh": 1, "random": 0}
        if (
            section.type == "convolutional"
            and section.integer("batch_normalize", 0)
            and name != "connected"
            and not whole
        ):
            changes[index] = {"filters": section.integer("filters") // 8}
    return cfg.edit(changes), classes


def batch_of(cfg, classes, seed):
    """(pictures, targets of Debian's, truths or one-hot rows) of one batch."""
    (width, height), batch = cfg.size_wh, cfg.net.integer("batch")
    rng = np.random.RandomState(seed)
    pictures = rng.uniform(0, 1, (batch, cfg.net.integer("channels"), height, width)).astype(np.float32)
    if not cfg.is_detector:
        rows = np.eye(classes, dtype=np.float32)[rng.randint(0, classes, batch)]
        return pictures, rows, rows
    # One left, one right, so that no two share a prediction: AlexeyAB's adds their deltas then, Debian's keeps one.
    rows = [
        (index, rng.uniform(at, at + 0.2), rng.uniform(0.1, 0.9), *rng.uniform(0.1, 0.6, 2), rng.randint(classes))
        for index in range(batch)
        for at in (0.1, 0.7)
    ]
    rows = np.array(rows, np.float32)
    targets = np.zeros((batch, 90, 5), np.float32)  # yolo_layer.c: 90 boxes a picture
    targets[:, :2] = rows[:, 1:].reshape(batch, 2, 5)
    return pictures, targets, rows


def ours(network, heads, optimizer, cfg, pictures, rows):
    """One batch with our network, loss and update; the loss as Darknet prints it."""
    from darknet_runner.builtin.loss import classifier_loss, yolo_delta

    batch, parts, loss = len(pictures), cfg.net.integer("subdivisions"), 0.0
    optimizer.zero_grad()
    for part in np.split(np.arange(batch), parts):
        raw = network(torch.from_numpy(pictures[part]))
        if heads:
            truths = torch.from_numpy(rows[np.isin(rows[:, 0], part)] - np.float32([part[0], 0, 0, 0, 0, 0]))
            found = [yolo_delta(one.detach(), truths, head, cfg.size_wh) for one, head in zip(raw, heads)]
            torch.autograd.backward(raw, [-delta / batch for delta, _, _ in found])
            loss += sum(cost for _, cost, _ in found) / len(heads) / batch
        else:
            cost = classifier_loss(raw[0], torch.from_numpy(rows[part]))
            (cost / batch).backward()
            loss += float(cost.detach()) / batch
    optimizer.step()
    return loss


@pytest.mark.parametrize(
    "name, whole",
    [("v3-tiny", False), ("darknet-ref", False), ("connected", False), ("v3-tiny", True), ("darknet-ref", True)],
)
def test_training_keeps_step_with_debians_darknet(name, whole, tmp_path, library, seeded_arrays, monkeypatch):
    from darknet_runner.builtin.heads import head_of
    from darknet_runner.builtin.modules import BatchNorm
    from darknet_runner.builtin.network import Network
    from darknet_runner.builtin.rate import rate

    # Debian's batch norm rolls by 0.01, AlexeyAB's by 0.1, and adds 1e-6 to the deviation instead of 1e-5 to the
    # variance.
    monkeypatch.setattr(BatchNorm, "MOMENTUM", 0.01)
    monkeypatch.setattr(BatchNorm, "EPS", 1e-6)
    monkeypatch.chdir(tmp_path)
    cfg, classes = build(name, whole)
    cfg_file.save(cfg, tmp_path / "a.cfg")
    torch.manual_seed(31)
    network = Network(cfg).train()
    start = (
        [{block: array.copy() for block, array in layer.items()} for layer in network.arrays()]
        if whole
        else seeded_arrays(cfg, 31)
    )
    weights_file.write(cfg, tmp_path / "a.weights", start, 0, (0, 2, 0))
    theirs = library.load_network(b"a.cfg", b"a.weights", 0)
    network.load(weights_file.read(cfg, tmp_path / "a.weights"))
    heads = [head_of(layer.section) for layer in network.heads]
    decayed, plain = network.parameter_groups()
    groups = [{"params": decayed, "weight_decay": cfg.net.number("decay")}, {"params": plain, "weight_decay": 0.0}]
    optimizer = torch.optim.SGD(groups, lr=0.0, momentum=cfg.net.number("momentum"))
    batches = [batch_of(cfg, classes, seed) for seed in range(40, 46 if whole else 41)]
    for step in range(1, 101):
        pictures, targets, rows = batches[step % len(batches)]
        data = Data(*cfg.size_wh, Matrix.of(pictures), Matrix.of(targets), 0, None, None)
        for group in optimizer.param_groups:
            group["lr"] = rate(cfg.net, step)
        expected, found = library.train_network(theirs, data), ours(network, heads, optimizer, cfg, pictures, rows)
        if step in (1, 10, 100):
            assert found == pytest.approx(expected, rel=1e-4 if step == 1 else 0.01), f"loss at batch {step}"
            library.save_weights(theirs, b"b.weights")
            read = weights_file.read(cfg, tmp_path / "b.weights")
            assert read.seen == step * len(pictures)
            for layer, mine, other, before in zip(network.layers, network.arrays(), read.layers, start):
                if other:
                    mine, other, before = (
                        np.concatenate([one[block].ravel() for block in other]) for one in (mine, other, before)
                    )
                    apart, moved, size = (
                        np.linalg.norm(mine - other),
                        np.linalg.norm(other - before),
                        np.linalg.norm(other),
                    )
                    where = (
                        f"batch {step}, layer {layer.index}: {apart:.2g} apart, {moved:.2g} from the start, "
                        f"{size:.2g} in all"
                    )
                    # 1e-3 of the weights; those of a narrow network have moved far, and may be 2% of the way apart
                    assert apart < max(1e-3 * size, 0 if whole else 0.02 * moved) and apart < 0.05 * moved, where
