"""How much memory a system takes at its peak: measured in a process of its own, which does nothing else.

peak_megabytes("yolo", frames, {"conf": 0.25})
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np


def peak_megabytes(spec: str, frames: Sequence[np.ndarray], settings: dict, pictures: bool = False) -> float | None:
    """The most resident memory, in 10^6 bytes, of a process that opens `spec` and looks at the frames one by one.

    None where it cannot be measured, as for results from a file.
    """
    if spec.startswith("file:"):
        return None
    import cv2

    try:
        with tempfile.TemporaryDirectory(prefix="emo-") as folder:
            names = []
            for index, frame in enumerate(frames):
                names.append(str(Path(folder) / f"{index}.npy"))
                np.save(names[-1], frame)
            job = json.dumps(
                {
                    "spec": spec,
                    "frames": names,
                    "settings": settings,
                    "pictures": pictures,
                    "threads": cv2.getNumThreads(),
                }
            )
            environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
            done = subprocess.run(
                [sys.executable, "-m", "emotion.comparison.memory", job],
                capture_output=True,
                text=True,
                env=environment,
            )
        return round(float(done.stdout) / 1e6, 1)
    except (OSError, ValueError):  # no room for the frames, or the child could not
        return None


def measure(job: dict) -> int:
    """In the child: the peak in bytes."""
    from ..systems.backends import set_threads
    from .contestant import WholePicture
    from .foreign import open_contestant

    set_threads(job["threads"] or None)
    system = open_contestant(job["spec"], **job["settings"])
    system = WholePicture(system) if job["pictures"] else system
    for name in job["frames"]:
        system.detect([np.load(name)])
    return peak_bytes()


def peak_bytes() -> int:
    """Of this process. Linux counts what its parent had before into ru_maxrss, but not into VmHWM."""
    import resource

    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else 1024 * peak


if __name__ == "__main__":
    print(measure(json.loads(sys.argv[1])))
