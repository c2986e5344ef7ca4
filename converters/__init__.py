"""Annotations -> records -> Darknet files."""
