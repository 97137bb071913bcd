"""Where each lane of each family stands in the cache: the bookkeeping of the reader."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pipeline.adapters.llama.lanes import Extend, Family, Forks, Halfway, Lane, Want
from pipeline.domain.trie import Tokens

_MOST_AT_ONCE = 24
"""Sequences that one family may use at once, its body's aside."""


@dataclass(slots=True, kw_only=True, eq=False)
class Base:
    """A family's body in the cache: what strands, and bases of families within, begin with."""

    body: Tokens
    below: "Base | None"
    """What it stands on itself; None: the prefix."""
    sequence: int | None = None
    read: bool = False
    halfway: NDArray[np.float32] | None = None
    """The sum of the body's hidden states halfway up, once it is read; None where they are not heard."""
    half: bool = True
    """Whether nothing that stands on it reads further than halfway up."""
    users: int = 0
    """Strands and bases that stand on it and are not done."""

    @property
    def depth(self) -> int:
        """Tokens up to its end, prefix not included."""
        return len(self.body) + (self.below.depth if self.below is not None else 0)

    def halfway_below(self) -> NDArray[np.float32] | None:
        """Return the sum over all tokens up to its end, prefix not included; None where one is not known."""
        if self.below is None or self.halfway is None:
            return self.halfway
        under = self.below.halfway_below()
        return None if under is None else self.halfway + under

    def unread(self) -> "Base | None":
        """Return the lowest base down to this one that has to be read first; None where all are."""
        return (self.below.unread() if self.below is not None else None) or (None if self.read else self)


@dataclass(slots=True, kw_only=True, eq=False)
class Strand:
    """One lane in flight."""

    lane: Lane
    want: Want
    base: Base | None
    """None: the prefix."""
    sequence: int | None = None
    """Of the trunk; None before it is begun and after it is done."""
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
        """Take up what the lane wants next."""
        self.want = want
        if isinstance(want, Extend):
            self.trunk += want.tokens
            self.todo = [0]
        else:
            self.todo = list(range(len(want.paths)))

    @property
    def lacks_trunk(self) -> bool:
        """Whether a part of the trunk has to be read before any fork."""
        return self.read < len(self.trunk)

    @property
    def size(self) -> int:
        """Tokens that the next round reads for it, at most."""
        if self.lacks_trunk or isinstance(self.want, Extend):
            return len(self.trunk) - self.read
        return sum(len(self.want.paths[path]) for path in self.todo)

    def path(self, number: int) -> Tokens:
        """Return a path of the want."""
        return self.want.paths[number] if isinstance(self.want, Forks) else ()


@dataclass(slots=True, kw_only=True, eq=False)
class Work:
    """Families that begin with the same prefix, and what is read for them."""

    prefix: Tokens
    families: Sequence[Family]
    fresh: int = 0
    """Prefix tokens that had to be read at its first use: 0 where it was cached."""
    read: int = 0
    """Tokens read for it so far, each as often as it was read."""
    is_open: bool = False
    """The prefix has been in the cache for it."""


@dataclass(slots=True, kw_only=True, eq=False)
class Group:
    """One item's family in flight."""

    work: Work
    strands: list[Strand] = field(default_factory=list)
    """Those that have no answer yet."""
    bases: list[Base] = field(default_factory=list)
    """All of them, each behind the one that it stands on."""

    @property
    def cells(self) -> int:
        """Tokens that it is expected to come to, prefix not included."""
        return sum(len(base.body) for base in self.bases) + sum(strand.lane.cells for strand in self.strands)

    @property
    def quota(self) -> int:
        """Sequences for strands at once: enough for the widest of them, not for all of a large family."""
        widths = [strand.lane.width for strand in self.strands]
        return max(max(widths, default=0), min(sum(widths), _MOST_AT_ONCE))

    @property
    def width(self) -> int:
        """Sequences set aside for it."""
        return len(self.bases) + self.quota

    @property
    def size(self) -> int:
        """Tokens that the next round reads for it, at most."""
        bases, strands = self.due()
        return sum(len(base.body) for base in bases) + sum(strand.size for strand in strands)

    def due(self) -> tuple[list[Base], list[Strand]]:
        """Return the bases and strands that can be read now, in order, as far as the quota goes."""
        bases: dict[int, Base] = {}
        ready: list[Strand] = []
        left = self.quota
        for strand in sorted(self.strands, key=lambda strand: strand.sequence is None):
            unread = None if strand.base is None else strand.base.unread()
            if unread is not None:
                bases[id(unread)] = unread
                continue
            left -= strand.lane.width
            if left < 0:
                break
            ready.append(strand)
        return list(bases.values()), ready

    def add(self, family: Family, below: Base | None = None) -> None:
        """Put up a family's bases and strands; lanes that have their answer already are left out."""
        base = below
        if family.body:
            base = Base(body=family.body, below=below)
        before = len(self.strands)
        place = len(self.bases)
        for member in family.members:
            if isinstance(member, Family):
                self.add(member, base)
            elif (want := member.next()) is not None:
                strand = Strand(lane=member, want=want, base=base)
                strand.accept(want)
                self.strands.append(strand)
                if base is not None:
                    base.users += 1
                if not isinstance(member, Halfway):
                    _read_whole(base)
        if base is not below and base is not None and len(self.strands) > before:
            self.bases.insert(place, base)
            if below is not None:
                below.users += 1


def _read_whole(base: Base | None) -> None:
    while base is not None:
        base.half, base = False, base.below
