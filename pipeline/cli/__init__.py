"""The command line: thin. Parse, call a flow, print. Importing the modules below adds their commands."""

from pipeline.cli import reports, work
from pipeline.cli.main import main

__all__ = ["main", "reports", "work"]
