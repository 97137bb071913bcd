"""`python -m pipeline.cli` is `headrace`."""

from pipeline.cli import main

main()
