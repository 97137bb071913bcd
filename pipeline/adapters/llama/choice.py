"""Choosing among labels: an item's lane through the label trie, and its answer."""

import math

import numpy as np
from numpy.typing import NDArray

from pipeline.adapters.llama.lanes import Extend, Forks, Want
from pipeline.domain.trie import LabelTrie, Listed, Logits, Search, Tokens, log_sum_exp

FORKS = 3
"""Branches of labels that are read at once."""


class ChoiceLane:
    """Reads the item once and, where labels share their beginnings, a few tokens more."""

    def __init__(
        self,
        trie: LabelTrie,
        tokens: Tokens,
        end_ids: NDArray[np.int64],
        *,
        full: bool = False,
        wants_hidden: bool = False,
        first_only: bool = False,
    ) -> None:
        """`tokens` are those up to where answers part, `end_ids` what may end one; `full` scores every label.

        With `first_only` nothing is read behind the first branch, and the answer is a guess.
        """
        self._trie = trie
        self._search = Search(trie, full=full)
        self._first = tokens + trie.stem
        self._end_ids = end_ids
        self._asked: list[int] = []
        self._first_only = first_only
        self.is_unsound = False
        """Nowhere among a branch's tokens was a number: no answer of this model is to be believed."""
        self.wants_hidden = wants_hidden
        self.hidden: NDArray[np.float32] | None = None
        """The hidden state behind the last token before labels part, once it is read; shape (width,)."""
        self.halfway: NDArray[np.float32] | None = None
        """The mean of the hidden states halfway up, over all tokens up to there but the prefix's; shape (width,)."""

    @property
    def cells(self) -> int:
        """Tokens that are read at once, at most."""
        return len(self._first) + self._trie.longest * (self.width - 1)

    @property
    def width(self) -> int:
        """Sequences at once."""
        return 1 if len(self._trie.branches) <= 1 else 1 + FORKS

    def next(self) -> Want | None:
        """Ask for the branches that the search wants."""
        first = not self._asked
        if self._first_only and not first:
            return None
        self._asked = self._search.wanted()
        if not self._asked:
            return None
        if first:
            return Extend(self._first)
        stem = len(self._trie.stem)
        return Forks(tuple(self._trie.branches[number].path[stem:] for number in self._asked))

    def take(self, path: int, logits: Logits) -> None:
        """Score a branch."""
        self.take_listed(path, logits)

    def take_listed(self, path: int, logits: Listed) -> None:
        """Score a branch."""
        number = self._asked[path]
        branch = self._trie.branches[number]
        row = logits[np.array(branch.tokens, dtype=np.int64)]
        self.is_unsound = self.is_unsound or not bool(np.isfinite(row).any())
        end = -math.inf if branch.ends is None else log_sum_exp(logits[self._end_ids].astype(np.float64))
        self._search.score(number, row, end)

    @property
    def answer(self) -> tuple[int, float]:
        """Number of the label and its RawScore; only once `next` returned None."""
        winner = self._search.winner or (self._search.guess if self._first_only else None)
        if winner is None:
            msg = "asked for an answer before it was there"
            raise RuntimeError(msg)
        return winner

    @property
    def label_tokens(self) -> Tokens:
        """Tokens of the label that won."""
        return self._trie.labels[self.answer[0]]

    @property
    def shares(self) -> list[float]:
        """Probability of every label, in their order; only for a lane that is `full`."""
        known = self._search.log_shares
        return [min(1.0, math.exp(known.get(number, -math.inf))) for number in range(len(self._trie.labels))]
