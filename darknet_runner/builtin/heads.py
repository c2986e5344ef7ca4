"""The detection heads by section type: `decode(raw, size_wh)` to boxes and classes, `delta(raw, truths, size_wh,
seen)` to train.
"""

from __future__ import annotations

from ..network.cfg_file import Section
from .loss import YoloHead
from .region import RegionHead

KINDS: dict[str, type[YoloHead] | type[RegionHead]] = {"yolo": YoloHead, "region": RegionHead}


def head_of(section: Section) -> YoloHead | RegionHead:
    """The options of a head; CfgError for what cannot be computed."""
    return KINDS[section.type].of(section)
