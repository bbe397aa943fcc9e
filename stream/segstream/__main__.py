"""`python -m segstream` is the command line."""

from segstream.cli import main

main()
