"""Detections -> figures and reports: one system on labels, or two side by side."""
