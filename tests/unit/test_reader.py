"""The reader over a cache that checks it: every lane sees the logits behind its own tokens, and nothing is left."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.adapters.llama.batch import Row
from pipeline.adapters.llama.context import Context
from pipeline.adapters.llama.halfway import HalfwayLane
from pipeline.adapters.llama.lanes import Extend, Family, Forks, Want
from pipeline.adapters.llama.reader import Reader
from pipeline.adapters.llama.strands import Work
from pipeline.domain.errors import EngineUnavailable
from pipeline.domain.trie import Logits, Tokens

SEQUENCES = 40


@dataclass
class Cache:
    """Holds each sequence's tokens; counts a token that several sequences share once, as llama.cpp does."""

    cells: int
    sequences: int = SEQUENCES
    batch_tokens: int = 512
    held: dict[int, Tokens] = field(default_factory=dict)
    batches: list[int] = field(default_factory=list)
    """Tokens of each reading that were read."""
    halves: set[int] = field(default_factory=set)
    """Sequences that hold tokens which were read halfway up only."""
    heard: dict[int, tuple[float, float]] = field(default_factory=dict)
    """Of each row of the last reading: its hidden states halfway up are its tokens' own numbers."""
    hidden: Any = field(default_factory=lambda: SimpleNamespace(row=np.zeros(1, dtype=np.float32), is_there=True))

    def halfway(self, row: int) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
        if row not in self.heard:
            return None
        summed, top = (np.array([number], dtype=np.float32) for number in self.heard[row])
        return summed, top

    @property
    def tokens_read(self) -> int:
        return sum(self.batches)

    def used(self) -> int:
        prefixes = {tokens[:end] for tokens in self.held.values() for end in range(1, len(tokens) + 1)}
        return len(prefixes)

    def fork(self, source: int, target: int) -> None:
        assert not self.held.get(target), "a fork goes into an empty sequence"
        self.held[target] = self.held.get(source, ())
        if source in self.halves:
            self.halves.add(target)

    def drop(self, sequence: int) -> None:
        self.held.pop(sequence, None)
        self.halves.discard(sequence)

    def read(self, rows: Sequence[Row], take: Callable[[int, Logits | None], None]) -> list[int]:
        assert len({row.sequence for row in rows}) == len(rows), "a sequence has one row in a reading"
        stuck, read = [], 0
        self.heard = {}
        for number, row in enumerate(rows):
            before = self.held.get(row.sequence, ())
            assert row.start == len(before), "tokens follow those that are there"
            assert row.tokens
            assert row.half or row.sequence not in self.halves, "nothing is read whole behind what was read halfway"
            if row.half:
                self.halves.add(row.sequence)
            self.held[row.sequence] = (*before, *row.tokens)
            if self.used() > self.cells:
                self.held[row.sequence] = before
                stuck.append(number)
                continue
            read += len(row.tokens)
            self.heard[number] = sum(row.tokens), row.tokens[-1]
            if row.wants_logits:
                take(number, None if row.half else cast("Any", self.held[row.sequence]))
        self.batches.append(read)
        return stuck


@dataclass
class Script:
    """A lane that wants one thing after another, and holds what it gets to what it should be."""

    wants: list[Want]
    begins: Tokens = ()
    trunk: Tokens = ()
    at: int = -1
    taken: set[int] = field(default_factory=set)
    wants_hidden: bool = True
    hidden: NDArray[np.float32] | None = None
    halfway: NDArray[np.float32] | None = None

    @property
    def cells(self) -> int:
        return 4

    @property
    def width(self) -> int:
        return 1 + max((len(want.paths) for want in self.wants if isinstance(want, Forks)), default=0)

    def next(self) -> Want | None:
        if self.at >= 0:
            want = self.wants[self.at]
            assert self.taken == set(range(len(want.paths) if isinstance(want, Forks) else 1)), "all was taken once"
        self.at += 1
        self.taken = set()
        if self.at == len(self.wants):
            return None
        want = self.wants[self.at]
        if isinstance(want, Extend):
            self.trunk += want.tokens
        return want

    def take(self, path: int, logits: Logits) -> None:
        want = self.wants[self.at]
        more = want.paths[path] if isinstance(want, Forks) else ()
        assert cast("Any", logits) == (*self.begins, *self.trunk, *more)
        assert path not in self.taken
        self.taken.add(path)


class Halfway(HalfwayLane):
    """A lane that is read halfway up, and what it begins with."""

    def __init__(self, tokens: Tokens, begins: Tokens) -> None:
        super().__init__(tokens)
        self.begins, self.wants, self.at = begins, [Extend(tokens)], 1


TOKENS = st.lists(st.integers(0, 3), min_size=1, max_size=4).map(tuple)
FORKS = st.lists(TOKENS, min_size=1, max_size=4, unique=True).map(lambda paths: Forks(tuple(paths)))
WANTS = st.lists(st.one_of(TOKENS.map(Extend), FORKS), max_size=3)


