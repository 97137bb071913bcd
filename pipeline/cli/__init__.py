"""The command line: thin. Parse, call a flow, print. Importing the modules below adds their commands."""

from pipeline.cli import demo, doctor, models, reports, work
from pipeline.cli.main import main

__all__ = ["demo", "doctor", "main", "models", "reports", "work"]
