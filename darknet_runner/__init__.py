"""Darknet files -> run -> weights, on a compiled Darknet or on the built-in engine."""
