"""Models for tests: real GGUF files by their catalogue names, pulled when missing."""

import functools
import os
from collections.abc import Callable
from pathlib import Path

import platformdirs
import pytest

from pipeline.adapters.models import ModelStore


@functools.cache
def _models() -> ModelStore:
    folder = os.environ.get("HEADRACE_MODELS")
    home = os.environ.get("HEADRACE_HOME") or platformdirs.user_data_dir("headrace")
    return ModelStore(Path(folder) if folder else Path(home) / "models")


@functools.cache
def _pulled(name: str) -> Path:
    return _models().pull(name).path


@pytest.fixture(scope="session")
def model_path() -> Callable[[str], Path]:
    """Return the file of a model of the catalogue; HEADRACE_MODELS names the folder."""
    return _pulled
