"""Files by their handles, on every system: flags and calls that only Unix has are done without elsewhere.

handle = os.open("a.jpg", READ); read_at(handle, 8, 100)
"""

from __future__ import annotations

import os

BINARY = getattr(os, "O_BINARY", 0)  # Windows would turn line ends otherwise
OWN = getattr(os, "O_CLOEXEC", 0)  # a process that is started does not get it, as never on Windows
READ = os.O_RDONLY | BINARY | OWN | getattr(os, "O_NONBLOCK", 0)  # a FIFO must not hang it
CREATE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | BINARY


def read_at(handle: int, count: int, at: int) -> bytes:
    """Up to `count` bytes from byte `at` on; OSError for a place before the file's beginning."""
    if hasattr(os, "pread"):
        return os.pread(handle, count, at)
    os.lseek(handle, at, os.SEEK_SET)
    return os.read(handle, count)
