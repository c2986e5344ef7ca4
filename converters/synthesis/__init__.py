"""Drawn people, faces and backgrounds, and scenes and datasets made of them."""
