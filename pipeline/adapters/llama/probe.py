"""What a check-up asks of llama.cpp. It is loaded in a process of its own: a build for another processor dies there."""

import json
import subprocess
import sys
from dataclasses import dataclass

from pipeline.domain.errors import ConfigError

_WITHIN_S = 60
_SHOW = """
import json, llama_cpp
print(json.dumps([llama_cpp.__version__, llama_cpp.llama_print_system_info().decode()]))
"""
REBUILD = (
    f"build it on this machine: {sys.executable} -m pip install --force-reinstall --no-deps --no-cache-dir "
    "--no-binary llama-cpp-python llama-cpp-python"
)
"""Without pip's cache, which may hold what another processor built."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LibraryFacts:
    """What the library says of itself."""

    version: str
    features: frozenset[str]
    """Processor features that it was built with, such as AVX2 or NEON."""


def library_facts() -> LibraryFacts:
    """Load the library elsewhere and ask it; raises ConfigError when that fails."""
    try:
        shown = subprocess.run(  # noqa: S603 — our own words, run by our own Python
            [sys.executable, "-P", "-c", _SHOW], capture_output=True, timeout=_WITHIN_S, check=False, text=True
        )
    except subprocess.TimeoutExpired:
        raise ConfigError(f"llama-cpp-python did not load within {_WITHIN_S} s; try again when less runs") from None
    if shown.returncode < 0:
        message = f"llama-cpp-python dies when it is loaded (signal {-shown.returncode}): built for another processor"
        raise ConfigError(f"{message}; {REBUILD}")
    if shown.returncode:
        last = (shown.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise ConfigError(f"llama-cpp-python cannot be imported ({last[:200]}); {REBUILD}")
    version, said = json.loads(shown.stdout)
    pairs = (part.split("=") for part in said.replace("CPU :", "").split("|") if "=" in part)
    return LibraryFacts(version=version, features=frozenset(name.strip() for name, on in pairs if on.strip() == "1"))
