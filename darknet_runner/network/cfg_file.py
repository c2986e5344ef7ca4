"""Parse, edit and write a Darknet cfg, keeping its lines, comments, order and repeated sections.

    cfg = load("yolov4-tiny.cfg")
    cfg.net.integer("width"), cfg.layers[0].type, cfg.layers[0].integer("filters")
    cfg = cfg.edit({0: {"width": 320}, -1: {"classes": 7}})      # by section index; 0 is [net]
    save(cfg, "mine.cfg")
    findings(cfg)                                                # what Darknet would ignore in silence

Darknet's own rules (src/parser.c, read_cfg; src/option_list.c): a line's blanks do not count, `#` and
`;` begin a comment line, the first of two equal keys wins. Nothing is ever evaluated.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar, overload

from converters.errors import CfgError, DataError, naming, nearest
from converters.findings import Finding
from converters.text_files import open_text

T = TypeVar("T")

ALIASES = {
    "network": "net",
    "conv": "convolutional",
    "max": "maxpool",
    "avg": "avgpool",
    "conn": "connected",
    "soft": "softmax",
    "local_avg": "local_avgpool",
    "lrn": "normalization",
    "silence": "empty",
}

# Every section that AlexeyAB's Darknet knows, and the keys that it reads there (src/parser.c, parse_*).
_CONV = "size stride dilation pad padding groups activation batch_normalize xnor"
KNOWN = {
    section: frozenset(keys.split())
    for section, keys in {
        "net": "batch subdivisions width height channels inputs max_batches learning_rate learning_rate_min "
        "momentum decay policy power burn_in step scale steps scales seq_scales gamma sgdr_cycle sgdr_mult "
        "adam B1 B2 eps angle aspect saturation exposure hue flip blur gaussian_noise mixup cutmix mosaic "
        "mosaic_bound letter_box label_smooth_eps max_crop min_crop resize_step time_steps track "
        "augment_speed sequential_subdivisions try_fix_nan ema_alpha loss_scale attention adversarial_lr "
        "contrastive contrastive_jit_flip contrastive_color unsupervised weights_reject_freq "
        "equidistant_point badlabels_rejection_percentage num_sigmas_reject_badlabels dynamic_minibatch "
        "optimized_memory use_cuda_graph workspace_size_limit_MB max_chart_loss show_receptive_field",
        "convolutional": f"{_CONV} filters stride_x stride_y antialiasing assisted_excitation share_index cbn "
        "binary bin_output sway rotate stretch stretch_sway flipped dot angle grad_centr reverse "
        "coordconv stream wait_stream",
        "connected": "output activation batch_normalize",
        "maxpool": "stride stride_x stride_y size padding maxpool_depth out_channels antialiasing maxpool_zero_nonmax",
        "local_avgpool": "stride stride_x stride_y size padding",
        "avgpool": "",
        "batchnorm": "",
        "empty": "",
        "dropout": "probability dropblock dropblock_size_rel dropblock_size_abs",
        "route": "layers groups group_id stream wait_stream",
        "shortcut": "from activation weights_type weights_normalization",
        "scale_channels": "from scale_wh activation",
        "sam": "from activation",
        "upsample": "stride scale",
        "reorg": "stride reverse",
        "reorg3d": "stride reverse",
        "softmax": "groups temperature tree spatial noloss",
        "cost": "type scale ratio",
        "yolo": "classes num mask anchors max max_delta show_details counters_per_class label_smooth_eps scale_x_y "
        "objectness_smooth new_coords iou_normalizer obj_normalizer cls_normalizer delta_normalizer "
        "iou_loss iou_thresh_kind beta_nms nms_kind jitter resize focal_loss ignore_thresh truth_thresh "
        "iou_thresh random map track_history_size sim_thresh dets_for_track dets_for_show track_ciou_norm "
        "embedding_layer",
        "Gaussian_yolo": "classes num mask anchors max max_delta counters_per_class label_smooth_eps scale_x_y "
        "objectness_smooth uc_normalizer iou_normalizer obj_normalizer cls_normalizer "
        "delta_normalizer iou_loss iou_thresh_kind beta_nms nms_kind yolo_point jitter resize "
        "ignore_thresh truth_thresh iou_thresh random map",
        "region": "classes num coords anchors max log sqrt softmax focal_loss jitter resize rescore thresh "
        "classfix absolute random coord_scale object_scale noobject_scale mask_scale class_scale "
        "bias_match tree map",
        "detection": "classes num coords side rescore softmax sqrt max coord_scale forced object_scale "
        "noobject_scale class_scale jitter resize random reorg",
        "contrastive": "classes yolo_layer temperature cls_normalizer max_delta contrastive_neg_max",
        "crop": "crop_height crop_width flip angle saturation exposure noadjust shift",
        "normalization": "alpha beta kappa size",
        "implicit": "mean std filters atoms",
        "activation": "activation",
        "local": "filters size stride pad activation",
        "history": "history_size",
        "rnn": "output hidden activation batch_normalize logistic shortcut",
        "gru": "output batch_normalize",
        "lstm": "output batch_normalize",
        "crnn": f"{_CONV} output hidden shortcut",
        "conv_lstm": f"{_CONV} output peephole bottleneck state_constrain shortcut lstm_activation time_normalizer",
    }.items()
}
# Keys that it reads in every section but [net] (parse_network_cfg_custom).
EVERYWHERE = frozenset(
    [
        "clip",
        "onlyforward",
        "dont_update",
        "burnin_update",
        "stopbackward",
        "train_only_bn",
        "dontload",
        "dontloadscales",
        "learning_rate",
    ]
)
MOST_CHARACTERS = 1 << 24
ACTIVATIONS = frozenset(
    [
        "logistic",
        "swish",
        "mish",
        "hard_mish",
        "normalize_channels",
        "normalize_channels_softmax",
        "normalize_channels_softmax_maxval",
        "loggy",
        "relu",
        "relu6",
        "elu",
        "selu",
        "gelu",
        "relie",
        "plse",
        "hardtan",
        "lhtan",
        "linear",
        "ramp",
        "revleaky",
        "leaky",
        "tanh",
        "stair",
    ]
)


@dataclass(frozen=True)
class Section:
    """One `[type]` with its options, as text; `line` and `lines[key]` count from 1."""

    type: str
    line: int
    options: dict[str, str]
    lines: dict[str, int]
    path: Path | None = field(default=None, compare=False)

    def _number(self, key: str, kind: Callable[[str], T], text: str) -> T:
        try:
            return kind(text)
        except (ValueError, OverflowError):
            raise CfgError(
                f"[{self.type}] {key} = {text} is not a number", where=self.path, line=self.lines[key]
            ) from None

    @overload
    def text(self, key: str, default: str) -> str: ...

    @overload
    def text(self, key: str, default: None = None) -> str | None: ...

    def text(self, key: str, default: str | None = None) -> str | None:
        return self.options.get(key, default)

    @overload
    def integer(self, key: str, default: int) -> int: ...

    @overload
    def integer(self, key: str, default: None = None) -> int | None: ...

    def integer(self, key: str, default: int | None = None) -> int | None:
        """The option as a whole number, cut as C's atoi cuts it ('1.5' -> 1)."""
        return self._number(key, _whole, self.options[key]) if key in self.options else default

    @overload
    def number(self, key: str, default: float) -> float: ...

    @overload
    def number(self, key: str, default: None = None) -> float | None: ...

    def number(self, key: str, default: float | None = None) -> float | None:
        """The option as a finite number."""
        return self._number(key, _finite, self.options[key]) if key in self.options else default

    def numbers(self, key: str, default: tuple[float, ...] = ()) -> tuple[float, ...]:
        """A comma-separated list of numbers."""
        if key not in self.options:
            return default
        return tuple(self._number(key, _finite, part) for part in self.options[key].split(",") if part)

    def integers(self, key: str, default: tuple[int, ...] = ()) -> tuple[int, ...]:
        if key not in self.options:
            return default
        return tuple(self._number(key, _whole, part) for part in self.options[key].split(",") if part)

    def need(self, key: str) -> str:
        """The option's text; CfgError when it is not there."""
        if key not in self.options:
            raise CfgError(f"[{self.type}] has no {key}", where=self.path, line=self.line)
        return self.options[key]


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError
    return value


