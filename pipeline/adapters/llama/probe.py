"""What a check-up asks of llama.cpp: that it loads, and reads a small model rightly.

It does so in a process of its own: a build for another processor dies there, and one that its compiler got wrong.
"""

import json
import subprocess
import sys
from dataclasses import dataclass

from pipeline.domain.errors import ConfigError

_WITHIN_S = 60
_SHOW = """
import json, llama_cpp
from pipeline.adapters.llama import smoke
from pipeline.adapters.llama.devices import free_gpu_bytes, has_gpu_support
smoke.check()
said = llama_cpp.llama_print_system_info().decode()
print(json.dumps([llama_cpp.__version__, said, has_gpu_support(), free_gpu_bytes()]))
"""
REBUILD = (
    "build it again, in a checkout `make` does so by itself; elsewhere: "
    f"CXXFLAGS='-include /path/of/deploy/llama.cpp/amx.h' {sys.executable} -m pip install --force-reinstall --no-deps "
    "--no-cache-dir --no-binary llama-cpp-python llama-cpp-python"
)
"""Without pip's cache, which may hold what another processor built."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LibraryFacts:
    """What the library says of itself."""

    version: str
    features: frozenset[str]
    """Processor features that it was built with, such as AVX2 or NEON."""
    has_gpu: bool = False
    """It was built for a GPU."""
    free_gpu_bytes: int | None = None
    """None: no GPU, or it does not tell."""


def library_facts() -> LibraryFacts:
    """Load the library elsewhere and ask it; raises ConfigError when that fails."""
    try:
        shown = subprocess.run(  # noqa: S603 — our own words, run by our own Python
            [sys.executable, "-P", "-c", _SHOW], capture_output=True, timeout=_WITHIN_S, check=False, text=True
        )
    except subprocess.TimeoutExpired:
        raise ConfigError(f"llama-cpp-python did not load within {_WITHIN_S} s; try again when less runs") from None
    if shown.returncode < 0:
        message = (
            f"llama-cpp-python dies when it is used (signal {-shown.returncode}): built wrongly for this processor"
        )
        raise ConfigError(f"{message}; {REBUILD}")
    if shown.returncode:
        last = (shown.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise ConfigError(f"llama-cpp-python cannot be used ({last[:200]}); {REBUILD}")
    version, said, has_gpu, free_gpu_bytes = json.loads(shown.stdout.splitlines()[-1])
    pairs = (part.split("=") for part in said.replace("CPU :", "").split("|") if "=" in part)
    features = frozenset(name.strip() for name, on in pairs if on.strip() == "1")
    return LibraryFacts(version=version, features=features, has_gpu=has_gpu, free_gpu_bytes=free_gpu_bytes)
