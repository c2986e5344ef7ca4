"""Two cfgs in, where they differ out: option by option, and the first layer that computes something else.

differences(a, b)         # every section and option that differs, defaults filled in
first_difference(a, b)    # how many layers of a's weights b can begin with
"""

from __future__ import annotations

from dataclasses import dataclass

from .cfg_file import EVERYWHERE, Cfg, Section
from .layers import absolute, padded, trace

# What Darknet takes for an option that a section leaves out, where that changes what the layer computes.
DEFAULTS = {
    "convolutional": {
        "filters": "1",
        "size": "1",
        "groups": "1",
        "dilation": "1",
        "batch_normalize": "0",
        "activation": "logistic",
    },
    "connected": {"output": "1", "batch_normalize": "0", "activation": "logistic"},
    "maxpool": {"maxpool_depth": "0"},
    "route": {"groups": "1", "group_id": "0"},
    "shortcut": {"activation": "linear", "weights_type": "none", "weights_normalization": "none"},
    "scale_channels": {"activation": "linear", "scale_wh": "0"},
    "sam": {"activation": "linear"},
    "upsample": {"stride": "2", "scale": "1"},
    "reorg": {"stride": "1", "reverse": "0"},
    "reorg3d": {"stride": "1", "reverse": "0"},
    "softmax": {"groups": "1", "temperature": "1"},
    "yolo": {"classes": "20", "num": "1", "scale_x_y": "1", "new_coords": "0"},
    "region": {"classes": "20", "num": "1", "coords": "4", "softmax": "0"},
}
_TRAINING = EVERYWHERE | {"probability", "dropblock", "dropblock_size_rel", "dropblock_size_abs"}


@dataclass(frozen=True)
class Difference:
    """One option of layer `index` (-1 is [net]) that is `a` in one cfg and `b` in the other; None: not there.

    The key `type` stands for the section itself.
    """

    index: int
    key: str
    a: str | None
    b: str | None


def effective(section: Section, index: int) -> dict[str, str]:
    """The options as Darknet takes them: defaults filled in, numbers in one form, layer numbers absolute."""
    options = DEFAULTS.get(section.type, {}) | section.options
    stride = section.integer("stride", 1)
    if section.type in ("convolutional", "maxpool", "local_avgpool"):
        for key in ("stride_x", "stride_y"):
            options[key] = str(section.integer(key, stride))
        if section.type == "convolutional":
            options["padding"] = str(padded(section))
        else:
            options["size"] = str(section.integer("size", stride))
            options["padding"] = str(section.integer("padding", int(options["size"]) - 1))
        options = {key: value for key, value in options.items() if key not in ("stride", "pad")}
    for key in ("layers", "from"):
        if key in section.options:
            options[key] = ",".join(map(str, absolute(section, index, key)))
    return {key: ",".join(_number(part) for part in value.split(",")) for key, value in options.items()}


def _number(text: str) -> str:
    try:
        return f"{float(text):g}"
    except ValueError:
        return text


def differences(a: Cfg, b: Cfg) -> list[Difference]:
    """Every option that differs, [net] first, then layer by layer in step; CfgError for a cfg that is not a network."""
    found = []
    for index in range(-1, max(len(a.layers), len(b.layers))):
        one, two = (cfg.sections[index + 1] if index < len(cfg.layers) else None for cfg in (a, b))
        if one is None or two is None or one.type != two.type:
            found.append(Difference(index, "type", one.type if one else None, two.type if two else None))
            continue
        left, right = effective(one, index), effective(two, index)
        for key in dict.fromkeys([*left, *right]):
            if left.get(key) != right.get(key):
                found.append(Difference(index, key, left.get(key), right.get(key)))
    return found


def first_difference(a: Cfg, b: Cfg) -> int | None:
    """The first layer at which the two compute something else, for any input size; None when none does.

    It is also how many layers of a's weights fit b: 105 for csdarknet53 -> v4. A shorter cfg differs
    where it ends. Options that only steer training do not count.
    """
    one, two = trace(a), trace(b)
    for left, right in zip(one, two):
        options = [
            {k: v for k, v in effective(x.section, x.index).items() if k not in _TRAINING} for x in (left, right)
        ]
        if (left.type, left.blocks, options[0]) != (right.type, right.blocks, options[1]):
            return left.index
    return None if len(one) == len(two) else min(len(one), len(two))
