"""What is to be read for an item: a lane is one question on its way to an answer, a family all those of one item."""

from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from pipeline.domain.trie import Listed, Logits, Tokens


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
    """One question about one item on its way to an answer.

    Its *trunk* is what it has read so far behind its family's body; *forks* are short continuations of the trunk that
    are read beside one another, sharing what they have in common.
    """

    @property
    def cells(self) -> int:
        """Tokens that the trunk and one fork are expected to come to."""
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


@runtime_checkable
class Watching(Protocol):
    """A lane that takes the hidden states of its first reading beside the logits, where it wants them."""

    wants_hidden: bool
    hidden: NDArray[np.float32] | None
    halfway: NDArray[np.float32] | None


@runtime_checkable
class Halfway(Watching, Protocol):
    """A watching lane that wants nothing but the hidden states halfway up: the rest of the model need not be read."""

    only_halfway: bool


@runtime_checkable
class Listing(Protocol):
    """A lane that looks at no other logits than those of tokens that it names: the others need not be made."""

    def take_listed(self, path: int, logits: Listed) -> None:
        """Receive the logits behind a path of the last want, as `take`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Family:
    """Lanes that begin with the same tokens: those are read once, and each lane branches off them.

    The body of an item's family is its text. What some of its lanes have in common behind it, such as the fields of one
    record, is the body of a family within.
    """

    body: Tokens
    """May be empty."""
    members: "tuple[Lane | Family, ...]"

    @property
    def size(self) -> int:
        """Tokens that all of it is expected to come to: the order in which families are begun."""
        inner = (member.size if isinstance(member, Family) else member.cells for member in self.members)
        return len(self.body) + sum(inner)
