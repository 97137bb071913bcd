"""Composition root: the only place that names concrete classes and puts them together."""

from pipeline.wiring.engines import engine_for, model_for, model_store
from pipeline.wiring.parts import judge_for, price_book_for, store_and_queue
from pipeline.wiring.servers import Role, Servers, servers
from pipeline.wiring.stack import Stack

__all__ = [
    "Role",
    "Servers",
    "Stack",
    "engine_for",
    "judge_for",
    "model_for",
    "model_store",
    "price_book_for",
    "servers",
    "store_and_queue",
]