@st.composite
def families(draw: st.DrawFn, begins: Tokens, depth: int = 2) -> Family:
    body = draw(st.one_of(st.just(()), TOKENS))
    here = (*begins, *body)
    lanes = st.lists(WANTS.map(lambda wants: Script(wants, here)), max_size=3)
    members: list[Any] = [*draw(lanes), *draw(st.lists(TOKENS.map(lambda tokens: Halfway(tokens, here)), max_size=2))]
    if depth:
        members += draw(st.lists(families(here, depth - 1), max_size=2))
    return Family(body=body, members=tuple(members))


def single(tokens: Tokens, *begins: int) -> Family:
    """Return a family of one lane that wants one thing."""
    return Family(body=(), members=(Script([Extend(tokens)], begins),))


def scripts(family: Family) -> list[Script | Halfway]:
    return [
        one
        for member in family.members
        for one in (scripts(member) if isinstance(member, Family) else [cast("Script | Halfway", member)])
    ]


def tokens_of(family: Family) -> int:
    """Return all that a family can come to in the cache."""
    wants = [want for one in scripts(family) for want in one.wants]
    asked = sum(len(want.tokens) if isinstance(want, Extend) else sum(map(len, want.paths)) for want in wants)
    return asked + bodies_of(family)


def bodies_of(family: Family) -> int:
    return len(family.body) + sum(bodies_of(one) for one in family.members if isinstance(one, Family))


def assert_halfway_is_of_the_item(one: Script | Halfway, prefix: int) -> None:
    """Halfway up is looked at behind the prefix, up to the end of what the lane reads first, however it was read."""
    if one.wants and isinstance(first := one.wants[0], Extend):
        tokens = [*one.begins[prefix:], *first.tokens]
        assert one.halfway is not None
        assert one.halfway.tolist() == pytest.approx([sum(tokens) / len(tokens), tokens[-1]])


@settings(max_examples=250, deadline=None)
@given(st.data(), st.lists(st.one_of(st.just(()), TOKENS), unique=True, max_size=4), st.integers(10, 400))
def test_every_lane_gets_the_logits_behind_its_own_tokens_in_any_cache(
    data: st.DataObject, prefixes: list[Tokens], cells: int
) -> None:
    works = [
        Work(prefix=prefix, families=data.draw(st.lists(families(prefix), max_size=4), label=f"on {prefix}"))
        for prefix in prefixes
    ]
    cache = Cache(cells=cells)
    reader = Reader(cast("Context", cache))
    try:
        reader.run(works)
    except EngineUnavailable:
        largest = max(len(work.prefix) + tokens_of(family) for work in works for family in work.families)
        assert cells < largest, "only a cache too small for one item alone says so"
    else:
        assert all(one.at == len(one.wants) for work in works for family in work.families for one in scripts(family))
        assert sum(work.read for work in works) == cache.tokens_read, "each token read is booked on one work"
        for work in works:
            for one in (script for family in work.families for script in scripts(family)):
                assert_halfway_is_of_the_item(one, len(work.prefix))
    kept = {tokens for tokens in cache.held.values() if tokens}
    assert kept <= set(prefixes)
    assert len(kept) == len(reader._prefixes)
    assert len(reader._sequences) + len(reader._prefixes) == SEQUENCES


def test_items_on_different_prefixes_fill_one_batch() -> None:
    cache = Cache(cells=400)
    works = [Work(prefix=(9, number), families=[single((number,), 9, number)]) for number in range(3)]
    reader = Reader(cast("Context", cache))
    reader.run(works)
    assert cache.batches == [2, 2, 2, 3], "each prefix by itself, then all items at once"
    assert [(work.fresh, work.read) for work in works] == [(2, 3)] * 3
    cache.batches.clear()
    again = [Work(prefix=(9, number), families=[single((number,), 9, number)]) for number in range(3)]
    reader.run(again)
    assert cache.batches == [3]
    assert [(work.fresh, work.read) for work in again] == [(0, 1)] * 3


def test_a_prefix_that_items_stand_on_is_kept_while_others_are_read() -> None:
    cache = Cache(cells=16)  # half of it holds two prefixes of four tokens, and there are five
    works = [Work(prefix=(number, 8, 8, 8), families=[single((1,), number, 8, 8, 8)]) for number in range(5)]
    Reader(cast("Context", cache)).run(works)
    assert all(work.read == 5 for work in works)


def test_a_body_is_read_once_for_all_its_lanes() -> None:
    reads: list[int] = []

    class Counting(Cache):
        def read(self, rows: Sequence[Row], take: Callable[[int, Logits | None], None]) -> list[int]:
            reads.extend(len(row.tokens) for row in rows)
            return super().read(rows, take)

    body = tuple(range(100))
    lanes = tuple(Script([Extend((200 + number,))], body) for number in range(5))
    Reader(cast("Context", Counting(cells=400))).run([Work(prefix=(), families=[Family(body=body, members=lanes)])])
    assert sum(reads) == 105


@pytest.mark.parametrize("lanes", [1, 30])
def test_more_lanes_than_sequences_take_turns(lanes: int) -> None:
    wide = tuple(Script([Extend((1,)), Forks(((2,), (3,), (4,)))], (7,)) for _ in range(lanes))
    cache = Cache(cells=400)
    Reader(cast("Context", cache)).run([Work(prefix=(), families=[Family(body=(7,), members=wide)])])
    assert all(one.at == 2 for one in wide)
    assert not cache.held
