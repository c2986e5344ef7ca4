"""Other frameworks' weights as `.weights` for a cfg: readers, one a file format, and `fit`, which puts layers where
they fit.
"""
