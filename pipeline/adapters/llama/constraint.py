"""Which tokens a grammar allows next, by llama.cpp's own grammar sampler; one per value that is being written."""

import ctypes
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.adapters.llama.library import llama
from pipeline.adapters.llama.vocab import Vocab
from pipeline.domain.errors import ConfigError
from pipeline.domain.trie import Logits

SURE = 0.999
"""A most probable token with at least this share of all probability needs no look at the others."""
TAIL = 0.001
"""Mass that may be counted as allowed without asking, as a share of what is known to be allowed."""
_FLOOR = 1e-5
_MASKS_KEPT = 32
_CANDIDATE = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])


class Grammar:
    """A compiled grammar. Masks of whole vocabularies are kept for the beginnings of values, which all items share."""

    def __init__(self, vocab: Vocab, text: str, *, what: str) -> None:
        """Compile; raises ConfigError, naming `what`, when llama.cpp does not take it."""
        self._lib = llama()
        self.vocab = vocab
        self._sampler: Any = self._lib.llama_sampler_init_grammar(vocab.pointer, text.encode(), b"root")
        if not self._sampler:
            raise ConfigError(f"{what}: llama.cpp cannot enforce this type or pattern; simplify it")
        self.masks: dict[bytes, NDArray[np.bool_]] = {}

    def begin(self) -> "Constraint":
        """Return a fresh state of the grammar."""
        return Constraint(self, self._lib.llama_sampler_clone(self._sampler))

    def close(self) -> None:
        """Give the memory back."""
        if self._sampler:
            self._lib.llama_sampler_free(self._sampler)
            self._sampler = None


class Constraint:
    """A grammar's state after what has been written."""

    def __init__(self, grammar: Grammar, sampler: Any) -> None:  # noqa: ANN401 — an opaque pointer
        """Own the sampler."""
        self._lib = llama()
        self._grammar = grammar
        self._sampler = sampler
        self.written = b""

    def close(self) -> None:
        """Give the memory back."""
        if self._sampler:
            self._lib.llama_sampler_free(self._sampler)
            self._sampler = None

    def allowed(self, tokens: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Tell for each token whether the grammar takes it next. Control tokens must not be asked about."""
        candidates = np.zeros(len(tokens), dtype=_CANDIDATE)
        candidates["id"] = tokens
        array = self._lib.llama_token_data_array(
            data=ctypes.cast(candidates.ctypes.data, self._lib.llama_token_data_p),
            size=len(candidates),
            selected=-1,
            sorted=False,
        )
        self._lib.llama_sampler_apply(self._sampler, ctypes.byref(array))
        verdict: NDArray[np.bool_] = np.isfinite(candidates["logit"])
        return verdict

    def accept(self, token: int) -> None:
        """Go on behind a token that is allowed (llama.cpp ends the process for any other)."""
        self._lib.llama_sampler_accept(self._sampler, token)
        self.written += self._grammar.vocab.piece(token)

    def forced(self) -> int | None:
        """Return None: to ask a grammar about the whole vocabulary takes longer than to read a token."""
        return None

    def pick(self, logits: Logits) -> tuple[int, float] | None:
        """Return the most probable allowed token and its probability among the allowed ones; None when there is none.

        The token is exact. The probability is exact or lower by at most one part in a thousand: asking a grammar about
        a whole vocabulary is slow, so only likely tokens are asked about, and the mass of all others counts as allowed
        as long as it is below 0.1 % of what is.
        """
        row = np.array(logits, dtype=np.float32)
        row[self._grammar.vocab.control_ids] = -np.inf
        top = int(row.argmax())
        if not np.isfinite(row[top]):
            return None
        weights = np.exp(row - row[top])
        total = float(weights.sum(dtype=np.float64))
        if total <= 1.0 / SURE and self.allowed(np.array([top]))[0]:
            return top, 1.0 / total
        likely = np.flatnonzero(weights > _FLOOR)
        rest = max(0.0, total - float(weights[likely].sum(dtype=np.float64)))
        kept = likely[self.allowed(likely)]
        if len(kept) and rest <= TAIL * float(weights[kept].sum(dtype=np.float64)):
            best = int(weights[kept].argmax())
            mass = float(weights[kept].sum(dtype=np.float64)) + rest
            return int(kept[best]), float(weights[kept[best]]) / mass
        kept = np.flatnonzero(self._mask())
        if not len(kept):
            return None
        best = int(row[kept].argmax())
        return int(kept[best]), 1.0 / float(np.exp(row[kept] - row[kept[best]]).sum(dtype=np.float64))

    def _mask(self) -> NDArray[np.bool_]:
        """Ask about the whole vocabulary, once per beginning."""
        masks = self._grammar.masks
        known = masks.get(self.written)
        if known is None:
            vocab = self._grammar.vocab
            usable = np.ones(vocab.size, dtype=bool)
            usable[vocab.control_ids] = False
            known = np.zeros(vocab.size, dtype=bool)
            tokens = np.flatnonzero(usable)
            known[tokens] = self.allowed(tokens)
            if len(masks) >= _MASKS_KEPT:
                del masks[next(iter(masks))]
            masks[self.written] = known
        return known
