"""The built-in engine: Darknet networks trained, evaluated and run with PyTorch; it needs no binary."""
