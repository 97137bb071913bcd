"""Writing values that are copied: which tokens keep a string a span of the text, or a list one of such values.

What may be written is followed byte by byte (`Place`), so that tokens that cross the end of a list's element are
allowed like any others, and the vocabulary is walked along those bytes only. At every place something may come next:
what the vocabulary cannot write is no value, and a list only goes on where a value is left for it.
"""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from pipeline.adapters.llama.pieces import Pieces, Reach
from pipeline.adapters.llama.sources import Source
from pipeline.adapters.llama.vocab import Vocab
from pipeline.domain.fields import MAX_LIST_ITEMS
from pipeline.domain.trie import Listed, log_sum_exp

_Sign: TypeAlias = tuple[bytes, bool]
"""Rest of a sign of ours, and whether a value begins behind it."""
_Move: TypeAlias = tuple[list[_Sign], list[int]]
"""What a byte leads to: what is left of signs, places in the source."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What is written around copied values."""

    empty: tuple[bytes, ...]
    """All that may be written without any value."""
    open: bytes
    between: bytes | None
    """None: there is one value only."""
    close: bytes

    @classmethod
    def of(cls, *, listed: bool, quoted: bool, end: str) -> "Frame":
        """Return the frame of a field: a list or one value, of strings or of bare literals; `end` is the end sign."""
        quote, sign = b'"' if quoted else b"", end.encode()
        null = b" null" + sign
        if not listed:
            return cls(empty=(null,), open=b" " + quote, between=None, close=quote + sign)
        return cls(
            empty=(null, b" []" + sign),
            open=b" [" + quote,
            between=quote + b", " + quote,
            close=quote + b"]" + sign,
        )


@dataclass(frozen=True, slots=True)
class Place:
    """Where the writing of a value stands; finished when neither signs nor spots are left."""

    signs: tuple[_Sign, ...] = ()
    """What may follow of the frame, inside of it."""
    spots: tuple[int, ...] = ()
    """Places in the source behind what has been written of a value: all those where the same bytes stand."""
    length: int = 0
    """Bytes written of that value."""
    done: tuple[bytes, ...] = ()
    """The list's values before it."""


