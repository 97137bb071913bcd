"""One llama.cpp context: tokens of many sequences read in full batches, logits only where they are wanted."""

import itertools
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pipeline.adapters.llama.batch import Batch, Row, Slice
from pipeline.adapters.llama.hidden import HiddenStates
from pipeline.adapters.llama.library import llama
from pipeline.adapters.llama.output import ListedLogits, OutputRows, agreed
from pipeline.domain.errors import EngineUnavailable, ModelError
from pipeline.domain.trie import Logits

BATCH_TOKENS = 512
"""Tokens read at once, unless a measurement of the machine says that another number is faster."""
_NO_SLOT = 1
_TRIED = 256
"""Tokens whose logits are compared."""

Take: TypeAlias = Callable[[int, Logits | ListedLogits | None], None]
"""Receives the number of a row, and the logits behind its last token; None for a row that is read halfway up."""


class Context:
    """Cells of one KV cache, shared by all sequences: what sequences have in common lies there once."""

    def __init__(
        self,
        model: Any,  # noqa: ANN401 — an opaque pointer
        *,
        cells: int,
        sequences: int,
        threads: int,
        vocab_size: int,
        batch_tokens: int = BATCH_TOKENS,
        hidden: HiddenStates | None = None,
    ) -> None:
        """Take the memory; raises ModelError where there is not enough of it. `hidden` listens to every reading."""
        lib = self._lib = llama()
        self.decoded = 0
        """Batches read so far."""
        params = lib.llama_context_default_params()
        params.n_ctx = cells
        params.n_batch = params.n_ubatch = batch_tokens
        params.n_seq_max = params.n_outputs_max = sequences
        params.n_threads = params.n_threads_batch = threads
        params.kv_unified = True
        params.swa_full = True
        params.no_perf = True
        self.hidden = hidden
        self.output: OutputRows | None = None
        """What rows that are `listed` are delivered by, once it was adopted; None: by llama.cpp, whole."""
        if hidden is not None:
            params.cb_eval = hidden.callback
        self.sequences = sequences
        self.tokens_read = 0
        """By all readings so far."""
        self.batch_tokens = batch_tokens
        self._vocab_size = vocab_size
        self._pointer = lib.llama_init_from_model(model, params)
        if not self._pointer:
            raise ModelError(f"no memory for a context of {cells} tokens: set a smaller context_tokens for this tier")
        self.cells: int = lib.llama_n_ctx(self._pointer)
        self._memory = lib.llama_get_memory(self._pointer)
        self._batch = Batch(lib, batch_tokens)
        self._sums: dict[int, NDArray[np.float32]] = {}
        self._tops: dict[int, NDArray[np.float32]] = {}

    def close(self) -> None:
        """Give the memory back."""
        if self._pointer:
            self._lib.llama_free(self._pointer)
            self._pointer = None
        if self.output is not None:
            self.output.close()
            self.output = None

    def use_threads(self, threads: int) -> None:
        """Go on with another number of threads."""
        self._lib.llama_set_n_threads(self._pointer, threads, threads)

    def adopt(self, output: OutputRows, tokens: Sequence[int]) -> bool:
        """Deliver listed rows by `output` from now on, if behind some tokens it makes the logits that llama.cpp makes.

        They are read as two rows of different lengths, as items are. Only while all sequences are empty. Returns
        whether it does.
        """
        some = np.linspace(0, self._vocab_size - 1, _TRIED).astype(np.int64)
        found: list[bool] = []

        def compare(_row: int, logits: Logits | ListedLogits | None) -> None:
            if logits is not None and self.hidden is not None and self.hidden.is_there:
                found.append(agreed(ListedLogits(output, self.hidden.row)[some], logits[some]))

        self.output = None
        try:
            lengths = (len(tokens), len(tokens) // 2 or 1)
            rows = [Row(sequence=number, start=0, tokens=tokens[:length]) for number, length in enumerate(lengths)]
            self.read(rows, compare)
        finally:
            self.drop(0)
            self.drop(1)
        self.tokens_read = self.decoded = 0
        self.output = output if found == [True, True] else None
        return self.output is not None

    def fork(self, source: int, target: int) -> None:
        """Let an empty sequence begin with all that another holds; costs no cells."""
        self._lib.llama_memory_seq_cp(self._memory, source, target, -1, -1)

    def drop(self, sequence: int) -> None:
        """Empty a sequence; cells that no other shares become free."""
        self._lib.llama_memory_seq_rm(self._memory, sequence, -1, -1)

    def read(self, rows: Sequence[Row], take: Take) -> list[int]:
        """Read rows; `take(number of the row, logits)` is called for each that wants logits, valid for that call only.

        Returns the rows that found no free cells: they may have been read in part, so drop their sequences. Raises
        EngineUnavailable when llama.cpp fails.
        """
        self._sums, self._tops = {}, {}
        stuck: set[int] = set()
        batch: list[Slice] = []
        room = self.batch_tokens
        for number, row in enumerate(rows):
            begin = 0
            while begin < len(row.tokens):
                end = min(len(row.tokens), begin + room)
                batch.append(Slice(number, begin, end))
                room -= end - begin
                begin = end
                if not room:
                    self._decode(rows, batch, take, stuck)
                    batch, room = [], self.batch_tokens
        self._decode(rows, batch, take, stuck)
        return sorted(stuck)

    def _decode(self, rows: Sequence[Row], batch: Sequence[Slice], take: Take, stuck: set[int]) -> None:
        batch = [part for part in batch if part.row not in stuck]
        if not batch:
            return
        wanted = self._batch.fill(rows, batch)
        output = self.output if all(rows[number].listed or rows[number].half for _, number in wanted) else None
        if self.hidden is not None:
            only_half = all(rows[part.row].half for part in batch)
            self.hidden.expect(len(wanted), breaks_off=output is not None, half=only_half)
        with nullcontext() if self.hidden is None else self.hidden.called():
            code = self._lib.llama_decode(self._pointer, self._batch.struct)
        self.decoded += 1
        if code == _NO_SLOT and len(batch) > 1:
            half = len(batch) // 2
            self._decode(rows, batch[:half], take, stuck)
            self._decode(rows, batch[half:], take, stuck)
        elif code == _NO_SLOT:
            stuck.add(batch[0].row)
        elif code:
            raise EngineUnavailable(f"llama.cpp could not read a batch (code {code}): see the machine's memory")
        else:
            self.tokens_read += self._batch.struct.n_tokens
            self._add_up(batch)
            for count, (place, number) in enumerate(wanted):
                if self.hidden is not None:
                    self.hidden.output = count
                take(number, None if rows[number].half else self._behind(place, output))

    def _behind(self, place: int, output: OutputRows | None) -> Logits | ListedLogits:
        """Return the logits of the row that is being delivered, which is at this place of the batch."""
        if output is None or self.hidden is None:
            return self._logits(place)
        if self.hidden.is_there:
            return ListedLogits(output, self.hidden.row)
        raise EngineUnavailable("llama.cpp showed no hidden states: set reproducible = true for this tier")

    def _add_up(self, batch: Sequence[Slice]) -> None:
        ends = list(itertools.accumulate(part.end - part.begin for part in batch))
        found = None if self.hidden is None else self.hidden.halfway(ends)
        if found is not None:
            for part, summed, top in zip(batch, *found, strict=True):
                known = self._sums.get(part.row)
                self._sums[part.row] = summed if known is None else known + summed
                self._tops[part.row] = top

    def halfway(self, row: int) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
        """Return what was heard halfway up over a row of this or the last reading, as far as it is read.

        The sum of the hidden states over it, and the state of its last token; both of shape (width,). None where they
        are not heard.
        """
        summed, top = self._sums.get(row), self._tops.get(row)
        return None if summed is None or top is None else (summed, top)

    def _logits(self, place: int) -> NDArray[np.float32]:
        pointer = self._lib.llama_get_logits_ith(self._pointer, place)
        row: NDArray[np.float32] = np.ctypeslib.as_array(pointer, (self._vocab_size,))
        return row
