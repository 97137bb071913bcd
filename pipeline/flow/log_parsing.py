"""Parsing: a block of a log file becomes a batch, in this process or in another."""

import datetime as dt
import functools
import gc
import multiprocessing.connection
import os
import threading

from pipeline.domain.logs.batches import Batch, RowsOf, batch_of
from pipeline.domain.logs.blocks import Block
from pipeline.domain.logs.detection import layout_named
from pipeline.domain.logs.headers import LAYOUTS, PLAIN
from pipeline.domain.logs.reading import Reading
from pipeline.domain.logs.shapes import Shapes

_GATHERED_EVERY = 500_000
"""Objects made before the collector looks: parsing leaves no circles, and looking every 700 took a sixth of it."""


def prepare() -> None:
    """Make a process that only parses ready; it ends with the one that started it, however that ends."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    gc.freeze()
    gc.set_threshold(_GATHERED_EVERY)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)


def parse(block: Block, layout: str, latest: dt.datetime, rows_of: RowsOf) -> Batch:
    """Return the events of a block, counted and as their store writes them; `latest` is as in Reading."""
    texts, shapes = block.lines()
    events = _reading(layout, latest).events(texts, first_line=block.lines_before + 1, shapes=shapes)
    return batch_of(events, layout, rows_of)


@functools.lru_cache(maxsize=8)
def _reading(layout: str, latest: dt.datetime) -> Reading:
    return Reading(layout=layout_named(layout) or LAYOUTS[PLAIN], latest=latest, shapes=_shapes())


@functools.cache
def _shapes() -> Shapes:
    """Return what this process knows of shapes; they are the same whatever the file."""
    return Shapes()
