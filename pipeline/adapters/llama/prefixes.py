"""What stays in a context between readings: free sequences, and the beginnings that questions have in common."""

from collections import OrderedDict
from collections.abc import Set as AbstractSet
from typing import Final

from pipeline.adapters.llama.batch import Row
from pipeline.adapters.llama.context import Context
from pipeline.domain.errors import EngineUnavailable
from pipeline.domain.trie import Tokens

PREFIXES_KEPT: Final = 8
NONE_IN_USE: Final[frozenset[Tokens]] = frozenset()


class Sequences:
    """The free sequences of a context."""

    def __init__(self, context: Context) -> None:
        """Begin with all of them."""
        self._context = context
        self._free = list(range(context.sequences))

    def __len__(self) -> int:
        """How many are free."""
        return len(self._free)

    def take(self, source: int | None = None) -> int:
        """Return a free sequence that begins with all that another holds; with nothing where that is None."""
        sequence = self._free.pop()
        if source is not None:
            self._context.fork(source, sequence)
        return sequence

    def release(self, sequence: int) -> None:
        """Empty a sequence and have it back."""
        self._context.drop(sequence)
        self._free.append(sequence)


class Prefixes:
    """The beginnings that lie in the cache, each once, the one used last behind the others."""

    def __init__(self, context: Context, sequences: Sequences) -> None:
        """Begin with none."""
        self._context = context
        self._sequences = sequences
        self._held: OrderedDict[Tokens, int] = OrderedDict()

    def __len__(self) -> int:
        """How many there are."""
        return len(self._held)

    def __contains__(self, prefix: Tokens) -> bool:
        """Whether it can be branched off; the empty one always can."""
        return not prefix or prefix in self._held

    @property
    def cells(self) -> int:
        """Tokens that they take of the cache."""
        return sum(map(len, self._held))

    def sequence(self, prefix: Tokens) -> int | None:
        """Return what holds a prefix; None for the empty one."""
        return self._held.get(prefix)

    def keep_only(self, prefix: Tokens) -> None:
        """Forget all others: this one then lies in the first cells, whatever was asked before."""
        if list(self._held) != [prefix]:
            while self.forget(NONE_IN_USE):
                pass

    def open(self, prefix: Tokens, in_use: AbstractSet[Tokens]) -> int | None:
        """See that a prefix is in the cache; returns how many tokens were read for that.

        None where those in use leave no room for it. Raises EngineUnavailable where there is none without them either.
        """
        if not prefix:
            return 0
        if prefix in self._held:
            self._held.move_to_end(prefix)
            return 0
        while len(self._held) >= PREFIXES_KEPT or (self._held and self.cells + len(prefix) > self._context.cells // 2):
            if not self.forget(in_use):
                return None
        if self._read(prefix):
            return len(prefix)
        if in_use:
            return None
        raise EngineUnavailable("llama.cpp has no room for the instruction: set a larger context_tokens")

    def forget(self, in_use: AbstractSet[Tokens]) -> bool:
        """Let the one that was used longest ago go, if there is one besides those in use."""
        oldest = next((prefix for prefix in self._held if prefix not in in_use), None)
        if oldest is None:
            return False
        self._sequences.release(self._held.pop(oldest))
        return True

    def _read(self, prefix: Tokens) -> bool:
        sequence = self._held[prefix] = self._sequences.take()
        row = Row(sequence=sequence, start=0, tokens=prefix, wants_logits=False)
        stuck = [0]
        try:
            stuck = self._context.read([row], lambda _row, _logits: None)
        finally:
            if stuck:
                self._sequences.release(self._held.pop(prefix))
        return not stuck
