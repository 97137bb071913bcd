"""llama.cpp's batch: tokens of many sequences, laid out to be read at once."""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Tokens to read into one sequence. A sequence has at most one row in a reading."""

    sequence: int
    start: int
    """Position of the first token."""
    tokens: Sequence[int]
    wants_logits: bool = True
    """Whether the logits behind the last token are wanted."""
    listed: bool = False
    """Whether of these only those of tokens that are named."""
    half: bool = False
    """Whether nothing but the hidden states halfway up is wanted: it may be read that far only, and nothing else is to
    be read behind it then."""


@dataclass(frozen=True, slots=True)
class Slice:
    """Part of a row: its tokens from `begin` to before `end`."""

    row: int
    begin: int
    end: int


class Batch:
    """llama.cpp's batch over arrays of our own, which are filled slice by slice."""

    def __init__(self, lib: Any, size: int) -> None:  # noqa: ANN401 — a module
        """Take room for so many tokens."""
        number = ctypes.POINTER(ctypes.c_int32)
        self._tokens = np.zeros(size, dtype=np.int32)
        self._positions = np.zeros(size, dtype=np.int32)
        self._sequences = np.zeros(size, dtype=np.int32)
        self._wanted = np.zeros(size, dtype=np.int8)
        self._counts = np.ones(size, dtype=np.int32)
        step = self._sequences.itemsize
        addresses = self._sequences.ctypes.data + step * np.arange(size, dtype=np.uintp)
        self._addresses = addresses.astype(np.uintp)  # must stay referenced, like all of these
        self.struct = lib.llama_batch(
            n_tokens=0,
            token=self._tokens.ctypes.data_as(number),
            pos=self._positions.ctypes.data_as(number),
            n_seq_id=self._counts.ctypes.data_as(number),
            seq_id=self._addresses.ctypes.data_as(ctypes.POINTER(number)),
            logits=self._wanted.ctypes.data_as(ctypes.POINTER(ctypes.c_int8)),
        )

    def fill(self, rows: Sequence[Row], parts: Sequence[Slice], *, every: bool = False) -> list[tuple[int, int]]:
        """Lay out parts of rows; returns (place in the batch, number of the row) of all whose logits are wanted.

        With `every` an output of every token is computed, as the mean over a text wants it.
        """
        at = 0
        wanted: list[tuple[int, int]] = []
        self._wanted[:] = every
        for part in parts:
            row = rows[part.row]
            until = at + part.end - part.begin
            self._tokens[at:until] = row.tokens[part.begin : part.end]
            self._positions[at:until] = range(row.start + part.begin, row.start + part.end)
            self._sequences[at:until] = row.sequence
            if row.wants_logits and part.end == len(row.tokens):
                self._wanted[until - 1] = 1
                wanted.append((until - 1, part.row))
            at = until
        self.struct.n_tokens = at
        return wanted
