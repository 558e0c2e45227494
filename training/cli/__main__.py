"""`python -m training.cli`, which torchrun needs."""

from training.cli import main

main()
