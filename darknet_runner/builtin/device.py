"""Where the built-in engine computes."""

from __future__ import annotations

import ctypes
import os
import platform
import re

import torch

from converters.errors import UsageError

TRIM_THRESHOLD, MMAP_MAX = -1, -4  # M_TRIM_THRESHOLD and M_MMAP_MAX of glibc's malloc.h


def keep_freed_memory() -> None:
    """Freed memory stays with this process (glibc only): every batch asks for the same sizes again.

    Otherwise large arrays go back to the kernel each time and are filled with zeros, page by page, at the next batch:
    of emonet's batch of 128 on two cores that took a fifth to a third.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(MMAP_MAX, 0)
        libc.mallopt(TRIM_THRESHOLD, -1)


def pick_device(name: str) -> torch.device:
    """auto, cpu, cuda or cuda:N; UsageError when there is no such device."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if not re.fullmatch(r"cpu|cuda(:\d{1,3})?", name):
        raise UsageError(f"--device {name}: no such device", mend="use auto, cpu, cuda or cuda:N")
    device = torch.device(name)
    if device.type == "cuda":
        if not torch.backends.cuda.is_built():
            raise UsageError(
                f"--device {name}: this PyTorch was built without CUDA",
                mend="use auto or cpu, or install a PyTorch with CUDA",
            )
        if not torch.cuda.is_available():
            raise UsageError(f"--device {name}: PyTorch finds no GPU, or no driver for it", mend="use auto or cpu")
        if (device.index or 0) >= (count := torch.cuda.device_count()):
            raise UsageError(
                f"--device {name}: there "
                f"{'is 1 GPU, cuda:0' if count == 1 else f'are {count} GPUs, cuda:0 to cuda:{count - 1}'}"
            )
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(
            f"--device {name}: {str(error).splitlines()[0]}", mend="use auto, cpu or another GPU"
        ) from None
    if device.type == "cuda" and device.index is None:
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))  # torchrun's: one GPU a process
    return device
