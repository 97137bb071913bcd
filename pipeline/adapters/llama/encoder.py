"""A sentence encoder in this process: a model of the BERT family that turns texts into vectors.

Nothing is written and nothing is asked: a text is read once, without an instruction, by a model a sixth as large as the
smallest of the catalogue that answers questions. What a text means is learned on top of its vector.
"""

from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pipeline.adapters.llama.batch import Batch, Row, Slice
from pipeline.adapters.llama.library import llama
from pipeline.adapters.llama.loading import load_model
from pipeline.domain.errors import EngineUnavailable, ModelError
from pipeline.ports.encoder import Encoded

MOST_TOKENS: Final = 256
"""Of a text that are read. Encoders are trained on sentences: the makers of all-MiniLM-L6-v2 cut there, too."""
ENCODER_BATCH_TOKENS: Final = 512
"""Read at once. Every token is held against all others of its batch: larger ones were slower (2,048 by a quarter)."""
_MOST_CHARS: Final = 8_192
"""Of a text that are looked at for those tokens."""
_SEQUENCES: Final = 64
_POOLS: Final = frozenset({1, 2, 3})  # mean, cls, last: one vector a text


class SentenceEncoder:
    """Wraps one model file; loads in the constructor, once."""

    def __init__(self, model_path: Path, *, model_name: str, threads: int, gpu_layers: int | None = None) -> None:
        """Load the file; raises ModelError for one that is missing, damaged, or gives no vector for a text.

        It has been through the model store's reader: over some lies llama.cpp ends the process.
        """
        lib = self._lib = llama()
        self._name = model_name
        self._context: Any = None
        self._model: Any = load_model(model_path, gpu_layers)
        try:
            self._vocab = lib.llama_model_get_vocab(self._model)
            self._width: int = lib.llama_model_n_embd_out(self._model)
            self._most = min(MOST_TOKENS, lib.llama_model_n_ctx_train(self._model))
            self._open(threads)
            self._batch = Batch(lib, ENCODER_BATCH_TOKENS)
        except BaseException:
            self.close()
            raise

    def _open(self, threads: int) -> None:
        params = self._lib.llama_context_default_params()
        params.n_ctx = params.n_batch = params.n_ubatch = ENCODER_BATCH_TOKENS
        params.n_seq_max = _SEQUENCES
        params.n_threads = params.n_threads_batch = threads
        params.embeddings = True
        params.kv_unified = True
        params.no_perf = True
        self._context = self._lib.llama_init_from_model(self._model, params)
        if not self._context:
            raise ModelError(f"no memory for {self._name}: free some, or leave `encoder` out of its tier")
        if self._lib.llama_pooling_type(self._context) not in _POOLS:
            raise ModelError(f"{self._name} gives no vector for a whole text: name a sentence encoder")

    @property
    def model(self) -> str:
        """What encodes: the file's name and digest."""
        return self._name

    def encode(self, texts: Sequence[str]) -> Encoded:
        """Return a vector for every text, of its first 256 tokens at most; raises EngineUnavailable and ModelError."""
        rows = [self._tokens(text) for text in texts]
        vectors = np.zeros((len(rows), self._width), dtype=np.float32)
        order = sorted(range(len(rows)), key=lambda number: len(rows[number]))
        while order:
            ends = accumulate(len(rows[number]) for number in order[:_SEQUENCES])
            group = [number for number, end in zip(order, ends, strict=False) if end <= ENCODER_BATCH_TOKENS]
            vectors[group] = self._read([rows[number] for number in group])
            order = order[len(group) :]
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        if not np.isfinite(lengths).all():
            raise ModelError(f"{self._name} gives no numbers for a text: pull it again, or name another encoder")
        return Encoded(vectors=vectors / np.maximum(lengths, 1e-9), tokens=tuple(map(len, rows)))

    def close(self) -> None:
        """Give back memory; twice is harmless."""
        if self._context:
            self._lib.llama_free(self._context)
            self._context = None
        if self._model:
            self._lib.llama_model_free(self._model)
            self._model = None

    def _tokens(self, text: str) -> list[int]:
        """Return a text's tokens between the marks that the model wants; what looks like a mark in it is none."""
        data = text[:_MOST_CHARS].encode("utf-8", "replace")
        room = len(data) + 8
        tokens = (self._lib.llama_token * room)()
        count = self._lib.llama_tokenize(self._vocab, data, len(data), tokens, room, True, False)  # noqa: FBT003 — llama.cpp's own signature
        if count < 1:
            raise ModelError(f"llama.cpp cannot cut a text into tokens of {self._name}: name another encoder")
        found = list(tokens[:count])
        return found if count <= self._most else [*found[: self._most - 1], found[-1]]

    def _read(self, rows: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        wanted = [Row(sequence=number, start=0, tokens=tokens) for number, tokens in enumerate(rows)]
        parts = [Slice(number, 0, len(tokens)) for number, tokens in enumerate(rows)]
        self._batch.fill(wanted, parts, every=True)
        code = self._lib.llama_encode(self._context, self._batch.struct)
        if code:
            raise EngineUnavailable(f"llama.cpp could not read a batch (code {code}): see the machine's memory")
        found = [self._lib.llama_get_embeddings_seq(self._context, number) for number in range(len(rows))]
        return np.stack([np.ctypeslib.as_array(pointer, (self._width,)) for pointer in found])
