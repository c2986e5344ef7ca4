"""The built-in engine: Darknet networks trained, evaluated and run with PyTorch; it needs no binary."""

import os

# Threads that wait for each other by spinning lose a factor of ten where other work runs beside; it must be told before
# torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
