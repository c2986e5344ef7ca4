"""Weights -> detections -> metrics and reports."""

__version__ = "0.1.0"
