"""The version of emo, as the package index knows it."""

__version__ = "0.1.0"
