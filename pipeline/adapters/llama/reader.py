"""Many items in flight at once: batches are filled from all of them, and what is read once is shared.

Families that begin with the same prefix share it: it lies in the cache once and stays there for the next reading. A
batch holds families of several prefixes, so that a few items of which several things are asked fill it. Items are
admitted while cells, sequences and the batch have room; a prefix that one of them stands on is not let go.
"""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.adapters.llama.batch import Row
from pipeline.adapters.llama.context import Context
from pipeline.adapters.llama.lanes import Extend, Forks, Halfway, Listing, Watching
from pipeline.adapters.llama.output import ListedLogits
from pipeline.adapters.llama.prefixes import NONE_IN_USE, PREFIXES_KEPT, Prefixes, Sequences
from pipeline.adapters.llama.strands import Base, Group, Strand, Work
from pipeline.domain.errors import EngineUnavailable
from pipeline.domain.trie import Logits, Tokens

_NO_PATH = -1
"""In place of a path's number: a body, or a trunk that is read again before its forks; nobody takes the logits."""


@dataclass(frozen=True, slots=True)
class _Reading:
    group: Group
    of: Strand | Base
    path: int
    row: Row


class Reader:
    """Runs families over a context; owns its sequences and the cached prefixes."""

    def __init__(self, context: Context) -> None:
        """Begin with an empty cache."""
        self._context = context
        self._sequences = Sequences(context)
        self._prefixes = Prefixes(context, self._sequences)

    def run(self, works: Sequence[Work]) -> None:
        """Bring all lanes of all works to their answers; each work then says what was read for it.

        Raises EngineUnavailable when llama.cpp fails; the cache is clean again afterwards.
        """
        waiting = deque(_groups(works))
        active: list[Group] = []
        most = len(waiting)
        try:
            while waiting or active:
                self._admit(waiting, active, most)
                parked = self._round(active)
                if parked:
                    most = max(1, len(active) - len(parked), len(active) // 2)
                    self._make_room(active)
                    # In front: behind others, two items could let each other's prefix go for ever.
                    waiting.extendleft(reversed(parked))
                active = [group for group in active if group.strands and group not in parked]
        finally:
            for group in active:
                self._retire(group)

    def keep_only(self, prefix: Tokens) -> None:
        """Forget all other prefixes: this one then lies in the first cells, whatever was asked before."""
        self._prefixes.keep_only(prefix)

    def time_reading(self, tokens: Tokens, *, sequences: int = 1) -> float:
        """Return the seconds that it takes to read some tokens in each of several sequences; leaves nothing behind."""
        taken = [self._sequences.take() for _ in range(sequences)]
        rows = [Row(sequence=sequence, start=0, tokens=tokens) for sequence in taken]
        started = time.perf_counter()
        try:
            self._context.read(rows, lambda _row, _logits: None)
            return time.perf_counter() - started
        finally:
            for sequence in taken:
                self._sequences.release(sequence)

    def _admit(self, waiting: deque[Group], active: list[Group], most: int) -> None:
        """Start items while there is room; one is always let in, if need be at the cost of other prefixes."""
        room = self._context.batch_tokens - sum(group.size for group in active)
        cells = self._context.cells - sum(group.cells for group in active)
        spare = self._context.sequences - PREFIXES_KEPT - sum(group.width for group in active)
        while waiting and len(active) < most:
            group = waiting[0]
            needed = group.cells + (0 if group.work.prefix in self._prefixes else len(group.work.prefix))
            while not active and self._prefixes.cells + needed > cells:
                if not self._prefixes.forget({group.work.prefix}):
                    break
            fits = group.size <= room and self._prefixes.cells + needed <= cells and group.width <= spare
            if (active and not fits) or not self._open(group.work, active):
                return
            active.append(waiting.popleft())
            room -= group.size
            cells -= group.cells
            spare -= group.width

    def _open(self, work: Work, active: Sequence[Group]) -> bool:
        """See that a work's prefix is in the cache; False where those of active items leave no room for it."""
        if work.is_open and work.prefix in self._prefixes:
            return True
        read = self._prefixes.open(work.prefix, {group.work.prefix for group in active} if active else NONE_IN_USE)
        if read is None:
            return False
        if not work.is_open:
            work.is_open, work.fresh = True, read
        work.read += read
        return True

    def _round(self, active: list[Group]) -> list[Group]:
        """Read one batch or little more; lanes that are done are retired, items without room parked and returned."""
        readings = [reading for group in active for reading in self._readings(group)]
        stuck = set(
            self._context.read(
                [reading.row for reading in readings],
                lambda number, logits: self._deliver(number, readings[number], logits),
            )
        )
        parked = {id(readings[number].group): readings[number].group for number in stuck}
        for number, reading in enumerate(readings):
            if number not in stuck:
                reading.group.work.read += len(reading.row.tokens)
                _note(reading)
                if isinstance(reading.of, Base):
                    heard = self._context.halfway(number)
                    reading.of.halfway = None if heard is None else heard[0]
        for group in active:
            self._advance(group)
        left = [group for group in parked.values() if group.strands]
        for group in left:
            self._park(group)
        return left

    def _deliver(self, number: int, reading: _Reading, logits: Logits | ListedLogits | None) -> None:
        if not isinstance(reading.of, Strand) or reading.path == _NO_PATH:
            return
        lane = reading.of.lane
        if isinstance(lane, Watching) and lane.wants_hidden and self._context.hidden is not None:
            lane.wants_hidden = False  # of its first reading only
            if self._context.hidden.is_there:
                lane.hidden = self._context.hidden.row
            lane.halfway = self._halfway(number, reading.row, reading.of.base)
        if logits is None:
            return
        if not isinstance(logits, ListedLogits):
            lane.take(reading.path, logits)
        elif isinstance(lane, Listing):  # only rows of such lanes are read so
            lane.take_listed(reading.path, logits)

    def _halfway(self, number: int, row: Row, base: Base | None) -> NDArray[np.float32] | None:
        """Return what is shown halfway up: the mean over a row and what it stands on, prefix not included, and the end.

        Shape (2 * width,).
        """
        heard = self._context.halfway(number)
        below = None if base is None else base.halfway_below()
        if heard is None or (base is not None and below is None):
            return None
        summed, top = heard
        summed = summed if below is None else summed + below
        return np.concatenate([summed / np.float32(len(row.tokens) + (base.depth if base is not None else 0)), top])

    def _readings(self, group: Group) -> Iterator[_Reading]:
        bases, strands = group.due()
        prefix = group.work.prefix
        start = len(prefix)
        for base in bases:
            base.sequence = self._sequences.take(self._source(base.below, prefix))
            row = Row(
                sequence=base.sequence,
                start=start + base.depth - len(base.body),
                tokens=base.body,
                wants_logits=False,
                half=base.half,
            )
            yield _Reading(group, base, _NO_PATH, row)
        for strand in strands:
            if strand.sequence is None:
                strand.sequence = self._sequences.take(self._source(strand.base, prefix))
            depth = start + (strand.base.depth if strand.base is not None else 0)
            yield from self._strand_readings(group, strand, strand.sequence, depth)

    def _source(self, base: Base | None, prefix: Tokens) -> int | None:
        return self._prefixes.sequence(prefix) if base is None else base.sequence

    def _strand_readings(self, group: Group, strand: Strand, sequence: int, depth: int) -> list[_Reading]:
        if isinstance(strand.want, Extend) or strand.lacks_trunk:
            self._prune(strand)
            forks = isinstance(strand.want, Forks)
            rest = strand.trunk[strand.read :]
            row = Row(
                sequence=sequence,
                start=depth + strand.read,
                tokens=rest,
                wants_logits=not forks,
                listed=isinstance(strand.lane, Listing),
                half=isinstance(strand.lane, Halfway),
            )
            return [_Reading(group, strand, _NO_PATH if forks else 0, row)]
        width = strand.lane.width - 1
        if len(strand.forks) + len(strand.todo) > width:
            self._prune(strand)
        return [self._fork(group, strand, sequence, path, depth) for path in strand.todo[:width]]

    def _fork(self, group: Group, strand: Strand, trunk: int, path: int, depth: int) -> _Reading:
        """Branch off from the longest part of the path that is in the cache."""
        tokens = strand.path(path)
        held_already = strand.forks.pop(tokens, None)
        if held_already is not None:  # asked for once more: its last token is read again, for the logits
            self._sequences.release(held_already)
        near: Tokens = max((held for held in strand.forks if tokens[: len(held)] == held), key=len, default=())
        sequence = strand.begun[tokens] = self._sequences.take(strand.forks.get(near, trunk))
        start = depth + strand.read + len(near)
        row = Row(sequence=sequence, start=start, tokens=tokens[len(near) :], listed=isinstance(strand.lane, Listing))
        return _Reading(group, strand, path, row)

    def _advance(self, group: Group) -> None:
        """Ask the lanes that got all they wanted what they want next."""
        for strand in list(group.strands):
            strand.forks |= strand.begun
            strand.begun.clear()
            if strand.todo:
                continue
            want = strand.lane.next()
            if want is None:
                self._end(strand)
                group.strands.remove(strand)
                self._leave(strand.base)
            else:
                strand.accept(want)

    def _leave(self, base: Base | None) -> None:
        """Give back a base on which nothing stands any more."""
        while base is not None:
            base.users -= 1
            if base.users:
                return
            self._fell(base)
            base = base.below

    def _fell(self, base: Base) -> None:
        """Give a base's cells and sequence back; twice is harmless."""
        base.read = False
        if base.sequence is not None:
            self._sequences.release(base.sequence)
            base.sequence = None

    def _make_room(self, active: Sequence[Group]) -> None:
        """After items found no cells: let other prefixes go; raises EngineUnavailable when a single one has no room."""
        in_use = {group.work.prefix for group in active}
        if not self._prefixes.forget(in_use) and len(active) == 1:
            raise EngineUnavailable("llama.cpp has no room for a single item: set a larger context_tokens")
        while self._prefixes.forget(in_use):
            pass

    def _prune(self, strand: Strand) -> None:
        for sequence in (*strand.forks.values(), *strand.begun.values()):
            self._sequences.release(sequence)
        strand.forks.clear()
        strand.begun.clear()

    def _end(self, strand: Strand) -> None:
        """Give a lane's cells and sequences back; twice is harmless."""
        self._prune(strand)
        if strand.sequence is not None:
            self._sequences.release(strand.sequence)
            strand.sequence = None

    def _retire(self, group: Group) -> None:
        """Give an item's cells and sequences back; twice is harmless."""
        for strand in group.strands:
            self._end(strand)
        for base in group.bases:
            self._fell(base)

    def _park(self, group: Group) -> None:
        """Begin an item anew later; what its lanes know already they keep."""
        self._retire(group)
        for strand in group.strands:
            strand.read = 0


def _groups(works: Sequence[Work]) -> Iterator[Group]:
    """Put up every family of which something is still wanted."""
    for work in works:
        for family in work.families:
            group = Group(work=work)
            group.add(family)
            if group.strands:
                yield group


def _note(reading: _Reading) -> None:
    strand = reading.of
    if isinstance(strand, Base):
        strand.read = True
        return
    if reading.path == _NO_PATH or isinstance(strand.want, Extend):
        strand.read = len(strand.trunk)
    if reading.path != _NO_PATH:
        strand.todo.remove(reading.path)
