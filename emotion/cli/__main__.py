"""`python -m emotion.cli`: the same as `emo`, for programs that start modules, such as torchrun."""

from emotion.cli import main

main()