def _whole(text: str) -> int:
    return int(float(text))


@dataclass(frozen=True)
class Cfg:
    """A parsed cfg: the file's text, and its sections, `[net]` first."""

    text: str
    sections: tuple[Section, ...]
    path: Path | None = field(default=None, compare=False)

    @property
    def net(self) -> Section:
        return self.sections[0]

    @property
    def layers(self) -> tuple[Section, ...]:
        """All sections but [net]: index i here is Darknet's layer i."""
        return self.sections[1:]

    @property
    def size_wh(self) -> tuple[int, int]:
        return self.net.integer("width", 0), self.net.integer("height", 0)  # as src/parser.c, parse_net_options

    @property
    def is_detector(self) -> bool:
        return any(layer.type in ("yolo", "region", "detection") for layer in self.layers)

    def edit(self, changes: Mapping[int, Mapping[str, object]]) -> Cfg:
        """A copy with options set, `{section index: {key: value}}`; None takes an option out.

        A changed option stays on its line; a new one goes below the section's last option.
        """
        lines = self.text.split("\n")
        end = "\r" if lines[0].endswith("\r") else ""
        gone: set[int] = set()
        inserts: dict[int, list[str]] = {}
        for index, options in changes.items():
            section = self.sections[index]
            for key, value in options.items():
                number = section.lines.get(key)
                if number and value is None:
                    gone.add(number)
                elif number:
                    key_and_equals = re.match(r"\s*[^=]*=[ \t]*", lines[number - 1])
                    assert key_and_equals is not None  # the parser has found the option on that line
                    lines[number - 1] = f"{key_and_equals[0]}{value}{end}"
                elif value is not None:
                    after = max([section.line, *section.lines.values()])
                    if (
                        after == len(lines) and end and not lines[-1].endswith(end)
                    ):  # the last line has no end of its own
                        lines[-1] += end
                    inserts.setdefault(after, []).append(f"{key}={value}{end}")
        out: list[str] = []
        for number, line in enumerate(lines, start=1):
            out += ([] if number in gone else [line]) + inserts.get(number, [])
        return parse("\n".join(out), self.path)


