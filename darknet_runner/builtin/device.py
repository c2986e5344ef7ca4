"""Where the built-in engine computes."""

from __future__ import annotations

import os

import torch

from converters.errors import UsageError


def pick_device(name: str) -> torch.device:
    """auto, cpu, cuda or cuda:N; UsageError when there is no such device."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(f"--device {name}: {str(error).splitlines()[0]}", mend="take auto, cpu, cuda or cuda:N") from None
    if device.type == "cuda" and device.index is None:
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))  # torchrun's: one GPU a process
    return device
