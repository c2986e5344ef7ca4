"""Which options of a cfg the built-in engine computes with, and what it says of the others.

    for finding in unheeded(cfg): ...      # what is set and changes nothing here

Every option that the parser knows is in `HEEDED` or is told when it is set. A layer whose outputs would be others
is an error of `layers.trace`, not a finding; so is a section that is not supported.
"""

from __future__ import annotations

from converters.findings import Finding

from ..network.cfg_file import EVERYWHERE, KNOWN, Cfg
from ..network.layers import UNSUPPORTED, UNSUPPORTED_EVERYWHERE

HEEDED: dict[str, frozenset[str]] = {
    section: frozenset(keys.split())
    for section, keys in {
        "net": "batch subdivisions width height channels inputs max_batches learning_rate learning_rate_min "
        "momentum decay policy power burn_in step scale steps scales gamma sgdr_cycle sgdr_mult angle "
        "aspect saturation exposure hue flip gaussian_noise mixup cutmix mosaic letter_box label_smooth_eps "
        "max_crop min_crop",
        "convolutional": (
            "filters size stride stride_x stride_y dilation pad padding groups activation batch_normalize clip"
        ),
        "connected": "output activation batch_normalize",
        "maxpool": "stride stride_x stride_y size padding maxpool_depth out_channels",
        "local_avgpool": "stride stride_x stride_y size padding",
        "avgpool": "",
        "batchnorm": "",
        "dropout": "probability",
        "route": "layers groups group_id",
        "shortcut": "from activation weights_type weights_normalization",
        "scale_channels": "from scale_wh activation",
        "sam": "from activation",
        "upsample": "stride scale",
        "reorg": "stride reverse",
        "reorg3d": "stride reverse",
        "softmax": "groups temperature",
        "cost": "",
        "yolo": "classes num mask anchors max max_delta counters_per_class label_smooth_eps scale_x_y "
        "objectness_smooth new_coords iou_normalizer obj_normalizer cls_normalizer delta_normalizer "
        "iou_loss iou_thresh_kind beta_nms nms_kind jitter resize focal_loss ignore_thresh truth_thresh "
        "iou_thresh random",
        "region": "classes num anchors max softmax focal_loss jitter resize rescore thresh random coord_scale "
        "object_scale noobject_scale class_scale bias_match",
    }.items()
}
# Of every section but [net].
HEEDED_EVERYWHERE = frozenset(
    ["onlyforward", "dont_update", "burnin_update", "stopbackward", "train_only_bn", "learning_rate"]
)

_OFF = frozenset(("0", "0.0", ""))
# Values that ask for what is done anyway; 0 is one for all keys.
_PLAIN = {
    ("net", "time_steps"): "1",
    ("net", "resize_step"): "32",
    ("net", "loss_scale"): "1",
    ("net", "augment_speed"): "2",
    ("net", "B1"): "0.9",
    ("net", "B2"): "0.999",
    ("net", "eps"): "0.000001",
    ("cost", "type"): "sse",
    ("cost", "scale"): "1",
    ("region", "coords"): "4",
    ("region", "mask_scale"): "1",
}
# What Darknet itself reads and then does nothing with (src/region_layer.c, src/convolutional_layer.c), and what is not
# arithmetic.
_IDLE = frozenset(
    (("region", "log"), ("region", "sqrt"), ("region", "absolute"), ("region", "mask_scale"), ("convolutional", "dot"))
)
_SPEED = frozenset(
    [
        "stream",
        "wait_stream",
        "optimized_memory",
        "use_cuda_graph",
        "workspace_size_limit_MB",
        "dynamic_minibatch",
        "loss_scale",
        "try_fix_nan",
    ]
)
_DISPLAY = frozenset(
    [
        "show_details",
        "max_chart_loss",
        "show_receptive_field",
        "track_history_size",
        "sim_thresh",
        "dets_for_track",
        "dets_for_show",
        "track_ciou_norm",
    ]
)


def heeds(section: str, key: str) -> bool:
    """Whether the built-in engine computes with the option."""
    return key in HEEDED.get(section, ()) or (section != "net" and section in HEEDED and key in HEEDED_EVERYWHERE)


def unheeded(cfg: Cfg) -> list[Finding]:
    """A warning for each known option that is set to something and changes nothing in the built-in engine; in the
    order of the file.
    """
    found = []
    for section in cfg.sections:
        if section.type not in HEEDED:
            continue  # `trace` says that it is not supported, and what of its options it refuses
        refused = (*UNSUPPORTED.get(section.type, ()), *UNSUPPORTED_EVERYWHERE)
        known = KNOWN.get(section.type, frozenset()) | (EVERYWHERE if section.type != "net" else frozenset())
        for key, value in section.options.items():
            if (
                key not in known
                or heeds(section.type, key)
                or key in refused
                or value in _OFF
                or value == _PLAIN.get((section.type, key))
            ):
                continue
            message = f"[{section.type}] {key} = {value} {_why(section.type, key)}"
            found.append(Finding("unheeded-key", "warning", "", str(cfg.path or "cfg"), section.lines[key], message))
    return found


def _why(section: str, key: str) -> str:
    if (section, key) in _IDLE:
        return "changes nothing: Darknet reads it and does not use it"
    if key in _SPEED | _DISPLAY:
        return (
            f"is about Darknet's own {'display' if key in _DISPLAY else 'speed and memory'}; the built-in engine "
            "does without"
        )
    return "is not supported by the built-in engine, which trains without it"