def _scan(text: str, path: Path | None) -> Iterator[tuple[int, str | None, str, str]]:
    """(line, section name, "", "") for a section and (line, None, key, value) for an option."""
    for number, raw in enumerate(text.split("\n"), start=1):
        line = re.sub(r"\s+", "", raw)
        if not line or line[0] in "#;":
            continue
        if line[0] == "[":
            if "]" not in line:
                raise CfgError(f"section without a closing bracket: '{raw.strip()[:60]}'", where=path, line=number)
            name = line[1 : line.index("]")]
            yield number, ALIASES.get(name, name), "", ""
            continue
        key, equals, value = line.partition("=")
        if not equals:
            raise CfgError(f"expected key=value, found '{raw.strip()[:60]}'", where=path, line=number)
        yield number, None, key, value.partition("#")[0]


def parse(text: str, path: str | Path | None = None) -> Cfg:
    """Parse cfg text; CfgError with file and line for a line that is neither section, option nor comment."""
    path = None if path is None else Path(path)
    sections: list[Section] = []
    for number, name, key, value in _scan(text, path):
        if name is not None:
            sections.append(Section(name, number, {}, {}, path))
        elif not sections:
            raise CfgError("an option comes before the first section", where=path, line=number)
        elif key not in sections[-1].options:
            sections[-1].options[key] = value
            sections[-1].lines[key] = number
    if not sections or sections[0].type != "net":
        raise CfgError("a network cfg begins with [net]", where=path, line=sections[0].line if sections else 1)
    return Cfg(text, tuple(sections), path)


