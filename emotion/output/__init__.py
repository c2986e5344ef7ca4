"""Detections -> pictures, video, files and summaries."""
