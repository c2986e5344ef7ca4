"""The argument list of each job for each flavour.

Flags differ, and a flag that a binary does not know becomes its weights file; so nothing is passed on that
the flavour's own source does not read. All paths are relative to the working directory (see `feed`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from converters.errors import RunError

from .binary import Binary


@dataclass(frozen=True)
class TrainOptions:
    """What may be asked of a training beyond cfg, data and weights."""

    clear: bool = False
    validate: bool = False  # mAP of a detector, top-k of a classifier, while it trains
    map_epochs: int | None = None  # AlexeyAB's only: every so many epochs
    gpus: tuple[int, ...] = ()
    mjpeg_port: int | None = None


def _need(binary: Binary, command: str, what: str) -> None:
    if command not in binary.commands:
        raise RunError(f"{binary.title} cannot {what}", where=binary.path)


def train(
    binary: Binary, data: Path, cfg: Path, weights: Path | None, options: TrainOptions, classifier: bool
) -> list[str]:
    """`<binary> detector|classifier train DATA CFG [WEIGHTS] [flags]`.

    RunError for an option that the flavour does not have.
    """
    _need(binary, "train-classifier" if classifier else "train", "train classifiers" if classifier else "train")
    kind = "classifier" if classifier else "detector"
    argv = [str(binary.path), kind, "train", str(data), str(cfg), *([str(weights)] if weights else [])]
    flavour = binary.flavour
    if options.mjpeg_port is not None:
        if flavour != "alexeyab":  # which reads it without OpenCV too, and serves nothing: the engine refuses that
            raise RunError(
                f"{binary.title} has no -mjpeg_port", where=binary.path, mend="it takes AlexeyAB's, built with OpenCV"
            )
        argv += ["-mjpeg_port", str(options.mjpeg_port)]
    if flavour in ("alexeyab", "hank-ai"):
        argv.append("-dont_show")
        if options.validate:
            argv.append("-topk" if classifier else "-map")
    if flavour == "alexeyab" and options.validate and options.map_epochs and not classifier:
        argv += ["-mAP_epochs", str(options.map_epochs)]
    if options.gpus:
        argv += ["-gpus", ",".join(map(str, options.gpus))]
    if options.clear:
        argv.append("-clear")
    return argv


def stdin_of(binary: Binary) -> bytes | None:
    """What it must be told before it trains: hank-ai's on a CPU wants `yes`."""
    return b"yes\n" if binary.flavour == "hank-ai" and not binary.gpu else None


def map_(
    binary: Binary, data: Path, cfg: Path, weights: Path, *, conf: float = 0.25, iou: float = 0.5, points: int = 0
) -> list[str]:
    """mAP of a detector on the `valid` list."""
    _need(binary, "map", "compute mAP")
    return [
        str(binary.path),
        "detector",
        "map",
        str(data),
        str(cfg),
        str(weights),
        "-thresh",
        f"{conf:g}",
        "-iou_thresh",
        f"{iou:g}",
        "-points",
        str(points),
    ]


def valid(binary: Binary, data: Path, cfg: Path, weights: Path) -> list[str]:
    """Detections of a detector on the `valid` list, to results/comp4_det_test_<class>.txt."""
    _need(binary, "valid", "write its detections")
    return [str(binary.path), "detector", "valid", str(data), str(cfg), str(weights)]


def test(binary: Binary, data: Path, cfg: Path, weights: Path, conf: float, out: Path) -> list[str]:
    """Boxes of pictures whose paths come on stdin, a line each, to the JSON file `out`; pjreddie's has no such
    thing.
    """
    if binary.flavour == "pjreddie":
        raise RunError(f"{binary.title} cannot write its boxes", where=binary.path)
    return [
        str(binary.path),
        "detector",
        "test",
        str(data),
        str(cfg),
        str(weights),
        "-dont_show",
        "-ext_output",
        "-thresh",
        f"{conf:g}",
        "-out",
        str(out),
    ]


def top_k(binary: Binary, data: Path, cfg: Path, weights: Path) -> list[str]:
    """Top-1 and top-k of a classifier on the `valid` list."""
    _need(binary, "top-k", "evaluate classifiers")
    return [str(binary.path), "classifier", "valid", str(data), str(cfg), str(weights)]


def predict(binary: Binary, data: Path, cfg: Path, weights: Path, top: int) -> list[str]:
    """Classes of pictures whose paths come on stdin, a line each."""
    _need(binary, "predict", "run classifiers")
    return [str(binary.path), "classifier", "predict", str(data), str(cfg), str(weights), "-t", str(top)]


def partial(binary: Binary, cfg: Path, weights: Path, out: Path, layers: int) -> list[str]:
    """The first `layers` layers of `weights`."""
    _need(binary, "partial", "cut weights")
    return [str(binary.path), "partial", str(cfg), str(weights), str(out), str(layers)]


def anchors(binary: Binary, data: Path, count: int, size_wh: tuple[int, int]) -> list[str]:
    """k-means anchors of the `train` list, to anchors.txt."""
    _need(binary, "anchors", "compute anchors")
    name = "calcanchors" if binary.flavour == "hank-ai" else "calc_anchors"
    return [
        str(binary.path),
        "detector",
        name,
        str(data),
        "-num_of_clusters",
        str(count),
        "-width",
        str(size_wh[0]),
        "-height",
        str(size_wh[1]),
    ]
