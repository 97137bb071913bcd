"""The labels of a choice as a trie over their tokens, and the exact, best-first search for the most probable one.

RawScore of a label: the product, over the *branching* nodes on its way, of the probability of its continuation
renormalised over the continuations allowed there. Where a label is the prefix of another, "end of label" (the tokens
that may end one, together) is one of the continuations. So long labels are not punished for their length, and the
scores of all labels sum to 1. Worked: labels `a b`, `a c`, `d` with shares a .6, d .4 at the root and b .9, c .1 below
`a` give .54, .06, .40.

Pure: logits come in as arrays, nothing is read here.
"""

import heapq
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pipeline.domain.errors import ConfigError

Tokens: TypeAlias = tuple[int, ...]
Logits: TypeAlias = NDArray[np.float32] | NDArray[np.float64]


class Listed(Protocol):
    """Logits that can be had of the tokens that are named; all logits as one array are such."""

    def __getitem__(self, tokens: NDArray[np.int64], /) -> Logits:
        """Return the logits of these tokens, in their order."""
        ...


_HIGHEST = float(np.finfo(np.float32).max)
NEAR = math.log(4)
"""Branches within this factor of the best are scored in the same round: a few tokens for fewer rounds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """A place where labels part."""

    path: Tokens
    """Tokens of the label so far."""
    tokens: Tokens
    """What may come next, "end of label" aside."""
    heads: tuple[int, ...]
    """For each of `tokens`: the number of the next branch, or, where one label is left, `~` of that label's number."""
    ends: int | None
    """Number of the label that is complete here."""

    def shares(self, logits: Logits, end_logit: float) -> NDArray[np.float64]:
        """Return the log-probability of each continuation, "end of label" last where it is one; sums to 1.

        `logits` are those of `tokens`, in their order; `end_logit` is of all tokens that may end a label together.
        """
        row: NDArray[np.float64] = np.array(logits, dtype=np.float64)
        if self.ends is not None:
            row = np.append(row, end_logit)
        row[np.isnan(row)] = -np.inf
        row = np.minimum(row, _HIGHEST)
        if not np.isfinite(row).any():  # a model that is out of its mind prefers nothing
            row = np.zeros(len(row))
        row -= row.max()  # first, or the sum would drown in a large logit
        row -= log_sum_exp(row)
        return row


def log_sum_exp(row: NDArray[np.float64]) -> float:
    """Return log(sum(exp(row))) without overflow."""
    top = float(row.max())
    if not math.isfinite(top):
        return top
    return top + math.log(float(np.exp(row - top).sum()))


class LabelTrie:
    """Branches of a set of labels; number 0 is nearest to the root."""

    def __init__(self, labels: Sequence[Tokens], names: Sequence[str]) -> None:
        """Build from each label's tokens; `names` are for the error when two labels are the same to the model."""
        seen: dict[Tokens, int] = {}
        for number, tokens in enumerate(labels):
            if not tokens:
                raise ConfigError(f"label {names[number]!r} has no token in this model's vocabulary: reword it")
            if tokens in seen:
                raise ConfigError(
                    f"labels {names[seen[tokens]]!r} and {names[number]!r} are the same to this model: reword one"
                )
            seen[tokens] = number
        self.labels: tuple[Tokens, ...] = tuple(labels)
        self._branches: list[Branch | None] = []
        self.root: int = self._grow(list(range(len(labels))), 0)
        self.branches: tuple[Branch, ...] = tuple(branch for branch in self._branches if branch is not None)

    @property
    def longest(self) -> int:
        """Tokens of the longest label."""
        return max(len(tokens) for tokens in self.labels)

    @property
    def has_prefixes(self) -> bool:
        """Whether a label is the beginning of another."""
        return any(branch.ends is not None for branch in self.branches)

    @property
    def stem(self) -> Tokens:
        """Tokens that all labels begin with, up to the first branch."""
        return self.branches[self.root].path if self.root >= 0 else self.labels[~self.root]

    def _grow(self, members: list[int], depth: int) -> int:
        if len(members) == 1:
            return ~members[0]
        first = self.labels[members[0]]
        while True:
            ends = next((number for number in members if len(self.labels[number]) == depth), None)
            groups: dict[int, list[int]] = {}
            for number in members:
                if number != ends:
                    groups.setdefault(self.labels[number][depth], []).append(number)
            if ends is not None or len(groups) > 1:
                break
            depth += 1
        place = len(self._branches)
        self._branches.append(None)
        heads = tuple(self._grow(group, depth + 1) for group in groups.values())
        self._branches[place] = Branch(path=first[:depth], tokens=tuple(groups), heads=heads, ends=ends)
        return place

    def distribution(self, shares_of: Callable[[Branch], NDArray[np.float64]]) -> NDArray[np.float64]:
        """Return the probability of every label; `shares_of` gives what `Branch.shares` returns at a branch."""
        scores = np.zeros(len(self.labels))
        todo = [(self.root, 0.0)]
        while todo:
            head, log_p = todo.pop()
            if head < 0:
                scores[~head] = math.exp(log_p)
                continue
            branch = self.branches[head]
            shares = shares_of(branch)
            todo.extend((below, log_p + float(share)) for below, share in zip(branch.heads, shares, strict=False))
            if branch.ends is not None:
                scores[branch.ends] = math.exp(log_p + float(shares[-1]))
        return scores