def findings(cfg: Cfg) -> list[Finding]:
    """What Darknet passes over, or turns into something else, without a word; in the order of the lines.

    unknown-section and unknown-activation are errors (Darknet goes on with an empty layer, and with ReLU),
    unknown-key and repeated-key warnings.
    """
    found: list[Finding] = []
    section, seen = "", set[str]()

    def add(code, severity, line, message):
        found.append(Finding(code, severity, "", str(cfg.path or ""), line, message))

    for line, name, key, value in _scan(cfg.text, cfg.path):
        if name is not None:
            section, seen = name, set()
            if name not in KNOWN:
                add(
                    "unknown-section",
                    "error",
                    line,
                    f"[{name}] is not a section that Darknet knows ({nearest(name, KNOWN)})",
                )
        elif section in KNOWN:
            keys = KNOWN[section] | (EVERYWHERE if section != "net" else frozenset())
            if key not in keys:
                add("unknown-key", "warning", line, f"[{section}] knows no '{key}' ({nearest(key, keys)})")
            elif key in seen:
                add("repeated-key", "warning", line, f"[{section}] {key} is set already; the first one counts")
            elif key == "activation" and value not in ACTIVATIONS:
                add(
                    "unknown-activation",
                    "error",
                    line,
                    f"activation = {value}: Darknet takes ReLU ({nearest(value, ACTIVATIONS)})",
                )
            seen.add(key)
    return found


def misspelt(cfg: Cfg) -> str | None:
    """The first option of the cfg that Darknet passes over: a likely reason for a layer or weights that do not fit."""
    found = next((one for one in findings(cfg) if one.code in ("unknown-key", "repeated-key")), None)
    if found is None:
        return None
    said = found.message.partition("known:")[0].rstrip("( ")
    return f"line {found.line} of the cfg: {said}{')' * (said.count('(') - said.count(')'))}"


def load(path: str | Path) -> Cfg:
    """Read and parse a cfg file in whatever an editor saved it as (see `text_files`); its line ends are kept, and so
    are bytes that are not UTF-8, which only a comment may have. CfgError for a file that is missing or no text."""
    path = Path(path)
    try:
        with open_text(path) as file:
            text = file.read(MOST_CHARACTERS + 1)
    except DataError as error:
        raise CfgError(
            "no such cfg" if error.what == "no such file" else error.what, where=path, mend=error.mend
        ) from None
    except (OSError, UnicodeError) as error:
        raise CfgError(f"cannot be read: {getattr(error, 'strerror', None) or error}", where=path) from None
    if len(text) > MOST_CHARACTERS:
        raise CfgError(
            f"is longer than {MOST_CHARACTERS >> 20} MB, which is too much for a cfg",
            where=path,
            mend="is it the right file?",
        )
    if "\0" in text:
        raise CfgError("holds NUL bytes: is not a text file", where=path)
    return parse(text if "\n" in text else text.replace("\r", "\n"), path)


def plain_text(cfg: Cfg) -> str:
    """The sections and options alone, by their own names, in ASCII: what any other program's parser takes."""
    lines = (
        line
        for section in cfg.sections
        for line in (f"[{section.type}]", *(f"{key}={value}" for key, value in section.options.items()))
    )
    return "".join(f"{line}\n" for line in lines).encode("ascii", "replace").decode()


def save(cfg: Cfg, path: str | Path) -> None:
    """Write the cfg's text, to a temporary name and then renamed; an unchanged cfg gives its file's bytes."""
    path = Path(path)
    temporary = path.with_name(path.name + ".part")
    with naming(path):
        temporary.write_bytes(cfg.text.encode("utf-8", "surrogateescape"))
        os.replace(temporary, path)
