"""Many items in flight at once: each is a lane that says what to read next; the reader fills batches from all of them.

All lanes of a reading begin with the same prefix, which lies in the cache once and stays there for the next reading. A
lane's *trunk* is what it has read behind the prefix; *forks* are short continuations of the trunk that are read beside
one another, sharing what they have in common. Items are admitted while cells, sequences and the batch have room.
"""

from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from pipeline.adapters.llama.context import BATCH_TOKENS, Context, Row
from pipeline.domain.errors import EngineUnavailable
from pipeline.domain.trie import Logits, Tokens

_PREFIXES_KEPT = 8


@dataclass(frozen=True, slots=True)
class Extend:
    """Put these tokens to the trunk, at least one; the logits behind the last are path 0."""

    tokens: Tokens


@dataclass(frozen=True, slots=True)
class Forks:
    """Read each path, behind the trunk; none is empty, none is twice in it."""

    paths: tuple[Tokens, ...]


Want: TypeAlias = Extend | Forks


class Lane(Protocol):
    """One item on its way to an answer."""

    @property
    def cells(self) -> int:
        """Tokens that the trunk and one fork are expected to come to, prefix not included."""
        ...

    @property
    def width(self) -> int:
        """Sequences it can make use of at once: one for the trunk, the others for forks."""
        ...

    def next(self) -> Want | None:
        """Say what to read, once all that was wanted before has been taken; None when the answer is there."""
        ...

    def take(self, path: int, logits: Logits) -> None:
        """Receive the logits behind a path of the last want; they are valid for this call only."""
        ...


@dataclass(slots=True, kw_only=True, eq=False)
class _Active:
    lane: Lane
    want: Want
    sequence: int | None = None
    trunk: list[int] = field(default_factory=list)
    read: int = 0
    """How many tokens of the trunk are in the cache."""
    todo: list[int] = field(default_factory=list)
    """Numbers of the want's paths that are not read yet."""
    forks: dict[Tokens, int] = field(default_factory=dict)
    """Paths in the cache, and their sequences."""
    begun: dict[Tokens, int] = field(default_factory=dict)
    """Paths that this round reads, likewise."""

    def accept(self, want: Want) -> None:
        self.want = want
        if isinstance(want, Extend):
            self.trunk += want.tokens
            self.todo = [0]
        else:
            self.todo = list(range(len(want.paths)))

    @property
    def lacks_trunk(self) -> bool:
        return self.read < len(self.trunk)

    @property
    def size(self) -> int:
        """Tokens that the next round reads for it, at most."""
        if self.lacks_trunk or isinstance(self.want, Extend):
            return len(self.trunk) - self.read
        return sum(len(self.want.paths[path]) for path in self.todo)


_TRUNK_ONLY = -1
"""In place of a path's number: the trunk has to be read again before its forks; nobody takes the logits."""


@dataclass(frozen=True, slots=True)
class _Reading:
    item: _Active
    path: int
    row: Row


