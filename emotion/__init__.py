"""Weights -> detections -> metrics and reports."""

from .version import __version__ as __version__
