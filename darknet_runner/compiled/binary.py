"""Find a Darknet binary and learn what it is: flavour, build, commands, and what of a cfg it cannot do.

    binary = probe(find())
    binary.flavour, binary.gpu, binary.commands
    lacks(binary, cfg_file.load("yolov4-tiny.cfg"))

Flavours: `alexeyab` (AlexeyAB/darknet), `hank-ai` (its successor), `pjreddie` (the original, and Debian's package).
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from converters.errors import RunError

from ..network.cfg_file import Cfg

# A program is run when the user named it or when it lies where only the machine's owner can put one. What lies in the
# current folder, or is written in a run folder, may have come from anybody: it is told, and not run.
SYSTEM_PLACES = ("/usr/local/bin/darknet", "/usr/bin/darknet", "/opt/darknet/darknet")
OWN_BUILDS = (
    "~/darknet/darknet",
    "~/darknet/build/darknet",
    "~/darknet/build/src-cli/darknet",
    "./darknet",
    "./darknet/darknet",
)
WHERE_TO_GET = "see 'A Darknet binary' in the README, or use --engine builtin"
COMMANDS = {
    "alexeyab": ("train", "train-classifier", "map", "valid", "test", "top-k", "predict", "partial", "anchors"),
    "hank-ai": ("train", "map", "valid", "test", "partial", "anchors"),
    "pjreddie": ("train", "train-classifier", "valid", "test", "top-k", "predict", "partial"),
}
TITLES = {"alexeyab": "AlexeyAB/darknet", "hank-ai": "hank-ai/darknet", "pjreddie": "pjreddie/darknet"}
BROKEN_CPU = (
    "a CPU build of {title} trains wrongly: forward_network clears the deltas of layers with l.train only, so the "
    "gradients of route, upsample, avgpool, softmax and connected layers pile up (AlexeyAB's since June 2021)"
)


@dataclass(frozen=True)
class Binary:
    """A probed binary. None in a feature means that it could not be told."""

    path: Path
    flavour: str
    version: str | None
    gpu: bool
    cudnn: bool
    half: bool
    opencv: bool
    avx: bool | None
    openmp: bool
    banner: str
    trouble: str | None = None  # what it complained about when it was started

    @property
    def title(self) -> str:
        return TITLES[self.flavour]

    @property
    def commands(self) -> tuple[str, ...]:
        return COMMANDS[self.flavour]

    @property
    def broken_training(self) -> str | None:
        """Why its training must not be trusted, or None."""
        if self.gpu or self.flavour == "pjreddie":
            return None
        return BROKEN_CPU.format(title=self.title)

    def as_dict(self) -> dict:
        return asdict(self) | {
            "path": str(self.path),
            "title": self.title,
            "commands": list(self.commands),
            "broken_training": self.broken_training,
        }

    def summary(self) -> str:
        parts = [
            name
            for name, have in (
                ("GPU", self.gpu),
                ("cuDNN", self.cudnn),
                ("half", self.half),
                ("OpenCV", self.opencv),
                ("AVX", self.avx),
                ("OpenMP", self.openmp),
            )
            if have
        ]
        kind = ", ".join(parts if self.gpu else ["CPU only", *parts])
        return f"{self.title}{' ' + self.version if self.version else ''} ({kind}) at {self.path}"


@dataclass(frozen=True)
class Lack:
    """Something in a cfg that a binary cannot do.

    `spoils` is what it spoils: "network" (the binary would compute another one), "training" (it would
    fail or train wrongly), or "recipe" (it trains without, and says nothing).
    """

    what: str
    line: int
    spoils: str


def find(explicit: str | Path | None = None) -> Path | None:
    """The binary to use: `explicit`, else EMO_DARKNET, else PATH's absolute folders, else the system's places; None
    when there is none.

    RunError when the one that was named is missing or not executable.
    """
    named, source = (explicit, "--darknet") if explicit else (os.environ.get("EMO_DARKNET"), "EMO_DARKNET")
    if named:
        path = Path(named).expanduser()
        if path.is_dir():
            path = path / "darknet"
        found = shutil.which(str(named)) or (str(path) if path.is_file() else None)
        if found is None:
            raise RunError("no such program", where=named, mend=f"{source} must name a Darknet binary; {WHERE_TO_GET}")
        if not os.access(found, os.X_OK):
            raise RunError("is not executable", where=found, mend=f"chmod +x {found}")
        return Path(found).absolute()
    folders = [folder for folder in os.get_exec_path() if os.path.isabs(folder)]
    found = shutil.which("darknet", path=os.pathsep.join(folders)) if folders else None
    return next((Path(place) for place in ([found] if found else SYSTEM_PLACES) if _is_program(place)), None)


def _is_program(path) -> bool:
    return Path(path).is_file() and os.access(path, os.X_OK)


def where_to_get() -> str:
    """What to do when `find` gives None: name one of those that lie about, or get one."""
    seen = next((place for place in OWN_BUILDS if _is_program(Path(place).expanduser())), None)
    return f"--darknet {seen} runs the one there" if seen else f"--darknet PATH; {WHERE_TO_GET}"


def find_again(recorded: str | None, where: str | Path) -> Path | None:
    """The binary with which a run or pipeline goes on that was begun with the one at `recorded`.

    RunError when that is not the one that `find` gives: `recorded` is read from a file that may have come from anybody.
    """
    found = find()
    if recorded and not os.environ.get("EMO_DARKNET") and found != Path(recorded):
        mend = f"--darknet {recorded} does, if you trust it" if _is_program(recorded) else "name another with --darknet"
        raise RunError(
            f"was trained with {recorded}, which emo does not run only because a file names it",
            where=where,
            mend=f"{mend}; --engine builtin goes on without a binary",
        )
    return found


def probe(path: str | Path) -> Binary:
    """Run the binary and say what it is; RunError when it does not start or is not a Darknet."""
    path = Path(path).absolute()
    stat = path.stat()
    return _probe(path, stat.st_mtime_ns, stat.st_size)


@functools.lru_cache(maxsize=16)
def _probe(path, mtime_ns, size):  # the time and size are there for the cache only
    with tempfile.TemporaryDirectory() as folder:  # it may leave files where it stands
        try:
            run = subprocess.run(
                [path, "version"],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=60,
                start_new_session=True,
            )
        except subprocess.TimeoutExpired:
            raise RunError("did not answer 'version' within a minute", where=path, mend="is this a Darknet?") from None
        except OSError as error:
            raise RunError(
                f"cannot be run: {error.strerror}", where=path, mend="was it built for this machine?"
            ) from None
    text = plain(run.stdout.decode("utf-8", "replace"))
    return identify(path, text, path.read_bytes())


def plain(text: str) -> str:
    """`text` without terminal escapes and bells."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07|[\x07\x08]", "", text)


