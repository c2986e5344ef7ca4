"""How good boxes are, and which of them stay: average precision and NMS, as Darknet computes them."""
