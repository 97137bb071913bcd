"""The command line in the tests' own process."""

import logging
import signal
from collections.abc import Callable, Iterator

import pytest
import structlog

from pipeline.cli import main


@pytest.fixture
def exit_code() -> Iterator[Callable[..., int]]:
    """Return a function that runs `headrace` with these words; what `main` sets for the process is put back."""
    on_stop = signal.getsignal(signal.SIGTERM)
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level

    def run(*argv: str) -> int:
        with pytest.raises(SystemExit) as ended:
            main(argv)
        assert isinstance(ended.value.code, int)
        return ended.value.code

    yield run
    root.handlers[:], root.level = handlers, level
    signal.signal(signal.SIGTERM, on_stop)
    structlog.reset_defaults()
