"""`python -m emotion.cli`: the same as `emo`, for programs that start modules, such as torchrun."""

from . import main

main()