class Reader:
    """Runs lanes over a context; owns its sequences and the cached prefixes."""

    def __init__(self, context: Context) -> None:
        """Begin with an empty cache."""
        self._context = context
        self._free = list(range(context.sequences))
        self._prefixes: OrderedDict[Tokens, int] = OrderedDict()

    def run(self, prefix: Tokens, lanes: Sequence[Lane]) -> int:
        """Bring all lanes to their answers; returns how many prefix tokens had to be read (0 where it was cached).

        Raises EngineUnavailable when llama.cpp fails; the cache is clean again afterwards.
        """
        waiting = deque(_Active(lane=lane, want=want) for lane in lanes if (want := lane.next()) is not None)
        if not waiting:
            return 0
        for item in waiting:
            item.accept(item.want)
        fresh = self._open_prefix(prefix)
        active: list[_Active] = []
        most = len(waiting)
        try:
            while waiting or active:
                self._admit(waiting, active, prefix, most)
                parked = self._round(active, len(prefix))
                if parked:
                    most = max(1, len(active) - len(parked), len(active) // 2)
                    self._make_room(active)
                    waiting.extend(parked)
                active = [item for item in active if item.sequence is not None]
        finally:
            for item in active:
                self._retire(item)
        return fresh

    def _open_prefix(self, prefix: Tokens) -> int:
        """See that the prefix is in the cache; returns how many tokens were read for that."""
        if not prefix:
            return 0
        if prefix in self._prefixes:
            self._prefixes.move_to_end(prefix)
            return 0
        while len(self._prefixes) >= _PREFIXES_KEPT or (
            self._prefixes and self._held + len(prefix) > self._context.cells // 2
        ):
            self._forget_prefix()
        sequence = self._prefixes[prefix] = self._free.pop()
        row = Row(sequence=sequence, start=0, tokens=prefix, wants_logits=False)
        stuck = [0]
        try:
            stuck = self._context.read([row], lambda _row, _logits: None)
        finally:
            if stuck:
                self._release(self._prefixes.pop(prefix))
        if stuck:
            raise EngineUnavailable("llama.cpp has no room for the instruction: set a larger context_tokens")
        return len(prefix)

    @property
    def _held(self) -> int:
        return sum(map(len, self._prefixes))

    def _forget_prefix(self) -> None:
        _, sequence = self._prefixes.popitem(last=False)
        self._release(sequence)

    def _release(self, sequence: int) -> None:
        self._context.drop(sequence)
        self._free.append(sequence)

    def _admit(self, waiting: deque[_Active], active: list[_Active], prefix: Tokens, most: int) -> None:
        """Start items while there is room; one is always let in, if need be at the cost of other prefixes."""
        room = BATCH_TOKENS - sum(item.size for item in active)
        cells = self._context.cells - sum(item.lane.cells for item in active)
        spare = self._context.sequences - _PREFIXES_KEPT - sum(item.lane.width for item in active)
        while waiting and len(active) < most:
            item = waiting[0]
            while not active and self._held + item.lane.cells > cells and len(self._prefixes) > 1:
                self._forget_prefix()
            fits = len(item.trunk) <= room and self._held + item.lane.cells <= cells and item.lane.width <= spare
            if active and not fits:
                return
            active.append(waiting.popleft())
            item.sequence = self._free.pop()
            if prefix:
                self._context.fork(self._prefixes[prefix], item.sequence)
            room -= len(item.trunk)
            cells -= item.lane.cells
            spare -= item.lane.width

    def _round(self, active: list[_Active], depth: int) -> list[_Active]:
        """Read one batch or little more; items that are done are retired, those without room parked and returned."""
        readings = [reading for item in active for reading in self._readings(item, depth)]
        stuck = self._context.read(
            [reading.row for reading in readings], lambda number, logits: _deliver(readings[number], logits)
        )
        parked = {id(readings[number].item): readings[number].item for number in stuck}
        for number, reading in enumerate(readings):
            if number not in stuck:
                _note(reading)
        for item in active:
            if id(item) in parked:
                self._retire(item)
                item.read = 0
            else:
                item.forks |= item.begun
                item.begun.clear()
                self._advance(item)
        return list(parked.values())

    def _readings(self, item: _Active, depth: int) -> list[_Reading]:
        sequence = item.sequence
        if sequence is None:
            return []
        if isinstance(item.want, Extend) or item.lacks_trunk:
            self._prune(item)
            forks = isinstance(item.want, Forks)
            rest = item.trunk[item.read :]
            row = Row(sequence=sequence, start=depth + item.read, tokens=rest, wants_logits=not forks)
            return [_Reading(item, _TRUNK_ONLY if forks else 0, row)]
        width = item.lane.width - 1
        if len(item.forks) + len(item.todo) > width:
            self._prune(item)
        return [self._fork(item, sequence, path, depth) for path in item.todo[:width]]

    def _fork(self, item: _Active, trunk: int, path: int, depth: int) -> _Reading:
        """Branch off from the longest part of the path that is in the cache."""
        tokens: Tokens = item.want.paths[path] if isinstance(item.want, Forks) else ()
        near: Tokens = max((held for held in item.forks if tokens[: len(held)] == held), key=len, default=())
        sequence = item.begun[tokens] = self._free.pop()
        self._context.fork(item.forks.get(near, trunk), sequence)
        start = depth + item.read + len(near)
        return _Reading(item, path, Row(sequence=sequence, start=start, tokens=tokens[len(near) :]))

    def _advance(self, item: _Active) -> None:
        if item.todo:
            return
        want = item.lane.next()
        if want is None:
            self._retire(item)
        else:
            item.accept(want)

    def _make_room(self, active: Sequence[_Active]) -> None:
        """After items found no cells: let other prefixes go; raises EngineUnavailable when a single one has no room."""
        if len(active) == 1 and len(self._prefixes) <= 1:
            raise EngineUnavailable("llama.cpp has no room for a single item: set a larger context_tokens")
        while len(self._prefixes) > 1:
            self._forget_prefix()

    def _prune(self, item: _Active) -> None:
        for sequence in (*item.forks.values(), *item.begun.values()):
            self._release(sequence)
        item.forks.clear()
        item.begun.clear()

    def _retire(self, item: _Active) -> None:
        """Give an item's cells and sequences back; twice is harmless."""
        self._prune(item)
        if item.sequence is not None:
            self._release(item.sequence)
            item.sequence = None


def _deliver(reading: _Reading, logits: Logits) -> None:
    if reading.path != _TRUNK_ONLY:
        reading.item.lane.take(reading.path, logits)


def _note(reading: _Reading) -> None:
    item = reading.item
    if reading.path == _TRUNK_ONLY or isinstance(item.want, Extend):
        item.read = len(item.trunk)
    if reading.path != _TRUNK_ONLY:
        item.todo.remove(reading.path)
