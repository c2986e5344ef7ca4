"""A network as its cfg and weights files say: read, write, compare, measure and draw it."""
