"""Weights -> detections: the two systems, what computes them, and what follows faces through a video."""
