"""Writing a string that is copied: which tokens keep it a span of the item's text, or null."""

import json
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from pipeline.adapters.llama.vocab import Vocab
from pipeline.domain.spans import is_boundary
from pipeline.domain.trie import Logits, log_sum_exp

_LONGEST_PIECE = 32
_NULL = b" null"
_OPEN = b' "'
_CLOSE = b'"'


class Copyable:
    """A text as JSON would write strings of it: what a copied value may be, and which tokens may write it.

    A value is null, or a span that begins and ends with a word and has no blank at its ends; `end`, a single sign, is
    what stands behind the value.
    """

    def __init__(self, text: str, vocab: Vocab, *, end: str) -> None:
        """Escape the text once for all its fields."""
        self.vocab = vocab
        self._tail = _CLOSE + end.encode()
        self._null = _NULL + end.encode()
        pieces = [json.dumps(char, ensure_ascii=False)[1:-1].encode("utf-8", "replace") for char in text]
        self._escaped = b"".join(pieces)
        self._starts: list[int] = []
        self._ends: set[int] = set()
        at = 0
        for place, char in enumerate(text):
            if is_boundary(text, place) and not char.isspace():
                self._starts.append(at)
            at += len(pieces[place])
            if is_boundary(text, place + 1) and not char.isspace():
                self._ends.add(at)
        self._last = max(self._ends, default=0)
        self._first: NDArray[np.int64] | None = None

    def allowed(self, written: bytes) -> NDArray[np.int64]:
        """Return the tokens that may come next; all of them, so that probabilities among them are exact."""
        if written:
            return self._tokens(self._rests(written))
        if self._first is None:  # the same for every field of this text
            self._first = self._tokens(self._rests(b""))
        return self._first

    def _tokens(self, rests: Iterable[bytes]) -> NDArray[np.int64]:
        known = self.vocab.by_bytes
        return np.array(sorted({token for rest in rests for token in known.get(rest, ())}), dtype=np.int64)

    def _rests(self, written: bytes) -> Iterator[bytes]:
        """Yield all bytes, of up to a piece's length, that may follow what is written."""
        if self._null.startswith(written):
            yield from _prefixes(self._null[len(written) :])
        if _OPEN.startswith(written):
            lead = _OPEN[len(written) :]
            if self._starts:
                yield from _prefixes(lead)
            for start in self._starts:
                yield from (lead + more for more in self._continuations(start))
            return
        if not written.startswith(_OPEN):
            return
        span = written[len(_OPEN) :]
        for start in self._starts:
            if self._escaped.startswith(span, start):
                if start + len(span) in self._ends:
                    yield from _prefixes(self._tail)
                yield from self._continuations(start + len(span))
            # A quote that the text itself holds is escaped, so this one can only be ours.
            elif (
                span.endswith(_CLOSE)
                and self._escaped.startswith(span[:-1], start)
                and start + len(span) - 1 in self._ends
            ):
                yield from _prefixes(self._tail[1:])

    def _continuations(self, at: int) -> Iterator[bytes]:
        """Yield more of the text, at least one byte, and where a word ends with it the closing."""
        for end in range(at + 1, min(self._last, at + _LONGEST_PIECE) + 1):
            more = self._escaped[at:end]
            yield more
            if end in self._ends:
                yield from (more + close for close in _prefixes(self._tail))


def _prefixes(data: bytes) -> list[bytes]:
    return [data[:end] for end in range(1, len(data) + 1)]


class SpanConstraint:
    """What has been written of one value. The same calls as a grammar's `Constraint`."""

    def __init__(self, source: Copyable) -> None:
        """Begin with nothing written."""
        self._source = source
        self.written = b""

    def close(self) -> None:
        """Give nothing back: there is no memory outside of Python."""

    def accept(self, token: int) -> None:
        """Go on behind a token that is allowed."""
        self.written += self._source.vocab.piece(token)

    def pick(self, logits: Logits) -> tuple[int, float] | None:
        """Return the most probable allowed token and its exact probability among the allowed; None without any."""
        tokens = self._source.allowed(self.written)
        if not len(tokens):
            return None
        row: NDArray[np.float64] = np.asarray(logits)[tokens].astype(np.float64)
        row[np.isnan(row)] = -np.inf
        best = int(row.argmax())
        if not np.isfinite(row[best]):
            return None
        return int(tokens[best]), float(np.exp(row[best] - log_sum_exp(row)))
