"""The command line: thin. Parse, call a flow, print. `main` imports a command's module when it is asked for."""

from pipeline.cli.main import main

__all__ = ["main"]
