"""Headrace: small models first, large ones only where it pays.

`from pipeline import Producer` enqueues items from your own code.
"""

from importlib import import_module
from typing import Any

__all__ = ["Producer"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 — PEP 562
    """Load the producer when it is asked for: importing a part of Headrace stays light."""
    if name == "Producer":
        return import_module("pipeline.producer").Producer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