class Search:
    """Best-first search of one item: asks for branches until no unread one can beat the best label found.

    A branch is at least as probable as any label below it, so the winner and its score are exact.
    """

    def __init__(self, trie: LabelTrie, *, full: bool = False) -> None:
        """Begin at the root; with a single label it is decided at once. `full` reads every branch."""
        self._trie = trie
        self._full = full
        self.log_shares: dict[int, float] = {}
        """Of the labels that were reached; of all of them at the end, when `full`."""
        self._open: list[tuple[float, int]] = []
        self._best: tuple[float, int] | None = None
        self._offer(trie.root, 0.0)

    def _offer(self, head: int, log_p: float) -> None:
        if head >= 0:
            heapq.heappush(self._open, (-log_p, head))
            return
        self.log_shares[~head] = log_p
        if self._best is None or log_p > self._best[0]:
            self._best = (log_p, ~head)

    def wanted(self) -> list[int]:
        """Return the branches whose logits are needed next; empty when it is decided."""
        if self.winner is not None:
            return []
        if self._full:
            return [number for _, number in self._open]
        floor = -self._open[0][0] - NEAR
        if self._best is not None:
            floor = max(floor, self._best[0])
        return [number for cost, number in self._open if -cost > floor or number == self._open[0][1]]

    def score(self, number: int, logits: Logits, end_logit: float) -> None:
        """Tell the logits at a branch that was wanted; see `Branch.shares`."""
        place = next(index for index, (_, wanted) in enumerate(self._open) if wanted == number)
        log_p = -self._open.pop(place)[0]
        heapq.heapify(self._open)
        branch = self._trie.branches[number]
        shares = branch.shares(logits, end_logit)
        for head, share in zip(branch.heads, shares, strict=False):
            self._offer(head, log_p + float(share))
        if branch.ends is not None:
            self._offer(~branch.ends, log_p + float(shares[-1]))

    @property
    def winner(self) -> tuple[int, float] | None:
        """Number of the most probable label and its probability, once certain; equals go to the one found first."""
        if self._best is None or (self._open and (self._full or -self._open[0][0] > self._best[0])):
            return None
        return self._best[1], min(1.0, math.exp(self._best[0]))

    @property
    def guess(self) -> tuple[int, float]:
        """Number of a label that is likely by what was read so far, and the most that its probability can be."""
        bounds = [(-cost, head) for cost, head in self._open[:1]]
        if self._best is not None:
            bounds.append((self._best[0], ~self._best[1]))
        log_p, head = max(bounds)
        while head >= 0:
            branch = self._trie.branches[head]
            head = branch.heads[0] if branch.ends is None else ~branch.ends
        return ~head, min(1.0, math.exp(log_p))
