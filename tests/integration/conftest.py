"""A real model, loaded once for each file that asks it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.adapters.llama.engine import LlamaEngine
from pipeline.adapters.llama.library import llama
from tests.integration.llama_cases import SMALL, engine_for


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