def identify(path: Path, text: str, image: bytes) -> Binary:
    """The Binary that prints `text` for `version` and whose file is `image`."""
    said = re.search(r"(error while loading shared libraries.*|CUDA (?:status )?Error.*)", text, re.I)
    trouble = said[1].strip() if said else None
    if re.search(r"Darknet V\d|Darknet v\d", text):
        flavour, version = "hank-ai", re.search(r"v(\d+\.\d+\S*)", text)
        gpu = "GPU is disabled" not in text
    elif "GPU isn't used" in text or "CUDA-version" in text or (trouble and b"calc_anchors" in image):
        flavour, version = "alexeyab", None
        gpu = "GPU isn't used" not in text
    elif "Not an option: version" in text or (trouble and b"Not an option" in image):
        flavour, version = "pjreddie", None
        gpu = b"libcublas" in image or b"libcudart" in image
    else:
        words = " ".join(text.split())[:120] or "nothing"
        raise RunError(f"is not a Darknet that emo knows; it printed: {words}", where=path, mend=WHERE_TO_GET)
    openmp = b"libgomp" in image or b"libomp.so" in image
    build: dict[str, Any]
    if flavour == "alexeyab":
        build = {
            "cudnn": "cuDNN" in text,
            "half": "CUDNN_HALF=1" in text,
            "opencv": "OpenCV version" in text,
            "avx": "Used AVX" in text or (None if gpu else False),
        }
    elif flavour == "hank-ai":
        build = {
            "cudnn": "cuDNN version" in text,
            "half": "half-size floats is ENABLED" in text,
            "opencv": True,
            "avx": "AVX detected" in text or None,
        }
    else:
        build = {"cudnn": b"libcudnn" in image, "half": False, "opencv": b"libopencv" in image, "avx": None}
    number = version[1] if version else _package_version(path)
    return Binary(path, flavour, number, gpu, openmp=openmp, banner=text.strip(), trouble=trouble, **build)


def _package_version(path):
    """The Debian package's version, when the binary comes from one."""
    if not shutil.which("dpkg-query"):
        return None
    for name in {str(path), str(path.resolve())}:
        owner = subprocess.run(["dpkg-query", "-S", name], capture_output=True, text=True)
        if owner.returncode == 0:
            package = owner.stdout.partition(":")[0]
            return (
                subprocess.run(["dpkg-query", "-W", "-f", "${Version}", package], capture_output=True, text=True).stdout
                or None
            )
    return None


