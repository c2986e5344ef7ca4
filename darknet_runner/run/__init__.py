"""A training's folder: checked beforehand, made, written to, and drawn."""
