"""A real model, loaded once for each file that asks it, and the command line, run in this process."""

import logging
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest
import structlog

from pipeline.adapters.llama.engine import LlamaEngine
from pipeline.adapters.llama.library import llama
from pipeline.cli import main
from tests.integration.llama_cases import SMALL, engine_for

Run: TypeAlias = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def engine(model_path: Callable[[str], Path]) -> Iterator[LlamaEngine]:
    engine = engine_for(model_path(SMALL))
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def vocabulary(model_path: Callable[[str], Path]) -> Iterator[object]:
    """Return llama.cpp's handle of the model without its weights."""
    lib = llama()
    params = lib.llama_model_default_params()
    params.vocab_only = True
    model = lib.llama_model_load_from_file(str(model_path(SMALL)).encode(), params)
    yield model
    lib.llama_model_free(model)


@pytest.fixture
def headrace(capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Return a function that runs a command: exit code, standard output, standard error."""
    root = logging.getLogger()
    handlers, level, on_stop = list(root.handlers), root.level, signal.getsignal(signal.SIGTERM)

    def run(*argv: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in argv])
        shown = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, shown.out, shown.err

    yield run
    root.handlers[:], root.level = handlers, level
    signal.signal(signal.SIGTERM, on_stop)
    structlog.reset_defaults()