# What the flavours' parsers know (pjreddie src/parser.c and src/activations.c at 61c9d02; AlexeyAB the same files).
_P_SECTIONS = {
    "shortcut",
    "crop",
    "cost",
    "detection",
    "region",
    "yolo",
    "iseg",
    "local",
    "convolutional",
    "deconvolutional",
    "activation",
    "logistic",
    "l2norm",
    "net",
    "crnn",
    "gru",
    "lstm",
    "rnn",
    "connected",
    "maxpool",
    "reorg",
    "avgpool",
    "dropout",
    "lrn",
    "normalization",
    "batchnorm",
    "softmax",
    "route",
    "upsample",
}
_A_SECTIONS = (_P_SECTIONS - {"iseg", "deconvolutional", "logistic", "l2norm"}) | {
    "scale_channels",
    "sam",
    "Gaussian_yolo",
    "conv_lstm",
    "history",
    "local_avgpool",
    "reorg3d",
    "contrastive",
    "empty",
    "silence",
    "implicit",
}
_P_ACTIVATIONS = {
    "logistic",
    "loggy",
    "relu",
    "elu",
    "selu",
    "relie",
    "plse",
    "hardtan",
    "lhtan",
    "linear",
    "ramp",
    "leaky",
    "tanh",
    "stair",
}
_A_ACTIVATIONS = _P_ACTIVATIONS | {
    "swish",
    "mish",
    "hard_mish",
    "normalize_channels",
    "normalize_channels_softmax",
    "normalize_channels_softmax_maxval",
    "relu6",
    "gelu",
    "revleaky",
}
# Keys that change what the network computes, or how it is trained, and that pjreddie's passes over.
_P_FATAL = {
    "route": ("groups", "group_id"),
    "maxpool": ("stride_x", "stride_y", "maxpool_depth", "out_channels", "antialiasing"),
    "yolo": ("scale_x_y", "new_coords"),
    "shortcut": ("weights_type",),
    "convolutional": ("dilation", "stride_x", "stride_y", "antialiasing", "share_index"),
}
_P_IGNORED = {
    "net": (
        "mosaic",
        "cutmix",
        "mixup",
        "letter_box",
        "label_smooth_eps",
        "blur",
        "gaussian_noise",
        "ema_alpha",
        "dynamic_minibatch",
        "optimized_memory",
    ),
    "yolo": (
        "iou_loss",
        "iou_thresh",
        "iou_normalizer",
        "cls_normalizer",
        "obj_normalizer",
        "nms_kind",
        "beta_nms",
        "max_delta",
        "resize",
        "focal_loss",
        "counters_per_class",
        "label_smooth_eps",
    ),
}


def lacks(binary: Binary, cfg: Cfg) -> list[Lack]:
    """What of `cfg` the binary cannot do, in the cfg's order."""
    found = []
    if always_in_colour(binary, cfg):
        channels = cfg.net.integer(
            "channels", 0
        )  # training copies three channels a picture over an input that has fewer
        found.append(
            Lack(
                f"channels={channels} (it loads pictures with three)",
                cfg.net.lines["channels"],
                "training" if channels == 1 else "network",
            )
        )
    sections, activations = (
        (_P_SECTIONS, _P_ACTIVATIONS) if binary.flavour == "pjreddie" else (_A_SECTIONS, _A_ACTIVATIONS)
    )
    for section in cfg.sections:
        if section.type not in sections:
            found.append(Lack(f"section [{section.type}]", section.line, "network"))
        activation = section.text("activation")
        if activation and activation not in activations:
            found.append(Lack(f"activation={activation} (it would use ReLU)", section.lines["activation"], "network"))
        if binary.flavour != "pjreddie":
            continue
        for keys, spoils in ((_P_FATAL, "network"), (_P_IGNORED, "recipe")):
            for key in keys.get(section.type, ()):
                if key in section.options and not _neutral(key, section):
                    found.append(Lack(f"{key} in [{section.type}]", section.lines[key], spoils))
        if section.type == "yolo" and section.integer("random", 0) and max(cfg.size_wh) < 320:
            found.append(Lack("random=1 (it would train at 320 to 608 pixels)", section.lines["random"], "training"))
    if binary.flavour == "alexeyab" and not binary.opencv and cfg.net.integer("mosaic", 0):
        found.append(
            Lack(
                "mosaic, which needs a build with OpenCV (--net mosaic=0 trains without)",
                cfg.net.lines["mosaic"],
                "training",
            )
        )
    return found


def always_in_colour(binary: Binary, cfg: Cfg) -> bool:
    """Whether the binary loads three channels a picture (load_image_color, src/data.c) for a cfg that has another
    number.
    """
    return cfg.net.integer("channels", 3) != 3 and (binary.flavour == "pjreddie" or not cfg.is_detector)


def _neutral(key, section):
    """Whether the option stands at the value that changes nothing."""
    neutral = {
        "groups": 1,
        "scale_x_y": 1,
        "dilation": 1,
        "stride_x": section.integer("stride", 1),
        "stride_y": section.integer("stride", 1),
    }
    try:
        return float(section.options[key]) == neutral.get(key, 0)
    except ValueError:
        return section.options[key] in ("mse", "default", "none")
