"""The device that a training or backend is given, and the one line for those there are not."""

import platform
import subprocess
import sys

import pytest

torch = pytest.importorskip("torch")

from converters.errors import UsageError
from darknet_runner.builtin.device import pick_device


def test_those_that_are_always_there():
    assert pick_device("cpu").type == "cpu" and pick_device("auto").type in ("cpu", "cuda")


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "cuda:-1", "meta", "cpu:0", "", "CUDA", "cuda:99999"])
def test_what_is_no_device(name):
    with pytest.raises(UsageError, match="no such device .use auto, cpu, cuda or cuda:N"):
        pick_device(name)


@pytest.mark.parametrize(
    ("built", "here", "count", "name", "words"),
    [
        (False, False, 0, "cuda", "was built without CUDA .use auto or cpu"),
        (True, False, 0, "cuda:0", "finds no GPU, or no driver for it .use auto or cpu"),
        (True, True, 1, "cuda:1", "there is 1 GPU, cuda:0"),
        (True, True, 4, "cuda:4", "there are 4 GPUs, cuda:0 to cuda:3"),
    ],
)
def test_why_a_gpu_cannot_be_had(built, here, count, name, words, monkeypatch):
    """The advice never names what was just refused."""
    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: built)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: here)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    with pytest.raises(UsageError, match=words) as fault:
        pick_device(name)
    assert "use auto, cpu, cuda" not in str(fault.value)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_freed_memory_is_used_again():
    """A second array of 64 MiB takes no new pages (16,384 of 4 KiB without), in a process of its own."""
    code = """
import resource
from darknet_runner.builtin.device import keep_freed_memory
keep_freed_memory()
bytearray(b"x") * 2**26
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
bytearray(b"x") * 2**26
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 200
