"""Fixtures for all rooms: real models, and a real OpenAI-compatible server on loopback."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import platformdirs
import pytest
from hypothesis import settings

from pipeline.adapters.models import ModelStore
from tests.integration.openai_server import OpenAIServer, serving

# A slow machine is no failure: how long things take is for benchmarks.
settings.register_profile("headrace", deadline=None)
settings.load_profile("headrace")

ModelPath: TypeAlias = Callable[[str], Path]


def pytest_configure() -> None:
    """Give each of several processes that share the tests its own CPUs: threads of llama.cpp wait for one another."""
    number, of = os.environ.get("PYTEST_XDIST_WORKER"), int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if number is None or not hasattr(os, "sched_setaffinity"):
        return
    cpus = sorted(os.sched_getaffinity(0))
    own = cpus[int(number.removeprefix("gw")) :: of]
    os.sched_setaffinity(0, own or cpus)


def _models_folder() -> Path:
    named, home = os.environ.get("HEADRACE_MODELS"), os.environ.get("HEADRACE_HOME")
    if named:
        return Path(named)
    return (Path(home) if home else Path(platformdirs.user_data_dir("headrace"))) / "models"


@pytest.fixture(scope="session")
def model_path() -> ModelPath:
    """Name of the catalogue → path of the checked file, pulled when it is not there."""
    store = ModelStore(_models_folder())
    found: dict[str, Path] = {}

    def path(name: str) -> Path:
        if name not in found:
            found[name] = store.pull(name).path
        return found[name]

    return path


@pytest.fixture(scope="session")
def openai_server(model_path: ModelPath, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenAIServer]:
    """One server for the session, on SmolLM2."""
    log = tmp_path_factory.mktemp("openai-server") / "server.log"
    with serving(model_path("smollm2-135m-instruct"), log) as server:
        yield server


@pytest.fixture(autouse=True, scope="session")
def _interruptible() -> Iterator[None]:
    """Let commands be stopped by Ctrl-C even where the tests are a shell's background job, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