@dataclass(slots=True, eq=False)
class Copyable:
    """All that may be written of one kind of field about one text; shared by the fields of that kind."""

    source: Source
    frame: Frame
    pieces: Pieces
    begin: Place = field(init=False)
    _known: dict[Place, NDArray[np.int64]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        """Begin with nothing written."""
        signs: list[_Sign] = [(empty, False) for empty in self.frame.empty]
        if self.source.starts:
            signs.append((self.frame.open, True))
        self.begin = Place(tuple(signs))

    def allowed(self, place: Place) -> NDArray[np.int64]:
        """Return the tokens that may come next; all of them, so that probabilities among them are exact."""
        known = self._known.get(place)
        if known is None:
            known = self._known[place] = np.array(sorted(self._walk(place)), dtype=np.int64)
        return known

    def after(self, place: Place, piece: bytes) -> Place:
        """Return the place behind a piece that is allowed; raises KeyError for any other."""
        for byte in piece:
            place = self._moved(place, self._moves(place)[byte])
        return place

    def _walk(self, place: Place) -> list[int]:
        pieces = self.pieces
        found: list[int] = []
        open_: list[tuple[bytes, Reach, Place]] = [(b"", pieces.everything, place)]
        while open_:
            written, within, here = open_.pop()
            for byte, move in self._moves(here).items():
                longer = written + bytes([byte])
                reach = pieces.beginning(longer, within)
                exact = pieces.tokens(longer)
                found += exact
                if reach[1] - reach[0] > bool(exact):
                    open_.append((longer, reach, self._moved(here, move)))
        return found

    def _moves(self, place: Place) -> dict[int, _Move]:
        """Return what each byte that may come next leads to. A byte is of signs or of values, never of both."""
        moves: dict[int, _Move] = {}
        for rest, opens in self._signs(place):
            moves.setdefault(rest[0], ([], []))[0].append((rest[1:], opens))
        data = self.source.data
        for spot in place.spots:
            if self._leads_on(spot - place.length, spot + 1, place.done):
                moves.setdefault(data[spot], ([], []))[1].append(spot + 1)
        return moves

    def _moved(self, place: Place, move: _Move) -> Place:
        rests, spots = move
        if spots:
            return Place((), tuple(spots), place.length + 1, place.done)
        done = (*place.done, self._value(place)) if place.length else place.done
        signs = tuple(sign for sign in rests if sign[0])
        begun = any(opens and not rest for rest, opens in rests)
        return Place(signs, self._fresh(done) if begun else (), 0, done)

    def _signs(self, place: Place) -> tuple[_Sign, ...]:
        """Return what may follow of the frame: inside of it, or behind a whole value."""
        if not place.length:
            return place.signs
        value = self._value(place)
        if value in place.done or not any(self._ends(spot, place.length) for spot in place.spots):
            return ()
        close, between = (self.frame.close, False), self.frame.between
        done = (*place.done, value)
        if between is None or len(done) >= MAX_LIST_ITEMS or not self._has_fresh(done):
            return (close,)
        return (close, (between, True))

    def _value(self, place: Place) -> bytes:
        return self.source.data[place.spots[0] - place.length : place.spots[0]]

    def _ends(self, spot: int, length: int) -> bool:
        return spot in self.source.ends and spot <= self.source.limits[spot - length]

    def _fresh(self, done: tuple[bytes, ...]) -> tuple[int, ...]:
        """Return where a value may begin that is not among those done."""
        return tuple(start for start in self.source.starts if self._leads_on(start, start + 1, done))

    def _has_fresh(self, done: tuple[bytes, ...]) -> bool:
        return any(self._leads_on(start, start + 1, done) for start in self.source.starts)

    def _leads_on(self, start: int, at: int, done: tuple[bytes, ...]) -> bool:
        """Tell whether a value from `start` may still end at `at` or later and be none of those done."""
        source = self.source
        limit = source.limits[start]
        if at > limit:
            return False
        taken = sum(
            at <= start + len(one) <= limit and start + len(one) in source.ends and source.data.startswith(one, start)
            for one in done
        )
        if not taken:
            return True
        return bisect_right(source.ordered_ends, limit) - bisect_left(source.ordered_ends, at) > taken


class CopyConstraint:
    """What has been written of one value. The same calls as a grammar's `Constraint`."""

    def __init__(self, copyable: Copyable, vocab: Vocab) -> None:
        """Begin with nothing written."""
        self._copyable = copyable
        self._vocab = vocab
        self._place = copyable.begin
        self._allowed: NDArray[np.int64] | None = None
        """At this place, once asked for."""
        self.written = b""

    def close(self) -> None:
        """Give nothing back: there is no memory outside of Python."""

    def accept(self, token: int) -> None:
        """Go on behind a token that is allowed."""
        piece = self._vocab.piece(token)
        self._place = self._copyable.after(self._place, piece)
        self._allowed = None
        self.written += piece

    def _tokens(self) -> NDArray[np.int64]:
        if self._allowed is None:
            self._allowed = self._copyable.allowed(self._place)
        return self._allowed

    def forced(self) -> int | None:
        """Return the token that alone may come next; None where there is a choice."""
        tokens = self._tokens()
        return int(tokens[0]) if len(tokens) == 1 else None

    def pick(self, logits: Listed) -> tuple[int, float] | None:
        """Return the most probable allowed token and its exact probability among the allowed; None without any."""
        tokens = self._tokens()
        if not len(tokens):
            return None
        row: NDArray[np.float64] = logits[tokens].astype(np.float64)
        row[np.isnan(row)] = -np.inf
        best = int(row.argmax())
        if not np.isfinite(row[best]):
            return None
        return int(tokens[best]), float(np.exp(row[best] - log_sum_exp(row)))
