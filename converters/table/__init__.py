"""Faces of a dataset as columns: the records that readers give, which of them are taken, and their splits."""
