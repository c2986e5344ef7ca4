"""Where a model comes from, as far as its run or its card says: what it was trained on from, and for how many
iterations.
"""

from __future__ import annotations

from pathlib import Path

from converters.errors import EmoError
from darknet_runner.network import weights_file
from darknet_runner.run.folder import RunDir

from ..systems.models import Model


def provenance(model: Model) -> dict:
    """{"pretrained": a name or None, "iterations": a number or None, "input": [w, h, c], "megabytes": of the
    weights}.
    """
    told: dict = {}
    settings: dict = {}
    if model.cfg.path and (model.cfg.path.parent / "run.json").is_file():
        told = RunDir(model.cfg.path.parent).read_json()
        settings = told.get("settings") or {}
    pretrained = settings.get("pretrained") or model.card.get("pretrained")
    iterations = model.card.get("iterations") or told.get("iterations") or _from_weights(model)
    width, height = model.cfg.size_wh
    return {
        "pretrained": Path(str(pretrained)).name if pretrained else None,
        "iterations": iterations if isinstance(iterations, int) else None,
        "input": [width, height, model.cfg.net.integer("channels", 3)],
        "megabytes": round(model.weights.stat().st_size / 1e6, 1),
    }


def _from_weights(model: Model) -> int | None:
    """The header counts pictures seen; the cfg says how many are a batch, unless it is set to inference."""
    batch = model.cfg.net.integer("batch", 1)
    try:
        seen = weights_file.header_bytes(model.weights)[1]
    except EmoError:
        return None
    return seen // batch if batch > 1 and seen else None
